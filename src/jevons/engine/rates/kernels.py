"""How long the engine's operations take here: products by weight type and rows, attention, and the small operations between them.

Comes in: a loaded library, threads, types of weights. Goes out: `Kernels`, seconds for one unit of each. Does not know: models, prices.
A round computes every graph once, so that what else the machine does meets all of them alike; of the rounds the median counts.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from jevons.engine.gguf import BLOCKS
from jevons.engine.native.graph import Graphs
from jevons.engine.native.library import Library
from jevons.engine.native.rates import type_number

ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128)
"""Vectors that a matrix is multiplied with at once: every batch of a few slots, then prompts. Kernels take them in fours or eights, so the
law between 1 and 8 has steps."""
EXPERT_ROWS = (1, 2, 4, 8, 32)
WIDTH, HEIGHT = 1024, 2816
"""Of the matrices: a row of a multiple of 256 weights suits every type. Smaller and larger ones take the same time a weight, within a tenth."""
WEIGHTS_BYTES = 64 << 20
"""Of the matrices together, in the graph of one row: no last-level cache of one processor's share holds them."""
PRODUCTS_ROWS = 96
"""Rows of all products of a graph together, at least of two: many rows compute, and few matrices will do."""
EXPERTS = 4
EXPERT_HEIGHT = 512
HEAD_WIDTHS = (64, 128)
HEADS, KV_HEADS, KEPT = 9, 3, 2048
TILE = 64
"""From so many queries of one sequence on, ggml computes attention in tiles of so many (GGML_FA_TILE_Q)."""
LAYERS = {1: 16, TILE: 2}
SMALL = ("norm", "add", "gate", "rope")
SMALL_WIDTH, SMALL_ROWS, SMALL_COUNT = 1024, 64, 100


class Kernels(msgspec.Struct, frozen=True):
    """Seconds, medians over the rounds."""

    threads: int
    variant: str
    """The CPU back end."""
    kv_type: str
    rounds: int
    products: dict[str, list[tuple[int, float]]]
    """Type -> (rows, seconds for each weight of the matrix, all rows together)."""
    expert_products: dict[str, list[tuple[int, float]]]
    """The same for each expert of a mixture that meets so many rows."""
    attention: dict[int, tuple[float, float]]
    """Width of a head -> seconds for one query head to look at one kept token: alone, and in tiles."""
    small: dict[str, tuple[float, float]]
    """Operation -> seconds for one call, and for each element."""


def measure(
    library: Library,
    types: Sequence[str],
    threads: int,
    *,
    expert_types: Sequence[str] = (),
    kv_type: str = "f16",
    rounds: int = 5,
    say: Callable[[str], None] = lambda _: None,
) -> Kernels:
    """All in one: about a second a round. Raises NativeError."""
    with Bench(library, types, threads, expert_types=expert_types, kv_type=kv_type) as bench:
        for number in range(rounds):
            say(f"operations, round {number + 1} of {rounds}")
            bench.round()
        return bench.figures()


class Bench(Graphs):
    """The graphs of everything that is measured, open together."""

    def __init__(
        self, library: Library, types: Sequence[str], threads: int, *, expert_types: Sequence[str] = (), kv_type: str = "f16"
    ) -> None:
        super().__init__(library, threads)
        self._threads, self._variant, self._kv_type = threads, library.variant, kv_type
        self._taken: dict[tuple[str, str | int, int], list[float]] = {}
        self._graphs: dict[tuple[str, str | int, int], tuple[int, float]] = {}
        for kind in types:
            self._add_products(kind)
        for kind in expert_types:
            self._add_experts(kind)
        for head in HEAD_WIDTHS:
            for queries, layers in LAYERS.items():
                graph = self.attention(layers, head, HEADS, KV_HEADS, queries, KEPT, kv_type)
                self._graphs["attention", head, queries] = graph, layers * HEADS * queries * KEPT
        for operation in SMALL:
            for rows in (1, SMALL_ROWS):
                graph = self.small(operation, SMALL_COUNT, SMALL_WIDTH, rows)
                self._graphs["small", operation, rows] = graph, SMALL_COUNT
        self.round()  # what is touched for the first time is not counted
        self._taken.clear()

    def _add_products(self, kind: str) -> None:
        matrices = self.weights(kind, WIDTH, HEIGHT, max(2, WEIGHTS_BYTES // stored_bytes(kind, WIDTH * HEIGHT)))
        for rows in ROWS:
            some = matrices[: max(2, PRODUCTS_ROWS // rows)]
            self._graphs["product", kind, rows] = self.products(some, WIDTH, rows), len(some) * WIDTH * HEIGHT

    def _add_experts(self, kind: str) -> None:
        weights = EXPERTS * WIDTH * EXPERT_HEIGHT
        stacks = self.weights(kind, WIDTH, EXPERT_HEIGHT, max(2, WEIGHTS_BYTES // stored_bytes(kind, weights)), EXPERTS)
        for rows in EXPERT_ROWS:
            some = stacks[: max(2, PRODUCTS_ROWS // rows)]
            self._graphs["expert", kind, rows] = self.expert_products(some, WIDTH, EXPERTS, rows), len(some) * weights

    def round(self) -> None:
        """Compute every graph once."""
        for name, (graph, units) in self._graphs.items():
            began = time.perf_counter()
            self.compute(graph)
            self._taken.setdefault(name, []).append((time.perf_counter() - began) / units)

    def figures(self) -> Kernels:
        """Of the rounds until now."""
        found = {name: statistics.median(taken) for name, taken in self._taken.items()}
        return Kernels(
            self._threads,
            self._variant,
            self._kv_type,
            len(next(iter(self._taken.values()))),
            _by_type(found, "product"),
            _by_type(found, "expert"),
            {head: (found["attention", head, 1], found["attention", head, TILE]) for head in HEAD_WIDTHS},
            {operation: _line(found["small", operation, 1], found["small", operation, SMALL_ROWS]) for operation in SMALL},
        )


def stored_bytes(kind: str, weights: int) -> int:
    """Of so many weights of a type."""
    _, block, size = BLOCKS[type_number(kind)]
    return weights // block * size


def _by_type(found: Mapping[tuple[str, str | int, int], float], what: str) -> dict[str, list[tuple[int, float]]]:
    rows: dict[str, list[tuple[int, float]]] = {}
    for (group, kind, count), seconds in found.items():
        if group == what:
            rows.setdefault(str(kind), []).append((count, seconds))
    return rows


def _line(one_s: float, many_s: float) -> tuple[float, float]:
    """(seconds of a call, seconds of an element) of an operation that took so long with one row and with many."""
    element = max(0.0, many_s - one_s) / (SMALL_WIDTH * (SMALL_ROWS - 1))
    return max(0.0, one_s - SMALL_WIDTH * element), element
