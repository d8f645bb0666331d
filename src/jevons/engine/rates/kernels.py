"""How long the engine's operations take here: products by weight type and rows, attention, and the small operations between them.

Comes in: a loaded library, threads, types of weights. Goes out: `Kernels`, seconds for one unit of each. Does not know: models, prices.
A round computes every graph once, so that what else the machine does meets all of them alike; of the rounds the median counts.
"""

import statistics
from collections.abc import Mapping, Sequence

import msgspec

from jevons.engine.gguf import BLOCKS
from jevons.engine.native.graph import Graphs, type_number
from jevons.engine.native.library import Library, open_library
from jevons.engine.rates.clock import clock

ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128)
"""Vectors that a matrix is multiplied with at once: every batch of a few slots, then prompts. Kernels take them in fours or eights, so the
law between 1 and 8 has steps."""
EXPERT_ROWS = (1, 2, 4, 8, 32)
WIDTHS = (512, 2048)
"""Of the matrices' rows: multiples of 256 weights suit every type. Some kernels spend so much on the end of a row that short ones take
half as long again."""
MATRIX = 2_883_584
"""Weights of one matrix."""
WEIGHTS_BYTES = 64 << 20
"""Of the matrices together, in the graph of one row: no last-level cache of one processor's share holds them."""
PRODUCTS_ROWS = 96
"""Rows of all products of a graph together, at least of two: many rows compute, and few matrices will do."""
EXPERTS, EXPERT_WIDTH, EXPERT_HEIGHT = 4, 1024, 512
HEAD_WIDTHS = (64, 128)
HEADS, KV_HEADS, KEPT = 9, 3, 2048
TILE = 64
"""From so many queries of one sequence on, ggml computes attention in tiles of so many (GGML_FA_TILE_Q)."""
QUERIES = {1: 16, 8: 4, TILE: 2}
"""Queries of one conversation -> layers of the graph. Its caches are not read again before the next round, so they come from memory."""
SMALL = ("norm", "add", "gate", "rope")
SMALL_WIDTH, SMALL_ROWS, SMALL_COUNT = 1024, 64, 100


class Kernels(msgspec.Struct, frozen=True):
    """Seconds, medians over the rounds."""

    threads: int
    variant: str
    """The CPU back end."""
    kv_type: str
    rounds: int
    products: dict[str, dict[int, list[tuple[int, float]]]]
    """Type -> width -> (rows, seconds for each weight of the matrix, all rows together)."""
    expert_products: dict[str, dict[int, list[tuple[int, float]]]]
    """The same for each expert of a mixture that meets so many rows."""
    attention: dict[int, tuple[float, float, float]]
    """Width of a head -> seconds for one query head to look at one kept token, and the same in tiles; seconds to read the key and the value
    of one head of one kept token from memory.
    """
    small: dict[str, tuple[float, float]]
    """Operation -> seconds for one call, and for each element."""


def measure(
    types: Sequence[str],
    threads: int,
    *,
    variant: str | None = None,
    expert_types: Sequence[str] = (),
    kv_type: str = "f16",
    rounds: int = 5,
) -> Kernels:
    """All in one, with the CPU back end `variant`: about a second a round. For `apart`. Raises NativeError."""
    with Bench(open_library(variant=variant), types, threads, expert_types=expert_types, kv_type=kv_type) as bench:
        for _ in range(rounds):
            bench.round()
        return bench.figures()


Name = tuple[str, str | int, int, int]
"""What is measured: group, type or operation or width of a head, width, rows."""


class Bench(Graphs):
    """The graphs of everything that is measured, open together."""

    def __init__(
        self, library: Library, types: Sequence[str], threads: int, *, expert_types: Sequence[str] = (), kv_type: str = "f16"
    ) -> None:
        super().__init__(library, threads)
        self._clock = clock(threads)
        self._threads, self._variant, self._kv_type = threads, library.variant, kv_type
        self._taken: dict[Name, list[float]] = {}
        self._graphs: dict[Name, tuple[int, float]] = {}
        for kind in types:
            for width in WIDTHS:
                self._add_products(kind, width)
        for kind in expert_types:
            self._add_experts(kind)
        for head in HEAD_WIDTHS:
            for queries, layers in QUERIES.items():
                graph = self.attention(layers, head, HEADS, KV_HEADS, queries, KEPT, kv_type)
                self._graphs["attention", head, 0, queries] = graph, layers * HEADS * KEPT
        for operation in SMALL:
            for rows in (1, SMALL_ROWS):
                graph = self.small(operation, SMALL_COUNT, SMALL_WIDTH, rows)
                self._graphs["small", operation, 0, rows] = graph, SMALL_COUNT
        self.round()  # what is touched for the first time is not counted
        self._taken.clear()

    def _add_products(self, kind: str, width: int) -> None:
        matrices = self.weights(kind, width, MATRIX // width, max(2, WEIGHTS_BYTES // stored_bytes(kind, MATRIX)))
        for rows in ROWS:
            some = matrices[: max(2, PRODUCTS_ROWS // rows)]
            self._graphs["product", kind, width, rows] = self.products(some, width, rows), len(some) * MATRIX

    def _add_experts(self, kind: str) -> None:
        weights = EXPERTS * EXPERT_WIDTH * EXPERT_HEIGHT
        count = max(2, WEIGHTS_BYTES // stored_bytes(kind, weights))
        stacks = self.weights(kind, EXPERT_WIDTH, EXPERT_HEIGHT, count, EXPERTS)
        for rows in EXPERT_ROWS:
            some = stacks[: max(2, PRODUCTS_ROWS // rows)]
            graph = self.expert_products(some, EXPERT_WIDTH, EXPERTS, rows)
            self._graphs["expert", kind, EXPERT_WIDTH, rows] = graph, len(some) * weights

    def round(self) -> None:
        """Compute every graph once."""
        for name, (graph, units) in self._graphs.items():
            began = self._clock()
            self.compute(graph)
            self._taken.setdefault(name, []).append((self._clock() - began) / units)

    def figures(self) -> Kernels:
        """Of the rounds until now."""
        found = {name: statistics.median(taken) for name, taken in self._taken.items()}
        small = {operation: [found["small", operation, 0, rows] for rows in (1, SMALL_ROWS)] for operation in SMALL}
        looks = {head: [found["attention", head, 0, queries] for queries in QUERIES] for head in HEAD_WIDTHS}
        return Kernels(
            self._threads,
            self._variant,
            self._kv_type,
            len(next(iter(self._taken.values()))),
            _by_type(found, "product"),
            _by_type(found, "expert"),
            {head: _looks(*seconds) for head, seconds in looks.items()},
            {operation: _line(*seconds) for operation, seconds in small.items()},
        )


def stored_bytes(kind: str, weights: int) -> int:
    """Of so many weights of a type."""
    _, block, size = BLOCKS[type_number(kind)]
    return weights // block * size


def _by_type(found: Mapping[Name, float], what: str) -> dict[str, dict[int, list[tuple[int, float]]]]:
    rows: dict[str, dict[int, list[tuple[int, float]]]] = {}
    for (group, kind, width, count), seconds in found.items():
        if group == what:
            rows.setdefault(str(kind), {}).setdefault(width, []).append((count, seconds))
    return rows


def _looks(one_s: float, some_s: float, tile_s: float) -> tuple[float, float, float]:
    """Of a head's queries at one kept token: what each takes, what each takes in a tile, and what reading the cache took for them."""
    _, some, tile = QUERIES
    look = (some_s - one_s) / (some - 1)
    read = max(0.0, one_s - look) * HEADS / KV_HEADS
    return look, (tile_s - read * KV_HEADS / HEADS) / tile, read


def _line(one_s: float, many_s: float) -> tuple[float, float]:
    """(seconds of a call, seconds of an element) of an operation that took so long with one row and with many."""
    element = max(0.0, many_s - one_s) / (SMALL_WIDTH * (SMALL_ROWS - 1))
    return max(0.0, one_s - SMALL_WIDTH * element), element
