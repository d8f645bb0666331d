"""An attempt that gave the client nothing: what is said of it, and whether another try may succeed.

Comes in: an upstream's error answer, or what broke. Goes out: `Failed`. Does not know: how often is tried, and where.
"""

import math
import time
from email.utils import parsedate_to_datetime

import msgspec

from jevons.core.ask import Ask
from jevons.core.entry import Outcome
from jevons.core.limits import RETRY_AFTER_MAX_S
from jevons.core.refusal import Kind, Refusal
from jevons.gateway.attempt import Attempt
from jevons.gateway.auth_upstream import Credential
from jevons.gateway.client import Client
from jevons.gateway.reply import Headers, passed_headers
from jevons.gateway.upstream import Answer
from jevons.gateway.upstreams import Live
from jevons.policy.route import Target
from jevons.wire.body import BAD_JSON

RETRIED = frozenset({408, 429, 500, 502, 503, 504, 529})
"""Statuses after which another try may succeed."""
_KINDS = {
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMIT,
    503: Kind.UNAVAILABLE,
    529: Kind.UNAVAILABLE,
}


class Failed(Exception):
    """An attempt that gave the client nothing yet. Carries what to say if it was the last."""

    def __init__(
        self,
        refusal: Refusal | None,
        reply: tuple[int, Headers, bytes] | None,
        attempt: Attempt,
        *,
        again: bool,
        elsewhere: bool = False,
        after_s: float = 0.0,
    ) -> None:
        """`again`: another try may succeed, also here; `elsewhere`: it may at another upstream or under another credential."""
        super().__init__()
        self.refusal = refusal
        self.reply = reply
        self.attempt = attempt
        self.again = again
        self.elsewhere = again or elsewhere
        self.after_s = after_s


async def refused(
    live: Live, credential: Credential, target: Target, ask: Ask, attempt: Attempt, answer: Answer, client: Client
) -> Failed:
    """For an error answer of the upstream: its own words go to the client, unless they speak of our credential."""
    body = await answer.read()
    again = elsewhere = answer.status in RETRIED and not client.gone
    hint = {name: value for name, value in answer.headers if name in ("retry-after", "retry-after-ms", "x-should-retry")}
    after_s = seconds_of(hint.get("retry-after", ""), hint.get("retry-after-ms", ""))
    if "x-should-retry" in hint:
        again = hint["x-should-retry"] == "true" and not client.gone
    if after_s > RETRY_AFTER_MAX_S:
        again = False
    await attempt.resolve(Outcome.ERROR)
    if answer.status in (401, 403) and not live.settings.is_clients:
        credential.rejected()
        refusal = gateway_error(
            502, f"Upstream {target.upstream} refused the gateway's credential ({answer.status}); its operator must check it."
        )
        return Failed(refusal, None, attempt, again=False, elsewhere=not client.gone)
    if answer.status < 400:
        refusal = gateway_error(502, f"Upstream {target.upstream} answered with a redirect, which is not followed.")
        return Failed(refusal, None, attempt, again=False, elsewhere=not client.gone)
    if target.dialect is not ask.dialect or live.settings.kind == "local":
        kind = _KINDS.get(answer.status, Kind.UPSTREAM if answer.status >= 500 else Kind.INVALID)
        wait_s = math.ceil(after_s) if after_s else None
        refusal = Refusal(kind, answer.status, _message_of(body), code="upstream_error", retry_after_s=wait_s)
        return Failed(refusal, None, attempt, again=again, elsewhere=elsewhere, after_s=after_s)
    reply = (answer.status, passed_headers(answer.headers), body)
    return Failed(None, reply, attempt, again=again, elsewhere=elsewhere, after_s=after_s)


def gateway_error(status: int, message: str) -> Refusal:
    """What the upstream did, in our words."""
    return Refusal(Kind.UPSTREAM, status, message, code="upstream_error")


def _message_of(body: bytes) -> str:
    """The human words of an upstream's error body, whichever dialect."""
    try:
        error = msgspec.json.decode(body).get("error")
        return str(error.get("message") if isinstance(error, dict) else error)
    except (*BAD_JSON, AttributeError):
        return "The upstream answered with an error that is not JSON."


def seconds_of(retry_after: str, retry_after_ms: str = "") -> float:
    """What a provider asks to wait: seconds or a date (RFC 9110, 10.2.3), or milliseconds in a header of its own (OpenAI, Azure); 0 = it does not say."""
    if _is_number(retry_after_ms):
        return float(retry_after_ms) / 1000
    if _is_number(retry_after):
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return 0.0


def _is_number(text: str) -> bool:
    return text.isascii() and text.replace(".", "", 1).isdigit()
