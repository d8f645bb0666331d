"""What a decoder computes and keeps: all that computation, memory and caches depend on.

Comes in: groups of like layers, each of a mixer (attention, compressed attention, or a recurrence) and a feed-forward (dense, experts, or
none). Goes out: parameters by kind, elements of cache, pairs of tokens that attention looks at. Does not know: how many bits a weight
has, how long a context is, what hardware there is, where the figures come from.

Parameters are those of matrices. Norms, biases and sinks are left out: under 0.1 % of every model in data/architectures.toml.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

Kind = Literal["embedding", "head", "attention", "dense", "router", "shared", "experts"]
KINDS: tuple[Kind, ...] = ("embedding", "head", "attention", "dense", "router", "shared", "experts")
"""What a weight belongs to. `attention` is every mixer, `dense` a feed-forward without experts, `shared` the expert all tokens take."""


class Attention(msgspec.Struct, frozen=True, tag=True):
    """Grouped-query attention; multi-head where `kv_heads` is `heads`."""

    heads: int
    kv_heads: int
    head_dim: int
    window: int | None = None
    """Tokens that a query sees at most, itself included; None = all before it."""
    chunked: bool = False
    """The window begins anew at every multiple of itself (Llama 4), instead of sliding."""
    gated: bool = False
    """The queries' matrix makes a gate of the output too (Qwen3-Next)."""
    one_matrix: bool = False
    """Keys and values are made by one matrix, and normed apart (Gemma 4's far layers): both are kept."""

    def params(self, hidden: int) -> int:
        made = self.heads * (3 if self.gated else 2) + self.kv_heads * (1 if self.one_matrix else 2)
        return hidden * self.head_dim * made

    @property
    def cache_elements(self) -> int:
        """Of one token in one layer: its key and its value of every head."""
        return 2 * self.kv_heads * self.head_dim

    def kept(self, context: int) -> int:
        """Most tokens that the cache has held when the context has grown so long."""
        return context if self.window is None else min(context, self.window)

    def seen(self, before: int) -> int:
        """Of the tokens before it, those that the next one looks at."""
        if self.window is None:
            return before
        return before % self.window if self.chunked else min(before, self.window - 1)

    def pairs(self, before: int, new: int) -> int:
        """Pairs of a query and a key: `new` tokens after `before` others, each seeing itself and what its mask lets it see."""
        if self.window is None:
            return triangle(before, new)
        if self.chunked:
            return _chunked(before + new, self.window) - _chunked(before, self.window)
        growing = min(new, max(0, self.window - before))
        return triangle(before, growing) + (new - growing) * self.window


class Latent(msgspec.Struct, frozen=True, tag=True):
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): a token's keys and values are one compressed vector."""

    heads: int
    kv_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int
    query_rank: int | None = None
    """None: queries are made in one step (DeepSeek-V2-Lite)."""
    index_heads: int = 0
    """Of the indexer that chooses which tokens are looked at (DeepSeek-V3.2, section 2.1); 0 = there is none in this layer."""
    index_dim: int = 0
    selected: int | None = None
    """Tokens that it chooses; None = all are looked at."""

    def params(self, hidden: int) -> int:
        query = self.nope_dim + self.rope_dim
        queries = hidden * self.heads * query if self.query_rank is None else self.query_rank * (hidden + self.heads * query)
        indexing = (self.query_rank or hidden) * self.index_heads * self.index_dim + hidden * (self.index_dim + self.index_heads)
        compressing = hidden * (self.kv_rank + self.rope_dim)
        return queries + compressing + self.expanding + self.heads * self.value_dim * hidden + indexing

    @property
    def expanding(self) -> int:
        """Weights that make keys and values of all heads from the compressed vector."""
        return self.kv_rank * self.heads * (self.nope_dim + self.value_dim)

    @property
    def cache_elements(self) -> int:
        """Of one token in one layer, shared by all heads."""
        return self.kv_rank + self.rope_dim + self.index_dim

    def kept(self, context: int) -> int:
        return context

    def seen(self, before: int, new: int) -> int:
        """Tokens whose compressed vectors are read for `new` ones after `before`."""
        return before + new if self.selected is None else min(before + new, self.selected * new)

    def pairs(self, before: int, new: int) -> int:
        """Of attention itself; the indexer looks at all of them."""
        if self.selected is None:
            return triangle(before, new)
        growing = min(new, max(0, self.selected - before))
        return triangle(before, growing) + (new - growing) * self.selected


class Recurrence(msgspec.Struct, frozen=True, tag=True):
    """Linear attention or a state-space layer: a state of fixed size instead of a cache that grows."""

    projected_in: int
    """Columns of the matrices that read the hidden vector."""
    projected_out: int
    """Rows of the matrix that writes it."""
    convolution: int
    """Weights of the short convolution."""
    state_elements: int
    """Of one sequence in one layer, the convolution's included."""
    flops: int
    """Of one token in one layer, beside the matrices."""

    def params(self, hidden: int) -> int:
        return hidden * (self.projected_in + self.projected_out) + self.convolution


Mixer = Attention | Latent | Recurrence


class Dense(msgspec.Struct, frozen=True, tag=True):
    """A feed-forward that every token takes."""

    width: int
    gated: bool = True
    """Three matrices (SwiGLU, GeGLU) rather than two."""

    def params(self, hidden: int) -> int:
        return (3 if self.gated else 2) * hidden * self.width


class Experts(msgspec.Struct, frozen=True, tag=True):
    """A mixture: a router sends every token to `active` of `number` experts; the shared expert takes all."""

    number: int
    active: int
    width: int
    shared_width: int = 0
    """Of all shared experts together; 0 = none."""
    gated: bool = True
    inner: int = 0
    """Width of the vector that routed experts work on, if the hidden one is compressed for them (Nemotron 3 Super); 0 = it is not."""

    def expert_params(self, hidden: int) -> int:
        """Of one expert."""
        return (3 if self.gated else 2) * (self.inner or hidden) * self.width

    def shared_params(self, hidden: int) -> int:
        """Of what every token takes beside the router: shared experts, and compressing for the routed ones and back."""
        return hidden * ((3 if self.gated else 2) * self.shared_width + 2 * self.inner)

    def touched(self, tokens: float) -> float:
        """Expected number of different experts that `tokens` tokens take, each choosing evenly and by itself: E (1 − (1 − k/E)ⁿ)."""
        return float(self.number * (1 - (1 - self.active / self.number) ** tokens))


FeedForward = Dense | Experts


class Layers(msgspec.Struct, frozen=True):
    """`count` layers that are alike, wherever they stand."""

    count: int
    mixer: Mixer | None
    feed_forward: FeedForward | None


class Architecture(msgspec.Struct, frozen=True):
    """A decoder-only transformer."""

    name: str
    family: str
    """Its `model_type` in a config.json, or `general.architecture` of a GGUF file."""
    hidden: int
    vocabulary: int
    tied: bool
    """The output layer is the embedding."""
    groups: tuple[Layers, ...]
    positions: int | None = None
    """Tokens that a sequence may have, prompt and answer together; None = who made it does not say."""

    @property
    def layers(self) -> int:
        return sum(group.count for group in self.groups)

    @property
    def attention(self) -> Attention | Latent:
        """Of the first layers that have one: heads are the same in all layers of every model but few. Raises ValueError without any."""
        for group in self.groups:
            if isinstance(group.mixer, Attention | Latent):
                return group.mixer
        raise ValueError(f"{self.name} has no attention")

    @property
    def heads(self) -> int:
        return self.attention.heads

    @property
    def kv_heads(self) -> int:
        """Between how many devices a cache can be divided without copies: 1 where it is compressed."""
        return self.attention.kv_heads if isinstance(self.attention, Attention) else 1

    @property
    def experts(self) -> Experts | None:
        """Of the first layers that have some; None = a dense model."""
        return next((group.feed_forward for group in self.groups if isinstance(group.feed_forward, Experts)), None)

    @property
    def expert_layers(self) -> int:
        return sum(group.count for group in self.groups if isinstance(group.feed_forward, Experts))

    @property
    def params(self) -> dict[Kind, int]:
        """Parameters by kind. A tied output layer is counted with the embedding alone."""
        found = dict.fromkeys(KINDS, 0)
        found["embedding"] = self.vocabulary * self.hidden
        found["head"] = 0 if self.tied else self.vocabulary * self.hidden
        for group in self.groups:
            for kind, params in layer_params(group, self.hidden):
                found[kind] += group.count * params
        return found

    @property
    def params_total(self) -> int:
        return sum(self.params.values())

    @property
    def params_active(self) -> int:
        """Those that one token takes, the embedding and the output layer included as model cards do."""
        idle = sum(
            group.count * (group.feed_forward.number - group.feed_forward.active) * group.feed_forward.expert_params(self.hidden)
            for group in self.groups
            if isinstance(group.feed_forward, Experts)
        )
        return self.params_total - idle

    @property
    def params_multiplied(self) -> int:
        """Of the active ones those that a token is multiplied with: an embedding that is looked up only is not among them."""
        return self.params_active - (0 if self.tied else self.vocabulary * self.hidden)

    def takes(self, tokens: int) -> bool:
        """Whether a sequence may have so many; True where that is not known."""
        return self.positions is None or tokens <= self.positions

    def cache_elements(self, context: int) -> int:
        """Elements of keys and values that one sequence of `context` tokens keeps, all layers; states of recurrences not included."""
        return sum(
            group.count * group.mixer.cache_elements * group.mixer.kept(context)
            for group in self.groups
            if isinstance(group.mixer, Attention | Latent)
        )

    @property
    def state_elements(self) -> int:
        """Elements of one sequence's recurrent states, all layers."""
        return sum(group.count * group.mixer.state_elements for group in self.groups if isinstance(group.mixer, Recurrence))


def layer_params(group: Layers, hidden: int) -> Iterator[tuple[Kind, int]]:
    """Of one layer of the group, by kind; all experts of it."""
    if group.mixer is not None:
        yield "attention", group.mixer.params(hidden)
    match group.feed_forward:
        case Dense() as dense:
            yield "dense", dense.params(hidden)
        case Experts() as mixture:
            yield "router", hidden * mixture.number
            yield "shared", mixture.shared_params(hidden)
            yield "experts", mixture.number * mixture.expert_params(hidden)


def triangle(before: int, new: int) -> int:
    """Pairs under a causal mask: the first of `new` tokens sees `before` + 1, the next one more."""
    return new * before + new * (new + 1) // 2


def _chunked(tokens: int, size: int) -> int:
    whole, rest = divmod(tokens, size)
    return whole * triangle(0, size) + triangle(0, rest)
