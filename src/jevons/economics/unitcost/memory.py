"""Whether a model and its caches fit into memory, and how many sequences at once.

Comes in: an architecture, precisions, bytes of a device's memory, a context. Goes out: a `Fit`. Does not know: parts, speed, how an engine
pages its cache.
"""

import msgspec

from jevons.economics.unitcost.architecture import Architecture
from jevons.economics.unitcost.errors import DoesNotFit
from jevons.economics.unitcost.weights import CachePrecision, Precision, mean_bits, weight_bytes
from jevons.economics.unitcost.work import sequence_bytes

RESERVE = 0.1
"""Share of memory that is kept for activations, graphs and fragments: engines' own default (vLLM 0.15: gpu_memory_utilization 0.9;
TensorRT-LLM 1.2: free_gpu_memory_fraction 0.9)."""
_GB = 1e9


class Fit(msgspec.Struct, frozen=True):
    """In bytes of all devices together."""

    memory_bytes: float
    reserve_bytes: float
    weight_bytes: float
    sequence_bytes: float
    """Keys, values and states of one sequence at its full context, with the copies that dividing the model makes."""
    token_bytes: float
    """Of them what the context's last token added; layers with a full window add nothing."""
    batch: int
    """Sequences of the full context that fit at once; at least 1."""

    @property
    def free_bytes(self) -> float:
        """For caches."""
        return self.memory_bytes - self.reserve_bytes - self.weight_bytes


def fit(
    arch: Architecture,
    precision: Precision,
    kv: CachePrecision,
    memory_bytes: float,
    context: int,
    devices: int = 1,
    reserve: float = RESERVE,
    copies: int = 1,
) -> Fit:
    """A model divided among `devices` of `memory_bytes` each.

    `copies`: how often a token's keys and values are kept: devices over heads of keys where tensor parallelism has more devices than the
    model has such heads (`Architecture.kv_heads`; a compressed cache counts as one), else 1.
    Raises DoesNotFit if not even one sequence of `context` tokens fits.
    """
    memory = memory_bytes * devices
    weights = sum(weight_bytes(arch, precision).values())
    sequence = copies * sequence_bytes(arch, kv, context)
    token = sequence - copies * sequence_bytes(arch, kv, context - 1)
    free = memory * (1 - reserve) - weights
    if free < sequence:
        raise DoesNotFit(_why(arch, precision, kv, memory_bytes, context, devices, reserve, copies))
    return Fit(memory, memory * reserve, weights, sequence, max(0.0, token), int(free // sequence) if sequence else 1)


def _why(
    arch: Architecture,
    precision: Precision,
    kv: CachePrecision,
    each: float,
    context: int,
    devices: int,
    reserve: float,
    copies: int,
) -> str:
    """How much of each there is, and every change that alone would do."""
    weights, usable = sum(weight_bytes(arch, precision).values()), each * (1 - reserve)
    sequence = copies * sequence_bytes(arch, kv, context)
    need, have = weights + sequence, usable * devices
    ways = [f"{-(-need // usable):.0f} such devices"]
    bits = 8 * (have - sequence) / arch.params_total
    if bits >= 1:
        ways.append(f"weights of {int(10 * bits) / 10} bits instead of {mean_bits(arch, precision):.1f}")
    shorter = _longest(arch, kv, (have - weights) / copies, context)
    if shorter:
        ways.append(f"a context of {shorter:,} tokens")
    return (
        f"{arch.name} in {precision.name} does not fit into {devices} × {each / _GB:.1f} GB: its weights take {weights / _GB:.2f} GB, keys and "
        f"values of {context:,} tokens in {kv.name} {sequence / _GB:.2f} GB, and {devices * each * reserve / _GB:.2f} GB are kept back "
        f"({reserve:.0%}). What would fit: {'; '.join(ways)}"
    )


def _longest(arch: Architecture, kv: CachePrecision, room: float, context: int) -> int:
    """Tokens, below `context`, that a sequence may have in so many bytes; 0 = none."""
    low, high = 0, context
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sequence_bytes(arch, kv, middle) <= room else (low, middle)
    return low
