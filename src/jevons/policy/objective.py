"""Which of several models answers a request: the cheapest whose answer is believed to be good enough.

Comes in: the candidates with what is believed of each, what each would cost and how long it would take; how far the route may go; one number of
chance. Goes out: which one, why, and which one it would have been if the route might go all the way. The same options, stage and draw give the
same decision: `core.routed.Routed` keeps them with the entry, and a replay calls this very function.

What is weighed, in nano-USD: the expected list cost, what the move forfeits of the prompt cache included, and the wait for the first byte at what a
second is worth. Quality is no part of the sum: a candidate below its threshold is none (`policy.promise`).

Does not know: where scores, prices and prompt caches come from, which models a caller may use, clocks, chance.
"""

import enum
from collections.abc import Sequence

import msgspec

from jevons.core.routed import Option, Routed, Stage

APART = 1_000_003
"""A prime by which the draw is spread out again: who is in the sample is not told by who is in the share."""


class Why(enum.StrEnum):
    """Why a model answers: the words of `x-jevons-route-why`."""

    FIRST = "first"
    """The first of the route's models that may be used."""
    ONLY = "only"
    """No other of the route's models may be used."""
    CHEAPER = "cheaper"
    """Good enough by the promise, and the least to pay and to wait for."""
    REFERENCE_CHEAPEST = "reference-cheapest"
    """Others are good enough, and none costs less than the reference."""
    NOT_GOOD_ENOUGH = "not-good-enough"
    """What is believed of the others lies below their thresholds."""
    UNSCORED = "unscored"
    """Something is promised of others, and nothing is known of how they would answer this one: no predictor, or not a student's kind of question."""
    NO_PROMISE = "no-promise"
    """For none of the others anything is promised yet."""
    OBSERVED = "observed"
    """Another would answer; the route only watches."""
    OUTSIDE_SHARE = "outside-share"
    """Another would answer; the request is not in the share that is routed."""
    CASCADE = "cascade"
    """The small model is asked first, and its answer judged."""
    HEADER = "header"
    """The request names the model, or the route, in a header."""
    TURN = "turn"
    """The turn, or the stored response, goes on with the model that it began with. Not decided here, nor anew."""
    NOT_COMPARED = "not-compared"
    """No other model can be asked the same, so that nothing is known of the others' answers."""
    NO_REFERENCE = "no-reference"
    """The route's reference may not answer this one, and nothing is promised without it: the next best by the route's order."""


class Decision(msgspec.Struct, frozen=True):
    """What is done with one request."""

    chosen: int
    """Place among the options."""
    why: Why
    would: int
    """Which it would be in the stage `full`."""
    cascade: bool = False
    """The chosen one's answer is judged before it is shown."""


def decide(
    options: Sequence[Option],
    *,
    choose: str,
    stage: Stage,
    share: float,
    draw: float,
    latency_usd_s: float = 0.0,
) -> Decision:
    """`options`: at least one, the reference last. `choose`: policy.routes.Route.choose. `stage`: that in force. `draw`: uniform in [0, 1)."""
    reference = len(options) - 1
    if reference == 0:
        return Decision(0, Why.ONLY, 0)
    if choose == "first":
        return Decision(0, Why.FIRST, 0)
    would, why, cascade = _cascade(options, latency_usd_s) if choose == "cascade" else _learned(options, latency_usd_s)
    if would == reference:
        return Decision(reference, why, reference)
    if stage is Stage.FULL or (stage is Stage.SHARE and draw < share):
        return Decision(would, why, would, cascade)
    return Decision(reference, Why.OUTSIDE_SHARE if stage is Stage.SHARE else Why.OBSERVED, would)


def again(routed: Routed, *, choose: str, share: float, latency_usd_s: float) -> Decision:
    """The decision of a recorded request, made anew."""
    stage = Stage(routed.stage) if routed.stage else Stage.OBSERVE
    return decide(routed.options, choose=choose, stage=stage, share=share, draw=routed.draw, latency_usd_s=latency_usd_s)


def sampled(draw: float, sample: float) -> bool:
    """Is a request taken for a sample? Its draw is spread out anew, so that this tells nothing of the share."""
    return draw * APART % 1.0 < sample


def weighed_nusd(option: Option, latency_usd_s: float) -> float:
    """What a candidate costs in money and waiting. 1 USD/s = 1,000,000 nano-USD/ms."""
    return option.cost_nusd + option.wait_ms * latency_usd_s * 1e6


def good_enough(option: Option) -> bool:
    return option.score is not None and option.threshold is not None and option.score >= option.threshold


def _learned(options: Sequence[Option], latency_usd_s: float) -> tuple[int, Why, bool]:
    reference = len(options) - 1
    good = [place for place in range(reference) if good_enough(options[place])]
    if not good:
        return reference, _why_none(options[:reference]), False
    best = min([*good, reference], key=lambda place: weighed_nusd(options[place], latency_usd_s))
    return best, Why.REFERENCE_CHEAPEST if best == reference else Why.CHEAPER, False


def _why_none(others: Sequence[Option]) -> Why:
    """None of them is good enough."""
    promised = [option for option in others if option.threshold is not None]
    if not promised:
        return Why.NO_PROMISE
    return Why.UNSCORED if all(option.score is None for option in promised) else Why.NOT_GOOD_ENOUGH


def _cascade(options: Sequence[Option], latency_usd_s: float) -> tuple[int, Why, bool]:
    """The first is asked first if something is promised of its answers. Its threshold is one of the confidence in them; its cost holds what asking the
    reference as well is expected to add."""
    reference = len(options) - 1
    if options[0].threshold is None:
        return reference, Why.NO_PROMISE, False
    if weighed_nusd(options[0], latency_usd_s) >= weighed_nusd(options[reference], latency_usd_s):
        return reference, Why.REFERENCE_CHEAPEST, False
    return 0, Why.CASCADE, True
