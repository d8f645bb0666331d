"""A `Paradox` for people: in sentences, which say what holds and what the numbers do not say, and as one chart.

Comes in: a `Paradox`. Goes out: sentences; SVG. Does not know: the ledger, terminals.
"""

from collections.abc import Iterator
from datetime import date
from math import exp

from jevons.core.money import half_even, short_usd
from jevons.economics.chart import Line, chart
from jevons.economics.paradox import CHANGE_MIN, TOKENS_PER_QUOTE, End, Paradox
from jevons.economics.periods import Aside

ELASTICITY_SOURCE = (
    "Demirer et al. (“The Emerging Market for Intelligence”, NBER) measure −1.11 between hosts of one open model,"
    " and find “no Jevons paradox (yet)”"
)
DEMO = "These are demo figures: recorded traffic of others, moved to these days. Nothing of it is yours."


def sentences(found: Paradox) -> Iterator[str]:
    if found.demo:
        yield DEMO
    yield _verdict(found)
    if found.factors:
        assert found.base is not None and found.latest is not None
        yield _ends(found, found.base, found.latest)
        yield _formula(found)
        yield _price(found)
        yield from _depth(found, found.base, found.latest)
        yield from _elasticity(found)
        yield from _tiers(found.base, found.latest)
    if found.cost == "list" and any(row.list_nusd and not row.billed_nusd for row in found.rows):
        yield "Not all of it is billed by use (a subscription, a free tier): what is counted here is what it costs at list prices."
    if found.left_out_days:
        days = "1 day at the ends is" if found.left_out_days == 1 else f"{found.left_out_days} days at the ends are"
        yield f"{days} of no whole {found.per}, and left out."
    yield from map(_aside, found.aside)
    if found.corrections_nusd:
        yield f"Corrections of {short_usd(found.corrections_nusd)} in this time are not counted: they are of no model."


def picture(found: Paradox) -> str:
    """The indices on one chart."""
    index = [row.index for row in found.rows]
    lines = [
        Line("bill", [one.bill for one in index]),
        Line("price of a token", [one.unit_price for one in index]),
        Line("same basket", [one.basket_price for one in index]),
        Line("tokens", [one.tokens for one in index]),
        Line("tokens per task", [one.tokens_per_task for one in index]),
        Line("steps per task", [one.steps_per_task for one in index]),
        Line("tasks", [one.tasks for one in index]),
    ]
    demo = "DEMO FIGURES. " if found.demo else ""
    billed = "billed" if found.cost == "billed" else "at list price"
    first = found.rows[0].start if found.rows else "nothing"
    subtitle = f"{demo}Indices by the {found.per}, {billed}; {first} = 100; tokens, tasks and the bill for a day; logarithmic"
    return chart("Does the paradox hold here?", subtitle, [row.start for row in found.rows], lines)


def _verdict(found: Paradox) -> str:
    match found.verdict:
        case "too_little":
            return f"Too little data to say whether the paradox holds: {found.reason}."
        case "unclear":
            return f"Nothing can be concluded: {found.reason}."
    assert found.bill_pct is not None and found.unit_price_pct is not None
    price, bill = f"a token's price {_moved(found.unit_price_pct)}", f"the bill {_moved(found.bill_pct)}"
    match found.verdict:
        case "holds":
            return f"The paradox holds here, {_DRIVEN[found.driver]}: {price}, and {bill} all the same."
        case "cheaper_and_less":
            return f"The paradox does not hold here: {price}, and {bill}."
        case "dearer_and_more":
            return f"This is no paradox: {price}, and {bill}{_by(found)}."
        case "dearer_and_less":
            return f"This is no paradox: {price}, and {bill}."
    return f"There is nothing for the paradox to hold of: {price}, and {bill}{_by(found)}."


_DRIVEN = {
    "depth": "driven by depth (each task takes more tokens)",
    "growth": "driven by growth (there are more tasks)",
    "volume": "driven by volume (more tokens; whether by deeper tasks or by more of them cannot be told)",
    "": "",
}


def _by(found: Paradox) -> str:
    return f", {_DRIVEN[found.driver]}" if found.driver else ""


def _ends(found: Paradox, base: End, latest: End) -> str:
    def end(of: End) -> str:
        nusd = of.nusd(found.cost)
        return (
            f"{short_usd(half_even(nusd, of.days))} a day at {short_usd(half_even(nusd * TOKENS_PER_QUOTE, of.tokens))} a million tokens"
            f" ({_span(of)})"
        )

    return f"From {end(base)} to {end(latest)}."


def _formula(found: Paradox) -> str:
    """ln(bill) = ln(price) + ln(tokens per task) + ln(tasks), with the factors of the price and of the depth put together."""
    ln = {factor.name: factor.ln for factor in found.factors}
    price = ln["basket"] + ln["bought"] + ln.get("discount", 0.0)
    if "tokens" in ln:
        return f"ln(bill) = ln(price) + ln(tokens): {price + ln['tokens']:+.2f} = {price:+.2f} {_term(ln['tokens'])}."
    depth = ln["steps_per_task"] + ln["tokens_per_step"]
    return (
        "ln(bill) = ln(price) + ln(tokens per task) + ln(tasks):"
        f" {price + depth + ln['tasks']:+.2f} = {price:+.2f} {_term(depth)} {_term(ln['tasks'])}."
    )


def _term(ln: float) -> str:
    return f"{'−' if ln < 0 else '+'} {abs(ln):.2f}"


def _price(found: Paradox) -> str:
    ratio = {factor.name: factor.ratio for factor in found.factors}
    moved = abs(ratio.get("discount", 1.0) - 1) >= 0.005
    discount = f"; billed against list × {ratio['discount']:.2f}" if moved else ""
    return (
        f"Of the price: the same basket of models and kinds of token × {ratio['basket']:.2f}; buying others (cheaper or dearer models, more or"
        f" fewer cached tokens, fees) × {ratio['bought']:.2f}{discount}."
        + (" No price fell: tokens became cheaper because others were bought." if _only_bought(found, ratio) else "")
    )


def _only_bought(found: Paradox, ratio: dict[str, float]) -> bool:
    """Did the price of a token fall although neither list prices nor discounts did?"""
    return found.verdict in ("holds", "cheaper_and_less") and ratio["basket"] * ratio.get("discount", 1.0) > exp(-CHANGE_MIN)


def _depth(found: Paradox, base: End, latest: End) -> Iterator[str]:
    if not base.steps or not latest.steps:
        yield "How many calls there were is not told, so depth and growth cannot be told apart."
        return
    if not found.tasks_known:
        yield (
            f"Calls that stand in runs: {_share(1 - base.loose / base.steps)}, then {_share(1 - latest.loose / latest.steps)}. A caller began to tell"
            " its runs, or ceased to, so tasks are counted otherwise than before: depth and growth cannot be told apart."
        )
        return
    yield (
        f"A task took {base.steps / base.tasks:,.1f} steps of {base.tokens / base.steps:,.0f} tokens, then {latest.steps / latest.tasks:,.1f} of"
        f" {latest.tokens / latest.steps:,.0f}; tasks a day: {base.tasks / base.days:,.1f}, then {latest.tasks / latest.days:,.1f}."
        + (
            " No runs are known, so each call counts as a task."
            if base.loose == base.steps and latest.loose == latest.steps
            else ""
        )
    )


def _elasticity(found: Paradox) -> Iterator[str]:
    if found.elasticity is None or found.unit_price_pct is None:
        return
    yield (
        f"Tokens against price, ln by ln: {found.elasticity:+.2f}. This is no estimate of what a lower price causes: your tasks, models and agents"
        f" changed in the same time. {ELASTICITY_SOURCE}."
    )


def _tiers(base: End, latest: End) -> Iterator[str]:
    parts = []
    for tier in sorted({*base.tiers, *latest.tiers}):
        (was_tokens, was_cost), (tokens, cost) = (
            (t.of_tokens, t.of_cost) if t else (0.0, 0.0) for t in (base.tiers.get(tier), latest.tiers.get(tier))
        )
        parts.append(
            f"{tier} {_share(was_tokens)} of tokens and {_share(was_cost)} of list cost, then {_share(tokens)} and {_share(cost)}"
        )
    if len(parts) > 1:
        yield f"By tier: {'; '.join(parts)}."


def _aside(left: Aside) -> str:
    money = short_usd(left.billed_nusd or left.list_nusd)
    return f"Left aside: {left.reason} ({left.tokens:,} tokens, {money})."


def _moved(percent: float) -> str:
    if abs(percent) < 0.5:
        return "stayed as it was"
    return f"{'rose' if percent > 0 else 'fell'} by {abs(percent):,.0f} %"


def _share(share: float) -> str:
    return f"{100 * share:.0f} %"


def _span(end: End) -> str:
    first, last = date.fromisoformat(end.first), date.fromisoformat(end.last)
    return f"{first:%-d %b} to {last:%-d %b %Y}" if first != last else f"{first:%-d %b %Y}"
