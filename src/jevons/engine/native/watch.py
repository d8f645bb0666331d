"""What a graph computes on its way: named tensors, copied out while it runs.

Comes in: which names, and whom to tell. Goes out: a callback for the scheduler. Does not know: what the names mean
(llama.cpp's graph builder gives them: "ffn_moe_topk-3" is layer 3's chosen experts).
"""

import ctypes
from collections.abc import Callable
from ctypes import POINTER
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jevons.engine.native.layout import EVALUATE, F16, F32, I32, TYPES, Tensor

NUMPY = {F32: np.float32, F16: np.float16, I32: np.int32}


class Watch:
    """`wanted` is asked once per name; `seen` gets the name and a copy, its axes in numpy's order (the last one is contiguous: tokens
    come before features). Both run on the thread that decodes. What `seen` raises stops the graph, and is raised by `decode`.
    """

    def __init__(self, wanted: Callable[[str], bool], seen: Callable[[str, NDArray[Any]], None]) -> None:
        self._wanted = wanted
        self._seen = seen
        self._known: dict[bytes, bool] = {}
        self.error: BaseException | None = None
        self.callback = EVALUATE(self._evaluate)

    def _evaluate(self, address: int, ask: bool, _: object) -> bool:
        try:
            tensor = Tensor.from_address(address)
            if ask:
                name = tensor.name
                if name not in self._known:
                    self._known[name] = self._wanted(name.decode())
                return self._known[name]
            self._seen(tensor.name.decode(), copied(tensor))
        except BaseException as error:  # noqa: BLE001 - it cannot pass through the native code; Context.decode raises it
            self.error = error
            return False
        return True

    def raise_error(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error


def copied(tensor: Tensor) -> NDArray[Any]:
    """The tensor's values, its axes reversed into numpy's order, leading axes of length 1 dropped down to two.

    Views with strides are followed. Raises ValueError for block-quantised types.
    """
    if tensor.type not in NUMPY:
        raise ValueError(f"tensor {tensor.name.decode()} is of type {TYPES[tensor.type]}; f32, f16 and i32 can be read")
    shape, strides = tuple(tensor.ne)[::-1], tuple(tensor.nb)[::-1]
    last = sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
    kind = np.dtype(NUMPY[tensor.type])
    memory = ctypes.cast(tensor.data, POINTER(ctypes.c_uint8 * (last + kind.itemsize))).contents
    values = np.ndarray(shape, kind, memory, strides=strides).copy()
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    return values
