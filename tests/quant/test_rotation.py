"""Rotations: angles and lengths stay, back is back, the seed decides, and one coordinate is spread over all."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jevons.quant.rotation import Dense, Hadamard, Rotation


def rotations(dim: int, seed: int) -> tuple[Rotation, ...]:
    return Hadamard(dim, seed), Hadamard(dim, seed, rounds=2), Dense(dim, seed)


@settings(deadline=None, max_examples=25)
@given(dim=st.integers(2, 40) | st.sampled_from([64, 96, 128]), seed=st.integers(0, 2**32))
@example(dim=1536, seed=0)
def test_products_of_vectors_stay_and_backward_undoes_forward(dim: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((3, dim)).astype(np.float32)
    for rotation in rotations(dim, seed)[: 2 if dim > 128 else 3]:  # a dense one of 1536 takes seconds to draw
        y = rotation.forward(x)
        assert y @ y.T == pytest.approx(x @ x.T, abs=2e-5 * dim)
        assert rotation.backward(y) == pytest.approx(x, abs=2e-5)


@pytest.mark.parametrize("dim", [64, 96, 100, 384])
def test_no_entry_of_the_fast_rotation_is_large(dim: int) -> None:
    matrix = Hadamard(dim, 7).forward(np.eye(dim, dtype=np.float32))
    assert np.abs(matrix).max() * np.sqrt(dim) < 1.415  # 1 for powers of two, √2 at most by Hartley's matrix


def test_the_seed_decides() -> None:
    x = np.eye(16, dtype=np.float32)
    for one, same, other in zip(rotations(16, 1), rotations(16, 1), rotations(16, 2), strict=True):
        assert np.array_equal(one.forward(x), same.forward(x))
        assert not np.allclose(one.forward(x), other.forward(x))


def test_dense_is_even_over_all_rotations() -> None:
    """The diagonal of a rotation drawn evenly has mean 0; without the signs of R it would be all of one sign."""
    diagonals = np.concatenate([np.diag(Dense(8, seed).forward(np.eye(8, dtype=np.float32))) for seed in range(200)])
    assert abs(diagonals.mean()) < 4 * np.sqrt(1 / 8 / diagonals.size)
