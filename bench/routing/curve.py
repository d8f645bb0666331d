"""From "who needs GPT-4 most" to the share of the models' gap that is recovered at each share of calls, and to money.

List prices at which the rows were made: GPT-4 Turbo (gpt-4-1106-preview) 10 and 30 $ per million tokens of input and output (2023-11-06), Mixtral
8x7B 0.27 and 0.27 $ (cheapest host, 2024-04-01); price_history.csv of the data folder. An answer is taken to be as long from either: a letter."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.routing.outer import Outer, judged
from bench.routing.sets import Asked

LARGE_USD, SMALL_USD = (10.0, 30.0), (0.27, 0.27)
OUTPUT_TOKENS = 5
NOISE = 1.645
"""Accuracy is equal within noise if it is not lower at 95 %, one-sided, over the questions where it differs."""


class Curve(NamedTuple):
    apgr: float
    cpt50: float
    cpt80: float
    whole: float
    """Least share of calls from which on the large model's accuracy is reached."""


class Equal(NamedTuple):
    pct: float
    told: str


def curve(need: NDArray[np.floating], asked: Asked) -> Curve:
    """`need`: those with more go to the large model first."""
    order = np.argsort(-need, kind="stable")
    gain = (asked.large.astype(int) - asked.small)[order]
    recovered = np.concatenate(([0.0], np.cumsum(gain))) / gain.sum()
    share = np.linspace(0, 1, len(recovered))
    first = [float(share[np.argmax(recovered >= level)]) for level in (0.5, 0.8, 1.0)]
    return Curve(float(np.trapezoid(recovered, share)), *first)


def saved_at_equal(asked: Asked, found: Outer) -> Equal:
    """In each outer fold the share of calls is chosen on the questions outside it: the least from which on accuracy is the large model's. Then what that
    costs inside, and what it loses there."""
    need, to_large = judged(found), np.zeros(len(asked), bool)
    for fold in found.folds:
        known = asked.take(fold.train)
        foreseen = fold.foreseen[:, 1] - fold.foreseen[:, 0]
        least = np.sort(foreseen)[::-1][max(0, round(curve(foreseen, known).whole * len(known)) - 1)]
        to_large[fold.test] = need[fold.test] >= least
    tokens = np.array([one.features.input_tokens for one in asked.requests])
    large, small = (tokens * usd[0] + OUTPUT_TOKENS * usd[1] for usd in (LARGE_USD, SMALL_USD))
    paid = float(np.where(to_large, large, small).sum() / large.sum())
    lost = (asked.large.astype(float) - asked.small)[~to_large].sum() / len(asked)
    apart = np.sqrt((asked.large != asked.small)[~to_large].sum()) / len(asked)
    pct = round(100 * (1 - paid), 2)
    equal = "equal within noise" if lost <= NOISE * apart else "NOT equal"
    return Equal(
        pct if lost <= NOISE * apart else 0.0,
        f"{pct:.1f} %, {100 * to_large.mean():.1f} % of the calls to GPT-4, accuracy {-100 * lost:+.2f} points ± {100 * NOISE * apart:.2f} ({equal}).",
    )
