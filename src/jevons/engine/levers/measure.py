"""Rates of a model's reference and quantised weights, alone and in a batch, and what putting a parked token back takes.

Comes in: two files of one model, a text, threads. Goes out: `Measured`. Both files are open at once and asked by turns, so that what else
the machine does hits both; of the rounds the median counts. Run it through `native.apart`: native code ends the process that it fails in.
Does not know: prices, which lever saves what.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from jevons.core.limits import PARK_BLOCK_TOKENS
from jevons.engine.levers.energy import joules_since, read_counters
from jevons.engine.native.context import Context
from jevons.engine.native.library import open_library
from jevons.engine.native.model import Model
from jevons.engine.park.budget import sensitivities
from jevons.engine.park.codec import Codec, Lossless
from jevons.engine.park.plan import HEADS, Plan, plan_for
from jevons.engine.park.states import Layout, read_memory
from jevons.engine.park.turbo import Turbo
from jevons.engine.weights.probe import kld, log_softmax

UNMEASURED_BITS = 4
"""Bits of every layer where nobody has measured which need more."""
BEFORE_DECODING = 32
"""Tokens that a sequence has before its rate of decoding is taken."""


class Sizes(msgspec.Struct, frozen=True):
    """How much is measured."""

    prompt: int = 512
    decoded: int = 32
    batch: int = 8
    rounds: int = 3


class Weights(msgspec.Struct, frozen=True):
    """One file's rates, tokens per second."""

    file: str
    size_bytes: int
    prefill_tok_s: float
    decode_tok_s: float
    batch_tok_s: float
    """Of all sequences of the batch together."""


class Parked(msgspec.Struct, frozen=True):
    """One way to park."""

    bytes_per_token: float
    restore_token_s: float
    """Decode the blocks, and put the state back."""
    kld: float | None
    """Nats per token that it is expected to cost; None: nobody has measured this model."""


class Measured(msgspec.Struct, frozen=True):
    threads: int
    sizes: Sizes
    reference: Weights
    quantised: Weights
    quantised_kld: float
    """Mean nats per token against the reference, on the text."""
    lossless: Parked
    compressed: Parked | None
    """None: heads of this size cannot be compressed."""
    watts: float | None
    """While it measured, of the whole processor; None where its counters cannot be read."""


def measure(reference: Path, quantised: Path, text: str, plans: Path, kld_max: float, threads: int, sizes: Sizes) -> Measured:
    """`plans`: folder of the operator's own measures of compression. Raises NativeError, ValueError for a text that is too short."""
    counters, began = read_counters(), time.perf_counter()
    with _open(reference, threads, sizes) as plain, _open(quantised, threads, sizes) as small:
        tokens = plain.model.tokens(text)[: sizes.prompt]
        if len(tokens) < sizes.prompt:
            raise ValueError(f"the text has {len(tokens)} tokens, and {sizes.prompt} are needed")
        rounds = [(_rates(plain, tokens, sizes), _rates(small, tokens, sizes)) for _ in range(sizes.rounds)]
        divergence = _divergence(plain, small, tokens)
        lossless, compressed = _parked(small, tokens, quantised, plans, kld_max, sizes.rounds)
    joules = joules_since(counters)
    return Measured(
        threads,
        sizes,
        _weights(reference, [pair[0] for pair in rounds]),
        _weights(quantised, [pair[1] for pair in rounds]),
        divergence,
        lossless,
        compressed,
        None if joules is None else joules / (time.perf_counter() - began),
    )


def weights(path: Path, text: str, threads: int, sizes: Sizes) -> Weights:
    """Rates of one model by itself. Raises NativeError, ValueError."""
    with _open(path, threads, sizes) as context:
        tokens = context.model.tokens(text)[: sizes.prompt]
        rounds = [_rates(context, tokens, sizes) for _ in range(sizes.rounds)]
    return _weights(path, rounds)


@contextmanager
def _open(path: Path, threads: int, sizes: Sizes) -> Iterator[Context]:
    tokens = max(sizes.prompt, BEFORE_DECODING + sizes.decoded)
    with (
        Model(open_library(), path) as model,
        Context(model, tokens, batch_tokens=sizes.prompt, sequences=sizes.batch, threads=threads) as context,
    ):
        context.decode(model.tokens("warm")[:1])
        context.clear()
        yield context


def _rates(context: Context, tokens: NDArray[np.int32], sizes: Sizes) -> tuple[float, float, float]:
    context.clear()
    prefill_s = _seconds(lambda: context.decode(tokens))
    alone_s = _decoding_s(context, tokens, 1, sizes.decoded)
    batch_s = _decoding_s(context, tokens, sizes.batch, sizes.decoded)
    return len(tokens) / prefill_s, sizes.decoded / alone_s, sizes.batch * sizes.decoded / batch_s


def _decoding_s(context: Context, tokens: NDArray[np.int32], sequences: int, count: int) -> float:
    context.clear()
    for sequence in range(sequences):
        context.decode(tokens[sequence : sequence + BEFORE_DECODING], logits="none", sequence=sequence)

    def decode() -> None:
        for place in range(count):
            context.decode_together({sequence: [int(tokens[place + sequence])] for sequence in range(sequences)})

    return _seconds(decode)


def _divergence(plain: Context, small: Context, tokens: NDArray[np.int32]) -> float:
    plain.clear()
    small.clear()
    truth, logs = (log_softmax(context.decode(tokens, logits="all")[:-1]) for context in (plain, small))
    return float(kld(truth, logs).mean())


def _parked(
    context: Context, tokens: NDArray[np.int32], path: Path, plans: Path, kld_max: float, rounds: int
) -> tuple[Parked, Parked | None]:
    context.clear()
    context.decode(tokens, logits="none")
    data = bytearray(context.state())
    layout = read_memory(data, tokens).layout
    exact = Lossless(layout)
    lossless = Parked(exact.bytes_per_token, _restore_s(context, exact, data, tokens, layout, rounds), 0.0)
    if context.model.head_width not in HEADS:
        return lossless, None
    with path.open("rb") as file:
        known = sensitivities(file_digest(file, "sha256").hexdigest(), plans)
    if known:
        plan = plan_for(layout, known, kld_max=kld_max)
        cost = known.expected(sum(known.of(place, bits) for place, bits in enumerate(plan.bits)))
    else:
        plan, cost = Plan(context.model.head_width, (UNMEASURED_BITS,) * len(layout.tensors)), None
    coded = Turbo(layout, plan)
    return lossless, Parked(coded.bytes_per_token, _restore_s(context, coded, data, tokens, layout, rounds), cost)


def _restore_s(context: Context, codec: Codec, data: bytearray, tokens: NDArray[np.int32], layout: Layout, rounds: int) -> float:
    """Seconds per token, the median of the rounds after one that is not counted."""
    state = read_memory(data, tokens)
    parts = [slice(start, start + PARK_BLOCK_TOKENS) for start in range(0, len(tokens), PARK_BLOCK_TOKENS)]
    blocks = [codec.encode(tokens[part], [rows[part] for rows in state.rows], part.start) for part in parts]
    copy = bytearray(data)
    target = read_memory(copy, tokens)

    def restore() -> None:
        for part, block in zip(parts, blocks, strict=True):
            codec.decode_into(block, [rows[part] for rows in target.rows])
        context.restore(bytes(copy))

    return statistics.median([_seconds(restore) for _ in range(rounds + 1)][1:]) / len(tokens)


def _weights(path: Path, rounds: list[tuple[float, float, float]]) -> Weights:
    return Weights(path.name, path.stat().st_size, *(statistics.median(rates) for rates in zip(*rounds, strict=True)))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
