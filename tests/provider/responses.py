"""OpenAI Responses: requests read and checked, answers and event streams written, answers kept under their ids.

Source: developers.openai.com/api/reference (responses, responses-streaming).
"""

import json
from dataclasses import dataclass
from typing import Any

from tests.provider.chat import text_of, tier
from tests.provider.errors import ApiError, openai_error
from tests.provider.frames import Frame, Kind, event, hidden_reasoning
from tests.provider.journal import Bill
from tests.provider.plan import Plan, pieces, slices
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
        *("messages", "max_tokens", "max_completion_tokens", "n", "stop", "response_format", "stop_sequences", "thinking"),
        *("system", "logprobs", "functions"),
    }
)
"""Fields of other dialects: OpenAI answers 400 to them."""


@dataclass(frozen=True)
class Stored:
    """An answer that was kept, and the whole conversation that led to it."""

    document: dict[str, Any]
    items: list[dict[str, Any]]


class Store:
    """Answers by id, each of one credential."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Stored] = {}

    def keep(self, credential: str, document: dict[str, Any], items: list[dict[str, Any]]) -> None:
        """Stores an answer."""
        self._kept[credential, document["id"]] = Stored(document, [*items, *document["output"]])

    def get(self, credential: str, response_id: str) -> Stored:
        """Raises ApiError 404."""
        if (credential, response_id) not in self._kept:
            raise ApiError(404, f"Response with id '{response_id}' not found.")
        return self._kept[credential, response_id]

    def delete(self, credential: str, response_id: str) -> dict[str, Any]:
        """Raises ApiError 404."""
        self.get(credential, response_id)
        del self._kept[credential, response_id]
        return {"id": response_id, "object": "response", "deleted": True}


def read(body: dict[str, Any], store: Store, credential: str) -> tuple[Prompt, list[dict[str, Any]]]:
    """The prompt and the conversation's items, earlier ones included. Raises ApiError."""
    for name in sorted(FOREIGN & body.keys()):
        raise ApiError(400, f"Unknown parameter: '{name}'.", "unknown_parameter", name)
    if not isinstance(body.get("model"), str):
        raise ApiError(400, "Missing required parameter: 'model'.", "missing_required_parameter", "model")
    if body.get("background"):
        raise ApiError(400, "The stand-in does not work in the background.", "unsupported_parameter", "background")
    given = body.get("input", [])
    items = [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else list(given)
    previous = body.get("previous_response_id")
    if previous is not None:
        try:
            items = [*store.get(credential, previous).items, *items]
        except ApiError as missing:
            raise ApiError(
                400, f"Previous response with id '{previous}' not found.", "previous_response_not_found", "previous_response_id"
            ) from missing
    _check_calls(items)
    messages = [message for message in map(_message, items) if message is not None]
    tools = body.get("tools") or ()
    format_ = (body.get("text") or {}).get("format") or {}
    choice = body.get("tool_choice")
    prompt = Prompt(
        model=body["model"],
        stream=bool(body.get("stream")),
        segments=(
            *(Segment(compact(t), TOOL_TOKENS + tokens(json.dumps(t))) for t in tools),
            *((Segment(body["instructions"], tokens(body["instructions"])),) if body.get("instructions") else ()),
            *(Segment(compact(item), _item_tokens(item)) for item in items),
        ),
        messages=tuple(_merged(messages)),
        cap=body.get("max_output_tokens"),
        tools=tuple(Tool(t["name"], t.get("parameters") or {}) for t in tools if t.get("type") == "function"),
        must_call="*" if choice == "required" else choice.get("name", "*") if isinstance(choice, dict) else None,
        schema=format_.get("schema") if format_.get("type") == "json_schema" else None,
        thinking=bool((body.get("reasoning") or {}).get("summary")),
        service_tier=body.get("service_tier"),
        media=sum(map(_media, items)),
    )
    return prompt, items


def _check_calls(items: list[dict[str, Any]]) -> None:
    calls = {item.get("call_id") for item in items if item.get("type") == "function_call"}
    results = {item.get("call_id") for item in items if item.get("type") == "function_call_output"}
    for call_id in sorted(map(str, results - calls)):
        raise ApiError(400, f"No tool call found for function call output with call_id {call_id}.", param="input")
    for call_id in sorted(map(str, calls - results)):
        raise ApiError(400, f"No tool output found for function call {call_id}.", param="input")


def _message(item: dict[str, Any]) -> Message | None:
    kind = item.get("type", "message")
    if kind == "message":
        return Message(item.get("role", ""), text_of(item.get("content")))
    if kind == "function_call":
        return Message("assistant", "")
    if kind == "function_call_output":
        return Message("tool", "", (text_of(item.get("output")),))
    return None


def _merged(messages: list[Message]) -> list[Message]:
    """Items of one assistant turn (text, several calls) as one message, so that turns can be counted."""
    out: list[Message] = []
    for message in messages:
        if out and message.role == out[-1].role == "assistant":
            out[-1] = Message("assistant", out[-1].text + message.text)
        else:
            out.append(message)
    return out


def _media(item: dict[str, Any]) -> int:
    content = item.get("content")
    return sum(part.get("type") in ("input_image", "input_file") for part in content) if isinstance(content, list) else 0


def _item_tokens(item: dict[str, Any]) -> int:
    message = _message(item)
    if item.get("type") == "reasoning":
        return 0
    if item.get("type") == "function_call":
        return CALL_TOKENS + tokens(item.get("arguments", ""))
    said = tokens(message.text) + sum(map(tokens, message.results)) if message else tokens(json.dumps(item))
    return MESSAGE_TOKENS + MEDIA_TOKENS * _media(item) + said


def usage(bill: Bill) -> dict[str, Any]:
    """The usage object for a bill."""
    read_ = bill.input + bill.cache_read + bill.cache_write_5m + bill.cache_write_1h
    return {
        "input_tokens": read_,
        "input_tokens_details": {"cached_tokens": bill.cache_read, "cache_write_tokens": 0},
        "output_tokens": bill.output,
        "output_tokens_details": {"reasoning_tokens": bill.reasoning},
        "total_tokens": read_ + bill.output,
    }


def bill_of(usage_: dict[str, Any]) -> Bill:
    """What a usage object that a script forces costs."""
    details = usage_.get("input_tokens_details") or {}
    cached, written = details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0
    reasoning = (usage_.get("output_tokens_details") or {}).get("reasoning_tokens") or 0
    return Bill(
        (usage_.get("input_tokens") or 0) - cached - written, cached, written, 0, usage_.get("output_tokens") or 0, reasoning
    )


def answer(plan: Plan, body: dict[str, Any]) -> dict[str, Any]:
    """The whole answer."""
    document = _document(plan, body, "incomplete" if plan.finish == "length" else "completed")
    document["output"] = [item for item, _ in _items(plan)]
    if plan.script.fault != "usage_absent":
        document["usage"] = plan.usage_forced or usage(plan.bill)
    return document


def _document(plan: Plan, body: dict[str, Any], status: str) -> dict[str, Any]:
    done = status in ("completed", "incomplete")
    return {
        "id": f"resp_{plan.id}",
        "object": "response",
        "created_at": plan.created,
        "completed_at": plan.created if status == "completed" else None,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "model": plan.model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": None, "summary": None, **(body.get("reasoning") or {})},
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": tier(plan) if done else body.get("service_tier", "auto"),
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": {"format": {"type": "text"}, "verbosity": "medium", **(body.get("text") or {})},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": [_echoed(tool) for tool in body.get("tools") or ()],
        "top_logprobs": 0,
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation", "disabled"),
        "usage": None,
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }


def _echoed(tool: dict[str, Any]) -> dict[str, Any]:
    return {"description": None, "strict": True, **tool} if tool.get("type") == "function" else tool


def _items(plan: Plan) -> list[tuple[dict[str, Any], str]]:
    """The output items when done, each with its kind: reasoning, web_search_call, message, function_call."""
    status = "incomplete" if plan.finish == "length" else "completed"
    items: list[tuple[dict[str, Any], str]] = []
    if plan.bill.reasoning:
        summary = [{"type": "summary_text", "text": plan.thinking}] if plan.thinking else []
        reasoning: dict[str, Any] = {"id": f"rs_{plan.id}", "type": "reasoning", "summary": summary}
        items.append((reasoning, "reasoning"))
    for number in range(plan.bill.searches):
        action = {"type": "search", "query": f"question {number}", "sources": None}
        items.append(
            (
                {"id": f"ws_{plan.id}{number}", "type": "web_search_call", "status": "completed", "action": action},
                "web_search_call",
            )
        )
    if plan.texts[0] or not plan.calls:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": plan.texts[0]}
        items.append(
            ({"id": f"msg_{plan.id}", "type": "message", "status": status, "role": "assistant", "content": [part]}, "message")
        )
    for call in plan.calls:
        name = {"id": f"fc_{plan.id}{call.number}", "call_id": f"call_{plan.id[:16]}{call.number}", "name": call.name}
        items.append(({"type": "function_call", "status": status, **name, "arguments": call.arguments}, "function_call"))
    return items


def stream(plan: Plan, body: dict[str, Any]) -> list[Frame]:
    """The streamed answer. Sequence numbers follow the order of frames."""
    opening = _document(plan, body, "in_progress")
    events: list[tuple[str, dict[str, Any], Kind]] = [
        ("response.created", {"response": opening}, Kind.OPEN),
        ("response.in_progress", {"response": opening}, Kind.OPEN),
    ]
    columns = [_WRITERS[kind](plan, index, item) for index, (item, kind) in enumerate(_items(plan))]
    calls = len(plan.calls)
    shown, called = columns[: len(columns) - calls], columns[len(columns) - calls :]
    events += [event_ for column in shown for event_ in column]
    if plan.script.interleave:
        longest = max(map(len, called), default=0)
        events += [column[row] for row in range(longest) for column in called if row < len(column)]
    else:
        events += [event_ for column in called for event_ in column]
    if not any(kind is Kind.DELTA for _, _, kind in events):
        events.append(("", {}, Kind.DELTA))
    final = answer(plan, body)
    name = "response.incomplete" if final["status"] == "incomplete" else "response.completed"
    events += [(name, {"response": final}, Kind.FINAL)] * (2 if plan.script.fault == "usage_twice" else 1)
    return _numbered(events)


def _numbered(events: list[tuple[str, dict[str, Any], Kind]]) -> list[Frame]:
    frames, number = [], 0
    for name, data, kind in events:
        if not name:
            frames.append(Frame(b"", kind))
            continue
        frames.append(Frame(event({"type": name, "sequence_number": number, **data}, name), kind))
        number += 1
    return frames


Events = list[tuple[str, dict[str, Any], Kind]]


def _reasoning_events(plan: Plan, index: int, item: dict[str, Any]) -> Events:
    at = {"item_id": item["id"], "output_index": index}
    begun = ("response.output_item.added", {"output_index": index, "item": {**item, "summary": []}}, Kind.OPEN)
    done = ("response.output_item.done", {"output_index": index, "item": item}, Kind.OPEN)
    if not plan.thinking:
        return [begun, *[("", {}, frame.kind) for frame in hidden_reasoning(plan.bill.reasoning, plan.script.chunks)], done]
    at_summary, part = {**at, "summary_index": 0}, {"type": "summary_text", "text": plan.thinking}
    return [
        begun,
        ("response.reasoning_summary_part.added", {**at_summary, "part": {**part, "text": ""}}, Kind.OPEN),
        *[
            ("response.reasoning_summary_text.delta", {**at_summary, "delta": p}, Kind.REASON)
            for p in pieces(plan.thinking, plan.script.chunks)
        ],
        ("response.reasoning_summary_text.done", {**at_summary, "text": plan.thinking}, Kind.OPEN),
        ("response.reasoning_summary_part.done", {**at_summary, "part": part}, Kind.OPEN),
        done,
    ]


def _search_events(_plan: Plan, index: int, item: dict[str, Any]) -> Events:
    at, name = {"item_id": item["id"], "output_index": index}, "response.web_search_call"
    return [
        ("response.output_item.added", {"output_index": index, "item": {**item, "status": "in_progress"}}, Kind.OPEN),
        *[(f"{name}.{step}", at, Kind.OPEN) for step in ("in_progress", "searching", "completed")],
        ("response.output_item.done", {"output_index": index, "item": item}, Kind.OPEN),
    ]


def _message_events(plan: Plan, index: int, item: dict[str, Any]) -> Events:
    at, part = {"item_id": item["id"], "output_index": index, "content_index": 0}, item["content"][0]
    return [
        (
            "response.output_item.added",
            {"output_index": index, "item": {**item, "status": "in_progress", "content": []}},
            Kind.OPEN,
        ),
        ("response.content_part.added", {**at, "part": {**part, "text": ""}}, Kind.OPEN),
        *[
            ("response.output_text.delta", {**at, "delta": p, "logprobs": []}, Kind.DELTA)
            for p in pieces(part["text"], plan.script.chunks)
        ],
        ("response.output_text.done", {**at, "text": part["text"], "logprobs": []}, Kind.OPEN),
        ("response.content_part.done", {**at, "part": part}, Kind.OPEN),
        ("response.output_item.done", {"output_index": index, "item": item}, Kind.OPEN),
    ]


def _call_events(plan: Plan, index: int, item: dict[str, Any]) -> Events:
    at, name = {"item_id": item["id"], "output_index": index}, "response.function_call_arguments"
    return [
        (
            "response.output_item.added",
            {"output_index": index, "item": {**item, "status": "in_progress", "arguments": ""}},
            Kind.OPEN,
        ),
        *[(f"{name}.delta", {**at, "delta": p}, Kind.DELTA) for p in slices(item["arguments"], plan.script.chunks)],
        (f"{name}.done", {**at, "arguments": item["arguments"]}, Kind.OPEN),
        ("response.output_item.done", {"output_index": index, "item": item}, Kind.OPEN),
    ]


_WRITERS = {
    "reasoning": _reasoning_events,
    "web_search_call": _search_events,
    "message": _message_events,
    "function_call": _call_events,
}


def error_event(error: ApiError, model: str) -> bytes:
    """An error in a stream that began well."""
    about: Any = openai_error(error, model)["error"]
    data = {
        "type": "error",
        "code": about["code"] or about["type"],
        "message": about["message"],
        "param": about["param"],
        "sequence_number": 0,
    }
    return event(data, "error")


def failed_event(plan: Plan, body: dict[str, Any], error: ApiError) -> bytes:
    """`response.failed`: the provider gave up in the middle."""
    about: Any = openai_error(error, plan.model)["error"]
    document = {**_document(plan, body, "failed"), "error": {"code": error.code or "server_error", "message": about["message"]}}
    return event({"type": "response.failed", "sequence_number": 0, "response": document}, "response.failed")
