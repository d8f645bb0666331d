"""The texts: vLLM's command, Ray Serve LLM's configuration, and what jevons.toml and prices.toml need beside it.

Comes in: a `Plan` without errors. Goes out: text, ready to be run or pasted. No key stands in any of them.
"""

import json
import shlex
from collections.abc import Mapping
from typing import Any

import msgspec

from jevons.engine.launch.accelerators import Accelerator
from jevons.engine.launch.rules import Plan

KEY_ENV = "VLLM_API_KEY"
"""vLLM takes its key from this variable (vllm/envs.py); as an option it would stand in the list of processes."""
RAY_ROUTER = "ray.serve.llm.request_router.PrefixCacheAffinityRouter"
"""Sends requests that begin alike to the same replica, whose prefix cache has them (Ray 2.60, ray/serve/llm/request_router.py)."""
RAY_VERSION, RAY_VLLM = "2.60.0", "0.29.0"
"""The Ray whose configuration is written, and the vLLM that its extra `llm` brings (METADATA of the wheel)."""
RAY_PORT = 8000


class Replicas(msgspec.Struct, frozen=True):
    """How many copies of the model Ray runs."""

    least: int = 1
    most: int = 2
    ongoing: int = 16
    """Requests per copy that autoscaling aims at."""


def vllm_arguments(plan: Plan) -> list[str]:
    """The command as a list of words."""
    words = ["vllm", "serve", plan.model, "--served-model-name", plan.name, "--port", str(plan.port)]
    for name, value in _engine(plan).items():
        option = "--" + name.replace("_", "-")
        words += [option] if value is True else [option, str(value)]
    return [*words, *plan.extra]


def vllm_command(plan: Plan) -> str:
    """For a shell: one option a line."""
    lines: list[str] = []
    for word in vllm_arguments(plan):
        if word.startswith("--") or not lines:
            lines.append(shlex.quote(word))
        else:
            lines[-1] += f" {shlex.quote(word)}"
    return " \\\n  ".join(lines)


def ray_config(plan: Plan, gpu: Accelerator | None, replicas: Replicas) -> str:
    """YAML for `serve run`. Raises ValueError for further options that Ray takes elsewhere."""
    config: dict[str, Any] = {
        "model_loading_config": {"model_id": plan.name, "model_source": plan.model},
        "engine_kwargs": {**_engine(plan), **_as_fields(plan.extra)},
        "deployment_config": {
            "autoscaling_config": {
                "min_replicas": replicas.least,
                "max_replicas": replicas.most,
                "target_ongoing_requests": replicas.ongoing,
            },
            "max_ongoing_requests": 2 * replicas.ongoing,
            "request_router_config": {"request_router_class": RAY_ROUTER},
        },
    }
    if gpu is not None and gpu.ray:
        config["accelerator_type"] = gpu.ray
    application = {
        "name": "llm",
        "route_prefix": "/",
        "import_path": "ray.serve.llm:build_openai_app",
        "args": {"llm_configs": [config]},
    }
    return _yaml({"applications": [application]})


def upstream(plan: Plan, name: str, key: bool) -> str:
    """The table for jevons.toml. HOST is to be filled in by whoever knows it."""
    auth = f'key_env = "{KEY_ENV}"' if key else 'auth = "none"'
    port = plan.port if key else RAY_PORT
    return "\n".join(
        [
            "[[upstreams]]",
            f'name = "{name}"',
            'kind = "openai"',
            f'base_url = "http://HOST:{port}/v1"',
            auth,
            f"models = [{json.dumps(plan.name)}]",
            "",
        ]
    )


def price(plan: Plan, provider: str) -> str:
    """The entry for prices.toml, without which Jevons refuses the model: nobody else knows what such a token costs."""
    rates = [f'{kind} = "?"' for kind in ("input", "cache_read", "output")]
    return "\n".join(["[[price]]", f'provider = "{provider}"', f"model = {json.dumps(plan.name)}", *rates, ""])


def _engine(plan: Plan) -> dict[str, Any]:
    """Options by the names of vLLM's fields; without --enable-prompt-tokens-details an answer says nothing of cached tokens."""
    options: dict[str, Any] = {"enable_prefix_caching": True, "enable_prompt_tokens_details": True}
    if plan.kv_cache_dtype != "auto":
        options["kv_cache_dtype"] = plan.kv_cache_dtype
    if plan.quantization:
        options["quantization"] = plan.quantization
    if plan.max_model_len:
        options["max_model_len"] = plan.max_model_len
    options |= {"gpu_memory_utilization": plan.memory_share, "max_num_seqs": max(plan.concurrency, 1)}
    if plan.count > 1:
        options["tensor_parallel_size"] = plan.count
    return options


def _as_fields(extra: tuple[str, ...]) -> dict[str, Any]:
    """Further options as fields: `--no-x` is x = false, numbers are numbers."""
    fields: dict[str, Any] = {}
    words = list(extra)
    while words:
        name, equals, value = words.pop(0).removeprefix("--").partition("=")
        field = name.replace("-", "_")
        if "." in field:
            raise ValueError(f"--{name}: Ray takes whole tables; leave it out, and write it into engine_kwargs by hand.")
        if equals or (words and not words[0].startswith("--")):
            fields[field] = _scalar(value if equals else words.pop(0))
        else:
            fields[field.removeprefix("no_")] = not field.startswith("no_")
    return fields


def _scalar(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _yaml(value: Any, indent: int = 0) -> str:
    """Nested tables and lists of tables, scalars as JSON, which YAML contains."""
    pad = "  " * indent
    if isinstance(value, Mapping):
        return "".join(
            f"{pad}{name}:\n{_yaml(part, indent + 1)}" if _nested(part) else f"{pad}{name}: {json.dumps(part)}\n"
            for name, part in value.items()
        )
    return "".join(f"{pad}- {_yaml(part, indent + 1).lstrip()}" for part in value)


def _nested(part: Any) -> bool:
    return isinstance(part, Mapping) or (isinstance(part, list) and any(isinstance(item, Mapping) for item in part))
