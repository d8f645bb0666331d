"""`jevons park`: conversations that are parked on disk, and their erasure. Reads file names and sizes, never what is in them."""

import importlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from jevons.cli.doctor import count
from jevons.cli.operator import Operator
from jevons.cli.options import as_json, show
from jevons.cli.tables import console, plain, whole
from jevons.config import home_path, load
from jevons.engine.park import disk
from jevons.engine.park.sealing import tenant_tag
from jevons.engine.park.trails import FILE
from jevons.ledger.bill import accounts
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home

SHOWN_CHARACTERS = 8
"""Of a tag whose organisation no key names any more."""


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def park(context: click.Context, json: bool) -> None:
    """What is parked: in the memory of the engine that runs, and on disk by organisation, with blocks, bytes and ages.

    Example: jevons park
    """
    if context.invoked_subcommand is None:
        home = Home(home_path())
        engine = Operator(home).engine()
        found = {"engine": engine["park"] if engine else None, **_parked(home)}
        show(json, found, lambda: _table(found))


@park.command()
@click.option("--org", help="This organisation's.")
@click.option("--all", "everything", is_flag=True, help="Everybody's.")
@as_json
def erase(org: str | None, everything: bool, json: bool) -> None:
    """Remove parked conversations from the disk, and have the engine that runs forget them, also in its slots.

    Example: jevons park erase --org acme
    """
    if (org is None) is not everything:
        raise click.UsageError("Say whose: --org NAME, or --all.")
    home = Home(home_path())
    tag = b"" if org is None else tenant_tag(home.secret("installation"), org)
    told = Operator(home).forget_parked(tag)
    try:
        files, size_bytes = disk.erase(_folder(home), {tag} if tag else None)
    except OSError as error:
        raise LedgerError(f"{error.filename} cannot be removed ({error.strerror}); remove it by hand.") from None
    found = {"files": files, "bytes": size_bytes, "engine_told": told}
    show(json, found, lambda: click.echo(_erased(org, found)))


@park.command()
@click.option(
    "--traffic", type=click.Path(path_type=Path), help="Texts as your model will read them; default: a packaged sample."
)
@click.option("--model", type=click.Path(path_type=Path), help="A GGUF file; default: the one that the engine serves.")
@click.option("--threads", default=1, show_default=True, help="Cores to take for it.")
def measure(traffic: Path | None, model: Path | None, threads: int) -> None:
    """Measure what a model loses by compressing each layer's keys and values, so that a budget can be kept. Takes minutes.

    Example: jevons park measure --threads 2
    """
    home = Home(home_path())
    try:
        said = importlib.import_module("jevons.cli.park_measure").measure(home, traffic, model, threads)
    except ImportError as error:
        raise LedgerError(str(error)) from None
    click.echo(said)


def _folder(home: Home) -> Path:
    return home.path / "park"


def _parked(home: Home) -> dict[str, Any]:
    tenants: dict[bytes, list[disk.Filed]] = {}
    try:
        for file in disk.listing(_folder(home)):
            tenants.setdefault(file.tag, []).append(file)
    except OSError as error:
        raise LedgerError(f"{error.filename} cannot be read ({error.strerror}).") from None
    names = _names(home) if tenants else {}
    rows = [{"org": names.get(tag), "tag": tag.hex(), **_sums(files)} for tag, files in tenants.items()]
    rows.sort(key=lambda row: (-row["bytes"], row["tag"]))
    return {"folder": str(_folder(home)), **_sums(file for files in tenants.values() for file in files), "orgs": rows}


def _names(home: Home) -> dict[bytes, str]:
    """Organisations of keys and of the configuration, by tag: a tag cannot be turned back into its name."""
    orgs = {"default"}
    if home.ledger.exists():
        orgs.update(key["settings"].get("org", "default") for key in accounts(home.ledger))
    if home.config.exists():
        orgs.update(load(home.config).engine.park.disk_orgs)
    secret = home.secret("installation")
    return {tenant_tag(secret, org): org for org in orgs}


def _sums(files: Iterable[disk.Filed]) -> dict[str, Any]:
    files = list(files)
    written_ms = [int(file.written_s * 1000) for file in files]
    return {
        "blocks": sum(file.name != FILE for file in files),
        "bytes": sum(file.size_bytes for file in files),
        "oldest_ms": min(written_ms, default=None),
        "newest_ms": max(written_ms, default=None),
    }


def _table(found: dict[str, Any]) -> None:
    _memory(found["engine"])
    if not found["orgs"]:
        console.print(
            "Nothing is parked on disk. `disk_gib` under [engine.park] of jevons.toml turns that on.",
            soft_wrap=True,
            markup=False,
        )
        return
    table = plain("organisation", "blocks", "MB", "oldest (UTC)", "newest (UTC)", title=None)
    for row in found["orgs"]:
        name = row["org"] or f"{row['tag'][:SHOWN_CHARACTERS]}… (no key names it)"
        days = [f"{datetime.fromtimestamp(row[end] / 1000, UTC):%Y-%m-%d %H:%M}" for end in ("oldest_ms", "newest_ms")]
        table.add_row(name, f"{row['blocks']:,}", f"{row['bytes'] / 1e6:,.1f}", *days)
    whole(table)
    console.print(f"{count(found['blocks'], 'block')}, {found['bytes'] / 1e6:,.1f} MB, encrypted, in {found['folder']}")


def _memory(park: dict[str, Any] | None) -> None:
    if park is None:
        console.print("No engine runs that parks in memory.")
        return
    store = park["store"]
    how = f", {park['codec']}, {park['bytes_per_token']:,.0f} bytes a token" if park["codec"] else ""
    console.print(f"In memory: {count(store['ram_blocks'], 'block')}, {store['ram_bytes'] / 1e6:,.1f} MB{how}.")
    console.print(
        f"Since the engine started: {count(park['states_kept'], 'conversation')} parked, {park['states_filled']:,} taken up again "
        f"({park['tokens_filled']:,} tokens not computed anew), {count(park['blocks_refused'] + store['damaged'], 'damaged block')} refused.",
        soft_wrap=True,
    )
    if store["disk_off"]:
        console.print(f"Nothing is written to disk: {store['disk_off']}", soft_wrap=True)


def _erased(org: str | None, found: dict[str, Any]) -> str:
    whose = "" if org is None else f" of {org}"
    said = f"Removed {count(found['files'], 'file')}{whose}, {found['bytes'] / 1e6:,.1f} MB."
    return f"{said} The running engine has forgotten them too." if found["engine_told"] else said
