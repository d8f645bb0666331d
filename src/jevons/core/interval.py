"""How sure a share is that was counted. Pure arithmetic; does not know what was counted."""

from math import sqrt
from statistics import NormalDist


def wilson(part: float, of: float, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval (low, high) of a share, with so many counted, or worth so many (Wilson 1927)."""
    if not of:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = part / of
    middle = share + z * z / (2 * of)
    half = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
