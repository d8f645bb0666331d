"""`jevons demo`: a ledger of its own, filled from recorded traffic of others, to look at every page and command with something in it."""

import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import click
import msgspec

from jevons.cli.operator import Operator
from jevons.cli.options import as_json, show
from jevons.config import EngineSection, home_path, load
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home, HomeLock, write_private
from jevons.welcome import command_to_paste

MARK = "demo.json"
"""The file that says of a folder that it is the demo's: nothing else is ever written into, or taken away."""
LEFT_OVER = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "prices.toml")


@click.command(short_help="Fill a ledger of its own with recorded traffic, to look around.")
@click.argument("folder", required=False, type=click.Path(path_type=Path), default=Path(".demo"))
@click.option("--serve", is_flag=True, help="Serve it on a free port until Ctrl-C, for the dashboard.")
@as_json
def demo(folder: Path, serve: bool, json: bool) -> None:
    """Nine weeks of a made-up company, from recorded traffic of others: in FOLDER (.demo), never in your own ledger.

    Every row says that it is demo. Token counts are those of public traces; who used them when is made up (docs/demo.md).
    """
    home = _own(folder.absolute())
    found = _fill(home)
    show(json, found, lambda: _tell(found))
    if serve:
        from jevons.serve import serve as run

        config = load(None)
        run(msgspec.structs.replace(config, port=0, engine=EngineSection(enabled=False)), home)


def _own(folder: Path) -> Home:
    """The folder as a home of the demo's own. Raises LedgerError for anything that is not the demo's."""
    if folder == home_path().absolute() and not (folder / MARK).exists():
        raise LedgerError(
            f"{folder} is your own JEVONS_HOME. The demo never goes there; name another folder: `jevons demo FOLDER`."
        )
    if folder.exists() and not (folder / MARK).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LedgerError(
            f"{folder} is there, and is no demo's. Name a folder that is empty or not there yet: `jevons demo FOLDER`."
        )
    home = Home(folder)
    if not (folder / MARK).exists():
        write_private(folder / MARK, '{"last": ""}\n')
    return home


def _fill(home: Home) -> dict[str, object]:
    """What the ledger has then. One that ends today is kept, an older one is made anew: the demo always ends yesterday."""
    from jevons.imports import demo as story
    from jevons.imports.rating import Rater, open_rates
    from jevons.imports.record import digest_of
    from jevons.ledger.importing import Whose
    from jevons.ledger.ops import Imported, ImportRow

    last = datetime.fromtimestamp(time.time(), UTC).date() - timedelta(1)
    mark = home.path / MARK
    found: dict[str, object] = msgspec.json.decode(mark.read_bytes())
    if found["last"] == last.isoformat() and home.ledger.exists():
        return found
    begun = time.perf_counter()
    with HomeLock(home):
        for name in LEFT_OVER:
            (home.path / name).unlink(missing_ok=True)
    write_private(home.path / "prices.toml", story.rate_card(last))
    rater = Rater(open_rates(home.path, None))
    rows, billed_nusd = 0, 0
    with Operator(home).intake() as door:
        made = story.records(last)
        while part := list(islice(made, door.batch_rows)):
            ids = door.keys([Whose(story.SOURCE, record.account, record.team, record.org) for record in part])
            entries = [rater.entry(record, story.SOURCE, key_id) for record, key_id in zip(part, ids, strict=True)]
            batch = [
                ImportRow(digest_of(story.SOURCE, record.identity), entry) for record, entry in zip(part, entries, strict=True)
            ]
            rows += door.take_in(Imported(tuple(batch)))
            billed_nusd += sum(entry.billed_nusd for entry in entries)
    found = {"folder": str(home.path), "last": last.isoformat(), "days": story.DAYS, "rows": rows, "billed_nusd": billed_nusd}
    found |= {"seconds": round(time.perf_counter() - begun, 1), "story": [what for _, what in story.STORY]}
    write_private(mark, msgspec.json.encode(found).decode())
    return found


def _tell(found: dict[str, object]) -> None:
    jevons, folder = command_to_paste(), _short(Path(str(found["folder"])))
    click.echo(
        f"DEMO: {found['rows']:,} rows of {found['days']} days until {found['last']}, in {folder}. Token counts of public traces, played by a company"
        " that is not there;\nevery row says that it is demo. Your own ledger is not touched.\n\nWhat happens in it:"
    )
    for line in found["story"]:  # type: ignore[attr-defined]
        click.echo(f"  - {line}")
    click.echo("\nLook at it:")
    for command in (
        "explain",
        "paradox",
        "runs --agent airline-agent",
        "bill --by model",
        "dashboard --open   (while it is served: --serve)",
    ):
        click.echo(f"  JEVONS_HOME={folder} {jevons} {command}")
    click.echo("")


def _short(path: Path) -> str:
    return f"$PWD/{path.relative_to(Path.cwd())}" if path.is_relative_to(Path.cwd()) else str(path)
