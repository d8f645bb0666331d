"""Whether a model and its caches fit into memory, and how many sequences at once; if not, what would.

Comes in: an architecture, precisions, bytes of a device's memory, a context, how the model is divided. Goes out: a `Fit`. Does not know:
parts, speed, how an engine pages its cache.
"""

from typing import Protocol

import msgspec

from jevons.economics.unitcost.architecture import Architecture
from jevons.economics.unitcost.errors import DoesNotFit
from jevons.economics.unitcost.weights import CachePrecision, Precision, mean_bits, weight_bytes
from jevons.economics.unitcost.work import sequence_bytes

RESERVE = 0.1
"""Share of what weights leave free that is kept back for graphs and fragments: TensorRT-LLM's own default (free_gpu_memory_fraction 0.9);
vLLM's is 0.9 of the whole memory, weights included."""
DEVICES_MOST = 1024
"""More are not proposed."""
_GB = 1e9


class Divided(Protocol):
    """How a model is divided among devices, as serving systems are (steps.System)."""

    @property
    def tensor(self) -> int:
        """Devices between which every matrix, and the heads of keys, are divided."""

    @property
    def data(self) -> int:
        """Groups that hold attention and dense matrices in whole, each for its own sequences."""

    @property
    def pipeline(self) -> int:
        """Stages of layers."""

    @property
    def spread(self) -> bool:
        """Experts are divided among all devices of a stage, instead of being in every group."""


class Division(msgspec.Struct, frozen=True):
    """The plainest `Divided`."""

    tensor: int = 1
    data: int = 1
    pipeline: int = 1
    spread: bool = False


class Fit(msgspec.Struct, frozen=True):
    """In bytes of one device."""

    memory_bytes: float
    weight_bytes: float
    activation_bytes: float
    reserve_bytes: float
    sequence_bytes: float
    """Its part of the keys, values and states of one sequence at its full context. A head of keys is not divided: with more devices than
    heads (one, where the cache is compressed) it is kept more than once."""
    sequences: float
    """Of the full context that fit at once on all devices together; at least one on each group."""

    @property
    def batch(self) -> int:
        return int(self.sequences)


def fit(
    arch: Architecture,
    precision: Precision,
    kv: CachePrecision,
    memory_bytes: float,
    context: int,
    on: Divided | None = None,
    activation_bytes: float = 0.0,
    reserve: float = RESERVE,
) -> Fit:
    """`memory_bytes`: of one device. `activation_bytes`: what a pass over the largest batch needs on it, beside weights and caches.

    free = (memory − weights − activations) × (1 − reserve), and sequences = free / bytes of a sequence on a device × groups.
    Raises DoesNotFit if not even one sequence of `context` tokens fits.
    """
    on = on or Division()
    found = _fit(arch, precision, kv, memory_bytes, context, on, activation_bytes, reserve)
    if found.sequences < on.data:
        raise DoesNotFit(_why(arch, precision, kv, context, on, found, reserve))
    return found


def _fit(
    arch: Architecture,
    precision: Precision,
    kv: CachePrecision,
    memory: float,
    context: int,
    on: Divided,
    activations: float,
    reserve: float,
) -> Fit:
    """`sequences` are 0 or less if the weights alone are too many."""
    held = weight_bytes(arch, precision)
    among = on.tensor * on.data if on.spread else on.tensor
    rest = sum(size for kind, size in held.items() if kind != "experts")
    weights = (rest / on.tensor + held["experts"] / among) / on.pipeline
    left = memory - weights - activations
    sequence = sequence_bytes(arch, kv, context) / min(on.tensor, arch.kv_heads) / on.pipeline
    return Fit(memory, weights, activations, left * reserve, sequence, left * (1 - reserve) / sequence * on.data)


def _why(
    arch: Architecture, precision: Precision, kv: CachePrecision, context: int, on: Divided, found: Fit, reserve: float
) -> str:
    """How much of each there is, and every change that would do by itself."""
    ways = []
    wider = Division(on.tensor, on.data, on.pipeline, on.spread)
    while wider.tensor * wider.data * wider.pipeline < DEVICES_MOST:
        wider = msgspec.structs.replace(wider, tensor=2 * wider.tensor)
        if _fit(arch, precision, kv, found.memory_bytes, context, wider, found.activation_bytes, reserve).sequences >= wider.data:
            ways.append(f"{wider.tensor} devices in tensor parallelism instead of {on.tensor}")
            break
    room = found.memory_bytes - found.activation_bytes - found.sequence_bytes / (1 - reserve)
    bits = mean_bits(arch, precision) * room / found.weight_bytes
    if bits >= 1:
        ways.append(f"weights of {int(10 * bits) / 10} bits instead of {mean_bits(arch, precision):.1f}")
    free = (found.memory_bytes - found.weight_bytes - found.activation_bytes) * (1 - reserve)
    shorter = _longest(arch, kv, free * min(on.tensor, arch.kv_heads) * on.pipeline, context)
    if shorter:
        ways.append(f"a context of {shorter:,} tokens")
    kept = max(0.0, found.reserve_bytes) + found.activation_bytes
    return (
        f"{arch.name} in {precision.name} does not fit: of the {found.memory_bytes / _GB:.1f} GB of each of {on.tensor * on.data * on.pipeline} "
        f"devices weights take {found.weight_bytes / _GB:.2f} GB, keys and values of one sequence of {context:,} tokens in {kv.name} "
        f"{found.sequence_bytes / _GB:.2f} GB, and {kept / _GB:.2f} GB are kept back. What would fit: {'; '.join(ways) or 'another model'}"
    )


def _longest(arch: Architecture, kv: CachePrecision, room: float, context: int) -> int:
    """Tokens, below `context`, that a sequence may have in so many bytes; 0 = none."""
    low, high = 0, context
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sequence_bytes(arch, kv, middle) <= room else (low, middle)
    return low
