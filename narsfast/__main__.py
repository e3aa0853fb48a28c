"""The command `narsfast` as ``python -m narsfast``."""

from narsfast.cli import main

if __name__ == "__main__":
    main()
