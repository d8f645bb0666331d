"""The pages as one ASGI application: *Now* with its live line and brakes, *Bill* and what lies beneath it, *Cost*, *Forecast*, signing in.

Comes in: the running ledger and its folder, a secret, the admin token. Goes out: everything under /ui. Does not know: how figures are found or drawn.
"""

import logging
import time
from glob import escape as literally
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from jevons.dashboard import now, static
from jevons.dashboard.answers import HEADERS, Answers
from jevons.dashboard.aside import aside
from jevons.dashboard.bill import BillPages
from jevons.dashboard.cost import CostPages
from jevons.dashboard.forecast import ForecastPages
from jevons.dashboard.guard import Guard, fields
from jevons.dashboard.live import Fragments, Live, TooMany
from jevons.dashboard.session import PATH
from jevons.ledger import admin
from jevons.ledger.ledger import Ledger

log = logging.getLogger("jevons.dashboard")

NOW = ("questions", "rate", "runs", "budgets", "kills")
"""The parts of the page that live: each is a template, and the element of its name."""


class Pages:
    """Everything under /ui, over the running ledger."""

    def __init__(self, ledger: Ledger, home: Path, secret: bytes, admin_token: str, local_model: str) -> None:
        """`home`: the folder JEVONS_HOME, for what is stated and measured there. `local_model`: the engine's own file, if it is not the packaged one."""
        self._ledger = ledger
        self._home = home
        self._local_model = local_model
        self._answers = Answers()
        self._guard = Guard(secret, admin_token, self._answers)
        self.live = Live(ledger.path, self._fragments)

    def application(self) -> Starlette:
        guard = self._guard
        shown = (
            ("/", self._now),
            ("/live", self._stream),
            ("/kill", self._ask_kill),
            *BillPages(self._ledger.path, self._answers).doors(),
            *CostPages(self._ledger.path, self._home, self._local_model, self._answers).doors(),
            *ForecastPages(self._ledger, self._home, self._answers).doors(),
        )
        done = (("/kills", self._kill), ("/kills/{id:int}/lift", self._lift))
        return Starlette(
            routes=[
                Route(PATH, _to_now, methods=["GET"]),
                Route(f"{static.PREFIX}/{{name}}", static.answer, methods=["GET"]),
                *guard.routes(),
                *(Route(PATH + path, guard.page(handle), methods=["GET"]) for path, handle in shown),
                *(Route(PATH + path, guard.form(handle), methods=["POST"]) for path, handle in done),
            ],
            exception_handlers={HTTPException: self._refused},
        )

    async def _now(self, request: Request) -> Response:
        found = await now.picture(self._ledger, _now_ms())
        return await self._answers.page(request, "now", **found)

    async def _stream(self, request: Request) -> Response:
        try:
            self.live.admit()
        except TooMany:
            return self._answers.problem(request, "Too many live pages are open.", 503)
        return StreamingResponse(self.live.events(), 200, HEADERS, "text/event-stream")

    async def _fragments(self) -> Fragments:
        found = await now.picture(self._ledger, _now_ms())
        return await aside(lambda: {part: self._answers.fragment(f"now_{part}", **found) for part in NOW})

    async def _ask_kill(self, request: Request) -> Response:
        kind, name = request.query_params.get("kind", ""), request.query_params.get("name", "")
        subject = f"{kind}:{literally(name)}" if name else kind  # a run called * is that run, not all of them
        return await self._answers.page(request, "kill", subject=subject, kind=kind, shown=name)

    async def _kill(self, request: Request) -> Response:
        form = await fields(request)
        made, open_calls = await admin.kill(self._ledger, form.get("subject", ""), form.get("reason", "").strip(), _now_ms())
        log.info("killed %r from the dashboard", made.subject)
        return await self._changed(request, f"{made.subject} is stopped; calls under way that it ended: {open_calls}.")

    async def _lift(self, request: Request) -> Response:
        await admin.lift(self._ledger, request.path_params["id"], _now_ms())
        return await self._changed(request, "The kill is lifted.")

    async def _changed(self, request: Request, said: str) -> Response:
        """The part that shows it, and a word about it."""
        found = await now.accounts(self._ledger, _now_ms())
        answer = await self._answers.page(request, "changed", said=said, **found)
        answer.headers["hx-trigger"] = "done"
        return answer

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        problem = error.detail if error.status_code != 404 else "There is no such page."
        return self._answers.problem(request, problem, error.status_code)


async def _to_now(request: Request) -> Response:
    return RedirectResponse(f"{PATH}/", 307, HEADERS)


def _now_ms() -> int:
    return int(time.time() * 1000)
