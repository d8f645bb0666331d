"""Which experts fired: read from llama.cpp's graph while it computes.

Comes in: an open model, token ids. Goes out: `Routing`, the chosen experts and the router's shares for every layer and token.
Does not know: languages, statistics. llama.cpp names the tensors "ffn_moe_topk-LAYER" and "ffn_moe_probs-LAYER" (src/llama-graph.cpp).
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from jevons.engine.native.context import Context
from jevons.engine.native.model import Model
from jevons.engine.native.package import NativeError
from jevons.engine.native.watch import Watch

STORED = Path(__file__).parent / "data" / "moe-q8_0.gguf"
"""The mixture that was trained here (docs/experts.md)."""
DENSE = STORED.with_name("dense-q8_0.gguf")
"""Its dense twin of equal active size."""
PICKED = re.compile(r"ffn_moe_(topk|probs)-(\d+)")
BATCH_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Routing:
    """Of one text, or of one step of several texts. `layers` are the numbers of the layers that have experts."""

    layers: tuple[int, ...]
    experts: int
    chosen: NDArray[np.int32]
    """[layers, tokens, used], best first."""
    shares: NDArray[np.float32]
    """[layers, tokens, experts]: the router's softmax, which sums to 1 over all experts; of other gates what they have in its place."""

    @property
    def used(self) -> int:
        return int(self.chosen.shape[2])

    def counts(self) -> NDArray[np.int64]:
        """[layers, experts]: how many tokens met each expert."""
        return np.stack([np.bincount(layer.ravel(), minlength=self.experts) for layer in self.chosen])


class Router:
    """A context that remembers what its routers picked. Use as a context manager, with one text after another, or several at once."""

    def __init__(self, model: Model, context_tokens: int, *, sequences: int = 1, threads: int = 1) -> None:
        """Raises NativeError, also for a model without experts."""
        if not model.experts:
            raise NativeError(f"{model.path} has no experts: it is a dense model, and each token uses all of it")
        self._experts, self._sequences = model.experts, sequences
        self._seen: dict[str, dict[int, list[NDArray[Any]]]] = {"topk": defaultdict(list), "probs": defaultdict(list)}
        watch = Watch(lambda name: PICKED.fullmatch(name) is not None, self._keep)
        self.context = Context(
            model,
            context_tokens,
            batch_tokens=min(BATCH_TOKENS, context_tokens),
            sequences=sequences,
            threads=threads,
            watch=watch,
        )

    def read(self, tokens: NDArray[np.int32]) -> tuple[Routing, NDArray[np.float32]]:
        """One text from its beginning: its routing, and the logits after each token float32[n, vocabulary]."""
        logits = self.context.decode(tokens, logits="all", position=0)
        return self._taken(), logits

    def step(self, tokens: Sequence[int]) -> Routing:
        """One more token of each sequence, all in one batch."""
        self.context.decode_together({sequence: [token] for sequence, token in enumerate(tokens)})
        return self._taken()

    def _keep(self, name: str, values: NDArray[Any]) -> None:
        found = PICKED.fullmatch(name)
        assert found is not None
        kind, layer = found.groups()
        self._seen[kind][int(layer)].append(values)

    def _taken(self) -> Routing:
        layers = tuple(sorted(self._seen["topk"]))
        if not layers:
            raise NativeError("this model's routers cannot be read: its graph has no tensor of the name ffn_moe_topk")
        chosen, shares = (np.stack([np.concatenate(self._seen[kind][layer]) for layer in layers]) for kind in ("topk", "probs"))
        for kept in self._seen.values():
            kept.clear()
        return Routing(layers, self._experts, chosen, shares)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()
