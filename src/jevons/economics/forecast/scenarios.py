"""What others say will come, as inputs: the cost of making a token, how much of it is passed on, tokens per task. And how far that carries.

    price at the end   1 - passed on · (1 - unit cost)          break-even   1 / price at the end

The break-even multiplier says by how many times tokens per task may grow until the bill is what it was. Comes in: a `Scenario` by name or as
"cost=0.5,by=2027-12-31,depth=2:6,pass=0.5". Goes out: its arithmetic. Does not know: anybody's bill.
"""

from datetime import date
from typing import NamedTuple

from jevons.economics.forecast.priors import PassThrough, Priors, Scenario
from jevons.economics.unitcost.errors import UnitCostError

SYNTAX = "cost=0.5,by=2027-12-31 and, if you like, from=2026-12-01, depth=2:6, pass=0.5"


COST_MIN, COST_MAX = 1e-6, 100.0
DEPTH_MAX = 1e4


class BreakEven(NamedTuple):
    """Times tokens per task, of the whole scenario and of what of it is still to come."""

    all_passed_on: float
    passed_on: float
    """At the middle of the prior, or as the scenario says."""
    pass_through: float
    to_come: float
    """All passed on, from today."""
    bill: tuple[float, float] | None
    """Unit cost times tokens per task: what becomes of the bill, before tasks grow; None where the scenario does not say."""


def scenario(text: str, priors: Priors, today: date) -> Scenario:
    """Raises UnknownFact for a name that is not known, UnitCostError for a text that cannot be read."""
    if "=" not in text:
        return priors.named(text)
    fields = {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in text.split(","))}
    try:
        depth = fields.pop("depth", None)
        passed = fields.pop("pass", None)
        found = Scenario(
            unit_cost=_share(fields.pop("cost")),
            since=date.fromisoformat(fields.pop("from", today.isoformat())),
            by=date.fromisoformat(fields.pop("by")),
            tokens_per_task=None if depth is None else _range(depth),
            pass_through=None if passed is None else _share(passed),
            source="your own",
            reading="as you gave it",
        )
    except (ValueError, KeyError):
        raise UnitCostError(f"The scenario {text!r} cannot be read; write {SYNTAX}.") from None
    passed_on = 1.0 if found.pass_through is None else found.pass_through
    if fields or found.by <= max(found.since, today) or not COST_MIN <= found.unit_cost <= COST_MAX or not 0 <= passed_on <= 1:
        unknown = f"nothing is called {', '.join(fields)}; " if fields else ""
        raise UnitCostError(
            f"The scenario {text!r} makes no sense ({unknown}it ends in the future, cost is above 0, pass from 0 to 1); write {SYNTAX}."
        )
    return found


def break_even(of: Scenario, prior: PassThrough, today: date) -> BreakEven:
    passed = of.pass_through if of.pass_through is not None else middle(prior)
    done = min(1.0, max(0.0, (today - of.since).days / (of.by - of.since).days))
    growth = of.tokens_per_task
    return BreakEven(
        1 / of.unit_cost,
        1 / (1 - passed * (1 - of.unit_cost)),
        passed,
        1 / of.unit_cost ** (1 - done),
        None if growth is None else (of.unit_cost * growth[0], of.unit_cost * growth[1]),
    )


def middle(prior: PassThrough) -> float:
    """Median of the triangular distribution."""
    low, mode, high = prior.low, prior.mode, prior.high
    width = high - low
    if mode - low >= width / 2:
        return float(low + (width * (mode - low) / 2) ** 0.5)
    return float(high - (width * (high - mode) / 2) ** 0.5)


def _share(text: str) -> float:
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def _range(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    found = float(low), float(high if colon else low)
    if not 0 < found[0] <= found[1] <= DEPTH_MAX:
        raise ValueError
    return found
