"""What a model costs at an instant: the compiled book with the operator's overrides over it, resolved to exact rates.

Comes in: provider and model as an upstream is asked, unix milliseconds of admission, the request's context (service tier,
batch, speed). Goes out: a `core.price.Price`, or None when the price is unknown: no such model, or an empty row.
Does not know: usage, the clock, where the book's file came from.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from jevons.core.limits import PRICE_MEMO_ENTRIES_MAX
from jevons.core.price import Price
from jevons.core.usage import REQUESTS, Usage
from jevons.meter.catalogue import Catalogue, Found
from jevons.meter.compiled import EVER_MS, Model, Period, Row, Steps, Unit, read_book
from jevons.meter.genai import ensure_book, install_bytes
from jevons.meter.overrides import Override, load_overrides, price_files, replaced
from jevons.meter.rates import FALLBACK_KINDS, Rates, dearest_of, filled, price_of, read_rates

NO_CONTEXT: Mapping[str, str] = MappingProxyType({})
BILLED, UNBILLED = "billed", "no"
"""The context of a call that is not billed (a subscription, a free tier): its list cost is what it would have cost."""
FREE_VARIANT = ":free"
"""How routers name the free variant of a model that they sell too."""
_FREE_VARIANTS = re.compile(f"(?:{FREE_VARIANT})+\\Z")
OPEN = "auto"
"""A context value that leaves the choice to the provider (OpenAI's and Anthropic's service_tier)."""
HORIZON_S = 900
"""How far ahead a hold looks for a dearer period: a request admitted now may be billed a little later."""


class Resolved(NamedTuple):
    """A price and the unix milliseconds [from_ms, until_ms) for which it stays the answer."""

    from_ms: int
    until_ms: int
    price: Price | None


class PriceBook:
    """All prices of one compiled book and one list of overrides. Answers are remembered until they expire."""

    def __init__(
        self, source: str, sha256: str, units: Iterable[Unit], catalogue: Catalogue, overrides: tuple[Override, ...]
    ) -> None:
        self.source = source
        """Where the prices come from, for people."""
        self.catalogue = catalogue
        self.overrides = overrides
        self.units = {unit.kind: unit for unit in units}
        self.kinds = tuple(dict.fromkeys((*FALLBACK_KINDS, *self.units)))
        """Every kind that can be billed."""
        text = "\n".join((sha256, *(override.canonical() for override in overrides)))
        self.hash = hashlib.sha256(text.encode()).hexdigest()[:16]
        """Names book and overrides together; entries store it."""
        self._prices: dict[tuple[object, ...], Resolved] = {}
        self._dearest: dict[tuple[object, ...], Resolved] = {}

    @classmethod
    def load(cls, compiled_path: Path, overrides: tuple[Override, ...] = ()) -> "PriceBook":
        """Open a compiled book. Raises compiled.BrokenBook, or OSError if it is not there."""
        envelope, payload = read_book(compiled_path)
        return cls(envelope.source, envelope.sha256, payload.units, Catalogue(payload.providers), overrides)

    def providers(self) -> list[str]:
        """Ids of all providers: the book's, then those that only overrides name."""
        named = [o.provider for o in self.overrides if not set(o.provider) & set("*?[")]
        return list(dict.fromkeys((*self.catalogue.providers(), *named)))

    def models(self, provider: str) -> tuple[Model, ...]:
        """The book's models of a provider id; empty if it knows none."""
        return self.catalogue.models(provider)

    def suggest(self, name: str, n: int = 3) -> list[str]:
        """Up to n model ids that look like `name`. Compares it with every model: a few milliseconds."""
        return self.catalogue.suggest(name, n)

    def find(self, provider: str | None, model: str) -> str | None:
        """Row id of a model, "provider/model", or None if neither book nor overrides know it. provider None: its maker's."""
        found = self.catalogue.find(provider, model)
        if found is not None:
            return found.row
        return f"{provider}/{model}" if provider is not None and self._overriding(provider, model, None) else None

    def price(self, provider: str | None, model: str, at_ms: int, context: Mapping[str, str] = NO_CONTEXT) -> Price | None:
        """The price at an instant (unix ms), or None when it is unknown. A remembered one costs a look-up and a comparison."""
        key = (provider, model, *context.items()) if context else (provider, model)
        hit = self._prices.get(key)
        if hit is not None and hit.from_ms <= at_ms < hit.until_ms:
            return hit.price
        return _remember(self._prices, key, self.resolve(provider, model, at_ms, context)).price

    def resolve(self, provider: str | None, model: str, at_ms: int, context: Mapping[str, str] = NO_CONTEXT) -> Resolved:
        """The price with the time for which it holds, worked out anew.

        Anthropic reports "batch" as a service tier; the book names it {"processing": "batch"}, as for the others.
        """
        if context.get("service_tier") == "batch":
            context = {**context, "processing": "batch"}
        found, overrides = self.covering(provider, model)
        rates: Rates = {}
        label = f"{provider}/{model}"
        periods = [o.period for o in overrides]
        if found is not None:
            rates, label = self._standing(found, at_ms, context)
            periods += [row.period for row in found.model.rows] + [v.period for v in found.model.variants]
        for override in overrides:
            if override.applies(at_ms, context):
                rates = replaced(rates, override, self.kinds)
                label += f"+{override.source}"
        from_ms, until_ms = _between(periods, at_ms)
        twin = None if rates else self._twin(provider, model, context)
        if twin is not None:
            there = self.resolve(*twin, at_ms, context)
            marked = there.price and msgspec.structs.replace(there.price, row=_marked(there.price.row))
            return Resolved(max(from_ms, there.from_ms), min(until_ms, there.until_ms), marked)
        price = price_of(filled(rates, self.units), label, self.hash) if rates else None
        return Resolved(from_ms, until_ms, price)

    def _twin(self, provider: str | None, model: str, context: Mapping[str, str]) -> tuple[str | None, str] | None:
        """(seller, name) of the paid twin at whose price a call that is not billed lists where it has none, marked "?billed=no" in its row.

        The twin is the same name without ":free" at the same seller, else the same name at its maker: two steps at most, since from a
        maker none leads on.
        """
        if context.get(BILLED) != UNBILLED:
            return None
        name = _FREE_VARIANTS.sub("", model)
        if name != model:
            return provider, name
        plain = name.rpartition("/")[2]
        maker = self.catalogue.maker(plain)
        return (maker, plain) if maker is not None and maker != self.catalogue.provider_id(provider or maker) else None

    def dearest(
        self, provider: str | None, model: str, at_ms: int, context: Mapping[str, str] = NO_CONTEXT, horizon_s: int = HORIZON_S
    ) -> Price | None:
        """What a hold must assume: per kind the highest rate of any period that overlaps [at_ms, at_ms + horizon_s], and of any
        variant where the context says "auto". None when no price is known.
        """
        key = (horizon_s, provider, model, *context.items())
        hit = self._dearest.get(key)
        if hit is not None and hit.from_ms <= at_ms < hit.until_ms:
            return hit.price
        return _remember(self._dearest, key, self._resolve_dearest(provider, model, at_ms, context, horizon_s * 1000)).price

    def covering(self, provider: str | None, model: str) -> tuple[Found | None, tuple[Override, ...]]:
        """The book's entry and the overrides that speak of a model: all its dated prices, for people."""
        found = self.catalogue.find(provider, model)
        return found, self._overriding(provider, model, found)

    def _overriding(self, provider: str | None, model: str, found: Found | None) -> tuple[Override, ...]:
        """Overrides that name the provider as asked, its id or the row's; and the model as asked or by its id."""
        asked = (provider or "").lower().strip()
        providers = (asked, self.catalogue.provider_id(asked) or asked, found.provider if found else asked)
        models = (model.lower(), found.model.id.lower() if found else model.lower())
        return tuple(o for o in self.overrides if o.covers(providers, models))

    def _standing(self, found: Found, at_ms: int, context: Mapping[str, str]) -> tuple[Rates, str]:
        """The book's own rates and row label: the last active row, then per kind the first variant that the context selects."""
        row = active_row(found.model, at_ms)
        steps, label = dict(row.rates), found.row + row_suffix(row.period)
        chosen: dict[str, Steps] = {}
        for variant in found.model.variants if found.own and context else ():
            if variant.period.active(at_ms) and all(context.get(k) == v for k, v in variant.when.items()):
                chosen = {**variant.rates, **chosen}
                label += "".join(f"?{k}={v}" for k, v in variant.when.items()) if variant.rates else ""
        return read_rates({**steps, **chosen}, self.units), label

    def _resolve_dearest(
        self, provider: str | None, model: str, at_ms: int, context: Mapping[str, str], horizon_ms: int
    ) -> Resolved:
        whens: list[Mapping[str, str]] = []
        seller: tuple[str | None, str] | None = (provider, model)
        while seller is not None:
            found, overrides = self.covering(*seller)
            whens += [o.when for o in overrides] + [v.when for v in (found.model.variants if found else ())]
            seller = self._twin(*seller, context)
        choices = [[(k, v) for v in _values(k, value, whens)] for k, value in context.items()]
        contexts = [{k: v for k, v in chosen if v is not None} for chosen in product(*choices)]
        prices: list[Price] = []
        instant, windows = at_ms, []
        while instant <= at_ms + horizon_ms:
            answers = [self.resolve(provider, model, instant, possible) for possible in contexts]
            prices += [answer.price for answer in answers if answer.price is not None]
            windows.append(answers[0])
            instant = answers[0].until_ms
        # It stays the answer while neither end of the horizon crosses a border of a period.
        from_ms = max(windows[0].from_ms, windows[-1].from_ms - horizon_ms)
        until_ms = min(windows[0].until_ms, windows[-1].until_ms - horizon_ms)
        return Resolved(from_ms, until_ms, dearest_of(prices) if prices else None)


class Recipe(msgspec.Struct, frozen=True):
    """What a hash stands for, kept as prices/<hash>.json: entries name their book by hash, and can be rated again."""

    book: str
    """File name of the compiled book."""
    overrides: dict[str, str]
    """File name -> text, as they were."""


def open_book(home: Path) -> PriceBook:
    """The book in use under JEVONS_HOME with its overrides. Raises BadOverride, BrokenBook or UpdateFailed."""
    path, texts = ensure_book(home), price_files(home)
    book = PriceBook.load(path, load_overrides(texts))
    recipe = path.with_name(f"{book.hash}.json")
    if not recipe.exists():
        install_bytes(recipe, msgspec.json.encode(Recipe(path.name, texts)))
    return book


def reopen_book(home: Path, book_hash: str) -> PriceBook:
    """The book an entry was priced with, overrides included. Raises LookupError if this home never used it."""
    try:
        recipe = msgspec.json.decode((home / "prices" / f"{book_hash}.json").read_bytes(), type=Recipe)
        return PriceBook.load(home / "prices" / recipe.book, load_overrides(recipe.overrides))
    except FileNotFoundError as error:
        raise LookupError(f"{home}/prices has no price book {book_hash}: {error}") from error


def active_row(model: Model, at_ms: int) -> Row:
    """The last active row; if none is, the first (genai_prices.types.ModelInfo.get_prices)."""
    return next((row for row in reversed(model.rows) if row.period.active(at_ms)), model.rows[0])


def row_suffix(period: Period) -> str:
    """The dated part of a row's label: "@2025-09-29", "@16:30-00:30Z", or nothing."""
    day = "" if period.from_ms == -EVER_MS else datetime.fromtimestamp(period.from_ms / 1000, UTC).date().isoformat()
    hours = "" if period.start_ms < 0 else f"{_clock(period.start_ms)}-{_clock(period.end_ms)}Z"
    return f"@{day}{hours}" if day or hours else ""


def billing(context: Mapping[str, str], billed: bool) -> dict[str, str]:
    """The context at an upstream that bills, or that does not."""
    return {kind: value for kind, value in context.items() if kind != BILLED} | ({} if billed else {BILLED: UNBILLED})


def with_request_unit(usage: Usage, price: Price) -> Usage:
    """`usage` with one unit of `requests` where the row bills each request (no provider reports it)."""
    if REQUESTS not in price.tiers[0].nums:
        return usage
    return msgspec.structs.replace(usage, other=(*usage.other, (REQUESTS, 1)))


def _marked(row: str) -> str:
    """A row's label with "?billed=no" among its variants, before what overrides add."""
    mark = f"?{BILLED}={UNBILLED}"
    book, plus, overrides = row.partition("+")
    return row if mark in book else f"{book}{mark}{plus}{overrides}"


def _clock(of_day_ms: int) -> str:
    return f"{of_day_ms // 3_600_000:02d}:{of_day_ms // 60_000 % 60:02d}"


def _between(periods: Iterable[Period], at_ms: int) -> tuple[int, int]:
    borders = [period.borders(at_ms) for period in periods]
    return max((b[0] for b in borders), default=-EVER_MS), min((b[1] for b in borders), default=EVER_MS)


def _values(key: str, value: str, whens: Iterable[Mapping[str, str]]) -> list[str | None]:
    """What a context key may turn out to be: its value, or if that is open, every priced one and none at all."""
    return [value] if value != OPEN else [None, OPEN, *dict.fromkeys(when[key] for when in whens if key in when)]


def _remember(memo: dict[tuple[object, ...], Resolved], key: tuple[object, ...], resolved: Resolved) -> Resolved:
    if len(memo) >= PRICE_MEMO_ENTRIES_MAX:
        memo.clear()
    memo[key] = resolved
    return resolved
