"""A forecast for people. What is shown is what --json prints."""

from typing import TYPE_CHECKING

from jevons.cli.tables import fitting, plain, say
from jevons.core.money import short_usd

if TYPE_CHECKING:
    from jevons.economics.forecast.document import Exhaustion, Fan, Forecast, Within

TIMES_DIGITS = 3
CHANCE_SHOWN_MIN = 0.01
UNITS = ((10**12, " T"), (10**9, " B"), (10**6, " M"))


def forecast(found: "Forecast") -> None:
    for note in found.notes:
        say(note)
    _fan(found)
    _segments(found)
    _prices(found)
    _slopes(found)
    if found.levers:
        _levers(found)
    if found.scenarios:
        _scenarios(found)
    _budgets(found)
    say(f"\n{found.paths:,} paths, seed {found.seed}. Priors with their sources: --json, or economics/data/forecast_priors.toml.")


def _fan(found: "Forecast") -> None:
    at_list = ", at list price" if found.cost == "list" else ""
    title = f"\nThe bill by the month{at_list}: median, and what 50, 80 and 95 of 100 paths lie within (estimated)"
    table = plain("month", "median", "50 %", "80 %", "95 %", "tokens", "history", title=title)
    for month in found.months:
        running = f" (so far {short_usd(month.spent_nusd)})" if month is found.months[0] else ""
        table.add_row(
            month.month + running, short_usd(month.bill_nusd.p50), *_bands(month.bill_nusd), _tokens(month.tokens.p50),
            f"{100 * month.history_weight:.0f} %",
        )  # fmt: skip
    total = found.total_nusd
    table.add_row(f"{len(found.months) - 1} months", short_usd(total.p50), *_bands(total), _tokens(found.total_tokens.p50), "")
    fitting(table, "95 %", "history", "50 %", "tokens")


def _bands(of: "Fan") -> tuple[str, str, str]:
    pairs = ((of.p25, of.p75), (of.p10, of.p90), (of.p2_5, of.p97_5))
    fifty, eighty, most = (f"{short_usd(low)} … {short_usd(high)}" for low, high in pairs)
    return fifty, eighty, most


def _segments(found: "Forecast") -> None:
    title = "\nToday's point of the formula, mean of the last four weeks"
    table = plain(
        "segment", "a month", "tasks/day", "steps/task", "tokens/step", "cached", "weeks", "last month, 80 %", title=title
    )
    for one in found.segments:
        table.add_row(
            one.name, short_usd(one.nusd_a_month), _figure(one.tasks_a_day), _figure(one.steps_a_task), f"{one.tokens_a_step:,.0f}",
            f"{100 * one.cached_share:.0f} %", f"{one.weeks:g}", f"{short_usd(one.final_nusd.p10)} … {short_usd(one.final_nusd.p90)}",
        )  # fmt: skip
    fitting(table, "weeks", "cached", "tokens/step", "steps/task", "tasks/day")


def _prices(found: "Forecast") -> None:
    title = "\nList prices: how they move in each tier, and the least that a million tokens can cost to make"
    table = plain("tier", "changes a year", "after a year", "chronology", "floor in", "floor out", title=title)
    for one in found.prices:
        table.add_row(
            one.tier, f"{one.changes_a_line_and_year:.1f} a line", f"× {one.drift_a_year:.2f}", f"{100 * one.chronology_weight:.0f} %",
            short_usd(one.floor_input_nusd_per_mtok), short_usd(one.floor_output_nusd_per_mtok),
        )  # fmt: skip
    fitting(table, "chronology", "changes a year")
    for least in (least for least in found.floors if least.of.endswith("worked out")):
        amounts = short_usd(least.input_nusd_per_mtok), short_usd(least.output_nusd_per_mtok)
        say(f"Floor of {least.model}: {amounts[0]} in, {amounts[1]} out ({least.of}).")
    for change in found.announced:
        say(
            f"Announced for {change.date}: {change.model} × {change.input_factor:g} in, × {change.output_factor:g} out ({change.source})."
        )


def _slopes(found: "Forecast") -> None:
    table = plain(
        "lever",
        "one point is worth",
        "of",
        title="\nLevers at today's point: $ a month for one percentage point (the formula's derivative)",
    )
    table.columns[2].justify = "left"
    for one in found.slopes:
        fewer = one.lever == "steps"  # each as it saves
        what = "one per cent fewer steps a task" if fewer else one.what
        table.add_row(one.lever, _signed(-one.nusd_per_point if fewer else one.nusd_per_point), what)
    fitting(table)


def _levers(found: "Forecast") -> None:
    months = len(found.months) - 1
    title = f"\nLevers pulled from today on, by the same draws: {months} months together"
    table = plain("lever", "a month today", "with it", "change", "80 % of the change", title=title)
    for one in found.levers:
        change = one.change_nusd
        table.add_row(
            one.lever,
            _signed(one.today_nusd),
            short_usd(one.total_nusd.p50),
            _signed(change.p50),
            f"{_signed(change.p10)} … {_signed(change.p90)}",
        )
    fitting(table, "80 % of the change", "with it")


def _scenarios(found: "Forecast") -> None:
    title = "\nScenarios. Break-even: by how many times tokens per task may grow before the bill is larger than today"
    table = plain(
        "scenario",
        "cost of a token",
        "until",
        "break-even",
        "if partly passed on",
        "still to come",
        f"{len(found.months) - 1} months",
        title=title,
    )
    for one in found.scenarios:
        table.add_row(
            one.name, f"× {one.unit_cost:g}", one.by, f"{one.break_even:.{TIMES_DIGITS}g} ×",
            f"{one.break_even_passed_on:.{TIMES_DIGITS}g} × at {100 * one.pass_through:.0f} %", f"{one.break_even_to_come:.{TIMES_DIGITS}g} ×",
            short_usd(one.total_nusd.p50),
        )  # fmt: skip
    fitting(table, "until", "if partly passed on", "still to come")
    for one in found.scenarios:
        if one.tokens_per_task and one.bill_factor:
            (low, high), (least, most) = one.tokens_per_task, one.bill_factor
            say(
                f"{one.name}: with {low:g} to {high:g} times the tokens per task the bill is {least:g} to {most:g} times today's, before tasks grow."
            )


def _budgets(found: "Forecast") -> None:
    if not found.exhaustion:
        say("\nNo budget in money is set for a week or longer: `--budget 500` tries one, `jevons limits set` makes one.")
        return
    title = "\nBudgets: by when they are used up with so much probability (— = not before the last month ends)"
    table = plain("budget", "of", "limit", "so far", "10 %", "50 %", "90 %", "ever", "this window", "the next", title=title)
    for one in found.exhaustion:
        windows = [_window(within) for within in one.windows]
        table.add_row(
            one.name, one.subject, f"{short_usd(one.limit_nusd)}/{one.per}", short_usd(one.posted_nusd), *_days(one),
            f"{100 * one.probability:.0f} %", *[*windows, "", ""][:2],
        )  # fmt: skip
    fitting(table, "the next", "of", "10 %", "so far", "90 %")


def _window(of: "Within") -> str:
    """The median day is of the paths on which it comes to that: of hardly any it says nothing."""
    chance = f"{100 * of.probability:.0f} %"
    return f"{chance} ({of.median_day})" if of.median_day and of.probability >= CHANCE_SHOWN_MIN else chance


def _days(one: "Exhaustion") -> list[str]:
    return ["used up"] * 3 if one.exhausted else [day or "—" for day in one.dates]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _tokens(number: int) -> str:
    """A median of millions, to three digits."""
    size, unit = next(((size, unit) for size, unit in UNITS if number >= size), (1, ""))
    return f"{number / size:,.{TIMES_DIGITS}g}{unit}" if size > 1 else f"{number:,}"


def _signed(nusd: int) -> str:
    return f"{'+' if nusd > 0 else ''}{short_usd(nusd)}"
