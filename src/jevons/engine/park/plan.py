"""How many bits the keys and the values of each layer get."""

import struct
from dataclasses import dataclass

from jevons.core.limits import PARK_BLOCK_TOKENS
from jevons.engine.park.states import TYPE_F16, Layout

AS_IS = 16
"""Bits of a tensor that is left alone."""
CODE_BITS = (2, 3, 4, 5, 6)
HEADS = (64, 128, 256)


@dataclass(frozen=True, slots=True)
class Plan:
    """Bits per code for every tensor of a layout (keys of every layer, then values), of vectors of `head` elements; `AS_IS` leaves it alone."""

    head: int
    bits: tuple[int, ...]
    seed: int = 0
    """Of the rotation's signs."""

    def pack(self) -> bytes:
        return struct.pack("<HQ", self.head, self.seed) + bytes(self.bits)

    def check(self, layout: Layout) -> None:
        """Raises `ValueError` if this plan is not one for this layout."""
        if self.head not in HEADS:
            raise ValueError(f"Heads of {self.head} elements cannot be compressed; {', '.join(map(str, HEADS))} can.")
        if len(self.bits) != len(layout.tensors):
            raise ValueError(f"The plan is for {len(self.bits) // 2} layers, the engine has {layout.layers}.")
        for bits, tensor in zip(self.bits, layout.tensors, strict=True):
            if bits not in (*CODE_BITS, AS_IS):
                raise ValueError(f"A code has {CODE_BITS[0]} to {CODE_BITS[-1]} bits, not {bits}.")
            if bits != AS_IS and (tensor.type != TYPE_F16 or tensor.row_bytes % (2 * self.head)):
                raise ValueError("Only half-precision keys and values in whole heads can be compressed.")

    def bytes_per_token(self, layout: Layout) -> float:
        """What a full block takes for one of its tokens: codes, scales, and the token's share of means and ranges."""
        return sum(
            tensor_bytes(tensor.row_bytes // 2, self.head, bits) for tensor, bits in zip(layout.tensors, self.bits, strict=True)
        )


def tensor_bytes(width: int, head: int, bits: int) -> float:
    """Bytes per token of a tensor of `width` elements, in a full block (see turbo.py)."""
    if bits == AS_IS:
        return 2.0 * width
    return width * bits / 8 + width / head + (2 * width + 8) / PARK_BLOCK_TOKENS
