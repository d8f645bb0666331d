"""A forecast as pictures, drawn as SVG that stands by itself, in the look of the waterfall: the fan, and what the levers do as bars.

Comes in: a `Forecast`, which is all of it. Goes out: SVG text, light and dark by the viewer's preference, readable aloud. The scale of the fan is
logarithmic: what doubles is as far up wherever it happens, and a year ahead is a matter of factors. Does not know: how a forecast is made.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from html import escape
from math import ceil, log10
from typing import NamedTuple

from jevons.core.money import NUSD_PER_USD, short_usd
from jevons.economics.forecast.document import Fan, Forecast, LeverSlope
from jevons.economics.plane import ROUND, ticks
from jevons.economics.waterfall import STYLE, WIDTH

HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 420, 62, 52, 62, 150
ROW = 40
LABEL_GAP = 17
MONTH_DAYS = 365.25 / 12
FAN_STYLE = """
.fan .b95{fill:#1f8a70;opacity:.14}.fan .b80{fill:#1f8a70;opacity:.22}.fan .b50{fill:#1f8a70;opacity:.34}
.fan path.line{fill:none;stroke-width:2;stroke-linejoin:round}.fan .past{stroke:#24262b}.fan .median{stroke:#1f8a70;stroke-width:3}
.fan .grid{stroke:#e6e8eb}.fan .now{stroke:#9aa1ab;stroke-dasharray:2 3}.fan .budget{stroke:#c4532d;stroke-dasharray:7 4}
.fan .s0{stroke:#3b6fb5;stroke-dasharray:5 4}.fan .s1{stroke:#8a5bb0;stroke-dasharray:5 4}.fan .s2{stroke:#b08a1f;stroke-dasharray:5 4}
.fan text.t0{fill:#3b6fb5}.fan text.t1{fill:#8a5bb0}.fan text.t2{fill:#967414}.fan text.tm{fill:#1f8a70;font-weight:600}.fan text.tb{fill:#c4532d}
.fan .whisker{stroke:#52606d;stroke-width:2}.fan .saves{fill:#1f8a70}.fan .costs{fill:#c4532d}
@media(prefers-color-scheme:dark){.fan .past{stroke:#e6e8eb}.fan .grid{stroke:#2a2e34}.fan .now{stroke:#6a6f78}.fan .median{stroke:#4cb89a}
.fan .b95,.fan .b80,.fan .b50{fill:#4cb89a}.fan text.tm{fill:#4cb89a}.fan .budget{stroke:#e8825d}.fan text.tb{fill:#e8825d}
.fan .s0{stroke:#7aa7e0}.fan text.t0{fill:#7aa7e0}.fan .s1{stroke:#b893da}.fan text.t1{fill:#b893da}.fan .s2{stroke:#d3ad48}.fan text.t2{fill:#d3ad48}
.fan .whisker{stroke:#9aa1ab}.fan .saves{fill:#4cb89a}.fan .costs{fill:#e8825d}}
"""
SCENARIOS_MAX = 3
NAME_MAX = 12
"""Characters of a name beside an amount at the right."""


class _Scale(NamedTuple):
    first: int
    last: int
    low: float
    high: float

    def x(self, day: float) -> float:
        return round(LEFT + (day - self.first) * (WIDTH - LEFT - RIGHT) / max(1, self.last - self.first), 1)

    def y(self, nusd: float) -> float:
        share = (log10(max(nusd, self.low)) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)


def fan(found: Forecast) -> str:
    """The bill by the month: what was, and the bands within which it is expected; scenarios' medians; a budget by the month."""
    past = _past(found)
    ahead = [(_middle(month.month), month.bill_nusd) for month in found.months[1:]]
    scenarios = [
        (of.name, [(day, month.p50) for (day, _), month in zip(ahead, of.months[1:], strict=True)]) for of in found.scenarios
    ]
    budget = next((one.limit_nusd for one in found.exhaustion if one.name == "budget" and one.per == "month"), None)
    values = [nusd for _, nusd in past] + [of for _, month in ahead for of in (month.p2_5, month.p97_5)]
    values += [nusd for _, line in scenarios[:SCENARIOS_MAX] for _, nusd in line] + ([budget] if budget else [])
    levels = ticks([value for value in values if value > 0] or [NUSD_PER_USD], ROUND[1:])
    scale = _Scale(past[0][0], ahead[-1][0], levels[0], levels[-1])
    last = found.months[-1]
    low, median, high = map(short_usd, (last.bill_nusd.p10, last.bill_nusd.p50, last.bill_nusd.p90))
    said = f"The median of {last.month} is {median}; in eight of ten paths it is from {low} to {high}."
    names = [(scale.y(last.bill_nusd.p50), "tm", f"median {short_usd(last.bill_nusd.p50)}")]
    names += [
        (scale.y(line[-1][1]), f"t{place}", f"{_cut(name, NAME_MAX)} {short_usd(line[-1][1])}")
        for place, (name, line) in enumerate(scenarios[:SCENARIOS_MAX])
    ]
    if budget:
        names.append((scale.y(budget), "tb", f"budget {short_usd(budget)}"))
    return "".join(
        [
            *_head(
                "The bill, where it goes", "a month, logarithmic; estimated: bands hold 50, 80 and 95 of 100 paths", HEIGHT, said
            ),
            *_grid(scale, levels, found),
            *(_band(scale, past[-1], ahead, low, high, name) for low, high, name in _BANDS),
            _line(scale, past, "past"),
            *(_line(scale, [past[-1], *line], f"s{place}") for place, (_, line) in enumerate(scenarios[:SCENARIOS_MAX])),
            _line(scale, [past[-1], *((day, month.p50) for day, month in ahead)], "median"),
            f'<path class="budget line" d="M{LEFT} {scale.y(budget)}H{WIDTH - RIGHT}"/>' if budget else "",
            *_names(names),
            "</svg>",
        ]
    )


def bars(found: Forecast) -> str:
    """What each lever takes off the sum of all months, with the range of eight of ten paths; without any, what a point of each is worth."""
    if found.levers:
        rows = [(of.lever, of.change_nusd.p50, of.change_nusd.p10, of.change_nusd.p90) for of in found.levers]
        head = (
            "What levers change",
            f"of {len(found.months) - 1} months' bill together, median and the range of eight of ten paths; estimated",
        )
    else:
        rows = [_point(of) for of in found.slopes]
        head = ("What levers change", "of a month's bill, by one percentage point, at today's point; estimated")
    least, most = min(0, *(low for _, _, low, _ in rows)), max(0, *(high for _, _, _, high in rows))
    height = TOP + ROW * len(rows) + 16
    width = (WIDTH - 190 - 120) / max(1, most - least)

    def x(nusd: int) -> float:
        return round(190 + (nusd - least) * width, 1)

    said = "; ".join(f"{name} {short_usd(middle)}" for name, middle, _, _ in rows)
    parts = [*_head(*head, height, f"{said}."), f'<path class="axis" d="M{x(0)} {TOP - 8}V{height - 12}"/>']
    for place, (name, middle, low, high) in enumerate(rows):
        y = TOP + ROW * place
        kind = "saves" if middle < 0 else "costs"
        parts.append(f'<text x="0" y="{y + 20}">{escape(_cut(name))}</text>')
        parts.append(
            f'<rect class="{kind}" x="{min(x(0), x(middle))}" y="{y + 6}" width="{max(1.0, round(abs(x(middle) - x(0)), 1))}" height="20" rx="2"/>'
        )
        if low != high:
            parts.append(f'<path class="whisker" d="M{x(low)} {y + 16}H{x(high)}M{x(low)} {y + 11}v10M{x(high)} {y + 11}v10"/>')
        parts.append(f'<text class="end" x="{WIDTH}" y="{y + 20}">{"+" if middle > 0 else ""}{short_usd(middle)}</text>')
    return "".join([*parts, "</svg>"])


def _point(of: LeverSlope) -> tuple[str, int, int, int]:
    """Every lever the way in which it saves."""
    name, nusd = ("steps, 1 % fewer", -of.nusd_per_point) if of.lever == "steps" else (f"{of.lever}, 1 point", of.nusd_per_point)
    return name, nusd, nusd, nusd


_BANDS = (("p2_5", "p97_5", "b95"), ("p10", "p90", "b80"), ("p25", "p75", "b50"))


def _head(title: str, subtitle: str, height: int, said: str) -> Iterator[str]:
    labelled = 'role="img" aria-labelledby="fan-title fan-desc"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" class="waterfall fan" viewBox="0 0 {WIDTH} {height}" {labelled}>'
    yield f'<title id="fan-title">{escape(title)}</title><desc id="fan-desc">{escape(said)}</desc><style>{STYLE}{FAN_STYLE}</style>'
    yield f'<text class="head" x="0" y="20">{escape(title)}</text><text class="quiet" x="0" y="39">{escape(subtitle)}</text>'


def _past(found: Forecast) -> list[tuple[int, float]]:
    """Each period as a month at its pace, at its middle."""
    rows = []
    for period in found.past:
        first, last = date.fromisoformat(period.first).toordinal(), date.fromisoformat(period.last).toordinal() + 1
        rows.append(((first + last) // 2, period.nusd / (last - first) * MONTH_DAYS))
    return rows


def _middle(month: str) -> int:
    return date.fromisoformat(f"{month}-15").toordinal()


def _grid(scale: _Scale, levels: Sequence[float], found: Forecast) -> Iterator[str]:
    for tick in levels:
        y = scale.y(tick)
        yield f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/><text class="quiet end" x="{LEFT - 8}" y="{y + 4}">{_dollars(tick)}</text>'
    now = scale.x(date.fromisoformat(found.today).toordinal())
    yield f'<path class="now" d="M{now} {TOP - 8}V{HEIGHT - BOTTOM}"/><text class="quiet" x="{now + 4}" y="{TOP - 2}">today</text>'
    months = found.months[1:]
    every = max(1, ceil(len(months) / 6))
    for month in months[::every]:
        x = scale.x(_middle(month.month))
        yield f'<text class="quiet" x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{month.month}</text>'
    weight = round(100 * found.months[-1].history_weight)
    said = f"{found.weeks:g} weeks of history; growth until {months[-1].month}: {weight} % history, {100 - weight} % priors"
    yield f'<text class="quiet" x="0" y="{HEIGHT - 10}">{said}</text>'


def _band(scale: _Scale, start: tuple[int, float], ahead: Sequence[tuple[int, Fan]], low: str, high: str, name: str) -> str:
    over = [start, *((day, getattr(month, high)) for day, month in ahead)]
    under = [start, *((day, getattr(month, low)) for day, month in ahead)]
    points = [f"{scale.x(day)} {scale.y(nusd)}" for day, nusd in (*over, *reversed(under))]
    return f'<path class="{name}" d="M{"L".join(points)}Z"/>'


def _line(scale: _Scale, points: Sequence[tuple[int, float]], name: str) -> str:
    return f'<path class="line {name}" d="M{"L".join(f"{scale.x(day)} {scale.y(nusd)}" for day, nusd in points)}"/>'


def _names(names: Sequence[tuple[float, str, str]]) -> Iterator[str]:
    """At the right, moved down where they would lie over each other."""
    at = float("-inf")
    for y, style, text in sorted(names):
        at = max(y, at + LABEL_GAP)
        yield f'<text class="{style}" x="{WIDTH - RIGHT + 8}" y="{round(at + 4, 1)}">{escape(text)}</text>'


def _dollars(nusd: float) -> str:
    usd = nusd / NUSD_PER_USD
    return f"${usd:,.0f}" if usd >= 1 else f"${usd:g}"


def _cut(name: str, most: int = 24) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
