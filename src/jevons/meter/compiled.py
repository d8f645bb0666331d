"""The price book as it lies on disk: one msgpack file made from genai-prices, without losing a digit or a rule.

Comes in: the file's bytes. Goes out: frozen structs; the models of a provider stay undecoded until somebody asks for them,
so that a book of 2,300 models opens in a few milliseconds.
Does not know: genai_prices (`compiler.py` writes this form), overrides, usage.
"""

import hashlib
import re
from decimal import Decimal
from pathlib import Path

import msgspec

FORMAT = 1
"""Raised when the structs below change; a book of another format is compiled again."""

EVER_MS = 2**62
"""Beyond every instant: an open end of a period."""

DAY_MS = 86_400_000


class BrokenBook(Exception):
    """A compiled price book cannot be read; the message says which file and what to do."""


class Period(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """When a price applies: unix milliseconds [from_ms, until_ms), and within a UTC day [start_ms, end_ms), which may cross
    midnight (start_ms > end_ms). start_ms = -1: all day; equal start and end: never, as genai-prices has it."""

    from_ms: int = -EVER_MS
    until_ms: int = EVER_MS
    start_ms: int = -1
    end_ms: int = -1

    def active(self, at_ms: int) -> bool:
        if not self.from_ms <= at_ms < self.until_ms:
            return False
        if self.start_ms < 0:
            return True
        of_day = at_ms % DAY_MS
        if self.end_ms < self.start_ms:
            return of_day >= self.start_ms or of_day < self.end_ms
        return self.start_ms <= of_day < self.end_ms

    def borders(self, at_ms: int) -> tuple[int, int]:
        """(last border <= at_ms, next border > at_ms): between them `active` does not change."""
        borders = [self.from_ms, self.until_ms, -EVER_MS, EVER_MS]
        if self.start_ms >= 0:
            midnight = at_ms - at_ms % DAY_MS
            borders += [midnight + day + edge for day in (-DAY_MS, 0, DAY_MS) for edge in (self.start_ms, self.end_ms)]
        return max(b for b in borders if b <= at_ms), min(b for b in borders if b > at_ms)


ALWAYS = Period()


class Clause(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One node of genai-prices' match logic. `text` is lower-cased, except a regex, which is searched in the lower-cased name."""

    op: str
    text: str = ""
    parts: tuple["Clause", ...] = ()

    def matches(self, name: str) -> bool:
        """`name` must be lower-cased already."""
        match self.op:
            case "equals":
                return name == self.text
            case "starts_with":
                return name.startswith(self.text)
            case "ends_with":
                return name.endswith(self.text)
            case "contains":
                return self.text in name
            case "or":
                return any(part.matches(name) for part in self.parts)
            case "and":
                return all(part.matches(name) for part in self.parts)
            case _:
                return re.search(self.text, name) is not None


Steps = tuple[tuple[int, str], ...]
"""(above, USD per `Unit.per` units as decimal text), ascending; the first has above = -1. Tiers are cliffs over all input."""


class Unit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a kind is sold by, and where its price comes from when it has none of its own."""

    kind: str
    per: int
    """Vendors quote it per so many: a million tokens, a thousand searches, 3,600 seconds."""
    ancestors: tuple[str, ...]
    """Less specific kinds that contain it, most specific first: cache_write_1h -> cache_write -> input."""


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One dated price of a model: kind -> steps. The last active row of a model applies; if none is, the first."""

    period: Period
    rates: dict[str, Steps]


class Variant(msgspec.Struct, frozen=True, array_like=True):
    """Rates that replace those of the row when the request's context has all of `when`; per kind the first variant wins."""

    when: dict[str, str]
    period: Period
    rates: dict[str, Steps]


class Model(msgspec.Struct, frozen=True, array_like=True):
    """One model of a provider, with all its dated prices."""

    id: str
    name: str
    match: Clause
    rows: tuple[Row, ...]
    variants: tuple[Variant, ...] = ()
    context_window: int | None = None
    comment: str = ""


class Provider(msgspec.Struct, frozen=True, array_like=True):
    """A seller of models; `models` is decoded when first needed."""

    id: str
    name: str
    provider_match: Clause | None
    """Which other provider names mean this one."""
    model_match: Clause | None
    """Which model names point to this provider when none is named: the maker's own."""
    fallbacks: tuple[str, ...]
    """Providers whose prices hold for models that this one resells."""
    models: msgspec.Raw


class Payload(msgspec.Struct, frozen=True, array_like=True):
    """Everything the content hash covers."""

    units: tuple[Unit, ...]
    providers: tuple[Provider, ...]


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """The file."""

    format: int
    source: str
    """Where the prices come from, for people: "genai-prices 0.2.3"."""
    sha256: str
    """Hex digest of `payload`."""
    payload: bytes


def plausible_price(usd: Decimal) -> bool:
    """Finite, not negative, below a billion dollars and of at most 40 decimals: so that exact arithmetic stays small."""
    return usd.is_finite() and 0 <= usd < 10**9 and -int(usd.as_tuple().exponent) <= 40


_models = msgspec.msgpack.Decoder(tuple[Model, ...])


def decode_models(provider: Provider) -> tuple[Model, ...]:
    return _models.decode(provider.models)


def seal(source: str, payload: Payload) -> bytes:
    """The bytes of a book file."""
    encoded = msgspec.msgpack.encode(payload)
    return msgspec.msgpack.encode(Envelope(FORMAT, source, hashlib.sha256(encoded).hexdigest(), encoded))


def unseal(data: bytes, name: str) -> tuple[Envelope, Payload]:
    """Decode and verify a book file. Raises BrokenBook, naming `name`."""
    try:
        envelope = msgspec.msgpack.decode(data, type=Envelope)
        if envelope.format != FORMAT:
            raise BrokenBook(f"{name} has format {envelope.format}, this version reads {FORMAT}: run `jevons prices update`")
        if hashlib.sha256(envelope.payload).hexdigest() != envelope.sha256:
            raise BrokenBook(f"{name} is damaged (its content does not have the hash it states): delete it, it is made again")
        return envelope, msgspec.msgpack.decode(envelope.payload, type=Payload)
    except msgspec.DecodeError as error:
        raise BrokenBook(f"{name} is not a compiled price book ({error}): delete it, it is made again") from error


def read_book(path: Path) -> tuple[Envelope, Payload]:
    """Read a compiled book. Raises BrokenBook; OSError if there is no such file."""
    return unseal(path.read_bytes(), str(path))
