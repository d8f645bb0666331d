"""Why the bill changed."""

from pathlib import Path
from typing import Any

from jevons.dashboard.rows import Period


def explanation(ledger: Path, period: Period, base: Period) -> dict[str, Any]:
    return {}


def segments(ledger: Path, period: Period, base: Period, effect: str) -> dict[str, Any]:
    return {}
