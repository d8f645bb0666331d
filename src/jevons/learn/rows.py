"""Requests as numbers, and what was judged of them. Values only.

A request is a dense row, and the hashed words of its question where they were read: a sparse row. Does not know: how either is found (`matrix`,
`text`), what is made of them.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]


class Grams(NamedTuple):
    """n sparse rows, one after the other."""

    starts: Whole
    """i64[n + 1]: where each begins; the last: where all end."""
    places: Whole
    """i64[all]: columns, each once in a row; here hashes of words."""
    values: Floats

    def take(self, which: Whole) -> "Grams":
        lengths = np.diff(self.starts)[which]
        starts = np.concatenate(([0], np.cumsum(lengths)))
        kept = np.repeat(self.starts[which] - starts[:-1], lengths) + np.arange(starts[-1])
        return Grams(starts, self.places[kept], self.values[kept])

    @property
    def owners(self) -> Whole:
        """i64[all]: the row of each value."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


class Rows(NamedTuple):
    """n requests."""

    dense: Floats
    """f32[n, d]"""
    grams: Grams | None = None

    def take(self, which: Whole) -> "Rows":
        return Rows(self.dense[which], None if self.grams is None else self.grams.take(which))


class Examples(NamedTuple):
    """Judged requests: n of them, t things judged."""

    rows: Rows
    good: Floats
    """f32[n, t]: 1 good enough, 0 not, NaN nobody judged. The models' columns first; what else was judged may help to tell them."""
    weights: Floats
    """f32[n]: for how many requests each stands."""

    @property
    def size(self) -> int:
        return len(self.weights)

    def take(self, which: Whole) -> "Examples":
        return Examples(self.rows.take(which), self.good[which], self.weights[which])


def unit(rows: Floats) -> Floats:
    """Each of length 1, or zero."""
    length = np.sqrt((rows * rows).sum(1, keepdims=True))
    out: Floats = (rows / np.where(length > 0, length, 1)).astype(np.float32)
    return out
