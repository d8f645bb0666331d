"""What `jevons experts` shows: one text's routing, or two languages compared.

Comes in: a model file and texts. Goes out: plain values that can be printed, sent as JSON, or pickled (native code is run `apart`).
Does not know: terminals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jevons.core.limits import EXPERTS_TEXT_TOKENS_MAX
from jevons.engine.experts import load
from jevons.engine.experts.language import Information, information, information_given, mutual_bits
from jevons.engine.experts.routing import Router, Routing
from jevons.engine.experts.sizes import sizes
from jevons.engine.native.library import open_library
from jevons.engine.native.model import Model
from jevons.engine.native.package import NativeError

TEXTS_MIN = 5
"""Of each language: with fewer there are too few ways to permute them for an interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's experts over one text. docs/experts.md says what each figure is."""

    layer: int
    tokens_by_expert: list[int]
    idle_share: float
    busiest_times_even: float
    evenness_bits: float
    doubt_bits: float | None
    """None: the router's gate is no softmax."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One token: `experts` by layer, best first."""

    id: int
    text: str
    experts: list[list[int]]


@dataclass(frozen=True, slots=True)
class Reading:
    """One text."""

    model: str
    experts: int
    used: int
    parameters: int
    active_parameters: int
    tokens: list[Piece]
    layers: list[Layer]


@dataclass(frozen=True, slots=True)
class LayerLanguage:
    """One layer's experts and the language of texts."""

    layer: int
    language: Information
    """I(expert; language)."""
    language_given_token: Information
    """I(expert; language | token): what the expert tells of the language to one who knows the token."""
    expert_bits: float
    """H(expert)."""
    token_bits: float
    """I(expert; token), less what shuffled experts show."""
    second_share: list[float]
    """By expert: the second language's share of its work, both languages counted as equally long; 0.5 for an expert that does not work."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Texts of two languages."""

    model: str
    experts: int
    used: int
    texts: tuple[int, int]
    tokens: tuple[int, int]
    permutations: int
    layers: list[LayerLanguage]
    together: Information
    """Of each token's first choices in all layers, and language."""
    token: Information
    """I(token; language): what there is to tell without any expert."""


def read(path: Path, text: str) -> Reading:
    """Raises NativeError, gguf.NotGguf, OSError."""
    found = sizes(path)
    with Model(open_library(), path) as model:
        ids = model.tokens(text)
        if len(ids) > EXPERTS_TEXT_TOKENS_MAX:
            raise NativeError(f"the text has {len(ids)} tokens; {EXPERTS_TEXT_TOKENS_MAX} can be shown")
        if not len(ids):
            raise NativeError("there is no token in this text")
        with Router(model, len(ids)) as router:
            routing, _ = router.read(ids)
        pieces = [
            Piece(int(token), model.text(ids[at : at + 1], special=True), routing.chosen[:, at].tolist())
            for at, token in enumerate(ids)
        ]
    return Reading(path.stem, found.experts, found.used, found.parameters, found.active_parameters, pieces, _layers(routing))


def _layers(routing: Routing) -> list[Layer]:
    doubts = load.doubt_bits(routing)
    known: list[float | None] = [None] * len(routing.layers) if doubts is None else doubts.tolist()
    figures = zip(
        routing.layers, routing.counts().tolist(), load.idle_share(routing).tolist(), load.largest_share(routing).tolist(),
        load.evenness_bits(routing).tolist(), known, strict=True,
    )  # fmt: skip
    return [Layer(*layer) for layer in figures]


def compare(path: Path, first: Sequence[str], second: Sequence[str], permutations: int) -> Comparison:
    """Do the experts of this model know which of two languages a text is in? A long text is read up to the model's context.

    Raises NativeError, ValueError (too few texts), gguf.NotGguf, OSError.
    """
    if min(len(first), len(second)) < TEXTS_MIN:
        raise ValueError(f"{TEXTS_MIN} texts of each language are needed, {len(first)} and {len(second)} are there")
    with Model(open_library(), path) as model:
        room = min(model.context_tokens, EXPERTS_TEXT_TOKENS_MAX)
        ids = [model.tokens(text)[:room] for text in (*first, *second)]
        with Router(model, room) as router:
            routings = [router.read(one)[0] for one in ids]
    return _compared(path.stem, ids, routings, len(first), permutations)


def _compared(name: str, ids: list[NDArray[np.int32]], routings: list[Routing], firsts: int, permutations: int) -> Comparison:
    second = np.arange(len(ids)) >= firsts
    text = np.repeat(np.arange(len(ids)), [len(one) for one in ids])
    token = np.unique(np.concatenate(ids), return_inverse=True)[1]
    cells, cell = np.unique(text * (int(token.max()) + 1) + token, return_inverse=True)
    cell_text, cell_token = np.divmod(cells, int(token.max()) + 1)
    chosen = np.concatenate([routing.chosen for routing in routings], axis=1)
    experts, used = routings[0].experts, routings[0].used
    told: list[LayerLanguage] = []
    for number, layer in zip(routings[0].layers, chosen, strict=True):
        expert = layer.ravel()
        counts = tally(text.repeat(used), expert, len(ids), experts)
        in_cells = tally(cell.repeat(used), expert, len(cells), experts)
        told.append(
            LayerLanguage(
                number,
                information(counts, second, permutations=permutations),
                information_given(in_cells, cell_token, cell_text, second[cell_text], permutations=permutations),
                float(load.entropy_bits(counts.sum(axis=0) / counts.sum())),
                mutual_bits(expert, token.repeat(used)),
                _second_share(counts, second),
            )
        )
    firsts_of_all = np.zeros(len(text), np.int64)
    for layer in chosen[:, :, 0]:
        firsts_of_all = np.unique(firsts_of_all * experts + layer, return_inverse=True)[1]
    together, alone = (
        information(tally(text, state, len(ids), int(state.max()) + 1), second, permutations=permutations)
        for state in (firsts_of_all, token)
    )
    tokens = (int((~second[text]).sum()), int(second[text].sum()))
    return Comparison(name, experts, used, (firsts, len(ids) - firsts), tokens, permutations, told, together, alone)


def _second_share(counts: NDArray[np.int64], second: NDArray[np.bool_]) -> list[float]:
    one, other = (part.sum(axis=0) / part.sum() for part in (counts[~second], counts[second]))
    both = one + other
    share: list[float] = np.divide(other, both, out=np.full(len(both), 0.5), where=both > 0).tolist()
    return share


def tally(row: NDArray[np.integer], state: NDArray[np.integer], rows: int, states: int) -> NDArray[np.int64]:
    """How often each state is seen in each row: [rows, states]."""
    return np.bincount(row * states + state, minlength=rows * states).reshape(rows, states)
