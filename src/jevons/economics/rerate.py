"""The same tokens at another price: every recorded call is charged again, by the rules by which it was charged, under other terms.

Comes in: a ledger file, a span of time, the terms (`Under`). Goes out: a `Rerated`: recorded list cost, what it comes to, the difference, by whatever
is asked for; and apart from that, with its reason and its recorded cost, whatever cannot be rated again. Each call is charged by itself
(`core.price.charge`), never a sum, since context tiers, hours and service tiers are of the call. Without other terms the outcome is what is on record,
to the nano-dollar; what is not is said. Does not know: whether another model would have needed as many tokens; what would have been billed.
"""

import heapq
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from jevons.core.entry import Estimate, admitted_ms, attempt_of, first_id_of_ms, request_text
from jevons.core.price import HELD, Line, Price, PriceTier, UnpricedKind, charge
from jevons.core.usage import REASONING, REQUESTS, TOKEN_KINDS, Usage
from jevons.ledger.bill import reading
from jevons.ledger.ops import KeySettings
from jevons.ledger.rollup import DAY_MS
from jevons.meter.pricebook import PriceBook, open_book, reopen_book
from jevons.policy.terms import Sort, decode

GROUPS = ("model", "upstream", "tier", "tariff", "org", "team", "key", "agent", "source", "day")
LARGEST_SHOWN = 10

WHOLE_HOLD = "whole holds: nobody knows what was used"
NO_TOKENS = "the source does not say how many tokens"
NO_BOOK = "charged at rates of no price book: told by a source, or by the configuration"
TOLD = "the source told what it cost"
LOST_BOOK = "their price book is not in this JEVONS_HOME"
NO_PRICE = "no price is known under these terms"
NO_RATE = "a kind of unit has no rate under these terms"
NEVER_PRICED = "had no price when they were recorded"
NOT_REPRODUCED = "the price book gives another cost than is on record"

_OWN_KINDS = {*TOKEN_KINDS, REASONING, REQUESTS, "hold", "told"}
"""Kinds of lines that are in columns of the entry, or are no units."""
_COLUMNS = (
    "id, key_id, agent, upstream, target, tier, tariff, source, estimate, unknown, requests, input, cache_read, cache_write_5m, cache_write_1h,"
    " output, reasoning, lines, list_nusd, price_book, price_row, settled_ms, terms"
)
_lines = msgspec.json.Decoder(tuple[Line, ...]).decode


class Under(NamedTuple):
    """The terms; as they stand here, nothing is changed."""

    book: str = "recorded"
    """Of each call the book it was charged by; "current", or a book's hash."""
    at_ms: int | None = None
    """Prices of this day, at the hour of each call."""
    provider: str | None = None
    models: tuple[tuple[str, str], ...] = ()
    """(shell pattern, model that takes its place); the first that matches holds."""
    service_tier: str | None = None

    @property
    def unchanged(self) -> bool:
        return self == Under()


class Sums(msgspec.Struct):
    name: str
    entries: int = 0
    tokens: int = 0
    list_nusd: int = 0
    """As recorded."""
    rerated_nusd: int = 0
    difference_nusd: int = 0

    def add(self, tokens: int, list_nusd: int, rerated_nusd: int) -> None:
        self.entries += 1
        self.tokens += tokens
        self.list_nusd += list_nusd
        self.rerated_nusd += rerated_nusd
        self.difference_nusd += rerated_nusd - list_nusd


class RowRerated(msgspec.Struct, frozen=True):
    """One call, then and now."""

    request: str
    attempt: int
    model: str
    tokens: int
    price_row: str
    rerated_row: str
    list_nusd: int
    rerated_nusd: int


class Rerated(msgspec.Struct):
    by: str
    total: Sums
    rows: list[Sums]
    """Sum to the total."""
    aside: list[Sums]
    """By reason; in no total. `rerated_nusd` where they have a price only now."""
    without_tier: list[Sums]
    """Models that the asked service tier has no price for: in the totals, at their plain prices."""
    estimated: int
    """Of the total: calls whose tokens are an estimate."""
    largest: list[RowRerated]
    """The largest differences."""


class Books:
    """Price books by their hash, opened once."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._books: dict[str, PriceBook | None] = {}

    def current(self) -> PriceBook:
        """Raises BadOverride, BrokenBook, UpdateFailed."""
        book = open_book(self._home)
        return self._books.setdefault(book.hash, book) or book

    def find(self, book_hash: str) -> PriceBook | None:
        """None: this home never used it."""
        if book_hash not in self._books:
            try:
                self._books[book_hash] = reopen_book(self._home, book_hash)
            except LookupError:
                self._books[book_hash] = None
        return self._books[book_hash]


class _Call(NamedTuple):
    """What an entry says of how it was charged."""

    id: int
    key_id: int
    agent: str
    upstream: str
    model: str
    tier: str
    tariff: str
    source: str
    estimate: str
    unknown: str
    requests: int
    usage: Usage
    tokens: int
    lines: tuple[Line, ...]
    list_nusd: int
    price_book: str
    price_row: str
    span_ms: int
    terms: bytes

    @property
    def told(self) -> bool:
        """Its cost was told as money: no rate of a book made it."""
        return any(line.nusd and not line.num for line in self.lines)


class Rerater:
    """Charges calls again under the same terms."""

    def __init__(self, books: Books, under: Under) -> None:
        """Raises LookupError for a book that this home never used."""
        self._books, self._under = books, under
        self._book: PriceBook | None = None
        if under.book == "current":
            self._book = books.current()
        elif under.book != "recorded":
            self._book = books.find(under.book)
            if self._book is None:
                raise LookupError(under.book)
        self._news: dict[str, str | None] = {}
        self._contexts: dict[str, dict[str, str]] = {}

    def rate(self, call: _Call) -> tuple[int, str] | str:
        """(cost, price row), or why it cannot be rated."""
        if call.estimate in (Estimate.HOLD, Estimate.UNPRICED) or call.tariff == HELD:
            return WHOLE_HOLD
        if "tokens" in call.unknown:
            return NO_TOKENS
        if not call.lines:  # nothing was used: every kind that was has a line
            return (0, call.price_row) if not call.list_nusd else TOLD
        if call.told and (self._under.unchanged or not call.tokens):
            return TOLD
        book = self._book_of(call)
        if isinstance(book, str):
            return book
        price = self._price(book, call)
        if price is None:
            return NO_PRICE
        try:
            return _cost(call, price), price.row
        except UnpricedKind:
            return NO_RATE

    def lacks_tier(self, row: str) -> bool:
        """The asked service tier has no price of its own there."""
        tier = self._under.service_tier
        return bool(tier and tier not in ("default", "auto") and f"={tier}" not in row)

    def _book_of(self, call: _Call) -> PriceBook | str:
        if self._book is not None:
            return self._book
        if not call.price_book:
            return NEVER_PRICED if "price" in call.unknown else NO_BOOK
        return self._books.find(call.price_book) or LOST_BOOK

    def _price(self, book: PriceBook, call: _Call) -> Price | None:
        provider, context = self._asked(call)
        if self._under.service_tier is not None:
            context = {name: value for name, value in context.items() if name not in ("service_tier", "processing")}
            if self._under.service_tier != "default":
                context["service_tier"] = self._under.service_tier
        at_ms = admitted_ms(call.id)
        if self._under.at_ms is not None:
            at_ms = self._under.at_ms + at_ms % DAY_MS
        model = self._new(call.model)
        if self._under.provider is not None:
            return book.price(self._under.provider, model or call.model, at_ms, context)
        if model is None:
            return book.price(provider, call.model, at_ms, context)
        if book.catalogue.find(provider, model) is not None:
            return book.price(provider, model, at_ms, context)
        return book.price(None, model, at_ms, context) or book.price(
            provider, model, at_ms, context
        )  # its maker's, else the operator's own

    def _new(self, model: str) -> str | None:
        """The model that takes its place, if one does."""
        if not self._under.models:
            return None
        if model not in self._news:
            self._news[model] = next((new for old, new in self._under.models if fnmatchcase(model, old)), None)
        return self._news[model]

    def _asked(self, call: _Call) -> tuple[str | None, dict[str, str]]:
        """(whose prices applied, under what context)"""
        asked = decode(call.terms)
        if asked is not None and asked.sort == Sort.CALL:
            return asked.provider, dict(asked.context if asked.answered is None else asked.answered)
        if call.price_row not in self._contexts:
            named = call.price_row.partition("+")[0].split("?")[1:]
            self._contexts[call.price_row] = dict(part.split("=", 1) for part in named)
        provider = call.upstream if call.source else call.price_row.partition("/")[0]
        return provider or None, self._contexts[call.price_row]


def rerate(
    path: Path,
    rerater: Rerater,
    from_ms: int,
    until_ms: int,
    *,
    unchanged: bool,
    by: str = "model",
    on_row: Callable[[RowRerated], None] | None = None,
) -> Rerated:
    """All entries admitted in [from_ms, until_ms). `on_row` is told each that was rated. Raises LedgerError if there is no ledger."""
    total, estimated = Sums("total"), 0
    rows: dict[str, Sums] = {}
    aside: dict[str, Sums] = {}
    without_tier: dict[str, Sums] = {}
    largest: list[tuple[int, int, RowRerated]] = []
    with reading(path) as db:
        name_of = _naming(db, by)
        for call in _calls(db, from_ms, until_ms):
            found = rerater.rate(call)
            if isinstance(found, str):
                _at(aside, found).add(call.tokens, call.list_nusd, 0)
                continue
            cost, row = found
            if unchanged and cost != call.list_nusd and "price" not in call.unknown:
                _at(aside, NOT_REPRODUCED).add(call.tokens, call.list_nusd, cost)
                continue
            if "price" in call.unknown:
                _at(aside, NEVER_PRICED).add(call.tokens, call.list_nusd, cost)
                continue
            total.add(call.tokens, call.list_nusd, cost)
            _at(rows, name_of(call)).add(call.tokens, call.list_nusd, cost)
            estimated += call.estimate != Estimate.NONE
            if rerater.lacks_tier(row) and call.tokens:
                _at(without_tier, f"{call.upstream}/{call.model}").add(call.tokens, call.list_nusd, cost)
            distance = abs(cost - call.list_nusd)
            if on_row is not None or len(largest) < LARGEST_SHOWN or distance > largest[0][0]:
                one = RowRerated(
                    *(request_text(call.id), attempt_of(call.id), f"{call.upstream}/{call.model}", call.tokens),
                    *(call.price_row, row, call.list_nusd, cost),
                )
                if on_row is not None:
                    on_row(one)
                if distance:
                    heapq.heappush(largest, (distance, call.id, one))
                    if len(largest) > LARGEST_SHOWN:
                        heapq.heappop(largest)
    return Rerated(
        by,
        total,
        sorted(rows.values(), key=lambda sums: (-abs(sums.difference_nusd), -sums.list_nusd, sums.name)),
        sorted(aside.values(), key=lambda sums: -sums.list_nusd),
        sorted(without_tier.values(), key=lambda sums: -sums.list_nusd),
        estimated,
        [one for _, _, one in sorted(largest, reverse=True)],
    )


def _cost(call: _Call, price: Price) -> int:
    """As `policy.settle` charged a call, and as a bucket of calls is charged by `imports.rating`: at the tier of one call's size."""
    usage = call.usage
    if REQUESTS in price.tiers[0].nums and (number := _requests(call)):
        usage = msgspec.structs.replace(usage, other=(*usage.other, (REQUESTS, number)))
    if call.source and call.span_ms and len(price.tiers) > 1:
        price = msgspec.structs.replace(price, tiers=(PriceTier(-1, price.tier(_size(call)).nums),))
    return charge(usage, price).nusd


def _requests(call: _Call) -> int:
    recorded = sum(line.count for line in call.lines if line.kind == REQUESTS)
    return recorded or (call.requests if call.source else 1)


def _size(call: _Call) -> int:
    """Input tokens of one call of a bucket: the mean, and more than the threshold that its tariff names."""
    mean = call.usage.input_total // call.requests if call.requests else 0
    above = max((int(part[1:]) + 1 for part in call.tariff.split(",") if part.startswith(">")), default=0)
    return max(mean, above)


def _at(sums: dict[str, Sums], name: str) -> Sums:
    found = sums.get(name)
    if found is None:
        found = sums[name] = Sums(name)
    return found


def _naming(db: apsw.Connection, by: str) -> Callable[[_Call], str]:
    """The name of a call's group. Raises ValueError for groups that there are not."""
    keys = {
        key_id: (name, msgspec.json.decode(settings, type=KeySettings))
        for key_id, name, settings in db.execute("SELECT id, name, settings FROM keys")
    }
    named: dict[str, Callable[[_Call], str]] = {
        "model": lambda call: f"{call.upstream}/{call.model}",
        "upstream": lambda call: call.upstream,
        "tier": lambda call: call.tier,
        "tariff": lambda call: call.tariff,
        "org": lambda call: keys[call.key_id][1].org,
        "team": lambda call: keys[call.key_id][1].team,
        "key": lambda call: keys[call.key_id][0],
        "agent": lambda call: call.agent,
        "source": lambda call: call.source,
        "day": lambda call: _day(admitted_ms(call.id)),
    }
    if by not in named:
        raise ValueError(f"calls are not grouped by {by!r}; it may be: {', '.join(GROUPS)}")
    return named[by]


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


def _calls(db: apsw.Connection, from_ms: int, until_ms: int) -> Iterator[_Call]:
    found: Iterator[tuple[Any, ...]] = db.execute(
        f"SELECT {_COLUMNS} FROM entries WHERE id >= ? AND id < ? ORDER BY id",
        (first_id_of_ms(from_ms), first_id_of_ms(until_ms)),
    )
    for entry_id, key_id, agent, upstream, target, tier, tariff, source, estimate, unknown, requests, *rest in found:
        given, read, write_5m, write_1h, made, reasoning, text, list_nusd, book, row, settled_ms, terms = rest
        lines = _lines(text)
        other = tuple((line.kind, line.count) for line in lines if line.kind not in _OWN_KINDS)
        usage = Usage(given, read, write_5m, write_1h, made, reasoning, other)
        yield _Call(
            *(entry_id, key_id, agent, upstream, target, tier, tariff, source, estimate, unknown, requests),
            *(usage, usage.input_total + made, lines, list_nusd, book, row, settled_ms - admitted_ms(entry_id), terms),
        )
