"""Blocks sealed and opened again; what is damaged, or not ours, is refused before a row is touched."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.engine.park.codec import Corrupt, Lossless, unseal
from jevons.engine.park.states import Layout, Rows, Tensor, read_state

LAYOUTS = st.builds(
    Layout,
    st.integers(1, 4),
    st.lists(
        st.builds(Tensor, st.sampled_from([1, 8]), st.integers(1, 40).map(lambda half: 2 * half)), min_size=2, max_size=5
    ).map(tuple),
)


def made(layout: Layout, count: int, seed: int) -> tuple[np.ndarray, list[Rows]]:
    random = np.random.default_rng(seed)
    rows = [random.integers(0, 256, (count, tensor.row_bytes), np.uint8) for tensor in layout.tensors]
    return random.integers(0, 50_000, count, np.int32), rows


def empty(rows: list[Rows]) -> list[Rows]:
    return [np.zeros_like(part) for part in rows]


@given(LAYOUTS, st.integers(0, 9), st.integers(0, 99))
def test_lossless_rows_come_back_bit_for_bit(layout: Layout, count: int, seed: int) -> None:
    codec = Lossless(layout)
    tokens, rows = made(layout, count, seed)
    back = empty(rows)
    payload = codec.encode(tokens, rows)
    assert codec.decode_into(payload, back).tolist() == tokens.tolist()
    assert all((got == part).all() for got, part in zip(back, rows, strict=True))
    assert unseal(payload).layout == layout


@given(st.data())
def test_a_damaged_payload_is_refused_and_nothing_is_written(data: st.DataObject) -> None:
    layout = Layout(1, (Tensor(1, 8), Tensor(8, 6)))
    codec = Lossless(layout)
    tokens, rows = made(layout, 5, 0)
    payload = bytearray(codec.encode(tokens, rows))
    if data.draw(st.booleans()):
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del payload[data.draw(st.integers(0, len(payload) - 1)) :]
    back = empty(rows)
    with pytest.raises(Corrupt):
        codec.decode_into(bytes(payload), back)
    assert not any(part.any() for part in back)


def test_a_payload_of_another_layout_or_length_is_refused() -> None:
    layout = Layout(1, (Tensor(1, 8), Tensor(1, 8)))
    other = Layout(2, layout.tensors)
    tokens, rows = made(layout, 5, 0)
    payload = Lossless(layout).encode(tokens, rows)
    with pytest.raises(Corrupt):
        Lossless(other).decode_into(payload, empty(rows))
    with pytest.raises(Corrupt):
        Lossless(layout).decode_into(payload, [part[:4] for part in rows])


def test_a_real_state_takes_less_than_it_did(saved: bytes) -> None:
    state = read_state(saved)
    codec = Lossless(state.layout)
    payload = codec.encode(state.tokens, state.rows)
    back = empty(state.rows)
    assert (codec.decode_into(payload, back) == state.tokens).all()
    assert all((got == part).all() for got, part in zip(back, state.rows, strict=True))
    assert len(payload) < 0.9 * len(saved)
