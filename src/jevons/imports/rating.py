"""A `Record` becomes an entry of the ledger: its list cost, what was billed, its tariff and tier.

Comes in: records, a price book (with a rate card of the operator's over it), the key they belong to. Goes out: entries, and a tally of what
has no price. List cost is the book's at the row's own instant, or the source's own where it names rates or a list cost. Billed is what the source
says; where it does not, the list cost, or nothing under a subscription. A price that nobody knows is unknown, never free.
Does not know: files, formats, the disk.
"""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import msgspec

from jevons.core.entry import Entry, Estimate, Hold, Outcome, first_id_of_ms
from jevons.core.money import NUSD_PER_USD
from jevons.core.price import Line, Price, PriceTier, UnpricedKind, charge, tariff_of
from jevons.core.saving import Saving
from jevons.core.usage import REQUESTS, Usage
from jevons.imports.record import UNTOLD, Record
from jevons.meter.genai import ensure_book, install_bytes
from jevons.meter.lineages import lineage_of
from jevons.meter.overrides import BadOverride, load_overrides, override_line, price_files
from jevons.meter.pricebook import BILLED, UNBILLED, PriceBook, Recipe, open_book
from jevons.meter.rates import Rates, price_of
from jevons.policy.savings import marked_by, savings_of

TOLD = "told"
"""Kind of the line of a cost that its source told as one sum."""
FROM_SOURCE = "import"
"""What names the run of an imported row."""
_TOKENS_PER_QUOTE = 1_000_000
_NO_USAGE = Usage()


class Unpriced(msgspec.Struct):
    """What has no price, and how much of it there is."""

    provider: str
    model: str
    kinds: tuple[str, ...] = ()
    """Without a rate of their own; () = the model as a whole."""
    rows: int = 0
    tokens: int = 0

    @property
    def line(self) -> str:
        """The entry of prices.toml, or of a rate card, that would price it."""
        return override_line(self.provider, self.model, self.kinds)


class _Listed(NamedTuple):
    """What a row is at list price."""

    lines: tuple[Line, ...]
    nusd: int
    known: bool = True
    savings: tuple[Saving, ...] = ()


class Rater:
    """Rates records, and remembers what had no price."""

    def __init__(self, book: PriceBook, *, subscription: bool = False) -> None:
        self._book = book
        self._subscription = subscription
        self.unpriced: dict[tuple[str, str, tuple[str, ...]], Unpriced] = {}
        self.rated_plain: dict[tuple[str, str], int] = {}
        """(row of the book, "service_tier=flex") -> rows of that tariff that were rated at the plain rates: the book has no other of that time."""

    def entry(self, record: Record, source: str, key_id: int) -> Entry:
        """The entry of a record. Of its id only the millisecond counts: the ledger finds its place there."""
        usage = record.usage if record.usage is not None else _NO_USAGE
        size = _size(record, usage)
        price = self._price(record)
        listed = self._list(record, usage, price, size)
        billed = record.billed_nusd if record.billed_nusd is not None else listed.nusd
        if self._subscription or record.outcome is Outcome.FREE:
            billed = 0
        upstream = self._upstream(record)
        unknown = record.unknown if listed.known else (*record.unknown, "price")
        hold = Hold(
            id=first_id_of_ms(record.at_ms),
            key_id=key_id,
            run_id=record.run,
            dialect="",
            model=record.asked or record.model,
            target=record.model,
            upstream=upstream,
            stream=False,
            held_nusd=billed,
            list_held_nusd=listed.nusd,
            input_tokens=0,
            input_bound="",
            output_tokens=0,
            price_book=price.book if price is not None else "",
            price_row=price.row if price is not None else "",
            chain=b"",
            messages=0,
            agent=record.agent,
            parent_run_id=record.parent_run,
            run_source=FROM_SOURCE if record.run is not None else "",
            tier=lineage_of(upstream, record.model).tier,
        )
        return Entry(
            hold=hold,
            outcome=record.outcome,
            status=0,
            usage=usage,
            lines=listed.lines,
            list_nusd=listed.nusd,
            billed_nusd=billed,
            estimate=Estimate.NONE,
            settled_ms=record.at_ms + record.span_ms,
            tariff=tariff_of(price, size) if price is not None else _said(record),
            source=source,
            requests=record.requests,
            unknown=",".join(unknown),
            savings=listed.savings,
        )

    def _price(self, record: Record) -> Price | None:
        if record.usage is None:
            return None
        if record.rates:
            return _stated(record)
        context = dict(record.context)
        if self._subscription or record.billed_nusd == 0:
            context[BILLED] = UNBILLED
        price = self._book.price(record.provider, record.model, record.at_ms, context)
        if record.context and price is not None and not set("?+") & set(price.row):
            plain = (price.row, _said(record))
            self.rated_plain[plain] = self.rated_plain.get(plain, 0) + 1
        return price

    def _upstream(self, record: Record) -> str:
        """The provider as the source spells it, else the model's maker."""
        return record.provider or self._book.catalogue.maker(record.model) or UNTOLD

    def _list(self, record: Record, usage: Usage, price: Price | None, size: int) -> _Listed:
        missing: tuple[str, ...] = ()
        if price is not None and record.list_nusd is None:
            try:
                return _charged(record, usage, price, size)
            except UnpricedKind as error:
                missing = tuple(error.kinds)
        counts, told = usage.counts(), record.list_nusd
        if told is None and (record.billed_nusd or not counts):  # 0 for tokens says that its source has no price either
            told = record.billed_nusd
        if told is not None:
            kind, number = counts[0] if len(counts) == 1 else (TOLD, 1)
            return _Listed((Line(kind, number, told, 0),) if told else (), told)
        self._note(record, usage, missing)
        return _Listed(tuple(Line(kind, number, 0, 0) for kind, number in counts), 0, known=False)

    def _note(self, record: Record, usage: Usage, missing: tuple[str, ...]) -> None:
        provider = self._upstream(record)
        provider = "*" if provider == UNTOLD else provider
        found = self.unpriced.setdefault((provider, record.model, missing), Unpriced(provider, record.model, missing))
        found.rows += 1
        found.tokens += usage.input_total + usage.output


def open_rates(home: Path, card: Path | None) -> PriceBook:
    """The price book in use, with a rate card over it: a file of [[price]] tables like prices.toml. Raises BadOverride.

    Book and card are kept together as one book, so that its entries can be rated again.
    """
    if card is None:
        return open_book(home)
    try:
        text = card.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadOverride(f"{card} cannot be read: {error}") from None
    path, texts = ensure_book(home), {**price_files(home), str(card.absolute()): text}
    book = PriceBook.load(path, load_overrides(texts))
    install_bytes(path.with_name(f"{book.hash}.json"), msgspec.json.encode(Recipe(path.name, texts)))
    return book


def _size(record: Record, usage: Usage) -> int:
    """Input tokens of one call, which decide the context tier: told, or the mean of a bucket's; of a bucket without a number of calls 0."""
    if record.size is not None:
        return record.size
    if not record.span_ms:
        return usage.input_total
    return usage.input_total // record.requests if record.requests else 0


def _charged(record: Record, usage: Usage, price: Price, size: int) -> _Listed:
    """What the usage costs at the tier of one call's size, and what the provider's cache saved of it; a bucket pays for each of its requests
    where requests are billed."""
    if REQUESTS in price.tiers[0].nums and record.requests:
        usage = msgspec.structs.replace(usage, other=(*usage.other, (REQUESTS, record.requests)))
    if record.span_ms and len(price.tiers) > 1:
        price = msgspec.structs.replace(price, tiers=(PriceTier(-1, price.tier(size).nums),))
    cost = charge(usage, price)
    return _Listed(cost.lines, cost.nusd, savings=savings_of(usage, price, cost.nusd, markers=marked_by(record.model)))


def _said(record: Record) -> str:
    """The tariff as the source names it."""
    return ",".join(f"{name}={value}" for name, value in record.context)


def _stated(record: Record) -> Price:
    """The source's own rates."""
    rates: Rates = {kind: ((-1, Fraction(usd) * NUSD_PER_USD / _TOKENS_PER_QUOTE),) for kind, usd in record.rates}
    return price_of(rates, f"{record.provider}/{record.model}", "")
