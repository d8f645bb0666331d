"""The command line. `main` is the entry point of the `jevons` script."""

from jevons.cli.main import main

__all__ = ["main"]
