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
    """Milliseconds and microseconds on the clock; and of the processor alone, which other work on the machine does not reach."""
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
    print("\nA decision (us)                  median     p99   p99 of the processor alone")
    for name, one in (("embedding, scores, choice", reads), ("features alone", bare)):
        print(f"  {name:<28} {one[0]:9.1f} {one[1]:7.1f}   {one[2]:26.1f}")
    return {
        "decision_p99_ms": round(reads[1] / 1_000, 3),
        "decision_p99_us_without_embedding": round(bare[1], 1),
        "decision_p50_us": [round(reads[0], 1), round(bare[0], 1)],
        "decision_p99_cpu_us": [round(reads[2], 1), round(bare[2], 1)],
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


def _times(call: Callable[[int, Mixed], None], by: Mixed, count: int) -> tuple[float, float, float]:
    """Median and p99 on the clock, p99 of the processor, in us."""
    clock, processor = [], []
    for place in range(200):
        call(place, by)
    gc.collect()
    for place in range(count):
        began, worked = time.perf_counter_ns(), time.thread_time_ns()
        call(place, by)
        processor.append(time.thread_time_ns() - worked)
        clock.append(time.perf_counter_ns() - began)
    return (
        float(np.percentile(clock, 50)) / 1_000,
        float(np.percentile(clock, 99)) / 1_000,
        float(np.percentile(processor, 99)) / 1_000,
    )
