"""A new model from a few hundred probes: Mixtral joins a predictor that knows GPT-4 alone, beside one trained on the probes only, and on all labels.

Whether each model was right, one label a question; half of MMLU's questions are asked, the other half is judged on."""

from collections.abc import Callable

import numpy as np

from bench.routing.sets import Asked
from jevons.learn.joining import join
from jevons.learn.matrix import Columns, columns
from jevons.learn.mixed import Mixed
from jevons.learn.rows import Examples, Floats
from jevons.learn.select import candidates, choose, log_loss

PROBES = (100, 300, 1_000)
DRAWS = 5


def joins(mmlu: Asked, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    order = np.random.default_rng(0).permutation(len(mmlu))
    third = len(mmlu) // 3
    known, probed, test = (mmlu.take(part) for part in (order[:third], order[third : 2 * third], order[2 * third :]))
    by = columns(known.requests)
    say("  joining: the predictor that knows GPT-4")
    large = choose(_right(known, known.large, by), known.groups, 1, candidates(reads=True))
    predictor = Mixed(("gpt-4",), by, large.heads, large.mix)
    rows, fresh = by.rows(probed.requests), by.rows(test.requests)
    truth, ones = test.small[:, None].astype(np.float32), np.ones(len(test), np.float32)
    print(f"\nA new model joins: was Mixtral right? Log-loss on {len(test):,} other questions.")
    print("  probes   share alone   probes alone   joined")
    found = {}
    for count in PROBES:
        losses = []
        for draw in range(DRAWS):
            which = np.random.default_rng(draw).permutation(len(probed))[:count]
            few = probed.take(which)
            share = np.full_like(truth, (few.small.sum() + 0.5) / (count + 1))
            own = columns(few.requests)
            alone = choose(_right(few, few.small, own), few.groups, 1, candidates(reads=True))
            joined = join(predictor, "mixtral", rows.take(which), few.small.astype(np.float32), np.ones(count, np.float32))
            chances = (share, alone.probabilities(own.rows(test.requests)), joined.batch(fresh)[:, 1:])
            losses.append([log_loss(one, truth, ones) for one in chances])
        mean = np.mean(losses, axis=0)
        print(f"  {count:>6}   {mean[0]:11.4f}   {mean[1]:12.4f}   {mean[2]:6.4f}")
        found[str(count)] = dict(zip(("share", "alone", "joined"), np.round(mean, 4).tolist(), strict=True))
    say("  joining: all probes")
    every = choose(_right(probed, probed.small, by), probed.groups, 1, candidates(reads=True))
    whole = log_loss(every.probabilities(fresh), truth, ones)
    print(f"  {len(probed):>6}   {'':11}   {whole:12.4f}   (all of them, trained anew)")
    found["all"] = {"alone": round(whole, 4)}
    return found


def _right(asked: Asked, right: np.ndarray[tuple[int], np.dtype[np.bool_]], by: Columns) -> Examples:
    good: Floats = right[:, None].astype(np.float32)
    return Examples(by.rows(asked.requests), good, np.ones(len(asked), np.float32))
