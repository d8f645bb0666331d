"""What the provider's prompt cache does for a model: the first row of data/prompt_cache.toml that fits.

Comes in: whose prices apply, and a model as an upstream is asked. Goes out: a `PromptCache`: the rules that planner, bench and gateway
share, and by which member a block is marked. Does not know: prices, requests.
"""

import tomllib
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources
from typing import Literal

import msgspec

from jevons.core.cache_rules import CacheRules, Style, Ttl
from jevons.core.limits import MODEL_FACTS_MEMO_MAX
from jevons.core.usage import INPUT

DATA = "data/prompt_cache.toml"
Marker = Literal["", "cache_control", "prompt_cache_breakpoint"]


class BadRules(Exception):
    """The data file cannot be used; the message names the row and what is wrong with it."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of the file; its head explains every field."""

    name: str
    provider: str
    match: tuple[str, ...]
    style: Style
    source: str
    marker: Marker = ""
    ttls: tuple[tuple[str, int, Literal["input", "cache_write_5m", "cache_write_1h"]], ...] = ()
    min_tokens: int = 0
    step_tokens: int = 1
    breakpoints_max: int = 0
    lookback_blocks: int = 0
    refreshes: bool = True
    by_itself: bool = False
    keyed: bool = False


class PromptCache(msgspec.Struct, frozen=True):
    """The prompt cache of one model."""

    name: str
    """Of the row; "none" = no row fits."""
    rules: CacheRules
    marker: Marker = ""
    source: str = ""


NO_CACHE = PromptCache("none", CacheRules(Style.NONE))


@lru_cache(maxsize=MODEL_FACTS_MEMO_MAX)
def prompt_cache(provider: str, model: str) -> PromptCache:
    """Of a model by its name, as a provider or a router spells it. `NO_CACHE` where no row fits. Raises BadRules for a broken file."""
    name = model.lower()
    spellings = (name.rpartition("/")[2], name)
    for row, cache in _load():
        if row.provider == provider and any(fnmatchcase(text, pattern) for pattern in row.match for text in spellings):
            return cache
    return NO_CACHE


def prompt_rules(provider: str, model: str) -> CacheRules:
    """The same, its rules alone."""
    return prompt_cache(provider, model).rules


def rows() -> tuple[Row, ...]:
    """All rows, in the order in which they are tried."""
    return tuple([row for row, _ in _load()])


def read_rows(text: str) -> list[tuple[Row, PromptCache]]:
    """What stands in a file's text. Raises BadRules naming the row."""
    try:
        tables = tomllib.loads(text).get("row", [])
    except tomllib.TOMLDecodeError as error:
        raise BadRules(f"{DATA} is not valid TOML: {error}.") from None
    found: list[tuple[Row, PromptCache]] = []
    for number, table in enumerate(tables, 1):
        named = f"{DATA}, row {number} ({table.get('name', 'without a name')!r})"
        try:
            row = msgspec.convert(table, Row)
        except msgspec.ValidationError as error:
            raise BadRules(f"{named}: {error}.") from None
        if problem := _problem(row):
            raise BadRules(f"{named}: {problem}.")
        found.append((row, PromptCache(row.name, _rules(row), row.marker, row.source)))
    return found


def _problem(row: Row) -> str:
    """Why a row makes no sense, or ""."""
    seconds = [ttl[1] for ttl in row.ttls]
    checks = (
        (not row.match, "match is empty, so that it fits no model"),
        (
            any(pattern != pattern.lower() for pattern in row.match),
            "a pattern of match has capitals; names are compared in lower case",
        ),
        ((row.style is Style.NONE) == bool(row.ttls), "ttls must be given, unless style is none"),
        ((row.style is Style.EXPLICIT) != bool(row.marker), "marker belongs to style explicit, and to no other"),
        (
            (row.style is Style.EXPLICIT) != (row.breakpoints_max > 0),
            "breakpoints_max belongs to style explicit, and to no other",
        ),
        (row.style is Style.AUTOMATIC and not row.by_itself, "style automatic caches by_itself"),
        (seconds != sorted(set(seconds)) or any(n <= 0 for n in seconds), "ttls must be of whole seconds, shortest first"),
        (
            row.style is Style.AUTOMATIC and any(ttl[2] != INPUT for ttl in row.ttls),
            "style automatic: no write can be chosen or billed",
        ),
        (
            min(row.min_tokens, row.lookback_blocks, row.breakpoints_max) < 0 or row.step_tokens < 1,
            "a count is negative, or step_tokens 0",
        ),
    )
    return next((text for wrong, text in checks if wrong), "")


def _rules(row: Row) -> CacheRules:
    return CacheRules(
        row.style,
        tuple([Ttl(name, seconds, kind) for name, seconds, kind in row.ttls]),
        min_tokens=row.min_tokens,
        step_tokens=row.step_tokens,
        breakpoints_max=row.breakpoints_max,
        lookback_blocks=row.lookback_blocks,
        refreshes=row.refreshes,
        by_itself=row.by_itself,
        keyed=row.keyed,
    )


@lru_cache(maxsize=1)
def _load() -> list[tuple[Row, PromptCache]]:
    return read_rows(resources.files("jevons.meter").joinpath(DATA).read_text(encoding="utf-8"))
