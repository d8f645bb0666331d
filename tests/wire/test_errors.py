"""Every refusal in every dialect: the official SDKs raise the error that it means."""

import http.server
import json
import threading
from typing import Any

import anthropic
import openai
import pytest

from jevons.core.ask import Dialect
from jevons.core.refusal import Kind, Refusal, invalid
from jevons.wire.errors import error_body, error_event, error_headers
from jevons.wire.sse import events

KINDS = [
    (Kind.INVALID, 400, "invalid_request_error", "invalid_request_error"),
    (Kind.AUTHENTICATION, 401, "authentication_error", "authentication_error"),
    (Kind.PERMISSION, 403, "permission_error", "permission_error"),
    (Kind.NOT_FOUND, 404, "invalid_request_error", "not_found_error"),
    (Kind.TOO_LARGE, 413, "invalid_request_error", "request_too_large"),
    (Kind.CONFLICT, 409, "invalid_request_error", "invalid_request_error"),
    (Kind.BUDGET, 402, "insufficient_quota", "billing_error"),
    (Kind.RATE_LIMIT, 429, "rate_limit_error", "rate_limit_error"),
    (Kind.UPSTREAM, 502, "server_error", "api_error"),
    (Kind.UNAVAILABLE, 503, "server_error", "overloaded_error"),
    (Kind.TIMEOUT, 504, "server_error", "timeout_error"),
    (Kind.INTERNAL, 500, "server_error", "api_error"),
]
WAITING_HELPS = {Kind.RATE_LIMIT, Kind.UNAVAILABLE}


def test_every_kind_is_here() -> None:
    assert {kind for kind, *_ in KINDS} == set(Kind)


@pytest.mark.parametrize(("kind", "status", "openai_type", "anthropic_type"), KINDS, ids=[one[0] for one in KINDS])
def test_a_kind_in_both_shapes(kind: Kind, status: int, openai_type: str, anthropic_type: str) -> None:
    refusal = Refusal(kind, status, "what to do", code="the_code", param="model", detail={"limit_nusd": 5})
    for dialect in (Dialect.CHAT, Dialect.RESPONSES, Dialect.EMBEDDINGS):
        assert json.loads(error_body(refusal, dialect, "req_1")) == {
            "error": {
                "message": "what to do",
                "type": openai_type,
                "param": "model",
                "code": "the_code",
                "jevons": {"limit_nusd": 5},
            }
        }
    for dialect in (Dialect.MESSAGES, Dialect.COUNT_TOKENS):
        assert json.loads(error_body(refusal, dialect, "req_1")) == {
            "type": "error",
            "error": {"type": anthropic_type, "message": "what to do", "jevons": {"limit_nusd": 5}},
            "request_id": "req_1",
        }
    assert ((b"x-should-retry", b"false") in error_headers(refusal)) == (kind not in WAITING_HELPS)
    refusal.spent = True
    assert (b"x-should-retry", b"false") in error_headers(refusal)


def test_no_detail_adds_no_member() -> None:
    assert b"jevons" not in error_body(invalid("x"), Dialect.CHAT, "r") + error_body(invalid("x"), Dialect.MESSAGES, "r")
    assert json.loads(error_body(invalid("x"), Dialect.CHAT, "r"))["error"]["code"] == "invalid_request"


def test_a_wait_is_whole_seconds() -> None:
    headers = dict(error_headers(Refusal(Kind.RATE_LIMIT, 429, "x", retry_after_s=3)))
    assert headers[b"retry-after"] == b"3"
    assert b"retry-after" not in dict(error_headers(invalid("x")))


@pytest.mark.parametrize(
    ("dialect", "name", "message_at"),
    [
        (Dialect.CHAT, "", ("error", "message")),
        (Dialect.MESSAGES, "error", ("error", "message")),
        (Dialect.RESPONSES, "error", ("message",)),
    ],
)
def test_the_event_that_ends_a_broken_stream(dialect: Dialect, name: str, message_at: tuple[str, ...]) -> None:
    raw = error_event(Refusal(Kind.UPSTREAM, 502, "it broke off\nreally", code="upstream_error"), dialect, "req_1")
    [(found, data, whole)] = list(events(raw))
    assert (found, whole) == (name, raw)
    value = json.loads(data)
    for member in message_at:
        value = value[member]
    assert value == "it broke off\nreally"


RAISED = [
    (400, openai.BadRequestError, anthropic.BadRequestError),
    (401, openai.AuthenticationError, anthropic.AuthenticationError),
    (403, openai.PermissionDeniedError, anthropic.PermissionDeniedError),
    (404, openai.NotFoundError, anthropic.NotFoundError),
    (409, openai.ConflictError, anthropic.ConflictError),
    (429, openai.RateLimitError, anthropic.RateLimitError),
    (502, openai.InternalServerError, anthropic.InternalServerError),
]


@pytest.mark.parametrize(("status", "of_openai", "of_anthropic"), RAISED, ids=[str(one[0]) for one in RAISED])
def test_the_sdks_raise_what_is_meant(status: int, of_openai: type[Exception], of_anthropic: type[Exception]) -> None:
    """With their own retries on: what they are told makes them stop at once."""
    kind = next(kind for kind, number, *_ in KINDS if number == status)
    refusal = Refusal(kind, status, "what to do")
    refusal.spent = True
    asked: list[str] = []

    class Door(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            body = error_body(refusal, Dialect.MESSAGES if self.path.endswith("messages") else Dialect.CHAT, "req_1")
            self.send_response(status)
            for name, value in [*error_headers(refusal), (b"content-length", str(len(body)).encode())]:
                self.send_header(name.decode(), value.decode())
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Door) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        with openai.OpenAI(base_url=f"{url}/v1", api_key="k") as gpt, pytest.raises(of_openai, match="what to do"):
            gpt.chat.completions.create(model="m", messages=[])
        with anthropic.Anthropic(base_url=url, api_key="k") as claude, pytest.raises(of_anthropic, match="what to do"):
            claude.messages.create(model="m", max_tokens=1, messages=[])
        server.shutdown()
        thread.join()
    assert len(asked) == 2
