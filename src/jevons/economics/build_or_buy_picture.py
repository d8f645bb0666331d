"""Dollars a month against tokens a month, as lines and steps on two logarithmic axes, with where they cross: SVG that stands by itself.

Comes in: a `Comparison`. Goes out: SVG text, light and dark by the viewer's preference, readable aloud. Does not know: how costs come about.
"""

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, log10
from typing import NamedTuple

from jevons.core.money import short_usd
from jevons.economics.break_even import BreakEven
from jevons.economics.build_or_buy import Comparison
from jevons.economics.chart import LINES_STYLE
from jevons.economics.waterfall import STYLE, WIDTH
from jevons.economics.ways import Way

HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 432, 76, 52, 62, 196
LABEL_GAP = 17
POINTS = 400
"""Volumes at which each line is drawn: enough that steps look like steps."""
DECADES_MAX = 12
ORDER = ("api_billed", "api_list", "api_open", "rented", "owned", "here")
"""Of lines, and so their colours; `api_caches` lies on `api_billed` or near it."""
CIRCLES = "Circles: from here on building is cheaper. Open ones: at first, but the next device makes it dearer again."
UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


class _Scale(NamedTuple):
    """Powers of ten."""

    left: float
    right: float
    low: float
    high: float

    def x(self, tokens: float) -> float:
        return round(LEFT + (log10(tokens) - self.left) / (self.right - self.left) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, nusd: float) -> float:
        return round(HEIGHT - BOTTOM - (log10(nusd) - self.low) / (self.high - self.low) * (HEIGHT - BOTTOM - TOP), 1)

    def volumes(self) -> list[float]:
        return [10 ** (self.left + (self.right - self.left) * place / POINTS) for place in range(POINTS + 1)]


def picture(found: Comparison) -> str:
    """The picture."""
    ways = [way for name in ORDER for way in found.ways if way.name == name and way.at(1.0)]
    scale = _scale(found, ways)
    title = f"A month of this work, bought or built with {found.placed.model.arch.name}"
    today = found.work.tokens_a_month
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="waterfall lines" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
            ' aria-labelledby="cross-title cross-desc">',
            f'<title id="cross-title">{escape(title)}</title>',
            f'<desc id="cross-desc">{escape(_aloud(found, ways))}</desc>',
            f"<style>{STYLE}{LINES_STYLE}</style>",
            f'<text class="head" x="0" y="20">{escape(title)}</text>',
            '<text class="quiet" x="0" y="39">Dollars a month by tokens a month, prompts and answers; both axes logarithmic. Projected.</text>',
            *_grid(scale),
            f'<path class="rule" d="M{scale.x(today)} {TOP - 8}V{HEIGHT - BOTTOM}"/>',
            f'<text class="strong" text-anchor="middle" x="{scale.x(today)}" y="{TOP - 12}">now {volume(today)}</text>',
            *(part for place, way in reversed(list(enumerate(ways))) for part in _line(scale, place, way)),
            *_crossings(scale, found, ways),
            *_names(scale, ways),
            "</svg>",
        ]
    )


def volume(tokens: float) -> str:
    """A number of tokens at a glance: 3.5 B."""
    for size, unit in UNITS:
        if tokens >= size:
            return f"{tokens / size:.3g} {unit}"
    return f"{tokens:.0f}"


def _scale(found: Comparison, ways: Sequence[Way]) -> _Scale:
    """Around what is used now and all crossings of what is drawn."""
    today = found.work.tokens_a_month
    drawn = {way.name for way in ways}
    marks = [today, *(one.tokens.mid for one in found.crossings if one.tokens and {one.build, one.buy} <= drawn)]
    left, right = floor(log10(min(marks)) - 0.3), ceil(log10(max(marks)) + 0.3)
    right = min(max(right, left + 3), left + DECADES_MAX)
    costs = [cost for way in ways for tokens in (10.0**left, 10.0**right) if (cost := way.at(tokens))]
    return _Scale(left, right, floor(log10(min(costs))), ceil(log10(max(costs))))


def _grid(scale: _Scale) -> Iterator[str]:
    every = max(1, ceil((scale.high - scale.low) / 8))
    for power in range(int(scale.low), int(scale.high) + 1, every):
        y = scale.y(10.0**power)
        yield f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/><text class="quiet end" x="{LEFT - 8}" y="{y + 4}">{_dollars(power)}</text>'
    for power in range(int(scale.left), int(scale.right) + 1):
        x = scale.x(10.0**power)
        yield f'<path class="grid" d="M{x} {TOP}V{HEIGHT - BOTTOM}"/>'
        yield f'<text class="quiet" text-anchor="middle" x="{x}" y="{HEIGHT - BOTTOM + 18}">{volume(10.0**power)}</text>'
    yield f'<text class="quiet" x="{LEFT}" y="{HEIGHT - 12}">{CIRCLES}</text>'


def _dollars(power: int) -> str:
    usd = 10.0 ** (power - 9)
    for size, unit in UNITS:
        if usd >= size:
            return f"${usd / size:g} {unit}"
    return f"${usd:g}"


def _line(scale: _Scale, place: int, way: Way) -> Iterator[str]:
    points = [(tokens, cost) for tokens in scale.volumes() if (cost := way.at(tokens))]
    shown = [(scale.x(tokens), scale.y(cost)) for tokens, cost in points if scale.low <= log10(cost) <= scale.high]
    path = "L".join(f"{x} {y}" for x, y in shown)
    yield f'<path class="line s{place}" d="M{path}"><title>{escape(way.title)}</title></path>'


def _crossings(scale: _Scale, found: Comparison, ways: Sequence[Way]) -> Iterator[str]:
    places = {way.name: place for place, way in enumerate(ways)}
    for one in found.crossings:
        if one.tokens is None or one.build not in places or one.buy not in places:
            continue
        cost = found.way(one.buy).at(one.tokens.mid)
        if cost and scale.left <= log10(one.tokens.mid) <= scale.right and scale.low <= log10(cost) <= scale.high:
            x, y, colour = scale.x(one.tokens.mid), scale.y(cost), f"s{places[one.build]}"
            said = f"<title>{escape(_said(found, one))}</title>"
            if one.stays:
                yield f'<circle class="{colour}" cx="{x}" cy="{y}" r="4.5">{said}</circle>'
            else:
                yield f'<path class="line {colour}" d="M{x - 4.5} {y}a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0">{said}</path>'


def _said(found: Comparison, one: BreakEven) -> str:
    """A crossing in words."""
    ways = f"{found.way(one.build).title} against {found.way(one.buy).title}"
    if one.tokens is None:
        return f"{ways} never"
    good = "never" if one.for_good is None else f"from {volume(one.for_good)}"
    return (
        f"{ways} from {volume(one.tokens.mid)} tokens a month on"
        if one.stays
        else f"{ways} first at {volume(one.tokens.mid)}, for good {good}"
    )


def _names(scale: _Scale, ways: Sequence[Way]) -> Iterator[str]:
    """At the right end of each line, moved apart."""
    last = 10.0**scale.right
    ends = sorted(
        (scale.y(min(10.0**scale.high, max(10.0**scale.low, way.at(last) or 1.0))), place) for place, way in enumerate(ways)
    )
    wanted: list[float] = []
    for y, _ in ends:
        wanted.append(max(y, wanted[-1] + LABEL_GAP) if wanted else y)
    over = max(0.0, wanted[-1] - (HEIGHT - BOTTOM)) if wanted else 0.0
    for y, (_, place) in zip(wanted, ends, strict=True):
        strong = " strong" if place == 0 else ""
        yield f'<text class="name s{place}{strong}" x="{WIDTH - RIGHT + 8}" y="{round(y - over + 4, 1)}">{escape(_cut(ways[place].title))}</text>'


def _cut(title: str) -> str:
    return title if len(title) <= 25 else title[:24] + "…"


def _aloud(found: Comparison, ways: Sequence[Way]) -> str:
    today = found.work.tokens_a_month
    now = "; ".join(f"{way.title} {short_usd(round(way.at(today) or 0))}" for way in ways)
    crossings = "; ".join(_said(found, one) for one in found.crossings)
    return f"Now, {volume(today)} tokens a month: {now}. Cheaper: {crossings or 'nothing to compare'}."
