"""How evenly experts are used, and how many of them a batch meets.

Comes in: routing. Goes out: shares, bits, expected and counted numbers of experts. Does not know: where the routing came from.
"""

import numpy as np
from numpy.typing import NDArray

from jevons.engine.experts.routing import Routing

ROUNDING = 1e-3
"""How far from 1 a softmax may sum in 32 bits, by far."""


def idle_share(routing: Routing) -> NDArray[np.float64]:
    """[layers]: share of experts that no token of the text met."""
    idle: NDArray[np.float64] = (routing.counts() == 0).mean(axis=1)
    return idle


def evenness_bits(routing: Routing) -> NDArray[np.float64]:
    """[layers]: entropy of the experts' shares of the work; log2(experts) when all work alike, log2(used) when always the same do."""
    counts = routing.counts()
    return entropy_bits(counts / counts.sum(axis=1, keepdims=True))


def doubt_bits(routing: Routing) -> NDArray[np.float64] | None:
    """[layers]: mean entropy of the router's softmax for one token; 0 when it is sure, log2(experts) when it does not care.

    None where the gate is no softmax over all experts, so that there is no distribution whose entropy it could be: gpt-oss takes the
    softmax over the chosen ones alone, DeepSeek-V3 and GLM have sigmoids.
    """
    if (routing.shares < 0).any() or (abs(routing.shares.sum(axis=-1) - 1) > ROUNDING).any():
        return None
    doubt: NDArray[np.float64] = entropy_bits(routing.shares).mean(axis=1)
    return doubt


def largest_share(routing: Routing) -> NDArray[np.float64]:
    """[layers]: the busiest expert's work against an even share; 1 is even."""
    counts = routing.counts()
    busiest: NDArray[np.float64] = counts.max(axis=1) * routing.experts / counts.sum(axis=1)
    return busiest


def entropy_bits(shares: NDArray[np.floating]) -> NDArray[np.float64]:
    """-Σ p·log2 p over the last axis."""
    p = np.asarray(shares, np.float64)
    bits: NDArray[np.float64] = -(p * np.log2(p, out=np.zeros_like(p), where=p > 0)).sum(axis=-1)
    return bits


def expected_coverage(experts: int, used: int, batch: int) -> float:
    """Share of a layer's experts that a batch of tokens meets if each picks evenly and alone: 1 - (1 - k/E)^B."""
    return 1 - (1 - used / experts) ** batch
