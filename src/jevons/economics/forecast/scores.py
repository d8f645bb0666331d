"""How good forecasts were: the weighted interval score, and how often an interval held the truth.

Comes in: quantiles that were forecast, and what came true. Goes out: scores in the units of the series (less is better), shares. Does not
know how a forecast was made. Bracher, Ray, Gneiting, Reich 2021, "Evaluating epidemic forecasts in an interval format", PLOS
Computational Biology 17(2), e1008618.
"""

from collections.abc import Iterable, Sequence


def pinball(probability: float, quantile: float, truth: float) -> float:
    """What a quantile is charged: its distance from the truth, times its probability where the truth lies above, the rest of one below."""
    return probability * (truth - quantile) if truth >= quantile else (1 - probability) * (quantile - truth)


def interval_score(level: float, low: float, high: float, truth: float) -> float:
    """Width of the central interval of `level` percent, and 2 / alpha times the distance where the truth lies outside (Bracher, equation 1)."""
    alpha = 1 - level / 100
    return high - low + 2 / alpha * max(low - truth, truth - high, 0)


def wis(probabilities: Sequence[float], quantiles: Sequence[float], truth: float) -> float:
    """The weighted interval score of one forecast of one point: of the median and K central intervals (Bracher, equation 2).

    (|truth − median| / 2 + Σ alpha / 2 × interval score) / (K + 1/2). An interval's part of it is the pinball losses of its two ends, so
    that the whole is twice the mean pinball loss of all quantiles. ValueError unless the probabilities lie around 0.5 in pairs.
    """
    paired = zip(probabilities, reversed(probabilities), strict=True)
    if 0.5 not in probabilities or any(abs(low + high - 1) > 1e-9 for low, high in paired):
        raise ValueError(
            f"a weighted interval score takes a median and central intervals, not the quantiles {tuple(probabilities)}"
        )
    return 2 * sum(pinball(*pair, truth) for pair in zip(probabilities, quantiles, strict=True)) / len(probabilities)


def coverage(intervals: Iterable[tuple[float, float]], truths: Iterable[float]) -> float:
    """The share of truths within their intervals, ends included; ValueError where there are none."""
    held = [low <= truth <= high for (low, high), truth in zip(intervals, truths, strict=True)]
    if not held:
        raise ValueError("coverage of no forecast at all")
    return sum(held) / len(held)
