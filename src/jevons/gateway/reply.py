"""Headers of our own on every answer, and refusals as answers."""

from jevons.core.ask import Dialect
from jevons.core.entry import request_text
from jevons.core.refusal import Refusal
from jevons.gateway.attempt import Attempt
from jevons.gateway.client import Client
from jevons.gateway.governor import Passage
from jevons.gateway.outbound import NOT_RETURNED
from jevons.policy.accounts import Account
from jevons.policy.rules import Measure
from jevons.wire.errors import error_body, error_headers

Headers = list[tuple[bytes, bytes]]


def own_headers(request: int, attempt: Attempt | None, *, cost: bool) -> Headers:
    """x-jevons-*: on every answer the request id and route; the cost when it is known, else what is held; a cap that we set; what is left."""
    headers: Headers = [(b"x-jevons-request-id", request_text(request).encode()), (b"x-jevons-cache", b"none")]
    if attempt is None:
        return headers
    hold = attempt.hold
    headers.append((b"x-jevons-model", hold.target.encode()))
    headers.append((b"x-jevons-route", f"{hold.upstream}/{hold.target}".encode()))
    if attempt.output_cap is not None:
        headers.append((b"x-jevons-output-cap", str(attempt.output_cap).encode()))
    if attempt.passage is not None:
        headers += standing_headers(attempt.passage)
    if cost and attempt.settled is not None:
        headers.append((b"x-jevons-cost-nusd", str(attempt.settled.billed_nusd).encode()))
    else:
        headers.append((b"x-jevons-held-nusd", str(hold.held_nusd).encode()))
    return headers


def standing_headers(passage: Passage) -> Headers:
    """What the agent is told: its run, what is left of money and steps, until when, and warnings."""
    headers: Headers = []
    tightest = least(passage.path, Measure.USD)
    headers.append((b"x-jevons-budget-remaining-nusd", b"unlimited" if tightest is None else str(tightest.available).encode()))
    if tightest is not None and (reset_s := _reset_s(tightest, passage.at_ms)):
        headers.append((b"x-jevons-budget-reset", str(reset_s).encode()))
    if (steps := least(passage.path, Measure.STEPS)) is not None:
        headers.append((b"x-jevons-steps-remaining", str(steps.available).encode()))
    if passage.run is not None:
        headers.append((b"x-jevons-run-id", passage.run.label.encode()))
    warnings = passage.warnings + [f"{account.label} is past its warning" for account in passage.path if account.warns]
    if warnings:
        headers.append((b"x-jevons-warning", "; ".join(warnings).encode("ascii", "replace")))
    if passage.degraded:
        headers.append((b"x-jevons-degraded", passage.degraded.encode("ascii", "replace")))
    return headers


def least(path: tuple[Account, ...], measure: Measure) -> Account | None:
    """The enforced account of a measure with the least left; None = no limit."""
    limited = [account for account in path if account.limit is not None and account.enforced and account.rule.measure is measure]
    return min(limited, key=lambda account: account.available or 0, default=None)


def _reset_s(account: Account, now_ms: int) -> int:
    """Unix seconds from which all of the limit is there again if nothing more is spent; 0 = never by itself."""
    rolling_ms = account.rule.window.rolling_ms
    if rolling_ms:
        return -(-(now_ms + rolling_ms + account.rule.window.bucket_ms) // 1000)
    return account.period.end_ms // 1000 if account.period.start_ms else 0


def passed_headers(upstream: list[tuple[str, str]]) -> Headers:
    """The upstream's own headers that may travel back."""
    return [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in upstream
        if name not in NOT_RETURNED and not name.startswith("x-jevons-")
    ]


async def refuse(client: Client, refusal: Refusal, dialect: Dialect, request: int, own: Headers) -> None:
    """Answer a refusal in the client's dialect."""
    body = error_body(refusal, dialect, request_text(request))
    await client.answer(refusal.status, [*error_headers(refusal), *own], body)
