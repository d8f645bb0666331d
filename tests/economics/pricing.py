"""Price rows and series that no vendor ever asked for, for tests with known answers."""

from datetime import date

from jevons.economics.history import PriceRow, Series
from jevons.meter.lineages import Lineage, Tier


def row(day: str, model: str, usd: float | str, output: float | str | None = None, **changes: str) -> PriceRow:
    """A plain price; output costs the same unless it is said."""
    fields = {
        "date": day, "provider": "acme", "model": model, "variant": "", "input": str(usd), "output": str(usd if output is None else output),
        "cached": "", "event": "launch", "basis": "vendor_event", "confidence": "high", "source": "genai-git", "note": "",
    }  # fmt: skip
    return PriceRow(fields | changes)


def line_of(*rows: PriceRow, name: str = "line", tier: Tier = "frontier") -> Series:
    return Series("acme", Lineage("acme", name, tier), rows)


TODAY = date(2026, 11, 22)
"""The day on which the files were compiled; tests never read the clock."""
