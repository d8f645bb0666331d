"""From one cost to another by what multiplies: a waterfall on a logarithmic axis with a table of interactions under it, as SVG.

Comes in: a `Fall`. Goes out: SVG text that stands by itself, light and dark by the viewer's preference, readable aloud. Does not know: what
the levers are.

On a logarithmic axis what divides the cost by ten is as long wherever it stands, and the lengths add up to the whole fall. The strong part of a
bar is what a lever does by itself; what is drawn pale it does with the others, half of each pair's interaction: beyond the strong part where the
levers help each other, back over it where they take from each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import ceil, exp, floor, log
from typing import NamedTuple

from jevons.core.money import short_usd
from jevons.economics.waterfall import STYLE, WIDTH

LEFT, RIGHT, ROW, TOP, CELL = 180, 206, 34, 72, 92
LEGEND = "Full bars: by itself. Pale: what it does more together with others. Outlined: what others have done already."
MOST = log(4)
"""Interactions of this factor and more have the full colour."""
FALL_STYLE = """
.fall .pale{opacity:.35}.fall .back{fill:none;stroke:#c4532d;stroke-width:1.5}.fall .grid{stroke:#e6e8eb}.fall .middle{text-anchor:middle}
.fall .helps{fill:#1f8a70}.fall .takes{fill:#c4532d}.fall .box{fill:none;stroke:#dcdfe3}
@media(prefers-color-scheme:dark){.fall .back{stroke:#e8825d}.fall .grid{stroke:#2a2e34}.fall .helps{fill:#4cb89a}.fall .takes{fill:#e8825d}
.fall .box{stroke:#33383f}}
"""


class Fall(NamedTuple):
    """A cost that levers divide; logarithms of factors, negative where they make it less."""

    title: str
    subtitle: str
    start: tuple[str, int]
    """Its name, and nano-dollars."""
    end: tuple[str, int]
    values: Mapping[str, float]
    """Shapley's value of each lever; all sum to ln(end / start)."""
    own: Mapping[str, float]
    pairs: Mapping[tuple[str, str], float]
    ranges: Mapping[str, tuple[float, float]]
    """By what each lever divides the cost, 5 and 95 %."""
    shares_nusd: Mapping[str, int]
    notes: Sequence[str] = ()


def picture(fall: Fall) -> str:
    """The picture."""
    names = list(fall.values)
    axis = _Axis.over(fall)
    below = TOP + ROW * (len(names) + 2) + 30
    notes = [LEGEND, *fall.notes]
    height = below + 56 + 24 * len(names) + 18 * len(notes) + 16
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="waterfall fall" viewBox="0 0 {WIDTH} {height}" role="img"',
            ' aria-labelledby="fall-title fall-desc">',
            f'<title id="fall-title">{escape(fall.title)}</title>',
            f'<desc id="fall-desc">{escape(_aloud(fall))}</desc>',
            f"<style>{STYLE}{FALL_STYLE}</style>",
            f'<text class="head" x="0" y="20">{escape(fall.title)}</text>',
            f'<text class="quiet" x="0" y="39">{escape(fall.subtitle)}</text>',
            *_grid(axis, TOP + ROW * (len(names) + 2)),
            f'<text class="quiet" x="{WIDTH - RIGHT + 12}" y="{TOP - 12}">cost, 90 %</text>',
            f'<text class="quiet end" x="{WIDTH}" y="{TOP - 12}">of dollars</text>',
            *_bars(fall, axis),
            *_matrix(fall, below),
            *(
                f'<text class="quiet" x="0" y="{below + 56 + 24 * len(names) + 18 * place + 10}">{escape(note)}</text>'
                for place, note in enumerate(notes)
            ),
            "</svg>",
        ]
    )


def times(value: float) -> str:
    """A logarithm as what it does to the cost: "÷ 2.5" or "× 1.2"."""
    return f"{'÷' if value < 0 else '×'} {_digits(exp(abs(value)))}"


def spread(low: float, high: float) -> str:
    """A range of what a cost is divided by: "1.2 to 3.4", and with signs where it may rise."""
    return f"{_digits(low)} to {_digits(high)}" if low >= 1 else f"{times(-log(low))} to {times(-log(high))}"


def _digits(factor: float) -> str:
    return f"{factor:.0f}" if factor >= 100 else f"{factor:.1f}" if factor >= 10 else f"{factor:.2f}"


class _Axis(NamedTuple):
    low: float
    high: float
    """Logarithms of nano-dollars."""

    @classmethod
    def over(cls, fall: Fall) -> "_Axis":
        levels, at = [log(fall.start[1]), log(fall.end[1])], log(fall.start[1])
        for name, value in fall.values.items():
            levels += [at + value, at + fall.own[name]]
            at += value
        return cls(min(levels) - 0.35, max(levels) + 0.15)

    def x(self, level: float) -> float:
        return round(LEFT + (level - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT), 1)


def _grid(axis: _Axis, bottom: int) -> Iterator[str]:
    for power in range(ceil(axis.low / log(10)), floor(axis.high / log(10)) + 1):
        x = axis.x(power * log(10))
        yield f'<path class="grid" d="M{x} {TOP - 8}V{bottom}"/><text class="quiet middle" x="{x}" y="{TOP - 12}">{_dollars(power)}</text>'


def _dollars(power: int) -> str:
    return f"${10 ** (power - 9):,}" if power >= 9 else f"${10.0 ** (power - 9):.{9 - power}f}"


def _bars(fall: Fall, axis: _Axis) -> Iterator[str]:
    level = log(fall.start[1])
    yield _level(fall.start, axis, TOP)
    whole = fall.start[1] - fall.end[1]
    for place, (name, value) in enumerate(fall.values.items(), 1):
        y, own = TOP + ROW * place, fall.own[name]
        yield _lever(name, axis, y, level, own, value)
        low, high = fall.ranges[name]
        yield f'<text class="strong" x="{WIDTH - RIGHT + 12}" y="{y + 20}">{times(value)}</text>'
        yield f'<text class="quiet" x="{WIDTH - RIGHT + 72}" y="{y + 20}">{spread(low, high)}</text>'
        share = f"{100 * fall.shares_nusd[name] / whole:.0f} %" if whole else ""
        yield f'<text class="end" x="{WIDTH}" y="{y + 20}">{share}</text></g>'
        level += value
        yield f'<path class="rule" d="M{axis.x(level)} {y + ROW - 8}V{y + ROW + 6}"/>'
    yield _level(fall.end, axis, TOP + ROW * (len(fall.values) + 1))


def _level(end: tuple[str, int], axis: _Axis, y: int) -> str:
    x = axis.x(log(end[1]))
    return (
        f'<text class="strong" x="0" y="{y + 20}">{escape(end[0])}</text>'
        f'<rect class="level" x="{LEFT}" y="{y + 6}" width="{round(x - LEFT, 1)}" height="{ROW - 14}" rx="2"/>'
        f'<text class="end strong" x="{WIDTH}" y="{y + 20}">{short_usd(end[1])}</text>'
    )


def _lever(name: str, axis: _Axis, y: int, level: float, own: float, value: float) -> str:
    """What it does by itself, and what together with others."""
    begin, alone, done = axis.x(level), axis.x(level + own), axis.x(level + value)
    strong = "down" if own <= 0 else "up"
    drawn = (
        f'<rect class="{strong}" x="{min(begin, alone)}" y="{y + 6}" width="{_wide(begin, alone)}" height="{ROW - 14}" rx="2"/>'
    )
    if value < own:
        drawn += f'<rect class="down pale" x="{done}" y="{y + 6}" width="{_wide(alone, done)}" height="{ROW - 14}" rx="2"/>'
    elif value > own:
        drawn += f'<rect class="back" x="{alone}" y="{y + 6}" width="{_wide(alone, done)}" height="{ROW - 14}" rx="2"/>'
    said = f"{name}: {times(value)}, by itself {times(own)}"
    return f'<g><title>{escape(said)}</title><text x="0" y="{y + 20}">{escape(name)}</text>{drawn}'


def _wide(one: float, other: float) -> float:
    return max(1.0, round(abs(one - other), 1))


def _matrix(fall: Fall, y: int) -> Iterator[str]:
    """By itself on the diagonal, pairs beside it."""
    names = list(fall.values)
    yield f'<text class="strong" x="0" y="{y}">By itself, and what pairs do beyond that</text>'
    for place, name in enumerate(names):
        yield f'<text class="quiet middle" x="{LEFT + CELL * place + CELL / 2}" y="{y + 22}">{escape(name)}</text>'
        yield f'<text x="0" y="{y + 44 + 24 * place}">{escape(name)}</text>'
        for column in range(place, len(names)):
            found = fall.own[name] if column == place else fall.pairs[name, names[column]]
            yield _cell(found, LEFT + CELL * column, y + 28 + 24 * place, strong=column == place)


def _cell(value: float, x: int, y: int, *, strong: bool) -> str:
    colour, depth = "helps" if value < 0 else "takes", min(1.0, abs(value) / MOST) * 0.45
    fill = (
        "" if strong else f'<rect class="{colour}" opacity="{depth:.2f}" x="{x}" y="{y}" width="{CELL - 4}" height="21" rx="2"/>'
    )
    return (
        f'{fill}<rect class="box" x="{x}" y="{y}" width="{CELL - 4}" height="21" rx="2"/>'
        f'<text class="middle{" strong" if strong else ""}" x="{x + CELL / 2 - 2}" y="{y + 15}">{times(value)}</text>'
    )


def _aloud(fall: Fall) -> str:
    levers = "; ".join(f"{name} {times(value)}, by itself {times(fall.own[name])}" for name, value in fall.values.items())
    pairs = "; ".join(f"{one} with {other} {times(value)}" for (one, other), value in fall.pairs.items())
    return f"{fall.start[0]} {short_usd(fall.start[1])}; {levers}; {fall.end[0]} {short_usd(fall.end[1])}. Pairs: {pairs}."
