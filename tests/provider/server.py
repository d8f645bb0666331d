"""The server: one request after another from its head to the last line of the journal.

Control requests (outside of the journal): `POST /_script` queues scripts, `GET /_idle` answers once no request is under way.
"""

import asyncio
import hashlib
import json
import ssl
import time
from base64 import b64encode
from collections import Counter, deque
from pathlib import Path
from typing import Any

import msgspec

from tests.provider import chat, embeddings, messages, responses
from tests.provider.compose import JSON_TYPE, Exchange, compose, plain, redirect, refusal
from tests.provider.delivery import Answer, Delivery, cancelled
from tests.provider.errors import ApiError
from tests.provider.http1 import Connection, Request, head
from tests.provider.journal import Journal
from tests.provider.prompt import PrefixMemory, Prompt
from tests.provider.routes import Route, credential, parse_body, route
from tests.provider.script import STREAM_FAULTS, Script, ScriptError, parse_scripts, script_in


class StandIn:
    """The provider: its queue of scripts, its caches, its stored answers, its journal."""

    def __init__(self, journal: Journal, keep_bodies: bool) -> None:
        self._journal, self._keep_bodies = journal, keep_bodies
        self._queue: deque[Script] = deque()
        self._memory = PrefixMemory()
        self._store = responses.Store()
        self._struck: Counter[str] = Counter()
        self._requests = 0
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._connections: set[Connection] = set()
        self._connection_count = 0
        self._run_id = hashlib.sha256(str(time.time_ns()).encode()).hexdigest()[:8]

    def connect(self) -> Connection:
        """A protocol for a new connection."""
        self._connection_count += 1
        return Connection(self._connection_count, self.handle, self._connections)

    async def stop(self) -> None:
        """Breaks off what is under way; the journal says so."""
        await cancelled([task for connection in list(self._connections) for task in connection.stop()])

    async def handle(self, connection: Connection, request: Request) -> None:
        """One request from its head to its end."""
        if request.target.startswith("/_"):
            await request.complete.wait()
            await self._control(connection, request)
            return
        self._open += 1
        self._idle.clear()
        try:
            await self._serve(connection, request)
        finally:
            self._open -= 1
            if not self._open:
                self._idle.set()
            if not request.keep_alive:
                connection.close()

    async def _control(self, connection: Connection, request: Request) -> None:
        status, document = 200, {"requests": str(self._requests)}
        if request.target == "/_script":
            try:
                self._queue += parse_scripts(bytes(request.body))
            except ScriptError as error:
                status, document = 400, {"error": str(error)}
        elif request.target == "/_idle":
            await self._idle.wait()
        body = json.dumps(document).encode()
        connection.write(head(status, {**JSON_TYPE, "content-length": str(len(body))}) + body)

    async def _serve(self, connection: Connection, request: Request) -> None:
        queued = self._queue.popleft() if self._queue and request.method == "POST" else None
        early = queued is not None and queued.fault == "early_response"
        if not early:
            await request.complete.wait()
            if not request.whole:
                return  # it left before it had said what it wanted: not a request
        self._requests += 1
        request_id = f"req_{self._run_id}{self._requests:06d}"
        answer, about = self._answer(request, queued, request_id)
        body = bytes(request.body)
        self._journal.write(
            "received",
            request_id,
            n=self._requests,
            connection=connection.number,
            method=request.method,
            target=request.target,
            headers=request.headers,
            whole=request.whole,
            body_bytes=len(body),
            body_sha256=hashlib.sha256(body).hexdigest(),
            body=b64encode(body).decode() if self._keep_bodies else None,
            **about,
        )
        await Delivery(connection, self._journal, request_id, answer).run()
        if early:
            connection.close()

    def _answer(self, request: Request, queued: Script | None, request_id: str) -> tuple[Answer, dict[str, Any]]:
        """The answer, and what the journal says about the request."""
        script = queued or Script()
        about: dict[str, Any] = {"door": None, "model": None, "stream": None, "marker": script.marker}
        flavour = "openai"
        try:
            found = route(request)
            flavour = found.flavour
            about["door"] = found.door
            if script.fault == "early_response":
                raise ApiError(script.status, script.message, script.code, retry_after=script.retry_after)
            key = credential(request, flavour)
            if request.method != "POST":
                return plain(self._document(found, key), flavour, request_id), about
            body = parse_body(request, found)
            about |= {"model": body.get("model"), "stream": bool(body.get("stream"))}
            prompt, context = self._read(found, body, key)
            if prompt.model.startswith("missing"):
                raise ApiError(404)
            script = self._due(
                queued or script_in(request.header("x-stand-in-script") or "", "") or prompt.script() or Script(), request
            )
            about["marker"] = script.marker
            _refuse(script, prompt)
            takes_gzip = "gzip" in (request.header("accept-encoding") or "")
            exchange = Exchange(request_id, found, key, body, prompt, context, script, takes_gzip)
            if script.fault == "redirect":
                return redirect(exchange, request), about
            return compose(exchange, self._memory, self._store), about
        except ScriptError as error:
            return refusal(ApiError(400, str(error)), flavour, "", request_id, Script()), about
        except ApiError as error:
            return refusal(error, flavour, str(about["model"]), request_id, script), about

    def _due(self, script: Script, request: Request) -> Script:
        """The script without its fault once that has struck often enough."""
        if script.fault is None or script.fault_times is None:
            return script
        name = script.marker or hashlib.sha256(request.body).hexdigest()
        self._struck[name] += 1
        return script if self._struck[name] <= script.fault_times else msgspec.structs.replace(script, fault=None)

    def _read(self, found: Route, body: dict[str, Any], key: str) -> tuple[Prompt, list[Any]]:
        """The prompt, and what else the dialect needs to answer it."""
        if found.door == "chat":
            return chat.read(body), []
        if found.door == "responses":
            return responses.read(body, self._store, key)
        if found.door == "embeddings":
            prompt, inputs = embeddings.read(body)
            return prompt, list(inputs)
        return messages.read(body, counting=found.door == "count_tokens"), []

    def _document(self, found: Route, key: str) -> dict[str, Any]:
        """What a GET or DELETE returns."""
        if found.door == "stored":
            return self._store.get(key, found.rest).document
        if found.door == "delete":
            return self._store.delete(key, found.rest)
        return embeddings.models(found.flavour) if found.door == "models" else embeddings.model(found.flavour, found.rest)


def _refuse(script: Script, prompt: Prompt) -> None:
    """Raises what a script demands instead of an answer, or ScriptError if it demands the impossible."""
    if script.fault in STREAM_FAULTS and not prompt.stream:
        raise ScriptError(f"the fault {script.fault} exists only in streams")
    if script.fault == "early_response":
        raise ScriptError("early_response must be queued with POST /_script: it strikes before the body is read")
    if script.fault == "status":
        raise ApiError(script.status, script.message, script.code, retry_after=script.retry_after)


async def serve(
    host: str, port: int, journal_path: Path, keep_bodies: bool, tls: ssl.SSLContext | None
) -> tuple[asyncio.Server, StandIn]:
    """Starts to listen; the port is at `server.sockets[0]`."""
    stand_in = StandIn(Journal(journal_path), keep_bodies)
    server = await asyncio.get_running_loop().create_server(stand_in.connect, host, port, ssl=tls)
    return server, stand_in
