"""Codebooks: against closed forms, against the paper's figures, and against the two conditions of an optimum, integrated another way."""

from math import pi

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.quant.codebooks import codebook, mse_lower_bound, mse_upper_bound, normal_mse


def test_on_the_circle_one_bit_is_known_by_hand() -> None:
    book = codebook(2, 1)
    assert book.centroids == pytest.approx([-2 / pi, 2 / pi]) and book.mse == pytest.approx(1 - 8 / pi**2)


@pytest.mark.parametrize("bits", range(1, 9))
def test_on_the_sphere_of_three_dimensions_coordinates_are_uniform(bits: int) -> None:
    book = codebook(3, bits)
    assert book.centroids == pytest.approx((2 * np.arange(2**bits) + 1) / 2**bits - 1, abs=1e-6)
    assert book.mse == pytest.approx(4.0**-bits)


def test_the_limit_has_the_figures_of_the_paper_and_of_max() -> None:
    assert [round(normal_mse(bits), 4) for bits in (1, 2, 3, 4)] == [0.3634, 0.1175, 0.0345, 0.0095]
    two, three = (codebook(10**5, bits).centroids * 10**2.5 for bits in (2, 3))
    assert two[2:] == pytest.approx([0.4528, 1.510], abs=5e-4)  # Max, Quantizing for minimum distortion (1960), table I
    assert three[4:] == pytest.approx([0.2451, 0.7560, 1.344, 2.152], abs=5e-4)


def test_sixty_four_dimensions_have_shorter_tails_than_the_limit() -> None:
    assert codebook(64, 4).centroids[-1] * 8 == pytest.approx(0.97 * 2.7326, rel=0.005)


@settings(deadline=None, max_examples=20)
@given(d=st.integers(4, 3000), bits=st.integers(1, 8))
def test_centroids_are_means_of_their_cells_and_boundaries_midway(d: int, bits: int) -> None:
    book = codebook(d, bits)
    assert np.all(np.diff(book.centroids) > 0) and book.centroids == pytest.approx(-book.centroids[::-1])
    assert book.boundaries == pytest.approx((book.centroids[1:] + book.centroids[:-1]) / 2, abs=1e-7)
    assert list(book.magnitudes) == list(book.boundaries[2 ** (bits - 1) :])

    x = np.linspace(-1, 1, 400_001) if d < 50 else np.linspace(-9, 9, 200_001) / np.sqrt(d)
    mass = np.clip(1 - x * x, 0, None) ** ((d - 3) / 2)
    mass /= mass.sum()
    cell = np.searchsorted(book.boundaries, x)
    means = np.bincount(cell, mass * x) / np.bincount(cell, mass)
    spacing = np.diff(book.centroids).min()
    assert np.abs(means - book.centroids).max() < 0.02 * spacing
    assert d * float(mass @ (x - book.centroids[cell]) ** 2) == pytest.approx(book.mse, rel=2e-3)
    assert mse_lower_bound(bits) < book.mse < mse_upper_bound(bits)


@pytest.mark.parametrize(("d", "bits"), [(1, 4), (64, 0), (64, 9)])
def test_what_has_no_codebook_is_refused(d: int, bits: int) -> None:
    with pytest.raises(ValueError, match=r"at least 2 dimensions|1 to 8 bits"):
        codebook(d, bits)
