"""What a step computes and reads: worked by hand, published figures, and what must hold for any model."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.economics.unitcost.architecture import Architecture, Attention, Dense, Experts, Latent, Layers
from jevons.economics.unitcost.known import known, models
from jevons.economics.unitcost.weights import cache_precision, precision, weight_bytes
from jevons.economics.unitcost.work import STATE_BYTES, Speculation, decode, drafting, prefill, sequence_bytes

BF16, KV = precision("bf16"), cache_precision("bf16")
SMALL = Architecture("small", "llama", hidden=8, vocabulary=32, tied=False, groups=(Layers(2, Attention(4, 2, 2), Dense(16)),))
"""A layer: 8 × 8 for queries and output each, 8 × 4 for keys and values each, 3 × 8 × 16: 192 + 384 weights; the output layer 256."""
MIXTURE = Architecture("mix", "qwen3_moe", 8, 32, False, (Layers(2, Attention(4, 2, 2), Experts(4, 2, 16, shared_width=8)),))
"""A layer: 192 of attention, a router of 32, 4 experts of 384, a shared one of 192."""


def test_a_decode_step_by_hand() -> None:
    work = decode(SMALL, BF16, KV, batch=3, context=10)
    assert work.flops == {"bf16": 2 * 3 * (2 * (192 + 384) + 256)}
    assert (
        work.attention_flops == 3 * 2 * (2 * 2 * 4 * 2) * 11
    )  # every head: scores and sums of 2 elements, 11 tokens with its own
    assert work.weight_bytes == {"attention": 768, "dense": 1536, "head": 512, "embedding": 3 * 16}
    assert (
        work.kv_bytes_read == 3 * 2 * 11 * 16 and work.kv_bytes_written == 3 * 2 * 16
    )  # a token: 2 heads × 2 × 2 elements × 2 bytes
    assert (work.tokens, work.produced) == (3, 3)
    assert (work.exchange.reduces, work.exchange.reduce_bytes, work.exchange.gather_bytes) == (5, 3 * 8 * 2, 3 * 32 * 2)
    assert (work.exchange.scatters, work.exchange.scatter_bytes) == (0, 0)


def test_a_prompt_by_hand() -> None:
    work = prefill(SMALL, BF16, KV, tokens=5, cached=3, batch=2)
    assert work.flops == {"bf16": 2 * 10 * 2 * 576 + 2 * 2 * 256}  # the output layer for the last token alone
    assert work.attention_flops == 2 * 2 * 32 * (4 + 5 + 6 + 7 + 8)
    assert work.kv_bytes_read == 2 * 2 * 8 * 16 and work.kv_bytes_written == 2 * 2 * 5 * 16
    assert work.produced == 2


def test_expected_experts_by_hand() -> None:
    one, two = (decode(MIXTURE, BF16, KV, batch, 0) for batch in (1, 2))
    assert one.weight_bytes["experts"] == 2 * 2 * 384 * 2  # two of four
    assert two.weight_bytes["experts"] == 2 * (4 * (1 - 0.25)) * 384 * 2  # an expert is missed by both with ½ · ½
    assert two.weight_bytes["shared"] == one.weight_bytes["shared"] == 2 * 192 * 2
    assert two.flops["bf16"] == 2 * 2 * (2 * (192 + 32 + 192 + 2 * 384) + 256)  # every token its two, and the shared one
    assert (two.exchange.scatters, two.exchange.scatter_bytes) == (4, 2 * 2 * 8 * 2)


def test_flops_are_split_by_the_numbers_they_are_made_in() -> None:
    work = decode(SMALL, precision("fp8"), cache_precision("fp8"), 1, 0)
    assert work.flops == {"fp8": 2 * 2 * 576, "bf16": 2 * 256}
    assert work.weight_bytes["dense"] == 768 and work.weight_bytes["head"] == 512 and work.kv_bytes_written == 2 * 8


def test_latent_attention_by_hand() -> None:
    latent = Latent(heads=2, kv_rank=8, rope_dim=2, nope_dim=4, value_dim=4, query_rank=6)
    arch = Architecture("mla", "deepseek_v3", 16, 32, False, (Layers(1, latent, Dense(8)),))
    step = decode(arch, BF16, KV, 1, 9)
    assert step.attention_flops == 2 * 2 * (8 + 2 + 8) * 10  # on compressed vectors: scores of 10 elements, sums of 8, two heads
    assert step.kv_bytes_read == 10 * 10 * 2 and step.kv_bytes_written == 10 * 2
    prompt = prefill(arch, BF16, KV, 4, cached=3)
    assert (
        prompt.attention_flops == 2 * 2 * (4 + 2 + 4) * (4 + 5 + 6 + 7) + 2 * 3 * latent.expanding
    )  # cached tokens expanded again


def test_an_indexer_looks_at_all_and_attention_at_what_it_chose() -> None:
    chosen = Latent(2, 8, 2, 4, 4, 6, index_heads=3, index_dim=5, selected=4)
    arch = Architecture("dsa", "deepseek_v32", 16, 32, False, (Layers(1, chosen, Dense(8)),))
    step = decode(arch, BF16, KV, 1, 9)
    assert step.attention_flops == 2 * 3 * 5 * 10 + 2 * 2 * 18 * 4
    assert step.kv_bytes_read == 2 * (5 * 10 + 10 * 4)
    assert sequence_bytes(arch, KV, 9) == 9 * 15 * 2
    assert chosen.params(16) - Latent(2, 8, 2, 4, 4, 6).params(16) == 6 * 15 + 16 * (5 + 3)


def test_states_do_not_grow() -> None:
    arch = known("qwen3-next")
    short, long = (decode(arch, BF16, KV, 1, context) for context in (0, 1000))
    assert long.kv_bytes_read - short.kv_bytes_read == 12 * 1000 * 1024 * 2  # twelve layers with attention
    assert short.kv_bytes_written == arch.state_elements * STATE_BYTES + 12 * 1024 * 2
    assert sequence_bytes(arch, KV, 0) == arch.state_elements * STATE_BYTES


@pytest.mark.parametrize(("model", "kilobytes"), [("deepseek-v3", 70.272), ("qwen2.5-72b", 327.680), ("llama-3.1-405b", 516.096)])
def test_cache_of_a_token_as_published(model: str, kilobytes: float) -> None:
    """ "Insights into DeepSeek-V3", arXiv 2505.09343, table 1."""
    assert sequence_bytes(known(model), KV, 1) == kilobytes * 1000


@pytest.mark.parametrize(("model", "gigaflops"), [("deepseek-v2", 155), ("deepseek-v3", 250), ("llama-3.1-405b", 2448)])
def test_computation_of_a_token_as_published(model: str, gigaflops: float) -> None:
    """The same, table 2: training at 4,096 tokens, which is three times the way forward. Its row of Qwen2.5-72B, 394, is less than six times
    the parameters and counts something else."""
    arch = known(model)
    forward = (
        prefill(arch, BF16, KV, 4096).flops_total / 4096 + 2 * arch.vocabulary * arch.hidden
    )  # in training every token has an output
    assert 3 * forward / 1e9 == pytest.approx(gigaflops, rel=0.011)


def test_speculation() -> None:
    """Leviathan and others, arXiv 2211.17192, equation 1: α = .8, γ = 4 give 3.36 tokens."""
    guess = Speculation(drafted=4, acceptance=0.8, draft=SMALL)
    assert guess.produced == pytest.approx((1 - 0.8**5) / 0.2)
    step = decode(MIXTURE, BF16, KV, 2, 10, guess)
    assert step.tokens == 10 and step.produced == pytest.approx(2 * 3.3616)
    assert step.weight_bytes["experts"] == pytest.approx(2 * 4 * (1 - 0.5**10) * 384 * 2)
    assert step.attention_flops == 2 * 2 * 32 * (11 + 12 + 13 + 14 + 15)
    assert drafting(guess, BF16, KV, 2, 10) == decode(SMALL, BF16, KV, 2, 10)
    assert drafting(Speculation(4, 0.8), BF16, KV, 2, 10) is None
    assert Speculation(3, 1.0).produced == 4 and Speculation(3, 0.0).produced == 1


def windows() -> st.SearchStrategy[Attention]:
    return st.builds(Attention, st.just(2), st.just(1), st.just(2), st.none() | st.integers(1, 9), st.booleans())


@settings(max_examples=60, deadline=None)
@given(windows(), st.integers(0, 25), st.integers(1, 25))
def test_pairs_are_those_that_the_mask_leaves(mixer: Attention, before: int, new: int) -> None:
    def sees(query: int, key: int) -> bool:
        if mixer.window is None:
            return True
        return query // mixer.window == key // mixer.window if mixer.chunked else query - key < mixer.window

    left = [(query, key) for query in range(before, before + new) for key in range(query + 1) if sees(query, key)]
    assert mixer.pairs(before, new) == len(left)
    assert mixer.seen(before) == sum(query == before for query, _ in left) - 1
    assert mixer.seen(before) <= mixer.kept(before) <= before


every_model = st.sampled_from([model.name for model in models()])


@settings(max_examples=40, deadline=None)
@given(every_model, st.integers(1, 64), st.integers(0, 5000), st.sampled_from(["bf16", "fp8", "nvfp4", "q4_k_m"]))
def test_many_at_once_cost_more_than_one_and_less_than_each_alone(name: str, batch: int, context: int, numbers: str) -> None:
    arch = known(name)
    packed = precision(numbers, arch)
    one, many = (decode(arch, packed, KV, size, context) for size in (1, batch))
    assert one.bytes_total <= many.bytes_total <= batch * one.bytes_total * (1 + 1e-9)
    assert many.flops_total == pytest.approx(batch * one.flops_total)
    own = weight_bytes(arch, packed)
    for kind, size in many.weight_bytes.items():  # no more than there is; a tied output layer is the embedding's
        if kind not in ("embedding", "head"):
            assert size <= own[kind] * (1 + 1e-9)
    matrices = sum(one.flops.values())
    assert matrices == pytest.approx(2 * arch.params_multiplied, rel=1e-3)


@settings(max_examples=30, deadline=None)
@given(every_model, st.integers(0, 9000), st.integers(1, 9000), st.integers(1, 9000))
def test_a_prompt_in_two_pieces_is_the_same_work_but_for_expanding_twice(name: str, before: int, first: int, then: int) -> None:
    arch = known(name)
    whole = prefill(arch, BF16, KV, first + then, before).attention_flops
    pieces = (
        prefill(arch, BF16, KV, first, before).attention_flops + prefill(arch, BF16, KV, then, before + first).attention_flops
    )
    again = sum(2 * group.count * (before + first) * group.mixer.expanding for group in arch.groups if expands(group))
    assert pieces - again == pytest.approx(whole, rel=1e-9)


def expands(group: Layers) -> bool:
    return isinstance(group.mixer, Latent) and group.mixer.selected is None


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 4000))
def test_shared_heads_keep_less(kv_heads: int, context: int) -> None:
    shared, own = (
        Architecture("a", "llama", 64, 100, True, (Layers(3, Attention(8, many, 8), Dense(64)),)) for many in (kv_heads, 8)
    )
    assert sequence_bytes(shared, KV, context) * 8 == sequence_bytes(own, KV, context) * kv_heads
