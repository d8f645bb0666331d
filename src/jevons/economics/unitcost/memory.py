"""Whether a model and its caches fit into memory, and how many sequences at once.

Comes in: an architecture, precisions, bytes of memory, a context. Goes out: a `Fit`. Does not know: hardware, speed.
"""

import msgspec

from jevons.economics.unitcost.architecture import Architecture
from jevons.economics.unitcost.errors import DoesNotFit
from jevons.economics.unitcost.weights import CachePrecision, Precision, weight_bytes
from jevons.economics.unitcost.work import sequence_bytes

RESERVE = 0.1
"""Share of memory that is kept for activations, graphs and fragments: engines' own default (vLLM: gpu_memory_utilization 0.9,
TensorRT-LLM: free_gpu_memory_fraction 0.9)."""


class Fit(msgspec.Struct, frozen=True):
    """In bytes of all devices together."""

    memory_bytes: float
    reserve_bytes: float
    weight_bytes: float
    sequence_bytes: float
    """Keys, values and states of one sequence at its full context."""
    batch: int
    """Sequences that fit at once."""


def fit(
    arch: Architecture,
    precision: Precision,
    kv: CachePrecision,
    memory_bytes: float,
    context: int,
    devices: int = 1,
    reserve: float = RESERVE,
    replicas: int = 1,
) -> Fit:
    """`memory_bytes`: of one device; the model is divided among `devices`, which keep `replicas` copies of the cache (tensor parallelism
    over more devices than there are heads of keys). Raises DoesNotFit if not even one sequence of `context` tokens fits."""
    memory = memory_bytes * devices
    kept = memory * reserve
    weights = sum(weight_bytes(arch, precision).values())
    sequence = replicas * sequence_bytes(arch, kv, context)
    batch = int((memory - kept - weights) // sequence) if sequence else 0
    if batch < 1:
        raise DoesNotFit(f"{arch.name} does not fit")
    return Fit(memory, kept, weights, sequence, batch)
