"""Anthropic Messages: requests read and checked, answers and streams written; count_tokens.

Source: platform.claude.com/docs (messages, streaming, prompt-caching, extended-thinking).
"""

import base64
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tests.provider.chat import text_of
from tests.provider.errors import ApiError, anthropic_error
from tests.provider.frames import Frame, Kind, event, hidden_reasoning
from tests.provider.journal import Bill
from tests.provider.plan import Call, Plan, parsed, pieces, slices
from tests.provider.prompt import (
    CALL_TOKENS,
    MEDIA_TOKENS,
    MESSAGE_TOKENS,
    TOOL_TOKENS,
    Message,
    Prompt,
    Segment,
    Tool,
    compact,
    tokens,
)

FOREIGN = frozenset(
    {
        *("max_completion_tokens", "max_output_tokens", "n", "stop", "response_format", "stream_options", "logit_bias", "store"),
        *("frequency_penalty", "presence_penalty", "logprobs", "top_logprobs", "seed", "user", "parallel_tool_calls", "input"),
        *("reasoning_effort", "reasoning", "instructions", "functions", "function_call", "text"),
    }
)
"""Fields of other dialects: Anthropic answers 400 to them."""
MEDIA = frozenset({"image", "document"})
BUDGET_TOKENS_MIN = 1024
STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def read(body: dict[str, Any], counting: bool = False) -> Prompt:
    """The request as a prompt; `counting` for count_tokens. Raises ApiError as the provider would."""
    for name in sorted(FOREIGN & body.keys()):
        raise ApiError(400, f"{name}: Extra inputs are not permitted")
    for name in ("model", "messages") if counting else ("model", "max_tokens", "messages"):
        if body.get(name) is None:
            raise ApiError(400, f"{name}: Field required")
    if not body["messages"]:
        raise ApiError(400, "messages: at least one message is required")
    thinking = body.get("thinking") or {}
    _check_thinking(thinking, body.get("max_tokens"), counting)
    _check_messages(body["messages"])
    segments = tuple(_segments(body))
    _check_lifetimes(segments)
    tools = body.get("tools") or ()
    choice = body.get("tool_choice") or {}
    format_ = (body.get("output_config") or {}).get("format") or {}
    return Prompt(
        model=body["model"],
        stream=bool(body.get("stream")),
        segments=segments,
        messages=tuple(_message(m) for m in body["messages"]),
        cap=body.get("max_tokens"),
        tools=tuple(Tool(t["name"], t.get("input_schema", {})) for t in tools if "name" in t),
        must_call={"any": "*", "tool": choice.get("name")}.get(choice.get("type", "")),
        schema=format_.get("schema") if format_.get("type") == "json_schema" else None,
        thinking=thinking.get("type") in ("enabled", "adaptive"),
        service_tier=body.get("service_tier"),
        media=sum(block.get("type") in MEDIA for message in body["messages"] for block in _blocks(message.get("content"))),
    )


def _check_thinking(thinking: dict[str, Any], cap: int | None, counting: bool) -> None:
    if thinking.get("type") != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if budget is None:
        raise ApiError(400, "thinking.enabled.budget_tokens: Field required")
    if budget < BUDGET_TOKENS_MIN:
        raise ApiError(400, f"thinking.enabled.budget_tokens: Input should be greater than or equal to {BUDGET_TOKENS_MIN}")
    if not counting and cap is not None and cap <= budget:
        raise ApiError(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")


def _check_messages(messages: list[dict[str, Any]]) -> None:
    """Calls are answered in the very next message, results answer calls of the message before."""
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        if message.get("role") not in ("user", "assistant", "system"):
            raise ApiError(400, f"messages.{index}.role: Input should be 'user', 'assistant' or 'system'")
        blocks = message.get("content") if isinstance(message.get("content"), list) else []
        results = {b.get("tool_use_id") for b in blocks or () if b.get("type") == "tool_result"}
        for unknown in results - open_calls:
            raise ApiError(
                400,
                f"messages.{index}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {unknown}. "
                "Each `tool_result` block must have a corresponding `tool_use` block in the previous message.",
            )
        if open_calls - results:
            missing = ", ".join(sorted(open_calls - results))
            raise ApiError(
                400,
                f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: {missing}. "
                "Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
            )
        for block in blocks or ():
            if block.get("type") == "text" and not block.get("text"):
                raise ApiError(400, "messages: text content blocks must be non-empty")
            if block.get("type") == "thinking" and not block.get("signature"):
                raise ApiError(400, f"messages.{index}.content.0.thinking.signature: Field required")
        open_calls = {b["id"] for b in blocks or () if b.get("type") == "tool_use"}


def _check_lifetimes(segments: Sequence[Segment]) -> None:
    """No longer lifetime behind a shorter one."""
    marked = [segment.ttl for segment in segments if segment.ttl]
    if any(one == "5m" and later == "1h" for one, later in pairwise(marked)):
        raise ApiError(
            400, "cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block"
        )


def _message(raw: dict[str, Any]) -> Message:
    content = raw.get("content")
    blocks = content if isinstance(content, list) else []
    results = tuple(text_of(b.get("content")) for b in blocks if b.get("type") == "tool_result")
    own = content if isinstance(content, str) else [b for b in blocks if b.get("type") == "text"]
    return Message(raw["role"], text_of(own), results)


def _segments(body: dict[str, Any]) -> list[Segment]:
    """Tools, system and every block of the messages, in the order of caching, with breakpoints."""
    found = [_segment(t, TOOL_TOKENS + tokens(json.dumps(t))) for t in body.get("tools") or ()]
    found += [_segment(block, tokens(block.get("text", ""))) for block in _blocks(body.get("system"))]
    for message in body["messages"]:
        for number, block in enumerate(_blocks(message.get("content"))):
            cost = _block_tokens(block) + (MESSAGE_TOKENS if number == 0 else 0)
            found.append(_segment({"role": message["role"], **block}, cost))
    automatic = body.get("cache_control")
    if automatic and found:
        found[-1] = Segment(found[-1].content, found[-1].tokens, automatic.get("ttl", "5m"))
    return found


def _blocks(content: object) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content if isinstance(content, list) else []


def _segment(block: dict[str, Any], cost: int) -> Segment:
    control = block.get("cache_control")
    bare = {key: value for key, value in block.items() if key != "cache_control"}
    return Segment(compact(bare), cost, control.get("ttl", "5m") if control else None)


def _block_tokens(block: dict[str, Any]) -> int:
    kind = block.get("type")
    if kind in ("text", "thinking"):
        return tokens(block.get(str(kind), ""))
    if kind == "tool_use":
        return CALL_TOKENS + tokens(json.dumps(block.get("input")))
    if kind == "tool_result":
        return tokens(text_of(block.get("content")))
    return MEDIA_TOKENS


def usage(bill: Bill, tier: str = "standard") -> dict[str, Any]:
    """The usage object of a whole answer."""
    searched = {"server_tool_use": {"web_search_requests": bill.searches, "web_fetch_requests": 0}} if bill.searches else {}
    return {
        **searched,
        "input_tokens": bill.input,
        "cache_creation_input_tokens": bill.cache_write_5m + bill.cache_write_1h,
        "cache_read_input_tokens": bill.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": bill.cache_write_5m, "ephemeral_1h_input_tokens": bill.cache_write_1h},
        "output_tokens": bill.output,
        "output_tokens_details": {"thinking_tokens": bill.reasoning},
        "service_tier": tier,
    }


def delta_usage(bill: Bill) -> dict[str, Any]:
    """The cumulative usage of `message_delta`: without the breakdown of cache writes, which only `message_start` has."""
    whole = usage(bill)
    return {key: whole[key] for key in whole if key not in ("cache_creation", "service_tier")}


def bill_of(usage_: dict[str, Any]) -> Bill:
    """What a usage object that a script forces costs."""
    written = usage_.get("cache_creation_input_tokens") or 0
    hour = (usage_.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0
    reasoning = (usage_.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return Bill(
        usage_.get("input_tokens") or 0,
        usage_.get("cache_read_input_tokens") or 0,
        written - hour,
        hour,
        usage_.get("output_tokens") or 0,
        reasoning,
        (usage_.get("server_tool_use") or {}).get("web_search_requests") or 0,
    )


def answer(plan: Plan) -> dict[str, Any]:
    """The whole answer."""
    content: list[dict[str, Any]] = []
    if plan.thinking:
        content.append({"type": "thinking", "thinking": plan.thinking, "signature": _signature(plan)})
    content += _searches(plan)
    if plan.texts[0]:
        content.append({"type": "text", "text": plan.texts[0]})
    content += [{**_tool_use(plan, call), "input": parsed(call.arguments)} for call in plan.calls]
    document = _message_object(
        plan, content, plan.forced_finish or STOP_REASONS[plan.finish], plan.usage_forced or usage(plan.bill, _tier(plan))
    )
    if plan.script.fault == "usage_absent":
        del document["usage"]
    return document


def _message_object(plan: Plan, content: list[dict[str, Any]], stop_reason: str | None, usage_: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": plan.model,
        "id": f"msg_01{plan.id}",
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage_,
    }


def _tier(plan: Plan) -> str:
    return plan.script.service_tier or ("priority" if plan.prompt.service_tier == "priority" else "standard")


def _signature(plan: Plan) -> str:
    return base64.b64encode(f"signed by the stand-in: {plan.id}".encode()).decode()


def _searches(plan: Plan) -> list[dict[str, Any]]:
    """The provider's own searches: each a call and its result."""
    blocks: list[dict[str, Any]] = []
    for number in range(plan.bill.searches):
        name = f"srvtoolu_01{plan.id[:16]}{number}"
        found = {
            "type": "web_search_result",
            "url": "https://example.org/",
            "title": "Found",
            "encrypted_content": "c3RhbmQtaW4=",
        }
        blocks += [
            {"type": "server_tool_use", "id": name, "name": "web_search", "input": {"query": f"question {number}"}},
            {"type": "web_search_tool_result", "tool_use_id": name, "content": [{**found, "page_age": None}]},
        ]
    return blocks


def _tool_use(plan: Plan, call: Call) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_01{plan.id[:18]}{call.number}", "name": call.name, "input": {}}


def stream(plan: Plan) -> list[Frame]:
    """The streamed answer."""
    fault = plan.script.fault
    start = {**(plan.usage_forced or usage(plan.bill, _tier(plan))), "output_tokens": 1}
    for later in ("output_tokens_details", "server_tool_use"):
        start.pop(later, None)
    opening = _message_object(plan, [], None, start)
    delta: dict[str, Any] = {"delta": {"stop_reason": plan.forced_finish or STOP_REASONS[plan.finish], "stop_sequence": None}}
    delta["usage"] = plan.usage_forced or delta_usage(plan.bill)
    if fault == "usage_absent":
        del opening["usage"], delta["usage"]
    frames = [_frame("message_start", {"message": opening}), *_content(plan)]
    if not any(frame.kind is Kind.DELTA for frame in frames):
        frames.append(Frame(b"", Kind.DELTA))
    frames += [_frame("message_delta", delta, Kind.FINAL)] * (2 if fault == "usage_twice" else 1)
    return [*frames, _frame("message_stop", {}, Kind.FINAL)]


def _frame(name: str, data: dict[str, Any], kind: Kind = Kind.OPEN) -> Frame:
    return Frame(event({"type": name, **data}, name), kind)


def _content(plan: Plan) -> list[Frame]:
    """Blocks in order, the ping after the first start as Anthropic sends it; tool calls take turns if the script says so."""
    steps, blocks = plan.script.chunks, []
    if plan.thinking:
        parts = [({"type": "thinking_delta", "thinking": p}, Kind.REASON) for p in pieces(plan.thinking, steps)]
        parts.append(({"type": "signature_delta", "signature": _signature(plan)}, Kind.OPEN))
        blocks.append(_block(0, {"type": "thinking", "thinking": "", "signature": ""}, parts))
    for found in _searches(plan):
        parts = []
        if found["type"] == "server_tool_use":
            parts = [({"type": "input_json_delta", "partial_json": json.dumps(found["input"])}, Kind.OPEN)]
            found = {**found, "input": {}}
        blocks.append(_block(len(blocks), found, parts))
    if plan.texts[0]:
        deltas = [({"type": "text_delta", "text": p}, Kind.DELTA) for p in pieces(plan.texts[0], steps)]
        blocks.append(_block(len(blocks), {"type": "text", "text": ""}, deltas))
    shown, calls = len(blocks), []
    for call in plan.calls:
        json_deltas = [
            ({"type": "input_json_delta", "partial_json": p}, Kind.DELTA) for p in ("", *slices(call.arguments, steps))
        ]
        calls.append(_block(shown + call.number, _tool_use(plan, call), json_deltas))
    hidden = [] if plan.thinking else hidden_reasoning(plan.bill.reasoning, steps)
    flat = [frame for block in blocks for frame in block]
    flat += _interleaved(calls) if plan.script.interleave else [frame for block in calls for frame in block]
    return [*hidden, *flat[:1], _frame("ping", {}), *flat[1:]]


def _block(index: int, start: dict[str, Any], deltas: list[tuple[dict[str, Any], Kind]]) -> list[Frame]:
    return [
        _frame("content_block_start", {"index": index, "content_block": start}),
        *[_frame("content_block_delta", {"index": index, "delta": delta}, kind) for delta, kind in deltas],
        _frame("content_block_stop", {"index": index}),
    ]


def _interleaved(blocks: list[list[Frame]]) -> list[Frame]:
    longest = max(map(len, blocks), default=0)
    return [block[row] for row in range(longest) for block in blocks if row < len(block)]


def error_event(error: ApiError, model: str) -> bytes:
    """An error in a stream that began well."""
    return event(anthropic_error(error, model), "error")
