"""Print the lowest versions that pyproject.toml allows, as constraints for pip.

python .ci/floors.py > floors.txt
"""

import re
from pathlib import Path

import tomllib

FLOOR = re.compile(r"([\w-]+)(?:\[[\w,]+\])?>=([\w.]+)")
TRIED = ("onnx", "timm")
"""The extras that the tests need; tools that only check the sources are as they are."""


def main() -> None:
    """Run the command."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"]]
    for extra in TRIED:
        needed += project["optional-dependencies"][extra]
    for requirement in needed:
        found = FLOOR.match(requirement)
        if found is None:
            raise SystemExit(
                f"pyproject.toml: {requirement!r} has no lowest version; write it as NAME>=VERSION"
            )
        print(f"{found[1]}=={found[2]}")


if __name__ == "__main__":
    main()
