"""Does the paradox hold here? The price of a token, how many a task takes, how many tasks there are, and the bill, side by side over time.

    bill = price of a token × tokens per step × steps per task × tasks

so that ln(bill) changes by the sum of what the logarithms of its factors do. The paradox holds where tokens became cheaper and the bill rose all
the same; it is driven by depth where each task takes more tokens, by growth where there are more tasks. The price is told apart into that of a
basket that stands still (`economics.paid.fisher`), what was bought instead, and discounts.

What is compared are the two ends of the span, a few periods each, so that one loud day decides nothing; and where the periods between them point
the other way, nothing is concluded. Comes in: `economics.periods`. Goes out: a `Paradox`: indices, factors, a verdict with its sentences.
Does not know: why. It is no causal estimate.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from math import exp, expm1, log
from typing import Literal, NamedTuple

import msgspec

from jevons.core.money import half_even
from jevons.economics.paid import fisher
from jevons.economics.periods import Aside, Item, Per, Period, Used
from jevons.meter.lineages import Tier

Cost = Literal["billed", "list"]
Verdict = Literal["holds", "cheaper_and_less", "dearer_and_more", "dearer_and_less", "steady", "unclear", "too_little"]
Driver = Literal["", "depth", "growth", "volume"]

PERIODS_MIN = 4
"""With fewer there is no course between the ends that could contradict them."""
STEPS_MIN = 30
"""Calls at each end, below which one long answer moves a mean by more than what is looked for."""
CHANGE_MIN = 0.02
"""A change of the bill or of a price by less, in logarithms, is none."""
PRICE_CHANGE_MIN = 0.05
"""A price must have changed by so much before anything is divided by it."""
RUNS_SHARE_MAX = 0.2
"""A caller whose share of steps in runs moved by more began to name its runs, or ceased to: its tasks are counted otherwise at one end than
at the other. Where such callers make more than this share of all steps at an end, depth cannot be told from growth."""
TOKENS_PER_QUOTE = 1_000_000
ELASTICITY_SOURCE = "Demirer et al., “The Emerging Market for Intelligence” (NBER), find −1.11 between hosts of one open model, and “no Jevons paradox (yet)”"


class Indices(msgspec.Struct, frozen=True):
    """The first period = 100; None where there is nothing to divide by."""

    bill: float | None
    unit_price: float | None
    basket_price: float | None
    tokens: float | None
    tasks: float | None
    steps_per_task: float | None
    tokens_per_step: float | None
    tokens_per_task: float | None


class Share(msgspec.Struct, frozen=True):
    """What went to a tier."""

    tokens: int
    list_nusd: int
    billed_nusd: int
    of_tokens: float
    of_cost: float


class Row(msgspec.Struct, frozen=True):
    """One period."""

    start: str
    days: int
    list_nusd: int
    billed_nusd: int
    tokens: int
    steps: int
    tasks: int
    list_nusd_per_mtok: int | None
    billed_nusd_per_mtok: int | None
    basket_coverage: float
    index: Indices
    tiers: dict[Tier, Share]


class Factor(msgspec.Struct, frozen=True):
    """What a factor of the bill was multiplied by, from one end to the other. The logarithms sum to that of the bill."""

    name: str
    ratio: float
    ln: float


class Point(NamedTuple):
    """What became of the price of a basket that stands still."""

    value: float
    """1 in the first period."""
    coverage: float
    """Share of the list cost of this period and the one before that went to what was bought in both; 1 in the first."""


class End(msgspec.Struct, frozen=True):
    """A few periods together. Sums are of all its days."""

    first: str
    last: str
    days: int
    tokens: int
    steps: int
    loose: int
    tasks: int
    list_nusd: int
    billed_nusd: int
    basket: float
    """Index of the basket's price, 1 in the very first period."""
    tiers: dict[Tier, Share]

    def nusd(self, cost: Cost) -> int:
        return self.billed_nusd if cost == "billed" else self.list_nusd


class Paradox(msgspec.Struct, frozen=True):
    per: Per
    cost: Cost
    """Which bill: what was paid, or list prices where nothing is billed."""
    sources: list[str]
    demo: bool
    """Some of it is made up by `make demo`."""
    rows: list[Row]
    bill_pct: float | None
    unit_price_pct: float | None
    basket_price_pct: float | None
    factors: list[Factor]
    verdict: Verdict
    driver: Driver
    elasticity: float | None
    """ln(tokens) / ln(price): by how many per cent tokens rose for each per cent by which their price fell. Not causal."""
    reason: str
    """Why the verdict is that, where it is too_little or unclear."""
    tasks_known: bool
    """Tasks are counted alike at both ends, so that depth can be told from growth."""
    base: End | None
    """The two ends that are compared."""
    latest: End | None
    left_out_days: int
    aside: list[Aside]
    corrections_nusd: int


def paradox(used: Used, cost: Cost | None = None) -> Paradox:
    """`cost` None: what was billed, unless an end has a list cost and no bill (a subscription)."""
    basket = _basket(used.periods)
    base, latest = _ends(used.periods, basket)
    if cost is None:
        cost = "billed" if base and latest and base.billed_nusd and latest.billed_nusd else "list"
    rows = _rows(used.periods, basket, cost)
    reason = _too_little(rows, base, latest, cost)
    if reason or base is None or latest is None:
        return _concluded(used, cost, rows, base, latest, [], "too_little", reason)
    factors = _factors(base, latest, cost)
    verdict, reason = _verdict(rows, log(_per_day(latest, cost) / _per_day(base, cost)), _ln_price(base, latest, cost))
    return _concluded(used, cost, rows, base, latest, factors, verdict, reason)


def _concluded(
    used: Used,
    cost: Cost,
    rows: list[Row],
    base: End | None,
    latest: End | None,
    factors: list[Factor],
    verdict: Verdict,
    reason: str,
) -> Paradox:
    ln = {factor.name: factor.ln for factor in factors}
    price = ln.get("basket", 0.0) + ln.get("bought", 0.0) + ln.get("discount", 0.0)
    depth = ln.get("steps_per_task", 0.0) + ln.get("tokens_per_step", 0.0)
    tokens = depth + ln.get("tasks", 0.0) + ln.get("tokens", 0.0)
    known = base is not None and _counted_alike(
        used.periods[: _at_an_end(used.periods)], used.periods[-_at_an_end(used.periods) :]
    )
    driver: Driver = ""
    if price + tokens > CHANGE_MIN and tokens > CHANGE_MIN:
        driver = "volume" if not known else "depth" if depth > ln["tasks"] else "growth"
    return Paradox(
        per=used.per,
        cost=cost,
        sources=used.sources,
        demo=any(source.startswith("demo") for source in used.sources),
        rows=rows,
        bill_pct=100 * expm1(price + tokens) if factors else None,
        unit_price_pct=100 * expm1(price) if factors else None,
        basket_price_pct=100 * expm1(ln["basket"]) if factors else None,
        factors=factors,
        verdict=verdict,
        driver=driver,
        elasticity=tokens / price if factors and abs(price) >= PRICE_CHANGE_MIN else None,
        reason=reason,
        tasks_known=known,
        base=base,
        latest=latest,
        left_out_days=used.left_out_days,
        aside=used.aside,
        corrections_nusd=used.corrections_nusd,
    )


def _verdict(rows: list[Row], bill: float, price: float) -> tuple[Verdict, str]:
    for name, change, course in (("bill", bill, _trend(rows, "bill")), ("price of a token", price, _trend(rows, "unit_price"))):
        if abs(change) > CHANGE_MIN and abs(course) > CHANGE_MIN and (change > 0) is not (course > 0):
            return "unclear", f"the {name} {_moved(change)} from end to end, but over all periods between it {_moved(course)}"
    if abs(price) <= CHANGE_MIN:
        return "steady", ""
    if price < 0:
        return ("holds" if bill > CHANGE_MIN else "cheaper_and_less"), ""
    return ("dearer_and_more" if bill > CHANGE_MIN else "dearer_and_less"), ""


def _moved(ln: float) -> str:
    return f"{'rose' if ln > 0 else 'fell'} by {abs(100 * expm1(ln)):.0f} %"


def _too_little(rows: list[Row], base: End | None, latest: End | None, cost: Cost) -> str:
    seen = sum(row.tokens > 0 for row in rows)
    if seen < PERIODS_MIN:
        return f"of the periods {seen} had calls, and it takes {PERIODS_MIN}"
    assert base is not None and latest is not None
    for name, end in (("first", base), ("last", latest)):
        if end.steps < STEPS_MIN and end.steps:
            return f"{end.steps} calls in the {name} part, {end.first} to {end.last}; it takes {STEPS_MIN}"
        if not end.tokens or not end.list_nusd or not end.nusd(cost):
            return f"nothing with a price was used in the {name} part, {end.first} to {end.last}"
    return ""


def _factors(base: End, latest: End, cost: Cost) -> list[Factor]:
    """In the order in which they make up the bill. Without a number of calls, tokens are one factor."""
    basket = latest.basket / base.basket
    ratios = {"basket": basket, "bought": latest.list_nusd / latest.tokens / (base.list_nusd / base.tokens) / basket}
    if cost == "billed":
        ratios["discount"] = latest.billed_nusd / latest.list_nusd / (base.billed_nusd / base.list_nusd)
    if base.steps and latest.steps:
        ratios["steps_per_task"] = latest.steps / latest.tasks / (base.steps / base.tasks)
        ratios["tokens_per_step"] = latest.tokens / latest.steps / (base.tokens / base.steps)
        ratios["tasks"] = latest.tasks / latest.days / (base.tasks / base.days)
    else:
        ratios["tokens"] = latest.tokens / latest.days / (base.tokens / base.days)
    return [Factor(name, ratio, log(ratio)) for name, ratio in ratios.items()]


def _basket(periods: Sequence[Period]) -> list[Point]:
    """Fisher's index of list prices, model by model and kind by kind, chained over the periods in which something was bought."""
    points: list[Point] = []
    last: dict[Item, tuple[int, int]] = {}
    for period in periods:
        bought = {item: sums for item, sums in period.items.items() if sums[1]}
        if not points or not bought or not last:
            points.append(Point(points[-1].value if points else 1.0, 1.0))
        else:
            both = last.keys() & bought.keys()
            cost = sum(nusd for basket in (last, bought) for _, nusd in basket.values())
            seen = sum(last[item][1] + bought[item][1] for item in both)
            points.append(Point(points[-1].value * fisher(last, bought), seen / cost))
        last = bought or last
    return points


def _ends(periods: Sequence[Period], basket: Sequence[Point]) -> tuple[End, End] | tuple[None, None]:
    if len(periods) < 2:
        return None, None
    count = _at_an_end(periods)
    return _end(periods[:count], basket[:count]), _end(periods[-count:], basket[-count:])


def _at_an_end(periods: Sequence[Period]) -> int:
    """How many periods an end is: a quarter of them; of days, a whole week where there are two, since Sundays are no Mondays."""
    if max(period.days for period in periods) == 1:
        return min(7, len(periods) // 2)
    return max(1, len(periods) // 4)


def _end(periods: Sequence[Period], basket: Sequence[Point]) -> End:
    def total(of: Callable[[Period], int]) -> int:
        return sum(map(of, periods))

    tiers: dict[Tier, tuple[int, int, int]] = {}
    for period in periods:
        for tier, sums in period.tiers.items():
            had = tiers.get(tier, (0, 0, 0))
            tiers[tier] = (had[0] + sums[0], had[1] + sums[1], had[2] + sums[2])
    return End(
        first=periods[0].start.isoformat(),
        last=(periods[-1].start + timedelta(periods[-1].days - 1)).isoformat(),
        days=total(lambda p: p.days),
        tokens=total(lambda p: p.tokens),
        steps=total(lambda p: p.steps),
        loose=total(lambda p: p.loose),
        tasks=total(lambda p: p.tasks),
        list_nusd=total(lambda p: p.list_nusd),
        billed_nusd=total(lambda p: p.billed_nusd),
        basket=exp(sum(log(point.value) for point in basket) / len(basket)),
        tiers=_shares(tiers),
    )


def _rows(periods: Sequence[Period], basket: Sequence[Point], cost: Cost) -> list[Row]:
    first = next((period for period in periods if period.tokens), None)
    return [_row(period, point, first, cost) for period, point in zip(periods, basket, strict=True)]


def _row(period: Period, point: Point, first: Period | None, cost: Cost) -> Row:
    def index(of: Callable[[Period], tuple[float, float]]) -> float | None:
        """Of a fraction of two sums, against the first period's."""
        if first is None:
            return None
        (a, b), (c, d) = of(period), of(first)
        return 100 * (a / b) / (c / d) if a and b and c and d else None

    def nusd(p: Period) -> int:
        return p.billed_nusd if cost == "billed" else p.list_nusd

    return Row(
        start=period.start.isoformat(),
        days=period.days,
        list_nusd=period.list_nusd,
        billed_nusd=period.billed_nusd,
        tokens=period.tokens,
        steps=period.steps,
        tasks=period.tasks,
        list_nusd_per_mtok=_per_mtok(period.list_nusd, period.tokens),
        billed_nusd_per_mtok=_per_mtok(period.billed_nusd, period.tokens),
        basket_coverage=point.coverage,
        index=Indices(
            bill=index(lambda p: (nusd(p), p.days)),
            unit_price=index(lambda p: (nusd(p), p.tokens)),
            basket_price=100 * point.value if period.tokens else None,
            tokens=index(lambda p: (p.tokens, p.days)),
            tasks=index(lambda p: (p.tasks, p.days)),
            steps_per_task=index(lambda p: (p.steps, p.tasks)),
            tokens_per_step=index(lambda p: (p.tokens, p.steps)),
            tokens_per_task=index(lambda p: (p.tokens, p.tasks)),
        ),
        tiers=_shares(period.tiers),
    )


def _shares(tiers: dict[Tier, tuple[int, int, int]]) -> dict[Tier, Share]:
    tokens, cost = sum(sums[0] for sums in tiers.values()), sum(sums[1] for sums in tiers.values())
    return {
        tier: Share(*sums, of_tokens=sums[0] / tokens if tokens else 0.0, of_cost=sums[1] / cost if cost else 0.0)
        for tier, sums in sorted(tiers.items())
    }


def _per_mtok(nusd: int, tokens: int) -> int | None:
    return half_even(nusd * TOKENS_PER_QUOTE, tokens) if tokens else None


def _per_day(end: End, cost: Cost) -> float:
    return end.nusd(cost) / end.days


def _ln_price(base: End, latest: End, cost: Cost) -> float:
    return log(latest.nusd(cost) / latest.tokens / (base.nusd(cost) / base.tokens))


def _counted_alike(base: Sequence[Period], latest: Sequence[Period]) -> bool:
    """Do most steps at both ends belong to callers that tell their runs as they did before?"""
    before, after = _callers(base), _callers(latest)
    changed = [
        (was, now)
        for caller, was in before.items()
        if was[0] and (now := after.get(caller, (0, 0)))[0] and abs(was[1] / was[0] - now[1] / now[0]) > RUNS_SHARE_MAX
    ]
    for end, steps in ((before, sum(was for (was, _), _ in changed)), (after, sum(now for _, (now, _) in changed))):
        every = sum(steps for steps, _ in end.values())
        if not every or steps / every > RUNS_SHARE_MAX:
            return False
    return True


def _callers(periods: Sequence[Period]) -> dict[tuple[int, str], tuple[int, int]]:
    callers: dict[tuple[int, str], tuple[int, int]] = {}
    for period in periods:
        for caller, (steps, loose) in period.callers.items():
            had = callers.get(caller, (0, 0))
            callers[caller] = (had[0] + steps, had[1] + loose)
    return callers


def _trend(rows: Sequence[Row], name: Literal["bill", "unit_price"]) -> float:
    """By how much the least-squares line through ln(index) rises from the first period to the last."""
    points = [(place, log(value)) for place, row in enumerate(rows) if (value := getattr(row.index, name)) is not None]
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    return slope * (points[-1][0] - points[0][0])
