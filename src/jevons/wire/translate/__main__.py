"""Prints the translation table: `python -m jevons.wire.translate > docs/translation.md`."""

import sys

from jevons.wire.translate.table import markdown

sys.stdout.write(markdown())
