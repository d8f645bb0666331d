"""A client that goes away: before the first byte, mid-stream, after usage but before the end event, right after it.

Each is charged as docs/ledger.md says under "Estimates"; the stand-in bills hidden reasoning too. The upstream's connection is closed.
"""

import json
import socket
import struct
from typing import Any

import pytest

from tests.gateway.asking import Gateway, Key, marker
from tests.provider.bare import connected, read_until, request_bytes

MODELS = {"chat": "gpt-4o", "messages": "claude-sonnet-4-5", "responses": "gpt-4o"}
END = {"chat": b"data: [DONE]\n\n", "messages": b"event: message_stop", "responses": b"event: response.completed"}
FIRST_TEXT = {"chat": b'"content":"one', "messages": b'"text":"one', "responses": b'"delta":"one'}
SLOW = {"reply": " ".join(["one", *["more"] * 199]), "chunks": 200, "delay_ms": 20}


def hang_up(sock: socket.socket) -> None:
    """Leaves as a killed client does: a reset, not a goodbye."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def leave(gateway: Gateway, key: Key, door: str, stream: bool, after: bytes, model: str = "", **script: Any) -> None:
    """Asks, reads up to `after` (nothing if empty), and is gone."""
    about = request_bytes(door, stream, script, model=model or MODELS[door], key=key.secret)
    about = about.replace(b"host: x", b"host: localhost")
    with connected(int(gateway.url.rpartition(":")[2])) as sock:
        sock.sendall(about)
        if after:
            read_until(sock, after)
        else:
            wait_received(gateway, script["marker"])
        hang_up(sock)


def wait_received(gateway: Gateway, mark: str) -> None:
    """The upstream has the request: it is too late for nothing to have happened."""
    for _ in range(10_000):
        if gateway.attempts(mark):
            return
    raise AssertionError("the stand-in never saw the request")


@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
def test_before_the_first_byte_of_a_whole_answer(gateway: Gateway, key: Key, door: str) -> None:
    """The provider finishes and bills unheard; nobody can say what: the hold is charged."""
    mark = marker()
    leave(gateway, key, door, False, b"", marker=mark, reply="one two", first_delay_ms=1500)
    [entry] = gateway.settled(key, 1)
    assert (entry["outcome"], entry["estimate"]) == ("cancelled", "hold")
    attempt = gateway.attempt(mark)
    assert attempt.how == "client_gone"
    provider = "anthropic" if door == "messages" else "openai"
    assert entry["held_nusd"] == entry["billed_nusd"] >= gateway.cost_nusd(provider, MODELS[door], attempt.bill) > 0


@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
def test_before_the_first_event(gateway: Gateway, key: Key, door: str) -> None:
    """A model that shows all it makes: input, nothing seen, and what may be under way."""
    mark = marker()
    leave(gateway, key, door, True, b"", marker=mark, first_delay_ms=1500, **SLOW)
    [entry] = gateway.settled(key, 1)
    assert (entry["outcome"], entry["estimate"], entry["output"]) == ("cancelled", "seen", 64)
    attempt = gateway.attempt(mark)
    assert attempt.how == "client_gone"
    assert entry["billed_nusd"] >= gateway.cost_nusd("anthropic" if door == "messages" else "openai", MODELS[door], attempt.bill)


@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
def test_mid_stream(gateway: Gateway, key: Key, door: str) -> None:
    mark = marker()
    leave(gateway, key, door, True, FIRST_TEXT[door], marker=mark, **SLOW)
    [entry] = gateway.settled(key, 1)
    assert (entry["outcome"], entry["estimate"]) == ("cancelled", "seen")
    attempt = gateway.attempt(mark)
    assert attempt.how == "client_gone"
    assert attempt.bill is not None
    assert attempt.bill.output < 200
    assert entry["output"] >= attempt.bill.output
    assert entry["billed_nusd"] >= gateway.cost_nusd("anthropic" if door == "messages" else "openai", MODELS[door], attempt.bill)


@pytest.mark.parametrize("route", ["chat-to-anthropic", "messages-to-openai"])
def test_mid_stream_of_a_translated_answer(gateway: Gateway, key: Key, route: str) -> None:
    door, _, provider = route.partition("-to-")
    model = "claude-sonnet-4-5" if provider == "anthropic" else "gpt-4o"
    mark = marker()
    leave(gateway, key, door, True, FIRST_TEXT[door], model, marker=mark, **SLOW)
    [entry] = gateway.settled(key, 1)
    attempt = gateway.attempt(mark)
    assert (entry["outcome"], entry["estimate"], attempt.how) == ("cancelled", "seen", "client_gone")
    assert entry["billed_nusd"] >= gateway.cost_nusd(provider, model, attempt.bill) > 0


@pytest.mark.parametrize("door", ["chat", "responses"])
def test_mid_stream_of_a_model_that_may_reason_unseen(gateway: Gateway, key: Key, door: str) -> None:
    """Reasoning is billed before a word is seen."""
    mark = marker()
    leave(gateway, key, door, True, FIRST_TEXT[door], "gpt-5", marker=mark, reasoning=300, **{**SLOW, "delay_ms": 5})
    [entry] = gateway.settled(key, 1)
    assert (entry["outcome"], entry["estimate"]) == ("cancelled", "hold")
    attempt = gateway.attempt(mark)
    assert attempt.bill is not None
    assert attempt.bill.reasoning == 300
    assert entry["held_nusd"] == entry["billed_nusd"] >= gateway.cost_nusd("openai", "gpt-5", attempt.bill)


def test_mid_stream_with_thinking_on(gateway: Gateway, key: Key) -> None:
    mark = marker()
    text = "@@" + json.dumps({"marker": mark, "thinking": "so far", **SLOW})
    body = {"model": "claude-sonnet-4-5", "max_tokens": 5000, "stream": True, "messages": [{"role": "user", "content": text}]}
    body["thinking"] = {"type": "enabled", "budget_tokens": 2000}
    data = json.dumps(body).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key.secret}\r\ncontent-length: {len(data)}\r\n\r\n"
    with connected(int(gateway.url.rpartition(":")[2])) as sock:
        sock.sendall(head.encode() + data)
        read_until(sock, FIRST_TEXT["messages"])
        hang_up(sock)
    [entry] = gateway.settled(key, 1)
    assert (entry["outcome"], entry["estimate"]) == ("cancelled", "hold")


def test_after_usage_but_before_the_end(gateway: Gateway, key: Key) -> None:
    """The provider has said what it bills: that is what is charged, whoever listens."""
    mark = marker()
    script = {"marker": mark, "reply": "one two three", "delay_ms": 100, "chunks": 1}
    leave(gateway, key, "chat", True, b'"usage":{', **script)
    [entry] = gateway.settled(key, 1)
    attempt = gateway.attempt(mark)
    assert attempt.bill is not None
    assert entry["estimate"] == ""
    assert (entry["input"], entry["output"]) == (attempt.bill.input, attempt.bill.output)
    assert entry["billed_nusd"] == gateway.cost_nusd("openai", "gpt-4o", attempt.bill)


@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
def test_right_after_the_end_event_is_success(gateway: Gateway, key: Key, door: str) -> None:
    mark = marker()
    leave(gateway, key, door, True, END[door], marker=mark, reply="one two three")
    [entry] = gateway.settled(key, 1)
    attempt = gateway.attempt(mark)
    assert (entry["outcome"], entry["estimate"], attempt.how) == ("ok", "", "complete")
    assert entry["billed_nusd"] == gateway.cost_nusd("anthropic" if door == "messages" else "openai", MODELS[door], attempt.bill)


@pytest.mark.parametrize("stream", [False, True])
def test_drain_hears_it_to_the_end(gateway: Gateway, key: Key, stream: bool) -> None:
    """on_disconnect = "drain": the exact cost, at the price of the whole answer."""
    mark = marker()
    after = FIRST_TEXT["chat"] if stream else b""
    script = {"reply": "one two three four", "chunks": 4, "delay_ms": 60, "first_delay_ms": 800}
    leave(gateway, key, "chat", stream, after, "drain/gpt-4o", marker=mark, **script)
    [entry] = gateway.settled(key, 1)
    attempt = gateway.attempt(mark)
    assert attempt.how == "complete"
    assert attempt.bill is not None
    assert (entry["outcome"], entry["estimate"], entry["output"]) == ("cancelled", "", attempt.bill.output)
    assert entry["billed_nusd"] == gateway.cost_nusd("openai", "gpt-4o", attempt.bill)


def test_gone_while_its_body_is_still_coming(gateway: Gateway, key: Key) -> None:
    """Nothing was asked, so nothing is written."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key.secret}\r\ncontent-length: 500\r\n\r\n{{"
    with connected(int(gateway.url.rpartition(":")[2])) as sock:
        sock.sendall(head.encode())
        hang_up(sock)
    assert gateway.post("chat", key, {"model": "gpt-4o", "messages": []}).status in (200, 400)
    assert len(gateway.ids(key)) <= 1
