"""The page on which a person answers a question: what is asked, what a yes grants, until when, and a form that needs the admin token.

Comes in: a question's id in the path, the form. Goes out: a page without scripts, cookies or anything from elsewhere. Who can reach the
gateway and knows the id (it cannot be guessed) may read the question; only the token answers it. Does not know: what is done with a yes.
"""

import hashlib
import hmac
import math
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from importlib import resources
from string import Template
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from jevons.core.limits import APPROVAL_ATTEMPTS_PER_MINUTE_MAX, APPROVAL_FORM_BYTES_MAX
from jevons.gateway.wording import amount
from jevons.ledger import admin
from jevons.ledger.errors import LedgerError
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import Approval
from jevons.ledger.standing import approval as as_record
from jevons.policy.rules import Measure

PREFIX = "/jevons/v1/approvals"
STATES = {
    "pending": "Waiting for an answer. Until there is a yes, calls are refused.",
    "expired": "Nobody answered in time, which counts as a no. It can still be answered.",
    "approved": "Approved. The agent may send its request again. The answer can be changed.",
    "denied": "Denied. The answer can be changed.",
}

_PAGE = resources.files("jevons.gateway").joinpath("data/approval.html").read_text(encoding="utf-8")
_STYLE = _PAGE.partition("<style>")[2].partition("</style>")[0]
_STYLE_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Attempts:
    """Wrong tokens of the last minute, whoever sent them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wrong: deque[float] = deque(maxlen=APPROVAL_ATTEMPTS_PER_MINUTE_MAX)

    def wait_s(self) -> int:
        """Seconds until another may be made; 0 = now."""
        if len(self._wrong) < APPROVAL_ATTEMPTS_PER_MINUTE_MAX:
            return 0
        return max(0, math.ceil(self._wrong[0] + 60 - self._clock()))

    def failed(self) -> None:
        self._wrong.append(self._clock())


class ApprovalPage:
    """The page over the running ledger."""

    def __init__(self, ledger: Ledger, token: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._token = token.encode()
        self._attempts = Attempts(clock)

    def routes(self) -> list[Route]:
        path = f"{PREFIX}/{{id}}"
        return [Route(path, self._show, methods=["GET"]), Route(path, self._answer, methods=["POST"])]

    async def _show(self, request: Request) -> Response:
        asked = self._ledger.control.approvals.get(request.path_params["id"])
        return _page(asked) if asked is not None else _absent()

    async def _answer(self, request: Request) -> Response:
        asked = self._ledger.control.approvals.get(request.path_params["id"])
        if asked is None:
            return _absent()
        form = await _form(request)
        if form is None:
            return _page(asked, "The form was too long.", 413)
        if wait_s := self._attempts.wait_s():
            line = f"Too many wrong tokens. Try again in {wait_s} s, or answer with: jevons approve {asked.id}"
            return _page(asked, line, 429, {"retry-after": str(wait_s)})
        if not hmac.compare_digest(form.get("token", "").strip().encode(), self._token):
            self._attempts.failed()
            return _page(asked, "That is not the admin token. It is in the file admin.token in JEVONS_HOME.", 403)
        answer = form.get("answer")
        if answer not in ("approve", "deny"):
            return _page(asked, "The form did not say whether to approve or to deny. Nothing was changed.", 400)
        try:
            await admin.decide(self._ledger, asked.id, answer == "approve", _now_ms())
        except LedgerError as error:
            return _page(asked, f"{error}. Nothing was changed; try again.", 503)
        return RedirectResponse(f"{PREFIX}/{asked.id}", 303, HEADERS)  # so that loading the page again sends nothing again


async def _form(request: Request) -> dict[str, str] | None:
    """The form's fields; None if it is longer than it can be."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > APPROVAL_FORM_BYTES_MAX:
            return None
    fields = parse_qs(body.decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}


def _page(asked: Approval, alert: str = "", status: int = 200, headers: dict[str, str] | None = None) -> Response:
    now_ms = _now_ms()
    record = as_record(asked, now_ms)
    decided = f" ({_clock(asked.decided_ms)})" if asked.decided_ms is not None else ""
    values = {
        "question": asked.question,
        "subject": record["subject"],
        "limit": record["limit_name"],
        "grants": amount(Measure(record["measure"]), asked.grants),
        "asked": _clock(asked.asked_ms),
        "expires": _clock(asked.expires_ms),
        "state": STATES[record["state"]] + decided,
        "alert": alert,
        "action": f"{PREFIX}/{asked.id}",
    }
    text = Template(_PAGE).substitute({name: escape(value) for name, value in values.items()})
    return HTMLResponse(text, status, HEADERS | (headers or {}))


def _absent() -> Response:
    text = "There is no such question here. Open ones: jevons approve\n"
    return Response(text, 404, HEADERS, media_type="text/plain")


def _clock(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _now_ms() -> int:
    return int(time.time() * 1000)
