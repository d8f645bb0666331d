"""What one step of a model computes, reads and writes.

Comes in: an architecture, precisions, tokens. Goes out: a `Work` of the whole model, not divided among devices. Does not know: time,
hardware, how work is divided.
"""

from collections import defaultdict

import msgspec

from jevons.economics.unitcost.architecture import (
    Architecture,
    Attention,
    Dense,
    Experts,
    Kind,
    Latent,
    Layers,
    Recurrence,
    layer_params,
    triangle,
)
from jevons.economics.unitcost.weights import CachePrecision, Precision

ACTIVATION_BYTES = 2
"""Of an element between layers: bf16 in every engine measured here."""
STATE_BYTES = 4
"""Of an element of a recurrent state, which engines keep in fp32 (vLLM's mamba_ssm_cache_dtype, Qwen3-Next's and Mamba 2's own default)."""


class Exchange(msgspec.Struct, frozen=True):
    """What devices would tell each other in a step: counts and payloads; 0 of them is used where one device does it all."""

    reduces: int
    """All-reduces under tensor parallelism: after every mixer and every feed-forward, and after the embedding."""
    reduce_bytes: float
    """Payload of one of them: tokens × hidden."""
    scatters: int
    """All-to-alls under expert parallelism: to the experts and back in every layer that has some."""
    scatter_bytes: float
    """Payload of one of them: tokens × experts a token takes × hidden."""
    hop_bytes: float
    """Payload between two stages of a pipeline: tokens × hidden."""
    gather_bytes: float
    """Logits gathered once where the output layer is divided."""


class Work(msgspec.Struct, frozen=True):
    """Of one step."""

    tokens: int
    """Tokens that go through the layers."""
    produced: float
    """Tokens that come out, expected."""
    flops: dict[str, float]
    """Of matrices, by the numbers they are multiplied in: 2 per weight and token."""
    attention_flops: float
    """Scores and weighted sums, in the cache precision's numbers; recurrences' steps too."""
    weight_bytes: dict[Kind, float]
    """Read once in the step, by kind; of experts those expected to be taken."""
    kv_bytes_read: float
    kv_bytes_written: float
    activation_bytes: float
    """Inputs and outputs of the matrices, written and read once."""
    matrices: int
    """Matrix products in a row: what fixed costs of kernels are counted by."""
    exchange: Exchange

    @property
    def flops_total(self) -> float:
        return sum(self.flops.values()) + self.attention_flops

    @property
    def weight_bytes_total(self) -> float:
        return sum(self.weight_bytes.values())

    @property
    def bytes_total(self) -> float:
        return self.weight_bytes_total + self.kv_bytes_read + self.kv_bytes_written + self.activation_bytes


class Speculation(msgspec.Struct, frozen=True):
    """Tokens are drafted one by one and verified together (Leviathan and others, arXiv 2211.17192)."""

    drafted: int
    """In a step."""
    acceptance: float
    """Probability that a drafted token is kept if those before it were, 0 to 1."""
    draft: Architecture | None = None
    """The drafting model; None = drafts cost nothing (from the text itself)."""
    precision: Precision | None = None
    """Of the drafting model; None = as the model's."""

    @property
    def produced(self) -> float:
        """Expected tokens of a step, the verifier's own included: (1 − αᵞ⁺¹)/(1 − α) (equation 1)."""
        if self.acceptance == 1:
            return float(self.drafted + 1)
        return (1 - self.acceptance ** (self.drafted + 1)) / (1 - self.acceptance)


def prefill(arch: Architecture, precision: Precision, kv: CachePrecision, tokens: int, cached: int = 0, batch: int = 1) -> Work:
    """`batch` prompts of `tokens` new tokens each, after `cached` ones whose keys and values are kept; one token comes out of each."""
    return _step(arch, precision, kv, tokens, cached, batch, heads=1, produced=batch, absorbed=False)


def decode(
    arch: Architecture, precision: Precision, kv: CachePrecision, batch: int, context: int, speculative: Speculation | None = None
) -> Work:
    """One step of `batch` sequences that keep `context` tokens each; drafts, if there are any, are verified (see `drafting`)."""
    new = 1 + (speculative.drafted if speculative else 0)
    produced = batch * (speculative.produced if speculative else 1.0)
    return _step(arch, precision, kv, new, context, batch, heads=new, produced=produced, absorbed=True)


def drafting(speculative: Speculation, precision: Precision, kv: CachePrecision, batch: int, context: int) -> Work | None:
    """One of the `drafted` steps of the drafting model that go before the verifying one; None where drafts cost nothing."""
    if speculative.draft is None:
        return None
    return decode(speculative.draft, speculative.precision or precision, kv, batch, context)


def sequence_bytes(arch: Architecture, kv: CachePrecision, context: int) -> float:
    """Keys, values and states that one sequence of `context` tokens keeps."""
    return sum(group.count * _kept(group, kv, context) for group in arch.groups)


def _step(
    arch: Architecture,
    precision: Precision,
    kv: CachePrecision,
    new: int,
    before: int,
    batch: int,
    *,
    heads: int,
    produced: float,
    absorbed: bool,
) -> Work:
    """`heads`: tokens of a sequence whose next one is asked for. `absorbed`: latent attention works on compressed vectors."""
    tokens = batch * new
    flops: defaultdict[str, float] = defaultdict(float)
    weights: defaultdict[Kind, float] = defaultdict(float)
    attention = read = written = activations = 0.0
    matrices = 1
    for group in arch.groups:
        for kind, params in layer_params(group, arch.hidden):
            used, touched = _taken(group, kind, params, tokens)
            flops[precision.compute[kind]] += 2.0 * tokens * group.count * used
            weights[kind] += group.count * touched * precision.bits[kind] / 8
        attention += group.count * batch * _mixing(group, before, new, absorbed)
        come, go = _cached(group, kv, before, new)
        read, written = read + group.count * batch * come, written + group.count * batch * go
        activations += group.count * tokens * _passed(group, arch.hidden) * ACTIVATION_BYTES
        matrices += group.count * _products(group)
    head = arch.vocabulary * arch.hidden
    head_kind: Kind = "embedding" if arch.tied else "head"
    flops[precision.compute[head_kind]] += 2.0 * batch * heads * head
    weights["head"] += head * precision.bits[head_kind] / 8
    weights["embedding"] += tokens * arch.hidden * precision.bits["embedding"] / 8
    activations += batch * heads * (arch.hidden + arch.vocabulary) * ACTIVATION_BYTES
    return Work(
        tokens,
        produced,
        dict(flops),
        attention,
        dict(weights),
        read,
        written,
        activations,
        matrices,
        _exchange(arch, tokens, batch * heads),
    )


def _taken(group: Layers, kind: Kind, params: int, tokens: int) -> tuple[float, float]:
    """Weights of a layer that one token is multiplied with, and those that all tokens of the step read."""
    if kind != "experts" or not isinstance(group.feed_forward, Experts):
        return params, params
    share = 1 / group.feed_forward.number
    return params * share * group.feed_forward.active, params * share * group.feed_forward.touched(tokens)


def _mixing(group: Layers, before: int, new: int, absorbed: bool) -> float:
    """FLOPs of one layer and one sequence beside the matrices: a product and a sum for every element of a score and of a value.

    Latent attention works on compressed vectors in decode, and wherever an indexer chooses tokens (DeepSeek-V3.2, section 2.1), so that a
    score has kv_rank + rope_dim elements and a value kv_rank. In prefill it expands keys and values first: those of cached tokens again,
    those of new ones with the matrices.
    """
    match group.mixer:
        case Attention() as own:
            return 4.0 * own.heads * own.head_dim * own.pairs(before, new)
        case Latent() as own:
            indexing = 2.0 * own.index_heads * own.index_dim * triangle(before, new)
            if absorbed or own.selected is not None:
                return indexing + 2.0 * own.heads * (2 * own.kv_rank + own.rope_dim) * own.pairs(before, new)
            scores = 2.0 * own.heads * (own.nope_dim + own.rope_dim + own.value_dim) * own.pairs(before, new)
            return scores + 2.0 * before * own.expanding
        case Recurrence() as own:
            return float(own.flops * new)
        case _:
            return 0.0


def _cached(group: Layers, kv: CachePrecision, before: int, new: int) -> tuple[float, float]:
    """Bytes of keys and values of one layer and one sequence that are read and written."""
    match group.mixer:
        case Attention() as own:
            token = own.cache_elements * kv.bits(own.head_dim) / 8
            return token * (own.seen(before) + new), token * new
        case Latent() as own:
            element = kv.bits(own.cache_elements) / 8
            read = own.index_dim * (before + new) + (own.cache_elements - own.index_dim) * own.seen(before, new)
            return element * read, element * own.cache_elements * new
        case Recurrence() as own:
            return float(own.state_elements * STATE_BYTES), float(own.state_elements * STATE_BYTES)
        case _:
            return 0.0, 0.0


def _kept(group: Layers, kv: CachePrecision, context: int) -> float:
    """Bytes that one layer keeps of one sequence."""
    match group.mixer:
        case Attention() as own:
            return own.kept(context) * own.cache_elements * kv.bits(own.head_dim) / 8
        case Latent() as own:
            return context * own.cache_elements * kv.bits(own.cache_elements) / 8
        case Recurrence() as own:
            return float(own.state_elements * STATE_BYTES)
        case _:
            return 0.0


def _passed(group: Layers, hidden: int) -> float:
    """Elements of one token that go into and come out of a layer's matrices."""
    found = 0.0
    match group.mixer:
        case Attention() as own:
            found += 2 * hidden + own.head_dim * (own.heads * (3 if own.gated else 2) + 2 * own.kv_heads)
        case Latent() as own:
            query = own.heads * (own.nope_dim + own.rope_dim)
            found += 2 * hidden + 2 * (own.query_rank or 0) + query + own.kv_rank + own.rope_dim + own.heads * own.value_dim
        case Recurrence() as own:
            found += 2 * hidden + own.projected_in + own.projected_out
    match group.feed_forward:
        case Dense() as dense:
            found += 2 * hidden + (3 if dense.gated else 2) * dense.width
        case Experts() as mixture:
            each = 2 * (mixture.inner or hidden) + (3 if mixture.gated else 2) * mixture.width
            shared = 2 * hidden + (3 if mixture.gated else 2) * mixture.shared_width if mixture.shared_width else 0
            found += hidden + mixture.number + mixture.active * each + shared
    return found


def _products(group: Layers) -> int:
    """Matrix products of one layer that wait for each other, the two of attention included."""
    mixing = {Attention: 4, Latent: 6, Recurrence: 3, type(None): 0}[type(group.mixer)]
    feeding = {Dense: 2, Experts: 3, type(None): 0}[type(group.feed_forward)]
    return mixing + feeding


def _exchange(arch: Architecture, tokens: int, heads: int) -> Exchange:
    halves = sum(group.count * ((group.mixer is not None) + (group.feed_forward is not None)) for group in arch.groups)
    hidden = float(tokens * arch.hidden * ACTIVATION_BYTES)
    mixture = arch.experts
    return Exchange(
        reduces=halves + 1,
        reduce_bytes=hidden,
        scatters=2 * arch.expert_layers,
        scatter_bytes=hidden * mixture.active if mixture else 0.0,
        hop_bytes=hidden,
        gather_bytes=float(heads * arch.vocabulary * ACTIVATION_BYTES),
    )
