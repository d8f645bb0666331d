"""The stand-in's books: clients that leave, a stand-in that is stopped, TLS, queued scripts."""

import asyncio
import json
import socket
import ssl

import openai
import pytest

from tests.provider import Bill, Provider
from tests.provider.bare import TIMEOUT_S, connected, read_all, read_until, request_bytes

SLOW = {"reply": "eins zwei drei vier", "reasoning": 400, "chunks": 4, "delay_ms": 20}


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_before_the_first_byte_pays_the_input(provider: Provider, marker: str, stream: bool) -> None:
    with connected(provider.port) as sock:
        sock.sendall(request_bytes("chat", stream, {**SLOW, "first_delay_ms": 60_000, "marker": marker}))
    [attempt] = provider.attempts(marker)
    assert attempt.how == "client_gone"
    assert attempt.bill is not None
    assert attempt.bill.input > 0
    # A stream stops; an answer that is not streamed is made to its end, unheard.
    assert (attempt.bill.output, attempt.bill.reasoning) == ((0, 0) if stream else (404, 400))


def test_who_leaves_after_hidden_reasoning_pays_for_it(provider: Provider, marker: str) -> None:
    # message_start, four steps of reasoning, content_block_start, ping: no text yet
    with connected(provider.port) as sock:
        sock.sendall(request_bytes("messages", True, {**SLOW, "fault": "hang_mid_stream", "fault_at": 7, "marker": marker}))
        assert b"text_delta" not in read_until(sock, b"event: ping")
    [attempt] = provider.attempts(marker)
    assert attempt.how == "client_gone"
    assert attempt.bill is not None
    assert (attempt.bill.output, attempt.bill.reasoning) == (400, 400)


def test_who_leaves_in_the_middle_pays_what_was_made(provider: Provider, marker: str) -> None:
    with connected(provider.port) as sock:
        sock.sendall(request_bytes("messages", True, {**SLOW, "fault": "hang_mid_stream", "fault_at": 9, "marker": marker}))
        read_until(sock, b"zwei")
    [attempt] = provider.attempts(marker)
    assert attempt.how == "client_gone"
    assert attempt.bill is not None
    assert (attempt.bill.output, attempt.bill.reasoning) == (402, 400)


def test_a_provider_that_finishes_unheard_bills_it_all(provider: Provider, marker: str) -> None:
    with connected(provider.port) as sock:
        sock.sendall(request_bytes("messages", True, {**SLOW, "on_disconnect": "finish", "marker": marker}))
        read_until(sock, b"message_start")
    [attempt] = provider.attempts(marker)
    assert attempt.bill is not None
    assert attempt.bill.output == 404


def test_who_leaves_after_the_last_byte_has_had_it_all(provider: Provider, marker: str) -> None:
    with connected(provider.port) as sock:
        sock.sendall(request_bytes("chat", True, {"reply": "a b", "marker": marker}))
        read_until(sock, b"[DONE]")
    [attempt] = provider.attempts(marker)
    assert attempt.how == "complete"


def test_who_leaves_in_its_own_request_was_never_there(provider: Provider) -> None:
    before = len(provider.attempts())
    with connected(provider.port) as sock:
        sock.sendall(request_bytes("chat", True, SLOW)[:-5])
    assert len(provider.attempts()) == before


def test_the_bill_is_written_before_the_usage_is_seen(provider: Provider, marker: str) -> None:
    with connected(provider.port) as sock:
        sock.sendall(request_bytes("chat", True, {**SLOW, "marker": marker}))
        read_until(sock, b'"usage":{')
        [attempt] = [attempt for attempt in provider.attempts_now() if attempt.marker == marker]
        assert attempt.bill is not None
        assert attempt.usage is not None
        assert attempt.usage["completion_tokens"] == attempt.bill.output == 404
        read_until(sock, b"\r\n0\r\n\r\n")


def test_a_stop_leaves_no_request_without_an_end() -> None:
    with Provider() as provider, connected(provider.port) as sock:
        sock.sendall(request_bytes("chat", True, {**SLOW, "fault": "hang_mid_stream"}))
        read_until(sock, b"eins")
        provider.stop()
        [attempt] = provider.attempts()
    assert attempt.how == "stopped"
    assert attempt.bill is not None
    assert 400 < attempt.bill.output < 404


def test_queued_scripts_come_first_and_in_order(provider: Provider, marker: str) -> None:
    provider.script({"reply": "first", "marker": marker}, {"reply": "second", "marker": marker})
    with connected(provider.port) as sock:
        for word in (b"first", b"second", b"third"):
            sock.sendall(request_bytes("chat", False, {"reply": "third"}))
            assert word in read_all(sock).body
    assert len(provider.attempts(marker)) == 2
    with pytest.raises(ValueError, match="unknown fault"):
        provider.script({"fault": "flood"})


def test_bodies_and_headers_are_kept_as_sent(provider: Provider, marker: str) -> None:
    sent = request_bytes("chat", False, {"marker": marker}, "X-Twice: a", "X-Twice: b")
    with connected(provider.port) as sock:
        sock.sendall(sent)
        read_all(sock)
    [attempt] = provider.attempts(marker)
    assert attempt.body == sent.partition(b"\r\n\r\n")[2]
    assert [value for name, value in attempt.received["headers"] if name == "X-Twice"] == ["a", "b"]


def test_tls_with_its_own_authority() -> None:
    with Provider(tls=True) as provider:
        assert provider.ca is not None
        trusted = ssl.create_default_context(cafile=provider.ca)
        with (
            socket.create_connection(("127.0.0.1", provider.port), timeout=TIMEOUT_S) as plain,
            trusted.wrap_socket(plain, server_hostname="localhost") as sock,
        ):
            sock.sendall(request_bytes("chat", True, {"reply": "hello", "fault": "reset_mid_stream"}))
            seen = read_all(sock)
        assert seen.reset or not seen.finished
        [attempt] = provider.attempts()
        assert attempt.how == "fault"


def test_many_at_once_are_all_in_the_books(provider: Provider, marker: str) -> None:
    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=provider.openai_url, api_key="k") as client:
            script = "@@" + json.dumps({"tokens_out": 50, "marker": marker, "delay_ms": 1})
            one = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": script}])
            rest = [
                client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": script}]) for _ in range(39)
            ]
            await asyncio.gather(one, *rest)

    asyncio.run(run())
    attempts = provider.attempts(marker)
    assert len(attempts) == 40
    assert {attempt.how for attempt in attempts} == {"complete"}
    assert sum((attempt.bill or Bill()).output for attempt in attempts) == 2000
