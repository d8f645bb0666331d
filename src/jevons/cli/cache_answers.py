"""`jevons cache status` and `clear`: the answers that the running gateway keeps in its memory, what they saved, and their erasure."""

import time
from typing import Any

import click

from jevons.cli.doctor import count
from jevons.cli.operator import Operator
from jevons.cli.options import as_json, show
from jevons.cli.tables import console
from jevons.config import home_path
from jevons.core.money import short_usd
from jevons.core.saving import SavingKind
from jevons.ledger.bill import reading
from jevons.ledger.home import Home
from jevons.ledger.rollup import DAY_MS

DAYS = 30
KINDS = (SavingKind.ANSWER_EXACT, SavingKind.ANSWER_SEMANTIC)


@click.command(short_help="Answers that are kept now, and what they saved.")
@as_json
def status(json: bool) -> None:
    """Answers that the running gateway keeps, how often they were given, and what that saved in the last 30 days.

    Example: jevons cache status
    """
    home = Home(home_path())
    kept = Operator(home).caches()
    found = {"serving": kept is not None, **(kept or {}), "days": DAYS, "saved": _saved(home)}
    show(json, found, lambda: _told(found))


@click.command(short_help="Forget kept answers.")
@click.option("--org", help="Only this organisation's; keys that name none belong to `default`.")
@as_json
def clear(org: str | None, json: bool) -> None:
    """Have the running gateway forget the answers it keeps: all, or one organisation's.

    They are nowhere else: what is kept is in its memory only. Questions that the semantic cache knows go too, and all that it learnt of
    which are alike: it gives nothing until it has learnt that anew.

    Example: jevons cache clear --org acme
    """
    forgotten = Operator(Home(home_path())).clear_caches(org)
    said = "No gateway serves, so there is nothing to forget: answers are kept in its memory only."
    if forgotten is not None:
        whose = f" of {org}" if org is not None else ""
        questions = forgotten["questions"]
        alike = f", and {count(questions, 'question')} of the semantic cache with what they taught" if questions else ""
        said = f"Forgot {count(forgotten['forgotten'], 'answer')}{whose}{alike}."
    document = {"serving": forgotten is not None, **(forgotten or {"forgotten": 0, "questions": 0})}
    show(json, document, lambda: click.echo(said))


def _saved(home: Home) -> dict[str, dict[str, int]]:
    """Kind -> how many answers were given, and what making them again would have cost."""
    if not home.ledger.exists():
        return {}
    since = int(time.time() * 1000) // DAY_MS - DAYS + 1
    with reading(home.ledger) as db:
        rows = db.execute(
            "SELECT kind, sum(entries), sum(nusd), sum(tokens) FROM savings_day WHERE day >= ? AND kind IN (?, ?) GROUP BY kind",
            (since, *KINDS),
        )
        return {kind: {"hits": hits, "nusd": nusd, "tokens": tokens} for kind, hits, nusd, tokens in rows}


def _told(found: dict[str, Any]) -> None:
    kept = found.get("answers")
    if kept is None:
        console.print("No gateway serves; answers are kept in its memory only.")
    else:
        room = f"{kept['bytes'] / 2**20:,.1f} of {kept['bytes_max'] / 2**20:,.0f} MiB"
        whose = count(kept["orgs"], "organisation")
        console.print(
            f"{count(kept['entries'], 'answer')} of {whose} kept, {room}, for {kept['ttl_s']:,} s each.", soft_wrap=True
        )
        given = kept["hits"] + kept["shared"]
        console.print(
            f"Since it started: {kept['looked']:,} looked for, {given:,} given ({kept['shared']:,} of them just asked for by another), "
            f"{kept['kept']:,} put in, {kept['displaced']:,} displaced for room.",
            soft_wrap=True,
        )
    if found.get("similar"):
        _told_of_similar(found["similar"])
    for kind, saved in found["saved"].items():
        what = "the same" if kind == SavingKind.ANSWER_EXACT else "similar"
        console.print(
            f"In the last {DAYS} days {count(saved['hits'], 'answer')} to {what} requests saved ~{short_usd(saved['nusd'])} (estimated: not made again).",
            soft_wrap=True,
        )


def _told_of_similar(known: dict[str, Any]) -> None:
    looked, served, checked, wrong = (known[name] for name in ("looked", "served", "checked", "checked_wrong"))
    console.print(
        f"By meaning: {count(known['entries'], 'question')} known. {count(looked, 'request')} took part since it started, {known['unfit']:,} more may not;"
        f" {served:,} got the answer to a similar one.",
        soft_wrap=True,
    )
    measured = "None of these was checked yet."
    if checked:
        share = wrong / checked * served / looked
        measured = f"{checked:,} of these were checked, {wrong:,} wrong: about {100 * share:.2g} % of the requests (estimated from checks)."
    console.print(f"{measured} At most {100 * known['delta']:g} % may be answered wrongly (delta).", soft_wrap=True)
    learnt = known["right"] - (checked - wrong), known["wrong"] - wrong
    console.print(
        f"While it learnt, what it would have given was compared and given to nobody: {learnt[0]:,} right, {learnt[1]:,} wrong.",
        soft_wrap=True,
    )
