"""One run that measures what the prediction of the local engine needs: operations, tiny models' steps, three whole steps of one model.

Comes in: a model file, how the engine computes (threads, CPU back end, type of its cache). Goes out: `Calibrated`, seconds. Does not know:
what they are used for. For `apart`.
"""

import statistics
from pathlib import Path

import msgspec

from jevons.core.limits import LOCAL_SLOTS
from jevons.engine.experts.routing import DENSE, STORED
from jevons.engine.gguf import tensors
from jevons.engine.native.library import open_library
from jevons.engine.rates.kernels import Bench, Kernels
from jevons.engine.rates.steps import Observed, opened

KEPT, NEW = 128, 256
TINY_KEPT, TINY_STEPS = 32, 12
ROUNDS = 5
COMMON = ("F16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K")
"""Types that are always measured: most files are made of these."""


class Calibrated(msgspec.Struct, frozen=True):
    """Medians of the rounds."""

    kernels: Kernels
    tiny_s: float
    """A step of one conversation of the dense model that comes with Jevons, which has four layers of next to nothing."""
    mixture_s: float
    """The same of the mixture."""
    points: list[Observed]
    """Whole steps of the model."""
    restore_token_s: float
    """To put one kept token of the model back from a state in memory."""


def types(path: Path) -> tuple[list[str], list[str]]:
    """Types of a file's matrices, and of its stacks of experts. Raises gguf.NotGguf, OSError."""
    matrices = [tensor for tensor in tensors(path) if len(tensor.shape) > 1]
    stacks = {tensor.type for tensor in matrices if "_exps." in tensor.name}
    return sorted({tensor.type for tensor in matrices if "_exps." not in tensor.name}), sorted(stacks)


def calibrate(path: Path, threads: int, *, variant: str | None = None, kv_type: str = "f16", quick: bool = False) -> Calibrated:
    """In half a minute. `quick`: the types of the file alone, and one round. Raises NativeError, gguf.NotGguf, OSError."""
    library = open_library(variant=variant)
    asked = [types(file) for file in (path, DENSE, STORED)]
    matrices = sorted({*(() if quick else COMMON), *(kind for found, _ in asked for kind in found)})
    stacks = sorted({kind for _, found in asked for kind in found})
    phases = [(1, 1), (1, LOCAL_SLOTS), (NEW, 1)]
    seconds: dict[tuple[int, int], list[float]] = {phase: [] for phase in phases}
    tiny: dict[Path, list[float]] = {DENSE: [], STORED: []}
    restored: list[float] = []
    with (
        Bench(library, matrices, threads, expert_types=stacks, kv_type=kv_type) as bench,
        opened(path, threads, sequences=LOCAL_SLOTS, context_tokens=KEPT + NEW, kv_type=kv_type, library=library) as steps,
    ):
        state = steps.fill(KEPT)
        for _ in range(1 if quick else ROUNDS):
            bench.round()
            for new, batch in phases:
                seconds[new, batch].append(steps.decode(batch, KEPT) if new == 1 else steps.prefill(new, KEPT))
            restored.append(steps.restore(state))
            for file, taken in tiny.items():
                with opened(file, threads, sequences=1, context_tokens=4 * TINY_KEPT, library=library) as one:
                    one.fill(TINY_KEPT)
                    taken.append(one.decode(1, TINY_KEPT, TINY_STEPS))
        return Calibrated(
            bench.figures(),
            statistics.median(tiny[DENSE]),
            statistics.median(tiny[STORED]),
            [Observed(new, batch, KEPT, statistics.median(taken)) for (new, batch), taken in seconds.items()],
            statistics.median(restored) / KEPT,
        )
