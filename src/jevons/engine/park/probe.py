"""What a model loses when the context it has read is coded: its predictions for the tokens that follow, before and after.

In: a context of the native library, a text's tokens, a codec. Out: per following token, the Kullback-Leibler divergence of the prediction
from the one over the context as it was read. The text itself follows (teacher forcing), so both predict the same places.
Does not know: plans, budgets, where texts come from.
"""

import numpy as np
from numpy.typing import NDArray

from jevons.core.limits import PARK_BLOCK_TOKENS
from jevons.engine.native.context import Context
from jevons.engine.park.codec import Codec
from jevons.engine.park.states import Layout, State, read_memory

Logits = NDArray[np.float32]
"""float32 [tokens, vocabulary]."""


def divergences(reference: Logits, logits: Logits) -> NDArray[np.float64]:
    """KL(p ‖ q) in nats per row, p of `reference` and q of `logits`.

    With δ = the difference of the logits less its mean under p, it is log(1 + E_p[e^(-δ) - 1]): as good for the smallest divergences, where
    log p - log q is rounding, as for large ones.
    """
    weights = np.exp(reference - reference.max(axis=1, keepdims=True))
    p = weights / weights.sum(axis=1, keepdims=True)
    apart = reference - logits
    apart -= (p * apart).sum(axis=1, keepdims=True)
    return np.asarray(np.log1p((p * np.expm1(-apart)).sum(axis=1, dtype=np.float64)))


def losses(logits: Logits, targets: NDArray[np.int32]) -> NDArray[np.float64]:
    """-log p of the target per row, in nats; e to their mean is the perplexity."""
    top = logits.max(axis=1)
    total = np.log(np.exp(logits - top[:, None]).sum(axis=1, dtype=np.float64)) + top
    return np.asarray(total - logits[np.arange(len(targets)), targets])


class Probe:
    """One text. The context is the caller's, and free for the next text between two calls."""

    def __init__(self, context: Context, tokens: NDArray[np.int32], read: int) -> None:
        """The first `read` tokens are read as they are, the others follow. Raises `NativeError`, and `Unparkable` at the first coding."""
        self._context = context
        self._read = tokens[:read]
        self.follows = tokens[read:]
        context.decode(self._read, logits="none", position=0)
        self._memory = context.state()
        self.reference = context.decode(self.follows, logits="all")

        self.layout: Layout = self.state().layout

    def state(self) -> State:
        """A copy of what was read."""
        return read_memory(bytearray(self._memory), self._read)

    def logits(self, codec: Codec) -> Logits:
        """What is predicted when the context has been coded and decoded, block by block as the park does it."""
        memory = bytearray(self._memory)
        coded(read_memory(memory, self._read), codec)
        self._context.restore(bytes(memory))
        return self._context.decode(self.follows, logits="all")

    def divergences(self, codec: Codec) -> NDArray[np.float64]:
        """In nats, per token that follows."""
        return divergences(self.reference, self.logits(codec))


def coded(state: State, codec: Codec, begin: int = 0) -> int:
    """Put a state's rows from `begin` on through a codec, in place; the bytes of its payloads."""
    size = 0
    for start in range(begin, len(state.tokens), PARK_BLOCK_TOKENS):
        part = slice(start, start + PARK_BLOCK_TOKENS)
        rows = [own[part] for own in state.rows]
        payload = codec.encode(state.tokens[part], rows, start)
        codec.decode_into(payload, rows)
        size += len(payload)
    return size
