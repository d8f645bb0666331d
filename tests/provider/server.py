"""From a request to its answer: routes, credentials, scripts, faults of the whole answer; and the server around it.

Control requests (outside of the journal): `POST /_script` queues scripts, `GET /_idle` answers once no request is under way.
"""

import asyncio
import hashlib
import json
import ssl
import time
from base64 import b64encode
from collections import Counter, deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tests.provider import chat, embeddings, messages, responses
from tests.provider.delivery import Answer, Delivery, cancelled, packed
from tests.provider.errors import ApiError, error_body
from tests.provider.frames import Frame, Kind, rewritten, whole
from tests.provider.http1 import Connection, Request, head
from tests.provider.journal import Bill, Journal
from tests.provider.plan import Plan, make_plan
from tests.provider.prompt import CacheUse, PrefixMemory, Prompt
from tests.provider.script import STREAM_FAULTS, Script, ScriptError, parse_scripts

HUGE_LINE = 10 * 2**20
JSON_TYPE = {"content-type": "application/json"}
SSE_TYPE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


@dataclass(frozen=True)
class Route:
    """What a target means: `door` (chat, responses, …), `flavour` (openai, azure, gemini, anthropic), the rest of the path."""

    door: str
    flavour: str
    rest: str = ""
    deployment: str | None = None


def route(request: Request) -> Route:
    """Finds the door. Raises ApiError 404."""
    path, _, query = request.target.partition("?")
    flavour = "anthropic" if request.header("anthropic-version") or path.startswith("/v1/messages") else "openai"
    deployment = None
    if path.startswith("/openai/deployments/"):
        deployment, _, rest = path.removeprefix("/openai/deployments/").partition("/")
        flavour = "azure"
    elif path.startswith("/v1beta/openai/"):
        flavour, rest = "gemini", path.removeprefix("/v1beta/openai/")
    elif path.startswith("/openai/"):
        flavour, rest = "azure", path.removeprefix("/openai/").removeprefix("v1/")
    elif path.startswith("/v1/"):
        rest = path.removeprefix("/v1/")
    else:
        raise ApiError(404, f"Invalid URL ({request.method} {path})")
    if flavour == "azure" and not path.startswith("/openai/v1/") and "api-version" not in parse_qs(query):
        raise ApiError(404, "Resource not found", "404")
    doors = {
        ("POST", "chat/completions"): "chat",
        ("POST", "responses"): "responses",
        ("POST", "embeddings"): "embeddings",
        ("POST", "messages"): "messages",
        ("POST", "messages/count_tokens"): "count_tokens",
        ("GET", "models"): "models",
    }
    if (request.method, rest) in doors:
        return Route(doors[request.method, rest], flavour, deployment=deployment)
    kind, _, name = rest.partition("/")
    if name and (request.method, kind) in {("GET", "models"), ("GET", "responses"), ("DELETE", "responses")}:
        return Route(
            {"GET models": "model", "GET responses": "stored", "DELETE responses": "delete"}[f"{request.method} {kind}"],
            flavour,
            name,
        )
    raise ApiError(404, f"Invalid URL ({request.method} {path})")


def credential(request: Request, flavour: str) -> str:
    """The caller's key. Raises ApiError 401."""
    bearer = (request.header("authorization") or "").removeprefix("Bearer ")
    key = bearer or request.header("x-api-key") or request.header("api-key") or request.header("x-goog-api-key") or ""
    if not key:
        raise ApiError(
            401,
            "x-api-key header is required"
            if flavour == "anthropic"
            else "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        )
    if "wrong" in key:
        raise ApiError(401)
    return key


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
            return await self._control(connection, request)
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
        return None

    async def _control(self, connection: Connection, request: Request) -> None:
        status, document = 200, {"requests": self._requests}
        if request.target == "/_script":
            try:
                self._queue += parse_scripts(bytes(request.body))
            except ScriptError as error:
                status, document = 400, {"error": str(error)}  # type: ignore[dict-item]
        elif request.target == "/_idle":
            await self._idle.wait()
        body = json.dumps(document).encode()
        connection.write(head(status, {**JSON_TYPE, "content-length": str(len(body))}) + body)

    async def _serve(self, connection: Connection, request: Request) -> None:
        queued = self._queue.popleft() if self._queue and request.method == "POST" else None
        early = queued is not None and queued.fault == "early_response"
        if not early:
            await request.complete.wait()
            if connection.gone.is_set():
                return
        self._requests += 1
        request_id = f"req_{self._run_id}{self._requests:06d}"
        answer, about = self._answer(request, queued, request_id)
        body = bytes(request.body)
        self._journal.write(
            "received", request_id, n=self._requests, connection=connection.number, method=request.method, target=request.target,
            headers=request.headers, whole=request.complete.is_set(), body_bytes=len(body), body_sha256=hashlib.sha256(body).hexdigest(),
            body=b64encode(body).decode() if self._keep_bodies else None, **about,
        )  # fmt: skip
        await Delivery(connection, self._journal, request_id, answer).run()
        if early:
            connection.close()

    def _answer(self, request: Request, queued: Script | None, request_id: str) -> tuple[Answer, dict[str, Any]]:
        """The answer, and what the journal says about the request."""
        about: dict[str, Any] = {"door": None, "model": None, "stream": None, "marker": queued.marker if queued else None}
        flavour, script = "openai", queued or Script()
        try:
            found = route(request)
            flavour = found.flavour
            about["door"] = found.door
            if script.fault == "early_response":
                raise ApiError(script.status, script.message, script.code, retry_after=script.retry_after)
            key = credential(request, flavour)
            if request.method != "POST":
                return self._plain(self._document(found, key, request), flavour, request_id), about
            body = _json(bytes(request.body))
            if found.deployment is not None:
                body = {**body, "model": found.deployment}
            about |= {"model": body.get("model"), "stream": bool(body.get("stream"))}
            prompt, context = self._read(found, body, key)
            if prompt.model.startswith("missing"):
                raise ApiError(404)
            script = self._due(queued or prompt.script() or Script(), request)
            about["marker"] = script.marker
            self._refuse(script, prompt)
            if script.fault == "redirect":
                return self._redirect(script, request, flavour, request_id), about
            return self._made(found, prompt, script, body, context, key, request, request_id), about
        except ScriptError as error:
            return self._error(ApiError(400, str(error)), flavour, about, request_id, script), about
        except ApiError as error:
            return self._error(error, flavour, about, request_id, script), about

    def _due(self, script: Script, request: Request) -> Script:
        """The script without its fault once that has struck often enough."""
        if script.fault is None or script.fault_times is None:
            return script
        name = script.marker or hashlib.sha256(request.body).hexdigest()
        self._struck[name] += 1
        return script if self._struck[name] <= script.fault_times else replace_fault(script)

    def _refuse(self, script: Script, prompt: Prompt) -> None:
        if script.fault in STREAM_FAULTS and not prompt.stream:
            raise ScriptError(f"the fault {script.fault} exists only in streams")
        if script.fault == "early_response":
            raise ScriptError("early_response must be queued with POST /_script: it strikes before the body is read")
        if script.fault == "status":
            raise ApiError(script.status, script.message, script.code, retry_after=script.retry_after)

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

    def _document(self, found: Route, key: str, request: Request) -> dict[str, Any]:
        if found.door == "stored":
            return self._store.get(key, found.rest).document
        if found.door == "delete":
            return self._store.delete(key, found.rest)
        return embeddings.models(found.flavour) if found.door == "models" else embeddings.model(found.flavour, found.rest)

    def _made(self, found: Route, prompt: Prompt, script: Script, body: dict[str, Any], context: list[Any], key: str, request: Request, request_id: str) -> Answer:  # fmt: skip
        """A good answer, then the fault that a script puts into or around it."""
        scope = f"{key}/{prompt.model}"
        if found.door == "count_tokens":
            return self._plain({"input_tokens": prompt.input_tokens}, found.flavour, request_id)
        cache = CacheUse()
        if found.door != "embeddings":
            cache = (
                self._memory.anthropic(scope, prompt.segments)
                if found.door == "messages"
                else self._memory.openai(scope, prompt.segments)
            )
        answer_id = hashlib.sha256(request_id.encode()).hexdigest()[:24]
        plan = make_plan(prompt, script, cache, answer_id, int(time.time()))
        if script.usage is not None:
            plan = replace(plan, bill=_bill_of(found, script.usage))
        frames, bill, usage = self._written(found, plan, body, context, key)
        answer = Answer(200, self._headers(found.flavour, request_id, prompt.stream), frames, prompt.stream, bill, usage, script)
        if prompt.stream:
            answer.frames = rewritten(frames, script.fault, script.size_bytes or HUGE_LINE)
            answer.broken_off = _broken_off(found, plan, body)
        elif "gzip" in (request.header("accept-encoding") or "") and script.fault is None:
            answer.frames, answer.headers = packed(frames), {**answer.headers, "content-encoding": "gzip"}
        if script.fault == "wrong_content_type":
            answer.headers["content-type"] = "text/html; charset=utf-8"
        if script.fault == "invalid_json":
            answer.frames = [frame for frame in frames if not frame.data] + [Frame(b'{"id": "half a docum', Kind.FINAL)]
            answer.chunked = False
            answer.headers |= JSON_TYPE
        return answer

    def _written(
        self, found: Route, plan: Plan, body: dict[str, Any], context: list[Any], key: str
    ) -> tuple[list[Frame], Bill, dict[str, Any] | None]:
        """(frames, bill, usage object) in the route's dialect."""
        if found.door == "embeddings":
            bill = replace(plan.bill, output=0, reasoning=0)
            document = embeddings.answer(body, context, bill, plan.usage_forced)
            return whole(json.dumps(document).encode(), 0, 1), bill, document["usage"]
        if found.door == "responses":
            document = responses.answer(plan, body)
            if body.get("store", True):
                self._store.keep(key, document, context)
            frames = responses.stream(plan, body) if plan.prompt.stream else []
            reported = plan.usage_forced or responses.usage(plan.bill)
        elif found.door == "chat":
            document = chat.answer(plan, body, found.flavour)
            frames = chat.stream(plan, body, found.flavour) if plan.prompt.stream else []
            reported = plan.usage_forced or chat.usage(plan.bill, found.flavour)
        else:
            document = messages.answer(plan)
            frames = messages.stream(plan) if plan.prompt.stream else []
            reported = plan.usage_forced or messages.usage(plan.bill)
        if not plan.prompt.stream:
            # OpenAI pretty-prints whole answers, Anthropic does not.
            indent, separators = (None, (",", ":")) if found.door == "messages" else (2, None)
            text = json.dumps(document, indent=indent, separators=separators, ensure_ascii=False)
            frames = whole(text.encode("utf-8", "surrogatepass"), plan.bill.reasoning, plan.script.chunks)
        return frames, plan.bill, reported

    def _headers(self, flavour: str, request_id: str, stream: bool = False) -> dict[str, str]:
        """The headers that the providers add, cookies of their edge included."""
        common = {
            **(SSE_TYPE if stream else JSON_TYPE),
            "server": "cloudflare",
            "set-cookie": "__cf_bm=stand-in; path=/; HttpOnly; Secure",
        }
        if flavour == "anthropic":
            return {
                **common,
                "request-id": request_id,
                "anthropic-organization-id": "org-stand-in",
                "anthropic-ratelimit-requests-remaining": "49",
            }
        if flavour == "azure":
            return {
                **common,
                "apim-request-id": request_id,
                "x-ms-region": "Sweden Central",
                "x-ratelimit-remaining-tokens": "29000",
            }
        return {
            **common,
            "x-request-id": request_id,
            "openai-version": "2020-10-01",
            "openai-processing-ms": "12",
            "x-ratelimit-remaining-requests": "499",
        }

    def _plain(self, document: dict[str, Any], flavour: str, request_id: str) -> Answer:
        return Answer(200, self._headers(flavour, request_id), [Frame(json.dumps(document).encode(), Kind.FINAL)], False)

    def _error(self, error: ApiError, flavour: str, about: dict[str, Any], request_id: str, script: Script) -> Answer:
        kind, body = error_body(flavour, error, str(about["model"]), request_id)
        headers = {**self._headers(flavour, request_id), "content-type": kind}
        if error.retry_after is not None:
            headers["retry-after"] = str(error.retry_after)
        if script.fault == "early_response":
            headers["connection"] = "close"
        bare = Script(fault=script.fault, headers=script.headers, first_delay_ms=script.first_delay_ms)
        return Answer(error.status, headers, [Frame(body, Kind.FINAL)], False, script=bare)

    def _redirect(self, script: Script, request: Request, flavour: str, request_id: str) -> Answer:
        port = (request.header("host") or "").rpartition(":")[2]
        location = script.location or f"http://localhost:{port}{request.target}"
        return Answer(
            307, {**self._headers(flavour, request_id), "location": location}, [Frame(b"", Kind.FINAL)], False, script=script
        )


def replace_fault(script: Script) -> Script:
    """The same script, sound."""
    return Script(**{**{name: getattr(script, name) for name in script.__struct_fields__}, "fault": None})


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError as error:
        raise ApiError(
            400,
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
        ) from error
    if not isinstance(found, dict):
        raise ApiError(400, "Invalid type for request body: expected an object.")
    return found


def _bill_of(found: Route, usage: dict[str, Any]) -> Bill:
    if found.door == "chat":
        return chat.bill_of(usage, found.flavour)
    if found.door == "responses":
        return responses.bill_of(usage)
    return embeddings.bill_of(usage) if found.door == "embeddings" else messages.bill_of(usage)


def _broken_off(found: Route, plan: Plan, body: dict[str, Any]) -> bytes:
    """The event that ends a stream which a fault breaks off, if it has one."""
    script = plan.script
    error = ApiError(529 if found.flavour == "anthropic" else 500, script.message, script.code)
    if script.fault == "response_failed" and found.door == "responses":
        return responses.failed_event(plan, body, error)
    if script.fault == "error_event_after_200":
        dialect: Any = {"chat": chat, "responses": responses, "messages": messages}[found.door]
        event: bytes = dialect.error_event(error, plan.model)
        return event
    return b""


async def serve(
    host: str, port: int, journal_path: Path, keep_bodies: bool, tls: ssl.SSLContext | None
) -> tuple[asyncio.Server, StandIn]:
    """Starts to listen; the port is at `server.sockets[0]`."""
    stand_in = StandIn(Journal(journal_path), keep_bodies)
    server = await asyncio.get_running_loop().create_server(stand_in.connect, host, port, ssl=tls)
    return server, stand_in
