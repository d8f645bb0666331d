"""The estimator on counts whose answer is known."""

import numpy as np
import pytest

from jevons.engine.experts.language import information, information_given, mutual_bits

SECOND = np.arange(40) >= 20


def test_independent_states_tell_nothing() -> None:
    """Texts differ much from each other, but not by language: tokens of a text are not independent."""
    random = np.random.default_rng(1)
    held = 0
    for _ in range(40):
        counts = np.array([random.multinomial(100, random.dirichlet(np.full(8, 0.3))) for _ in SECOND])
        found = information(counts, SECOND, permutations=200)
        held += found.low <= 0 <= found.high
        assert found.chance_bits > 0.01  # what a plug-in estimate would have shown
    assert held >= 34  # of 40 intervals of 95 %: fewer have a chance of 1 in 1,000


def test_an_expert_for_each_language_tells_one_bit() -> None:
    counts = np.zeros((40, 8), int)
    counts[~SECOND, 3], counts[SECOND, 5] = 100, 100
    found = information(counts, SECOND, permutations=200)
    assert found.bits + found.chance_bits == pytest.approx(1)
    assert found.language_bits == pytest.approx(1) and found.low > 0.8 and found.share > 0.9


def test_half_of_a_bit() -> None:
    """Expert 0 serves both languages half of the time, the other half has an expert each: I = 1/2."""
    counts = np.zeros((400, 3), int)
    second = np.arange(400) >= 200
    counts[:, 0], counts[~second, 1], counts[second, 2] = 50, 50, 50
    assert information(counts, second, permutations=200).bits == pytest.approx(0.5, abs=0.01)


def test_what_the_token_tells_is_not_told_again() -> None:
    """The expert is a function of the token, and tokens differ by language: I(expert; language) > 0, but nothing is left given the token."""
    token = np.repeat(np.arange(6), 40)  # one cell for each token and text
    second = np.tile(SECOND, 6)
    cells = np.zeros((240, 2), int)
    often = np.where((token < 3) == second, 5, 50)
    cells[np.arange(240), token % 2] = often
    assert (
        information(
            np.stack([cells[np.arange(240) % 40 == text].sum(axis=0) for text in range(40)]), SECOND, permutations=200
        ).bits
        > 0.001
    )
    text = np.tile(np.arange(40), 6)
    given = information_given(cells, token, text, second, permutations=200)
    assert given.low <= 0 <= given.high and given.bits == pytest.approx(0, abs=1e-9)
    cells = np.stack([np.where(second, often, 0), np.where(second, 0, often)], axis=1)  # now the language chooses the expert
    assert information_given(cells, token, text, second, permutations=200).low > 0.4  # of the 0.44 bits that 5 of 55 leave open


def test_texts_that_lean_are_no_language_that_leans() -> None:
    """Each text prefers an expert for all of its tokens, whatever its language; half of the tokens are rare in one language."""
    random = np.random.default_rng(3)
    text, token = np.divmod(np.arange(20 * 30), 30)
    second = text >= 10
    held = 0
    for _ in range(40):
        here = random.random(600) < np.where((token < 15) | (second == (token % 2 == 0)), 1.0, 0.2)
        tilt = random.beta(2, 2, 20)[text[here]]
        often = random.binomial(20, tilt)
        counts = np.stack([often, 20 - often], axis=1)
        held += information_given(counts, token[here], text[here], second[here], permutations=150).low <= 0
    assert held >= 37  # of 40 limits of 97.5 %: fewer have a chance of 1 in 50; permuted cell by cell, 34 hold


def test_shuffled_labels_tell_nothing() -> None:
    random = np.random.default_rng(2)
    labels = random.integers(0, 8, 20_000)
    assert mutual_bits(labels, random.integers(0, 500, 20_000)) == pytest.approx(0, abs=0.01)
    assert mutual_bits(labels, labels) == pytest.approx(3, abs=0.01)


def test_one_language_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="two languages"):
        information(np.ones((4, 2), int), np.zeros(4, bool))
