"""A gateway that is stopped while calls are open, clients that stop reading, connections that are used again."""

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.gateway.asking import PATHS, Gateway, Got, Key, body_of, connection, marker
from tests.provider import Provider
from tests.provider.bare import connected, read_until, request_bytes
from tests.running import Jevons, upstream


@pytest.fixture
def stoppable(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    table = upstream("openai", standin.openai_url, provider="openai", models=("gpt-*",), retries=0)
    with Jevons(tmp_path_factory.mktemp("stop") / "home", table) as jevons:
        yield Gateway(jevons, standin)


def test_a_stop_lets_open_calls_finish(stoppable: Gateway) -> None:
    """The stream comes to its end, the entry is written, nobody is let in meanwhile."""
    key, mark, answers = stoppable.key(10**12), marker(), list[Got]()
    body = body_of("chat", "gpt-4o", True, marker=mark, reply="one two three four", chunks=4, delay_ms=200)
    asking = threading.Thread(target=lambda: answers.append(stoppable.post("chat", key, body)))
    asking.start()
    while not stoppable.attempts(mark):
        pass
    stoppable.jevons.stop()
    asking.join()
    assert answers[0].whole
    assert answers[0].events[-1] == ("", b"[DONE]")
    assert [(entry["outcome"], entry["estimate"]) for entry in stoppable.entries(key)] == [("ok", "")]


def test_a_stop_in_a_hurry_loses_nothing(stoppable: Gateway) -> None:
    """Two Ctrl-C: it goes at once. Whatever was open has its entry, now or after the next start."""
    key, mark = stoppable.key(10**12), marker()
    raw = request_bytes("chat", True, {"reply": "one " * 50, "chunks": 50, "delay_ms": 100, "marker": mark}, key=key.secret)
    with connected(int(stoppable.url.rpartition(":")[2])) as sock:
        sock.sendall(raw.replace(b"host: x", b"host: localhost"))
        read_until(sock, b'"content":"one')
        os.kill(stoppable.jevons.pid, signal.SIGINT)
        while is_listening(stoppable):
            pass  # until it has heard the first: two at once are one
        os.kill(stoppable.jevons.pid, signal.SIGINT)
        stoppable.jevons.wait_dead()
    stoppable.jevons.start()
    [entry] = stoppable.settled(key, 1)
    assert entry["outcome"] in ("cancelled", "killed")
    bill = stoppable.attempt(mark).bill
    assert entry["billed_nusd"] >= stoppable.cost_nusd("openai", "gpt-4o", bill) > 0


def is_listening(gateway: Gateway) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", int(gateway.url.rpartition(":")[2]))) == 0


def test_a_client_that_stops_reading_is_not_waited_for(gateway: Gateway, key: Key) -> None:
    """Nor does its answer pile up: after the idle time the call is cut. It is charged whole, or what the provider said before."""
    mark = marker()
    script = {
        "marker": mark,
        "fault": "sse_huge_event",
        "size_bytes": 15_000_000,
        "chunks": 40,
        "reply": "a b c d " * 10,  # it goes on for seconds after the large event: also a slow gateway is still sending then
        "delay_ms": 200,
    }
    raw = request_bytes("chat", True, script, model="hasty-oa/gpt-4o", key=key.secret)
    with connected(int(gateway.url.rpartition(":")[2])) as sock:
        sock.sendall(raw.replace(b"host: x", b"host: localhost"))
        [entry] = gateway.settled(key, 1)
    assert entry["outcome"] in ("cancelled", "timeout")
    bill = gateway.cost_nusd("openai", "gpt-4o", gateway.attempt(mark).bill)
    assert entry["billed_nusd"] == (entry["held_nusd"] if entry["estimate"] == "hold" else bill) >= bill > 0


def test_a_connection_is_used_again_whatever_went_before(gateway: Gateway, key: Key) -> None:
    """Refusals before the body was read, errors, whole answers and streams, on one connection."""
    good = gateway.headers(key)
    large = json.dumps(body_of("chat", "gpt-4o", text="x" * 300_000)).encode()
    small = json.dumps(body_of("chat", "gpt-4o", reply="one two")).encode()
    stream = json.dumps(body_of("chat", "gpt-4o", True, reply="one two")).encode()
    steps: list[tuple[str, str, bytes | None, dict[str, str], int]] = [
        ("POST", PATHS["chat"], large, {"content-type": "application/json"}, 401),
        ("POST", PATHS["chat"], small, good, 200),
        ("POST", "/v1/nothing", large, good, 404),
        ("POST", PATHS["chat"], b"{", good, 400),
        ("POST", PATHS["chat"], stream, good, 200),
        ("GET", "/v1/models", None, good, 200),
        ("HEAD", "/", None, {}, 200),
        ("POST", PATHS["chat"], stream, good, 200),
        ("POST", PATHS["chat"], small, good, 200),
    ]
    with connection(gateway.url) as wire:
        for method, path, body, headers, status in steps:
            wire.request(method, path, body, headers)
            answer = wire.getresponse()
            answer.read()
            assert answer.status == status, (method, path)
    assert len(gateway.ids(key)) == 4


def test_a_broken_stream_ends_its_connection(gateway: Gateway, key: Key) -> None:
    with connection(gateway.url) as wire:
        body = json.dumps(body_of("chat", "gpt-4o", True, fault="reset_mid_stream")).encode()
        wire.request("POST", PATHS["chat"], body, gateway.headers(key))
        with pytest.raises(http.client.IncompleteRead):
            wire.getresponse().read()
