"""List prices since 2020 and the scores of the models they buy: rows with their sources, and which row follows which.

Comes in: data/price_history.csv and data/model_scores.csv, whose heads explain every column. Goes out: `PriceRow`s, chosen by model,
lineage, tier or day; each `Step` from a row to the one before it, input compared with input and output with output; and the `Series`
of a provider's line. Does not know: the ledger, the price book, the clock.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from importlib import resources
from typing import Literal, NamedTuple

from jevons.core.money import NUSD_PER_USD
from jevons.meter.lineages import Lineage, Tier, blended, lineage_of

Kind = Literal["blend", "input", "output", "cached"]
"""Which price of a row: blend is three parts of input to one of output."""

CHEAPEST_HOST = "cheapest-host"
"""The provider of rows that are the lowest quote of many hosts: what a buyer could find, but no vendor's list price."""
_UNFITTED = "approx_month"
"""A date known to the month only, from a secondary source: shown, never fitted."""


class NotInHistory(Exception):
    """No row is about it; the message says what there is."""


class PriceRow:
    """One row of the price history; money in nano-USD for a million tokens."""

    def __init__(self, row: dict[str, str]) -> None:
        self.date = date.fromisoformat(row["date"])
        self.provider = row["provider"]
        self.model = row["model"]
        self.variant = row["variant"]
        self.input_nusd = _nusd(row["input"])
        self.output_nusd = _nusd(row["output"])
        self.cached_nusd = _nusd(row["cached"]) if row["cached"] else None
        self.event = row["event"]
        self.basis = row["basis"]
        self.confidence = row["confidence"]
        self.sources = tuple(_sources()[code] for code in row["source"].split())
        self.note = row["note"]

    @cached_property
    def lineage(self) -> Lineage:
        return lineage_of(self.provider, self.model, self.blend_nusd)

    @property
    def blend_nusd(self) -> int:
        return blended(self.input_nusd, self.output_nusd)

    @property
    def dated(self) -> bool:
        """Whether its day is good enough for a fit."""
        return self.basis != _UNFITTED

    def price(self, kind: Kind) -> int | None:
        return {"blend": self.blend_nusd, "input": self.input_nusd, "output": self.output_nusd, "cached": self.cached_nusd}[kind]

    def as_dict(self) -> dict[str, object]:
        """For --json: stable keys."""
        return {
            "date": self.date.isoformat(), "provider": self.provider, "model": self.model, "variant": self.variant,
            "line": self.lineage.line, "vendor": self.lineage.vendor, "tier": self.lineage.tier,
            "input_nusd_per_mtok": self.input_nusd, "output_nusd_per_mtok": self.output_nusd,
            "cached_nusd_per_mtok": self.cached_nusd, "event": self.event, "basis": self.basis, "confidence": self.confidence,
            "sources": list(self.sources), "note": self.note,
        }  # fmt: skip


class Score(NamedTuple):
    """One measured score of a model; a model may have several, by reporter or by reasoning effort."""

    benchmark: str
    model: str
    version: str
    score: float
    released: date
    setting: str


class Step(NamedTuple):
    """A row and the one it follows: an earlier price of the same model, or of its predecessor in the provider's line."""

    row: PriceRow
    before: PriceRow | None
    succeeds: bool
    """Whether `before` is another model's price."""

    def change(self, kind: Kind) -> float | None:
        """Part by which this kind's price changed, -0.5 for half; None where either is not known."""
        if self.before is None or not (old := self.before.price(kind)) or (new := self.row.price(kind)) is None:
            return None
        return new / old - 1


class Series(NamedTuple):
    """The plain prices of one provider's line through time: always those of the newest model in it."""

    provider: str
    lineage: Lineage
    rows: tuple[PriceRow, ...]
    """By day; a model that has been succeeded no longer counts."""

    @property
    def name(self) -> str:
        """ "anthropic sonnet", and the host where it is not the vendor's own: "meta llama 70b at groq"."""
        vendor, line, _ = self.lineage
        at = "" if self.provider == vendor else f" at {self.provider}"
        return (line if line.startswith(vendor) else f"{vendor} {line}") + at

    def at(self, day: date) -> PriceRow | None:
        """The row that holds on a day."""
        return next((row for row in reversed(self.rows) if row.date <= day), None)


def price_rows() -> tuple[PriceRow, ...]:
    """All rows, by day, the announced ones at the end."""
    return _prices()


@lru_cache(maxsize=1)
def scores() -> tuple[Score, ...]:
    return tuple(
        Score(
            row["benchmark"],
            row["model"],
            row["version"],
            float(row["score"]),
            date.fromisoformat(row["released"]),
            row["setting"],
        )
        for row in csv.DictReader(data_lines("model_scores.csv"))
    )


def best_score(benchmark: str, of: Callable[[Sequence[float]], float] = max) -> dict[str, float]:
    """Score of each model on a benchmark; `of` joins several (median: of reporters; max: the best setting)."""
    found: dict[str, list[float]] = defaultdict(list)
    for score in scores():
        if score.benchmark == benchmark:
            found[score.model].append(score.score)
    return {model: of(values) for model, values in found.items()}


def choose(
    model: str | None = None,
    *,
    lineage: str | None = None,
    tier: Tier | None = None,
    provider: str | None = None,
    since: date = date.min,
    until: date = date.max,
) -> list[PriceRow]:
    """Rows about a model (its name, a shell glob, or a part of it), a line ("sonnet", "openai/gpt mini") and a tier, in [since, until].

    Raises NotInHistory, with suggestions, if a name fits nothing at all.
    """
    found = [row for row in price_rows() if tier in (None, row.lineage.tier) and provider in (None, row.provider)]
    if lineage is not None:
        wanted = lineage.lower().replace("/", " ")
        lines = {row.lineage for row in price_rows()}
        found = [row for row in found if wanted in (row.lineage.line, " ".join(row.lineage[:2]))]
        if not any(wanted in (line.line, " ".join(line[:2])) for line in lines):
            raise NotInHistory(f"No line is called {lineage!r}; there are: {', '.join(sorted({line.line for line in lines}))}.")
    if model is not None:
        names = _names_like(model.lower().rpartition("/")[2], sorted({row.model for row in price_rows()}))
        found = [row for row in found if row.model in names]
    return [row for row in found if since <= row.date <= until]


def steps(rows: Iterable[PriceRow]) -> list[Step]:
    """Each row with the one it follows in the whole history."""
    followed = _followed()
    return [Step(row, *followed[row]) for row in rows]


def series(*, tier: Tier | None = None, until: date = date.max) -> tuple[Series, ...]:
    """Every provider's line (hosts of open weights are providers), by name."""
    lines: dict[tuple[str, Lineage], list[PriceRow]] = defaultdict(list)
    for row in price_rows():
        if row.provider != CHEAPEST_HOST and not row.variant and row.date <= until and tier in (None, row.lineage.tier):
            lines[row.provider, row.lineage].append(row)
    found = [Series(provider, lineage, _newest_model_only(rows)) for (provider, lineage), rows in lines.items()]
    return tuple(sorted(found, key=lambda line: line.name))


def data_lines(name: str) -> list[str]:
    """Lines of a data file of this room, without its comments."""
    return [line for line in _text(name).splitlines() if not line.startswith("#")]


def _newest_model_only(rows: list[PriceRow]) -> tuple[PriceRow, ...]:
    kept: list[PriceRow] = []
    seen: set[str] = set()
    for row in rows:
        if not kept or row.model == kept[-1].model or row.model not in seen:
            kept.append(row)
        seen.add(row.model)
    return tuple(kept)


@lru_cache(maxsize=1)
def _followed() -> dict[PriceRow, tuple[PriceRow | None, bool]]:
    by_model: dict[tuple[str, str, str], PriceRow] = {}
    by_line: dict[tuple[str, Lineage], PriceRow] = {}
    found: dict[PriceRow, tuple[PriceRow | None, bool]] = {}
    for row in price_rows():
        same = by_model.get((row.provider, row.model, row.variant))
        line = (row.provider, row.lineage)
        own_line = not row.variant and row.provider != CHEAPEST_HOST
        found[row] = (same, False) if same or not own_line else (by_line.get(line), line in by_line)
        if own_line and (same is None or by_line[line].model == row.model):
            by_line[line] = row
        by_model[row.provider, row.model, row.variant] = row
    return found


def _names_like(wanted: str, names: list[str]) -> set[str]:
    for fits in (lambda name: name == wanted, lambda name: fnmatchcase(name, wanted), lambda name: wanted in name):
        if found := {name for name in names if fits(name)}:
            return found
    close = ", ".join(get_close_matches(wanted, names, n=5))
    raise NotInHistory(f"The price history has no model like {wanted!r}{f'; did you mean {close}?' if close else '.'}")


@lru_cache(maxsize=1)
def _prices() -> tuple[PriceRow, ...]:
    return tuple(PriceRow(row) for row in csv.DictReader(data_lines("price_history.csv")))


@lru_cache(maxsize=1)
def _sources() -> dict[str, str]:
    """Source code -> where that is, from the head of the file."""
    head = (
        line.removeprefix("# source ").partition(" = ")
        for line in _text("price_history.csv").splitlines()
        if line.startswith("# source ")
    )
    return {code: words for code, equals, words in head if equals}


def _text(name: str) -> str:
    return resources.files("jevons.economics").joinpath("data", name).read_text(encoding="utf-8")


def _nusd(usd: str) -> int:
    nusd = Decimal(usd) * NUSD_PER_USD
    if nusd != int(nusd):
        raise ValueError(f"{usd} dollars are no whole number of nano-dollars")
    return int(nusd)
