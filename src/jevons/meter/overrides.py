"""Dated prices of the operator's own, over those of the book: prices.toml.

Comes in: TOML files (the packaged data/local_prices.toml, then JEVONS_HOME/prices.toml). Goes out: `Override` values, in order.
Does not know: the book they are put over, the clock.

    [[price]]
    provider = "openai"                 # as the upstream's `provider`, or a pattern; left out: every provider
    model = "gpt-4o*"                   # as the upstream is asked, or the id in the book, or a pattern; left out: every model
    from = 2026-01-01                   # a date (UTC midnight) or a date and time; left out: always was
    until = 2027-01-01                  # the first instant at which it no longer holds; left out: for ever
    hours = "16:30-00:30"               # each day, UTC, may cross midnight
    when = { service_tier = "flex" }    # only requests with this context
    input = "2.50"                      # USD per million tokens: a string or a number, read exactly
    cache_read = 0.25                   # … and any other token kind: cache_write_5m, cache_write_1h, output, reasoning,
    output = "10"                       #   input_audio, input_image, output_audio, …
    units = { web_searches = "0.01" }   # USD for ONE search, request, page, second, …

    [[price.tier]]                      # from more than `above` input tokens on, the whole request costs
    above = 200_000
    input = "5.00"

Instead of rates, one of:

    discount = "15%"                    # off everything beneath: the book's row and earlier entries of these files
    free = true                         # this model costs nothing, and that is stated, not unknown

What an entry states replaces that kind in every tier; what it does not state stays as it was. Later entries win.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from fnmatch import fnmatchcase
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from jevons.core.money import NUSD_PER_USD
from jevons.meter.compiled import EVER_MS, Period, plausible_price
from jevons.meter.rates import FALLBACK_KINDS, Ladder, Rates, scaled

PACKAGED = "local_prices.toml"
TOKENS_PER_QUOTE = 1_000_000
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*[-–]\s*([01]\d|2[0-3]):([0-5]\d)")

UNIT_KINDS = (
    *("web_searches", "social_searches", "storage_searches", "code_executions", "rerank_searches", "requests"),
    *("audio_seconds", "input_audio_seconds", "output_audio_seconds", "input_characters", "input_pixels"),
    *("input_document_pages", "input_annotated_document_pages", "input_text_messages"),
)
"""Billed units that are not tokens (genai-prices' usage keys)."""
QUOTED_KINDS = (*(kind for kind in FALLBACK_KINDS if kind not in UNIT_KINDS), "reasoning")
"""Token kinds an entry may state, in USD per million."""
_OTHER_KEYS = ("provider", "model", "from", "until", "hours", "when", "units", "tier", "discount", "free")


class BadOverride(Exception):
    """A price file cannot be used; the message names file, entry and what to write."""


class Override(msgspec.Struct, frozen=True):
    """One [[price]] entry."""

    source: str
    """File name and number of the entry: "prices.toml#2"."""
    provider: str
    model: str
    period: Period = Period()
    when: dict[str, str] = {}
    rates: Rates = {}
    """Nano-USD per unit."""
    factor: Fraction = Fraction(1)
    """1 - discount."""
    free: bool = False

    def covers(self, providers: tuple[str, ...], models: tuple[str, ...]) -> bool:
        """Whether it speaks of this model; names lower-cased. A name that looks like a pattern still equals itself."""
        return any(self.provider == p or fnmatchcase(p, self.provider) for p in providers) and any(
            self.model == m or fnmatchcase(m, self.model) for m in models
        )

    def applies(self, at_ms: int, context: Mapping[str, str]) -> bool:
        return self.period.active(at_ms) and all(context.get(key) == value for key, value in self.when.items())

    def canonical(self) -> str:
        """What it says, without comments and layout: the part of the book's hash that it stands for."""
        rates = {kind: [[above, str(rate)] for above, rate in steps] for kind, steps in self.rates.items()}
        period = [self.period.from_ms, self.period.until_ms, self.period.start_ms, self.period.end_ms]
        parts = [self.provider, self.model, period, self.when, rates, str(self.factor), self.free]
        return json.dumps(parts, sort_keys=True)


def price_files(home: Path | None = None) -> dict[str, str]:
    """File name -> text: the packaged entries, then those of `home`/prices.toml if it is there. Raises BadOverride."""
    found = {PACKAGED: files("jevons.meter").joinpath("data", PACKAGED).read_text("utf-8")}
    if home is not None:
        path = home / "prices.toml"
        try:
            found[str(path)] = path.read_text("utf-8")
        except FileNotFoundError:
            pass  # most people need none
        except (OSError, UnicodeDecodeError) as error:
            raise BadOverride(f"{path} cannot be read: {error}") from error
    return found


def load_overrides(texts: Mapping[str, str]) -> tuple[Override, ...]:
    """The entries of several files (`price_files`), in order. Raises BadOverride."""
    return tuple(entry for file, text in texts.items() for entry in parse_overrides(text, file))


def parse_overrides(text: str, file: str) -> tuple[Override, ...]:
    """Entries of one file's text; `file` is named in errors. Raises BadOverride."""
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise BadOverride(f"{file} is not TOML: {error}") from error
    entries = document.pop("price", [])
    if document:
        raise BadOverride(f"{file}: unknown key {next(iter(document))!r}; each price is a table that begins with [[price]]")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadOverride(f"{file}: write [[price]] with two brackets, once for each price")
    return tuple(_Entry(entry, file, number).read() for number, entry in enumerate(entries, 1))


class _Entry:
    """Reads one [[price]] table; knows its place, for the error messages."""

    def __init__(self, table: dict[str, Any], file: str, number: int) -> None:
        self.table = table
        self.source = f"{Path(file).name}#{number}"
        who = f" ({table.get('provider', '*')}/{table.get('model', '*')})" if {"provider", "model"} & table.keys() else ""
        self.place = f"{file}, [[price]] number {number}{who}"

    def bad(self, what: str) -> BadOverride:
        return BadOverride(f"{self.place}: {what}")

    def read(self) -> Override:
        self._known(self.table, (*_OTHER_KEYS, *QUOTED_KINDS))
        discount, free = self._discount(), self._flag("free")
        rates = self._rates()
        if (discount is not None) + free + bool(rates) != 1:
            raise self.bad('state exactly one of: rates such as input = "2.50", discount = "15%", or free = true')
        return Override(
            self.source,
            self._name("provider"),
            self._name("model"),
            self._period(),
            self._when(),
            rates,
            Fraction(1) if discount is None else 1 - discount,
            free,
        )

    def _known(self, table: dict[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                close = get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else "it may be: " + ", ".join(known)
                raise self.bad(f"unknown key {key!r}; {hint}")

    def _name(self, key: str) -> str:
        value = self.table.get(key, "*")
        if not isinstance(value, str) or not value.strip():
            raise self.bad(f'{key} = {value!r} is not a name; write for example {key} = "gpt-4o*"')
        return value.strip().lower()

    def _flag(self, key: str) -> bool:
        value = self.table.get(key, False)
        if not isinstance(value, bool):
            raise self.bad(f"{key} = {value!r}; write {key} = true")
        return value

    def _number(self, key: str, value: object) -> Fraction:
        """A price: a decimal that is not negative, from a TOML string, integer or float (read as a decimal)."""
        try:
            if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
                raise InvalidOperation
            amount = Decimal(value.strip().removeprefix("$") if isinstance(value, str) else value)
            if not plausible_price(amount):
                raise InvalidOperation
        except InvalidOperation:
            raise self.bad(f'{key} = {value!r} is not a price; write dollars such as {key} = "2.50"') from None
        return Fraction(amount)

    def _rates(self) -> Rates:
        steps: dict[str, list[tuple[int, Fraction]]] = {}
        for kind in QUOTED_KINDS:
            if kind in self.table:
                steps[kind] = [(-1, self._number(kind, self.table[kind]) * NUSD_PER_USD / TOKENS_PER_QUOTE)]
        self._tiers(steps)
        rates: Rates = {kind: tuple(ladder) for kind, ladder in steps.items()}
        units = self.table.get("units", {})
        if not isinstance(units, dict):
            raise self.bad('write units = { web_searches = "0.01" }, in dollars for one')
        self._known(units, UNIT_KINDS)
        for kind, value in units.items():
            rates[kind] = ((-1, self._number(f"units.{kind}", value) * NUSD_PER_USD),)
        return rates

    def _tiers(self, steps: dict[str, list[tuple[int, Fraction]]]) -> None:
        tiers = self.table.get("tier", [])
        if not isinstance(tiers, list) or not all(isinstance(tier, dict) for tier in tiers):
            raise self.bad("write a tier as a table of its own: [[price.tier]], above = 200_000, then its rates")
        last = -1
        for tier in tiers:
            self._known(tier, ("above", *QUOTED_KINDS))
            above = tier.get("above")
            if not isinstance(above, int) or isinstance(above, bool) or above <= last:
                raise self.bad(f"a tier needs above = a number of input tokens, larger than the tier before; it has {above!r}")
            last = above
            for kind, value in tier.items():
                if kind == "above":
                    continue
                if kind not in steps:
                    raise self.bad(f"{kind} has a rate above {above:,} tokens but none below; state {kind} outside the tier too")
                steps[kind].append((above, self._number(kind, value) * NUSD_PER_USD / TOKENS_PER_QUOTE))

    def _discount(self) -> Fraction | None:
        value = self.table.get("discount")
        if value is None:
            return None
        if isinstance(value, str) and value.strip().endswith("%"):
            percent = self._number("discount", value.strip()[:-1].strip())
            if 0 < percent < 100:
                return percent / 100
        raise self.bad(f'discount = {value!r}; write a percentage between 0 and 100 such as discount = "15%"')

    def _when(self) -> dict[str, str]:
        value = self.table.get("when", {})
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise self.bad('write when = { service_tier = "flex" }')
        return value

    def _instant(self, key: str, default: int) -> int:
        value = self.table.get(key)
        if value is None:
            return default
        if isinstance(value, datetime):
            moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        elif isinstance(value, date):
            moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
        else:
            raise self.bad(f"{key} = {value!r} is not a date; write {key} = 2026-01-01, without quotes")
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)

    def _period(self) -> Period:
        from_ms, until_ms = self._instant("from", -EVER_MS), self._instant("until", EVER_MS)
        if from_ms >= until_ms:
            raise self.bad("until must be later than from")
        hours = self.table.get("hours")
        if hours is None:
            return Period(from_ms, until_ms)
        found = _CLOCK.fullmatch(hours.strip()) if isinstance(hours, str) else None
        start, end = ((int(found[h]) * 60 + int(found[m])) * 60_000 for h, m in ((1, 2), (3, 4))) if found else (0, 0)
        if start == end:
            raise self.bad(f'hours = {hours!r}; write two different times of the UTC day such as hours = "16:30-00:30"')
        return Period(from_ms, until_ms, start, end)


def override_line(provider: str, model: str, kinds: tuple[str, ...] = ()) -> str:
    """The entry to paste into prices.toml for what has no price: every "?" is for the reader to fill in.

    kinds: what is missing; none means the model as a whole.
    """
    missing = kinds or ("input", "output")
    lines = ["[[price]]", f"provider = {json.dumps(provider)}", f"model = {json.dumps(model)}"]
    lines += [f'{kind} = "?"  # USD per million tokens' for kind in missing if kind not in UNIT_KINDS]
    units = ", ".join(f'{kind} = "?"' for kind in missing if kind in UNIT_KINDS)
    if units:
        lines.append(f"units = {{ {units} }}  # USD for one")
    return "\n".join(lines)


def replaced(rates: Rates, override: Override, kinds: tuple[str, ...]) -> Rates:
    """`rates` with one override applied; `kinds` is everything that can be billed, for `free`."""
    if override.free:
        return dict.fromkeys(kinds, _NOTHING)
    if override.factor != 1:
        return scaled(rates, override.factor)
    return {**rates, **override.rates}


_NOTHING: Ladder = ((-1, Fraction(0)),)
