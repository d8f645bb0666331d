"""`jevons models`: files of weights; smaller ones made of them; the cheapest that is good enough, chosen by measuring."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from jevons.cli import models_shown as shown
from jevons.cli.engine_model import point_engine_at
from jevons.cli.options import as_json, show
from jevons.config import home_path, load
from jevons.ledger.home import Home

if TYPE_CHECKING:
    from jevons.engine.weights.catalogue import Catalogue, Known
    from jevons.engine.weights.choose import Mix
    from jevons.engine.weights.traffic import Traffic

Record = dict[str, Any]


class Proportion(click.ParamType["tuple[int, int]"]):
    """PROMPT:OUTPUT, both at least 1."""

    name = "prompt:output"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        prompt, _, output = str(value).partition(":")
        if not (prompt.isdecimal() and output.isdecimal() and int(prompt) and int(output)):
            self.fail(f"{value!r} is not a proportion; write 1000:200, tokens read and tokens written", param, ctx)
        return int(prompt), int(output)


@click.group(invoke_without_command=True, short_help="Files of weights: list, add, quantise, choose.")
@as_json
@click.pass_context
def models(context: click.Context, json: bool) -> None:
    """The model files that are known here, with what is in them; * marks the one that the engine serves.

    Example: jevons models choose packaged --kld-max 0.05
    """
    if context.invoked_subcommand is None:
        home = Home(home_path())
        served = _served(home)
        with shown.told():
            found = [_described(known, served) for known in _catalogue(home).known()]
        document = {"models": found, "served": str(served) if served else None}
        show(json, document, lambda: shown.models(document))


@models.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="Default: the file's own name.")
@as_json
def add(path: Path, name: str | None, json: bool) -> None:
    """Remember a GGUF file. It stays where it is; its SHA-256 is kept, so that another file in its place is noticed."""
    home = Home(home_path())
    with shown.told():
        known = _catalogue(home).add(path, name)
        document = _described(known, _served(home))
    show(json, document, lambda: click.echo(f"Added {known.name}. The engine serves it after: jevons models use {known.name}"))


@models.command()
@click.argument("name")
@as_json
def remove(name: str, json: bool) -> None:
    """Forget a file. One that was quantised here is deleted; one that was added stays where it is."""
    home = Home(home_path())
    with shown.told():
        catalogue = _catalogue(home)
        if catalogue.find(name).path == _served(home):
            raise click.UsageError(f"{name} is the one that the engine serves; first: jevons models use packaged")
        gone, deleted = catalogue.remove(name)
    line = f"Deleted {gone.path}." if deleted else f"Forgot {name}; {gone.path} stays."
    show(json, {"name": name, "path": str(gone.path), "deleted": deleted}, lambda: click.echo(line))


@models.command()
@click.argument("name")
@as_json
def use(name: str, json: bool) -> None:
    """Make the engine serve it: sets `model` under `[engine]` in jevons.toml, and changes nothing else there."""
    from jevons.engine.weights.catalogue import PACKAGED

    home = Home(home_path())
    with shown.told():
        known = _catalogue(home).find(name)
        known.model()  # it is there, and is the one that was added
    value = "" if name == PACKAGED else str(known.path)
    paste = point_engine_at(home, value)
    line = paste or f"{home.config}: the engine serves {name}. Restart `jevons serve`."
    show(json, {"name": name, "model": value, "written": not paste, "paste": paste}, lambda: click.echo(line))
    if paste:
        raise click.exceptions.Exit(1)


@models.command()
@click.argument("name")
@click.argument("types", nargs=-1, required=True, metavar="TYPE...")
@as_json
def quantise(name: str, types: tuple[str, ...], json: bool) -> None:
    """Make smaller files of a model by llama.cpp's quantiser: Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0, IQ4_XS, Q3_K_M, Q2_K, and others.

    Example: jevons models quantise packaged Q8_0 Q4_K_M
    """
    from jevons.engine.weights import quantise as quantising

    home = Home(home_path())
    documents = []
    with shown.told():
        catalogue = _catalogue(home)
        source = catalogue.find(name)
        for kind in _types(types):
            click.echo(f"making {kind}", err=True)
            documents.append(_described(quantising.quantise(catalogue, source, kind), _served(home)))
    show(json, {"models": documents}, lambda: shown.made(documents))


@models.command(short_help="The cheapest quantisation that loses no more than you allow.")
@click.argument("name")
@click.option(
    "--kld-max", type=click.FloatRange(0, min_open=True), help="Most that may be lost per token, in nats. Default: 0.05."
)
@click.option("--task-loss-max", type=click.FloatRange(0, 1), help="Largest share of questions that may go wrong besides.")
@click.option("--types", multiple=True, metavar="TYPE,…", help="Candidates; default: eight from Q8_0 to Q2_K.")
@click.option("--traffic", "file", type=click.Path(path_type=Path), help="Texts of yours; default: a packaged sample.")
@click.option("--mix", "proportion", type=Proportion(), help="Tokens read : written; default: what the ledger has.")
@click.option("--by", type=click.Choice(["seconds", "bytes"]), default="seconds", show_default=True, help="What is cheap.")
@click.option("--tokens", type=click.IntRange(200), default=4_800, show_default=True, help="Of texts that are measured.")
@click.option("--questions", type=click.IntRange(0), default=80, show_default=True, help="That are asked.")
@click.option("--threads", type=click.IntRange(1), help="Default: as the engine has.")
@click.option("--again", is_flag=True, help="Measure also what was measured before.")
@click.option("--keep", is_flag=True, help="Keep every candidate, not only the chosen one.")
@as_json
def choose(
    name: str, kld_max: float | None, task_loss_max: float | None, types: tuple[str, ...], file: Path | None, proportion: tuple[int, int] | None,
    by: str, tokens: int, questions: int, threads: int | None, again: bool, keep: bool, json: bool,
) -> None:  # fmt: skip
    """Measure every quantisation of a model against the model itself, and choose the cheapest that stays within the bound.

    It passes if the one-sided upper limit of its loss is within the bound (95 %, texts resampled), not only the mean. Traffic: JSON lines of chat
    bodies, or of questions with `prompt`, `choices` and `answer`, or plain text. The ledger has no texts; only how much is read and written is its.

    Example: jevons models choose packaged --kld-max 0.1 --by bytes
    """
    from jevons.engine.settings import default_threads, usable_cores
    from jevons.engine.weights.choose import KLD_MAX, Bound
    from jevons.engine.weights.measure import Sizes
    from jevons.engine.weights.quantise import CANDIDATES
    from jevons.engine.weights.traffic import read_traffic
    from jevons.engine.weights.trial import Trial, Wanted

    home = Home(home_path())
    with shown.told():
        traffic = read_traffic(file)
        bound = Bound(KLD_MAX if kld_max is None and task_loss_max is None else kld_max, task_loss_max)
        mix = _mix(home, traffic, proportion)
        sizes = Sizes(tokens, questions, threads=threads or default_threads(usable_cores()))
        wanted = Wanted(
            _types(types) if types else CANDIDATES, bound, mix, "bytes" if by == "bytes" else "seconds", sizes, again, keep
        )
        catalogue = _catalogue(home)
        source = catalogue.find(name)
        choice = Trial(catalogue, source, lambda line: click.echo(line, err=True)).run(wanted, traffic)
    document = shown.chosen_document(name, traffic, wanted, choice)
    show(json, document, lambda: shown.chosen(document))


def _catalogue(home: Home) -> "Catalogue":
    from jevons.engine.weights.catalogue import Catalogue

    return Catalogue(home.path)


def _served(home: Home) -> Path | None:
    """The file that the engine serves by the configuration."""
    from jevons.engine.models import find_model

    section = load(home.config if home.config.exists() else None).engine
    if not section.enabled:
        return None
    if section.model:
        return Path(section.model).expanduser().resolve()
    packaged = find_model()
    return packaged.path if packaged else None


def _described(known: "Known", served: Path | None) -> Record:
    """What is shown of a file; what only the file itself could tell is None while it is missing, or another, or damaged."""
    from jevons.engine.experts.sizes import active_parameters
    from jevons.engine.gguf import NotGguf
    from jevons.engine.weights.contents import Contents

    document: Record = {
        "name": known.name,
        "path": str(known.path),
        "sha256": known.sha256,
        "state": known.state,
        "damage": None,
        "source": known.source,
        "made": msgspec.to_builtins(known.made),
        "requantised": bool(known.made and known.made.requantised),
        "served": known.path == served,
    }
    facts = (
        "architecture",
        "parameters",
        "active_parameters",
        "quantised",
        "size_bytes",
        "bits_per_weight",
        "types",
        "fell_back",
    )
    unknown = {**document, **dict.fromkeys((*facts, "context_tokens", "licence"))}
    if known.state != "there":
        return unknown
    try:
        model, contents = known.model(), Contents(known.path)
        active = active_parameters(known.path)[0]
    except NotGguf as error:  # the others are shown all the same
        return {**unknown, "state": "damaged", "damage": str(error)}
    return {
        **document,
        **msgspec.to_builtins(contents.file(known.made.type if known.made else "")),
        "architecture": model.architecture,
        "parameters": contents.parameters,
        "active_parameters": active,
        "quantised": contents.quantised,
        "context_tokens": model.context_tokens,
        "licence": model.licence,
    }


def _types(names: tuple[str, ...]) -> tuple[str, ...]:
    """As they may be given, with commas or one by one, each once."""
    from jevons.engine.weights.quantise import file_type

    return tuple(dict.fromkeys(file_type(name.strip()) for text in names for name in text.split(",") if name.strip()))


def _mix(home: Home, traffic: "Traffic", proportion: tuple[int, int] | None) -> "Mix":
    """How much is read for what is written: as told, else as the ledger has it, else as the traffic has it.

    What a cache read was not computed, so it does not count as read.
    """
    from jevons.engine.weights.choose import Mix
    from jevons.ledger.bill import bill

    if proportion is not None:
        return Mix(*proportion, "as given")
    rows = bill(home.ledger, by="model")["rows"] if home.ledger.exists() else []
    local = [row for row in rows if row["model"].startswith("local/")]
    for found, whose in ((local, "of the local model"), (rows, "of every model")):
        prompt = sum(row["input"] + row["cache_write_5m"] + row["cache_write_1h"] for row in found)
        output = sum(row["output"] for row in found)
        if prompt and output:
            return Mix(prompt, output, f"the ledger, calls {whose}")
    return Mix(*traffic.proportion(), "characters of the traffic; the ledger has no calls")
