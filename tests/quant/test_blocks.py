"""Blocks with a scale and a zero point: how far a weight can be off, and what is stored for it."""

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from jevons.quant.blocks import BITS, Array, Blocks, Format, by_range, by_search

FORMATS = st.builds(Format, st.sampled_from(BITS), st.sampled_from((8, 16, 32, 64)), st.booleans())
WEIGHTS = arrays.arrays(np.float32, (3, 64), elements=st.floats(-60_000, 60_000, width=32), fill=st.floats(-1, 1, width=32))
BELL = (np.random.default_rng(5).standard_normal((512, 128)) * 0.05).astype(np.float32)


def mse(weights: Array, blocks: Blocks, importance: Array | None = None) -> float:
    return float((np.square(blocks.decode() - weights) * (1 if importance is None else importance)).mean())


@given(WEIGHTS, FORMATS)
@settings(deadline=None, max_examples=40)
def test_no_weight_is_off_by_more_than_half_a_step(weights: Array, form: Format) -> None:
    blocks = by_range(weights, form)
    off = np.abs(blocks.decode() - weights).reshape(-1, form.block).max(axis=1)
    step = np.abs(blocks.scales.astype(np.float32))
    rounding = np.abs(weights).reshape(-1, form.block).max(axis=1) * 2.0**-20 + 2.0**-24  # the smallest scale of half precision
    assert (off <= step * 0.501 + rounding).all()


@given(WEIGHTS, FORMATS)
@settings(deadline=None, max_examples=20)
def test_a_search_never_does_worse_than_the_range(weights: Array, form: Format) -> None:
    assert mse(weights, by_search(weights, form)) <= mse(weights, by_range(weights, form)) * (1 + 1e-5)


@pytest.mark.parametrize("bits", BITS)
def test_bits_per_weight_count_scales_and_zero_points(bits: int) -> None:
    for form, overhead in ((Format(bits, 32), 1), (Format(bits, 32, affine=False), 0.5), (Format(bits, 128), 0.25)):
        assert form.bits_per_weight == bits + overhead
        assert by_range(BELL, form).nbytes * 8 == form.bits_per_weight * BELL.size


def test_the_fewer_the_bits_the_more_a_search_gains() -> None:
    gains = [1 - mse(BELL, by_search(BELL, Format(bits))) / mse(BELL, by_range(BELL, Format(bits))) for bits in (2, 3, 4, 8)]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 0.35


def test_a_search_spends_its_error_where_it_matters_least() -> None:
    importance = np.where(np.arange(128) % 8 == 0, 50, 1).astype(np.float32)
    plain, weighed = by_search(BELL, Format(3)), by_search(BELL, Format(3), importance)
    assert mse(BELL, weighed, importance) < 0.9 * mse(BELL, plain, importance)
    assert mse(BELL, weighed) > mse(BELL, plain)


def test_the_error_is_that_of_ggml() -> None:
    of_ggml = gguf.dequantize(gguf.quantize(BELL, gguf.GGMLQuantizationType.Q4_1), gguf.GGMLQuantizationType.Q4_1)
    assert mse(BELL, by_range(BELL, Format(4, 32))) == pytest.approx(float(np.square(of_ggml - BELL).mean()), rel=0.01)


def test_equal_weights_and_zeros_have_no_step() -> None:
    for affine in (True, False):
        assert not by_range(np.zeros((1, 32), np.float32), Format(2, 32, affine)).decode().any()
    level = by_search(np.full((1, 32), 0.5, np.float32), Format(2))
    assert not level.scales.any()
    assert (level.decode() == 0.5).all()


def test_the_edges_of_half_precision_are_kept() -> None:
    edges = np.random.default_rng(9).choice(np.array([-65_504, 65_504, 0, 1, 6e-8], np.float32), (64, 32))
    for bits in BITS:
        for affine in (True, False):
            form = Format(bits, 16, affine)
            assert np.isfinite(by_search(edges, form).decode()).all()
            assert mse(edges, by_search(edges, form)) <= mse(edges, by_range(edges, form)) * (1 + 1e-5)
    assert by_range(np.empty((0, 32), np.float32), Format(4)).decode().shape == (0, 32)


def test_what_cannot_be_stored_is_refused() -> None:
    with pytest.raises(ValueError, match="not whole blocks of 32"):
        by_range(np.zeros((2, 48), np.float32), Format(4))
    for weight in (np.nan, np.inf, 1e6):
        with pytest.raises(ValueError, match="half precision"):
            by_search(np.full((1, 32), weight, np.float32), Format(4))
    with pytest.raises(ValueError, match="64 columns"):
        by_search(np.zeros((1, 64), np.float32), Format(4), np.ones(32, np.float32))
    with pytest.raises(ValueError, match="5 bits are not offered"):
        Format(5)
    with pytest.raises(ValueError, match="whole bytes"):
        Format(4, 12)
