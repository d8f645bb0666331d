"""Do experts divide the work by language? Mutual information, with what chance alone would show.

Comes in: how often each text shows each state (an expert; an expert and a token; …), and which of two languages the text is in.
Goes out: bits, corrected for the bias of finite counts, with an interval. Does not know: routers, files.

Tokens of one text are not independent, so languages are permuted over whole texts: a permutation keeps each text's counts together,
and shows what I would be if the text's language did not matter.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jevons.engine.experts.load import entropy_bits

PERMUTATIONS = 1000
SEED = 5
CHUNK = 50
"""Permutations computed at once: the tables of one chunk have CHUNK × states numbers."""


@dataclass(frozen=True, slots=True)
class Information:
    """Of states and language. `bits` is I less its mean over permutations; it can be a little below 0."""

    bits: float
    low: float
    high: float
    """95 % of permutations leave `bits` in this interval: it holds 0 if language may as well not matter."""
    chance_bits: float
    """Mean of I over permutations: what finite counts show where there is nothing."""
    language_bits: float
    """H(language), the most that there can be."""

    @property
    def share(self) -> float:
        """Of H(language)."""
        return self.bits / self.language_bits if self.language_bits else 0.0


def information(counts: NDArray[np.integer], second: NDArray[np.bool_], *, permutations: int = PERMUTATIONS) -> Information:
    """I(state; language): `counts` [texts, states]; `second` [texts]: is the text in the second language?

    Raises ValueError unless both languages have texts.
    """
    if second.all() or not second.any():
        raise ValueError("texts of two languages are needed")
    table = np.asarray(counts[:, counts.any(axis=0)], np.float32)
    random = np.random.default_rng(SEED)
    rows = [second, *(random.permutation(second) for _ in range(permutations))]
    found = np.concatenate([_told(table, np.array(rows[at : at + CHUNK])) for at in range(0, len(rows), CHUNK)])
    tokens = table.sum(axis=1, dtype=np.float64)
    return _against_chance(found, float(tokens[second].sum() / tokens.sum()))


def information_given(
    counts: NDArray[np.integer],
    group: NDArray[np.integer],
    text: NDArray[np.integer],
    second: NDArray[np.bool_],
    *,
    permutations: int = PERMUTATIONS,
) -> Information:
    """I(state; language | group): what the expert tells of the language to one who knows the token.

    `counts` [cells, states], one cell for each text and each group that occurs in it; `group`, `text`, `second` [cells], texts from 0. Here
    languages are permuted among the cells of one group, so that what the group itself tells stays as it is, and by one order of all texts:
    in every group the first texts of that order get the second language. So a text keeps its language through the groups as far as
    their sizes allow, and what its tokens share is not taken for what many texts say.
    """
    order = np.lexsort((~second, group))
    table, group, text, labels = np.asarray(counts, np.float64)[order], group[order], text[order], second[order]
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    both = np.add.reduceat(table, starts)
    random, texts = np.random.default_rng(SEED), int(text.max()) + 1
    found = []
    for _ in range(permutations + 1):
        ones = np.add.reduceat(table * labels[:, None], starts)
        found.append(_left(ones.sum(axis=1), both.sum(axis=1)) - _left(ones, both))
        labels[np.lexsort((random.permutation(texts)[text], group))] = second[order]
    share = float((table.sum(axis=1) * second[order]).sum() / table.sum())
    return _against_chance(np.array(found), share)


def _against_chance(found: NDArray[np.float64], share: float) -> Information:
    """`found` [1 + permutations]: the true labels first. `share` of the second language."""
    true, chance = float(found[0]), found[1:]
    low, high = np.quantile(chance, (0.025, 0.975))
    mean = float(chance.mean())
    return Information(true - mean, true - float(high), true - float(low), mean, float(_two(np.array(share))))


def mutual_bits(one: NDArray[np.integer], other: NDArray[np.integer], *, shuffles: int = 10) -> float:
    """I(one; other) of two labels [n] in bits, less its mean over shuffles of `one`: finite counts show some where there is nothing."""
    random = np.random.default_rng(SEED)
    chance = [_mutual(random.permutation(one), other) for _ in range(shuffles)]
    return _mutual(one, other) - float(np.mean(chance))


def _mutual(one: NDArray[np.integer], other: NDArray[np.integer]) -> float:
    joint = np.asarray(one, np.int64) * (int(other.max()) + 1) + other
    return float(_labels_bits(one) + _labels_bits(other) - _labels_bits(joint))


def _labels_bits(labels: NDArray[np.integer]) -> float:
    counts = np.unique(labels, return_counts=True)[1]
    return float(entropy_bits(counts / counts.sum()))


def _told(table: NDArray[np.float32], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[labellings]: I(state; language) = H(language) - H(language | state) of counted shares."""
    both = table.sum(axis=0, dtype=np.float64)
    ones = (labels.astype(np.float32) @ table).astype(np.float64)
    told: NDArray[np.float64] = _two(ones.sum(axis=1) / both.sum()) - (_two(ones / both) * (both / both.sum())).sum(axis=1)
    return told


def _left(ones: NDArray[np.float64], both: NDArray[np.float64]) -> float:
    """H(language | cell) over all cells, of which `ones` are in the second language."""
    share = np.divide(ones, both, out=np.zeros_like(ones), where=both > 0)
    return float((_two(share) * both).sum() / both.sum())


def _two(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy of a coin in bits."""
    return entropy_bits(np.stack([p, 1 - p], axis=-1))
