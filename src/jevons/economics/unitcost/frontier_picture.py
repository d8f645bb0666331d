"""Dollars of a million tokens against tokens a second of each user, by batch: a curve within its 90 %, and the plain roofline's under it.

Comes in: `Corner`s. Goes out: SVG text. Without a price, what a device makes stands in the place of dollars. Does not know: how corners come about.
"""

from collections.abc import Sequence

from jevons.core.money import short_usd
from jevons.economics.plane import COLOURS, Axis, Curve, Dot, Words, number, plane
from jevons.economics.unitcost.frontier import Corner

FITTED, OWN, PLAIN = COLOURS[0], COLOURS[2], "plain"
USER = Axis("tokens a second of each user", number)
DOLLARS = Axis("a million tokens of answers, prompts included", lambda nusd: short_usd(round(nusd)))
MADE = Axis("answers' tokens a second of a device, prompts read meanwhile", number)


def picture(corners: Sequence[Corner], served: str, chosen: float | None = None, floor_tok_s: float | None = None) -> str:
    """`served`: model, precision, part, in words. `chosen`: the batch that is marked. `floor_tok_s`: what each user gets at least."""
    priced = all(corner.cost for corner in corners)
    band = [_interval(corner) for corner in corners]
    words = Words(
        f"{served}: {'cost' if priced else 'tokens'} and speed",
        "The number beside a point is the batch, the band 90 %. Estimated.",
        "; ".join(_says(corner) for corner in corners) + ".",
        [(OWN, "this prediction")] if chosen else [],
    )
    curves = [
        Curve("plain roofline", [(corner.plain_user_tok_s, _plain(corner)) for corner in corners], PLAIN),
        Curve("predicted", [(corner.speed.user_tok_s, _value(corner)) for corner in corners], FITTED, band),
    ]
    dots = [_dot(corner, chosen=corner.batch == chosen) for corner in corners]
    mark = None if floor_tok_s is None else (floor_tok_s, f"{floor_tok_s:g} tokens/s, the floor")
    return plane(words, USER, DOLLARS if priced else MADE, curves, dots, mark=mark)


def _value(corner: Corner) -> float:
    return corner.speed.device_tok_s if corner.cost is None else float(corner.cost.mid)


def _plain(corner: Corner) -> float:
    return corner.speed.plain_device_tok_s if corner.plain_nusd is None else float(corner.plain_nusd)


def _interval(corner: Corner) -> tuple[float, float]:
    if corner.cost is None:
        return corner.speed.interval(corner.speed.device_tok_s)
    return float(corner.cost.low), float(corner.cost.high)


def _dot(corner: Corner, *, chosen: bool) -> Dot:
    return Dot(
        corner.speed.user_tok_s,
        _value(corner),
        OWN if chosen else FITTED,
        _says(corner),
        f"{corner.batch:,.0f}",
        under=(corner.cost is not None) != chosen,  # its neighbours may be near
        large=chosen,
    )


def _says(corner: Corner) -> str:
    dollars = "" if corner.cost is None else f", {short_usd(corner.cost.mid)} a million"
    return f"batch {corner.batch:,.0f}: {corner.speed.user_tok_s:,.1f} tokens/s a user, {corner.speed.device_tok_s:,.0f} a device{dollars}"
