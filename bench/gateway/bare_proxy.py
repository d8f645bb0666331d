"""The least Python gateway there can be, to compare with: python -m bench.gateway.bare_proxy PORT UPSTREAM_URL CLIENT_KEY

A bare ASGI app on uvicorn, httptools and uvloop, with pyreqwest: the key is looked up in a dict, the body goes on as it came, the
answer comes back as it came. It does not know the model, the usage, a price, a budget, a ledger or an error."""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn
from pyreqwest.client import Client, ClientBuilder

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

UPSTREAM_HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-standin"}


class BareProxy:
    """ASGI app: POST anything with a known key, and it goes to `upstream_url`."""

    def __init__(self, upstream_url: str, client_key: str) -> None:
        self.upstream_url = upstream_url
        self.callers = {f"Bearer {client_key}".encode(): "bench"}
        self.client: Client | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
        elif scope["method"] == "GET":
            await answer(send, 200, b"ready")
        elif next((value for name, value in scope["headers"] if name == b"authorization"), b"") not in self.callers:
            await answer(send, 401, b"no such key")
        else:
            await self.forward(receive, send)

    async def live(self, receive: Receive, send: Send) -> None:
        """The client is made in the running loop, once."""
        await receive()
        self.client = ClientBuilder().http1_only().default_headers(UPSTREAM_HEADERS).build()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def forward(self, receive: Receive, send: Send) -> None:
        """One request; a stream is passed on chunk by chunk, nothing held back."""
        assert self.client is not None
        message = await receive()
        parts = [message["body"]]
        while message.get("more_body"):
            message = await receive()
            parts.append(message["body"])
        body = b"".join(parts)
        request = self.client.post(self.upstream_url).body_bytes(body)
        if b'"stream":true' not in body[:1024]:
            whole = await request.build().send()
            await answer(send, whole.status, bytes(await whole.bytes()))
            return
        async with request.streamed_read_buffer_limit(0).build_streamed() as streamed:
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": streamed.status, "headers": headers})
            while (chunk := await streamed.body_reader.read_chunk()) is not None:
                await send({"type": "http.response.body", "body": bytes(chunk), "more_body": True})
            await send({"type": "http.response.body", "body": b""})


async def answer(send: Send, status: int, body: bytes) -> None:
    """A whole JSON answer."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    app = BareProxy(upstream_url=sys.argv[2], client_key=sys.argv[3])
    port = int(sys.argv[1])
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", log_level="error", access_log=False, proxy_headers=False)
