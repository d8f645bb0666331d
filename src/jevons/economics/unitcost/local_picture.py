"""The local engine's tokens a second by how many are kept: a curve for each number of conversations together, one for prompts; what was observed.

Comes in: a `LocalModel`, the whole steps that were observed of it. Goes out: SVG text. Does not know: how they were measured.
"""

from collections.abc import Sequence

from jevons.economics.plane import COLOURS, Axis, Curve, Dot, Words, number, plane
from jevons.economics.unitcost.local import LocalModel
from jevons.economics.unitcost.local_saved import Point
from jevons.economics.unitcost.positions import within

KEPT = (128, 181, 256, 362, 512, 724, 1_024, 1_448, 2_048, 2_896, 4_096)
"""Steps of half a doubling; those that the model takes are drawn."""
PROMPT = "plain"
ACROSS, UPWARDS = Axis("tokens that are kept already", number), Axis("tokens a second, of all conversations together", number)


def picture(model: LocalModel, name: str, batches: Sequence[int], new: int, observed: Sequence[Point]) -> str:
    """`new`: tokens of a prompt. `observed`: whole steps of this very file, on this machine; of the batches that are drawn.

    Raises TooLong for a model that takes not even the first of `KEPT`.
    """
    within(model.architecture, KEPT[0], 1, "the shortest context that is drawn")
    colours, takes = dict(zip(batches, COLOURS, strict=False)), model.architecture.takes
    before, kept_here = [kept for kept in KEPT if takes(kept + new)], [kept for kept in KEPT if takes(kept + 1)]
    curves = [Curve(f"{new} tokens of a prompt", [(kept, model.prefill_tok_s(new, kept)) for kept in before], PROMPT)]
    curves += [
        Curve(_together(batch), [(kept, model.decode_tok_s(batch, kept)) for kept in kept_here], colour)
        for batch, colour in colours.items()
    ]
    curves = [curve for curve in curves if curve.points]
    dots = [
        Dot(
            point.kept,
            _rate(point),
            PROMPT if point.new > 1 else colours[point.batch],
            f"observed: {_rate(point):,.1f}",
            large=True,
        )
        for point in observed
        if point.kept and (point.new > 1 or point.batch in colours)
    ]
    says = "Lines are predicted" + (", circles observed." if dots else ".")
    ends = "; ".join(f"{curve.name}: {curve.points[0][1]:,.0f} to {curve.points[-1][1]:,.0f}" for curve in curves)
    words = Words(f"{name} on this machine", says, f"From {KEPT[0]} tokens kept to {kept_here[-1]:,}, tokens a second: {ends}.")
    return plane(words, ACROSS, UPWARDS, curves, dots)


def _together(batch: int) -> str:
    return "one conversation" if batch == 1 else f"{batch} together"


def _rate(point: Point) -> float:
    return point.new * point.batch / point.observed_s
