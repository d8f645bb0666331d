"""How long whole steps of the engine take with one model: prompts in pieces, and tokens of several conversations together.

Comes in: a model file, threads, how many tokens are computed at once. Goes out: seconds of a step. Does not know: texts, prices, predictions.
What the tokens are does not matter, so they are numbers in a row; what is kept may be another model's, if its cache has the same form.
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from jevons.core.limits import LOCAL_BATCH_TOKENS
from jevons.engine.native.context import Context
from jevons.engine.native.library import Library, open_library
from jevons.engine.native.model import Model
from jevons.engine.rates.clock import clock

WARM_TOKENS = 8
APART = 37
"""Conversations differ by so many places, or all would take the same experts."""


class Observed(msgspec.Struct, frozen=True):
    """One kind of step: medians of the rounds."""

    new: int
    """Tokens of each conversation that are computed: 1 = decoding."""
    batch: int
    """Conversations together."""
    kept: int
    """Tokens of each that are there already."""
    seconds: float

    @property
    def tok_s(self) -> float:
        """Of all conversations."""
        return self.new * self.batch / self.seconds


class Steps:
    """One model, open. Made by `opened`."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._clock = clock(context.threads)
        self._tokens = np.arange(context.context_tokens, dtype=np.int32) % (context.model.vocabulary - 1)

    def fill(self, kept: int, state: bytes | None = None) -> bytes:
        """Let every conversation begin with `kept` tokens: from a saved state, or computed. Returns the state."""
        self.context.clear()
        if state is None:
            self.context.decode(self._tokens[:kept], logits="none")
            state = self.context.state()
        for sequence in range(self.context.sequences):
            self.context.restore(state, sequence)
        return state

    def decode(self, batch: int, kept: int, count: int = 4) -> float:
        """Seconds of a step that continues `batch` conversations, which hold `kept` tokens or more, by one token each."""
        for sequence in range(batch):
            self.context.truncate(kept, sequence)
        taken = []
        for step in range(count + 1):
            together = {
                sequence: self._tokens[(kept + step + APART * sequence) % len(self._tokens)][None] for sequence in range(batch)
            }
            began = self._clock()
            self.context.decode_together(together)
            taken.append(self._clock() - began)
        return statistics.median(taken[1:])

    def prefill(self, new: int, kept: int) -> float:
        """Seconds for `new` tokens of one conversation which holds `kept` or more; the last one's logits are computed."""
        return self._seconds(lambda: self.context.decode(self._tokens[kept : kept + new], position=kept))

    def restore(self, state: bytes) -> float:
        """Seconds to put a saved state back."""
        return self._seconds(lambda: self.context.restore(state))

    def _seconds(self, work: Callable[[], object]) -> float:
        began = self._clock()
        work()
        return self._clock() - began


@contextmanager
def opened(
    path: Path,
    threads: int,
    *,
    sequences: int,
    context_tokens: int,
    batch_tokens: int = LOCAL_BATCH_TOKENS,
    kv_type: str = "f16",
    library: Library | None = None,
) -> Iterator[Steps]:
    """A model with room for so many conversations of so many tokens. Raises NativeError."""
    with (
        Model(library or open_library(), path) as model,
        Context(
            model,
            context_tokens,
            batch_tokens=batch_tokens,
            sequences=sequences,
            threads=threads,
            type_k=kv_type,
            type_v=kv_type,
        ) as context,
    ):
        steps = Steps(context)
        for sequence in range(sequences):
            context.decode(steps._tokens[:WARM_TOKENS], sequence=sequence)
        yield steps
