"""Predicted against measured tokens a second, row by row, with the plain roofline's predictions behind: on the line they agree.

Comes in: a `Check`. Goes out: SVG text. Does not know: how rows are judged.
"""

from collections import Counter
from math import exp

from jevons.economics.plane import COLOURS, Axis, Dot, Words, number, plane
from jevons.economics.unitcost.check import Check, Verdict
from jevons.economics.unitcost.errors import UnitCostError

PLAIN = "plain"
OTHERS = "other parts"
MEASURED = Axis("measured tokens a second of a device", number)
PREDICTED = Axis("predicted, with 90 %", number)


def picture(found: Check, judged: str = "Rows of the fit are judged too kindly.") -> str:
    """`judged`: by which fit, in a sentence. Raises UnitCostError where no row could be judged."""
    if not found.verdicts:
        raise UnitCostError("there is nothing to draw: no row could be judged")
    figures = found.figures
    groups = _groups(found)
    words = Words(
        f"{figures['judged']} measured rows, and what is predicted of them",
        f"Median error {figures['median_ape_spec_pct']:.1f} %, of the plain roofline {figures['plain_roofline_ape_pct']:.0f} %; "
        f"{figures['inside_90_pct']:.0f} % of rows lie inside their 90 %. {judged}",
        "; ".join(f"{name}: {rows} rows, median error {error:.1f} %" for name, (rows, error) in found.by("hardware").items())
        + ".",
        [*((colour, name) for name, colour in groups.items()), (PLAIN, "plain roofline")],
    )
    plain = [_plain(verdict) for verdict in found.verdicts]
    fitted = [_fitted(verdict, groups.get(verdict.point.on.part.name, groups.get(OTHERS, ""))) for verdict in found.verdicts]
    return plane(words, MEASURED, PREDICTED, [], [*plain, *fitted], equal=True)


def _groups(found: Check) -> dict[str, str]:
    """Name -> colour: of the parts with most rows, and of all others."""
    parts = [name for name, _ in Counter(verdict.point.on.part.name for verdict in found.verdicts).most_common()]
    if len(parts) > len(COLOURS):
        parts[len(COLOURS) - 1 :] = [OTHERS]
    return dict(zip(parts, COLOURS, strict=False))


def _plain(verdict: Verdict) -> Dot:
    point, predicted = verdict.point, verdict.point.tok_s * exp(verdict.plain_error)
    devices = point.on.devices
    return Dot(point.tok_s / devices, predicted / devices, PLAIN, f"{_run(verdict)}; by the plain roofline {predicted:,.0f}")


def _fitted(verdict: Verdict, colour: str) -> Dot:
    devices = verdict.point.on.devices
    return Dot(
        verdict.point.tok_s / devices,
        verdict.tok_s / devices,
        colour,
        f"{_run(verdict)}; predicted {verdict.tok_s:,.0f}, {verdict.low:,.0f} to {verdict.high:,.0f}",
        interval=(verdict.low / devices, verdict.high / devices),
    )


def _run(verdict: Verdict) -> str:
    point = verdict.point
    return f"{point.id}, {point.model} on {point.on.devices} x {point.on.part.name}: {point.tok_s:,.0f} tokens/s measured"
