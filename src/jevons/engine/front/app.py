"""The engine's door (ASGI): checks the key, gives model calls a slot, and relays llama.cpp's answers as they come.

Model calls are Chat Completions and Responses. Messages is not served here: llama.cpp's own conversion of it drops the slot, and the gateway
translates that dialect anyway. Of llama.cpp's other doors those are open that compute nothing in a slot.
"""

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec

from jevons.core.limits import ENGINE_USAGE_TAIL_BYTES
from jevons.engine.front.inner import Inner, InnerFailed
from jevons.engine.front.labels import read_labels
from jevons.engine.front.placing import Overfull, Placing, Visit
from jevons.engine.park.park import Park

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PLACED = frozenset({"/v1/chat/completions", "/v1/responses"})
PASSED = frozenset({"/v1/messages/count_tokens", "/v1/models", "/tokenize", "/apply-template", "/props", "/slots", "/metrics"})
OPEN = frozenset({"/health", "/v1/health"})
"""What llama.cpp answers without a key."""
CHOICES = ("n", "n_cmpl")
"""Further choices would go into slots of llama.cpp's choosing, and be billed as one."""
RELAYED = frozenset({b"content-type", b"content-length", b"retry-after"})
CACHED = re.compile(rb'"cached_tokens":\s*(\d+)')


class Front:
    """The application. One per engine process."""

    def __init__(self, inner: Inner, placing: Placing, park: Park | None, api_key: str) -> None:
        self._inner = inner
        self._placing = placing
        self._park = park
        self._authorization = b"Bearer " + api_key.encode()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if path not in OPEN and not hmac.compare_digest(dict(scope["headers"]).get(b"authorization", b""), self._authorization):
            await _say(send, 401, "authentication_error", "The engine's key is missing or wrong.")
            return
        if path == "/jevons/park" and method == "GET":
            await _answer(send, 200, msgspec.json.encode(self._park.stats() if self._park else None))
            return
        if path == "/jevons/park/forget" and method == "POST":
            await self._forget(send, await _read(receive))
            return
        if path not in PLACED | PASSED | OPEN:
            await _say(send, 404, "not_found_error", f"The engine does not serve {method} {path}.")
            return
        body = await _read(receive)
        serving = asyncio.ensure_future(self._serve(scope, send, body))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((serving, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not serving.done():
                serving.cancel()  # the client is gone; so is the connection to llama.cpp then, which stops computing
            await asyncio.gather(serving, leaving, return_exceptions=True)
        if not serving.cancelled():
            serving.result()

    async def _serve(self, scope: MutableMapping[str, Any], send: Send, body: bytes) -> None:
        path, method, query = scope["path"], scope["method"], scope["query_string"].decode("latin-1")
        try:
            if path in PLACED and method == "POST":
                await self._placed(scope["headers"], send, path, body)
            else:
                await self._relay(send, method, path + (f"?{query}" if query else ""), body, None)
        except InnerFailed as error:
            await _say(send, 502, "server_error", str(error))
        except Overfull:
            await _say(send, 503, "unavailable_error", "Too many requests wait for the local model; try again in a moment.")

    async def _forget(self, send: Send, body: bytes) -> None:
        tag = bytes.fromhex(body.decode("ascii"))
        try:
            await self._placing.forget(tag or None)
        except InnerFailed as error:
            await _say(send, 502, "server_error", str(error))
        else:
            await _answer(send, 200, b"{}")

    async def _placed(self, headers: Iterable[tuple[bytes, bytes]], send: Send, path: str, body: bytes) -> None:
        try:
            fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        except msgspec.DecodeError as error:
            await _say(send, 400, "invalid_request_error", f"The body is not a JSON object: {error}")
            return
        if any(bytes(fields.get(name, b"1")).strip() not in (b"1", b"null") for name in CHOICES):
            await _say(send, 400, "invalid_request_error", "The local model gives one choice; leave n out.")
            return
        tenant, links = read_labels(headers)
        async with self._placing.visit(tenant, links) as visit:
            fields["id_slot"] = msgspec.Raw(str(visit.slot).encode())
            tail = await self._relay(send, "POST", path, msgspec.json.encode(fields), visit)
        filled = visit.filled
        if self._park is not None and filled is not None and (cached := CACHED.findall(tail)) and int(cached[-1]) < filled.tokens:
            self._park.learn(tenant, links[filled.links - 1], int(cached[-1]))

    async def _relay(self, send: Send, method: str, path: str, body: bytes, visit: Visit | None) -> bytes:
        """Pass llama.cpp's answer on as it comes; the end of its body. Raises InnerFailed before anything was sent."""
        answer = await self._inner.send(method, path, body)
        tail = b""
        try:
            if visit is not None:
                visit.answered = answer.status == 200
            headers = [(name, value) for name, value in answer.headers if name in RELAYED]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            async for chunk in answer.chunks():
                tail = (tail + chunk)[-ENGINE_USAGE_TAIL_BYTES:]
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except InnerFailed:
            if visit is None or not visit.answered:
                raise
            raise ConnectionAbortedError("llama.cpp broke off") from None  # uvicorn then closes without a clean end
        finally:
            answer.close()
        return tail


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _left(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _say(send: Send, status: int, kind: str, message: str) -> None:
    """An error in the form that llama.cpp's server uses."""
    await _answer(send, status, msgspec.json.encode({"error": {"code": status, "message": message, "type": kind}}))


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
