"""The page *Forecast*: where the bill goes, what levers and scenarios change of it, and when budgets are used up.

Comes in: what a browser asks for, in the address: months, levers, a budget. Goes out: a page that stands at once and fetches the forecast, or with
`whole=1` has it in itself, for who runs no scripts. Does not know: how a forecast is made. What is missing is said in its place.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from jevons.core.money import parse_usd
from jevons.dashboard import missing, rows
from jevons.dashboard.answers import Answers
from jevons.dashboard.aside import aside
from jevons.dashboard.guard import Handler
from jevons.dashboard.kept import Kept
from jevons.economics.forecast import fan
from jevons.ledger import standing
from jevons.ledger.bill import reading
from jevons.ledger.errors import LedgerError
from jevons.ledger.ledger import Ledger
from jevons.meter.pricebook import open_book

if TYPE_CHECKING:
    from jevons.economics.forecast.document import Forecast
    from jevons.economics.forecast.exhaustion import Per

MONTHS = (3, 6, 12, 24, 36)
MONTHS_DEFAULT, MONTHS_MAX = 12, 60
PER = ("week", "month", "year", "total")
ACCOUNTS_MAX = 20
"""Of each limit: the fullest."""


class Asked(msgspec.Struct, frozen=True):
    """What is tried out, as its fields were filled in; "" = not."""

    months: int = MONTHS_DEFAULT
    cache: str = ""
    """Percentage points of the input more that are read from the cache."""
    route: str = ""
    """Per cent of frontier steps."""
    route_to: str = ""
    steps: str = ""
    """The most steps of a task."""
    swap: str = ""
    """The model that goes."""
    swap_to: str = ""
    budget: str = ""
    """Dollars."""
    per: str = "month"

    def link(self, **other: object) -> dict[str, object]:
        """What differs from the defaults, with `other` in its place."""
        default = Asked()
        mine = {name: getattr(self, name) for name in self.__struct_fields__ if getattr(self, name) != getattr(default, name)}
        return mine | other

    @property
    def levers(self) -> tuple[str, ...]:
        """As the command line takes them."""
        found = []
        if self.cache:
            found.append(f"cache={self.cache if self.cache[0] in '+-' else f'+{self.cache}'}")
        if self.route:
            found.append(f"route={self.route.rstrip('%')}%{f':{self.route_to}' if self.route_to else ''}")
        if self.steps:
            found.append(f"steps={self.steps}")
        if self.swap or self.swap_to:
            found.append(f"swap={self.swap}:{self.swap_to}")
        return tuple(found)

    @property
    def command(self) -> str:
        """The same on the command line."""
        levers = "".join(f" --lever {lever}" for lever in self.levers)
        budget = f" --budget {self.budget} --per {self.per}" if self.budget else ""
        return f"jevons forecast --months {self.months}{levers}{budget}"


class ForecastPages:
    """Handlers over the running ledger, whose limits are in memory, and its folder."""

    def __init__(self, ledger: Ledger, home: Path, answers: Answers) -> None:
        self._ledger = ledger
        self._home = home
        self._answers = answers
        self._kept: Kept[dict[str, Any]] = Kept()

    def doors(self) -> tuple[tuple[str, Handler], ...]:
        return (("/forecast", self._page), ("/forecast/found", self._part))

    async def _page(self, request: Request) -> Response:
        asked = _asked(request)
        there = await aside(self._there)
        drawn = {}
        if there["any"] and request.query_params.get("whole"):
            found = await self._found(asked)
            drawn["found"] = Markup(await aside(lambda: self._answers.fragment("forecast_found", asked=asked, **found)))
        return await self._answers.page(request, "forecast", asked=asked, spans=MONTHS, ways=PER, drawn=drawn, **there)

    async def _part(self, request: Request) -> Response:
        """The forecast: it takes a while, so the page asks for it when it stands."""
        asked = _asked(request)
        return await self._answers.page(request, "forecast_found", asked=asked, **await self._found(asked))

    def _there(self) -> dict[str, Any]:
        with reading(self._ledger.path) as db:
            used = [name for (name,) in db.execute("SELECT DISTINCT target FROM rollup_day ORDER BY 1")]
        return {"any": rows.anything(self._ledger.path), "used": used}

    async def _found(self, asked: Asked) -> dict[str, Any]:
        """{"found", "fan", "bars"}, or "missing": what is not there, and how to get it."""
        now_ms = int(time.time() * 1000)
        limits = await standing.limits(self._ledger, now_ms, ACCOUNTS_MAX)
        return await aside(self._worked_out, asked, now_ms, limits)

    def _worked_out(self, asked: Asked, now_ms: int, limits: dict[str, Any]) -> dict[str, Any]:
        today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
        stated = msgspec.json.encode([limit["settings"] for limit in limits["limits"]])
        try:
            return self._kept.get((asked, today, stated), lambda: self._drawn(asked, today, limits))
        except missing.MISSING as error:
            return {"missing": missing.said(error)}

    def _drawn(self, asked: Asked, today: Any, limits: dict[str, Any]) -> dict[str, Any]:
        from jevons.economics.forecast.priors import priors  # noqa: PLC0415 - numpy is an extra
        from jevons.economics.forecast.report import Own, forecast  # noqa: PLC0415

        budget = Own(_dollars(asked.budget), cast("Per", asked.per)) if asked.budget else None
        found: Forecast | None = forecast(
            self._ledger.path, asked.months, today=today, book=open_book(self._home), standing=limits, budget=budget,
            levers=asked.levers, scenarios=list(priors().scenario),
        )  # fmt: skip
        if found is None:
            return {"missing": "", "found": None}
        drawn = {"fan": fan.fan(found), "bars": fan.bars(found)}
        return {"missing": "", "found": found, **drawn}


def _asked(request: Request) -> Asked:
    """Raises LedgerError."""
    query = request.query_params
    fields = {name: query[name].strip() for name in Asked.__struct_fields__ if query.get(name, "").strip()}
    months = fields.pop("months", str(MONTHS_DEFAULT))
    if not months.isdecimal() or len(months) > 2 or not 1 <= int(months) <= MONTHS_MAX:
        raise LedgerError(f"A forecast is of 1 to {MONTHS_MAX} months; not of {months!r}")
    asked = Asked(int(months), **fields)
    if asked.per not in PER:
        raise LedgerError(f"A budget is for a {', '.join(PER[:-1])} or in total; not per {asked.per!r}")
    if asked.budget:
        _dollars(asked.budget)
    return asked


def _dollars(text: str) -> int:
    """Nano-dollars. Raises LedgerError."""
    try:
        nusd = parse_usd(text.removeprefix("$"))
    except ValueError:
        nusd = 0
    if nusd <= 0:
        raise LedgerError(f"{text!r} is no budget; write dollars, as 500 or 49.90")
    return nusd
