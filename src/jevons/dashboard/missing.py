"""What a page says where something is missing: what it is, and the command that gets it.

Comes in: what was raised. Goes out: a sentence. Does not know: pages.
"""

import sys

from jevons.economics.unitcost.errors import UnitCostError
from jevons.meter.compiled import BrokenBook
from jevons.meter.genai import UpdateFailed
from jevons.meter.overrides import BadOverride

PACKAGES = {"numpy": "'numpy>=2'"}
"""Module -> what pip is told."""
MISSING = (UnitCostError, ModuleNotFoundError, BrokenBook, UpdateFailed, BadOverride)
"""What is no bug: the operator can mend it."""


def said(error: Exception) -> str:
    """For the person who can mend it. Raises the error again if nobody can."""
    if isinstance(error, ModuleNotFoundError):
        if error.name not in PACKAGES:
            raise error
        return f"This needs {error.name}. Install it and start again: {sys.executable} -m pip install {PACKAGES[error.name]}"
    return str(error)
