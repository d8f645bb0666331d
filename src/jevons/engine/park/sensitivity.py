"""Measures what a model loses by coding the keys or the values of one layer, and how far sums of that are from whole plans.

In: a model file and texts of the kind that it will serve. Out: `Sensitivities`. Everything is measured on a copy with half-precision weights:
over quantised weights the engine rounds activations to 8 bits, and then any change at all, even of one key's last bit, moves predictions by
some 0.001 nats, which would drown a single layer's share. Does not know: where the result is kept, or which plan will come of it.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from jevons.engine.native.context import Context
from jevons.engine.native.library import open_library
from jevons.engine.native.model import Model
from jevons.engine.native.quantise import quantise
from jevons.engine.park.plan import AS_IS, Plan, Sensitivities, frontier
from jevons.engine.park.probe import Probe
from jevons.engine.park.states import Layout
from jevons.engine.park.turbo import Turbo

MEASURED_BITS = 3
"""Of the codes. The divergence is the codes' squared error times something: SmolLM2's falls from 2 to 3 and to 4 bits as the error does."""
READ_TOKENS = 256
FOLLOW_TOKENS = 128
WHOLE_BITS = (2.5, 3.0, 3.5, 4.25)
"""Bits per element, everything included, of the whole plans whose sums are held against a measurement."""


def measure(
    path: Path, texts: Sequence[str], *, threads: int = 1, progress: Callable[[float], None] = lambda _: None
) -> Sensitivities:
    """Every text is read through a rotation of its own. `progress` hears the share that is done. The copy takes two bytes per parameter of
    the temporary folder; the time is that of 64 continuations of
    128 tokens per text for a model of 30 layers.

    Raises `NativeError` without the native library, `Unparkable` for a model whose state cannot be taken apart, `ValueError` for texts that
    are all too short, or heads that cannot be compressed.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with TemporaryDirectory(prefix="jevons-") as folder:
        copy = Path(folder) / "half.gguf"
        quantise(path, copy, "F16", requantise=True)
        return replace(of_file(copy, texts, threads, progress), model=digest)


def of_file(path: Path, texts: Sequence[str], threads: int, progress: Callable[[float], None]) -> Sensitivities:
    with (
        Model(open_library(), path) as model,
        Context(model, READ_TOKENS + FOLLOW_TOKENS, batch_tokens=READ_TOKENS, threads=threads) as context,
    ):
        cut = (model.tokens(text)[: READ_TOKENS + FOLLOW_TOKENS] for text in texts)
        probes = [Probe(context, tokens, READ_TOKENS) for tokens in cut if len(tokens) == READ_TOKENS + FOLLOW_TOKENS]
        if not probes:
            raise ValueError(f"None of the {len(texts)} texts has {READ_TOKENS + FOLLOW_TOKENS} tokens.")
        layout, head = probes[0].layout, model.head_width
        count = len(layout.tensors)
        kld = []
        for tensor in range(count):
            only = tuple(MEASURED_BITS if place == tensor else AS_IS for place in range(count))
            kld.append(float(np.mean(np.sqrt(divergences(probes, layout, head, only))) ** 2))
            progress((tensor + 1) / (count + 1))
        found = Sensitivities("", head, MEASURED_BITS, tuple(kld), ())
        whole = [(total, float(divergences(probes, layout, head, plan.bits).mean())) for plan, total in plans_of(layout, found)]
    progress(1.0)
    return replace(found, whole=tuple(sorted(whole)))


def plans_of(layout: Layout, found: Sensitivities) -> list[tuple[Plan, float]]:
    """The largest plan of each of `WHOLE_BITS`, and the sum of its divergences."""
    elements = layout.bytes_per_token / 2
    plans = list(frontier(layout, found))
    within = ([(plan, total) for plan, size, total in plans if 8 * size <= bits * elements] for bits in WHOLE_BITS)
    return [fits[-1] for fits in within]


def divergences(probes: Sequence[Probe], layout: Layout, head: int, bits: tuple[int, ...]) -> NDArray[np.float64]:
    """Of all texts' following tokens, in nats; what rounding makes negative is 0."""
    found = [probe.divergences(Turbo(layout, Plan(head, bits, seed))) for seed, probe in enumerate(probes)]
    return np.maximum(np.concatenate(found), 0.0)
