"""What a usage costs, in words: the formula with its rates, dates and row; and all dated prices of a model.

Comes in: a price book, a model's name as a person writes it ("Gemini 3.1 Pro"), a usage, an instant. Goes out: values that
print as text or as JSON.
Does not know: the ledger, the clock, the command line.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from fractions import Fraction

import msgspec

from jevons.core.money import NUSD_PER_USD, format_usd
from jevons.core.price import Price, UnpricedKind, charge
from jevons.core.usage import Usage
from jevons.meter.compiled import DAY_MS, EVER_MS, Model, Period, Unit
from jevons.meter.naming import resolve_variant, sellers
from jevons.meter.overrides import Override, override_line
from jevons.meter.pricebook import (
    BILLED,
    NO_CONTEXT,
    UNBILLED,
    PriceBook,
    Resolved,
    active_row,
    row_suffix,
    with_request_unit,
)
from jevons.meter.rates import Ladder, Rates, read_rates

_SHADOW_KINDS = ("input", "cache_read", "output")
"""What is shown of a shadow list price; the twin's own entry has the rest."""

_PERIODS_JOINED_MAX = 100
"""A daily period that changes nothing would be joined for ever."""


class UnknownPrice(Exception):
    """The model is known, but not what this usage of it costs; the message has the override line to paste."""


class CostLine(msgspec.Struct, frozen=True):
    """`count` units of `kind` at `rate` cost `cost_nusd`."""

    kind: str
    count: int
    rate: str
    """For people: "$2 / 1M tokens"."""
    cost_nusd: int


class CostExplanation(msgspec.Struct, frozen=True):
    """Lines sum to `cost_nusd`."""

    provider: str
    model: str
    row: str
    price_book: str
    source: str
    at_ms: int
    holds: str
    """For how long these rates are the answer, as far as the book knows: "from 2026-09-10"."""
    context: dict[str, str]
    lines: tuple[CostLine, ...]
    cost_nusd: int
    tier_above: int
    """The context tier that applied: more than so many input tokens; -1 is the base."""
    tiers: tuple[int, ...]
    """Where the row's other tiers begin."""
    others: tuple[str, ...]
    """Providers that sell the same model."""


class DatedPrice(msgspec.Struct, frozen=True):
    """One row, variant or override that speaks of a model."""

    row: str
    source: str
    applies: str
    """When: "always", "from 2026-09-10", "daily 01:00-04:00 UTC"."""
    context: dict[str, str]
    rates: dict[str, str]
    """kind -> rate for people; empty where the price is unknown."""
    active: bool
    """At the instant asked about."""


def explain_cost(
    book: PriceBook,
    model: str,
    usage: Usage,
    at_ms: int,
    provider: str | None = None,
    context: Mapping[str, str] = NO_CONTEXT,
) -> CostExplanation:
    """Price a usage. The name may be loose; without a provider the model's maker is meant, of a free variant who lists it.

    With `billed="no"` in the context it is the list cost of a call that is not billed. Raises UnknownModel with suggestions, UnknownPrice
    with the line to paste.
    """
    seller, ref = resolve_variant(book, model, provider)
    price = book.price(seller, ref, at_ms, context)
    if price is None:
        raise UnknownPrice(_without_price(book, seller, ref, at_ms, context))
    try:
        charged = charge(with_request_unit(usage, price), price)
    except UnpricedKind as error:
        line = override_line(seller, ref, tuple(error.kinds))
        raise UnknownPrice(f"{error}. If you know it, put this into prices.toml:\n{line}") from error
    lines = tuple(
        CostLine(line.kind, line.count, quote(Fraction(line.num, price.den), book.units[line.kind]), line.nusd)
        for line in charged.lines
    )
    tier = price.tier(usage.input_total).above
    rest = tuple(t.above for t in price.tiers if t.above not in (-1, tier))
    return CostExplanation(
        provider=seller,
        model=ref,
        row=price.row,
        price_book=price.book,
        source=book.source,
        at_ms=at_ms,
        holds=period_text(_holding(book, seller, ref, at_ms, context)),
        context=dict(context),
        lines=lines,
        cost_nusd=charged.nusd,
        tier_above=tier,
        tiers=rest,
        others=sellers(book, seller, ref),
    )


def _without_price(book: PriceBook, seller: str, ref: str, at_ms: int, context: Mapping[str, str]) -> str:
    """What to do about a model that nothing states a price of."""
    line = override_line(seller, ref)
    if context.get(BILLED) == UNBILLED:
        when = f'when = {{ {BILLED} = "{UNBILLED}" }}'
        return (
            f"{seller} has no price for {ref}, and no paid twin of it has one. If you know what it would cost, put this into prices.toml:\n"
            f"{line}\n{when}"
        )
    shadow = book.price(seller, ref, at_ms, {**context, BILLED: UNBILLED})
    if shadow is None:
        return f"{seller} has no price for {ref}. If you know it, put this into prices.toml:\n{line}"
    rates = ", ".join(f"{kind} {rate}" for kind, rate in _shadow_rates(book, shadow).items())
    return (
        f"nothing states what {seller} bills for {ref}. If it gives it away, or in a subscription, say `billed = false` of the upstream: calls "
        f"then bill 0 and list at {rates}, as its paid twin does (row {shadow.row}; --not-billed works it out). Where nobody sells it, `free = true` of a "
        f"price. If it is billed and you know the price, put this into prices.toml:\n{line}"
    )


def _shadow_rates(book: PriceBook, shadow: Price) -> dict[str, str]:
    rates: Rates = {
        kind: tuple((tier.above, Fraction(tier.nums[kind], shadow.den)) for tier in shadow.tiers if kind in tier.nums)
        for kind in _SHADOW_KINDS
        if kind in shadow.tiers[0].nums
    }
    return _rate_texts(rates, book.units)


def _holding(book: PriceBook, seller: str, ref: str, at_ms: int, context: Mapping[str, str]) -> Period:
    """How far before and after an instant the same rates apply: periods of the book that change nothing are joined."""
    from_ms, until_ms, price = book.resolve(seller, ref, at_ms, context)
    back = ahead = _PERIODS_JOINED_MAX
    while from_ms > -EVER_MS and back and _same_rates(earlier := book.resolve(seller, ref, from_ms - 1, context), price):
        from_ms, back = earlier.from_ms, back - 1
    while until_ms < EVER_MS and ahead and _same_rates(later := book.resolve(seller, ref, until_ms, context), price):
        until_ms, ahead = later.until_ms, ahead - 1
    return Period(from_ms, until_ms)


def _same_rates(resolved: Resolved, price: Price | None) -> bool:
    other = resolved.price
    return price is not None and other is not None and (price.den, price.tiers) == (other.den, other.tiers)


def format_explanation(cost: CostExplanation) -> str:
    """The explanation as lines of text."""
    when = datetime.fromtimestamp(cost.at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    context = "".join(f", {key}={value}" for key, value in cost.context.items())
    rows = [(line.kind, f"{line.count:,}", line.rate, format_usd(line.cost_nusd)) for line in cost.lines]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
    text = [f"{cost.model} from {cost.provider}, {when}{context}"]
    text += [f"  {k:<{widths[0]}}  {n:>{widths[1]}} × {rate:<{widths[2]}} = {usd:>{widths[3]}}" for k, n, rate, usd in rows]
    text.append(f"  total = {format_usd(cost.cost_nusd)}")
    if cost.context.get(BILLED) == UNBILLED:
        twin = ", at the price of its paid twin" if f"?{BILLED}={UNBILLED}" in cost.row else ""
        text.append(f"  this is the list cost{twin}; billed = $0")
    if cost.tier_above >= 0:
        text.append(f"  more than {cost.tier_above:,} input tokens: the whole request is billed at the long-context rates")
    text += [f"  other rates apply above {above:,} input tokens" for above in cost.tiers if above > cost.tier_above]
    text.append(f"  rates hold {cost.holds}")
    text.append(f"  row {cost.row}, price book {cost.price_book} ({cost.source})")
    if cost.others:
        text.append(f"  also sold by: {', '.join(cost.others)} (choose with --provider)")
    return "\n".join(text)


def price_history(book: PriceBook, model: str, at_ms: int, provider: str | None = None) -> tuple[DatedPrice, ...]:
    """Every dated row, request variant and override of a model, in the book's order; the last active one applies.

    Where none states a price, the shadow list price of calls that are not billed comes last. Raises UnknownModel.
    """
    seller, ref = resolve_variant(book, model, provider)
    found, overrides = book.covering(seller, ref)
    history = _book_history(book, found.provider, found.model, at_ms) if found else []
    history += [
        DatedPrice(
            f"{seller}/{ref}+{override.source}",
            override.source,
            period_text(override.period),
            override.when,
            _override_rates(override, book.units),
            override.period.active(at_ms),
        )
        for override in overrides
    ]
    unbilled = {BILLED: UNBILLED}
    shadow = None if book.price(seller, ref, at_ms) else book.price(seller, ref, at_ms, unbilled)
    if shadow is not None and f"?{BILLED}={UNBILLED}" in shadow.row:
        holds = period_text(_holding(book, seller, ref, at_ms, unbilled))
        history.append(DatedPrice(shadow.row, book.source, holds, unbilled, _shadow_rates(book, shadow), True))
    return tuple(history)


def _book_history(book: PriceBook, provider: str, model: Model, at_ms: int) -> list[DatedPrice]:
    row_id, now = f"{provider}/{model.id}", active_row(model, at_ms)
    history = [
        DatedPrice(
            row_id + row_suffix(row.period),
            book.source,
            period_text(row.period),
            {},
            _rate_texts(read_rates(row.rates, book.units), book.units),
            row is now,
        )
        for row in model.rows
    ]
    history += [
        DatedPrice(
            row_id + row_suffix(variant.period) + "".join(f"?{k}={v}" for k, v in variant.when.items()),
            book.source,
            period_text(variant.period),
            variant.when,
            _rate_texts(read_rates(variant.rates, book.units), book.units),
            variant.period.active(at_ms),
        )
        for variant in model.variants
    ]
    return history


def _override_rates(override: Override, units: Mapping[str, Unit]) -> dict[str, str]:
    if override.free:
        return {"every kind": "free"}
    if override.factor != 1:
        return {"every kind": f"{exact_text((1 - override.factor) * 100)}% off"}
    return _rate_texts(override.rates, units)


def _rate_texts(rates: Rates, units: Mapping[str, Unit]) -> dict[str, str]:
    return {kind: _ladder_text(steps, units[kind]) for kind, steps in rates.items()}


def _ladder_text(steps: Ladder, unit: Unit) -> str:
    tiers = [quote(rate, unit) if above < 0 else f"above {above:,}: {quote(rate, unit)}" for above, rate in steps]
    return ", ".join(tiers)


def quote(rate: Fraction, unit: Unit) -> str:
    """A rate as vendors write it: nano-USD per unit -> "$2 / 1M tokens"."""
    names = {1_000_000: "1M", 1_000_000_000: "1G", 1_000: "1,000", 3_600: "hour"}
    per = names.get(unit.per, f"{unit.per:,}")
    tokens = " tokens" if unit.per == 1_000_000 and unit.kind != "input_characters" else ""
    return f"${exact_text(rate * unit.per / NUSD_PER_USD)} / {per}{tokens}"


def exact_text(value: Fraction) -> str:
    """A fraction as a decimal with all its digits; as "a/b" if it has no end."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        return str(value)
    with localcontext(prec=200):
        decimal = Decimal(value.numerator) / Decimal(value.denominator)
        text = f"{decimal:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def period_text(period: Period) -> str:
    """When a price applies, for people."""
    parts = []
    if period.from_ms != -EVER_MS:
        parts.append(f"from {_instant_text(period.from_ms)}")
    if period.until_ms != EVER_MS:
        parts.append(f"until {_instant_text(period.until_ms)}")
    if period.start_ms >= 0:
        parts.append(f"daily {row_suffix(Period(start_ms=period.start_ms, end_ms=period.end_ms))[1:-1]} UTC")
    return ", ".join(parts) or "always"


def _instant_text(at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.date().isoformat() if at_ms % DAY_MS == 0 else moment.strftime("%Y-%m-%d %H:%M:%S UTC")
