"""Whether it fits; and if not, that what is said would fit does."""

import re

import pytest

from jevons.economics.unitcost.errors import DoesNotFit
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.memory import Division, fit
from jevons.economics.unitcost.weights import Precision, cache_precision, precision
from jevons.economics.unitcost.work import sequence_bytes

KV = cache_precision("bf16")
GB = 10**9


def test_a_model_on_one_card_by_hand() -> None:
    found = fit(known("llama-3.1-8b"), precision("bf16"), KV, 80 * GB, context=8192, activation_bytes=2 * GB)
    assert found.weight_bytes == 2 * known("llama-3.1-8b").params_total
    assert found.sequence_bytes == 8192 * 131_072 == 2**30  # 32 layers × 2 × 8 heads × 128 × 2 bytes
    assert found.reserve_bytes == pytest.approx(0.1 * (78 * GB - found.weight_bytes))
    assert found.batch == int(0.9 * (78 * GB - found.weight_bytes) / 2**30) == 51


def test_matrices_are_divided_and_heads_of_keys_as_far_as_there_are_some() -> None:
    arch, eight = known("qwen3-235b-a22b"), precision("fp8")  # 4 heads of keys
    one, four, wide = (fit(arch, eight, KV, 300 * GB, 4096, Division(tensor=many)) for many in (1, 4, 8))
    assert four.weight_bytes == one.weight_bytes / 4 and wide.weight_bytes == one.weight_bytes / 8
    assert wide.sequence_bytes == four.sequence_bytes == one.sequence_bytes / 4
    staged = fit(arch, eight, KV, 300 * GB, 4096, Division(pipeline=2))
    assert (staged.weight_bytes, staged.sequence_bytes) == (one.weight_bytes / 2, one.sequence_bytes / 2)


def test_experts_are_spread_over_groups_that_hold_the_rest_in_whole() -> None:
    arch, eight = known("deepseek-r1"), precision("fp8")
    found = fit(arch, eight, KV, 141 * GB, 4096, Division(data=8, spread=True))
    experts = arch.params["experts"]
    wide = 2 * (arch.params["embedding"] + arch.params["head"] + arch.params["router"])
    narrow = arch.params["attention"] + arch.params["dense"] + arch.params["shared"]
    assert found.weight_bytes == experts / 8 + wide + narrow
    assert found.sequence_bytes == 4096 * 70_272
    assert found.sequences == pytest.approx(8 * 0.9 * (141 * GB - found.weight_bytes) / found.sequence_bytes)


def test_a_window_that_is_full_keeps_no_more() -> None:
    near = known("mistral-7b-v0.1")
    assert fit(near, precision("bf16"), KV, 80 * GB, 8192).sequence_bytes == sequence_bytes(near, KV, 4096)


@pytest.mark.parametrize(
    ("model", "numbers", "memory", "context", "tensor"),
    [
        ("llama-3.1-70b", "bf16", 80 * GB, 8192, 1),
        ("llama-3.1-70b", "fp8", 90 * GB, 131_072, 1),
        ("deepseek-r1", "fp8", 80 * GB, 4096, 4),
        ("llama-3.1-8b", "bf16", 80 * GB, 10_000_000, 16),
    ],
)
def test_what_is_said_to_fit_fits(model: str, numbers: str, memory: int, context: int, tensor: int) -> None:
    arch = known(model)
    wide, on = precision(numbers, arch), Division(tensor)
    with pytest.raises(DoesNotFit) as refused:
        fit(arch, wide, KV, memory, context, on)
    said = str(refused.value)
    assert f"{arch.name} in {numbers} does not fit: of the {memory / GB:.1f} GB of each of {tensor} devices weights take" in said
    if devices := re.search(r"(\d+) devices in tensor parallelism", said):
        assert fit(arch, wide, KV, memory, context, Division(int(devices[1]))).batch >= 1
        with pytest.raises(DoesNotFit):
            fit(arch, wide, KV, memory, context, Division(int(devices[1]) // 2))
    if bits := re.search(r"weights of ([\d.]+) bits", said):
        even = Precision("even", dict.fromkeys(wide.bits, float(bits[1])), wide.compute, "")
        assert fit(arch, even, KV, memory, context, on).batch >= 1
    if shorter := re.search(r"a context of ([\d,]+) tokens", said):
        tokens = int(shorter[1].replace(",", ""))
        assert fit(arch, wide, KV, memory, tokens, on).batch == 1
        with pytest.raises(DoesNotFit):
            fit(arch, wide, KV, memory, tokens + 1, on)
    assert devices or bits or shorter


def test_what_would_not_help_is_not_said() -> None:
    with pytest.raises(DoesNotFit, match=r"What would fit: 32 devices in tensor parallelism instead of 1$"):
        fit(known("deepseek-r1"), precision("fp8"), KV, 40 * GB, 4096)
    with pytest.raises(DoesNotFit, match=r"What would fit: another model$"):
        fit(known("kimi-k2"), precision("bf16"), KV, GB, 4096)
