"""Packing: whatever goes in comes out, in no more bytes than the bits need, in the layout that is promised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jevons.quant.packing import pack, packed_bytes, unpack


@settings(deadline=None, max_examples=150)
@given(st.data(), st.integers(1, 8), st.integers(0, 4), st.integers(0, 70))
def test_codes_come_back_and_lie_as_one_stream_of_bits(data: st.DataObject, bits: int, rows: int, count: int) -> None:
    codes = data.draw(arrays(np.uint8, (rows, count), elements=st.integers(0, 2**bits - 1)))
    packed = pack(codes, bits)
    assert packed.shape == (rows, -(-count * bits // 8)) and packed_bytes(count, bits) == packed.shape[1]
    assert np.array_equal(unpack(packed, bits, count), codes)
    stream = np.unpackbits(packed, axis=1, bitorder="little")
    expected = ((codes[:, :, None] >> np.arange(bits)) & 1).reshape(rows, count * bits)
    assert np.array_equal(stream[:, : count * bits], expected) and not stream[:, count * bits :].any()


def test_a_view_is_packed_as_its_copy() -> None:
    codes = np.arange(64, dtype=np.uint8).reshape(4, 16) % 8
    assert np.array_equal(pack(codes[:, ::2], 3), pack(codes[:, ::2].copy(), 3))
    packed = pack(codes, 3)
    assert np.array_equal(unpack(packed[::2], 3, 16), codes[::2])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="code of 4 does not fit in 2 bits"):
        pack(np.array([[4]], np.uint8), 2)
    with pytest.raises(ValueError, match="10 codes of 3 bits are 4 bytes; these rows have 3"):
        unpack(np.zeros((1, 3), np.uint8), 3, 10)
