"""Energy by part as intervals on one logarithmic axis, ours above EcoLogits': SVG that stands by itself, in the look of the waterfall.

Comes in: an `Energy`. Goes out: SVG text, light and dark by the viewer's preference, readable aloud; None where there is nothing to draw. Does not
know: where it will hang.
"""

from collections.abc import Callable
from html import escape
from math import ceil, floor, log10

from jevons.economics.energy.report import IN_ORDER, Energy, Row
from jevons.economics.waterfall import STYLE, WIDTH

LEFT, RIGHT, TOP, ROW, ROWS_MAX = 210, 150, 62, 38, 12
OWN_STYLE = """
.energy .ours{stroke:#1f8a70;stroke-width:6}.energy .middle{fill:#24262b}.energy .theirs{stroke:#3b6fb5;stroke-width:6}.energy .grid{stroke:#e6e8eb}
@media(prefers-color-scheme:dark){.energy .ours{stroke:#4cb89a}.energy .theirs{stroke:#7aa7e0}.energy .middle{fill:#e6e8eb}.energy .grid{stroke:#2a2e34}}
"""
LEAST = 1.06
"""An interval narrower than this factor is drawn as wide as this, so that it is seen."""


def picture(found: Energy) -> str | None:
    """Of the rows with most energy, and of all."""
    shown = [row for row in found.rows if row.wh_high > 0]
    shown = sorted(shown, key=lambda row: -row.wh)[:ROWS_MAX] if found.by not in IN_ORDER else shown[-ROWS_MAX:]
    if not shown:
        return None
    rows = [*shown, found] if len(found.rows) > 1 else shown
    ends = [end for row in rows for end in (row.wh_low, row.wh_high, row.ecologits_wh_low, row.ecologits_wh_high) if end]
    first, last = floor(log10(min(ends))), ceil(log10(max(ends)))
    last += first == last
    height = TOP + ROW * len(rows) + 34
    bottom = TOP + ROW * len(rows)

    def x(wh: float) -> float:
        return round(LEFT + (log10(wh) - first) / (last - first) * (WIDTH - LEFT - RIGHT), 1)

    title = f"Energy by {found.by}, 5 to 95 %"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="waterfall energy" viewBox="0 0 {WIDTH} {height}" role="img"',
        ' aria-labelledby="energy-title energy-desc">',
        f'<title id="energy-title">{escape(title)}</title><desc id="energy-desc">{escape(_aloud(rows))}</desc>',
        f"<style>{STYLE}{OWN_STYLE}</style>",
        f'<text class="head" x="0" y="20">{escape(title)}</text>',
        f'<path class="ours" d="M{LEFT} 38h26"/><text class="quiet" x="{LEFT + 32}" y="42">ours (estimated)</text>',
        f'<path class="theirs" d="M{LEFT + 170} 38h26"/><text class="quiet" x="{LEFT + 202}" y="42">{escape(_theirs(found))}</text>',
    ]
    for power in range(first, last + 1):
        at = x(10.0**power)
        parts.append(
            f'<path class="grid" d="M{at} {TOP - 8}V{bottom}"/><text class="quiet" x="{at - 14}" y="{bottom + 18}">{amount(10.0**power)}</text>'
        )
    for place, row in enumerate(rows):
        parts.append(_row(row, "all" if row is found else row.label or "(not told)", TOP + ROW * place, x))
    return "".join([*parts, "</svg>"])


def amount(wh: float) -> str:
    """Watt-hours for people: three figures at most."""
    for factor, unit in ((1e6, "MWh"), (1e3, "kWh"), (1.0, "Wh"), (1e-3, "mWh")):
        if wh >= factor * 0.9995:
            return f"{wh / factor:.3g} {unit}"
    return f"{wh * 1e6:.3g} µWh" if wh else "0"


def _theirs(found: Energy) -> str:
    return f"EcoLogits {found.ecologits}, where it has the model" if found.ecologits else "EcoLogits: not installed"


def _row(row: Row, name: str, y: int, x: Callable[[float], float]) -> str:
    low, high = row.wh_low, max(row.wh_high, row.wh_low * LEAST)
    parts = [f"<g><title>{escape(_told(row, name))}</title>"]
    parts.append(f'<text x="0" y="{y + 15}">{escape(name if len(name) <= 30 else name[:29] + "…")}</text>')
    if low > 0:
        parts.append(
            f'<path class="ours" d="M{x(low)} {y + 8}H{x(high)}"/><circle class="middle" cx="{x(row.wh)}" cy="{y + 8}" r="4"/>'
        )
        parts.append(f'<text class="end" x="{WIDTH}" y="{y + 13}">{amount(row.wh)}</text>')
    if row.ecologits_wh_low and row.ecologits_wh_high:
        wide = max(row.ecologits_wh_high, row.ecologits_wh_low * LEAST)
        parts.append(f'<path class="theirs" d="M{x(row.ecologits_wh_low)} {y + 20}H{x(wide)}"/>')
    return "".join([*parts, "</g>"])


def _told(row: Row, name: str) -> str:
    theirs = ""
    if row.ecologits_wh_low is not None and row.ecologits_wh_high is not None:
        part = f" for {row.ecologits_calls:,} of {row.calls:,} calls" if row.ecologits_calls < row.calls else ""
        theirs = f"; EcoLogits {amount(row.ecologits_wh_low)} to {amount(row.ecologits_wh_high)}{part}"
    return f"{name}: {amount(row.wh)}, {amount(row.wh_low)} to {amount(row.wh_high)}{theirs}"


def _aloud(rows: list[Row]) -> str:
    return "; ".join(_told(row, row.label or "all") for row in rows) + "."
