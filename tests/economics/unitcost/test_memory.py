"""Whether it fits; and if not, that what is said would fit does."""

import re

import pytest

from jevons.economics.unitcost.errors import DoesNotFit
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.memory import fit
from jevons.economics.unitcost.weights import Precision, cache_precision, precision
from jevons.economics.unitcost.work import sequence_bytes

KV = cache_precision("bf16")
GB = 10**9


def test_a_model_on_one_card_by_hand() -> None:
    found = fit(known("llama-3.1-8b"), precision("bf16"), KV, 80 * GB, context=8192)
    assert found.weight_bytes == 2 * known("llama-3.1-8b").params_total
    assert found.token_bytes == 131_072 and found.sequence_bytes == 8192 * 131_072  # 32 layers × 2 × 8 heads × 128 × 2 bytes
    assert found.reserve_bytes == 8 * GB
    assert found.batch == int((72 * GB - found.weight_bytes) // (2**30)) == 52
    assert found.free_bytes - found.batch * found.sequence_bytes < found.sequence_bytes


def test_a_window_that_is_full_keeps_no_more() -> None:
    near = known("mistral-7b-v0.1")
    assert fit(near, precision("bf16"), KV, 80 * GB, 8192).sequence_bytes == sequence_bytes(near, KV, 4096)
    assert fit(near, precision("bf16"), KV, 80 * GB, 8192).token_bytes == 0


def test_copies_of_a_cache_are_counted() -> None:
    arch = known("qwen3-235b-a22b")
    whole, copied = (fit(arch, precision("fp8"), KV, 80 * GB, 4096, devices=8, copies=copies) for copies in (1, 2))
    assert copied.sequence_bytes == 2 * whole.sequence_bytes and whole.batch // 2 == copied.batch


@pytest.mark.parametrize(
    ("model", "numbers", "memory", "context"),
    [("llama-3.1-70b", "bf16", 80 * GB, 8192), ("llama-3.1-70b", "fp8", 90 * GB, 131_072), ("deepseek-r1", "fp8", 80 * GB, 4096)],
)
def test_what_is_said_to_fit_fits(model: str, numbers: str, memory: int, context: int) -> None:
    arch = known(model)
    wide = precision(numbers, arch)
    with pytest.raises(DoesNotFit) as refused:
        fit(arch, wide, KV, memory, context)
    said = str(refused.value)
    assert f"{arch.name} in {numbers} does not fit into 1 × {memory / GB:.1f} GB: its weights take" in said
    devices = re.search(r"(\d+) such devices", said)
    assert devices and fit(arch, wide, KV, memory, context, devices=int(devices[1])).batch >= 1
    with pytest.raises(DoesNotFit):
        fit(arch, wide, KV, memory, context, devices=int(devices[1]) - 1)
    if bits := re.search(r"weights of ([\d.]+) bits", said):
        even = Precision("even", dict.fromkeys(wide.bits, float(bits[1])), wide.compute, "")
        assert fit(arch, even, KV, memory, context).batch >= 1
    if shorter := re.search(r"a context of ([\d,]+) tokens", said):
        tokens = int(shorter[1].replace(",", ""))
        assert fit(arch, wide, KV, memory, tokens).batch == 1
        with pytest.raises(DoesNotFit):
            fit(arch, wide, KV, memory, tokens + 1)


def test_what_would_not_help_is_not_said() -> None:
    with pytest.raises(DoesNotFit) as refused:
        fit(known("deepseek-r1"), precision("fp8"), KV, 24 * GB, 4096)
    assert "a context of" not in str(refused.value) and "bits" not in str(refused.value) and "such devices" in str(refused.value)
