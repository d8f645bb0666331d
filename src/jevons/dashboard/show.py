"""How values become HTML: money, counts, instants, bars. Every figure carries its exact value beside the text that a person reads.

Comes in: integers of the ledger. Goes out: escaped markup, and whole pages by their templates. Does not know: where the figures come from.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from jevons.core.money import format_usd, short_usd
from jevons.policy.rules import MONEY, Measure

HERE = Path(__file__).parent
STYLE = "".join((HERE / "static" / name).read_text(encoding="utf-8") for name in ("vendor/uPlot.min.css", "desk.css"))
"""Stands in the page itself, so that the first answer can be painted."""


def usd(nusd: int) -> Markup:
    """Money at a glance, exact on hover and for programs."""
    return Markup('<data class="usd" value="{}" title="{}">{}</data>').format(nusd, format_usd(nusd), short_usd(nusd))


def exact(nusd: int) -> Markup:
    """Money to the nano-dollar."""
    return Markup('<data class="usd" value="{}">{}</data>').format(nusd, format_usd(nusd))


def change(nusd: int) -> Markup:
    """Money with its sign: more is +."""
    way, sign = ("more", "+") if nusd > 0 else ("less", "") if nusd < 0 else ("same", "±")
    return Markup('<data class="usd {}" value="{}" title="{}{}">{}{}</data>').format(
        way, nusd, sign, format_usd(nusd), sign, short_usd(nusd)
    )


def whole(count: int) -> Markup:
    return Markup('<data value="{}">{:,}</data>').format(count, count)


def tokens(count: int) -> Markup:
    """A count at a glance: 1.2 M."""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**4, "k")):
        if count >= size:
            each = 1000 if unit == "k" else size
            tenths = count * 10 // each
            text = f"{tenths // 10}.{tenths % 10}" if tenths < 1000 else f"{tenths // 10:,}"
            return Markup('<data value="{}" title="{:,}">{} {}</data>').format(count, count, text, unit)
    return whole(count)


def amount(value: int, measure: str) -> Markup:
    """An amount in the unit of its measure."""
    return usd(value) if Measure(measure) in MONEY else tokens(value)


def when(at_ms: int, how: str = "minute") -> Markup:
    """An instant. Written in UTC here; a script shows it in the viewer's zone: `minute`, `second`, `ago`."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return Markup('<time datetime="{:%Y-%m-%dT%H:%M:%S}Z" data-how="{}">{:%Y-%m-%d %H:%M} UTC</time>').format(at, how, at)


def coded(text: str) -> Markup:
    """A sentence with its `commands` as code."""
    parts = enumerate(text.split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in parts)


def percent(part: int, of: int) -> str:
    """A share, to a tenth of a percent where that is all there is."""
    if of == 0:
        return "–"
    tenths = (abs(part) * 1000 + abs(of) // 2) // abs(of)
    sign = "-" if (part < 0) != (of < 0) and tenths else ""
    return f"{sign}{tenths // 10}%" if tenths >= 100 or tenths % 10 == 0 else f"{sign}{tenths // 10}.{tenths % 10}%"


def bar(of: int, *parts: tuple[str, int]) -> Markup:
    """Parts of a whole, one after the other: (class, amount). What is over the whole is cut off."""
    drawn, at = [], 0
    for name, part in parts:
        width = min(1000 - at, part * 1000 // of) if of > 0 else (1000 - at if part > 0 else 0)
        if part > 0 and width >= 0:
            shown = max(width, 4)
            drawn.append(Markup('<rect class="{}" x="{}" width="{}" height="8"/>').format(name, min(at, 1000 - shown), shown))
        at += max(0, width)
    rects = Markup("").join(drawn)
    return Markup('<svg class="bar" viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true">{}</svg>').format(rects)


def columns(now: Sequence[int], before: Sequence[int], labels: Sequence[str]) -> Markup:
    """Days side by side: this period's amounts in front of those of the one before."""
    most, count = max(1, *now, *before), max(len(now), len(before), 1)
    step = 1000 / count
    drawn = []
    for place in range(count):
        for name, amounts, share, inset in (("before", before, 0.86, 0.07), ("now", now, 0.5, 0.25)):
            value = amounts[place] if place < len(amounts) else 0
            height = value * 140 // most if value > 0 else 0
            if value > 0:
                height = max(height, 1)
            drawn.append(
                Markup('<rect class="{}" x="{:.2f}" y="{}" width="{:.2f}" height="{}"/>').format(
                    name, (place + inset) * step, 140 - height, share * step, height
                )
            )
        if place < len(labels):
            said = f"{labels[place]}: {format_usd(now[place])}"
            said += f"; before: {format_usd(before[place])}" if place < len(before) else ""
            drawn.append(
                Markup('<rect class="hit" x="{:.2f}" y="0" width="{:.2f}" height="140"><title>{}</title></rect>').format(
                    place * step, step, said
                )
            )
    return Markup(
        '<svg class="columns" viewBox="0 0 1000 140" preserveAspectRatio="none" role="img" aria-label="Cost by day">{}</svg>'
    ).format(Markup("").join(drawn))


def query(path: str, **values: object) -> str:
    """An address with its question; what is None is left out."""
    said = {name: value for name, value in values.items() if value is not None}
    return f"{path}?{urlencode(said)}" if said else path


def combine(values: Mapping[str, object], more: Mapping[str, object]) -> dict[str, object]:
    """Both; the second wins."""
    return {**values, **more}


def without(values: Mapping[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in values.items() if key != name}


def rows_of(labels: Mapping[str, str]) -> dict[str, str]:
    """What of a segment's labels tells rows apart; a kind of token does not, each row has all kinds."""
    return {name: value for name, value in labels.items() if name != "kind"}


def style_hash(style: str) -> str:
    """How a policy names a style that stands in the page."""
    return f"'sha256-{b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"


class Templates:
    """The pages' templates, compiled at their first use."""

    def __init__(self, **known: object) -> None:
        """`known`: what every template may use."""
        self._jinja = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        filters = (usd, exact, change, whole, tokens, amount, when, coded, combine, without, rows_of)
        self._jinja.filters.update({one.__name__: one for one in filters})
        self._jinja.globals.update(
            known, percent=percent, bar=bar, columns=columns, query=query, style=Markup(STYLE), escape=escape, min=min, max=max
        )

    def render(self, name: str, /, **values: Any) -> str:
        return self._jinja.get_template(f"{name}.html").render(values)
