"""A refusal, said in the client's own dialect: status, headers and body, or an event at the end of a stream."""

import msgspec

from jevons.core.ask import Dialect
from jevons.core.refusal import Kind, Refusal
from jevons.wire.sse import event

_OPENAI_TYPES = {
    Kind.INVALID: "invalid_request_error",
    Kind.AUTHENTICATION: "authentication_error",
    Kind.PERMISSION: "permission_error",
    Kind.NOT_FOUND: "invalid_request_error",
    Kind.TOO_LARGE: "invalid_request_error",
    Kind.CONFLICT: "invalid_request_error",
    Kind.BUDGET: "insufficient_quota",
    Kind.RATE_LIMIT: "rate_limit_error",
    Kind.UPSTREAM: "server_error",
    Kind.UNAVAILABLE: "server_error",
    Kind.TIMEOUT: "server_error",
    Kind.INTERNAL: "server_error",
}
_ANTHROPIC_TYPES = {
    Kind.INVALID: "invalid_request_error",
    Kind.AUTHENTICATION: "authentication_error",
    Kind.PERMISSION: "permission_error",
    Kind.NOT_FOUND: "not_found_error",
    Kind.TOO_LARGE: "request_too_large",
    Kind.CONFLICT: "invalid_request_error",
    Kind.BUDGET: "billing_error",
    Kind.RATE_LIMIT: "rate_limit_error",
    Kind.UPSTREAM: "api_error",
    Kind.UNAVAILABLE: "overloaded_error",
    Kind.TIMEOUT: "timeout_error",
    Kind.INTERNAL: "api_error",
}
_RETRY_MAY_HELP = frozenset({Kind.RATE_LIMIT, Kind.UNAVAILABLE})
ANTHROPIC = frozenset({Dialect.MESSAGES, Dialect.COUNT_TOKENS})


def error_body(refusal: Refusal, dialect: Dialect, request_id: str) -> bytes:
    """JSON body of an error answer."""
    if dialect in ANTHROPIC:
        error: dict[str, object] = {"type": _ANTHROPIC_TYPES[refusal.kind], "message": refusal.message}
        if refusal.detail:
            error["jevons"] = refusal.detail
        return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})
    error = {"message": refusal.message, "type": _OPENAI_TYPES[refusal.kind], "param": refusal.param, "code": refusal.code}
    if refusal.detail:
        error["jevons"] = refusal.detail
    return msgspec.json.encode({"error": error})


def error_headers(refusal: Refusal) -> list[tuple[bytes, bytes]]:
    """Headers that tell a client whether trying again can help."""
    headers = [(b"content-type", b"application/json")]
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode()))
    if refusal.spent or refusal.kind not in _RETRY_MAY_HELP:
        headers.append((b"x-should-retry", b"false"))
    return headers


def failed_response(refusal: Refusal, request_id: str, created_s: int) -> bytes:
    """A denial as the one event of a streamed Responses answer: a client that makes nothing of a status shows its words.

    `invalid_prompt` is the code after which none tries again (measured with Codex).
    """
    error = {"code": "invalid_prompt", "message": refusal.message}
    response = {"id": request_id, "object": "response", "created_at": created_s, "status": "failed", "error": error, "output": []}
    return event("response.failed", msgspec.json.encode({"type": "response.failed", "sequence_number": 0, "response": response}))


def error_event(refusal: Refusal, dialect: Dialect, request_id: str) -> bytes:
    """The event that ends a stream which cannot be finished; the connection is closed after it without a clean end."""
    if dialect in ANTHROPIC:
        return event("error", error_body(refusal, dialect, request_id))
    if dialect is Dialect.RESPONSES:
        body = {"type": "error", "code": refusal.code, "message": refusal.message, "param": refusal.param, "sequence_number": 0}
        return event("error", msgspec.json.encode(body))
    return event("", error_body(refusal, dialect, request_id))
