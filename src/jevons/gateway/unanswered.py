"""An attempt that gave the client nothing: what is said of it, and whether another try may succeed.

Comes in: an upstream's error answer, or what broke. Goes out: `Failed`. Does not know: how often is tried, and where.
"""

import math

import msgspec

from jevons.core.ask import Ask
from jevons.core.entry import Outcome
from jevons.core.limits import RETRY_AFTER_MAX_S
from jevons.core.refusal import Kind, Refusal
from jevons.gateway.attempt import Attempt
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
        after_s: float = 0.0,
    ) -> None:
        super().__init__()
        self.refusal = refusal
        self.reply = reply
        self.attempt = attempt
        self.again = again
        self.after_s = after_s


async def refused(live: Live, target: Target, ask: Ask, attempt: Attempt, answer: Answer, client: Client) -> Failed:
    """For an error answer of the upstream: its own words go to the client, unless they speak of our credential."""
    body = await answer.read()
    again = answer.status in RETRIED and not client.gone
    hint = {name: value for name, value in answer.headers if name in ("retry-after", "x-should-retry")}
    after_s = _seconds(hint.get("retry-after", ""))
    if "x-should-retry" in hint:
        again = hint["x-should-retry"] == "true" and not client.gone
    if after_s > RETRY_AFTER_MAX_S:
        again = False
    await attempt.resolve(Outcome.ERROR)
    if answer.status in (401, 403) and live.settings.auth != "client":
        live.credential.rejected()
        refusal = gateway_error(
            502, f"Upstream {target.upstream} refused the gateway's credential ({answer.status}); its operator must check it."
        )
        return Failed(refusal, None, attempt, again=False)
    if answer.status < 400:
        return Failed(
            gateway_error(502, f"Upstream {target.upstream} answered with a redirect, which is not followed."),
            None,
            attempt,
            again=False,
        )
    if target.dialect is not ask.dialect or live.settings.kind == "local":
        kind = _KINDS.get(answer.status, Kind.UPSTREAM if answer.status >= 500 else Kind.INVALID)
        wait_s = math.ceil(after_s) if after_s else None
        refusal = Refusal(kind, answer.status, _message_of(body), code="upstream_error", retry_after_s=wait_s)
        return Failed(refusal, None, attempt, again=again, after_s=after_s)
    return Failed(None, (answer.status, passed_headers(answer.headers), body), attempt, again=again, after_s=after_s)


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


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.replace(".", "", 1).isdigit() else 0.0
