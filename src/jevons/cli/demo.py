"""`jevons demo`: a ledger of its own, filled from recorded traffic of others, to look at every page and command with something in it."""

import socket
import textwrap
import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import click
import msgspec

from jevons.cli.operator import Operator
from jevons.cli.options import as_json, show
from jevons.config import Config, EngineSection, home_path
from jevons.dashboard.session import PATH, SECRET, new_link
from jevons.ledger.bill import reading
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home, HomeLock, write_private
from jevons.welcome import command_to_paste

MARK = "demo.json"
"""The file that says of a folder that it is the demo's: nothing else is ever written into, or taken away."""
HOME_DEFAULT = Path.home() / ".jevons"
COLUMNS = 80
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
    port = _free_port() if serve else 0
    link = f"http://127.0.0.1:{port}{PATH}/login#{new_link(home.secret(SECRET), int(time.time() * 1000))}" if serve else None
    show(json, found | {"url": link}, lambda: _tell(found, link))
    if serve:
        from jevons.serve import serve as run

        # Without upstreams: nothing real can be called through it, so nothing real comes into its ledger.
        run(Config(port=port, engine=EngineSection(enabled=False)), home, greet=False)


def is_demo(home: Path) -> bool:
    """Is the home a demo's? Then every command says so."""
    return (home / MARK).exists()


def _own(folder: Path) -> Home:
    """The folder as a home of the demo's own. Raises LedgerError for anything that is not the demo's."""
    if folder in (home_path().absolute(), HOME_DEFAULT) and not is_demo(folder):
        raise LedgerError(
            f"{folder} is your own JEVONS_HOME. The demo never goes there; name another folder: `jevons demo FOLDER`."
        )
    if folder.exists() and not is_demo(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise LedgerError(
            f"{folder} is there, and is no demo's. Name a folder that is empty or not there yet: `jevons demo FOLDER`."
        )
    home = Home(folder)
    if not is_demo(folder):
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
        _clear(home)
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


def _clear(home: Home) -> None:
    """Take away what an earlier demo left. Raises LedgerError if somebody used its gateway in earnest."""
    if home.ledger.exists():
        with reading(home.ledger) as db:
            if db.execute("SELECT 1 FROM entries WHERE source <> 'demo' LIMIT 1").get is not None:
                raise LedgerError(
                    f"The ledger in {home.path} has calls that are no demo. Nothing was changed; name another folder."
                )
    for name in LEFT_OVER:
        (home.path / name).unlink(missing_ok=True)


def _free_port() -> int:
    """One that is free now, so that the link to it can be shown before it serves."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _tell(found: dict[str, object], link: str | None) -> None:
    jevons, folder = command_to_paste(), _short(Path(str(found["folder"])))
    click.echo(
        _lines(
            f"DEMO: {found['rows']:,} rows of {found['days']} days until {found['last']}, in {folder}. Token counts of public traces, played by a "
            "company that is not there; every row says that it is demo. Your own ledger is not touched."
        )
    )
    click.echo("\nWhat happens in it:")
    for line in found["story"]:  # type: ignore[attr-defined]
        click.echo(_lines(f"  - {line}"))
    click.echo("\nLook at it:")
    commands = (
        "explain",
        "paradox",
        "savings --by model",
        "rerate --model 'claude-sonnet*=gpt-5-mini'",
        "runs --agent airline-agent",
        "bill --by model",
    )
    for command in commands:
        click.echo(f"  JEVONS_HOME={folder} {jevons} {command}")
    if link:
        click.echo(f"\nServed until Ctrl-C. In a browser, within five minutes:\n  {link}\n")
    else:
        click.echo(f"\nThe dashboard wants it served:\n  {jevons} demo {folder} --serve\n")


def _lines(text: str) -> str:
    """For a terminal of `COLUMNS`; no word is broken."""
    return textwrap.fill(
        text, COLUMNS, subsequent_indent="    " if text[0] == " " else "", break_long_words=False, break_on_hyphens=False
    )


def _short(path: Path) -> str:
    return f"$PWD/{path.relative_to(Path.cwd())}" if path.is_relative_to(Path.cwd()) else str(path)
