"""How many vectors a second one core encodes and decodes. Seconds are of CPU, the best of several rounds, so that others on the machine count little."""

import time
from collections.abc import Callable

from bench.turboquant.synthetic import Quantiser, directions
from jevons.quant.turboquant import RotationName, TurboQuant

ROUNDS = 9
COORDINATES = 2_000_000


def seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """CPU seconds of the quickest round, after one that warms up."""
    work()
    best = float("inf")
    for _ in range(rounds):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return best


def rates(dim: int, bits: int, rotation: RotationName = "hadamard") -> tuple[float, float]:
    """Vectors encoded and decoded a second."""
    x = directions(COORDINATES // dim, dim, 3)
    quantiser = TurboQuant(dim, bits, rotation=rotation)
    codes = quantiser.encode(x)
    return len(x) / seconds(lambda: quantiser.encode(x)), len(x) / seconds(lambda: quantiser.decode(codes))


def encoding_rate(quantiser: Quantiser, dim: int) -> float:
    """Vectors encoded a second by any of them."""
    x = directions(COORDINATES // dim, dim, 3)
    return len(x) / seconds(lambda: quantiser.encode(x), 3)
