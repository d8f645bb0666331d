"""How fast this processor multiplies matrices in each type that weights are stored in, with the code that makes the tokens: ggml's own
kernels, on weights packed as the engine packs them.

Comes in: a loaded library, a type, sizes, threads. Goes out: `Rate`s: operations and bytes of weights a second, median of several
rounds. Does not know: models, attention, what a token costs.

A round computes many products with different weights in one graph, as a model does; they come from memory where they are together
larger than the last cache, and from the cache where they are not.
"""

import time
from collections.abc import Sequence
from statistics import quantiles
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jevons.engine.gguf import BLOCKS
from jevons.engine.levers.energy import joules_since, read_counters
from jevons.engine.native.graph import NODES_MAX, Graphs, type_number
from jevons.engine.native.library import Library, open_library
from jevons.engine.native.package import NativeError

DEFAULT_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q4_K", "q6_K")
MEMORY_BYTES = 256 << 20
"""Weights of one graph: far beyond any last cache that one processor's cores share, within what a small machine has left."""
MATRICES_MAX = NODES_MAX - 8
LEAST_ROUNDS, MOST_ROUNDS = 3, 1000


class Rate(NamedTuple):
    """Products of weights [rows, columns] of one type with `tokens` vectors at a time."""

    type: str
    """Of the weights: f32, bf16, q4_1, …; the vectors are f32, and made integers by the kernel where it computes in integers."""
    tokens: int
    """1 is a step of one conversation (matrix times vector), many is prefill."""
    threads: int
    rows: int
    columns: int
    weights_bytes: int
    """Of all weights of a round, as they are stored."""
    packed: str
    """ggml's name of how they lie: "CPU" as in the file, "CPU_REPACK" or "AMX" rearranged when loaded."""
    gflops: float
    """10^9 operations a second, a multiplication and an addition being two; median of the rounds."""
    gflops_low: float
    gflops_high: float
    """First and third quartile of the rounds."""
    weights_gb_s: float
    """10^9 bytes of stored weights used a second; the median."""
    rounds: int
    variant: str
    """The CPU back end: the one that ggml ranks first on this processor."""


def measure(
    types: Sequence[str],
    tokens: Sequence[int],
    threads: Sequence[int],
    *,
    rows: int = 2048,
    columns: int = 2048,
    weights_bytes: int = MEMORY_BYTES,
    seconds: float = 0.3,
) -> list[Rate]:
    """A rate for each type, number of tokens and number of threads, in this order; about `seconds` each. Many tokens are multiplied
    with fewer weights than `weights_bytes`, as then it is computing that takes the time. For `apart`. Raises NativeError.
    """
    library, found = open_library(), []
    for kind in types:
        for width in tokens:
            with Products(library, kind, rows, columns, width, max(1, weights_bytes // width)) as products:
                found += [products.rate(count, seconds) for count in threads]
    return found


def watts(kind: str, tokens: int, threads: int, seconds: float = 2.0) -> float | None:
    """What the processor's packages draw while they multiply; None where nobody may read their counters. For `apart`."""
    with Products(open_library(), kind, 2048, 2048, tokens, 1) as products:
        products.rate(threads, seconds / 10)
        before, begun = read_counters(), time.perf_counter()
        products.rate(threads, seconds)
        spent = joules_since(before)
        return None if spent is None else spent / (time.perf_counter() - begun)


class Products(Graphs):
    """A graph of products of one type and one number of tokens: as many matrices as make up `weights_bytes`, at least one."""

    def __init__(self, library: Library, kind: str, rows: int, columns: int, tokens: int, weights_bytes: int) -> None:
        _, block, size = BLOCKS[type_number(kind)]
        if columns % block:
            raise NativeError(f"{kind} needs columns that are a multiple of {block}, not {columns}")
        super().__init__(library, 1)
        self._variant = library.variant
        one = rows * columns // block * size
        self.count = min(max(1, weights_bytes // one), MATRICES_MAX)
        self.bytes = self.count * one
        self.operations = 2 * rows * columns * tokens * self.count
        """Of one round."""
        matrices = self.weights(kind, columns, rows, self.count)
        self._graph_of_all = self.products(matrices, columns, tokens)
        self._said = (kind, tokens, rows, columns, self.held(matrices[0]))

    def round(self) -> None:
        self.compute(self._graph_of_all)

    def first(self) -> NDArray[np.float32]:
        """What the first product came to, float32[tokens, rows]."""
        return self.output(self._graph_of_all)

    def rate(self, threads: int, seconds: float) -> Rate:
        """Rounds for about `seconds`, after one that warms up."""
        self.set_threads(threads)
        self.round()
        spent: list[float] = []
        while len(spent) < LEAST_ROUNDS or (sum(spent) < seconds and len(spent) < MOST_ROUNDS):
            begun = time.perf_counter()
            self.round()
            spent.append(time.perf_counter() - begun)
        fast, middle, slow = quantiles(spent, n=4, method="inclusive")
        kind, tokens, rows, columns, held = self._said
        giga = self.operations / 1e9
        return Rate(
            *(kind, tokens, threads, rows, columns, self.bytes, held),
            *(giga / middle, giga / slow, giga / fast, self.bytes / 1e9 / middle, len(spent), self._variant),
        )
