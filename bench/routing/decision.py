"""How long a decision takes: from a request's features to the chosen model, with the embedding made for it and without any."""

import gc
import time
from collections.abc import Callable

import msgspec
import numpy as np

from bench.routing.sets import MODELS, Asked
from jevons.core.limits import EMBEDDED_CHARS_MAX
from jevons.core.routed import Option, Stage
from jevons.embed import Embedder
from jevons.learn.matrix import columns
from jevons.learn.mixed import Mixed
from jevons.learn.select import candidates, choose
from jevons.policy.objective import decide

TRAINED, TIMED = 4_096, 4_000
OPTIONS = (
    Option("small", "one", "small", threshold=0.9, cost_nusd=10),
    Option("large", "one", "large", cost_nusd=1_000),
)


def decision(mmlu: Asked, say: Callable[[str], None]) -> dict[str, object]:
    """Milliseconds and microseconds; the process's own processor time would hide waiting for memory, so that it is time on the wall."""
    chance = np.random.default_rng(0).permutation(len(mmlu))
    train, timed = mmlu.take(chance[:TRAINED]), mmlu.take(chance[-TIMED:])
    embedder = Embedder()

    def with_embedding(place: int, by: Mixed) -> None:
        one = timed.requests[place]
        vector = embedder.vector(one.question[:EMBEDDED_CHARS_MAX])
        _decide(by.scores(one.features, vector, one.question))

    def without(place: int, by: Mixed) -> None:
        _decide(by.scores(timed.requests[place].features, None))

    say("  decision times")
    plain = Asked([one._replace(vector=None, question="") for one in train.requests], train.small, train.large)
    reads, bare = (
        _times(call, _trained(asked, read), len(timed))
        for call, asked, read in ((with_embedding, train, True), (without, plain, False))
    )
    print(
        f"\nA decision: embedding, scores, choice {reads[0]:.0f} us at the median, p99 {reads[1]:.0f} us; features alone {bare[0]:.1f} and {bare[1]:.1f} us."
    )
    return {
        "decision_p99_ms": round(reads[1] / 1_000, 3),
        "decision_p99_us_without_embedding": round(bare[1], 1),
        "decision_p50_us": [round(reads[0], 1), round(bare[0], 1)],
    }


def _trained(asked: Asked, reads: bool) -> Mixed:
    by = columns(asked.requests)
    chosen = choose(
        asked.examples(by),
        asked.take(np.arange(len(asked))).groups if reads else np.arange(len(asked)),
        MODELS,
        candidates(reads),
    )
    return Mixed(("small", "large"), by, chosen.heads, chosen.mix)


def _decide(scores: tuple[float, ...]) -> None:
    options = (msgspec.structs.replace(OPTIONS[0], score=scores[0]), OPTIONS[1])
    decide(options, choose="learned", stage=Stage.FULL, share=1.0, draw=0.5)


def _times(call: Callable[[int, Mixed], None], by: Mixed, count: int) -> tuple[float, float]:
    """Median and p99, in us."""
    taken = []
    for place in range(200):
        call(place, by)
    gc.collect()
    for place in range(count):
        began = time.perf_counter_ns()
        call(place, by)
        taken.append(time.perf_counter_ns() - began)
    return float(np.percentile(taken, 50)) / 1_000, float(np.percentile(taken, 99)) / 1_000
