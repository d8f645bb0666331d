"""`jevons engine launch`: launch lines of vLLM and Ray Serve LLM, checked before anything is started, and the tables that belong beside them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from jevons.cli.options import as_json, show
from jevons.engine.launch import lines
from jevons.engine.launch.accelerators import UnknownAccelerator, accelerator
from jevons.engine.launch.options import Options, UnknownVersion, options_of
from jevons.engine.launch.rules import Finding, Plan, findings
from jevons.engine.launch.sizes import Shape, Unreadable, shape_of

Command = Callable[..., None]
EXTRA = {"ignore_unknown_options": True}
"""What follows the model and `--` is vLLM's own."""


PLAN_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.argument("model"),
    click.argument("extra", nargs=-1, type=click.UNPROCESSED),
    click.option("--on", "on", default="", metavar="NAME", help="What it runs on: H100-SXM-80GB, L4, MI300X, CPU, …"),
    click.option("--gpus", "count", type=click.IntRange(1), default=1, show_default=True, help="Accelerators that share a copy."),
    click.option("--name", help="The model's name in requests. Default: the last part of MODEL."),
    click.option(
        "--quantization", default="", metavar="METHOD", help="How weights are quantised; default: as the checkpoint says."
    ),
    click.option("--kv-cache-dtype", default="auto", metavar="TYPE", help="How keys and values are kept."),
    click.option("--max-model-len", type=click.IntRange(1), help="Prompt and answer together; default: as the model says."),
    click.option(
        "--gpu-memory-utilization",
        "memory_share",
        type=click.FloatRange(0, 1, min_open=True),
        default=0.92,
        show_default=True,
        help="Share of the accelerator's memory.",
    ),
    click.option("--concurrency", type=click.IntRange(1), default=16, show_default=True, help="Requests at once."),
    click.option(
        "--model-config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="The model's config.json; default: the one in MODEL, if that is a folder.",
    ),
    click.option(
        "--params-b",
        type=click.FloatRange(0, min_open=True),
        help="Parameters in billions, if config.json does not give them well.",
    ),
    as_json,
)
"""What both engines are told."""


def _plan_options(command: Command) -> Command:
    for option in reversed(PLAN_OPTIONS):
        command = option(command)
    return command


@click.group()
def launch() -> None:
    """Write the launch line of an engine for GPUs, with a checked configuration. Nothing is started."""


@launch.command(context_settings=EXTRA)
@_plan_options
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--vllm", "version", metavar="VERSION", help="Check against this version, although another is installed.")
def vllm(port: int, version: str | None, model_config: Path | None, params_b: float | None, json: bool, **asked: Any) -> None:
    """The command that serves MODEL with vLLM. Further options of vLLM follow after --.

    Example: jevons engine launch vllm Qwen/Qwen3-8B --on L40S --kv-cache-dtype fp8
    """
    options = _options(version)
    plan, found = _checked(asked, port, options, model_config, params_b)
    table = lines.upstream(plan, "vllm", key=True)
    document = {"engine": "vllm", "version": options.version, "source": options.source, "command": lines.vllm_arguments(plan)}
    _say(json, document, lines.vllm_command(plan), f"vLLM {options.version}", plan, "vllm", table, found)


@launch.command(context_settings=EXTRA)
@_plan_options
@click.option(
    "--replicas", type=(click.IntRange(0), click.IntRange(1)), default=(1, 2), show_default=True, help="Fewest and most copies."
)
def ray(replicas: tuple[int, int], model_config: Path | None, params_b: float | None, json: bool, **asked: Any) -> None:
    """The configuration that serves MODEL with Ray Serve LLM, which runs vLLM on a fleet.

    Example: jevons engine launch ray Qwen/Qwen3-8B --on H100-SXM-80GB --replicas 1 8
    """
    if replicas[0] > replicas[1]:
        raise click.UsageError("--replicas takes the fewest first, then the most.")
    plan, found = _checked(asked, lines.RAY_PORT, _options(lines.RAY_VLLM), model_config, params_b)
    gpu = accelerator(plan.on) if plan.on else None
    if gpu is not None and not gpu.ray:
        raise click.UsageError(
            f"Ray {lines.RAY_VERSION} has no accelerator type for {plan.on}; leave --on out, or use `jevons engine launch vllm`."
        )
    try:
        config = lines.ray_config(plan, gpu, lines.Replicas(*replicas, plan.concurrency))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    document = {"engine": "ray", "version": lines.RAY_VERSION, "vllm": lines.RAY_VLLM, "config": config}
    title = f"Ray {lines.RAY_VERSION} with vLLM {lines.RAY_VLLM}: ray.yaml, for `serve run ray.yaml`"
    _say(json, document, config, title, plan, "ray", lines.upstream(plan, "ray", key=False), found)


def _options(version: str | None) -> Options:
    try:
        return options_of(version)
    except UnknownVersion as error:
        raise click.UsageError(str(error)) from None


def _checked(
    asked: dict[str, Any], port: int, options: Options, model_config: Path | None, params_b: float | None
) -> tuple[Plan, list[Finding]]:
    """A plan without errors, and what else is to be said of it."""
    asked["name"] = asked["name"] or asked["model"].rstrip("/").rpartition("/")[2]
    try:
        gpu = accelerator(asked["on"]) if asked["on"] else None
    except UnknownAccelerator as error:
        raise click.UsageError(str(error)) from None
    plan = Plan(**{**asked, "on": gpu.name if gpu is not None else ""}, port=port)
    found = findings(plan, options, gpu, _shape(plan.model, model_config, params_b))
    errors = [finding.text for finding in found if finding.verdict == "error"]
    if errors:
        raise click.ClickException("\n       ".join(errors))
    return plan, found


def _shape(model: str, file: Path | None, params_b: float | None) -> Shape | None:
    if file is None:
        file = Path(model) / "config.json"
        if not file.is_file():
            return None
    try:
        config = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        return shape_of(config, int(params_b * 1e9) if params_b is not None else None)
    except (OSError, msgspec.DecodeError, Unreadable) as error:
        raise click.UsageError(f"{file} is not a model's config.json: {error}.") from None


def _say(
    json: bool, document: dict[str, Any], text: str, title: str, plan: Plan, provider: str, table: str, found: list[Finding]
) -> None:
    entry = lines.price(plan, provider)
    document |= {"upstream": table, "price": entry, "findings": found}

    def shown() -> None:
        for finding in found:
            click.echo(f"{finding.verdict}: {finding.text}", err=True)
        click.echo(f"# {title}\n{text.rstrip()}\n")
        click.echo(f"# jevons.toml: HOST is where that runs{_key_text(provider)}\n{table}")
        click.echo(
            f"# prices.toml: what a million of its tokens costs you, for each ?; a model without a price is refused\n{entry}",
            nl=False,
        )

    show(json, document, shown)


def _key_text(provider: str) -> str:
    if provider == "ray":
        return "; Ray asks for no key, so only the gateway should reach it"
    return f"; {lines.KEY_ENV} holds its key, in vLLM's environment and in Jevons'"
