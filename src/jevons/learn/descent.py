"""The least value of a smooth convex function, by L-BFGS (Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 3.1).

Comes in: the function with its gradient, a start. Goes out: the place of the least value, near enough. Does not know: what is minimised.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

REMEMBERED = 10
SUFFICIENT = 1e-4
"""Share of the decrease that the slope promises, which a step must bring (Armijo)."""
HALVINGS = 20

Numbers = NDArray[Any]


def least(of: Callable[[Numbers], tuple[float, Numbers]], start: Numbers, *, steps: int, close: float) -> Numbers:
    """Ends after `steps`, or where the largest slope is under `close`, or where no step goes down any more."""
    at, (value, slope) = start, of(start)
    pairs: deque[tuple[Numbers, Numbers, float]] = deque(maxlen=REMEMBERED)
    for _ in range(steps):
        if np.abs(slope).max() < close:
            break
        way = _way(slope, pairs)
        down = float(way @ slope)
        if not pairs:
            way, down = way / np.sqrt(-down), -np.sqrt(-down)
        length = 1.0
        for _ in range(HALVINGS):
            there = at + length * way
            new_value, new_slope = of(there)
            if new_value <= value + SUFFICIENT * length * down:
                break
            length /= 2
        else:
            break
        step, turn = there - at, new_slope - slope
        if (curved := float(step @ turn)) > 0:
            pairs.append((step, turn, curved))
        at, value, slope = there, new_value, new_slope
    return at


def _way(slope: Numbers, pairs: deque[tuple[Numbers, Numbers, float]]) -> Numbers:
    """Down, by what the last steps told of the curvature (two-loop recursion)."""
    way, shares = -slope, []
    for step, turn, curved in reversed(pairs):
        share = float(step @ way) / curved
        shares.append(share)
        way = way - share * turn
    if pairs:
        _, turn, curved = pairs[-1]
        way = way * (curved / float(turn @ turn))
    for (step, turn, curved), share in zip(pairs, reversed(shares), strict=True):
        way = way + (share - float(turn @ way) / curved) * step
    return way
