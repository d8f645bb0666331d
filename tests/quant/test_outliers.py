"""Fractional bits: outlier channels are found, get their bit more, and the size is what was asked for."""

import numpy as np
import pytest

from jevons.quant.codebooks import codebook
from jevons.quant.outliers import OutlierTurboQuant, outlier_channels, outlier_count
from jevons.quant.turboquant import TurboQuant


def test_half_a_bit_more_is_spent_where_the_energy_is() -> None:
    x = np.random.default_rng(0).standard_normal((3000, 128)).astype(np.float32)
    loud = np.arange(0, 128, 2)
    x[:, loud] *= 5
    channels = outlier_channels(x, 2.5)
    assert list(channels) == list(loud)
    quantiser = OutlierTurboQuant(128, 2.5, channels, scale="mse")
    codes = quantiser.encode(x)
    assert quantiser.bits_per_element == 2.5 + 2 * 16 / 128 and len(codes) == 3000
    assert (
        sum(part.packed.nbytes + part.scales.nbytes for part in (codes.outliers, codes.others))
        == 3000 * quantiser.bytes_per_vector
    )
    error = float(np.square(quantiser.decode(codes) - x).sum() / np.square(x).sum())
    assert error == pytest.approx((25 * codebook(64, 3).mse + codebook(64, 2).mse) / 26, rel=0.02)
    plain = TurboQuant(128, 2, scale="mse")
    assert error < 0.35 * float(np.square(plain.decode(plain.encode(x)) - x).sum() / np.square(x).sum())


def test_the_papers_split_is_a_quarter_of_the_channels() -> None:
    assert outlier_count(128, 2.25) == 32 and outlier_count(128, 2.5) == 64 and outlier_count(128, 3.5) == 64
    assert OutlierTurboQuant(128, 2.25, range(32)).bits_per_element == 2.25 + 0.25


def test_channels_that_do_not_make_the_bits_are_refused() -> None:
    for channels in (range(32), [*range(63), 128], [1] * 64):
        with pytest.raises(ValueError, match="need 64 different outliers"):
            OutlierTurboQuant(128, 2.5, channels)
