"""How well a model continues text that it has not seen: bits per byte, by language.

Comes in: an open model, held-out pages. Goes out: bits and bytes of each page. Does not know: which twin it is.
A byte is the same for every vocabulary; perplexity by token is not.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.twins.text import Pair
from jevons.engine.native.context import Context
from jevons.engine.native.model import Model

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Loss:
    """Over pages, each read from its beginning up to the context the model was trained for. All arrays [pages]."""

    bits: NDArray[np.float64]
    bytes: NDArray[np.float64]
    tokens: NDArray[np.float64]

    @property
    def bits_per_byte(self) -> float:
        return float(self.bits.sum() / self.bytes.sum())

    @property
    def perplexity(self) -> float:
        return float(2 ** (self.bits.sum() / self.tokens.sum()))

    def less(self, other: "Loss") -> tuple[float, float, float]:
        """Bits per byte that this one needs more than the other on the same pages, and the 95 % interval of a bootstrap over pages."""
        gain = self.bits - other.bits
        rows = np.random.default_rng(5).integers(len(gain), size=(RESAMPLES, len(gain)))
        low, high = np.quantile(gain[rows].sum(axis=1) / self.bytes[rows].sum(axis=1), (0.025, 0.975))
        return float(gain.sum() / self.bytes.sum()), float(low), float(high)


def loss(model: Model, pages: list[Pair], language: str) -> Loss:
    rows = []
    with Context(model, model.context_tokens, batch_tokens=model.context_tokens, threads=1) as context:
        for page in pages:
            ids = model.tokens(getattr(page, language))[: model.context_tokens]
            logits = context.decode(ids, logits="all", position=0)[:-1].astype(np.float64)
            top = logits.max(axis=1)
            nats = top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - logits[np.arange(len(logits)), ids[1:]]
            rows.append((nats.sum() / np.log(2), len(model.text(ids[1:]).encode()), len(logits)))
    bits, sizes, tokens = np.array(rows, np.float64).T
    return Loss(bits, sizes, tokens)
