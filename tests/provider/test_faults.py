"""Every fault of the stand-in, seen from a bare socket, and what its journal says of it."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.provider import FAULTS, STREAM_FAULTS, Bill, Provider
from tests.provider.bare import PATHS, Seen, connected, read_all, request_bytes
from tests.provider.journal import Attempt

REPLY = "eins zwei drei Köln 日本 🙂 sieben acht"


def run(provider: Provider, marker: str, door: str = "chat", stream: bool = True, **script: Any) -> tuple[Seen, Attempt]:
    """One request to its end; the stand-in's journal of it."""
    with connected(provider.port) as sock:
        sock.sendall(request_bytes(door, stream, {"reply": REPLY, "marker": marker, **script}))
        seen = read_all(sock)
    [attempt] = provider.attempts(marker)
    return seen, attempt


def output(attempt: Attempt) -> int:
    """Billed output tokens."""
    assert attempt.bill is not None
    return attempt.bill.output


def text_of(body: bytes) -> str:
    """The text in a Chat stream."""
    events = [line.removeprefix("data:").strip() for line in body.decode().splitlines() if line.startswith("data:")]
    found = [json.loads(data) for data in events if data != "[DONE]"]
    return "".join(choice["delta"].get("content") or "" for chunk in found for choice in chunk.get("choices", []))


def test_every_fault_has_a_test() -> None:
    source = Path(__file__).read_text()
    assert not [name for name in FAULTS if f'"{name}"' not in source]


@pytest.mark.parametrize("door", PATHS)
@pytest.mark.parametrize("stream", [True, False])
def test_a_sound_answer_is_complete_and_its_bytes_are_in_the_journal(
    provider: Provider, marker: str, door: str, stream: bool
) -> None:
    seen, attempt = run(provider, marker, door, stream)
    assert seen.finished
    assert output(attempt) == 8
    assert attempt.ended is not None
    assert (attempt.how, attempt.ended["body_bytes"]) == ("complete", len(seen.body))
    assert attempt.received["whole"] is True


@pytest.mark.parametrize("status", [400, 429, 500, 503, 529])
@pytest.mark.parametrize("door", PATHS)
def test_status(provider: Provider, marker: str, door: str, status: int) -> None:
    seen, attempt = run(provider, marker, door, fault="status", status=status, retry_after=3)
    assert f"HTTP/1.1 {status} ".encode() in seen.head
    assert b"retry-after: 3" in seen.head
    assert json.loads(seen.body)["error"]["message"]
    assert attempt.bill == Bill()


def test_status_from_the_edge_is_a_page(provider: Provider, marker: str) -> None:
    seen, _ = run(provider, marker, fault="status", status=502)
    assert b"text/html" in seen.head
    assert b"cloudflare" in seen.body


def test_a_fault_can_end_after_some_times(provider: Provider, marker: str) -> None:
    with connected(provider.port) as sock:
        heads = []
        for _ in range(3):
            sock.sendall(request_bytes("chat", True, {"fault": "status", "status": 429, "fault_times": 2, "marker": marker}))
            heads.append(read_all(sock).head.split(b"\r\n")[0])
    assert heads == [b"HTTP/1.1 429 Too Many Requests"] * 2 + [b"HTTP/1.1 200 OK"]
    assert len({attempt.received["connection"] for attempt in provider.attempts(marker)}) == 1


@pytest.mark.parametrize("billed", [None, "all"])
def test_reset_before_headers(provider: Provider, marker: str, billed: str | None) -> None:
    seen, attempt = run(provider, marker, fault="reset_before_headers", billed=billed)
    assert (seen.wire, seen.reset, attempt.how) == (b"", True, "fault")
    assert output(attempt) == (8 if billed else 0)


def test_hang_before_headers(provider: Provider, marker: str) -> None:
    seen, attempt = run(provider, marker, fault="hang_before_headers", hang_ms=20)
    assert (seen.wire, seen.reset, attempt.bill) == (b"", True, Bill())


@pytest.mark.parametrize("door", PATHS)
@pytest.mark.parametrize(("fault", "reset"), [("reset_mid_stream", True), ("hang_mid_stream", True), ("eof_mid_stream", False)])
@pytest.mark.parametrize("stream", [True, False])
def test_broken_off_in_the_middle(provider: Provider, marker: str, door: str, fault: str, reset: bool, stream: bool) -> None:
    seen, attempt = run(provider, marker, door, stream, fault=fault, hang_ms=20)
    assert (seen.finished, seen.reset, attempt.how) == (False, reset, "fault")
    assert seen.body
    assert 0 < output(attempt) < 8 if stream else output(attempt) == 8


@pytest.mark.parametrize("door", PATHS)
def test_clean_end_without_terminal(provider: Provider, marker: str, door: str) -> None:
    seen, attempt = run(provider, marker, door, fault="clean_end_without_terminal")
    assert seen.finished
    assert not any(word in seen.body for word in (b"[DONE]", b"message_stop", b"response.completed", b'"stop"', b"message_delta"))
    assert output(attempt) == 8


@pytest.mark.parametrize("door", PATHS)
def test_error_event_after_200(provider: Provider, marker: str, door: str) -> None:
    seen, attempt = run(provider, marker, door, fault="error_event_after_200")
    assert seen.finished
    assert b"error" in seen.chunks[-1]
    assert 0 < output(attempt) < 8


def test_response_failed(provider: Provider, marker: str) -> None:
    seen, _ = run(provider, marker, "responses", fault="response_failed", code="server_is_overloaded")
    failed = json.loads(seen.chunks[-1].split(b"data: ")[1])
    assert (failed["type"], failed["response"]["error"]["code"]) == ("response.failed", "server_is_overloaded")


def test_redirect(provider: Provider, marker: str) -> None:
    seen, attempt = run(provider, marker, fault="redirect", location="http://elsewhere.invalid/v1")
    assert seen.head.startswith(b"HTTP/1.1 307")
    assert b"location: http://elsewhere.invalid/v1" in seen.head
    assert attempt.bill == Bill()


def test_early_response(provider: Provider, marker: str) -> None:
    provider.script({"fault": "early_response", "status": 413, "marker": marker})
    with connected(provider.port) as sock:
        sock.sendall(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{")
        seen = read_all(sock)
    [attempt] = provider.attempts(marker)
    assert b"413 Payload Too Large" in seen.head
    assert b"request_too_large" in seen.body
    assert (attempt.received["whole"], attempt.bill) == (False, Bill())


def test_slow_loris(provider: Provider, marker: str) -> None:
    seen, attempt = run(provider, marker, stream=False, fault="slow_loris", reply="x", headers={"x-slow": "1"})
    assert seen.finished
    assert attempt.how == "complete"


@pytest.mark.parametrize("stream", [True, False])
def test_wrong_content_type(provider: Provider, marker: str, stream: bool) -> None:
    seen, _ = run(provider, marker, stream=stream, fault="wrong_content_type")
    assert b"content-type: text/html" in seen.head
    assert seen.finished


@pytest.mark.parametrize("stream", [True, False])
def test_invalid_json(provider: Provider, marker: str, stream: bool) -> None:
    seen, attempt = run(provider, marker, stream=stream, fault="invalid_json")
    assert seen.finished
    assert b"content-type: application/json" in seen.head
    with pytest.raises(ValueError, match="Unterminated string"):
        json.loads(seen.body)
    assert output(attempt) == 8


def test_gzip_bomb(provider: Provider, marker: str) -> None:
    seen, _ = run(provider, marker, stream=False, fault="gzip_bomb", size_bytes=64 * 2**20)
    assert b"content-encoding: gzip" in seen.head
    assert len(seen.body) < 100_000
    assert len(zlib.decompress(seen.body, 31)) == 64 * 2**20


def test_answer_too_large(provider: Provider, marker: str) -> None:
    with connected(provider.port) as sock:
        sock.sendall(request_bytes("chat", False, {"fault": "answer_too_large", "reply": "x", "marker": marker}))
        assert len(read_all(sock, 3 * 2**20).wire) >= 3 * 2**20
    [attempt] = provider.attempts(marker)
    assert (attempt.how, output(attempt)) == ("client_gone", 1)


def test_keepalive_close(provider: Provider, marker: str) -> None:
    with connected(provider.port) as sock:
        sock.sendall(request_bytes("chat", True, {"fault": "keepalive_close", "marker": marker}))
        assert read_all(sock).finished
        assert sock.recv(1) == b""


@pytest.mark.parametrize("door", PATHS)
def test_usage_absent(provider: Provider, marker: str, door: str) -> None:
    for stream in (True, False):
        with connected(provider.port) as sock:
            sock.sendall(request_bytes(door, stream, {"reply": REPLY, "fault": "usage_absent", "marker": marker}))
            body = read_all(sock).body.replace(b'"usage": null', b"").replace(b'"usage":null', b"")
        assert b'"usage"' not in body
    assert [output(attempt) for attempt in provider.attempts(marker)] == [8, 8]


@pytest.mark.parametrize("door", PATHS)
def test_usage_twice(provider: Provider, marker: str, door: str) -> None:
    seen, attempt = run(provider, marker, door, fault="usage_twice")
    tell = {"chat": b'"usage":{', "responses": b'"usage":{', "messages": b"event: message_delta"}[door]
    assert seen.body.count(tell) == 2
    assert output(attempt) == 8


def test_usage_on_delta_chunk(provider: Provider, marker: str) -> None:
    seen, _ = run(provider, marker, fault="usage_on_delta_chunk")
    [chunk] = [json.loads(c.removeprefix(b"data: ")) for c in seen.chunks if b'"usage":{' in c]
    assert chunk["choices"][0]["finish_reason"] == "stop"


def test_usage_unasked(provider: Provider, marker: str) -> None:
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": '@@{"fault": "usage_unasked"}'}]}
    data = json.dumps(body).encode()
    with connected(provider.port) as sock:
        lines = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-length: {len(data)}\r\n\r\n"
        sock.sendall(lines.encode() + data)
        assert b'"choices":[],"usage":{' in read_all(sock).body


@pytest.mark.parametrize("door", PATHS)
@pytest.mark.parametrize("fault", sorted(name for name in STREAM_FAULTS if name.startswith("sse_")))
def test_strangely_written_streams_are_billed_like_others(provider: Provider, marker: str, door: str, fault: str) -> None:
    plain, _ = run(provider, marker + "plain", door, interleave=True)
    seen, attempt = run(provider, marker, door, fault=fault, size_bytes=10**6)
    assert seen.finished
    assert output(attempt) == 8
    assert seen.body != plain.body


def test_how_events_are_written(provider: Provider, marker: str) -> None:
    def body(fault: str | None) -> Seen:
        return run(provider, f"{marker}/{fault}", fault=fault, size_bytes=10**6)[0]

    assert b"\r\n\r\n" in body("sse_crlf").body
    assert b": keep-alive\n" in body("sse_comments").body
    assert b"data:{" in body("sse_no_space").body
    assert max(map(len, body("sse_split_bytes").chunks)) == 7
    assert max(chunk.count(b"\n\n") for chunk in body("sse_joined").chunks) == 2
    assert body("sse_no_final_blank").body.endswith(b"data: [DONE]\n")
    assert max(map(len, body("sse_huge_line").body.splitlines())) > 10**6
    assert len(text_of(body("sse_huge_event").body)) > 10**6
    with pytest.raises(UnicodeDecodeError):
        body("sse_split_utf8").chunks[2].decode()
    for sound in (
        "sse_crlf",
        "sse_comments",
        "sse_no_space",
        "sse_split_bytes",
        "sse_joined",
        "sse_no_final_blank",
        "sse_split_utf8",
    ):
        assert text_of(run(provider, f"{marker}/again/{sound}", fault=sound)[0].body) == REPLY
    with pytest.raises(ValueError, match="Expecting"):
        text_of(body("sse_malformed").body)
    assert body("sse_malformed_joined").chunks[0].count(b"\n\n") > 1


def test_stream_faults_need_a_stream(provider: Provider, marker: str) -> None:
    with connected(provider.port) as sock:
        sock.sendall(request_bytes("chat", False, {"fault": "sse_crlf", "marker": marker}))
        assert b"exists only in streams" in read_all(sock).body


def test_gzip_only_for_those_who_accept_it(provider: Provider, marker: str) -> None:
    with connected(provider.port) as sock:
        sock.sendall(request_bytes("chat", False, {"reply": REPLY, "marker": marker}, "accept-encoding: gzip, br"))
        seen = read_all(sock)
    assert b"content-encoding: gzip" in seen.head
    assert json.loads(gzip.decompress(seen.body))["choices"][0]["message"]["content"] == REPLY
