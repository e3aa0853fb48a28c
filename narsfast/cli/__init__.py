"""The command line: parses and prints, nothing else."""

from ._app import app, main

__all__ = ["app", "main"]
