"""`python -m jevons` is the command `jevons`."""

from jevons.cli import main

main()
