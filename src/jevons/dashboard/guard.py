"""Who gets in: a page needs a session; what changes something also needs the session's form token and a request of our own origin.

Comes in: requests. Goes out: the handler's answer, or the login page, or a refusal in words; errors of the ledger become sentences. Does not know:
what the pages show.
"""

import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from jevons.core.limits import PAGE_FORM_BYTES_MAX, SESSION_TTL_S
from jevons.dashboard.answers import HEADERS, Answers
from jevons.dashboard.session import PATH, Links, cookie_name, form_token, is_session, new_session
from jevons.gateway.approvals import Attempts
from jevons.ledger.errors import LedgerError, LedgerUnavailable, Unknown

log = logging.getLogger("jevons.dashboard")

Handler = Callable[[Request], Awaitable[Response]]


class Guard:
    """The door of all pages."""

    def __init__(self, secret: bytes, admin_token: str, answers: Answers) -> None:
        self._secret = secret
        self._cookie = cookie_name(secret)
        self._admin_token = admin_token.encode()
        self._answers = answers
        self._links = Links(secret, _now_ms())
        self._attempts = Attempts(time.monotonic)

    def routes(self) -> list[Route]:
        """Signing in and out."""
        return [
            Route(f"{PATH}/login", self._show_login, methods=["GET"]),
            Route(f"{PATH}/login", self._log_in, methods=["POST"]),
            Route(f"{PATH}/logout", self.form(self._log_out), methods=["POST"]),
            Route(f"{PATH}/session", self.page(self._session), methods=["GET"]),
        ]

    def page(self, handle: Handler) -> Handler:
        """Only with a session."""

        async def guarded(request: Request) -> Response:
            cookie = request.cookies.get(self._cookie, "")
            if not is_session(self._secret, cookie, _now_ms()):
                return self._answers.login(request, 401)
            request.state.form_token = form_token(self._secret, cookie)
            try:
                return await handle(request)
            except Unknown as error:
                return self._answers.problem(request, str(error), 404)
            except LedgerUnavailable as error:
                return self._answers.problem(request, str(error), 503)
            except LedgerError as error:
                return self._answers.problem(request, str(error), 400)
            except HTTPException:
                raise
            except Exception:
                log.exception("a bug, on the page %s", request.url.path)
                return self._answers.problem(request, "A bug of the dashboard; the gateway's log has the details.", 500)

        return guarded

    def form(self, handle: Handler) -> Handler:
        """Only from a form of the session's own pages."""

        async def checked(request: Request) -> Response:
            check_origin(request)
            if not hmac.compare_digest(request.headers.get("x-csrf-token", "").encode(), request.state.form_token.encode()):
                raise HTTPException(403, "This page is from another session. Load it again; nothing was changed.")
            return await handle(request)

        return self.page(checked)

    async def _show_login(self, request: Request) -> Response:
        return self._answers.login(request, 200)

    async def _log_in(self, request: Request) -> Response:
        """With a link's token or the admin token."""
        check_origin(request)
        token = (await fields(request)).get("token", "").strip()
        by_link = self._links.use(token, _now_ms())
        if not by_link and (
            wait_s := self._attempts.wait_s()
        ):  # a link cannot be guessed: who sends wrong tokens keeps nobody out
            problem = f"Too many wrong tokens. Try again in {wait_s} s, or with a link of `jevons dashboard`."
            return self._answers.login(request, 429, problem, {"retry-after": str(wait_s)})
        if not by_link and not hmac.compare_digest(token.encode(), self._admin_token):
            self._attempts.failed()
            problem = (
                "That link was used already, or is too old, or that is not the admin token. `jevons dashboard` prints a new link."
            )
            return self._answers.login(request, 403, problem)
        answer = RedirectResponse(f"{PATH}/", 303, HEADERS)
        secure = request.headers["origin"].startswith("https:")
        session = new_session(self._secret, _now_ms())
        answer.set_cookie(self._cookie, session, SESSION_TTL_S, path=PATH, secure=secure, httponly=True, samesite="strict")
        return answer

    async def _log_out(self, request: Request) -> Response:
        answer = Response(status_code=204, headers=HEADERS | {"hx-redirect": f"{PATH}/login"})
        answer.delete_cookie(self._cookie, path=PATH, httponly=True, samesite="strict")
        return answer

    async def _session(self, request: Request) -> Response:
        """Is there one? Asked by the login page, which also stands where another site's link led, without our cookie."""
        return Response(status_code=204, headers=HEADERS)


def check_origin(request: Request) -> None:
    """What changes something comes from a page of ours: browsers say the origin of every POST. Raises HTTPException."""
    scheme, _, origin = request.headers.get("origin", "").partition("://")
    if not scheme or not origin or origin != request.headers.get("host", ""):
        raise HTTPException(403, "This was not sent by a page of this gateway. Nothing was changed.")


async def fields(request: Request) -> dict[str, str]:
    """Of a form, the first of each name. Raises HTTPException."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > PAGE_FORM_BYTES_MAX:
            raise HTTPException(413, "The form is too long. Nothing was changed.")
    found = parse_qs(body.decode("utf-8", "replace"))
    return {name: values[0] for name, values in found.items()}


def _now_ms() -> int:
    return int(time.time() * 1000)
