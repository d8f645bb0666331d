"""Distortion against bits as SVG: the two bounds, the best quantiser of the exact density, and what was measured at d = 128."""

from collections.abc import Callable, Iterable, Mapping
from math import log10
from pathlib import Path

from jevons.quant.codebooks import codebook, mse_lower_bound, mse_upper_bound

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 660, 400, 70, 40, 190, 46
STYLE = """text{fill:#24262b;font-size:13px}.quiet{fill:#6a6f78;font-size:12px}.grid{stroke:#dcdfe3}.bound{stroke:#8b98a5;stroke-dasharray:5 4;fill:none}
.best{stroke:#1f8a70;fill:none;stroke-width:2}.seen{fill:#c4532d}.end{text-anchor:end}.middle{text-anchor:middle}
@media(prefers-color-scheme:dark){text{fill:#e6e8eb}.quiet{fill:#9aa1ab}.grid{stroke:#3a4048}.best{stroke:#4cb89a}.seen{fill:#e8825d}}"""


def write(path: str, measured: Mapping[int, float]) -> None:
    """`measured`: bits -> squared error of unit vectors of 128 dimensions."""
    bits = range(1, max(measured) + 1)
    best = {b: codebook(128, b).mse for b in bits}
    drawn = [
        *_grid(bits),
        _line("bound", mse_upper_bound, bits),
        _line("bound", mse_lower_bound, bits),
        _line("best", best.__getitem__, bits),
    ]
    drawn += [f'<circle class="seen" cx="{_x(b, bits):.1f}" cy="{_y(value):.1f}" r="4.5"/>' for b, value in measured.items()]
    last = bits[-1]
    for name, value, kind, lower in (
        ("√3π/2 · 4⁻ᵇ: promised", mse_upper_bound(last), "quiet", -4),
        ("exact codebook, measured", best[last], "", 10),
        ("4⁻ᵇ: no code is below", mse_lower_bound(last), "quiet", 4),
    ):
        drawn.append(f'<text class="{kind}" x="{_x(last, bits) + 12:.1f}" y="{_y(value) + lower:.1f}">{name}</text>')
    told = ", ".join(f"{value:.4f} at {b}" for b, value in measured.items())
    Path(path).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="title desc" '
        "font-family=\"system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif\">"
        '<title id="title">Squared error of TurboQuant against bits</title>'
        f'<desc id="desc">Measured at 128 dimensions: {told} bits, on the line of the exact codebook, between the two bounds.</desc>'
        f"<style>{STYLE}</style>{''.join(drawn)}</svg>\n",
        encoding="utf-8",
    )


def _x(bits: int, span: range) -> float:
    return LEFT + (bits - span[0]) / (span[-1] - span[0]) * (WIDTH - LEFT - RIGHT)


def _y(error: float) -> float:
    """Powers of ten, from 1 to .001."""
    return TOP - log10(error) / 3 * (HEIGHT - TOP - BOTTOM)


def _line(kind: str, height: Callable[[int], float], span: range) -> str:
    points = " ".join(f"{_x(b, span):.1f},{_y(height(b)):.1f}" for b in span)
    return f'<polyline class="{kind}" points="{points}"/>'


def _grid(span: range) -> Iterable[str]:
    for error in (1.0, 0.1, 0.01, 0.001):
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(error):.1f}" y2="{_y(error):.1f}"/>'
        yield f'<text class="quiet end" x="{LEFT - 8}" y="{_y(error) + 4:.1f}">{error:g}</text>'
    for b in span:
        yield f'<text class="quiet middle" x="{_x(b, span):.1f}" y="{HEIGHT - BOTTOM + 20}">{b}</text>'
    yield f'<text class="quiet middle" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}">bits a coordinate</text>'
    yield f'<text class="quiet" x="{LEFT - 60}" y="{TOP - 18}">‖x̂ − x‖² of unit vectors</text>'
