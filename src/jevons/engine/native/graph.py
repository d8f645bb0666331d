"""ggml's own operations on our own tensors: small graphs, computed again and again by the code that computes the engine's graphs.

Comes in: the loaded library, threads. Goes out: `Graphs`, which makes weights (in the memory layout that the engine would choose for them),
products, attention and the small operations between them, and computes them. Does not know: clocks, models, files.
Source: ggml/include/{ggml.h,ggml-backend.h} at the commit that `layout` names. A weight's layout is chosen as in llama.cpp's
`select_weight_buft` (src/llama-model-loader.cpp): the first of the CPU's own that takes the product, else the plain one.
"""

from collections.abc import Callable, Sequence
from ctypes import CFUNCTYPE, POINTER, Structure, c_bool, c_char_p, c_float, c_int32, c_int64, c_size_t, c_void_p
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from jevons.engine.gguf import BLOCKS
from jevons.engine.native.layout import F16, F32, I32, TYPES, Tensor
from jevons.engine.native.library import Library, declare
from jevons.engine.native.package import NativeError

CPU = 0
"""GGML_BACKEND_DEVICE_TYPE_CPU."""
NODES_MAX = 512
"""Tensors and operations of one context."""
TENSOR_BYTES = 1024
"""Generous: what ggml keeps of one of them, without its values."""
EPSILON = 1e-5
"""Of a norm: any that is not 0."""
SOURCE_ROWS = 64
"""Rows of random weights that are made; the rest repeats them, since no kernel's speed depends on what they are."""


class _Init(Structure):
    """ggml_init_params."""

    _fields_ = [("bytes", c_size_t), ("memory", c_void_p), ("no_alloc", c_bool)]


_P, _L = c_void_p, c_int64
BASE: dict[str, tuple[Any, list[Any]]] = {
    "ggml_init": (_P, [_Init]),
    "ggml_free": (None, [_P]),
    "ggml_nbytes": (c_size_t, [_P]),
    "ggml_new_tensor_4d": (_P, [_P, c_int32, _L, _L, _L, _L]),
    "ggml_permute": (_P, [_P, _P, c_int32, c_int32, c_int32, c_int32]),
    "ggml_mul_mat": (_P, [_P, _P, _P]),
    "ggml_mul_mat_id": (_P, [_P, _P, _P, _P]),
    "ggml_flash_attn_ext": (_P, [_P, _P, _P, _P, _P, c_float, c_float, c_float]),
    "ggml_rms_norm": (_P, [_P, _P, c_float]),
    "ggml_add": (_P, [_P, _P, _P]),
    "ggml_mul": (_P, [_P, _P, _P]),
    "ggml_swiglu_split": (_P, [_P, _P, _P]),
    "ggml_rope": (_P, [_P, _P, _P, c_int32, c_int32]),
    "ggml_new_graph_custom": (_P, [_P, c_size_t, c_bool]),
    "ggml_graph_overhead_custom": (c_size_t, [c_size_t, c_bool]),
    "ggml_build_forward_expand": (None, [_P, _P]),
    "ggml_quantize_chunk": (c_size_t, [c_int32, POINTER(c_float), _P, _L, _L, _L, POINTER(c_float)]),
    "ggml_backend_dev_init": (_P, [_P, c_char_p]),
    "ggml_backend_dev_buffer_type": (_P, [_P]),
    "ggml_backend_dev_backend_reg": (_P, [_P]),
    "ggml_backend_dev_supports_op": (c_bool, [_P, _P]),
    "ggml_backend_reg_get_proc_address": (_P, [_P, c_char_p]),
    "ggml_backend_buft_alloc_buffer": (_P, [_P, c_size_t]),
    "ggml_backend_buffer_free": (None, [_P]),
    "ggml_backend_alloc_ctx_tensors_from_buft": (_P, [_P, _P]),
    "ggml_backend_buffer_name": (c_char_p, [_P]),
    "ggml_backend_tensor_set": (None, [_P, _P, c_size_t, c_size_t]),
    "ggml_backend_tensor_get": (None, [_P, _P, c_size_t, c_size_t]),
    "ggml_graph_node": (_P, [_P, c_int32]),
    "ggml_backend_graph_compute": (c_int32, [_P, _P]),
    "ggml_backend_free": (None, [_P]),
}


class Graphs:
    """The CPU back end with its number of threads. Use as a context manager: what was made with it is freed in the end."""

    def __init__(self, library: Library, threads: int) -> None:
        self.base = declare(library.base, BASE)
        declare(library.ggml, {"ggml_backend_dev_by_type": (_P, [c_int32])})
        self._device = library.ggml.ggml_backend_dev_by_type(CPU)
        self._back_end = self.base.ggml_backend_dev_init(self._device, None)
        if not self._back_end:
            raise NativeError(f"the CPU back end cannot be opened: {library.last_words()}")
        self.set_threads(threads)
        self._plain: int = self.base.ggml_backend_dev_buffer_type(self._device)
        self._contexts: list[int] = []
        self._buffers: list[int] = []

    def set_threads(self, threads: int) -> None:
        """How many compute from now on."""
        self._entry("ggml_backend_set_n_threads", None, _P, c_int32)(self._back_end, threads)

    def weights(self, kind: str, width: int, rows: int, count: int, experts: int = 0) -> list[int]:
        """`count` matrices of one type (by its name, whatever the case) with random weights, each in memory of its own, in the layout
        that the engine takes. With `experts`, each is a stack of so many. Raises NativeError.
        """
        number, context = type_number(kind), self._context()
        made = [self._tensor(context, number, width, rows, *([experts] if experts else [])) for _ in range(count)]
        self._place(context, self._layout(made[0], width, experts))
        data = np.tile(self._stored(number, width, rows), max(experts, 1))
        for tensor in made:
            self._fill(tensor, data)
        return made

    def products(self, weights: Sequence[int], width: int, rows: int) -> int:
        """A graph that multiplies each of the weights with the same `rows` vectors."""
        context = self._context()
        vectors = self._tensor(context, F32, width, rows)
        results = [self.base.ggml_mul_mat(context, weight, vectors) for weight in weights]
        self._place(context)
        self._fill(vectors, source(rows, width))
        return self._graph(context, results)

    def expert_products(self, stacks: Sequence[int], width: int, experts: int, rows: int) -> int:
        """A graph in which each expert of each stack is multiplied with `rows` vectors, as tokens that use one expert each."""
        context = self._context()
        tokens = experts * rows
        vectors, chosen = self._tensor(context, F32, width, 1, tokens), self._tensor(context, I32, 1, tokens)
        results = [self.base.ggml_mul_mat_id(context, stack, vectors, chosen) for stack in stacks]
        self._place(context)
        self._fill(vectors, source(tokens, width))
        self._fill(chosen, np.arange(tokens, dtype=np.int32) % experts)
        return self._graph(context, results)

    def attention(self, layers: int, head_width: int, heads: int, kv_heads: int, queries: int, kept: int, kv_type: str) -> int:
        """A graph of so many layers' attention: `queries` tokens of one sequence, each looking at all of `kept`."""
        context, number = self._context(), type_number(kv_type)
        asked = self._tensor(context, F32, head_width, queries, heads)
        mask = self._tensor(context, F16, kept, queries)
        caches = [[self._tensor(context, number, head_width, kv_heads, kept) for _ in "kv"] for _ in range(layers)]
        results = [
            self.base.ggml_flash_attn_ext(
                context,
                asked,
                *(self.base.ggml_permute(context, half, 0, 2, 1, 3) for half in cache),
                mask,
                head_width**-0.5,
                0.0,
                0.0,
            )
            for cache in caches
        ]
        self._place(context)
        self._fill(asked, source(queries * heads, head_width))
        self._fill(mask, np.zeros((queries, kept), np.float16))
        data = self._stored(number, head_width, kv_heads * kept)
        for cache in caches:
            for half in cache:
                self._fill(half, data)
        return self._graph(context, results)

    def small(self, operation: str, count: int, width: int, rows: int) -> int:
        """A graph of `count` times one small operation on float32[rows, width]: "norm" (with its weight, as one), "add", "gate", "rope"."""
        context, base = self._context(), self.base
        values, other = self._tensor(context, F32, width, rows), self._tensor(context, F32, width, rows)
        weight, places = self._tensor(context, F32, width), self._tensor(context, I32, rows)
        heads = self._tensor(context, F32, min(64, width), width // min(64, width), rows)
        make: Callable[[], int] = {
            "norm": lambda: base.ggml_mul(context, base.ggml_rms_norm(context, values, EPSILON), weight),
            "add": lambda: base.ggml_add(context, values, other),
            "gate": lambda: base.ggml_swiglu_split(context, values, other),
            "rope": lambda: base.ggml_rope(context, heads, places, min(64, width), 0),
        }[operation]
        results = [make() for _ in range(count)]
        self._place(context)
        for tensor in (values, other, heads):
            self._fill(tensor, source(rows, width))
        self._fill(weight, np.ones(width, np.float32))
        self._fill(places, np.arange(rows, dtype=np.int32))
        return self._graph(context, results)

    def compute(self, graph: int) -> None:
        if self.base.ggml_backend_graph_compute(self._back_end, graph):
            raise NativeError("a graph could not be computed")

    def output(self, graph: int) -> NDArray[np.float32]:
        """What its first operation came to: of a product float32[vectors, rows of the weights]."""
        tensor = self.base.ggml_graph_node(graph, 0)
        values = np.empty(tuple(Tensor.from_address(tensor).ne)[1::-1], np.float32)
        self.base.ggml_backend_tensor_get(tensor, values.ctypes.data, 0, values.nbytes)
        return values

    def held(self, weight: int) -> str:
        """ggml's name of a weight's layout: "CPU" as in the file, "CPU_REPACK" or "AMX" rearranged when loaded."""
        return str(self.base.ggml_backend_buffer_name(Tensor.from_address(weight).buffer).decode())

    def _entry(self, name: str, result: Any, *arguments: Any) -> Any:
        """A function of the CPU back end that is asked for by name."""
        registry = self.base.ggml_backend_dev_backend_reg(self._device)
        address = self.base.ggml_backend_reg_get_proc_address(registry, name.encode())
        if not address:
            raise NativeError(f"the CPU back end has no function {name}; it is not the library that Jevons binds")
        return CFUNCTYPE(result, *arguments)(address)

    def _context(self) -> int:
        """Room for tensors and a graph, without their values."""
        size = NODES_MAX * TENSOR_BYTES + self.base.ggml_graph_overhead_custom(NODES_MAX, False)
        made = int(self.base.ggml_init(_Init(size, None, True)))
        self._contexts.append(made)
        return made

    def _tensor(self, context: int, kind: int, *shape: int) -> int:
        """Of ggml's type number `kind`; the shape as ggml counts, a row's width first."""
        return int(self.base.ggml_new_tensor_4d(context, kind, *(*shape, 1, 1, 1)[:4]))

    def _place(self, context: int, layout: int | None = None) -> None:
        """Memory for all of the context's tensors."""
        buffer = self.base.ggml_backend_alloc_ctx_tensors_from_buft(context, layout or self._plain)
        if not buffer:
            raise NativeError("there is not enough memory to measure in")
        self._buffers.append(buffer)

    def _fill(self, tensor: int, data: NDArray[Any]) -> None:
        if data.nbytes != self.base.ggml_nbytes(tensor):
            raise NativeError(f"{data.nbytes} bytes do not fill a tensor of {self.base.ggml_nbytes(tensor)}")
        self.base.ggml_backend_tensor_set(tensor, data.ctypes.data, 0, data.nbytes)

    def _graph(self, context: int, results: Sequence[int]) -> int:
        made = int(self.base.ggml_new_graph_custom(context, NODES_MAX, False))
        for result in results:
            self.base.ggml_build_forward_expand(made, result)
        return made

    def _layout(self, weight: int, width: int, experts: int) -> int | None:
        """Where the engine would put this weight; None: the plain layout. It is asked with an empty buffer, as llama.cpp does."""
        probe = self._context()
        vectors = self._tensor(probe, F32, width, 1)
        if experts:
            product = self.base.ggml_mul_mat_id(probe, weight, vectors, self._tensor(probe, I32, 1, 1))
        else:
            product = self.base.ggml_mul_mat(probe, weight, vectors)
        layouts = self._entry("ggml_backend_dev_get_extra_bufts", POINTER(c_void_p), _P)(self._device)
        place = 0
        while layouts and layouts[place]:
            empty = self.base.ggml_backend_buft_alloc_buffer(layouts[place], 0)
            Tensor.from_address(weight).buffer = empty
            taken = self.base.ggml_backend_dev_supports_op(self._device, product)
            Tensor.from_address(weight).buffer = None
            self.base.ggml_backend_buffer_free(empty)
            if taken:
                return int(layouts[place])
            place += 1
        return None

    def _stored(self, number: int, width: int, rows: int) -> NDArray[np.uint8]:
        """Random weights in the blocks of a type, uint8[bytes]; rows repeat, as no kernel's speed depends on them."""
        values = source(min(rows, SOURCE_ROWS), width)
        _, weights, size = BLOCKS[number]
        some = np.empty(values.size // weights * size, np.uint8)
        written = self.base.ggml_quantize_chunk(
            number, values.ctypes.data_as(POINTER(c_float)), some.ctypes.data, 0, len(values), width, None
        )
        if written != some.nbytes:
            raise NativeError(f"weights of type {BLOCKS[number][0]} cannot be made without an importance matrix")
        return np.resize(some, rows * width // weights * size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for context in self._contexts:
            self.base.ggml_free(context)
        for buffer in self._buffers:
            self.base.ggml_backend_buffer_free(buffer)
        self.base.ggml_backend_free(self._back_end)


def source(rows: int, columns: int) -> NDArray[np.float32]:
    """Random values, always the same."""
    return np.random.default_rng(8).standard_normal((rows, columns), np.float32)


def type_number(name: str) -> int:
    """enum ggml_type of a type's name, whatever its case. Raises NativeError."""
    try:
        return [known.lower() for known in TYPES].index(name.lower())
    except ValueError:
        raise NativeError(f"there is no weight type {name!r}; there are {', '.join(t for t in TYPES if t != '-')}") from None
