"""Ways of getting a workload done, each with dollars a month: bought at an API or at a host, built on rented or owned devices, or on this machine.

Comes in: a `Workload`, prices, the devices that it needs. Goes out: a `Way` for each; where something is missing, one that tells what. Does not know:
which way is cheaper from where, how many devices the busiest hour needs of a part.
"""

from collections.abc import Sequence
from statistics import median_low
from typing import Any, NamedTuple

import msgspec

from jevons.core.price import PriceTier, UnpricedKind, charge
from jevons.core.usage import Usage
from jevons.economics.break_even import HOURS_A_MONTH, Replica
from jevons.economics.unitcost.cost import Hourly, Interval, Quantiles, exactly
from jevons.economics.unitcost.errors import UnknownFact
from jevons.economics.workload import Workload
from jevons.meter.pricebook import PriceBook

MILLION = 10**6
PEAK_BUSY = 0.7
"""Share of the busiest hour for which devices may be busy: above it queues grow (M/M/1: a wait of 2.3 times the work). An assumption."""
OURS = frozenset({"local", "student"})
"""Providers of the price book that are no hosts."""


class Way(NamedTuple):
    """One way of getting the work done."""

    name: str
    title: str
    monthly: Quantiles | None
    """None where something is missing; `says` tells what."""
    says: str
    per_token_nusd: float | None = None
    """Paid by the token."""
    replicas: tuple[Replica, ...] = ()
    """Paid by the month: the kinds there are, the one that is cheapest for this volume first."""
    tok_s_user: float | None = None
    utilisation: float | None = None
    """Share of the paid hours with work."""
    span_nusd: int | None = None
    """The sum of the ledger's rows that it was projected from."""

    def at(self, tokens: float) -> float | None:
        """Nano-dollars a month at a volume, at the middle."""
        if self.per_token_nusd is not None:
            return self.per_token_nusd * tokens
        return min((one.needed(tokens) * one.monthly_nusd for one in self.replicas), default=None)

    def document(self, tokens: float) -> dict[str, Any]:
        """For --json; `tokens`: a month."""
        number = self.replicas[0].needed(tokens) if self.replicas else None
        return {
            "name": self.name,
            "title": self.title,
            "monthly": None if self.monthly is None else self.monthly.document(),
            "per_million": None if self.monthly is None else per_million(self.monthly, tokens).document(),
            "replicas": number,
            "devices": number and number * self.replicas[0].devices,
            "utilisation": self.utilisation,
            "tok_s_user": self.tok_s_user,
            "span_nusd": self.span_nusd,
            "estimated": True,
            "says": self.says,
        }


class Here(NamedTuple):
    """A model on this machine, as measured."""

    name: str
    prefill_tok_s: float
    cached_tok_s: float | None
    """At which kept tokens are put back and looked at; None: the work has none."""
    decode_tok_s: float
    """Of all sequences together, as many as are served at once."""
    tok_s_user: float
    off: float
    """By what factor the rates may be off, either way, with 90 %."""
    usd_per_hour: float
    """Of a machine that is on, whether it is busy or not."""
    says: str


def buying(work: Workload) -> list[Way]:
    """At APIs, from the ledger's own rows: dollars of what was asked for, over the tokens of it."""
    money = work.money
    said = (
        ("api_list", "API, nothing cached", money.baseline_nusd, "every token at the list price of what was asked for"),
        (
            "api_caches",
            "API, provider's caches",
            money.list_nusd + money.ours_nusd,
            "with what clients and providers cache by themselves",
        ),
        ("api_billed", "API, as billed", money.billed_nusd, "with our caches and routes, and your own rates"),
    )
    return [
        Way(
            *(name, title, Quantiles(*[round(nusd / work.months)] * 3), f"{says}: projected from {work.days:.0f} days"),
            per_token_nusd=nusd / work.asked,
            tok_s_user=work.tok_s_user,
            span_nusd=nusd,
        )
        for name, title, nusd, says in said
    ]


def hosted(work: Workload, book: PriceBook | None, names: tuple[str, ...], called: str) -> list[Way]:
    """The open model at hosts of the price book: the cheapest, the one in the middle, the dearest."""
    if book is None:
        return []
    prices: dict[str, int] = {}
    for provider in book.providers():
        found = [nusd for name in names if (nusd := _host(work, book, provider, name)) is not None]
        if found and provider not in OURS:
            prices[provider] = min(found)
    if not prices:
        return [
            Way(
                "api_open",
                f"{called}, at a host",
                None,
                "the price book knows no host of it; `jevons prices update` fetches newer prices",
            )
        ]
    ordered = sorted(prices, key=lambda provider: (prices[provider], provider))
    cheapest, middle, dearest = prices[ordered[0]], median_low(prices.values()), prices[ordered[-1]]
    says = f"at list price, {len(ordered)} hosts: the cheapest {ordered[0]}, the dearest {ordered[-1]}"
    monthly = Quantiles(*(round(nusd / work.months) for nusd in (cheapest, middle, dearest)))
    return [Way("api_open", f"{called}, at a host", monthly, says, per_token_nusd=middle / work.asked)]


def _host(work: Workload, book: PriceBook, provider: str, name: str) -> int | None:
    """Nano-dollars of the same tokens there; None where it has no price."""
    price = book.price(provider, name, work.until_ms - 1)
    if price is None:
        return None
    size = work.sums.prompt // max(1, work.sums.requests)
    mean = msgspec.structs.replace(price, tiers=(PriceTier(-1, price.tier(size).nums),))
    sums = work.sums
    try:
        return charge(Usage(input=sums.computed, cache_read=sums.cached, output=sums.output), mean).nusd or None
    except UnpricedKind:
        return None


def building(
    name: str,
    title: str,
    hourly: Hourly | UnknownFact,
    work: Workload,
    kinds: Sequence[tuple[int, Interval]],
    tok_s_user: float,
    peak: float,
) -> Way:
    """`kinds`: devices of a replica, and the tokens that it makes in a month."""
    if isinstance(hourly, UnknownFact):
        return Way(name, title, None, str(hourly))
    replicas = tuple(Replica(devices, hourly.usd, month) for devices, month in kinds)
    return Way(
        *(name, title, replicas[0].monthly(work.tokens_a_month), _how(hourly)),
        replicas=replicas,
        tok_s_user=tok_s_user,
        utilisation=_busy(work, replicas[0], peak),
    )


def standing_here(work: Workload, here: Here | str, peak: float) -> Way:
    """As many machines like this one as the busiest hour needs."""
    if isinstance(here, str):
        return Way("here", "this machine", None, here)
    kept = work.sums.cached / here.cached_tok_s if here.cached_tok_s else 0.0
    seconds = work.sums.computed / here.prefill_tok_s + kept + work.sums.output / here.decode_tok_s
    mid = work.asked / seconds * PEAK_BUSY / peak * HOURS_A_MONTH * 3600
    low, high = mid / here.off, mid * here.off
    replica = Replica(1, exactly(here.usd_per_hour), Interval(low, mid, high))
    return Way(
        *("here", f"this machine, {here.name}", replica.monthly(work.tokens_a_month), here.says),
        replicas=(replica,),
        tok_s_user=here.tok_s_user,
        utilisation=_busy(work, replica, peak),
    )


def _busy(work: Workload, replica: Replica, peak: float) -> float:
    return work.tokens_a_month / (replica.needed(work.tokens_a_month) * replica.month.mid) * PEAK_BUSY / peak


def per_million(monthly: Quantiles, tokens: float) -> Quantiles:
    """Of all tokens of a month, prompts and answers."""
    return Quantiles(*(round(nusd * MILLION / tokens) for nusd in monthly))


def _how(hourly: Hourly) -> str:
    return f"${hourly.usd.mid:.2f}/h a device, {hourly.how}{'; estimated' if hourly.estimated else ''}"
