"""Puts a planned answer into its dialect, with its headers, and its fault into or around it."""

import hashlib
import json
import time
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from tests.provider import chat, embeddings, messages, responses
from tests.provider.delivery import Answer, packed
from tests.provider.errors import ApiError, error_body
from tests.provider.frames import Frame, Kind, rewritten, whole
from tests.provider.http1 import Request
from tests.provider.journal import Bill
from tests.provider.plan import Plan, make_plan
from tests.provider.prompt import CacheUse, PrefixMemory, Prompt
from tests.provider.routes import Route
from tests.provider.script import Script

HUGE_BYTES = 10 * 2**20
JSON_TYPE = {"content-type": "application/json"}
SSE_TYPE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
EDGE = {"server": "cloudflare", "set-cookie": "__cf_bm=stand-in; path=/; HttpOnly; Secure"}
DIALECTS: dict[str, ModuleType] = {"chat": chat, "responses": responses, "messages": messages}


@dataclass(frozen=True)
class Exchange:
    """A request that is going to be answered. `context`: earlier items (Responses) or inputs (Embeddings)."""

    id: str
    route: Route
    key: str
    body: dict[str, Any]
    prompt: Prompt
    context: list[Any]
    script: Script
    takes_gzip: bool


def compose(exchange: Exchange, memory: PrefixMemory, store: responses.Store) -> Answer:
    """The answer, sound or not, and what it costs."""
    found, prompt, script = exchange.route, exchange.prompt, exchange.script
    if found.door == "count_tokens":
        return plain({"input_tokens": prompt.input_tokens}, found.flavour, exchange.id)
    answer_id = hashlib.sha256(exchange.id.encode()).hexdigest()[:24]
    plan = make_plan(prompt, script, _cache_use(exchange, memory), answer_id, int(time.time()))
    if script.usage is not None:
        plan = replace(plan, bill=_bill_of(found, script.usage, script.searches))
    frames, bill, usage = _written(exchange, plan, store)
    answer = Answer(200, headers(found.flavour, exchange.id, prompt.stream), frames, prompt.stream, bill, usage, script)
    if prompt.stream:
        answer.frames = rewritten(frames, script.fault, script.size_bytes or HUGE_BYTES)
        answer.broken_off = _broken_off(exchange, plan)
    elif exchange.takes_gzip and script.fault is None:
        answer.frames, answer.headers = packed(frames), {**answer.headers, "content-encoding": "gzip"}
    if script.fault == "wrong_content_type":
        answer.headers["content-type"] = "text/html; charset=utf-8"
    if script.fault == "invalid_json":
        answer.frames = [*(frame for frame in frames if not frame.data), Frame(b'{"id": "half a docum', Kind.FINAL)]
        answer.chunked = False
        answer.headers |= JSON_TYPE
    return answer


def _cache_use(exchange: Exchange, memory: PrefixMemory) -> CacheUse:
    scope, segments = f"{exchange.key}/{exchange.prompt.model}", exchange.prompt.segments
    if exchange.route.door == "embeddings":
        return CacheUse()
    return memory.anthropic(scope, segments) if exchange.route.door == "messages" else memory.openai(scope, segments)


def _bill_of(found: Route, usage: dict[str, Any], searches: int) -> Bill:
    """What a usage object that a script forces costs. `searches`: those of Responses stand in its items."""
    if found.door == "chat":
        return chat.bill_of(usage, found.flavour)
    if found.door == "responses":
        return replace(responses.bill_of(usage), searches=searches)
    return embeddings.bill_of(usage) if found.door == "embeddings" else messages.bill_of(usage)


def _written(exchange: Exchange, plan: Plan, store: responses.Store) -> tuple[list[Frame], Bill, dict[str, Any]]:
    """(frames, bill, usage object) in the route's dialect."""
    door, flavour, body = exchange.route.door, exchange.route.flavour, exchange.body
    stream = plan.prompt.stream
    frames: list[Frame] = []
    if door == "embeddings":
        plan = replace(plan, bill=replace(plan.bill, output=0, reasoning=0))
        document = embeddings.answer(body, exchange.context, plan.bill, plan.usage_forced)
        return whole(json.dumps(document).encode(), 0, 1), plan.bill, document["usage"]
    if door == "responses":
        document, reported = responses.answer(plan, body), responses.usage(plan.bill)
        if body.get("store", True):
            store.keep(exchange.key, document, exchange.context)
        frames = responses.stream(plan, body) if stream else []
    elif door == "chat":
        document, reported = chat.answer(plan, body, flavour), chat.usage(plan.bill, flavour)
        frames = chat.stream(plan, body, flavour) if stream else []
    else:
        document, reported = messages.answer(plan), messages.usage(plan.bill)
        frames = messages.stream(plan) if stream else []
    if not stream:
        # OpenAI pretty-prints whole answers, Anthropic does not.
        indent, separators = (None, (",", ":")) if door == "messages" else (2, None)
        text = json.dumps(document, indent=indent, separators=separators, ensure_ascii=False)
        frames = whole(text.encode("utf-8", "surrogatepass"), plan.bill.reasoning, plan.script.chunks)
    return frames, plan.bill, plan.usage_forced or reported


def _broken_off(exchange: Exchange, plan: Plan) -> bytes:
    """The event that ends a stream which a fault breaks off, if it has one."""
    script, door = plan.script, exchange.route.door
    error = ApiError(529 if exchange.route.flavour == "anthropic" else 500, script.message, script.code)
    if script.fault == "response_failed" and door == "responses":
        return responses.failed_event(plan, exchange.body, error)
    if script.fault == "error_event_after_200":
        event: bytes = DIALECTS[door].error_event(error, plan.model)
        return event
    return b""


def headers(flavour: str, request_id: str, stream: bool = False) -> dict[str, str]:
    """The headers that the providers add, cookies of their edge included."""
    common = {**(SSE_TYPE if stream else JSON_TYPE), **EDGE}
    if flavour == "anthropic":
        limits = {"anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49"}
        return {**common, "request-id": request_id, "anthropic-organization-id": "org-stand-in", **limits}
    if flavour == "azure":
        return {**common, "apim-request-id": request_id, "x-ms-region": "Sweden Central", "x-ratelimit-remaining-tokens": "29000"}
    about = {"openai-version": "2020-10-01", "openai-processing-ms": "12", "x-ratelimit-remaining-requests": "499"}
    return {**common, "x-request-id": request_id, **about}


def plain(document: dict[str, Any], flavour: str, request_id: str) -> Answer:
    """An answer that costs nothing and has no script."""
    return Answer(200, headers(flavour, request_id), [Frame(json.dumps(document).encode(), Kind.FINAL)], False)


def refusal(error: ApiError, flavour: str, model: str, request_id: str, script: Script) -> Answer:
    """An error of the provider; it costs nothing."""
    kind, body = error_body(flavour, error, model, request_id)
    about = {**headers(flavour, request_id), "content-type": kind}
    if error.retry_after is not None:
        about["retry-after"] = str(error.retry_after)
    if script.fault == "early_response":
        about["connection"] = "close"
    kept = Script(fault=script.fault, headers=script.headers, first_delay_ms=script.first_delay_ms)
    return Answer(error.status, about, [Frame(body, Kind.FINAL)], False, script=kept)


def redirect(exchange: Exchange, request: Request) -> Answer:
    """307 to another host name: a client that follows it shows up in the journal a second time."""
    port = (request.header("host") or "").rpartition(":")[2]
    location = exchange.script.location or f"http://localhost:{port}{request.target}"
    about = {**headers(exchange.route.flavour, exchange.id), "location": location}
    return Answer(307, about, [Frame(b"", Kind.FINAL)], False, script=exchange.script)
