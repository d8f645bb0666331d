"""A change of money as a waterfall: from one amount to another by named steps, drawn as SVG that stands by itself.

Comes in: two amounts in nano-USD and the steps between them. Goes out: SVG text, light and dark by the viewer's preference, readable
aloud; or a PNG of it. Does not know: what the steps mean, nor where the picture will hang.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from jevons.core.money import format_usd, short_usd

WIDTH, LEFT, RIGHT, ROW, TOP = 760, 190, 104, 30, 44
CUT_FROM = 0.6
"""Where no bar ends below this share of the longest, the axis begins nearer, and says so: else the steps would be slivers."""
STYLE = """
.waterfall{font-family:system-ui,-apple-system,"Segoe UI",Helvetica,Arial,"Liberation Sans","DejaVu Sans",sans-serif;font-size:13px;
font-variant-numeric:tabular-nums}
.waterfall text{fill:#24262b}.waterfall .quiet{fill:#6a6f78;font-size:12px}.waterfall .head{font-size:15px;font-weight:600}
.waterfall .strong{font-weight:600}.waterfall .end{text-anchor:end}.waterfall .level{fill:#52606d}.waterfall .up{fill:#c4532d}
.waterfall .down{fill:#1f8a70}.waterfall .rule{stroke:#b9bec6;stroke-width:1;stroke-dasharray:2 2}.waterfall .axis{stroke:#dcdfe3}
.waterfall .cut{fill:none;stroke:#fff;stroke-width:3}.waterfall a:hover text,.waterfall a:focus text{text-decoration:underline}
@media(prefers-color-scheme:dark){.waterfall text{fill:#e6e8eb}.waterfall .quiet{fill:#9aa1ab}.waterfall .level{fill:#8b98a5}
.waterfall .up{fill:#e8825d}.waterfall .down{fill:#4cb89a}.waterfall .rule{stroke:#4b525c}.waterfall .axis{stroke:#33383f}
.waterfall .cut{stroke:#16181c}}
"""


class NoRasteriser(Exception):
    """No PNG can be made here; the message says what to install."""


class _Bar(NamedTuple):
    name: str
    nusd: int
    start: int
    """Where it begins and ends, in nano-USD."""
    end: int
    kind: str


def waterfall(
    title: str,
    base: tuple[str, int],
    steps: Sequence[tuple[str, int]],
    total: tuple[str, int],
    *,
    links: Mapping[str, str] | None = None,
) -> str:
    """The picture. `base` and `total`: (name, nusd); `links`: the name of a step -> where a click on it leads.

    Steps of nothing are left out. Raises ValueError if the steps do not lead from base to total.
    """
    if base[1] + sum(nusd for _, nusd in steps) != total[1]:
        raise ValueError(f"{title}: the steps do not lead from {base[1]} to {total[1]}")
    bars = list(_bars(base, steps, total))
    ends = [end for bar in bars for end in (bar.start, bar.end)]
    most, least = max(0, *ends), min(0, *ends)
    lowest = min(bar.end for bar in bars)
    floor = least if lowest < CUT_FROM * most or least < 0 else lowest - (most - lowest)
    scale = (WIDTH - LEFT - RIGHT) / max(1, most - floor)
    height = TOP + ROW * len(bars) + (26 if floor > 0 else 10)
    role = "group" if links else "img"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="waterfall" viewBox="0 0 {WIDTH} {height}" role="{role}"',
        ' aria-labelledby="waterfall-title waterfall-desc">',
        f'<title id="waterfall-title">{escape(title)}</title>',
        f'<desc id="waterfall-desc">{escape(_aloud(bars))}</desc>',
        f"<style>{STYLE}</style>",
        f'<text class="head" x="0" y="20">{escape(title)}</text>',
        f'<path class="axis" d="M{_x(max(0, floor), floor, scale)} {TOP - 8}V{TOP + ROW * len(bars)}"/>',
    ]
    for place, bar in enumerate(bars):
        following = bars[place + 1] if place + 1 < len(bars) else None
        drawn = "".join(_row(bar, TOP + ROW * place, floor, scale, following))
        link = (links or {}).get(bar.name) if bar.kind != "level" else None
        parts.append(f'<a href="{escape(link)}">{drawn}</a>' if link else drawn)
    if floor > 0:
        parts.append(
            f'<text class="quiet" x="{LEFT}" y="{height - 8}">The bars begin at {short_usd(floor)}, not at nothing.</text>'
        )
    return "".join([*parts, "</svg>"])


def png(svg: str, width: int = 1520) -> bytes:
    """The picture as pixels, in its light colours. Raises NoRasteriser."""
    try:
        import resvg_py  # noqa: PLC0415 - an extra
    except ImportError:
        raise NoRasteriser(
            "To write a PNG, install resvg-py (pip install resvg-py), or write SVG, which needs nothing."
        ) from None
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, width=width, background="#ffffff"))


def _bars(base: tuple[str, int], steps: Sequence[tuple[str, int]], total: tuple[str, int]) -> Iterator[_Bar]:
    yield _Bar(*base, 0, base[1], "level")
    level = base[1]
    for name, nusd in steps:
        if nusd:
            yield _Bar(name, nusd, level, level + nusd, "up" if nusd > 0 else "down")
            level += nusd
    yield _Bar(*total, 0, total[1], "level")


def _row(bar: _Bar, y: int, floor: int, scale: float, following: _Bar | None) -> Iterator[str]:
    low, high = _x(min(bar.start, bar.end), floor, scale), _x(max(bar.start, bar.end), floor, scale)
    said = format_usd(bar.nusd) if bar.kind == "level" or bar.nusd < 0 else f"+{format_usd(bar.nusd)}"
    yield f"<g><title>{escape(f'{bar.name}: {said}')}</title>"
    strong = ' class="strong"' if bar.kind == "level" else ""
    yield f'<text{strong} x="0" y="{y + 18}">{escape(_cut(bar.name))}</text>'
    yield f'<rect class="{bar.kind}" x="{low}" y="{y + 4}" width="{max(1.0, round(high - low, 1))}" height="{ROW - 10}" rx="2"/>'
    if bar.kind == "level" and floor > 0:
        yield f'<path class="cut" d="M{low + 14} {y + 2}l-5 8l6 6l-5 8"/>'
    sign = "+" if bar.kind == "up" else ""
    yield f'<text class="end{" strong" if bar.kind == "level" else ""}" x="{WIDTH}" y="{y + 18}">{sign}{short_usd(bar.nusd)}</text></g>'
    if following is not None:
        at = _x(bar.end, floor, scale)
        yield f'<path class="rule" d="M{at} {y + ROW - 6}V{y + ROW + 4}"/>'


def _x(nusd: int, floor: int, scale: float) -> float:
    return round(LEFT + max(0, nusd - floor) * scale, 1)


def _cut(name: str) -> str:
    return name if len(name) <= 28 else name[:27] + "…"


def _aloud(bars: Sequence[_Bar]) -> str:
    first, *steps, last = bars
    said = [f"{bar.name} {'+' if bar.nusd > 0 else ''}{format_usd(bar.nusd)}" for bar in steps]
    return f"{first.name} {format_usd(first.nusd)}; {'; '.join(said) or 'no change'}; {last.name} {format_usd(last.nusd)}."
