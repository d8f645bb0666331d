"""`jevons students`: which task classes are worth a student, making one, who serves, one step back, and what it all cost and saved."""

import time
from typing import Any

import click
import msgspec

from jevons.cli.doctor import count
from jevons.cli.operator import Operator
from jevons.cli.options import as_json, show
from jevons.cli.students_shown import Stages, classes_told, loop_told, made_told, one_told, students_told
from jevons.config import home_path
from jevons.gateway.promises import KIND, read
from jevons.ledger import routing
from jevons.ledger.capture import FILE, SECRET, Captured
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home
from jevons.ledger.ops import StudentPut
from jevons.ledger.rollup import DAY_MS
from jevons.policy.routes import STUDENT


@click.group()
def students() -> None:
    """Students: one kind of request answered on this machine, as a large model answered it."""


@students.command(short_help="Task classes that a student may be worth it for.")
@click.option("--days", type=click.IntRange(1), default=30, show_default=True, help="How far back to look.")
@as_json
def classes(days: int, json: bool) -> None:
    """Kinds of requests that were routed, by what a student of them would save in a month.

    What the ledger knows needs no content. Where examples are captured, they tell which share a student could take at least.

    Example: jevons students classes --days 7
    """
    from jevons.distil.classes import Report, report

    home, now_ms = Home(home_path()), _now_ms()
    captured = captured_of(home)
    examples = (lambda org, template: captured.read(org, template=template)) if captured is not None else None
    found = Report((), 0.0, 0, 0)
    if home.ledger.exists():
        found = report(home.ledger, now_ms - days * DAY_MS, now_ms + 1, examples, _embed() if captured is not None else None)
    show(json, msgspec.to_builtins(found), lambda: classes_told(found))


@students.command(short_help="Make a student of captured examples.")
@click.argument("name")
@click.option(
    "--org", default="default", show_default=True, help="Whose examples; keys that name no organisation belong to `default`."
)
@click.option(
    "--template", help='Of which kind of request, as `classes` shows it (its beginning is enough); "" = requests without one.'
)
@click.option("--task", default="", help="Only requests of this class of [[classes]].")
@click.option("--teacher", metavar="MODEL", help="Whose answers it learns; without it, those of the model with most examples.")
@click.option(
    "--alpha", type=click.FloatRange(0, 0.5, min_open=True), default=0.05, show_default=True, help="Share that may disagree."
)
@click.option(
    "--delta", type=click.FloatRange(0, 0.5, min_open=True), default=0.05, show_default=True, help="Chance that this is passed."
)
@as_json
def train(
    name: str, org: str, template: str | None, task: str, teacher: str | None, alpha: float, delta: float, json: bool
) -> None:
    """Make a student NAME, or its next version, of what is captured. It is asked in the shadow at first: `serve` lets it answer.

    A next version is made of the same kind of requests, unless another is named.

    Example: jevons students train intents --template 5f3a
    """
    from jevons.distil.train import Untrainable

    home = Home(home_path())
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise click.UsageError(f"{name!r} cannot be a student's name: letters, digits, - and _ only.")
    try:
        row = _trained(home, name, org, template, task, teacher, alpha, delta)
    except Untrainable as error:
        raise LedgerError(str(error)) from None
    show(json, _document(row), lambda: made_told(row))


@students.command("list", short_help="Every student, and which version serves.")
@as_json
def list_(json: bool) -> None:
    """Every version of every student as it stands."""
    rows = _rows(Home(home_path()))
    show(json, {"students": [_document(row) for row in rows]}, lambda: students_told(rows))


@students.command("show", short_help="A student's cards.")
@click.argument("name")
@as_json
def show_(name: str, json: bool) -> None:
    """Of what each version of a student was made, how well it did, and what making it took."""
    from jevons.distil.registry import versions

    home = Home(home_path())
    rows = versions(_rows(home), name)
    stages = _stages(home)
    document = [_document(row) | {"stages": stages.get((row.org, row.name, row.version), {})} for row in rows]
    show(json, {"versions": document}, lambda: one_told(rows, stages))


@students.command(short_help="Let a version answer.")
@click.argument("name")
@click.option("--shadow", is_flag=True, help="Only compare it with its teacher; whoever serves goes on.")
def serve(name: str, shadow: bool) -> None:
    """Let NAME (its newest version) or NAME@VERSION answer, in routes that name student/NAME, as far as its promise holds.

    Example: jevons students serve intents@2
    """
    from jevons.distil.registry import serve as served

    home = Home(home_path())
    which, version = _parsed(name)
    puts = served(_rows(home), which, version, _now_ms(), shadow=shadow)
    Operator(home).put_students(puts)
    _say(puts)


@students.command(short_help="One step back: the version before serves again.")
@click.argument("name")
def rollback(name: str) -> None:
    """Let the version before the one that serves answer again. Its promise stands as it was left."""
    from jevons.distil.registry import rollback as back

    home = Home(home_path())
    puts = back(_rows(home), name, _now_ms())
    Operator(home).put_students(puts)
    _say(puts)


@students.command(short_help="Take a student away for good.")
@click.argument("name")
@click.option("--reason", default="withdrawn by the operator", show_default=True)
def withdraw(name: str, reason: str) -> None:
    """Take NAME (all versions) or NAME@VERSION away for good: its file is removed, the ledger keeps its card."""
    from jevons.distil.registry import withdraw as withdrawn

    home = Home(home_path())
    which, version = _parsed(name)
    puts = withdrawn(_rows(home), which, version, reason, _now_ms())
    take_away(home, puts)
    _say(puts)


@students.command(short_help="What a student cost and saved, and when it has paid for itself.")
@click.argument("name", required=False)
@as_json
def loop(name: str | None, json: bool) -> None:
    """Training, shadows, savings and the day of break-even: of NAME, or of every student."""
    from jevons.distil.loop import loop as ledger_of
    from jevons.distil.registry import versions

    home = Home(home_path())
    rows = _rows(home)
    names = [name] if name is not None else sorted({row.name for row in rows})
    found = [ledger_of(home.ledger, versions(rows, one), one, _now_ms()) for one in names]
    show(json, {"students": msgspec.to_builtins(found)}, lambda: loop_told(found))


def captured_of(home: Home) -> Captured | None:
    """The captured examples, if there ever were some. Raises LedgerError."""
    path = home.path / FILE
    return Captured(path, home.secret(SECRET)) if path.exists() else None


def take_away(home: Home, puts: list[StudentPut]) -> None:
    """Withdrawn versions: nobody asks them any more, then their files go."""
    from jevons.learn import student_file

    Operator(home).put_students(puts)
    for put in puts:
        student_file.remove(home.path / student_file.FOLDER, put.name, put.version)


def _trained(
    home: Home, name: str, org: str, template: str | None, task: str, teacher: str | None, alpha: float, delta: float
) -> StudentPut:
    from jevons.distil import registry
    from jevons.distil.dataset import complaints, taught, usable
    from jevons.distil.loop import teacher_nusd
    from jevons.distil.train import Untrainable, train
    from jevons.learn import student_file
    from jevons.learn.student_card import Scope, card_text, read_card

    captured = captured_of(home)
    whose = f"organisation {org!r}"
    if captured is None:
        raise Untrainable(f"Nothing is captured of {whose}: name its keys under [capture] in jevons.toml (docs/capture.md).")
    rows = _rows(home)
    version, parent = registry.following(rows, name, org)
    if parent is not None and template is None:  # what it was made of before
        before = read_card(registry.versions(rows, name)[-1].card).scope
        template, task = before.templates[0], task or before.task
    else:
        template = _template(captured, org, template)
    examples = [one for one in captured.read(org, template=template) if task in ("", one.features.task)]
    good, dropped = usable(examples, complaints(routing.labels(home.ledger, org=org)))
    good, others = taught(good, teacher)
    dropped += others
    price = teacher_nusd(home.ledger, [one.request for one in good])
    made = train(good, dropped, _embed(), Scope((template,), task), alpha=alpha, delta=delta, teacher_nusd=price, parent=parent)
    folder = home.path / student_file.FOLDER
    student_file.save(folder, name, version, made.student, captured.sealer(org), made.trial)
    reason = f"trained on {made.card.provenance.train_rows:,} questions"
    row = StudentPut(name, version, org, registry.SHADOW, card_text(made.card), reason, _now_ms())
    Operator(home).put_students([row])
    return row


def _template(captured: Captured, org: str, wanted: str | None) -> str:
    """The template that is meant. Raises LedgerError if it is none, or one of several."""
    held = [one for one in captured.held() if one.org == org]
    sizes: dict[str, int] = {}
    for one in held:
        sizes[one.template] = sizes.get(one.template, 0) + one.examples
    fitting = [name for name in sizes if wanted is None or (name.startswith(wanted) if wanted else not name)]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(
        f"{name or '(none)'}: {count(size, 'example')}" for name, size in sorted(sizes.items(), key=lambda one: -one[1])
    )
    if not fitting:
        raise LedgerError(
            f"Nothing is captured of organisation {org!r} with template {wanted!r}. Captured: {known or 'nothing'}."
        )
    raise LedgerError(f"Examples of several kinds are captured; name one with --template. Captured: {known}.")


def _embed() -> Any:
    from jevons.embed import Embedder, MissingEmbedderError

    try:
        return Embedder().vector
    except MissingEmbedderError as error:
        raise LedgerError(str(error)) from None


def _rows(home: Home) -> list[StudentPut]:
    return routing.students(home.ledger) if home.ledger.exists() else []


def _stages(home: Home) -> Stages:
    """How far the routes of each version may go, as it stands."""
    found: Stages = {}
    for (org, route), state in read(routing.learnt(home.ledger, KIND)).items():
        for model in state.models:
            if model.startswith(STUDENT):
                name, _, version = model.removeprefix(STUDENT).partition("@")
                found.setdefault((org, name, int(version)), {})[route] = state.stage
    return found


def _document(row: StudentPut) -> dict[str, Any]:
    from jevons.learn.student_card import read_card

    made = msgspec.to_builtins(row) | {"card": msgspec.to_builtins(read_card(row.card))}
    return dict(made)


def _parsed(name: str) -> tuple[str, int | None]:
    which, at, version = name.partition("@")
    if at and not version.isdecimal():
        raise click.UsageError(f"{name!r}: write NAME or NAME@VERSION, such as {which}@2.")
    return which, int(version) if at else None


def _say(puts: list[StudentPut]) -> None:
    for put in puts:
        click.echo(f"{put.name}@{put.version}: {put.state} ({put.reason}).")


def _now_ms() -> int:
    return int(time.time() * 1000)
