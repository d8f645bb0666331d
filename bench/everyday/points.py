"""What a cascade costs and how good it is, at thresholds that were chosen on other rows; beside each model alone and a coin between them.

Comes in: answered rows: what each model's answer cost and how good it was, how sure the small one was. Goes out: points. The decisions are those of the
gateway: `policy.cascade`, `policy.promise`. Does not know: tasks, models.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from jevons.policy.cascade import Calibration, accepts
from jevons.policy.promise import Judged, certify

RESAMPLES = 1_000


class Answered(NamedTuple):
    """One row, asked of both."""

    small_nusd: int
    large_nusd: int
    small_quality: float
    large_quality: float
    small_good: bool
    large_good: bool
    score: float | None
    small_s: float = 0.0

    @property
    def harm(self) -> bool:
        """The large one's answer is good and the small one's is not."""
        return self.large_good and not self.small_good


class Point(NamedTuple):
    """One way to answer all rows."""

    name: str
    threshold: float | None
    accepted: float
    """Share of rows that the small model answers."""
    nusd: float
    """A request."""
    quality: float
    """Mean."""
    good: float
    """Share of rows whose answer one would take as it is."""
    harm: float
    """Of those that the small model answered: share in which the large one would have been good and it is not."""
    mixture: float
    """Mean quality of a coin that sends as many rows to the small model alone as cost the same; never above the better of the two."""
    low: float
    high: float
    """quality - mixture: 95 % interval, rows resampled."""
    paid: bool
    """By the calibration rows it costs less than the large model alone."""


def alone(rows: Sequence[Answered]) -> tuple[Point, Point]:
    """Always small, always large."""
    small = [row.small_nusd for row in rows], [row.small_quality for row in rows], [row.small_good for row in rows]
    large = [row.large_nusd for row in rows], [row.large_quality for row in rows], [row.large_good for row in rows]
    harm = fmean(row.harm for row in rows)
    points = []
    for name, accepted, (nusd, quality, good), harmed in (("small", 1.0, small, harm), ("large", 0.0, large, 0.0)):
        mean = fmean(quality)
        points.append(Point(name, None, accepted, fmean(nusd), mean, fmean(good), harmed, mean, 0.0, 0.0, True))
    return points[0], points[1]


def shares(rows: Sequence[Answered], accepted: Sequence[float]) -> list[float]:
    """Thresholds from which on so many of these rows would be accepted."""
    scores = sorted([row.score if row.score is not None else -1.0 for row in rows], reverse=True)
    return [scores[min(len(scores) - 1, round(share * len(scores)))] for share in accepted]


def promised(rows: Sequence[Answered], alpha: float, delta: float) -> float | None:
    """The threshold that holds the promise; None = nothing can be promised."""
    judged = [Judged(row.score, row.harm) for row in rows if row.score is not None]
    found = certify(judged, alpha, delta) if judged else None
    return found.threshold if found is not None else None


def point(name: str, threshold: float | None, calibration: Sequence[Answered], rows: Sequence[Answered], seed: int = 0) -> Point:
    """The cascade with this threshold on `rows`; whether it pays was told by `calibration`."""
    took = np.array([accepts(row.score, threshold) for row in rows])
    table = np.array([(row.small_nusd, row.large_nusd, row.small_quality, row.large_quality) for row in rows], dtype=float)
    quality, mixture, nusd = _compared(took, table)
    draw = np.random.default_rng(seed)
    gains = []
    for _ in range(RESAMPLES):
        pick = draw.integers(len(rows), size=len(rows))
        one, other, _ = _compared(took[pick], table[pick])
        gains.append(one - other)
    low, high = np.percentile(gains, [2.5, 97.5])
    shown = [row for row, small in zip(rows, took, strict=True) if small]
    good = fmean(row.small_good if small else row.large_good for row, small in zip(rows, took, strict=True))
    share = fmean(accepts(row.score, threshold) for row in calibration)
    paid = share * fmean(row.large_nusd for row in calibration) > fmean(row.small_nusd for row in calibration)
    harm = fmean(row.harm for row in shown) if shown else 0.0
    return Point(name, threshold, float(took.mean()), nusd, quality, good, harm, mixture, float(low), float(high), paid)


def _compared(took: np.ndarray, table: np.ndarray) -> tuple[float, float, float]:
    """(quality, quality of a coin of the same cost, cost)"""
    small_nusd, large_nusd, small_quality, large_quality = table.mean(axis=0)
    cost = float(small_nusd + np.where(took, 0.0, table[:, 1]).mean())
    quality = float(np.where(took, table[:, 2], table[:, 3]).mean())
    share = (large_nusd - cost) / (large_nusd - small_nusd)
    share = min(1.0, max(0.0, share))
    return quality, float(share * small_quality + (1 - share) * large_quality), cost


def ranking(rows: Sequence[Answered]) -> float | None:
    """Probability that a good answer has the higher confidence of a good and a bad one (AUROC)."""
    good = [row.score for row in rows if row.small_good and row.score is not None]
    bad = [row.score for row in rows if not row.small_good and row.score is not None]
    if not good or not bad:
        return None
    return fmean((one > other) + (one == other) / 2 for one in good for other in bad)


def calibration_error(calibration: Sequence[Answered], rows: Sequence[Answered], bins: int = 5) -> float:
    """Mean distance of what is believed to what is, over bins of equal size (ECE), of confidences calibrated on other rows."""
    learnt = Calibration.learnt([(row.score, row.small_good) for row in calibration if row.score is not None])
    believed = sorted((learnt.probability(row.score) or 0.0, row.small_good) for row in rows if row.score is not None)
    parts = [part for part in np.array_split(np.array(believed, dtype=float), bins) if len(part)]
    return float(sum(abs(part[:, 0].mean() - part[:, 1].mean()) * len(part) for part in parts) / max(1, len(believed)))
