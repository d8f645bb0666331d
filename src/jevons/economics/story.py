"""The familiar story of token prices, checked line by line against the rows: what holds, what does not, and what is true instead.

Comes in: data/story.toml, whose head says what a check is; the price history, until a day. Goes out: `Line`s with a verdict that follows from
their checks alone. Does not know: the ledger, the clock.
"""

import tomllib
from datetime import date
from functools import lru_cache
from importlib import resources
from typing import Literal, NamedTuple

import msgspec

from jevons.core.money import NUSD_PER_USD, format_usd
from jevons.economics.decline import Decline, of_line, of_milestone, of_tier
from jevons.economics.history import PriceRow, price_rows, series
from jevons.economics.quality import MILESTONES
from jevons.meter.lineages import Tier

Verdict = Literal["confirmed", "corrected", "wrong"]
_PER_CENT_EXACT = 1.0
"""A change told in round per cent is right within so many points."""


class _Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    means: str
    kind: Literal["blend", "input", "output"]
    """A kind that every row has a price for."""
    says: float
    price: str = ""
    change: tuple[str, str] | None = None
    milestone: str = ""
    tier: Tier | None = None
    series: str = ""


class _Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    told: str
    truth: str
    check: tuple[_Check, ...]


class Finding(NamedTuple):
    """One check with what the rows say."""

    means: str
    said: str
    found: str
    holds: bool
    rows: tuple[PriceRow, ...]
    """What it rests on."""


class Line(NamedTuple):
    """One line of the story."""

    told: str
    verdict: Verdict
    truth: str
    findings: tuple[Finding, ...]


def story(until: date) -> list[Line]:
    """Every line; halving times are measured over rows until a day."""
    text = resources.files("jevons.economics").joinpath("data/story.toml").read_text(encoding="utf-8")
    told = msgspec.convert(tomllib.loads(text)["line"], list[_Told])
    found = []
    for line in told:
        findings = tuple(_finding(check, until) for check in line.check)
        right = sum(finding.holds for finding in findings)
        verdict: Verdict = "confirmed" if right == len(findings) else "corrected" if right else "wrong"
        found.append(Line(line.told, verdict, " ".join(line.truth.split()), findings))
    return found


def _finding(check: _Check, until: date) -> Finding:
    if check.change is not None:
        return _changed(check, *(_row(name) for name in check.change))
    return _priced(check, _row(check.price)) if check.price else _halved(check, until)


def _priced(check: _Check, row: PriceRow) -> Finding:
    nusd = row.price(check.kind) or 0
    return Finding(check.means, f"${check.says:g}", format_usd(nusd), nusd == round(check.says * NUSD_PER_USD), (row,))


def _changed(check: _Check, before: PriceRow, after: PriceRow) -> Finding:
    old, new = before.price(check.kind) or 0, after.price(check.kind) or 0
    per_cent = 100 * (new - old) / old
    found = f"{format_usd(old)} to {format_usd(new)}, {per_cent:+.0f} %"
    return Finding(check.means, f"{check.says:+.0f} %", found, abs(per_cent - check.says) <= _PER_CENT_EXACT, (before, after))


def _halved(check: _Check, until: date) -> Finding:
    decline = _decline(check, until)
    if decline is None:
        return Finding(check.means, f"at most {check.says:g} months", f"too few prices until {until}", False, ())
    months = decline.halving_months
    found = (
        f"halves in {months:.1f} months" if months is not None else f"does not fall: times {1 / decline.factor_a_year:.2f} a year"
    )
    span = f"{found} ({decline.first} to {decline.last})"
    return Finding(check.means, f"at most {check.says:g} months", span, months is not None and months <= check.says, ())


@lru_cache(maxsize=32)
def _decline(check: _Check, until: date) -> Decline | None:
    if check.milestone:
        return of_milestone(next(m for m in MILESTONES if m.title == check.milestone), until, check.kind)
    if check.tier is not None:
        return of_tier(check.tier, until, check.kind)
    line = next((line for line in series(until=until) if line.name == check.series), None)
    return of_line(line, check.kind) if line is not None else None


def _row(name: str) -> PriceRow:
    """The row that "provider/model@day" names."""
    return next(row for row in price_rows() if f"{row.provider}/{row.model}@{row.date}" == name)
