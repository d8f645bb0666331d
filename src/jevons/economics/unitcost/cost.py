"""From how fast tokens are made and what an hour of the hardware costs to dollars for a million tokens.

    $/M tokens = $/h of a device / (tokens/s of a device x 3600 x utilisation) x 10^6

Comes in: tokens/s per device (`Pace`), the price of a device's hour (`Hourly`), how much of the time it is busy. Both the pace and the price are
spreads, given by their 5, 50 and 95 % quantiles. Goes out: quantiles in integer nano-dollars for a million tokens of each kind. They are of a
model's world, and no bill: nothing here is ever posted. Does not know: models, how fast hardware is.

Between its three quantiles a spread is taken as lognormal on each side of the median, with a scale of its own on each side; so it goes through
all three. Pace and price are taken as independent: their quotient is worked out over PARTS x PARTS equally likely pairs, without chance.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import exp, inf, log
from statistics import NormalDist, median
from typing import Literal, NamedTuple

from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.economics.unitcost.part import Part

ELECTRICITY_USD_KWH = 0.08
"""What large users in the United States pay; an input everywhere."""
PUE = 1.2
"""Power of the building over power of its computers; the same anchor. An input everywhere."""
UTILISATION = 0.7
"""Share of paid hours in which a device does work; an assumption, and an input everywhere. DeepSeek's nodes in use were, in the mean of a
day, 226.75 of 278 at the peak (0.82), with a load of the whole world."""
YEARS = 4.0
"""Over which bought hardware is written off: an assumption, and an input."""
COLOCATION_USD_KW_MONTH = 184.06
"""For a kW of computers, without electricity: mean asking rate for 250 to 500 kW in primary North American markets (CBRE, North America Data
Center Trends, H2 2024). Who takes megawatts pays less."""
HOURS_A_YEAR = 8_766
LEVELS = (0.05, 0.5, 0.95)
PARTS = 99
STATED = "stated:"
"""With this the source of a figure begins that its owner gave, and nobody quoted."""
NUSD, MILLION, JOULES_A_KWH = 10**9, 10**6, 3.6e6

_Z = NormalDist().inv_cdf(LEVELS[-1])


class Interval(NamedTuple):
    """5, 50 and 95 % of what is not known exactly. All > 0."""

    low: float
    mid: float
    high: float

    def at(self, level: float) -> float:
        """The quantile of a level in (0, 1): lognormal on each side of the median."""
        z = NormalDist().inv_cdf(level) / _Z
        side = log(self.high / self.mid) if z > 0 else log(self.mid / self.low)
        return self.mid * exp(z * side)

    def times(self, factor: float) -> "Interval":
        """All three multiplied by a factor > 0."""
        return Interval(self.low * factor, self.mid * factor, self.high * factor)


def exactly(value: float) -> Interval:
    """What is known as one number."""
    return Interval(value, value, value)


class Quantiles(NamedTuple):
    """5, 50 and 95 % in nano-dollars."""

    low: int
    mid: int
    high: int

    def document(self) -> dict[str, int]:
        """For --json."""
        return {"p5_nusd": self.low, "p50_nusd": self.mid, "p95_nusd": self.high}


class Pace(NamedTuple):
    """Tokens a second of one device, busy all the time with tokens of one kind."""

    input: Interval
    """Prompt tokens that are computed."""
    output: Interval
    cached: Interval | None = None
    """Prompt tokens that are found in a cache; None where nobody worked out what they take."""


class Cost(NamedTuple):
    """For a million tokens of each kind."""

    input: Quantiles
    cached: Quantiles | None
    output: Quantiles

    def document(self) -> dict[str, object]:
        """For --json."""
        return {
            "input_per_million": self.input.document(),
            "cached_per_million": None if self.cached is None else self.cached.document(),
            "output_per_million": self.output.document(),
        }


@dataclass(frozen=True, kw_only=True)
class Hourly:
    """What an hour of one device costs."""

    usd: Interval
    how: str
    """In words: rented or owned, by which figures."""
    source: str = ""
    estimated: bool = False
    """Some of it stands in for a figure that nobody gave."""


def stated(low: float, typical: float, high: float) -> Hourly:
    """As the user says, in dollars. Raises UnitCostError."""
    if not 0 < low <= typical <= high < inf:
        raise UnitCostError(
            f"$/h must be low ≤ typical ≤ high, more than nothing and finite; {low:g}, {typical:g}, {high:g} are not"
        )
    return Hourly(usd=Interval(low, typical, high), how="as stated")


def rented(part: Part, among: Iterable[Part] = ()) -> Hourly:
    """By its quotes: the lowest, the typical and the highest are taken as the 5, 50 and 95 % quantiles.

    Where only a typical quote is known, its spread is the usual one of those parts of `among` that have all three, and the price is marked
    as estimated; with none of them it is one number. What an owner stated is no quote, and one number. Raises UnknownFact where no rent is known.
    """
    quotes = part.hourly()
    if quotes.typical is None:
        raise UnknownFact(
            f"no rent of {part.name} is known. State what you pay or were offered with --usd-per-hour (jevons synergy: as a fourth part, :USD), or "
            f"for good:\n{_how_to_give(part)}"
        )
    source = part.source("price_typical_usd_h")
    if source.startswith(STATED):
        return Hourly(usd=exactly(quotes.typical), how=source, source=source)
    down, up = _usual_spread(among)
    low = min(quotes.low if quotes.low is not None else quotes.typical * down, quotes.typical)
    high = max(quotes.high if quotes.high is not None else quotes.typical * up, quotes.typical)
    missing = quotes.low is None or quotes.high is None
    how = "rented, at quotes" + (" of one seller, spread as other parts' are" if missing and (down, up) != (1.0, 1.0) else "")
    return Hourly(usd=Interval(low, quotes.typical, high), how=how, source=source, estimated=missing)


@dataclass(frozen=True, kw_only=True)
class Owning:
    """What owning depends on beside the price."""

    years: float = YEARS
    electricity_usd_kwh: float = ELECTRICITY_USD_KWH
    pue: float = PUE
    colocation_usd_kw_month: float = COLOCATION_USD_KW_MONTH


def owned(part: Part, purchase_usd: float | None = None, terms: Owning | None = None) -> Hourly:
    """Capital over its years, with power and a place for it; per device with its share of server and network.

    `purchase_usd`: what one device cost you with its share of the server; else the catalogue's. Where neither is known, the range of published
    total costs of owning, from a hyperscaler's to a smaller cloud's. Raises UnknownFact.
    """
    price, terms = purchase_usd if purchase_usd is not None else part.purchase_usd, terms or Owning()
    if price is not None:
        kw = _computers_kw(part)
        capital = price / (terms.years * HOURS_A_YEAR)
        place = kw * terms.colocation_usd_kw_month * 12 / HOURS_A_YEAR
        running = kw * terms.pue * terms.electricity_usd_kwh + place
        bare = "" if part.allin_kw is not None else " (its own alone: what its server draws is not known)"
        how = (
            f"bought at ${price:,.0f} for {terms.years:g} years, {kw * terms.pue:.2g} kW{bare} at ${terms.electricity_usd_kwh:g}/kWh, "
            f"a place for it at ${place:.2f}/h"
        )
        source = part.source("purchase_usd") if purchase_usd is None else "the price as stated"
        return Hourly(usd=exactly(capital + running), how=how, source=source, estimated=bool(bare))
    low, high = part.tco_hyperscaler_usd_h, part.tco_neocloud_usd_h
    if low is None or high is None:
        raise UnknownFact(
            f"what {part.name} costs to buy is not known, nor what owning it costs. State --purchase-usd (of one device, with its share of the "
            f"server), or for good:\n{_how_to_give(part, 'purchase_usd')}"
        )
    low, high = min(low, high), max(low, high)
    how = "owned, at published total costs from a hyperscaler's to a smaller cloud's; with --purchase-usd by your years, electricity and PUE"
    return Hourly(usd=Interval(low, (low * high) ** 0.5, high), how=how, source=part.source("tco_neocloud_usd_h"))


def offers(
    part: Part,
    among: Iterable[Part] = (),
    usd: tuple[float, float, float] | None = None,
    purchase_usd: float | None = None,
    terms: Owning | None = None,
) -> tuple[Hourly | UnknownFact, Hourly | UnknownFact]:
    """Rented (at `usd`, low, typical, high, where it is stated) and owned; or what is missing. Raises UnitCostError for a statement that cannot be."""
    rent: Hourly | UnknownFact
    own: Hourly | UnknownFact
    try:
        rent = rented(part, among) if usd is None else stated(*usd)
    except UnknownFact as missing:
        rent = missing
    try:
        own = owned(part, purchase_usd, terms)
    except UnknownFact as missing:
        own = missing
    return rent, own


def per_million(pace: Pace, hourly: Hourly, utilisation: float = UTILISATION) -> Cost:
    """A million tokens of each kind. `utilisation` in (0, 1]: the share of paid hours in which there is work. Raises UnitCostError."""
    if not 0 < utilisation <= 1:
        raise UnitCostError(f"utilisation is a share of paid hours, more than 0 and at most 1; {utilisation:g} is not")

    def of(tokens_s: Interval) -> Quantiles:
        return nusd(quotient(hourly.usd, tokens_s), MILLION / (3600 * utilisation))

    return Cost(of(pace.input), None if pace.cached is None else of(pace.cached), of(pace.output))


def electricity_per_million(joules_per_token: float, usd_kwh: float = ELECTRICITY_USD_KWH, pue: float = PUE) -> int:
    """Nano-dollars of electricity alone in a million tokens: no price can stay below it. `joules_per_token`: of the computers."""
    return round(joules_per_token * pue / JOULES_A_KWH * usd_kwh * MILLION * NUSD)


class Electricity(NamedTuple):
    """Alone, in a million tokens."""

    nusd: int
    of: Literal["computers", "devices"]
    """Whose: with their share of server and network, or the devices' alone where that is not known. Cooling is in both."""
    terms: Owning


def electricity(joules_per_token: float, part: Part, terms: Owning | None = None) -> Electricity:
    """`joules_per_token`: of the devices, as `Speed.joules_per_token` has them."""
    terms, beside = terms or Owning(), part.computers_over_device
    nusd_ = electricity_per_million(joules_per_token * (beside or 1.0), terms.electricity_usd_kwh, terms.pue)
    return Electricity(nusd_, "devices" if beside is None else "computers", terms)


def quotient(above: Interval, below: Interval) -> Interval:
    """`above` over `below`, independent of each other."""
    tops, bottoms = _values(above), _values(below)
    if len(tops) == 1 or len(bottoms) == 1:
        return Interval(above.low / below.high, above.mid / below.mid, above.high / below.low)
    drawn = sorted(top / bottom for top in tops for bottom in bottoms)
    low, mid, high = (drawn[round(level * (len(drawn) - 1))] for level in LEVELS)
    return Interval(low, mid, high)


def nusd(usd: Interval, factor: float = 1.0) -> Quantiles:
    """Dollars times a factor in whole nano-dollars."""
    return Quantiles(*(round(value * factor * NUSD) for value in usd))


@lru_cache(maxsize=64)
def _values(spread: Interval) -> tuple[float, ...]:
    """PARTS equally likely values; one where it is known exactly."""
    if spread.low == spread.high:
        return (spread.mid,)
    return tuple(spread.at((place + 0.5) / PARTS) for place in range(PARTS))


def _usual_spread(among: Iterable[Part]) -> tuple[float, float]:
    """Lowest and highest quote over the typical one: the medians over parts that have all three."""
    full = [quotes for quotes in (part.hourly() for part in among) if None not in quotes]
    if not full:
        return 1.0, 1.0
    ratios = [(low / mid, high / mid) for low, mid, high in full if low is not None and mid is not None and high is not None]
    return median(down for down, _ in ratios), median(up for _, up in ratios)


def _computers_kw(part: Part) -> float:
    """Before cooling: its share of server and network, else its own alone as measured or rated. Raises UnknownFact."""
    if part.computers_kw is not None:
        return part.computers_kw
    watts = part.measured_w if part.measured_w is not None else part.tdp_w
    return part.figure("allin_kw") if watts is None else watts / 1000


def _how_to_give(part: Part, figure: str = "price_typical_usd_h") -> str:
    return f'[[part]]\nname = "{part.name}"\n{figure} = …\nsource = "where you have it from"\n(in hardware.toml in JEVONS_HOME)'
