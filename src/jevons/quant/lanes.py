"""A Hadamard transform that stays in the processor's registers, for compiled loops only.

LLVM makes it of whatever vector instructions there are (on x86 `vpermt2ps`); through memory, neighbours to halves, the same stages take four
to eight times as long. It does not know: rows, rotations, codes."""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]  # it ships none
from numba import types
from numba.extending import intrinsic


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
        shape = ir.VectorType(ir.FloatType(), count)
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


hadamard = cast(Callable[[Any, int], None], _hadamard)
"""numba calls it without the typing context that it passes itself."""
