"""`jevons capture`: what is kept of questions and answers, of whom, and its erasure with the students that were made of it."""

import time
from contextlib import closing
from typing import Any

import click
import msgspec

from jevons.cli.doctor import count
from jevons.cli.operator import Operator
from jevons.cli.options import as_json, check_key, show
from jevons.cli.students import captured_of, take_away
from jevons.cli.tables import console, plain, whole
from jevons.config import home_path, load
from jevons.core.entry import parse_request_text
from jevons.ledger import routing
from jevons.ledger.bill import accounts
from jevons.ledger.capture import Captured, CaptureSettings, Held
from jevons.ledger.home import Home
from jevons.ledger.ops import StudentPut

TEMPLATE_SHOWN = 8


@click.group()
def capture() -> None:
    """Captured questions and answers, of those who opted in: what is kept, and its erasure."""


@capture.command(short_help="What is kept of whom.")
@as_json
def status(json: bool) -> None:
    """How many examples are kept, by organisation, key and template. No content is shown.

    Example: jevons capture status
    """
    home = Home(home_path())
    names = _names(home)
    rows = [msgspec.to_builtins(one) | {"key": names.get(one.key_id, "")} for one in _held(home)]
    settings = _settings(home)
    document = {"on": settings.on, "retention_days": settings.retention_days, "examples_max": settings.examples_max, "held": rows}
    show(json, document, lambda: _told(rows, settings))


@capture.command(short_help="Who opted in, and whose examples are kept though they did not.")
@as_json
def consent(json: bool) -> None:
    """Every key that opted in, and every key whose examples are kept, with the students that hold some of them.

    A key whose examples are kept and that is not in [capture] any more has withdrawn: `jevons capture erase --key NAME`.
    """
    home = Home(home_path())
    settings = _settings(home)
    kept: dict[int, int] = {}
    for one in _held(home):
        kept[one.key_id] = kept.get(one.key_id, 0) + one.examples
    found = []
    for key in accounts(home.ledger) if home.ledger.exists() else []:
        opted = settings.takes(key["name"], key["settings"].get("org", "default"))
        if opted or key["id"] in kept:
            found.append({"key": key["name"], "opted_in": opted, "examples": kept.get(key["id"], 0)})
    show(json, {"keys": found}, lambda: _consent_told(found))


@capture.command(short_help="Erase examples, and the students that hold them.")
@click.option("--org", help="All of an organisation, with its key: its students can be opened no more.")
@click.option("--key", help="All of a key.")
@click.option("--request", help="One request, req_…")
@click.option(
    "--keep-students", is_flag=True, help="Students go on until they are made anew, and say so; else they are withdrawn."
)
@as_json
def erase(org: str | None, key: str | None, request: str | None, keep_students: bool, json: bool) -> None:
    """Erase what is kept of an organisation, a key or a request, and withdraw every student that holds any of it.

    Whoever is to be captured no more is taken out of [capture] first, and the gateway restarted.

    Example: jevons capture erase --key support-bot
    """
    home = Home(home_path())
    if sum(one is not None for one in (org, key, request)) != 1:
        raise click.UsageError("Name one of --org, --key, --request.")
    if org is not None and keep_students:
        raise click.UsageError(
            "With an organisation its key goes, without which none of its students can be opened: they are withdrawn."
        )
    first = parse_request_text(request) if request is not None else None
    if request is not None and first is None:
        raise click.UsageError(f"{request!r} is not a request id; it looks like req_ and 15 digits or letters a to f.")
    check_key(home.ledger, key)
    key_id = next((number for number, name in _names(home).items() if name == key), None) if key is not None else None
    captured = captured_of(home)
    gone: list[int] = []
    students: list[StudentPut] = []
    routers: list[tuple[str, str]] = []
    if captured is not None:
        from jevons.learn.place import FOLDER
        from jevons.learn.saved import forget

        with closing(captured):
            gone = captured.erase(org=org, key_id=key_id, request=first)
            routers = forget(home.path / FOLDER, gone, captured.sealer)
        students = _follow(home, gone, org, keep_students)
    document = {
        "examples": len(gone),
        "students": [{"name": one.name, "version": one.version, "state": one.state, "reason": one.reason} for one in students],
        "routers": [{"org": org, "route": route} for org, route in routers],
    }
    show(json, document, lambda: _erased(len(gone), students, routers))


def _follow(home: Home, gone: list[int], org: str | None, keep: bool) -> list[StudentPut]:
    """What becomes of the students that hold erased examples."""
    from jevons.distil import registry

    if not home.ledger.exists():
        return []
    rows = routing.students(home.ledger)
    holding = registry.holding(rows, gone)
    if org is not None:
        holding = [row for row in rows if row.org == org and row.state != registry.WITHDRAWN]
    now_ms, why = int(time.time() * 1000), f"{count(len(gone), 'captured example')} erased"
    if keep:
        marked = [registry.marked(row, why, now_ms) for row in holding]
        Operator(home).put_students(marked)
        return marked
    withdrawn = [registry.changed(row, registry.WITHDRAWN, why, now_ms) for row in holding]
    if withdrawn:
        take_away(home, withdrawn)
    return withdrawn


def _held(home: Home) -> list[Held]:
    captured: Captured | None = captured_of(home)
    if captured is None:
        return []
    with closing(captured):
        return captured.held()


def _settings(home: Home) -> CaptureSettings:
    return load(home.config if home.config.exists() else None).capture


def _names(home: Home) -> dict[int, str]:
    return {key["id"]: key["name"] for key in accounts(home.ledger)} if home.ledger.exists() else {}


def _told(rows: list[dict[str, Any]], settings: CaptureSettings) -> None:
    if not settings.on:
        console.print("Nobody is captured: [capture] in jevons.toml names no key and no organisation.", markup=False)
    if not rows:
        console.print("Nothing is kept.")
        return
    table = plain("organisation", "key", "template", "examples", title=None)
    for row in rows:
        table.add_row(row["org"], row["key"], row["template"][:TEMPLATE_SHOWN] or "(none)", f"{row['examples']:,}")
    whole(table)
    console.print(f"Kept for {settings.retention_days} days, {settings.examples_max:,} examples at most.")


def _consent_told(found: list[dict[str, Any]]) -> None:
    if not found:
        console.print("No key opted in, and nothing is kept.")
        return
    table = plain("key", "opted in", "examples", title=None)
    for one in found:
        table.add_row(one["key"], "yes" if one["opted_in"] else "no", f"{one['examples']:,}")
    whole(table)
    for one in found:
        if not one["opted_in"]:
            console.print(f"{one['key']} did not opt in, or withdrew: jevons capture erase --key {one['key']}", markup=False)


def _erased(examples: int, students: list[StudentPut], routers: list[tuple[str, str]]) -> None:
    console.print(f"Erased {count(examples, 'example')}.")
    for org, route in routers:
        console.print(
            f"Route {route} of {org}: its predictor is removed; train it anew: jevons routes train {route} --org {org}",
            markup=False,
        )
    for one in students:
        console.print(f"{one.name}@{one.version}: {one.state} ({one.reason}).", markup=False)
