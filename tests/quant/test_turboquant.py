"""TurboQuant for squared error: as good as the theory says, unbiased, true to its size, and plain about input it cannot take."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from jevons.quant.codebooks import codebook
from jevons.quant.turboquant import RotationName, ScaleName, TurboQuant

Floats = NDArray[np.float32]
ROTATIONS: tuple[RotationName, ...] = ("hadamard", "hadamard2", "dense")
SCALES: tuple[ScaleName, ...] = ("eden", "norm", "mse")


def directions(count: int, dim: int, seed: int = 0) -> Floats:
    x = np.random.default_rng(seed).standard_normal((count, dim))
    unit: Floats = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return unit


def mse(quantiser: TurboQuant, x: Floats) -> float:
    return float(np.square(quantiser.decode(quantiser.encode(x)) - x).sum(1).mean())


@pytest.mark.parametrize("rotation", ["hadamard", "dense"])
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_the_error_is_the_theorys_within_one_percent(bits: int, rotation: RotationName) -> None:
    quantiser = TurboQuant(128, bits, rotation=rotation, scale="mse")
    assert mse(quantiser, directions(6000, 128)) == pytest.approx(codebook(128, bits).mse, rel=0.01)


@pytest.mark.parametrize("dim", [64, 384])
def test_the_error_is_the_theorys_at_other_dimensions_and_widths(dim: int) -> None:
    x = directions(3000, dim)
    for bits in (2, 5, 8):
        assert mse(TurboQuant(dim, bits, scale="mse"), x) == pytest.approx(codebook(dim, bits).mse, rel=0.01)


@settings(deadline=None, max_examples=60)
@given(x=arrays(np.float32, (4, 24), elements=st.floats(-1000, 1000, width=32)), bits=st.integers(1, 8))
def test_edens_scale_gives_every_vector_its_own_product_with_itself(x: Floats, bits: int) -> None:
    lengths = np.square(x.astype(np.float64)).sum(1)
    quantiser = TurboQuant(24, bits)
    products = np.sum(quantiser.decode(quantiser.encode(x)).astype(np.float64) * x, axis=1)
    held = lengths > 1e-4  # below a length of .01 the 16-bit number is coarser
    assert products[held] == pytest.approx(lengths[held], rel=2e-3)


@pytest.mark.parametrize("length", [1e4, 1.0, 1e-3, 6.2e-5, 1e-6, 1e-7, 1e-8])
def test_a_length_is_off_by_no_more_than_is_said(length: float) -> None:
    x = directions(64, 128)
    quantiser = TurboQuant(128, 4, scale="mse")
    stored = quantiser.encode(length * x).scales.astype(np.float64)
    assert np.abs(stored - length).max() <= max(length * 2**-11, 2**-25) * 1.001  # the length itself is summed in 32 bits
    assert (stored == 0).all() == (length < 2.9e-8)


def test_over_rotations_eden_is_right_on_average_and_the_papers_scale_is_short() -> None:
    x = directions(1, 64)
    means = {
        scale: np.mean([(q := TurboQuant(64, 2, scale=scale, seed=seed)).decode(q.encode(x)) for seed in range(800)], axis=0)
        for scale in SCALES
    }
    assert np.square(means["eden"] - x).sum() < 3 * 0.14 / 800  # the variance of one, over 800, which has expectation 1 ×
    assert float(np.sum(means["mse"] * x)) == pytest.approx(1 - codebook(64, 2).mse, rel=0.01)
    assert np.square(means["mse"] - x).sum() > 0.9 * codebook(64, 2).mse ** 2


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_edens_error_of_inner_products_is_known(bits: int) -> None:
    """The error is at right angles to x and even in the other directions: its square is D/(1 − D), of which a query sees 1/(d − 1)."""
    x, q = pairs()
    quantiser, error = TurboQuant(128, bits), codebook(128, bits).mse
    expected = (1 - 0.29**2) / 127 * error / (1 - error)
    seen = np.sum(q * (quantiser.decode(quantiser.encode(x)) - x), axis=1)
    assert float(np.square(seen).mean()) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize(("scale", "figure"), [("norm", 0.144), ("mse", 0.255)])
def test_the_other_scales_err_as_was_measured_before(scale: ScaleName, figure: float) -> None:
    """d·E(⟨q, x̂⟩ − ⟨q, x⟩)² at 2 bits, by another implementation."""
    x, q = pairs()
    quantiser = TurboQuant(128, 2, scale=scale)
    seen = np.sum(q * (quantiser.decode(quantiser.encode(x)) - x), axis=1)
    assert 128 * float(np.square(seen).mean()) == pytest.approx(figure, rel=0.06)


def pairs() -> tuple[Floats, Floats]:
    """Directions, and queries at a cosine of .29 to them."""
    x, other = directions(6000, 128), directions(6000, 128, seed=1)
    other -= np.sum(other * x, axis=1, keepdims=True) * x
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    return x, np.float32(0.29) * x + np.float32((1 - 0.29**2) ** 0.5) * other


def test_products_with_queries_are_those_of_the_decoded() -> None:
    x, queries = directions(700, 96), directions(5, 96, seed=1)
    quantiser = TurboQuant(96, 3)
    codes = quantiser.encode(x)
    assert quantiser.inner_products(codes, queries) == pytest.approx(queries @ quantiser.decode(codes).T, abs=1e-5)


@pytest.mark.parametrize("bits", [1, 3, 4, 8])
def test_bytes_are_what_is_stored(bits: int) -> None:
    quantiser = TurboQuant(100, bits)
    codes = quantiser.encode(directions(3, 100))
    assert codes.packed.nbytes + codes.scales.nbytes == 3 * quantiser.bytes_per_vector == 3 * (-(-100 * bits // 8) + 2)
    assert quantiser.bits_per_element == 8 * quantiser.bytes_per_vector / 100


def test_sparse_vectors_keep_the_promise_by_two_rounds_or_a_dense_rotation() -> None:
    """One round gives a vector of one coordinate 128 equal magnitudes, which no codebook was made for; EDEN's scale makes even that exact."""
    spike = np.eye(128, dtype=np.float32)
    promised = codebook(128, 2).mse
    errors = {
        name: np.mean([mse(TurboQuant(128, 2, rotation=name, scale="mse", seed=s), spike) for s in range(40)])
        for name in ROTATIONS
    }
    assert errors["hadamard"] == pytest.approx((1 - float(codebook(128, 2).centroids[-1]) * 128**0.5) ** 2, rel=0.01)
    assert errors["hadamard"] > 2 * promised
    assert errors["hadamard2"] == pytest.approx(promised, rel=0.07) and errors["dense"] == pytest.approx(promised, rel=0.03)
    assert mse(TurboQuant(128, 2), spike) < 1e-6


def test_one_round_is_not_unbiased_for_two_coordinates_and_two_rounds_are() -> None:
    """The squared length of the mean error over rotations: with one round two coordinates make two magnitudes, rounded alike each time."""
    x = np.zeros((1, 128), np.float32)
    x[0, [5, 77]] = 0.98, np.sqrt(1 - 0.98**2)
    quantisers: dict[RotationName, list[TurboQuant]] = {
        name: [TurboQuant(128, 2, rotation=name, seed=seed) for seed in range(300)] for name in ("hadamard", "hadamard2")
    }
    bias = {
        name: float(np.square(np.mean([q.decode(q.encode(x)) - x for q in each], axis=0)).sum())
        for name, each in quantisers.items()
    }
    assert bias["hadamard"] > 0.02 and bias["hadamard2"] < 3 * 0.13 / 300


def test_types_and_layouts_do_not_matter() -> None:
    x = directions(10, 64).astype(np.float16)
    quantiser = TurboQuant(64, 4)
    codes = quantiser.encode(x)
    wide = np.zeros((20, 128))
    wide[::2, ::2] = x
    for same in (x.astype(np.float64), np.asfortranarray(x.astype(np.float32)), wide[::2, ::2], x.tolist()):
        again = quantiser.encode(same)
        assert np.array_equal(again.packed, codes.packed) and np.array_equal(again.scales, codes.scales)
    whole = quantiser.encode(np.eye(64, dtype=np.int8))
    assert quantiser.decode(whole) == pytest.approx(np.eye(64), abs=0.1)


@pytest.mark.parametrize("scale", SCALES)
def test_nothing_and_zeros_come_back_as_they_went(scale: ScaleName) -> None:
    quantiser = TurboQuant(64, 3, scale=scale)
    none = quantiser.encode(np.empty((0, 64)))
    assert len(none) == 0 and quantiser.decode(none).shape == (0, 64)
    assert quantiser.inner_products(none, np.ones((2, 64))).shape == (2, 0)
    zeros = quantiser.encode(np.zeros((2, 64)))
    assert not zeros.scales.any() and not quantiser.decode(zeros).any()


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (np.nan, "Vector 700 holds NaN or infinity"),
        (-np.inf, "Vector 700 holds NaN"),
        (1e300, "Vector 700 is too long"),
        (66_000.0, "too long"),
    ],
)
def test_a_vector_that_cannot_be_encoded_is_named(value: float, complaint: str) -> None:
    x = np.zeros((1000, 64))
    x[700, 3] = value
    with pytest.raises(ValueError, match=complaint):
        TurboQuant(64, 4).encode(x)


def test_other_shapes_and_foreign_codes_are_refused() -> None:
    quantiser = TurboQuant(64, 4)
    for wrong in (np.zeros(64), np.zeros((2, 63)), np.zeros((2, 64), complex), np.full((2, 64), "x")):
        with pytest.raises(ValueError, match=r"real numbers \[n, 64\]"):
            quantiser.encode(wrong)
    with pytest.raises(ValueError, match="not made by a quantiser of 64 dimensions and 4 bits"):
        quantiser.decode(TurboQuant(64, 3).encode(np.zeros((1, 64))))
