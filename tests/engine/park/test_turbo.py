"""Compressed blocks: how far they are from the rows, what they take, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.engine.park.codec import Corrupt, Lossless
from jevons.engine.park.plan import AS_IS, Plan
from jevons.engine.park.states import Layout, Rows, State, Tensor, Unparkable, blank_state, read_state, state_bytes
from jevons.engine.park.turbo import Turbo, quantise_scales
from jevons.quant.codebooks import codebook
from tests.engine.park.conftest import Slots

HEAD = 64


def layout_of(heads: int, tensors: int, head: int = HEAD) -> Layout:
    return Layout(1, (Tensor(1, 2 * head * heads),) * tensors)


def halves(layout: Layout, count: int, seed: int, bias: float = 0.0) -> list[Rows]:
    """Normal numbers about a bias of each channel's own, as rows."""
    random = np.random.default_rng(seed)
    widths = [tensor.row_bytes // 2 for tensor in layout.tensors]
    return [
        (random.standard_normal((count, width)) + bias * random.standard_normal(width)).astype(np.float16).view(np.uint8)
        for width in widths
    ]


def there_and_back(codec: Turbo, rows: list[Rows], start: int = 256) -> tuple[list[Rows], int]:
    """What comes back, and the payload's size; the block is a later one, unless `start` says otherwise."""
    tokens = np.arange(len(rows[0]), dtype=np.int32)
    payload = codec.encode(tokens, rows, start)
    back = [np.zeros_like(part) for part in rows]
    assert (codec.decode_into(payload, back) == tokens).all()
    return back, len(payload)


def values(rows: Rows) -> np.ndarray:
    return rows.view(np.float16).astype(np.float64)


def error(rows: Rows, back: Rows) -> float:
    """Squared error as a share of the energy about the channels' means."""
    about = values(rows) - values(rows).mean(axis=0)
    return float(((values(back) - values(rows)) ** 2).sum() / (about**2).sum())


@pytest.mark.parametrize("head", [64, 128, 256])
def test_error_is_the_codebooks_whatever_the_channels_biases(head: int) -> None:
    layout = layout_of(2, 4, head)
    bits = (2, 3, 4, 6)
    rows = halves(layout, 256, 1, bias=5.0)
    back, size = there_and_back(Turbo(layout, Plan(head, bits)), rows)
    for own, got, count in zip(rows, back, bits, strict=True):
        # EDEN's scale is a little longer than the one of least error: 1/(1 - mse) of it
        mse = codebook(head, count).mse
        assert error(own, got) == pytest.approx(mse / (1 - mse), rel=0.06, abs=2e-5)
    assert size / 256 == pytest.approx(Plan(head, bits).bytes_per_token(layout), abs=5)


def test_decoded_vectors_are_right_on_average() -> None:
    """EDEN's scale: over many rotations the mean of what is decoded is the vector."""
    layout = layout_of(1, 2)
    rows = halves(layout, 16, 2)
    decoded = [values(there_and_back(Turbo(layout, Plan(HEAD, (2, 2), seed)), rows)[0][0]) for seed in range(200)]
    about = values(rows[0]) - values(rows[0]).mean(axis=0)
    along = ((np.mean(decoded, axis=0) - values(rows[0])) * about).sum() / (about**2).sum()
    assert abs(along) < 0.01


@settings(max_examples=30)
@given(
    st.integers(1, 3), st.lists(st.sampled_from([2, 3, 5, AS_IS]), min_size=2, max_size=4), st.integers(1, 9), st.integers(0, 99)
)
def test_any_plan_of_any_layout_comes_back_close(heads: int, bits: list[int], count: int, seed: int) -> None:
    layout = layout_of(heads, len(bits))
    rows = halves(layout, count, seed, bias=1.0)
    back, _ = there_and_back(Turbo(layout, Plan(HEAD, tuple(bits), seed)), rows)
    for own, got, number in zip(rows, back, bits, strict=True):
        if number == AS_IS:
            assert (own == got).all()
        else:
            assert ((values(got) - values(own)) ** 2).sum() <= 0.3 * (values(own) ** 2).sum()


@pytest.mark.parametrize("count", [1, 2, 40])
def test_a_conversations_first_token_is_kept_as_it_is(count: int) -> None:
    layout = layout_of(1, 2)
    rows = halves(layout, count, 3)
    back, _ = there_and_back(Turbo(layout, Plan(HEAD, (2, 2))), rows, start=0)
    assert all((own[0] == got[0]).all() for own, got in zip(rows, back, strict=True))
    later, _ = there_and_back(Turbo(layout, Plan(HEAD, (2, 2))), rows, start=1)
    assert count == 1 or not any((own[0] == got[0]).all() for own, got in zip(rows, later, strict=True))


def test_constant_rows_and_zeros_come_back_as_they_are() -> None:
    layout = layout_of(1, 2)
    rows = [np.full((5, HEAD), 3.25, np.float16).view(np.uint8), np.zeros((5, 2 * HEAD), np.uint8)]
    back, _ = there_and_back(Turbo(layout, Plan(HEAD, (3, 3))), rows)
    assert all((own == got).all() for own, got in zip(rows, back, strict=True))


def test_scales_far_apart_keep_their_length() -> None:
    scales = np.array([[0.0, 1e-3], [1.0, 1e3]], np.float32)
    smallest, step, codes = quantise_scales(scales)
    decoded = np.where(codes, np.exp(smallest + step * (codes.astype(float) - 1)), 0)
    assert decoded == pytest.approx(scales, rel=0.03)


def test_rows_that_are_not_finite_are_not_parked() -> None:
    layout = layout_of(1, 2)
    rows = halves(layout, 3, 0)
    rows[1].view(np.float16)[1, 2] = np.inf
    with pytest.raises(Unparkable):
        Turbo(layout, Plan(HEAD, (3, 3))).encode(np.arange(3, dtype=np.int32), rows)


def test_what_another_plan_or_codec_made_is_refused() -> None:
    layout = layout_of(1, 2)
    rows = halves(layout, 3, 0)
    tokens = np.arange(3, dtype=np.int32)
    codec = Turbo(layout, Plan(HEAD, (3, 3)))
    for other in (Turbo(layout, Plan(HEAD, (3, 2))), Turbo(layout, Plan(HEAD, (3, 3), seed=1)), Lossless(layout)):
        with pytest.raises(Corrupt):
            codec.decode_into(other.encode(tokens, rows), rows)
    with pytest.raises(Corrupt):
        codec.decode_into(codec.encode(tokens, rows)[:-1], rows)


@pytest.mark.parametrize("plan", [Plan(80, (3, 3)), Plan(64, (3,)), Plan(64, (3, 7)), Plan(128, (3, 3))])
def test_a_plan_that_does_not_fit_the_layout_is_refused(plan: Plan) -> None:
    with pytest.raises(ValueError, match=r"Heads|layers|bits|whole heads"):
        Turbo(layout_of(1, 2), plan)


def test_a_real_state_at_four_bits_is_nearer_than_its_keys_bias_would_let_it(saved: bytes) -> None:
    state = read_state(bytearray(saved))
    codec = Turbo(state.layout, Plan(HEAD, (4,) * 60))
    back = [np.zeros_like(part) for part in state.rows]
    codec.decode_into(codec.encode(state.tokens, state.rows), back)
    keys = zip(state.rows[:30], back[:30], strict=True)
    relative = np.mean([((values(got) - values(own)) ** 2).sum() / (values(own) ** 2).sum() for own, got in keys])
    assert relative < 0.6 * codebook(HEAD, 4).mse


def test_the_server_goes_on_from_a_compressed_state(slots: Slots, saved: bytes) -> None:
    state = read_state(bytearray(saved))
    tokens = state.tokens.tolist()
    slots.restore(0, coded_file(state))
    assert slots.go_on(0, [*tokens, tokens[1]], 4)[1] == len(tokens)


def coded_file(state: State) -> bytearray:
    """The state's file, every row coded in 4 bits and decoded into its place."""
    file = bytearray(state_bytes(state.layout, len(state.tokens)))
    blank = blank_state(file, state.layout, len(state.tokens))
    codec = Turbo(state.layout, Plan(HEAD, (4,) * 60))
    blank.tokens[:] = codec.decode_into(codec.encode(state.tokens, state.rows), blank.rows)
    return file
