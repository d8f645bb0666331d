"""Three operations that numba lacks and the processor has: half-precision numbers, and a Hadamard transform that stays in registers.

They are for compiled loops only. LLVM makes them instructions of whatever vectors there are (on x86 `vcvtph2ps`, `vpermt2ps`), and no
other form of the loop comes near: half precision by integer arithmetic takes some ten times as long, and a transform through memory,
neighbours to halves, eight times (270,000 vectors of 64: 62 ms against 8 ms on one Zen 4 core). A processor without half precision (x86
before 2013) is not served. Does not know: codes, rows, states.
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


@intrinsic(prefer_literal=True)
def _hadamard(_typing: Any, vector: Any, size: Any) -> Any:
    """vector[:size] = H·vector[:size] for the Hadamard matrix of ±1 (not divided by √size), `size` a power of two written as a literal.

    Each stage makes sums and differences of neighbours, sums to the first half: the same shuffle every time (Pease, 1968), which
    needs no memory as long as the vector fits in registers: 64 elements are four of 512 bits, or eight of 256.
    """
    if not isinstance(size, types.IntegerLiteral):
        return None
    count = size.literal_value

    def lanes(numbers: range) -> Any:
        return ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), list(numbers))

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        shape = ir.VectorType(FLOAT, count)
        pointer = builder.bitcast(data, shape.as_pointer())
        value = builder.load(pointer, align=4)
        nothing = ir.Constant(shape, ir.Undefined)
        for _ in range(count.bit_length() - 1):
            even = builder.shuffle_vector(value, nothing, lanes(range(0, count, 2)))
            odd = builder.shuffle_vector(value, nothing, lanes(range(1, count, 2)))
            value = builder.shuffle_vector(builder.fadd(even, odd), builder.fsub(even, odd), lanes(range(count)))
        builder.store(value, pointer, align=4)
        return context.get_dummy_value()

    return types.void(vector, size), emit


# numba calls them without the typing context that it passes itself
to_half = cast(Callable[[Any], Any], _to_half)
from_half = cast(Callable[[Any], Any], _from_half)
hadamard = cast(Callable[[Any, int], None], _hadamard)
