"""The page *Bill* and what lies beneath it: period, explanation, part, run, entry, line; every figure is a link to the rows that it sums.

Comes in: what a browser asks for, in the address. Goes out: answers made in threads, so that a long question holds up no call. Does not
know: who may ask.
"""

import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from jevons.dashboard import rows
from jevons.dashboard.answers import Answers
from jevons.dashboard.aside import aside
from jevons.dashboard.guard import Handler
from jevons.dashboard.rows import BY, Part, Period, day_text
from jevons.dashboard.why import Why
from jevons.economics.routing import routing
from jevons.economics.savings import REASONS, savings
from jevons.ledger import runs
from jevons.ledger.errors import LedgerError
from jevons.ledger.rollup import DAY_MS

DAYS_SHOWN = 30
DAYS_MAX = 3_660
"""Ten years, a mark for each day: more is a slip of the pen."""
FIRST_YEAR, LAST_YEAR = 1970, 2199
"""Days that a ledger can have, as commands take them."""


class BillPages:
    """Handlers over the ledger's file."""

    def __init__(self, ledger: Path, answers: Answers) -> None:
        self._ledger = ledger
        self._page = answers.page
        self._whys = Why(ledger)

    def doors(self) -> tuple[tuple[str, Handler], ...]:
        return (
            ("/bill", self._bill),
            ("/bill/why", self._why),
            ("/bill/segments", self._segments),
            ("/runs", self._runs),
            ("/entries", self._entries),
            ("/corrections", self._corrections),
            ("/run", self._run),
            ("/request", self._request),
        )

    async def _bill(self, request: Request) -> Response:
        period, base = periods(request)
        by = request.query_params.get("by", "day")
        if by not in BY:
            raise LedgerError(f"A bill is read by {', '.join(BY)}; not by {by!r}")
        found = await aside(self._read, by, period, base)
        return await self._page(
            request, "bill", by=by, ways=BY, reasons=REASONS, presets=presets(), **said(period, base), **found
        )

    def _read(self, by: str, period: Period, base: Period) -> dict[str, Any]:
        found: dict[str, Any] = {"any": rows.anything(self._ledger)}
        if not found["any"]:
            return found
        found |= {"now": rows.totals(self._ledger, period), "before": rows.totals(self._ledger, base)}
        found["saved"] = savings(self._ledger, since_ms=period.since_ms, until_ms=period.until_ms)
        found["routed"] = routing(self._ledger, since_ms=period.since_ms, until_ms=period.until_ms)
        found["days"] = [day_text(day) for day in range(period.first, period.last + 1)]
        found["costs"] = (rows.by_day(self._ledger, period), rows.by_day(self._ledger, base))
        if by == "run":
            found["runs"] = rows.runs_of(self._ledger, period, Part())
        else:
            found["table"] = rows.breakdown(self._ledger, by, period, base)
        return found

    async def _why(self, request: Request) -> Response:
        """The explanation: it may take a while, so the page asks for it when it stands."""
        period, base = periods(request)
        found = await aside(self._whys.explanation, period, base)
        return await self._page(request, "why", **said(period, base), **found)

    async def _segments(self, request: Request) -> Response:
        """What one effect is made of."""
        period, base = periods(request)
        effect = await aside(self._whys.effect, period, base, request.query_params.get("effect", ""))
        return await self._page(request, "segments", effect=effect, **said(period, base))

    async def _runs(self, request: Request) -> Response:
        (period, base), part = periods(request), _part(request)
        found = await aside(rows.runs_of, self._ledger, period, part)
        return await self._page(request, "runs", runs=found, part=part.asked(), **said(period, base))

    async def _entries(self, request: Request) -> Response:
        (period, base), part = periods(request), _part(request)
        found = await aside(rows.entries_of, self._ledger, period, part)
        return await self._page(request, "entries", entries=found, part=part.asked(), **said(period, base))

    async def _corrections(self, request: Request) -> Response:
        period, base = periods(request)
        found = await aside(rows.corrections_of, self._ledger, period)
        return await self._page(request, "corrections", found=found, **said(period, base))

    async def _run(self, request: Request) -> Response:
        """One run with those that it started, and its calls, whatever the period."""
        key, run = request.query_params.get("key"), request.query_params.get("run", "")
        found = await aside(runs.run, self._ledger, run, key)
        return await self._page(request, "run", run=found)

    async def _request(self, request: Request) -> Response:
        found = await aside(rows.request, self._ledger, request.query_params.get("id", ""))
        return await self._page(request, "request", reasons=REASONS, **found)


def periods(request: Request) -> tuple[Period, Period]:
    """The period that is asked for (the latest thirty days), and the one that it is held against. Raises LedgerError."""
    asked, today = request.query_params, int(time.time() * 1000) // DAY_MS
    last = _day(asked.get("last"), today)
    first = _day(asked.get("first"), last - DAYS_SHOWN + 1)
    period = _period(first, last)
    before = period.before()
    base_last = _day(asked.get("base_last"), before.last)
    return period, _period(_day(asked.get("base_first"), min(before.first, base_last)), base_last)


def _period(first: int, last: int) -> Period:
    if not first <= last < first + DAYS_MAX:
        raise LedgerError(
            f"A period goes from its first day to its last, within ten years; not from {day_text(first)} to {day_text(last)}"
        )
    return Period(first, last)


def _day(text: str | None, default: int) -> int:
    if not text:
        return default
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise LedgerError(f"{text!r} is not a day; write 2026-11-21") from None
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise LedgerError(f"{text!r} lies outside the years {FIRST_YEAR} to {LAST_YEAR}")
    return (day - date(1970, 1, 1)).days


def _part(request: Request) -> Part:
    return Part(**{name: request.query_params.get(name) for name in Part.__struct_fields__})


def said(period: Period, base: Period) -> dict[str, Any]:
    """The periods as templates need them: for people, for links, for the command line (where --to is the day after the last)."""
    link = {"first": day_text(period.first), "last": day_text(period.last)}
    if base != period.before():
        link |= {"base_first": day_text(base.first), "base_last": day_text(base.last)}
    return {
        "period": link,
        "first": day_text(period.first),
        "last": day_text(period.last),
        "until": day_text(period.last + 1),
        "base_first": day_text(base.first),
        "base_last": day_text(base.last),
        "base_until": day_text(base.last + 1),
    }


def presets() -> list[tuple[str, str, str]]:
    """Periods that people ask for: name, first day, last day."""
    today = datetime.now(UTC).date()
    day = (today - date(1970, 1, 1)).days
    month = day - today.day + 1
    month_before = month - (date(1970, 1, 1).fromordinal(today.toordinal() - today.day)).day
    named = (
        ("7 days", day - 6, day),
        ("30 days", day - 29, day),
        ("This month", month, day),
        ("Last month", month_before, month - 1),
        ("90 days", day - 89, day),
    )
    return [(name, day_text(first), day_text(last)) for name, first, last in named]
