"""`jevons engine`: which build computes for the local model, and why; fetching others, and measuring them."""

import contextlib
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from jevons.cli import tables
from jevons.cli.doctor import count
from jevons.cli.engine_launch import launch
from jevons.cli.options import as_json, show
from jevons.config import home_path, load
from jevons.ledger.home import Home, write_private

if TYPE_CHECKING:
    from jevons.engine.builds.choice import Choice, Row


@click.group(short_help="The local model's engine: its build; launch lines of others.")
def engine() -> None:
    """Which code computes for the local model, and launch lines of engines for GPUs and fleets."""


engine.add_command(launch)


@engine.command()
@as_json
def status(json: bool) -> None:
    """Say which build of the engine runs and why, and what was measured."""
    from jevons.engine.builds.build import SERVER, program, server_version
    from jevons.engine.builds.choice import Choice
    from jevons.engine.builds.exchange import look
    from jevons.engine.native import package
    from jevons.engine.native.package import NativeError

    file = _file()
    build, said = look(file)
    missing, choice = "", None
    try:
        package.check(package.find(), package.SHA256)
    except NativeError as error:
        missing = str(error)
    with contextlib.suppress(NativeError):  # `said` tells it
        choice = Choice.read(file) if file.exists() else None
    found = program()
    document = {
        "build": build,
        "said": said,
        "server": {"name": SERVER, "version": server_version()},
        "package": {"name": package.NAME, "version": package.VERSION, "licence": package.LICENCE, "problem": missing},
        "llama_server": str(found.where) if found else None,
        "choice": choice,
    }

    def people() -> None:
        tables.console.print(f"The local engine: {said}.", markup=False, soft_wrap=True)
        tables.console.print(f"Server: {SERVER} {server_version() or '(not installed)'}", markup=False)
        tables.console.print(f"Back ends: {missing or f'{package.NAME} {package.VERSION}'}", markup=False, soft_wrap=True)
        if choice is not None:
            _table(choice)

    show(json, document, people)


@engine.command()
@click.option("--again", is_flag=True, help="Fetch it also if it is there: a file was changed or lost.")
@click.option("--only-files", is_flag=True, help="Do not measure afterwards.")
@as_json
@click.pass_context
def install(context: click.Context, again: bool, only_files: bool, json: bool) -> None:
    """Fetch the native library with its other CPU back ends (11 MB, through npm), and choose among them."""
    from jevons.engine.builds import fetch
    from jevons.engine.native import package

    folder = fetch.install(again=again)
    if not only_files:
        click.echo(f"{package.NAME} {package.VERSION} is in {folder}.", err=True)
        context.invoke(choose, json=json)
    else:
        show(json, {"folder": str(folder)}, lambda: click.echo(f"{package.NAME} {package.VERSION} is in {folder}."))


@engine.command()
@as_json
def choose(json: bool) -> None:
    """Measure the builds that this machine can run (half a minute, on an idle machine), and take the fastest.

    Same model, threads and flags for all; another build is taken if it is 5 % faster than the built-in one and computes the same.
    """
    from jevons.engine.builds.build import built_in, exchanged, program, server_version
    from jevons.engine.builds.choice import Choice, decide, processor
    from jevons.engine.builds.measure import race
    from jevons.engine.models import find_model, read_model
    from jevons.engine.native.package import NativeError
    from jevons.engine.settings import default_threads, usable_cores

    home = Home(home_path())
    section = load(home.config if home.config.exists() else None).engine
    model = read_model(Path(section.model).expanduser()) if section.model else find_model()
    own = built_in()
    if model is None:
        raise NativeError("the packaged model is not installed; `jevons serve` installs it, or see jevons doctor")
    others, missing = [], ""
    try:
        others = exchanged()
    except NativeError as error:
        missing = str(error)
    if (found := program()) is not None:
        others.append(found)
    if not others:
        raise NativeError(f"there is nothing to choose from: {missing}")
    threads = section.threads or default_threads(usable_cores())
    rows = race([own, *others], model.path, threads, lambda step: click.echo(f"  {step}", err=True))
    taken, why = decide(rows)
    choice = Choice(
        build=taken.build,
        why=why,
        processor=processor(),
        server=server_version(),
        model=model.title,
        threads=threads,
        measured=datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        rows=rows,
    )
    home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(_file(), msgspec.json.format(msgspec.json.encode(choice)).decode())

    def people() -> None:
        _table(choice)
        if missing:
            tables.console.print(missing, markup=False, soft_wrap=True)
        running = " A running Jevons takes it at its next start." if home.address.exists() else ""
        tables.console.print(f"Taken: {taken.build}; {why}.{running}", markup=False, soft_wrap=True)

    show(json, choice, people)


def _file() -> Path:
    from jevons.engine.settings import BUILD_FILE

    return home_path() / BUILD_FILE


def _table(choice: "Choice") -> None:
    from jevons.engine.builds.choice import GAIN_LEAST, PROMPT_PER_ANSWER

    title = f"{choice.model}, {count(choice.threads, 'thread')}, {choice.processor}, {choice.measured}"
    mix = f"ms per {PROMPT_PER_ANSWER}+1"
    table = tables.plain("build", "prefill tok/s", "decode tok/s", mix, "× built-in", "nats apart", "rounds", title=title)
    for row in choice.rows:
        table.add_row(f"* {row.build}" if row.build == choice.build else f"  {row.build}", *_cells(row))
    tables.whole(table)
    taken = next(row for row in choice.rows if row.build == choice.build)
    for row in choice.rows:
        if row.problem:
            tables.console.print(f"{row.build}: {row.problem}.", markup=False, soft_wrap=True)
        elif row.kind == "program" and row.gain > taken.gain * GAIN_LEAST:
            tables.console.print(
                f"{row.build} on the PATH is faster still: make it an upstream (docs/engine.md).", soft_wrap=True
            )


def _cells(row: "Row") -> list[str]:
    if not math.isfinite(row.mix_ms):
        return [""] * 6
    rates = [f"{row.prefill_tok_s:.0f}", f"{row.decode_tok_s:.1f}", f"{row.mix_ms:.1f}"]
    whole = (
        [f"{row.gain:.2f}", f"{row.difference_nats:.3f}", str(row.rounds)]
        if row.rounds
        else ["", f"{row.difference_nats:.3f}", "heat"]
    )
    return rates + whole
