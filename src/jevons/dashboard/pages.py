"""The pages as one ASGI application: who may see them, what they answer, and the headers that keep everything from elsewhere out.

Comes in: the running ledger, a secret, the admin token. Goes out: HTML under /ui. A page needs a session (session.py); what changes something
also needs the session's form token and a request of our own origin. Does not know: how figures are found or drawn.
"""

import asyncio
import gzip
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from glob import escape as literally
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from jevons.core.limits import PAGE_FORM_BYTES_MAX, SESSION_TTL_S
from jevons.dashboard import now, static
from jevons.dashboard.bill import BillPages
from jevons.dashboard.live import Fragments, Live, TooMany
from jevons.dashboard.session import PATH, Links, form_token, is_session, new_session
from jevons.dashboard.show import STYLE, Templates, style_hash
from jevons.economics.waterfall import STYLE as WATERFALL_STYLE
from jevons.gateway.approvals import PREFIX as APPROVALS
from jevons.gateway.approvals import Attempts
from jevons.ledger import admin
from jevons.ledger.errors import LedgerError, LedgerUnavailable, Unknown
from jevons.ledger.ledger import Ledger

log = logging.getLogger("jevons.dashboard")

COOKIE = "jevons_session"
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        f"default-src 'none'; script-src 'self'; style-src {style_hash(STYLE)} {style_hash(WATERFALL_STYLE)}; img-src 'self';"
        " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
}
PACKED_LEVEL = 4
"""A table packs to a tenth at any level; this one takes a millisecond for a hundred rows."""
NOW = ("questions", "rate", "runs", "budgets", "kills")
"""The parts of the page that live: each is a template, and the element of its name."""

Handler = Callable[[Request], Awaitable[Response]]


class Pages:
    """Everything under /ui, over the running ledger."""

    def __init__(self, ledger: Ledger, secret: bytes, admin_token: str) -> None:
        self._ledger = ledger
        self._secret = secret
        self._admin_token = admin_token.encode()
        self._links = Links(secret, _now_ms())
        self._attempts = Attempts(time.monotonic)
        self._templates = Templates(ui=PATH, static=static.PREFIX, approvals=APPROVALS)
        self.live = Live(ledger.path, self._fragments)

    def application(self) -> Starlette:
        bills = BillPages(self._ledger.path, self._page)
        seen: tuple[tuple[str, Handler], ...] = (
            ("/", self._now),
            ("/live", self._stream),
            ("/session", self._session),
            ("/kill", self._ask_kill),
            *bills.doors(),
        )
        done: tuple[tuple[str, Handler], ...] = (
            ("/kills", self._kill),
            ("/kills/{id:int}/lift", self._lift),
            ("/logout", self._log_out),
        )
        return Starlette(
            routes=[
                Route(PATH, _to_now, methods=["GET"]),
                Route(f"{static.PREFIX}/{{name}}", static.answer, methods=["GET"]),
                Route(f"{PATH}/login", self._login, methods=["GET"]),
                Route(f"{PATH}/login", self._log_in, methods=["POST"]),
                *(Route(PATH + path, self._guarded(handle), methods=["GET"]) for path, handle in seen),
                *(Route(PATH + path, self._guarded(handle, form=True), methods=["POST"]) for path, handle in done),
            ],
            exception_handlers={HTTPException: self._absent},
        )

    # Who may

    def _guarded(self, handle: Handler, *, form: bool = False) -> Handler:
        async def guarded(request: Request) -> Response:
            if not self._signed_in(request):
                return self._login_page(request, 401)
            if form:
                _check_origin(request)
                token = request.headers.get("x-csrf-token", "")
                if not hmac.compare_digest(token.encode(), form_token(self._secret, request.cookies[COOKIE]).encode()):
                    return self._problem(request, "This page is from another session. Load it again; nothing was changed.", 403)
            try:
                return await handle(request)
            except Unknown as error:
                return self._problem(request, str(error), 404)
            except LedgerUnavailable as error:
                return self._problem(request, str(error), 503)
            except LedgerError as error:
                return self._problem(request, str(error), 400)
            except HTTPException:
                raise
            except Exception:
                log.exception("a bug, on the page %s", request.url.path)
                return self._problem(request, "A bug of the dashboard; the gateway's log has the details.", 500)

        return guarded

    def _signed_in(self, request: Request) -> bool:
        return is_session(self._secret, request.cookies.get(COOKIE, ""), _now_ms())

    async def _login(self, request: Request) -> Response:
        return self._login_page(request, 200)

    async def _log_in(self, request: Request) -> Response:
        """With a link's token or the admin token."""
        _check_origin(request)
        if wait_s := self._attempts.wait_s():
            return self._login_page(
                request, 429, f"Too many wrong tokens. Try again in {wait_s} s.", {"retry-after": str(wait_s)}
            )
        token = (await _form(request)).get("token", "").strip()
        if not hmac.compare_digest(token.encode(), self._admin_token) and not self._links.use(token, _now_ms()):
            self._attempts.failed()
            problem = (
                "That link was used already, or is too old, or that is not the admin token. `jevons dashboard` prints a new link."
            )
            return self._login_page(request, 403, problem)
        answer = RedirectResponse(f"{PATH}/", 303, HEADERS)
        secure = request.headers.get("origin", "").startswith("https:")
        session = new_session(self._secret, _now_ms())
        answer.set_cookie(COOKIE, session, max_age=SESSION_TTL_S, path=PATH, secure=secure, httponly=True, samesite="strict")
        return answer

    async def _log_out(self, request: Request) -> Response:
        answer = Response(status_code=204, headers=HEADERS | {"hx-redirect": f"{PATH}/login"})
        answer.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")
        return answer

    async def _session(self, request: Request) -> Response:
        """Is there one? Asked by the login page, which also stands where another site's link led, without our cookie."""
        return Response(status_code=204, headers=HEADERS)

    def _login_page(self, request: Request, status: int, problem: str = "", headers: dict[str, str] | None = None) -> Response:
        if request.headers.get("hx-request"):  # a part of a page whose session is over
            return Response(status_code=status, headers=HEADERS | {"hx-refresh": "true"})
        return HTMLResponse(self._templates.render("login", problem=problem), status, HEADERS | (headers or {}))

    # Now

    async def _now(self, request: Request) -> Response:
        found = await now.picture(self._ledger, _now_ms())
        return await self._page(request, "now", parts=NOW, **found)

    async def _stream(self, request: Request) -> Response:
        try:
            self.live.admit()
        except TooMany:
            return self._problem(request, "Too many live pages are open.", 503)
        return StreamingResponse(self.live.events(), 200, HEADERS, "text/event-stream")

    async def _fragments(self) -> Fragments:
        found = await now.picture(self._ledger, _now_ms())
        return await asyncio.to_thread(lambda: {part: self._templates.render(f"now_{part}", **found) for part in NOW})

    async def _ask_kill(self, request: Request) -> Response:
        kind, name = request.query_params.get("kind", ""), request.query_params.get("name", "")
        subject = f"{kind}:{literally(name)}" if name else kind  # a run called * is that run, not all of them
        return await self._page(request, "kill", subject=subject, kind=kind, shown=name)

    async def _kill(self, request: Request) -> Response:
        form = await _form(request)
        made, open_calls = await admin.kill(self._ledger, form.get("subject", ""), form.get("reason", "").strip(), _now_ms())
        log.info("killed %r from the dashboard", made.subject)
        return await self._changed(request, f"{made.subject} is stopped; {open_calls} calls were under way.")

    async def _lift(self, request: Request) -> Response:
        await admin.lift(self._ledger, request.path_params["id"], _now_ms())
        return await self._changed(request, "The kill is lifted.")

    async def _changed(self, request: Request, said: str) -> Response:
        """The parts that show it, and a word about it."""
        found = await now.accounts(self._ledger, _now_ms())
        answer = await self._page(request, "changed", said=said, **found)
        answer.headers["hx-trigger"] = "done"
        return answer

    # All of them

    async def _page(self, request: Request, name: str, /, **values: Any) -> Response:
        """Rendered and packed in a thread: a long table must not hold up calls."""
        token = form_token(self._secret, request.cookies[COOKIE])
        values |= {"form_headers": msgspec.json.encode({"x-csrf-token": token}).decode(), "here": request.url.path}
        packed = "gzip" in request.headers.get("accept-encoding", "")

        def made() -> bytes:
            text = self._templates.render(name, **values).encode()
            return gzip.compress(text, PACKED_LEVEL, mtime=0) if packed else text

        return HTMLResponse(await asyncio.to_thread(made), 200, HEADERS | ({"content-encoding": "gzip"} if packed else {}))

    def _problem(self, request: Request, problem: str, status: int) -> Response:
        name = "problem" if request.headers.get("hx-request") else "problem_page"
        headers = HEADERS | ({"hx-retarget": "#said", "hx-reswap": "innerHTML"} if name == "problem" else {})
        return HTMLResponse(self._templates.render(name, problem=problem, form_headers="{}", here=""), status, headers)

    async def _absent(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = error.detail if isinstance(error, HTTPException) and status != 404 else "There is no such page."
        return self._problem(request, detail, status)


async def _to_now(request: Request) -> Response:
    return RedirectResponse(f"{PATH}/", 307, HEADERS)


def _check_origin(request: Request) -> None:
    """What changes something comes from a page of ours: browsers say the origin of every POST."""
    origin = urlsplit(request.headers.get("origin", ""))
    if not origin.netloc or origin.netloc != request.headers.get("host", ""):
        raise HTTPException(403, "This was not sent by a page of this gateway. Nothing was changed.")


async def _form(request: Request) -> dict[str, str]:
    """Its fields, the first of each name."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > PAGE_FORM_BYTES_MAX:
            raise HTTPException(413, "The form is too long. Nothing was changed.")
    fields = parse_qs(body.decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}


def _now_ms() -> int:
    return int(time.time() * 1000)
