"""Half-precision numbers, which numba lacks and the processor has, for compiled loops only.

LLVM makes instructions of them (on x86 `vcvtph2ps`); by integer arithmetic it takes some ten times as long. A processor without half
precision (x86 before 2013) is not served. Does not know: codes, rows, states.
"""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]  # it ships none
from numba import types
from numba.extending import intrinsic

FLOAT = ir.FloatType()


@intrinsic
def _to_half(_typing: Any, value: Any) -> Any:
    """The half-precision number next to a float32, as its 16 bits; ties to even, beyond 65,520 infinity."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16))

    return types.uint16(types.float32), emit


@intrinsic
def _from_half(_typing: Any, bits: Any) -> Any:
    """The float32 of 16 bits that are a half-precision number."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), FLOAT)

    return types.float32(types.uint16), emit


# numba calls them without the typing context that it passes itself
to_half = cast(Callable[[Any], Any], _to_half)
from_half = cast(Callable[[Any], Any], _from_half)
