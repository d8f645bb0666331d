"""The HTTP/1.1 client against servers that speak raw bytes: framings, failures and what they say of money, the pool, cancellation."""

import asyncio
import contextlib
import random
import socket
import ssl
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.core import limits
from jevons.gateway.http1 import Route
from jevons.gateway.patience import Patience
from jevons.gateway.settings import UpstreamSettings
from jevons.gateway.upstream import Answer, Broken, NotSent, TimedOut, Upstream
from tests.provider import Provider

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Serve = Callable[[Reader, Writer], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def run(test: Coroutine[Any, Any, None]) -> None:
    """In uvloop, as the gateway does."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test)


class Server:
    """A real server; `serve` handles one connection. `open` and `accepted` count connections, `most` is the largest `open`."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.open = self.accepted = self.most = 0
        self.url = ""

    async def _connected(self, reader: Reader, writer: Writer) -> None:
        self.accepted += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            with contextlib.suppress(
                ConnectionError, asyncio.IncompleteReadError, RuntimeError
            ):  # uvloop: write to a closed transport
                await self._serve(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self.open -= 1

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Server"]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def has_accepted(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.accepted < count:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def all_closed(self) -> None:
        async with asyncio.timeout(20):
            while self.open:  # noqa: ASYNC110 - sockets have no event for it
                await asyncio.sleep(0.005)


async def request_of(reader: Reader) -> tuple[bytes, bytes]:
    """(head, body) of the next request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
    return head, await reader.readexactly(int(length.split(b":")[1]))


def answering(*pieces: bytes, then: str = "stay") -> Serve:
    """Every request gets these pieces, one write after the other; `then` stay, close, or reset."""

    async def serve(reader: Reader, writer: Writer) -> None:
        while True:
            await request_of(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if then == "reset":
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await asyncio.sleep(0.01)  # what was written is read before: a reset would take it away
                writer.transport.abort()
            if then != "stay":
                return

    return serve


@contextlib.asynccontextmanager
async def upstream(**fields: Any) -> AsyncIterator[Upstream]:
    one = Upstream(UpstreamSettings(name="raw", **fields))
    try:
        yield one
    finally:
        await one.close()


async def send(one: Upstream, url: str, body: bytes | None = b"{}", *headers: tuple[str, str], method: str = "POST") -> Answer:
    return await one.send(method, url, list(headers), body, Patience(), stream=False)


async def whole(one: Upstream, url: str, body: bytes | None = b"{}", method: str = "POST") -> tuple[int, bytes]:
    answer = await send(one, url, body, method=method)
    try:
        return answer.status, await answer.read()
    finally:
        await answer.close()


def asked(serve: Serve, times: int = 1, **fields: Any) -> tuple[list[tuple[int, bytes]], int]:
    """The answers to so many calls in a row, and how many connections they took."""
    got: list[tuple[int, bytes]] = []
    accepted = 0

    async def test() -> None:
        nonlocal accepted
        async with Server(serve).listening() as server, upstream(**fields) as one:
            for _ in range(times):
                got.append(await whole(one, server.url))  # noqa: PERF401 - what came before a failure is kept
            accepted = server.accepted
        await server.all_closed()

    run(test())
    return got, accepted


FRAMED = {
    "length": (OK,),
    "split": tuple(OK[at : at + 1] for at in range(len(OK))),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\no\r\n1\r\nk\r\n0\r\ntrailer: t\r\n\r\n",),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", OK),
}


@pytest.mark.parametrize("pieces", FRAMED.values(), ids=FRAMED.keys())
def test_a_connection_is_used_again_after_a_framed_answer(pieces: tuple[bytes, ...]) -> None:
    assert asked(answering(*pieces), times=3) == ([(200, b"ok")] * 3, 1)


DROPPED = {
    "close": (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",),
    "http/1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",),
    "a second answer": (OK + OK,),
    "garbage": (OK + b"garbage",),
}


@pytest.mark.parametrize("pieces", DROPPED.values(), ids=DROPPED.keys())
def test_a_connection_is_not_used_again_after(pieces: tuple[bytes, ...]) -> None:
    assert asked(answering(*pieces), times=3) == ([(200, b"ok")] * 3, 3)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\nserver: x\r\n\r\n"])
def test_only_a_body_without_framing_ends_with_the_connection(head: bytes) -> None:
    assert asked(answering(head, b"o", b"k", then="close"), times=2) == ([(200, b"ok")] * 2, 2)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body(status: int) -> None:
    assert asked(answering(b"HTTP/1.1 %d None\r\n\r\n" % status), times=2) == ([(status, b"")] * 2, 1)


def test_head_has_no_body() -> None:
    async def test() -> None:
        async with Server(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n")).listening() as server, upstream() as one:
            assert (await send(one, server.url, None, method="HEAD")).status == 200

    run(test())


def test_the_request_on_the_wire() -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def serve(reader: Reader, writer: Writer) -> None:
        while True:
            seen.append(await request_of(reader))
            writer.write(b"HTTP/1.1 200 Fine\r\nX-Name: \xe9\r\nX-Name: two\r\ncontent-length: 0\r\n\r\n")

    async def test() -> None:
        async with Server(serve).listening() as server, upstream() as one:
            answer = await send(one, server.url + "/a b?q=1", b"body", ("x-one", "1"))
            assert answer.headers == [("x-name", "é"), ("x-name", "two"), ("content-length", "0")]
            assert await answer.read() == b""
            await whole(one, server.url, None, "DELETE")
            large = random.Random(1).randbytes(3 * limits.UPLOAD_SLICE_BYTES + 7)
            await whole(one, server.url, large)
            port = server.url.rpartition(":")[2].encode()
            host = b"host: 127.0.0.1:" + port + b"\r\n"
            assert seen[0] == (b"POST /a%20b?q=1 HTTP/1.1\r\nx-one: 1\r\n" + host + b"content-length: 4\r\n\r\n", b"body")
            assert seen[1] == (b"DELETE / HTTP/1.1\r\n" + host + b"\r\n", b"")
            assert seen[2][1] == large
            assert server.accepted == 1

    run(test())


BROKEN = {
    "nothing": ((), "close"),
    "reset": ((), "reset"),
    "half a head": ((b"HTTP/1.1 200 OK\r\ncont",), "close"),
    "half a length": ((b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",), "close"),
    "half a chunk": ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nok",), "close"),
    "no last chunk": ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",), "close"),
    "reset in an unframed body": ((b"HTTP/1.1 200 OK\r\n\r\n", b"ok"), "reset"),
    "not http": ((b"SSH-2.0-OpenSSH\r\n",), "stay"),
    "bad chunk": ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",), "stay"),
    "both framings": ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\nok",), "stay"),
    "another protocol": ((b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",), "stay"),
    "endless head": ((b"HTTP/1.1 200 OK\r\n", *[b"x: " + b"y" * 8000 + b"\r\n"] * 10), "stay"),
    "large head": ((b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n",), "stay"),
    "endless hints": ((b"HTTP/1.1 103 Hints\r\nx: 1\r\n\r\n" * 4000,), "stay"),
    "endless trailers": (
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", *[b"x: " + b"y" * 8000 + b"\r\n"] * 10),
        "stay",
    ),
    "packed and cut": ((b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x8b",), "stay"),
}


@pytest.mark.parametrize(("pieces", "then"), BROKEN.values(), ids=BROKEN.keys())
def test_broken(pieces: tuple[bytes, ...], then: str) -> None:
    with pytest.raises(Broken):
        asked(answering(*pieces, then=then))


def test_a_packed_answer_is_unpacked() -> None:
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b"ok") + packer.flush()
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    assert asked(answering(head + packed)) == ([(200, b"ok")], 1)


@pytest.mark.parametrize(
    "header",
    [("x", "a\r\nb: c"), ("x", "a\nb"), ("x\r\n", "a"), ("x", "a\0"), ("x", "€")],
    ids=["crlf", "lf", "name", "zero", "not latin"],
)
def test_a_header_that_would_be_another_request_is_not_sent(header: tuple[str, str]) -> None:
    async def test() -> None:
        async with Server(answering(OK)).listening() as server, upstream() as one:
            with pytest.raises(NotSent):
                await send(one, server.url, b"", header)
            assert server.accepted == 0

    run(test())


@pytest.mark.parametrize(
    "url", ["ftp://host/", "http:///x", "http://host:99999/", "http://a:b@host/", "http://127.0.0.1:1/", "http://no.invalid/"]
)
def test_not_sent(url: str) -> None:
    async def test() -> None:
        async with upstream(connect_timeout_s=5) as one:
            with pytest.raises(NotSent):
                await send(one, url)

    run(test())


def test_a_route_is_ascii_and_names_its_host() -> None:
    route = Route.of("https://bücher.example:444/é?x=%20#gone")
    assert (route.origin.host, route.host, route.target) == (
        "xn--bcher-kva.example",
        "xn--bcher-kva.example:444",
        "/%C3%A9?x=%20",
    )
    assert Route.of("https://[::1]/x").host == "[::1]"
    assert Route.of("http://h").origin == ("http", "h", 80)


def test_a_connection_that_the_server_closed_is_not_used() -> None:
    async def test() -> None:
        async with Server(answering(OK, then="close")).listening() as server, upstream() as one:
            for _ in range(20):
                assert await whole(one, server.url) == (200, b"ok")
                await server.all_closed()

    run(test())


def test_the_kernel_is_asked_whether_the_server_has_closed() -> None:
    """The loop does not run between the server's closing and the next request, so that it cannot have heard of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        async def test() -> None:
            url, one = f"http://127.0.0.1:{listener.getsockname()[1]}", Upstream(UpstreamSettings(name="raw"))
            for _ in range(3):
                call = asyncio.create_task(whole(one, url))
                peer, _ = await asyncio.to_thread(listener.accept)
                await asyncio.to_thread(peer.recv, 1000)
                peer.sendall(OK)
                assert await call == (200, b"ok")
                peer.close()

        run(test())


def test_a_used_connection_that_dies_before_its_answer_is_broken() -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        writer.write(OK)
        await request_of(reader)

    with pytest.raises(Broken, match="closed before"):
        asked(serve, times=2)


def test_an_early_answer_ends_the_upload() -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await asyncio.sleep(60)

    async def test() -> None:
        async with Server(serve).listening() as server, upstream() as one:
            assert await whole(one, server.url, bytes(40 * 2**20)) == (413, b"no")

    run(test())


def test_chunks_come_at_once_and_a_slow_reader_holds_the_upstream_back() -> None:
    size = 40 * 2**20
    written = 0

    async def serve(reader: Reader, writer: Writer) -> None:
        nonlocal written
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (size + 5))
        writer.write(b"first")
        await reader.readexactly(0)
        await asyncio.sleep(0.05)
        while written < size:
            writer.write(bytes(2**16))
            written += 2**16
            await writer.drain()

    async def test() -> None:
        async with Server(serve).listening() as server, upstream() as one:
            answer = await send(one, server.url)
            assert await answer.chunk() == b"first"
            before = -1
            while written != before:  # until the server cannot go on
                before = written
                await asyncio.sleep(0.2)
            assert written < size
            assert len(await answer.read()) == size
            await answer.close()

    run(test())


@settings(max_examples=60, deadline=None)
@given(
    body=st.binary(max_size=3000),
    cuts=st.lists(st.integers(1, 700), max_size=12),
    framing=st.sampled_from(["length", "chunked", "end"]),
)
def test_any_chunking_of_any_framing_gives_the_same_body(body: bytes, cuts: list[int], framing: str) -> None:
    if framing == "length":
        wire = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    elif framing == "end":
        wire = b"HTTP/1.1 200 OK\r\n\r\n" + body
    else:
        step = cuts[0] if cuts else 100
        parts = [body[at : at + step] for at in range(0, len(body), step)]
        wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
        wire += b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(wire[at : at + cut])
        at += cut
    pieces.append(wire[at:])
    serve = answering(*filter(None, pieces), then="close" if framing == "end" else "stay")
    assert asked(serve, times=2)[0] == [(200, body)] * 2


def test_the_pool_has_an_end_and_serves_in_turn() -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        while True:
            await request_of(reader)
            await asyncio.sleep(0.002)
            writer.write(OK)

    async def test() -> None:
        async with Server(serve).listening() as server, upstream(connections_max=3) as one:
            order: list[int] = []

            async def call(number: int) -> None:
                assert await whole(one, server.url) == (200, b"ok")
                order.append(number)

            await asyncio.gather(*(call(number) for number in range(60)))
            assert server.most == server.accepted == 3
            assert all(abs(place - number) <= 3 for place, number in enumerate(order))

    run(test())


def test_waiting_for_a_connection_ends_and_nothing_was_sent() -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        await reader.read()

    async def test() -> None:
        async with Server(serve).listening() as server, upstream(connections_max=1, connect_timeout_s=0.1) as one:
            first = asyncio.create_task(whole(one, server.url))
            await server.has_accepted(1)
            with pytest.raises(NotSent, match="in use"):
                await whole(one, server.url)
            first.cancel()
            await asyncio.wait([first])
            await server.all_closed()
            again = asyncio.create_task(whole(one, server.url))
            await server.has_accepted(2)
            again.cancel()

    run(test())


def test_another_address_gets_a_place() -> None:
    """The local engine moves when it restarts."""

    async def test() -> None:
        async with (
            Server(answering(OK)).listening() as a,
            Server(answering(OK)).listening() as b,
            upstream(connections_max=1) as one,
        ):
            for server in (a, b, a):
                assert await whole(one, server.url) == (200, b"ok")
            assert (a.accepted, b.accepted) == (2, 1)

    run(test())


def test_a_silent_upstream_is_a_time_out() -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        await reader.read()

    async def test() -> None:
        async with Server(serve).listening() as server, upstream(first_byte_timeout_s=0.05) as one:
            with pytest.raises(TimedOut):
                await whole(one, server.url)
            await server.all_closed()

    run(test())


def test_cancelled_calls_leave_nothing_open() -> None:
    """200 calls, each cancelled at another moment, through a pool of 4; afterwards the pool is as good as new."""
    dice = random.Random(20)

    async def serve(reader: Reader, writer: Writer) -> None:
        while True:
            await request_of(reader)
            for piece in (OK[:20], OK[20:-1], OK[-1:]):
                await asyncio.sleep(dice.random() * 0.004)
                writer.write(piece)

    async def test() -> None:
        async with Server(serve).listening() as server, upstream(connections_max=4) as one:
            calls = [asyncio.create_task(whole(one, server.url)) for _ in range(200)]
            for call in calls:
                await asyncio.sleep(dice.random() * 0.003)
                call.cancel()
            await asyncio.wait(calls)
            ends = {call.cancelled() for call in calls}
            assert True in ends
            assert all(call.cancelled() or call.result() == (200, b"ok") for call in calls)
            assert await asyncio.gather(*(whole(one, server.url) for _ in range(12))) == [(200, b"ok")] * 12
            assert server.open <= 4
        await server.all_closed()

    run(test())


def test_connections_that_rested_too_long_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jevons.gateway.pool.KEEPALIVE_IDLE_S", 0.1)

    async def test() -> None:
        async with Server(answering(OK)).listening() as server, upstream() as one:
            await asyncio.gather(*(whole(one, server.url) for _ in range(5)))
            assert server.open == 5
            await server.all_closed()

    run(test())


@pytest.fixture(scope="module")
def secure() -> Any:
    with Provider(tls=True) as provider:
        yield provider


def test_tls(secure: Provider) -> None:
    async def test() -> None:
        assert secure.ca is not None
        async with upstream(ca_file=secure.ca) as one:
            for _ in range(3):
                assert (await whole(one, secure.url + "/v1/models", None, "GET"))[0] in (200, 401)
        async with upstream() as one:
            with pytest.raises(NotSent, match="certificate"):
                await whole(one, secure.url + "/v1/models", None, "GET")

    run(test())


def test_tls_to_what_does_not_speak_it_is_not_sent() -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        await reader.read(10)

    async def test() -> None:
        async with Server(serve).listening() as server, upstream(connect_timeout_s=5) as one:
            with pytest.raises(NotSent):
                await whole(one, server.url.replace("http", "https"))
            await server.all_closed()

    run(test())


def test_tls_cancelled_in_the_handshake_gives_its_place_back() -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        await reader.read()

    async def test() -> None:
        async with Server(serve).listening() as server, upstream(connections_max=1, connect_timeout_s=0.1) as one:
            for _ in range(3):
                with pytest.raises(NotSent, match="after"):
                    await whole(one, server.url.replace("http", "https"))
            await server.all_closed()
            assert server.accepted == 3

    run(test())


def test_a_ca_file_that_cannot_be_read_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Upstream(UpstreamSettings(name="x", ca_file=str(tmp_path / "none.pem")))
    (tmp_path / "bad.pem").write_text("not a certificate")
    with pytest.raises(ssl.SSLError):
        Upstream(UpstreamSettings(name="x", ca_file=str(tmp_path / "bad.pem")))


@pytest.mark.parametrize("client", ["lean", "library"])
def test_a_proxy_of_the_environment_is_used_but_for_its_exceptions(monkeypatch: pytest.MonkeyPatch, client: str) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    lines: list[bytes] = []

    async def serve(reader: Reader, writer: Writer) -> None:
        while True:
            lines.append((await request_of(reader))[0].partition(b"\r\n")[0])
            writer.write(OK)

    async def test() -> None:
        async with Server(serve).listening() as server:
            monkeypatch.setenv("HTTP_PROXY", server.url)
            monkeypatch.setenv("http_proxy", server.url)
            async with upstream(client=client) as one:
                assert await whole(one, "http://far.example/x") == (200, b"ok")
            async with upstream(client=client, kind="local") as one:
                assert await whole(one, server.url + "/local") == (200, b"ok")
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            async with upstream(client=client) as one:
                assert await whole(one, server.url + "/near") == (200, b"ok")
        assert lines == [b"POST http://far.example/x HTTP/1.1", b"POST /local HTTP/1.1", b"POST /near HTTP/1.1"]

    run(test())
