"""Headers of our own on every answer, and refusals as answers."""

from jevons.core.ask import Dialect
from jevons.core.entry import Entry, admitted_ms, request_text
from jevons.core.refusal import Refusal
from jevons.core.routed import Role, Routed
from jevons.gateway.answers import Hit
from jevons.gateway.attempt import Attempt
from jevons.gateway.client import Client
from jevons.gateway.outbound import NOT_RETURNED
from jevons.gateway.passage import Passage
from jevons.gateway.standing import standing_headers
from jevons.wire.errors import error_body, error_headers, failed_response

Headers = list[tuple[bytes, bytes]]

EVENT_STREAM: tuple[bytes, bytes] = (b"content-type", b"text/event-stream; charset=utf-8")

_PLAIN = {Role.ANSWER: "passed-over", Role.RETRY: Role.FAILOVER}
"""What it means for whom another was chosen: that one was not called at all, or did not answer."""
_SAFE = bytes(byte if 0x20 <= byte < 0x7F else ord("?") for byte in range(256))
"""For values with names that clients chose, of models and tools: a line break in one would begin another header."""


def own_headers(request: int, attempt: Attempt | None, *, cost: bool, cache: bytes = b"none") -> Headers:
    """x-jevons-*: on every answer the request id and route; the cost when it is known, else what is held; a cap that we set; what is left.

    `cache`: "miss" where an answer was looked for.
    """
    headers: Headers = [(b"x-jevons-request-id", request_text(request).encode()), (b"x-jevons-cache", cache)]
    if attempt is None:
        return headers
    hold = attempt.hold
    target = hold.target.encode().translate(_SAFE)
    headers.append((b"x-jevons-model", target))
    headers.append((b"x-jevons-route", hold.upstream.encode() + b"/" + target))
    if attempt.routed is not None:
        headers.append(
            (b"x-jevons-route-why", why_of(attempt.routed, attempt.role, stands_in=attempt.stands_in).translate(_SAFE))
        )
    if attempt.output_cap is not None:
        headers.append((b"x-jevons-output-cap", str(attempt.output_cap).encode()))
    if attempt.cache_plan:
        headers.append((b"x-jevons-cache-plan", attempt.cache_plan.encode()))
    if attempt.passage is not None and attempt.passage.trim is not None:
        headers.append((b"x-jevons-trimmed", f"tokens={attempt.trimmed_tokens};refs={attempt.passage.trim.refs}".encode()))
    if attempt.passage is not None:
        headers += [(name, value.translate(_SAFE)) for name, value in standing_headers(attempt.passage)]
    if cost and attempt.settled is not None:
        headers.append((b"x-jevons-cost-nusd", str(attempt.settled.billed_nusd).encode()))
    else:
        headers.append((b"x-jevons-held-nusd", str(hold.held_nusd).encode()))
    return headers


def hit_headers(entry: Entry, passage: Passage, hit: Hit) -> Headers:
    """The same on a kept answer, with its age in seconds (RFC 9111, 5.1)."""
    target = entry.hold.target.encode().translate(_SAFE)
    return [
        (b"x-jevons-request-id", request_text(entry.hold.id).encode()),
        (b"x-jevons-cache", hit.word),
        (b"age", str(hit.age_s).encode()),
        (b"x-jevons-model", target),
        (b"x-jevons-route", entry.hold.upstream.encode() + b"/" + target),
        *(() if entry.routed is None else ((b"x-jevons-route-why", why_of(entry.routed).translate(_SAFE)),)),
        *(() if hit.found is None else ((b"x-jevons-similarity", f"{hit.found.similarity:.3f}".encode()),)),
        *((name, value.translate(_SAFE)) for name, value in standing_headers(passage)),
        (b"x-jevons-cost-nusd", b"0"),
    ]


def why_of(routed: Routed, role: Role = Role.ANSWER, *, stands_in: bool = False) -> bytes:
    """Which route, why this model, what was believed of it, and who answers if not that one: short, the most important first."""
    told = [f"route={routed.route}"] if routed.route else []
    told.append(f"why={routed.why}")
    told += [
        f"{name}={value}" for name, value in (("language", routed.features.language), ("class", routed.features.task)) if value
    ]
    if routed.stage:
        told.append(f"stage={routed.stage}")
    option = routed.options[routed.chosen] if routed.options else None
    if option is not None and option.score is not None:
        told.append(f"score={option.score:.2f}" + (f">={option.threshold:.2f}" if option.threshold is not None else ""))
    if routed.confidence is not None:
        told.append(f"confidence={routed.confidence:.2f}")
    if option is not None and option.cost_nusd:
        told.append(f"expected_nusd={option.cost_nusd}")
    if stands_in and role in _PLAIN:
        told.append(f"by={_PLAIN[role]}")
    elif role is not Role.ANSWER:
        told.append(f"by={role}")
    return ";".join(told).encode()


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


async def fail(client: Client, refusal: Refusal, request: int, own: Headers) -> None:
    """Answer a refusal as the one event of a streamed Responses answer."""
    body = failed_response(refusal, request_text(request), admitted_ms(request) // 1000)
    await client.answer(200, [EVENT_STREAM, (b"x-should-retry", b"false"), *own], body)
