"""`jevons prices history | index | decline | breaks | alarms | story`: list prices since 2020, what became of them, and what was paid."""

import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jevons.cli.options import Day, NewFile, as_json, show, write
from jevons.config import ConfigError, home_path, load
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home

if TYPE_CHECKING:
    from jevons.economics.history import Kind, Step
    from jevons.economics.indices import Method
    from jevons.economics.paid import Month
    from jevons.economics.quality import Offer
    from jevons.meter.lineages import Tier

TIERS: "tuple[Tier, ...]" = ("frontier", "commodity")
USED_DAYS = 30
"""A model is in use if it was called in this time."""

kind_option = click.option(
    "--kind", type=click.Choice(["blend", "input", "output"]), default="blend", show_default=True,
    help="Which price; blend is three parts of input to one of output.",
)  # fmt: skip
tier_option = click.option("--tier", type=click.Choice(TIERS), help="Only this tier.")
until_option = click.option("--to", "until_ms", type=Day(), help="Last UTC day; default: today.")


def _day(ms: int | None, default: date) -> date:
    return default if ms is None else datetime.fromtimestamp(ms / 1000, UTC).date()


def _today() -> date:
    return datetime.fromtimestamp(time.time(), UTC).date()


@click.command("history")
@click.argument("model", required=False)
@click.option("--lineage", help='Only this line of models: sonnet, "openai/gpt mini", …')
@tier_option
@click.option("--provider", help="Only prices of this seller.")
@click.option("--from", "since_ms", type=Day(), help="First UTC day.")
@click.option("--to", "until_ms", type=Day(), help="Last UTC day; default: all, announced prices too.")
@as_json
def history(
    model: str | None,
    lineage: str | None,
    tier: "Tier | None",
    provider: str | None,
    since_ms: int | None,
    until_ms: int | None,
    json: bool,
) -> None:
    """List prices of a MODEL (a name, a part of one, or a pattern), a line or a tier over time, with their sources.

    Every change is of the same kind of price: input against input, output against output.

    Example: jevons prices history --lineage sonnet
    """
    from jevons.cli import price_tables as tables
    from jevons.economics.history import NotInHistory, choose, steps

    try:
        rows = choose(
            model, lineage=lineage, tier=tier, provider=provider, since=_day(since_ms, date.min), until=_day(until_ms, date.max)
        )
    except NotInHistory as error:
        raise click.ClickException(str(error)) from None
    found = steps(rows)
    document = {"prices": [{**step.row.as_dict(), "follows": _follows(step)} for step in found]}
    show(json, document, lambda: tables.history(found, _today()))


def _follows(step: "Step") -> dict[str, Any] | None:
    if step.before is None:
        return None
    changes = {f"{kind}_change": step.change(kind) for kind in ("input", "output", "cached")}
    return {"model": step.before.model, "date": step.before.date.isoformat(), **changes}


@click.command("index")
@kind_option
@until_option
@click.option("--svg", type=NewFile(), help="Write the chart.")
@as_json
def index(kind: "Kind", until_ms: int | None, svg: Path | None, json: bool) -> None:
    """Three price indices by the month: list prices by tier, a fixed quality, and what you paid.

    List prices: a Jevons index over vendors' lines of models. Fixed quality: the cheapest model that scores enough, offered
    then. Paid: what your ledger says.
    """
    from jevons.cli import price_tables as tables
    from jevons.economics.history import series
    from jevons.economics.index_chart import DRAWN, picture
    from jevons.economics.indices import BEGIN, list_index
    from jevons.economics.quality import MILESTONES, offers

    last = _day(until_ms, _today())
    methods: tuple[Method, ...] = ("succession", "matched")
    lists = {
        (tier, method): list_index(series(tier=tier, until=last), last, kind=kind, method=method)
        for tier in TIERS
        for method in methods
    }
    quality = {milestone: offers(milestone, kind, last) for milestone in MILESTONES}
    bought = _paid(last)
    document = {
        "kind": kind,
        "list": [
            {"tier": tier, "method": method, "months": [{"date": p.day.isoformat(), "index": p.value, "lines": p.lines} for p in points]}
            for (tier, method), points in lists.items()
        ],
        "quality": [
            {"milestone": milestone.title, "threshold": milestone.threshold, "months": [_offer(offer, kind) for offer in found]}
            for milestone, found in quality.items()
        ],
        "paid": [
            {
                "date": month.day.isoformat(), "tokens": month.tokens, "billed_nusd": month.billed_nusd,
                "unpriced_tokens": month.unpriced_tokens, "nusd_per_mtok": month.nusd_per_mtok,
                "index_by_model": month.by_model, "index_by_line": month.by_line, "matched": month.matched,
            }
            for month in bought
        ],
    }  # fmt: skip
    show(json, document, lambda: tables.indices(lists, quality, bought, kind))
    if svg is not None:
        _draw(
            svg,
            picture({tier: lists[tier, "succession"] for tier in TIERS}, DRAWN, quality[DRAWN], kind) if last > BEGIN else None,
        )


def _draw(file: Path, drawn: str | None) -> None:
    if drawn is None:
        raise click.ClickException("There is nothing to draw yet: the indices begin in May 2023.")
    write(file, drawn)


def _offer(offer: "Offer", kind: "Kind") -> dict[str, Any]:
    offered = offer.offered
    return {
        "date": offer.day.isoformat(),
        "offered_nusd_per_mtok": offered and offered.price(kind),
        "offered_model": offered and offered.model,
        "lowest_nusd_per_mtok": offer.lowest.price(kind),
        "lowest_model": offer.lowest.model,
    }


def _paid(last: date) -> "list[Month]":
    from jevons.economics.paid import paid

    try:
        return paid(Home(home_path()).ledger, last=last)
    except LedgerError:
        return []  # nothing was metered here yet: the other indices need no ledger


@click.command("decline")
@kind_option
@until_option
@as_json
def decline(kind: "Kind", until_ms: int | None, json: bool) -> None:
    """How fast prices fall a year, months to halve, with intervals; beside Moore's 24 months. And Epoch's regression.

    Intervals are 90 %, drawn anew over models with a fixed seed.
    """
    from jevons.cli import price_tables as tables
    from jevons.economics.decline import MOORE_MONTHS, of_line, of_milestone, of_tier
    from jevons.economics.epoch import PUBLISHED, choices, own_points
    from jevons.economics.history import series
    from jevons.economics.quality import MILESTONES

    last = _day(until_ms, _today())
    groups = {
        "milestones": [found for milestone in MILESTONES if (found := of_milestone(milestone, last, kind))],
        "tiers": [found for tier in TIERS if (found := of_tier(tier, last, kind))],
        "lines": [found for line in series(until=last) if (found := of_line(line, kind))],
    }
    epoch = (own_points(), *choices(last))
    document = {
        "kind": kind,
        "moore_months": MOORE_MONTHS,
        **{
            name: [
                {
                    "what": d.what, "from": d.first.isoformat(), "to": d.last.isoformat(), "models": d.models, "points": d.fit.n,
                    "factor_a_year": d.factor_a_year, "bootstrap": [d.low, d.high], "drawn": d.drawn,
                    "students_t": list(d.fit.interval()), "halving_months": d.halving_months, "r2": d.fit.r2,
                }
                for d in found
            ]
            for name, found in groups.items()
        },
        "epoch": {
            "published": list(PUBLISHED),
            "ours": [
                {
                    "choice": c.words, "factor_a_year": c.fit.factor_a_year, "students_t": list(c.fit.interval()),
                    "points": c.fit.n, "within_published": c.agrees,
                }
                for c in epoch
            ],
        },
    }  # fmt: skip
    show(json, document, lambda: tables.declines(groups, epoch))


@click.command("breaks")
@click.option("--at", "at_ms", type=Day(), help="The day to test; default: 2024-05-01.")
@kind_option
@until_option
@as_json
def breaks(at_ms: int | None, kind: "Kind", until_ms: int | None, json: bool) -> None:
    """Did prices begin to move differently on a day? Chow's test, and the day that divides best (sup-F)."""
    from jevons.cli import price_tables as tables
    from jevons.economics.breaks import SUSPECTED, find_breaks
    from jevons.economics.history import series

    last = _day(until_ms, _today())
    suspected = _day(at_ms, SUSPECTED)
    found = {
        tier or "both": find_breaks(series(tier=tier, until=last), suspected, kind) for tier in ("frontier", "commodity", None)
    }
    document = {
        "kind": kind,
        "breaks": [{"tier": tier, **b._asdict(), "day": b.day.isoformat()} for tier, tests in found.items() for b in tests],
    }
    show(json, document, lambda: tables.breaks(found, suspected))


@click.command("alarms")
@click.option("--all", "everything", is_flag=True, help="Anything in the price history, whether you use it or not.")
@as_json
def alarms(everything: bool, json: bool) -> None:
    """Prices that rose in the last 90 days or will rise in the next 180, of the models you use. Exit status 1 if there are any.

    Introductory and free prices that end are among them. The models are those of your ledger's last 30 days; if there are none,
    all of the price history. For cron: jevons prices update && jevons prices alarms || mail …
    """
    from jevons.cli import price_tables as tables
    from jevons.economics.alarms import of_history, of_models
    from jevons.meter.pricebook import open_book

    today = _today()
    used = [] if everything else _in_use(today)
    watched = of_models(open_book(Home(home_path()).path), used, today) if used else of_history(today)
    where = f"models of your last {USED_DAYS} days" if used else "the price history"
    document = {
        "watched": where, "models": watched.models, "unpriced": list(watched.unpriced), "alarms": [a.as_dict() for a in watched.alarms]
    }  # fmt: skip
    show(json, document, lambda: tables.alarms(watched, where))
    if watched.alarms:
        raise click.exceptions.Exit(1)


def _in_use(today: date) -> list[tuple[str | None, str]]:
    """(provider of the price book, model), by the configuration where it knows the upstream."""
    from jevons.economics.paid import in_use

    home = Home(home_path())
    try:
        used = in_use(home.ledger, today - timedelta(days=USED_DAYS))
    except LedgerError:
        return []
    try:
        providers = {upstream.name: upstream.provider for upstream in load(home.config).upstreams if upstream.provider}
    except (ConfigError, OSError):
        providers = {}
    return [(providers.get(upstream, upstream), model) for upstream, model in used]


@click.command("story")
@until_option
@as_json
def story(until_ms: int | None, json: bool) -> None:
    """The familiar story of falling prices, line by line: what holds, and what is true instead."""
    from jevons.cli import price_tables as tables
    from jevons.economics.story import story as tell

    lines = tell(_day(until_ms, _today()))
    document = {
        "lines": [
            {
                "told": line.told, "verdict": line.verdict, "truth": line.truth,
                "checks": [
                    {**finding._asdict(), "rows": [row.as_dict() for row in finding.rows]} for finding in line.findings
                ],
            }
            for line in lines
        ]
    }  # fmt: skip
    show(json, document, lambda: tables.story(lines))


COMMANDS = (history, index, decline, breaks, alarms, story)
