"""llama.cpp's saved states, byte for byte, and shorter ones made from them, given back to the server that saved them."""

import numpy as np
import pytest

from jevons.engine.park.states import Layout, State, Tensor, Unparkable, blank_state, read_state, state_bytes
from tests.engine.park.conftest import Slots


def copied(state: State, count: int, slot: int) -> bytearray:
    """The file of a state's first tokens."""
    file = bytearray(state_bytes(state.layout, count))
    blank = blank_state(file, state.layout, count, slot)
    blank.tokens[:] = state.tokens[:count]
    for into, rows in zip(blank.rows, state.rows, strict=True):
        into[:] = rows[:count]
    return file


def test_a_saved_state_is_read_and_written_byte_for_byte(saved: bytes) -> None:
    state = read_state(saved)
    assert state.layout == Layout(2, (Tensor(1, 384),) * 60)
    assert state.layout.bytes_per_token == 23_040
    assert copied(state, len(state.tokens), slot=1) == saved


def test_a_shorter_state_continues_as_if_the_prompt_had_been_read(slots: Slots, saved: bytes) -> None:
    state = read_state(saved)
    count = len(state.tokens) // 2
    prompt = state.tokens[: count + 5].tolist()
    slots.erase(0)
    fresh, cached = slots.go_on(0, prompt, 8)
    assert cached == 0
    slots.erase(0)
    slots.restore(0, copied(state, count, slot=1))
    assert slots.go_on(0, prompt, 8) == (fresh, count)


def test_other_states_are_refused(saved: bytes) -> None:
    for file in (b"", b"ggsq", saved[:40], saved[:2000], saved[:-1], saved + bytes(8), b"x" + saved[1:]):
        with pytest.raises(Unparkable):
            read_state(file)


def test_cells_out_of_order_and_transposed_values_are_refused(saved: bytes) -> None:
    words = np.frombuffer(bytearray(saved[: len(saved) // 4 * 4]), np.uint32)
    count = int(words[5])
    cells_at = 3 + 4 + count + 3
    shifted, transposed = words.copy(), words.copy()
    shifted[cells_at] = 1
    transposed[cells_at + 3 * count] = 1
    for changed in (shifted, transposed):
        with pytest.raises(Unparkable):
            read_state(changed.tobytes() + saved[len(words) * 4 :])


def test_a_layout_is_packed_in_a_few_bytes() -> None:
    layout = Layout(4, (Tensor(1, 384),) * 3 + (Tensor(8, 204),) * 3)
    assert Layout.unpack(layout.pack()) == layout
    assert len(layout.pack()) == 20
    for packed in (b"", layout.pack()[:-1], layout.pack() + b"x"):
        with pytest.raises(ValueError, match="layout"):
            Layout.unpack(packed)
