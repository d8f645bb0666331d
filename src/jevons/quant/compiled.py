"""How hot loops are compiled: one decorator, so that every loop of this room is compiled by the same rules."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """The function as machine code, made at its first call and kept on disk for the next process.

    Sums may be reordered and products fused, or nothing would use the processor's vectors; that changes rounding and nothing else:
    NaN and infinity keep their meaning. The interpreter's lock is released, and one call uses one core: callers choose how many.
    """
    return cast(_Function, numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})(function))
