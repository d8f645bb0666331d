"""Launch lines: every option that they use is one of the version's own, and what cannot work is refused before anything is started."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from jevons.config import parse, read
from jevons.engine.launch import lines
from jevons.engine.launch.accelerators import UnknownAccelerator, accelerator, accelerators
from jevons.engine.launch.options import UnknownVersion, options_of, read_package
from jevons.engine.launch.rules import Finding, Plan, findings, formats
from jevons.engine.launch.sizes import Shape, Unreadable, kv_bytes, shape_of, weight_bytes
from jevons.meter.overrides import parse_overrides
from tests.engine.checkpoints import LLAMA

PLAN = Plan(model="meta-llama/Llama-3.1-8B-Instruct", name="llama", max_model_len=8192)
VERSIONS = ("0.32.0", lines.RAY_VLLM)


def found(plan: Plan, config: dict[str, Any] | None = None) -> list[Finding]:
    gpu = accelerator(plan.on) if plan.on else None
    return findings(plan, options_of("0.32.0"), gpu, shape_of({**LLAMA, **(config or {})}))


def errors(plan: Plan, config: dict[str, Any] | None = None) -> str:
    return "\n".join(finding.text for finding in found(plan, config) if finding.verdict == "error")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_line_is_of_options_that_the_version_has(version: str) -> None:
    options = options_of(version)
    assert options.version == version and len(options.options) > 250
    for dtype, method, count in itertools.product(options.values("--kv-cache-dtype"), ("", *options.quantization), (1, 4)):
        plan = msgspec.structs.replace(PLAN, kv_cache_dtype=dtype, quantization=method, count=count, extra=("--seed", "7"))
        assert list(options.problems(lines.vllm_arguments(plan)[3:])) == []


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        (["--enable-chunkd-prefill"], "is it --enable-chunked-prefill?"),
        (["--enable-chunked-prefill=true"], "takes no value"),
        (["--seed"], "takes a value"),
        (["--seed", "--async-scheduling"], "takes a value"),
        (["--seed", "seven"], "a number is meant"),
        (["--load_format"], "takes a value"),
        (["--prefix-caching-hash-algo", "md5"], "sha256, sha256_cbor, xxhash, xxhash_cbor"),
        (["-tp=2"], "write --NAME VALUE"),
        (["--no-seed"], "has no --no-seed"),
    ],
)
def test_options_that_are_wrong(argument: list[str], problem: str) -> None:
    [said] = options_of("0.32.0").problems(argument)
    assert problem in said


def test_options_that_are_right() -> None:
    right = "--no-enable-chunked-prefill --max-num-batched-tokens 8k --middleware a b --attention-config.flash_attn_version=2 --load_format auto --seed=1"
    assert list(options_of("0.32.0").problems(right.split())) == []


def test_options_are_read_from_an_installed_package(tmp_path: Path) -> None:
    """In the forms that vLLM's own source has."""
    sources = {
        "config/cache.py": "CacheDType = Literal['auto', 'fp8']\nclass CacheConfig:\n    cache_dtype: CacheDType = 'auto'\n"
        "    enable_prefix_caching: bool = True\n    block_size: int | None = None\n    share: float = 0.9\n    parts: PartsConfig = None\n"
        "class PartsConfig:\n    depth: int = 1\n",
        "engine/arg_utils.py": "class EngineArgs:\n  def add_cli_args(parser):\n    cache = get_kwargs(CacheConfig)\n"
        "    parser.add_argument('--kv-cache-dtype', **cache['cache_dtype'])\n    parser.add_argument('--share', '--part', **cache['share'])\n"
        "    parser.add_argument('--enable-prefix-caching', **{**cache['enable_prefix_caching'], 'default': None})\n"
        "    parser.add_argument('--block-size', '-b', **cache['block_size'])\n    parser.add_argument('--parts', **cache['parts'])\n"
        "    parser.add_argument('--old', action='store_true')\n    parser.add_argument('--mode', choices=['a', 'b'])\n",
        "entrypoints/launchers/cli_args.py": "class Base:\n    api_key: str | None = None\nclass FrontendArgs(Base):\n    port: int = 8000\n",
        "model_executor/layers/quantization/__init__.py": "QuantizationMethods = Literal['awq', 'old']\nDEPRECATED_QUANTIZATION_METHODS = ['old']\n",
    }
    for name, text in sources.items():
        file = tmp_path / "vllm" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    options = read_package(tmp_path / "vllm", "1.0")
    assert options.options == {
        "--kv-cache-dtype": ("auto", "fp8"),
        "--share": "float",
        "--part": "float",
        "--enable-prefix-caching": "flag",
        "--block-size": "int",
        "--parts": "json",
        "--old": "flag",
        "--mode": ("a", "b"),
        "--api-key": "text",
        "--port": "int",
    }
    assert (options.quantization, options.deprecated_quantization) == (("awq", "old"), ("old",))
    made = subprocess.run(
        [sys.executable, "-m", "jevons.engine.launch.options", tmp_path / "vllm", "1.0"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"--kv-cache-dtype" = ["auto", "fp8"]' in made.stdout and 'version = "1.0"' in made.stdout


def test_versions_and_accelerators_that_nothing_is_known_of() -> None:
    with pytest.raises(UnknownVersion, match=r"only of 0\.29\.0, 0\.32\.0"):
        options_of("0.1.0")
    with pytest.raises(UnknownAccelerator, match="is it H100-SXM-80GB"):
        accelerator("h100-sxm")
    assert accelerator("mi300x") == accelerators()["MI300X"]


@pytest.mark.parametrize(
    ("changes", "config", "error"),
    [
        ({"on": "CPU", "kv_cache_dtype": "turboquant_4bit_nc"}, {}, "perplexity was 155,155"),
        ({"on": "CPU", "kv_cache_dtype": "nvfp4"}, {}, "does not check that"),
        ({"on": "T4", "kv_cache_dtype": "fp8"}, {}, "compute capability 8.0; T4 has compute capability 7.5"),
        ({"on": "A100-SXM-80GB", "kv_cache_dtype": "fp8_per_token_head"}, {}, "int8_per_token_head"),
        ({"on": "H100-SXM-80GB", "kv_cache_dtype": "nvfp4_4over6"}, {}, "compute capability 10"),
        ({"on": "H100-SXM-80GB", "kv_cache_dtype": "nvfp4"}, {"head_dim": 64}, "misread"),
        ({"on": "H100-SXM-80GB", "kv_cache_dtype": "ultraquant_4bit"}, {}, "AMD"),
        ({"on": "MI300X", "kv_cache_dtype": "nvfp4"}, {}, "NVIDIA's format"),
        ({"kv_cache_dtype": "fp8_ds_mla"}, {}, "this model has none"),
        ({"kv_cache_dtype": "turboquant_k8v4"}, {"kv_lora_rank": 512, "qk_rope_head_dim": 64}, "one vector for both"),
        ({"kv_cache_dtype": "int4"}, {}, "vLLM 0.32.0 takes auto, float16"),
        ({"quantization": "int4"}, {}, "vLLM 0.32.0 takes awq"),
        ({"quantization": "awq"}, {}, "this one is not quantised"),
        ({"quantization": "fp8"}, {"quantization_config": {"quant_method": "awq"}}, "quantised by awq already"),
        ({"quantization": "fp_quant"}, {"quantization_config": {"quant_method": "fp_quant"}}, "--allow-deprecated-quantization"),
        ({"on": "T4", "quantization": "mxfp8"}, {}, "need compute capability 8.0"),
        ({"on": "MI300X", "quantization": "experts_int8"}, {}, "not among what vLLM runs on AMD"),
        ({"count": 3}, {}, "cannot share 32 attention heads"),
        ({"max_model_len": 200_000}, {}, "made for 131,072 tokens"),
        ({"on": "T4"}, {}, "It does not fit: 16.1 GB of weights in 14.7 GB"),
        ({"on": "L4", "max_model_len": 131_072}, {}, "--max-model-len 45824 is the most"),
        ({"extra": ("--served-model-name", "x")}, {}, "use --name"),
        ({"extra": ("--api-key=secret",)}, {}, "VLLM_API_KEY"),
        ({"extra": ("--no-enable-prefix-caching",)}, {}, "computed anew"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], config: dict[str, Any], error: str) -> None:
    assert error in errors(msgspec.structs.replace(PLAN, **changes), config)


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"on": "A100-SXM-80GB", "kv_cache_dtype": "fp8"}, "only FlashInfer reads"),
        ({"on": "A100-SXM-80GB", "quantization": "fp8"}, "unpacked as they are read"),
        ({"on": "H100-SXM-80GB", "count": 16}, "some hold the same ones twice"),
        ({"on": "L4", "concurrency": 64}, "64 were asked for"),
        ({"on": "H100-SXM-80GB", "kv_cache_dtype": "turboquant_3bit_nc"}, "20.6 % more perplexity"),
        ({"extra": ("--prefix-caching-hash-algo", "xxhash")}, "keep sha256"),
    ],
)
def test_what_works_but_not_well_is_said(changes: dict[str, Any], warning: str) -> None:
    plan = msgspec.structs.replace(PLAN, **changes)
    assert errors(plan) == ""
    assert any(finding.verdict == "warning" and warning in finding.text for finding in found(plan))


def test_a_plan_that_fits_says_how_much() -> None:
    [note] = found(msgspec.structs.replace(PLAN, on="H100-SXM-80GB", kv_cache_dtype="fp8"))
    assert note.verdict == "note"
    assert "16.1 GB of weights in 73.6 GB" in note.text and "65,536 bytes a token" in note.text and "107 requests" in note.text
    assert [finding.verdict for finding in findings(PLAN, options_of("0.32.0"), None, None)] == ["note", "note"]


def test_sizes() -> None:
    llama = shape_of(LLAMA)
    assert abs(llama.params / 8_030_261_248 - 1) < 0.001
    assert weight_bytes(llama, None) == 2 * llama.params
    assert abs(weight_bytes(llama, 4.2) / 5.7e9 - 1) < 0.05  # the AWQ checkpoint has 5.73 GB
    assert shape_of(LLAMA, 8_030_261_248).params == 8_030_261_248
    assert kv_bytes(llama, "auto") == 32 * 2 * 8 * 128 * 2
    assert kv_bytes(llama, "fp8") * 2 == kv_bytes(llama, "auto") == kv_bytes(llama, "auto", 4) * 4
    assert kv_bytes(llama, "auto", 16) == kv_bytes(llama, "auto", 8)  # a head is not cut
    slots = {"turboquant_k8v4": 196, "turboquant_4bit_nc": 134, "turboquant_k3v4_nc": 118, "turboquant_3bit_nc": 102, "nvfp4": 144,
             "ultraquant_4bit": 136, "int8_per_token_head": 264, "int4_per_token_head": 136}  # fmt: skip
    for dtype, slot in slots.items():
        skipped = 4 if "quant" in dtype else 0
        assert kv_bytes(llama, dtype) == 8 * ((32 - skipped) * slot + skipped * 512)
    mixtral = shape_of({**LLAMA, "vocab_size": 32000, "num_local_experts": 8})
    assert abs(mixtral.params / 46.7e9 - 1) < 0.01
    deepseek = {**LLAMA, "num_hidden_layers": 61, "kv_lora_rank": 512, "qk_rope_head_dim": 64}
    assert kv_bytes(shape_of(deepseek), "auto", 8) == 61 * 576 * 2  # 70,272, on each of them
    for damaged in ({}, {**LLAMA, "num_attention_heads": 0}, {**LLAMA, "hidden_size": "wide"}, {"text_config": 3}):
        with pytest.raises(Unreadable):
            shape_of(damaged)


def test_the_tables_are_what_jevons_reads(tmp_path: Path) -> None:
    for key in (True, False):
        file = tmp_path / "jevons.toml"
        file.write_text(lines.upstream(PLAN, "fleet", key))
        [upstream] = parse(read(file), file).upstreams
        assert (upstream.name, upstream.models, upstream.price_provider) == ("fleet", ("llama",), "fleet")
    rates = lines.price(PLAN, "fleet").replace('"?"', '"0.05"')
    [override] = parse_overrides(rates, "prices.toml")
    assert (override.provider, override.model) == ("fleet", "llama")


def test_rays_configuration() -> None:
    plan = msgspec.structs.replace(
        PLAN,
        on="A100-SXM-80GB",
        kv_cache_dtype="int8_per_token_head",
        count=2,
        extra=("--no-async-scheduling", "--seed", "7", "--load-format=dummy"),
    )
    config = yaml.safe_load(lines.ray_config(plan, accelerator(plan.on), lines.Replicas(0, 4, 8)))
    [application] = config["applications"]
    assert application["import_path"] == "ray.serve.llm:build_openai_app"
    [model] = application["args"]["llm_configs"]
    assert model["model_loading_config"] == {"model_id": "llama", "model_source": PLAN.model}
    assert model["accelerator_type"] == "A100-80G"
    assert model["deployment_config"]["autoscaling_config"] == {
        "min_replicas": 0,
        "max_replicas": 4,
        "target_ongoing_requests": 8,
    }
    assert model["deployment_config"]["request_router_config"]["request_router_class"].endswith(".PrefixCacheAffinityRouter")
    kwargs = model["engine_kwargs"]
    assert kwargs["enable_prefix_caching"] is True and kwargs["async_scheduling"] is False and kwargs["seed"] == 7
    options = options_of(lines.RAY_VLLM).options
    assert all(f"--{name.replace('_', '-')}" in options for name in kwargs)
    with pytest.raises(ValueError, match="by hand"):
        lines.ray_config(
            msgspec.structs.replace(PLAN, extra=("--attention-config.flash_attn_version=2",)), None, lines.Replicas()
        )


def test_the_data_agrees_with_itself() -> None:
    options = options_of("0.32.0")
    assert set(formats()) == set(options.quantization)
    assert all(one.capability if one.platform == "cuda" else not one.capability for one in accelerators().values())
    assert isinstance(shape_of(LLAMA), Shape)
