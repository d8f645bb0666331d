"""What a step of the local engine takes: its operations' times on this machine, added up over a model's file.

Comes in: an architecture, the weights of a GGUF file with their types, `Rates` measured on this machine (engine/rates). Goes out: seconds
of a step, of a prompt; tokens a second. Does not know: files, clocks, prices.

    step = Σ weights [ size × product(type, width, rows) ] + Σ layers [ heads × looks × look + KV heads × kept × read ] + Σ small operations
         + layers × overhead

`rows` are the tokens computed at once. A product is measured: with one row reading and unpacking a weight is what costs, with many the
multiplication, and between them a kernel goes in steps of four or eight rows; short matrix rows cost more a weight. A look is one query head
at one kept token, and what is kept is read once a step: attention is linear in what is kept, so a prompt's is quadratic. An expert of a
mixture meets rows × used / experts met of the rows, if the router is even. What goes with every layer beside its operations (views, building
the graph) is what tiny models take, whose operations are next to nothing. A last factor, of
whole steps observed, is of steps of one row: they wait for weights to be read, in the whole model otherwise than in a loop over a few matrices.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple, Protocol

import msgspec

from jevons.economics.unitcost.architecture import Architecture, Attention, Dense, Experts
from jevons.economics.unitcost.errors import UnknownFact

TILE = 64
"""Queries and kept tokens of one tile, from so many queries of a conversation on (GGML_FA_TILE_Q, GGML_FA_TILE_KV)."""
CHUNK_TOKENS = 64
"""Prompt tokens that Jevons' engine computes at once (LOCAL_BATCH_TOKENS)."""
MIXTURE_CALLS = 8
"""Small operations that choose experts and weigh what they say, beyond those of a dense layer (build_moe_ffn in llama-graph.cpp)."""
TINY_KEPT = 32
"""Tokens that the tiny models hold when their steps are observed."""
TABLE, OUTPUT = "token_embd.weight", "output.weight"

Line = list[tuple[int, float]]
Sizes = dict[tuple[str, int], int]
"""(Type, width of a row) -> weights."""


class Weight(Protocol):
    """One tensor of a file, as engine/gguf.py reads it."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def type(self) -> str: ...


class Rates(msgspec.Struct, frozen=True):
    """This machine, measured: the fields of engine/rates/kernels.py, and what whole steps added."""

    threads: int
    variant: str
    kv_type: str
    products: dict[str, dict[int, Line]]
    """Type -> width of a row -> (rows, seconds for each weight)."""
    expert_products: dict[str, dict[int, Line]]
    attention: dict[int, tuple[float, float, float]]
    """Width of a head -> seconds of a look, of a look in tiles, of reading one kept token's key and value."""
    small: dict[str, tuple[float, float]]
    """Operation -> seconds of a call, of an element."""
    layer_s: float = 0.0
    """What goes with every layer of a step, beside its operations."""
    mixture_layer_s: float = 0.0
    """The same where it has experts: choosing and gathering them."""
    factor: float = 1.0
    """Observed : predicted, of whole steps of one row. Of steps of several rows the sum is believed: what computes takes as long in a loop."""

    def product(self, kind: str, width: int, rows: float, expert: bool = False) -> float:
        """Seconds for each weight of a type, in a matrix of that width, multiplied with `rows` vectors at once. Raises UnknownFact."""
        among = self.expert_products if expert else self.products
        lines = {name.lower(): lines for name, lines in among.items()}.get(kind.lower())
        if lines is None:
            raise UnknownFact(
                f"products of {kind} weights{' in experts' if expert else ''} were not measured on this machine; "
                f"`jevons hw calibrate MODEL` measures the types of that file"
            )
        ends = sorted((1 / measured, _between(line, rows)) for measured, line in lines.items())
        return _line(ends, max(1 / width, ends[0][0]))

    def look(self, head: int) -> tuple[float, float, float]:
        """`attention` for a head of any width."""
        widths = sorted(self.attention)
        low, look_s = widths[0], self.attention[widths[0]]
        if head <= low or len(widths) == 1:
            return look_s[0] * head / low, look_s[1] * head / low, look_s[2] * head / low
        alone, tiled, read = (_between([(width, self.attention[width][place]) for width in widths], head) for place in range(3))
        return alone, tiled, read


class Step(NamedTuple):
    """Seconds of one step, before the factor, by what takes them."""

    products_s: float
    head_s: float
    attention_s: float
    small_s: float
    layers_s: float
    factor: float

    @property
    def seconds(self) -> float:
        return self.factor * (self.products_s + self.head_s + self.attention_s + self.small_s + self.layers_s)


class LocalModel:
    """One file on one machine."""

    def __init__(self, architecture: Architecture, weights: Iterable[Weight], rates: Rates, chunk: int = CHUNK_TOKENS) -> None:
        """`chunk`: prompt tokens computed at once. Raises UnknownFact for layers whose operations are not measured (a recurrence, a
        compressed attention), and for types that were not.
        """
        self.architecture = architecture
        self.rates = rates
        self.chunk = chunk
        weights = list(weights)
        self._matrices = _sizes(weight for weight in weights if weight.name.startswith("blk.") and not _expert(weight))
        self._stacks = _sizes(weight for weight in weights if weight.name.startswith("blk.") and _expert(weight))
        heads = [weight for weight in weights if weight.name == OUTPUT] or [weight for weight in weights if weight.name == TABLE]
        self._head = _sizes(heads[:1])
        for layers in architecture.groups:
            if not isinstance(layers.mixer, Attention | None):
                raise UnknownFact(
                    f"{architecture.name} has layers of {type(layers.mixer).__name__.lower()}; what these take is not measured, only attention"
                )
        for kind, width in (*self._matrices, *self._head):
            rates.product(kind, width, 1)
        for kind, width in self._stacks:
            rates.product(kind, width, 1, expert=True)

    def decode(self, batch: int, kept: int) -> Step:
        """A step that gives `batch` conversations, each holding `kept` tokens, their next token."""
        looks = [batch * mixer.pairs(kept, 1) for _, mixer in self._attending()]
        return self._step(batch, batch, self._attention(looks, looks, tiled=False))

    def piece(self, new: int, kept: int) -> Step:
        """`new` tokens of one prompt at once, after `kept` others."""
        tiled = new >= TILE
        looks = [_tiles(mixer, new, kept) if tiled else mixer.pairs(kept, new) for _, mixer in self._attending()]
        reads = [mixer.kept(kept) + new for _, mixer in self._attending()]
        return self._step(new, 1, self._attention(looks, reads, tiled=tiled))

    def prefill(self, new: int, kept: int = 0) -> float:
        """Seconds for `new` tokens of a prompt, of which `kept` tokens before them were computed earlier."""
        starts = range(0, new, self.chunk)
        return sum(self.piece(min(self.chunk, new - start), kept + start).seconds for start in starts)

    def prefill_tok_s(self, new: int, kept: int = 0) -> float:
        return new / self.prefill(new, kept)

    def decode_tok_s(self, batch: int, kept: int) -> float:
        """Of all conversations together."""
        return batch / self.decode(batch, kept).seconds

    def _step(self, rows: int, outputs: int, attention_s: float) -> Step:
        experts = self.architecture.experts
        products = self._products(self._matrices, rows)
        if experts is not None:
            met = experts.touched(rows)
            each = rows * experts.active / met
            products += self._products(self._stacks, each, expert=True) * met / experts.number
        head = self._products(self._head, outputs)
        plain = self.architecture.layers - self.architecture.expert_layers
        layers = plain * self.rates.layer_s + self.architecture.expert_layers * self.rates.mixture_layer_s
        return Step(products, head, attention_s, self._small(rows), layers, self.rates.factor if rows == 1 else 1.0)

    def _products(self, sizes: Sizes, rows: float, expert: bool = False) -> float:
        return sum(size * self.rates.product(kind, width, rows, expert) for (kind, width), size in sizes.items())

    def _attending(self) -> list[tuple[int, Attention]]:
        """(Layers, what they are) of those with attention."""
        return [(group.count, group.mixer) for group in self.architecture.groups if isinstance(group.mixer, Attention)]

    def _attention(self, looks: Sequence[int], reads: Sequence[int], tiled: bool) -> float:
        """Seconds in all layers, of so many looks of each head and so many kept tokens read, by group."""
        total = 0.0
        for (layers, mixer), looked, read in zip(self._attending(), looks, reads, strict=True):
            alone, in_tiles, read_s = self.rates.look(mixer.head_dim)
            total += layers * (mixer.heads * looked * (in_tiles if tiled else alone) + mixer.kv_heads * read * read_s)
        return total

    def _small(self, rows: int) -> float:
        """Norms, rotation, the cache's new rows, additions and the gate of every layer, and the last norm."""
        hidden, total = self.architecture.hidden, self._call("norm", rows * self.architecture.hidden)
        for group in self.architecture.groups:
            layer = 2 * self._call("norm", rows * hidden) + 2 * self._call("add", rows * hidden)
            if isinstance(group.mixer, Attention):
                keys = group.mixer.kv_heads * group.mixer.head_dim
                layer += self._call("rope", rows * group.mixer.heads * group.mixer.head_dim)
                layer += self._call("rope", rows * keys) + 2 * self._call("add", rows * keys)
            if isinstance(group.feed_forward, Dense):
                layer += self._call("gate", rows * group.feed_forward.width)
            elif isinstance(group.feed_forward, Experts):
                layer += self._call("gate", rows * group.feed_forward.active * group.feed_forward.width)
                layer += 2 * self._call("add", rows * group.feed_forward.active * hidden) + MIXTURE_CALLS * self._call(
                    "add", rows
                )
            total += group.count * layer
        return total

    def _call(self, operation: str, elements: int) -> float:
        call, element = self.rates.small[operation]
        return call + elements * element


def with_layers(rates: Rates, tiny: LocalModel, tiny_s: float, mixture: LocalModel, mixture_s: float) -> Rates:
    """Rates with what goes with a layer: seconds of one conversation's step (from its start) of a tiny dense model and of a tiny mixture,
    less their operations.
    """
    over = [max(0.0, seen - model.decode(1, TINY_KEPT).seconds) for model, seen in ((tiny, tiny_s), (mixture, mixture_s))]
    return msgspec.structs.replace(
        rates, layer_s=over[0] / tiny.architecture.layers, mixture_layer_s=over[1] / mixture.architecture.layers
    )


def calibrated(rates: Rates, points: Sequence[tuple[int, float, float]]) -> Rates:
    """Rates with the factor of whole steps of one row: (rows, predicted seconds, observed seconds), averaged as ratios; others are a check."""
    return msgspec.structs.replace(
        rates, factor=math.exp(fmean(math.log(seen / told) for rows, told, seen in points if rows == 1))
    )


def _tiles(mixer: Attention, new: int, kept: int) -> int:
    """Looks of one head in a piece of a prompt that is computed in tiles: each is computed whole, as far as its last query sees."""
    total = 0
    for end in range(kept + TILE, kept + new + TILE, TILE):
        seen = min(end, mixer.pairs(end - 1, 1) + TILE - 1)
        total += TILE * math.ceil(seen / TILE) * TILE
    return total


def _sizes(weights: Iterable[Weight]) -> Sizes:
    """Of all matrices; what has one dimension is no matrix."""
    found: Sizes = {}
    for weight in weights:
        if len(weight.shape) > 1:
            key = weight.type, weight.shape[0]
            found[key] = found.get(key, 0) + math.prod(weight.shape)
    return found


def _expert(weight: Weight) -> bool:
    """Whether it is a stack of one matrix for each expert."""
    return "_exps." in weight.name


def _between(line: Line, at: float) -> float:
    """On a measured line: straight between two points, beyond the last in proportion."""
    last, value = line[-1]
    return value * at / last if at >= last else _line(line, max(at, line[0][0]))


def _line(points: Sequence[tuple[float, float]], at: float) -> float:
    """Straight between two of the points, which `at` is not outside of."""
    place = min(max(bisect_right([x for x, _ in points], at), 1), len(points) - 1)
    if len(points) == 1:
        return points[0][1]
    (x0, y0), (x1, y1) = points[place - 1], points[place]
    return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
