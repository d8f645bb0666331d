"""Price history, indices, declines and alarms for people."""

import math
from collections.abc import Mapping, Sequence
from datetime import date

from rich.table import Table
from rich.text import Text

from jevons.cli.doctor import count
from jevons.cli.tables import console, plain, whole
from jevons.core.money import format_usd, short_usd
from jevons.economics.alarms import Alarm, Watched
from jevons.economics.breaks import EXCHANGES, Break
from jevons.economics.decline import MOORE_MONTHS, Decline
from jevons.economics.epoch import PUBLISHED, Choice
from jevons.economics.history import Kind, PriceRow, Step
from jevons.economics.indices import Method, Point
from jevons.economics.paid import Month
from jevons.economics.quality import Milestone, Offer, scores_end
from jevons.economics.story import Line
from jevons.meter.lineages import Tier

QUARTERS = (1, 4, 7, 10)
HALF_YEARS = (1, 7)
"""Months that are shown; --json has all."""
CHANGE_SHOWN_FROM = 0.005
DRAWN_MIN = 0.9
"""An interval of which more draws had no line is not shown: it would be one of the lucky draws."""


def history(found: Sequence[Step], today: date) -> None:
    if not found:
        console.print("No price in this time.")
        return
    table = plain(
        "from", "provider", "model", "input", "", "output", "", "cached", "follows", title="Dollars for a million tokens"
    )
    for column in (1, 2, 8):
        table.columns[column].justify = "left"
    for step in found:
        row = step.row
        model = f"{row.model} ({row.variant})" if row.variant else row.model
        day = f"{row.date} announced" if row.date > today else f"{row.date}"
        table.add_row(
            day, row.provider, model, format_usd(row.input_nusd), _change(step.change("input")), format_usd(row.output_nusd),
            _change(step.change("output")), "" if row.cached_nusd is None else format_usd(row.cached_nusd), _follows(step),
        )  # fmt: skip
    whole(table)
    _sources([step.row for step in found])


def _change(change: float | None) -> str:
    return "" if change is None or abs(change) < CHANGE_SHOWN_FROM else f"{100 * change:+.0f} %"


def _follows(step: Step) -> str:
    if step.before is None:
        return ""
    return step.before.model if step.succeeds else f"its own of {step.before.date}"


def _sources(rows: Sequence[PriceRow]) -> None:
    console.print("Sources:")
    for source in dict.fromkeys(source for row in rows for source in row.sources):
        console.print(Text(f"  {source}"), soft_wrap=True)


def indices(
    lists: Mapping[tuple[Tier, Method], list[Point]], quality: Mapping[Milestone, list[Offer]], paid: Sequence[Month], kind: Kind
) -> None:
    columns = [f"{tier}, {method}" for tier, method in lists]
    table = plain("", *columns, title=f"List prices ({kind}), Jevons index over vendors' lines: 100 at the beginning")
    for at, points in enumerate(zip(*lists.values(), strict=True)):
        if points[0].day.month in QUARTERS or at in (0, len(next(iter(lists.values()))) - 1):
            table.add_row(f"{points[0].day}", *(f"{point.value:.1f}" for point in points))
    whole(table)
    console.print(
        "succession: a new model against the one it follows; matched: only prices of the same model are compared.", soft_wrap=True
    )
    console.print()
    _quality(quality, kind)
    console.print()
    _paid(paid)


def _quality(quality: Mapping[Milestone, list[Offer]], kind: Kind) -> None:
    end = scores_end().replace(day=1)
    days = sorted(
        {offer.day for found in quality.values() for offer in found if offer.day.month in HALF_YEARS or offer.day == end}
    )
    title = (
        f"Fixed quality: the cheapest million tokens ({kind}) offered, in brackets the cheapest ever offered, where that is less"
    )
    table = plain("at least", *(f"{day:%Y-%m}" for day in days), title=title)
    for milestone, found in quality.items():
        offers = {offer.day: offer for offer in found}
        table.add_row(milestone.title, *(_offer(offers.get(day), kind) for day in days))
    whole(table)
    console.print(f"Scores end on {scores_end()}; a model counts as withdrawn a year after its successor came.", soft_wrap=True)


def _offer(offer: Offer | None, kind: Kind) -> str:
    if offer is None:
        return ""
    lowest = short_usd(offer.lowest.price(kind) or 0)
    now = "none" if offer.offered is None else short_usd(offer.offered.price(kind) or 0)
    return now if now == lowest else f"{now} ({lowest})"


def _paid(paid: Sequence[Month]) -> None:
    if not paid:
        console.print(
            "Price paid: the ledger has no tokens yet. `jevons import --local` reads the logs you have; `jevons serve` meters."
        )
        return
    columns = ("", "tokens", "without price", "billed", "a million", "same models", "same lines", "compared")
    table = plain(*columns, title="Price paid, from your ledger")
    for month in paid:
        unit = "" if month.nusd_per_mtok is None else short_usd(month.nusd_per_mtok)
        table.add_row(
            f"{month.day:%Y-%m}", f"{month.tokens:,}", f"{month.unpriced_tokens:,}", short_usd(month.billed_nusd), unit, f"{month.by_model:.1f}",
            f"{month.by_line:.1f}", f"{100 * month.matched:.0f} %",
        )  # fmt: skip
    whole(table)
    console.print(
        "same models, same lines: Fisher's ideal index, chained, 100 in the first month. What `a million` does beyond them is not price:"
        " other models, more output, less cache.",
        soft_wrap=True,
    )


def declines(groups: Mapping[str, Sequence[Decline]], epoch: Sequence[Choice]) -> None:
    table = plain("", "days", "models", "a year", "90 %, over models", "halves in", "R²", title=None)
    titles = {
        "milestones": "Fixed quality, the cheapest ever",
        "tiers": "List prices of a tier",
        "lines": "List prices of a line",
    }
    for name, found in groups.items():
        table.add_row(Text(titles[name], "bold"))
        for decline in found:
            table.add_row(f"  {decline.what}", *decline_cells(decline))
    table.add_row(Text("Moore's law", "bold"), "", "", f"÷ {2 ** (12 / MOORE_MONTHS):.2f}", "", f"{MOORE_MONTHS} months")
    whole(table)
    console.print("÷ 10: a tenth after a year; × 2: twice. Draws over models with a fixed seed.", soft_wrap=True)
    console.print()
    published, low, high = PUBLISHED
    console.print(
        Text(f"Epoch's regression, MMLU at least GPT-3: published ÷ {published:.1f} a year [{low:.1f}, {high:.1f}]", "bold")
    )
    again = plain("", "points", "a year", "90 %, Student's t", "within Epoch's", title=None)
    for choice in epoch:
        fit = choice.fit
        again.add_row(
            f"  {choice.words}",
            f"{fit.n}",
            factor(fit.factor_a_year),
            interval(*fit.interval()),
            "yes" if choice.agrees else "no",
        )
    whole(again)


def decline_cells(decline: Decline) -> tuple[str, ...]:
    """Days, models, factor a year, its interval, halving, R²."""
    months = decline.halving_months
    drawn = interval(decline.low, decline.high) if decline.drawn >= DRAWN_MIN else f"in {100 * decline.drawn:.0f} % of draws only"
    return (
        f"{decline.first:%Y-%m} to {decline.last:%Y-%m}", f"{decline.models}", factor(decline.factor_a_year), drawn,
        "never" if months is None else f"{months:.1f} months", f"{decline.fit.r2:.2f}",
    )  # fmt: skip


def factor(a_year: float) -> str:
    """By what a price is divided, or multiplied, in a year."""
    return f"÷ {a_year:.2f}" if a_year >= 1 else f"× {1 / a_year if a_year else math.inf:.2f}"


def interval(low: float, high: float) -> str:
    return f"{factor(low)} to {factor(high)}"


def breaks(found: Mapping[str, Sequence[Break]], suspected: date) -> None:
    table = plain("list prices", "day", "", "before", "after", "F", "p, rows", "p, lines", "rows", "lines", title=None)
    table.columns[2].justify = "left"
    for tier, tests in found.items():
        if not tests:
            table.add_row(tier, f"{suspected}", "cannot be tested: too few rows on a side")
        for test in tests:
            table.add_row(
                tier, f"{test.day}", "searched" if test.searched else "given", factor(test.before), factor(test.after), f"{test.f:.1f}",
                f"{test.p_rows:.3f}", f"{test.p_lines:.3f}", f"{test.rows}", f"{test.lines}",
            )  # fmt: skip
    whole(table)
    console.print(
        f"p: share of {EXCHANGES} exchanges with an F as large. rows: what the trend leaves over is dealt out anew among all rows;"
        " lines: its signs are flipped line by line. Prices of one line hang together, so believe the second.",
        soft_wrap=True,
    )


def alarms(watched: Watched, where: str) -> None:
    if watched.alarms:
        table = plain("day", "", "provider", "model", "", "input", "output", "cached", title=None)
        for column in (1, 2, 3, 4):
            table.columns[column].justify = "left"
        for alarm in watched.alarms:
            kinds = (_risen(alarm, kind) for kind in ("input", "output", "cached"))
            table.add_row(
                f"{alarm.day}", "announced" if alarm.announced else "since", alarm.provider, alarm.model, alarm.what, *kinds
            )
        whole(table)
    else:
        console.print("No list price has risen or is about to.")
    console.print(
        f"Looked at {count(watched.models, 'model')}: {where}. Dollars for a million tokens, at noon UTC.", soft_wrap=True
    )
    if watched.unpriced:
        console.print(Text(f"Without a price in the book: {', '.join(watched.unpriced)}"), soft_wrap=True)


def _risen(alarm: Alarm, kind: str) -> str:
    before, after = alarm.before.get(kind), alarm.after.get(kind)
    if before is None or after is None or before == after:
        return ""
    return f"{format_usd(before)} to {format_usd(after)}"


def story(lines: Sequence[Line]) -> None:
    for line in lines:
        console.print(Text.assemble((line.told, "bold"), f"  {line.verdict}"), soft_wrap=True)
        table = Table(box=None, pad_edge=False, show_header=False)
        for finding in line.findings:
            table.add_row("  " + ("holds" if finding.holds else "does not"), finding.means, f"told {finding.said}", finding.found)
        whole(table)
        console.print(Text(line.truth), soft_wrap=True)
        console.print()
    _sources([row for line in lines for finding in line.findings for row in finding.rows])
