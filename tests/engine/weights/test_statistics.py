"""Limits on planted losses: they cover what they say, and never claim what a sample cannot show."""

import math

import numpy as np
import pytest

from jevons.engine.weights.statistics import mean_per_token, paired_loss, paired_loss_limit, upper_limit

SAMPLES = 120


def test_the_upper_limit_covers_a_skewed_loss() -> None:
    """Losses per token are lognormal between texts, as those of quantised models are; the true mean is 0.05."""
    chance = np.random.default_rng(7)
    sigma, texts = 0.6, 30
    covered = 0
    for _ in range(SAMPLES):
        tokens = chance.integers(60, 240, texts)
        losses = 0.05 * np.exp(sigma * chance.standard_normal(texts) - sigma**2 / 2)
        covered += upper_limit(list(losses * tokens), list(tokens)) >= 0.05
    assert 0.88 < covered / SAMPLES <= 0.99


def test_the_limit_lies_above_the_mean_and_nears_it_with_more_texts() -> None:
    chance = np.random.default_rng(3)
    few, many = ([float(x) for x in chance.exponential(5, n)] for n in (15, 600))
    limits = [upper_limit(sums, [100] * len(sums)) / mean_per_token(sums, [100] * len(sums)) for sums in (few, many)]
    assert limits[0] > limits[1] > 1


def test_twenty_texts_at_least() -> None:
    assert upper_limit([1.0] * 19, [100] * 19) == math.inf
    assert upper_limit([1.0] * 20, [100] * 20) == pytest.approx(0.01)


def test_one_bad_text_among_good_ones_is_not_averaged_away() -> None:
    sums = [0.1] * 29 + [40.0]
    mean = mean_per_token(sums, [100] * 30)
    assert upper_limit(sums, [100] * 30) > 2 * mean


def test_the_paired_limit_covers() -> None:
    chance = np.random.default_rng(11)
    covered = 0
    for _ in range(SAMPLES * 5):
        reference = chance.random(100) < 0.7
        flipped = chance.random(100)
        candidate = np.where(reference, flipped > 0.08, flipped < 0.06)  # true loss: 0.7 × 0.08 - 0.3 × 0.06
        covered += paired_loss_limit(list(reference), list(candidate)) >= 0.7 * 0.08 - 0.3 * 0.06
    assert 0.92 < covered / (SAMPLES * 5) < 0.99


def test_no_answer_changed_is_not_no_loss() -> None:
    same = [True] * 70 + [False] * 30
    assert paired_loss(same, same) == 0
    assert paired_loss_limit(same, same) == pytest.approx(0.0263, abs=1e-3)  # z²/(n + z²)
    assert paired_loss_limit([], []) == 1
