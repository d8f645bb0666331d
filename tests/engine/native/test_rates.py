"""Matrix products by the engine's kernels: they compute what they claim to, and how fast is told with its spread."""

import pytest

np = pytest.importorskip("numpy")

from jevons.engine.levers.energy import read_counters  # noqa: E402
from jevons.engine.native import rates  # noqa: E402
from jevons.engine.native.apart import apart  # noqa: E402
from jevons.engine.native.graph import source  # noqa: E402
from jevons.engine.native.library import Library  # noqa: E402
from jevons.engine.native.package import NativeError  # noqa: E402

ERRORS = {"f32": 1e-6, "f16": 1e-3, "bf16": 5e-3, "q8_0": 1e-2, "q4_0": 5e-2, "q4_1": 5e-2, "q4_K": 5e-2, "Q6_K": 2e-2}
"""Largest error of a product, as a share of the largest product: what so few bits leave."""


@pytest.mark.parametrize(("kind", "error"), ERRORS.items())
def test_the_kernels_multiply_what_they_were_given(library: Library, kind: str, error: float) -> None:
    with rates.Products(library, kind, 128, 512, 3, 1 << 18) as products:
        products.round()
        found = products.first()
        assert products.count >= 1
    weights = np.resize(source(64, 512), (128, 512))
    expected = source(3, 512) @ weights.T
    assert np.abs(found - expected).max() < error * np.abs(expected).max()


def test_rates_come_with_their_spread(library: Library) -> None:
    found = apart(rates.measure, ("q8_0",), (1, 4), (1, 2), rows=128, columns=256, weights_bytes=1 << 18, seconds=0.01)
    assert [(rate.tokens, rate.threads) for rate in found] == [(1, 1), (1, 2), (4, 1), (4, 2)]
    for rate in found:
        assert 0 < rate.gflops_low <= rate.gflops <= rate.gflops_high
        assert rate.gflops / rate.weights_gb_s == pytest.approx(2 * rate.tokens / (34 / 32))
        assert rate.rounds >= rates.LEAST_ROUNDS
        assert rate.packed


def test_what_cannot_be_multiplied_is_said(library: Library) -> None:
    with pytest.raises(NativeError, match="no weight type 'q4'; there are f32, f16"):
        rates.Products(library, "q4", 64, 256, 1, 1)
    with pytest.raises(NativeError, match="q4_K needs columns that are a multiple of 256, not 64"):
        rates.Products(library, "q4_K", 64, 64, 1, 1)


def test_power_is_read_or_unknown(library: Library) -> None:
    found = apart(rates.watts, "q8_0", 4, 1, 0.01)
    assert found is None if not read_counters() else found
