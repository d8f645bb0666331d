"""How fast this processor multiplies matrices in each type that weights are stored in, with the code that makes the tokens: ggml's own
kernels, on weights packed as the engine packs them.

Comes in: a loaded library, a type, sizes, threads. Goes out: `Rate`s: operations and bytes of weights a second, median of several
rounds. Does not know: models, attention, what a token costs.

A round computes many products with different weights in one graph, as a model does; they come from memory where they are together
larger than the last cache, and from the cache where they are not.
"""

import ctypes
import time
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_bool, c_char_p, c_float, c_int, c_int32, c_int64, c_size_t, c_void_p
from statistics import quantiles
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from jevons.engine.levers.energy import joules_since, read_counters
from jevons.engine.native.layout import F32, TYPES, Tensor
from jevons.engine.native.library import Library, declare, open_library
from jevons.engine.native.package import NativeError

CPU = 0
"""GGML_BACKEND_DEVICE_TYPE_CPU."""
DEFAULT_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q4_K", "q6_K")
OVERHEAD_BYTES = 4096
"""Generous: what ggml keeps of one tensor or node, without its values."""
MEMORY_BYTES = 256 << 20
"""Weights of one graph: far beyond any last cache that one processor's cores share, within what a small machine has left."""
SOURCE_ROWS = 64
"""Rows of random weights that are made; the rest repeats them, since no kernel's speed depends on what they are."""
LEAST_ROUNDS, MOST_ROUNDS = 3, 1000


class _Init(Structure):
    """ggml_init_params."""

    _fields_ = [("bytes", c_size_t), ("memory", c_void_p), ("no_alloc", c_bool)]


_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "ggml_init": (c_void_p, [_Init]),
    "ggml_free": (None, [c_void_p]),
    "ggml_new_tensor_2d": (c_void_p, [c_void_p, c_int32, c_int64, c_int64]),
    "ggml_mul_mat": (c_void_p, [c_void_p, c_void_p, c_void_p]),
    "ggml_new_graph_custom": (c_void_p, [c_void_p, c_size_t, c_bool]),
    "ggml_graph_overhead_custom": (c_size_t, [c_size_t, c_bool]),
    "ggml_build_forward_expand": (None, [c_void_p, c_void_p]),
    "ggml_row_size": (c_size_t, [c_int32, c_int64]),
    "ggml_quantize_chunk": (c_size_t, [c_int32, POINTER(c_float), c_void_p, c_int64, c_int64, c_int64, POINTER(c_float)]),
    "ggml_backend_dev_init": (c_void_p, [c_void_p, c_char_p]),
    "ggml_backend_dev_backend_reg": (c_void_p, [c_void_p]),
    "ggml_backend_dev_supports_op": (c_bool, [c_void_p, c_void_p]),
    "ggml_backend_dev_buffer_type": (c_void_p, [c_void_p]),
    "ggml_backend_reg_get_proc_address": (c_void_p, [c_void_p, c_char_p]),
    "ggml_backend_free": (None, [c_void_p]),
    "ggml_backend_buft_name": (c_char_p, [c_void_p]),
    "ggml_backend_buft_alloc_buffer": (c_void_p, [c_void_p, c_size_t]),
    "ggml_backend_alloc_ctx_tensors_from_buft": (c_void_p, [c_void_p, c_void_p]),
    "ggml_backend_buffer_free": (None, [c_void_p]),
    "ggml_backend_tensor_set": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
    "ggml_backend_tensor_get": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
    "ggml_backend_graph_compute": (c_int, [c_void_p, c_void_p]),
}


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


class Products:
    """A graph of products of one type and one number of tokens: as many matrices as make up `weights_bytes`, at least one."""

    def __init__(self, library: Library, kind: str, rows: int, columns: int, tokens: int, weights_bytes: int) -> None:
        declare(library.base, _FUNCTIONS)
        declare(library.ggml, {"ggml_backend_dev_by_type": (c_void_p, [c_int])})
        self._base, number = library.base, type_number(kind)
        if columns % self._base.ggml_blck_size(number):
            raise NativeError(f"{kind} needs columns that are a multiple of {self._base.ggml_blck_size(number)}, not {columns}")
        self.kind, self.rows, self.columns, self.tokens = kind, rows, columns, tokens
        self._one = rows * self._base.ggml_row_size(number, columns)
        self.count: int = max(1, weights_bytes // self._one)
        self._contexts: list[int] = []
        self._buffers: list[int] = []
        self._device = library.ggml.ggml_backend_dev_by_type(CPU)
        self._back_end = self._base.ggml_backend_dev_init(self._device, None)
        self._build(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.ggml_backend_free(self._back_end)
        for buffer in self._buffers:
            self._base.ggml_backend_buffer_free(buffer)
        for context in self._contexts:
            self._base.ggml_free(context)

    def rate(self, threads: int, seconds: float) -> Rate:
        """Rounds for about `seconds`, after one that warms up."""
        self._entry("ggml_backend_set_n_threads", None, c_void_p, c_int)(self._back_end, threads)
        self.compute()
        spent: list[float] = []
        while len(spent) < LEAST_ROUNDS or (sum(spent) < seconds and len(spent) < MOST_ROUNDS):
            begun = time.perf_counter()
            self.compute()
            spent.append(time.perf_counter() - begun)
        high, middle, low = (self.operations / at / 1e9 for at in quantiles(spent, n=4, method="inclusive"))
        used = middle * self.count * self._one / self.operations
        return Rate(
            *(self.kind, self.tokens, threads, self.rows, self.columns, self.count * self._one, self.packed),
            *(middle, low, high, used, len(spent)),
        )

    @property
    def operations(self) -> int:
        """Of one round."""
        return 2 * self.rows * self.columns * self.tokens * self.count

    def compute(self) -> None:
        """One round. Raises NativeError."""
        status = self._base.ggml_backend_graph_compute(self._back_end, self._graph)
        if status:
            raise NativeError(f"products of {self.kind} could not be computed (status {status})")

    def output(self) -> NDArray[np.float32]:
        """What the first product came to, [tokens, rows]."""
        values = np.empty((self.tokens, self.rows), np.float32)
        self._base.ggml_backend_tensor_get(self._first, values.ctypes.data, 0, values.nbytes)
        return values

    def _build(self, number: int) -> None:
        base = self._base
        weights, values = self._context(self.count + 2), self._context(2 * self.count + 8, graph=self.count + 8)
        matrices = [base.ggml_new_tensor_2d(weights, number, self.columns, self.rows) for _ in range(self.count)]
        vectors = base.ggml_new_tensor_2d(values, F32, self.columns, self.tokens)
        products = [base.ggml_mul_mat(values, matrix, vectors) for matrix in matrices]
        self._first = products[0]
        kind = self._buffer_type(matrices[0], products[0])
        self.packed = base.ggml_backend_buft_name(kind).decode()
        self._allocate(weights, kind)
        self._allocate(values, base.ggml_backend_dev_buffer_type(self._device))
        plain = source(min(self.rows, SOURCE_ROWS), self.columns)
        stored = self._stored(number, plain)
        for matrix in matrices:
            base.ggml_backend_tensor_set(matrix, stored.ctypes.data, 0, stored.nbytes)
        given = source(self.tokens, self.columns)
        base.ggml_backend_tensor_set(vectors, given.ctypes.data, 0, given.nbytes)
        self._graph = base.ggml_new_graph_custom(values, self.count + 8, False)
        for product in products:
            base.ggml_build_forward_expand(self._graph, product)

    def _context(self, tensors: int, graph: int = 0) -> int:
        room = tensors * OVERHEAD_BYTES + (self._base.ggml_graph_overhead_custom(graph, False) if graph else 0)
        made: int = self._base.ggml_init(_Init(room, None, True))
        self._contexts.append(made)
        return made

    def _allocate(self, context: int, kind: int) -> None:
        buffer = self._base.ggml_backend_alloc_ctx_tensors_from_buft(context, kind)
        if not buffer:
            raise NativeError(f"there is no memory for {self.count * self._one:,} bytes of weights")
        self._buffers.append(buffer)

    def _entry(self, name: str, result: Any, *arguments: Any) -> Any:
        """A function of the CPU back end that is asked for by name."""
        registry = self._base.ggml_backend_dev_backend_reg(self._device)
        address = self._base.ggml_backend_reg_get_proc_address(registry, name.encode())
        if not address:
            raise NativeError(f"the CPU back end has no function {name}; it is not the library that Jevons binds")
        return ctypes.CFUNCTYPE(result, *arguments)(address)

    def _buffer_type(self, matrix: int, product: int) -> int:
        """Where llama.cpp would put this weight: the first of the back end's own packings that can multiply it, else plain memory.
        It asks in the same way, with an empty buffer in the weight's place (llama-model-loader.cpp, weight_buft_supported).
        """
        extra = self._entry("ggml_backend_dev_get_extra_bufts", POINTER(c_void_p), c_void_p)(self._device)
        tensor, place = Tensor.from_address(matrix), 0
        while extra and extra[place]:
            kind: int = extra[place]
            tensor.buffer = self._base.ggml_backend_buft_alloc_buffer(kind, 0)
            supported = self._base.ggml_backend_dev_supports_op(self._device, product)
            self._base.ggml_backend_buffer_free(tensor.buffer)
            tensor.buffer = None
            if supported:
                return kind
            place += 1
        plain: int = self._base.ggml_backend_dev_buffer_type(self._device)
        return plain

    def _stored(self, number: int, plain: NDArray[np.float32]) -> NDArray[np.uint8]:
        """One matrix as it is stored, its rows repeating `plain`."""
        rows, columns = plain.shape
        some = np.empty(rows * self._one // self.rows, np.uint8)
        values = plain.ctypes.data_as(POINTER(c_float))
        self._base.ggml_quantize_chunk(number, values, some.ctypes.data, 0, rows, columns, None)
        return np.resize(some, self._one)


def source(rows: int, columns: int) -> NDArray[np.float32]:
    """Random values, always the same: a prefix of the rows of one larger table."""
    return np.random.default_rng(8).standard_normal((rows, columns), np.float32)


def type_number(name: str) -> int:
    """enum ggml_type of a type's name, whatever its case. Raises NativeError."""
    try:
        return [known.lower() for known in TYPES].index(name.lower())
    except ValueError:
        raise NativeError(f"there is no weight type {name!r}; there are {', '.join(t for t in TYPES if t != '-')}") from None
