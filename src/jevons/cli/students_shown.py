"""What `jevons students` prints for people; the same as its --json."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jevons.cli.doctor import count
from jevons.cli.tables import console, plain, whole
from jevons.core.entry import request_text
from jevons.core.money import format_usd, short_usd
from jevons.distil.registry import SERVING
from jevons.learn.student_card import Card, read_card
from jevons.ledger.ops import StudentPut

if TYPE_CHECKING:
    from jevons.distil.classes import Report, TaskGroup
    from jevons.distil.loop import Loop

Stages = dict[tuple[str, str, int], dict[str, str]]
"""(organisation, name, version) -> route -> its stage."""
GROUPS_SHOWN = 20
TEMPLATE_SHOWN = 8


def classes_told(found: "Report") -> None:
    if not found.groups:
        console.print(
            'No routed request was seen: a route (`[[routes]]`, stage = "observe") lets Jevons know what kinds there are.',
            markup=False,
        )
    else:
        table = plain(
            "template",
            "class",
            "model",
            "requests",
            "a month",
            "repeated",
            "might do",
            "captured",
            "could take",
            "saves a month",
            "pays after",
            title=None,
        )
        for one in found.groups[:GROUPS_SHOWN]:
            table.add_row(*_group(one))
        whole(table)
        if len(found.groups) > GROUPS_SHOWN:
            console.print(f"And {len(found.groups) - GROUPS_SHOWN} more, each cheaper: --json has all.")
        _clusters(found.groups)
        console.print(
            "Could take: the share that the nearest earlier question would have answered alike (captured examples), else the share that was the very"
            " same request. It is an estimate, not a promise.",
            style="dim",
            soft_wrap=True,
        )
    if found.unread:
        console.print(
            f"{count(found.unread, 'request')} for {short_usd(found.unread_nusd)} took no route: nothing is known of their kind."
        )


def _group(one: "TaskGroup") -> tuple[str, ...]:
    share = "not known" if one.share is None else f"{100 * one.share:.0f} %"
    saves = "" if one.saves_month_nusd is None else short_usd(one.saves_month_nusd)
    pays = "" if one.payback_days is None else f"{one.payback_days:g} days"
    return (
        one.template[:TEMPLATE_SHOWN] or "(none)", one.task, one.model, f"{one.requests:,}", short_usd(one.month_nusd), f"{100 * one.repeat_share:.0f} %",
        one.rung or "none", f"{one.examples:,}", share, saves, pays,
    )  # fmt: skip


def _clusters(groups: "Sequence[TaskGroup]") -> None:
    told = set[tuple[str, str, str]]()
    for one in groups[:GROUPS_SHOWN]:
        kind = one.org, one.template, one.task
        if len(one.clusters) < 2 or kind in told:
            continue
        told.add(kind)
        console.print(
            f"Of {one.template[:TEMPLATE_SHOWN] or '(none)'}, questions alike in meaning, and how {one.model} answered them:",
            soft_wrap=True,
        )
        for cluster in one.clusters:
            console.print(
                f"  {100 * cluster.share:.0f} %: {count(cluster.answers, 'answer')}, {100 * cluster.agreed:.0f} % as the nearest before;"
                f" for example {request_text(cluster.request)}"
            )


def students_told(rows: Sequence[StudentPut]) -> None:
    if not rows:
        console.print(
            "No students yet. `jevons students classes` shows what is worth one, `jevons students train NAME` makes it."
        )
        return
    table = plain(
        "student", "state", "kind", "organisation", "made", "examples", "at alpha", "could answer", "disagreed", title=None
    )
    for row in rows:
        card = read_card(row.card)
        measured = card.measured
        table.add_row(
            f"{row.name}@{row.version}", row.state + (" (make anew)" if card.retrain else ""), card.kind, row.org, _day(card.provenance.last_ms),
            f"{card.provenance.train_rows:,}", f"{100 * measured.alpha:g} %", f"{100 * measured.coverage:.1f} %", f"{100 * measured.disagreement:.1f} %",
        )  # fmt: skip
    whole(table)


def made_told(row: StudentPut) -> None:
    card = read_card(row.card)
    console.print(
        f"Made {row.name}@{row.version} in {card.train_s:.1f} s ({format_usd(card.train_nusd)} of this machine).", markup=False
    )
    _card(card)
    console.print(
        f"It is asked in the shadow from now on, in routes that name student/{row.name}. Let it answer: jevons students serve {row.name}",
        soft_wrap=True,
    )


def one_told(rows: Sequence[StudentPut], stages: Stages) -> None:
    """Its reason speaks of the promise; how much of that is routed, the stage says."""
    for row in rows:
        console.print(f"[bold]{row.name}@{row.version}[/]  {row.state}: {row.reason}", soft_wrap=True)
        of_routes = stages.get((row.org, row.name, row.version), {}) if row.state == SERVING else {}
        for route, stage in sorted(of_routes.items()):
            console.print(f"  route {route} is in stage {stage}", markup=False, soft_wrap=True)
        _card(read_card(row.card))


def _card(card: Card) -> None:
    of, measured = card.provenance, card.measured
    kinds = {"table": "different answers", "classifier": "answers to choose from", "extractor": "fields"}
    dropped = ", ".join(f"{times:,} {why}" for why, times in sorted(of.dropped.items())) or "none"
    follows = "" if card.parent is None else f", follows version {card.parent}"
    above = "no score keeps it within alpha: it would answer nothing yet"
    if measured.threshold is not None:
        share, wrong = 100 * measured.coverage, 100 * measured.disagreement
        above = f"{share:.1f} % of them are above the threshold, where {wrong:.2f} % disagreed (alpha {100 * measured.alpha:g} %)"
    for line in (
        f"  {card.kind}, {card.answers:,} {kinds[card.kind]}{follows}",
        f"  taught by {', '.join(of.teachers)} from {_day(of.first_ms)} to {_day(of.last_ms)}, {format_usd(of.teacher_nusd)} a request",
        f"  {of.train_rows:,} questions of {of.read:,} examples; left out: {dropped}",
        f"  of the last {measured.rows:,} it answered {measured.agreed:,} as its teacher; {above}",
        *([f"  to be made anew: {card.retrain}"] if card.retrain else []),
    ):
        console.print(line, markup=False, soft_wrap=True)


def loop_told(found: "Sequence[Loop]") -> None:
    if not found:
        console.print("No students yet.")
        return
    table = plain("student", "versions", "training", "shadows", "answers", "saved", "net", "pays for itself", title=None)
    for one in found:
        when = "not foreseen" if one.break_even_ms is None else _day(one.break_even_ms) + ("" if one.reached else " (foreseen)")
        money = [format_usd(nusd) for nusd in (one.training_nusd, one.shadow_nusd)]
        table.add_row(
            one.name, f"{one.versions}", *money, f"{one.answers:,}", format_usd(one.saved_nusd), format_usd(one.net_nusd), when
        )
    whole(table)


def _day(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}"
