"""OpenAI Chat Completions: requests read and checked, answers and streams written; with Azure's and Gemini's own ways.

Source: developers.openai.com/api/reference (chat, chat-streaming). Azure: a first chunk without choices, content filter results.
Gemini's OpenAI endpoint: usage on every chunk (cumulative), thoughts only in `total_tokens`.
"""

import json
from typing import Any

from tests.provider.errors import ApiError, openai_error
from tests.provider.frames import Frame, Kind, event, hidden_reasoning
from tests.provider.journal import Bill
from tests.provider.plan import Call, Plan, pieces, slices
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
    {"system", "thinking", "stop_sequences", "max_output_tokens", "input", "instructions", "anthropic_version", "top_k"}
)
"""Fields of other dialects: OpenAI answers 400 to them."""
FINGERPRINT = "fp_5tandin000"
SAFE = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": False, "severity": "safe"}}


def read(body: dict[str, Any]) -> Prompt:
    """The request as a prompt. Raises ApiError as the provider would."""
    for name in FOREIGN & body.keys():
        raise ApiError(400, f"Unrecognized request argument supplied: {name}", param=None)
    if not isinstance(body.get("model"), str):
        raise ApiError(400, "you must provide a model parameter")
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise ApiError(400, "Missing required parameter: 'messages'.", "missing_required_parameter", "messages")
    _check_tool_messages(body["messages"])
    format_ = body.get("response_format") or {}
    stream = bool(body.get("stream"))
    if body.get("stream_options") is not None and not stream:
        raise ApiError(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options")
    tools = tuple(
        Tool(t["function"]["name"], t["function"].get("parameters", {})) for t in body.get("tools", ()) if "function" in t
    )
    messages = tuple(_message(m) for m in body["messages"])
    return Prompt(
        model=body["model"],
        stream=stream,
        segments=(
            *(Segment(compact(t), TOOL_TOKENS + tokens(json.dumps(t))) for t in body.get("tools", ())),
            *(
                Segment(compact(raw), _message_tokens(raw, message))
                for raw, message in zip(body["messages"], messages, strict=True)
            ),
        ),
        messages=messages,
        cap=body.get("max_completion_tokens") or body.get("max_tokens"),
        choices=body.get("n") or 1,
        tools=tools,
        must_call=_must_call(body.get("tool_choice")),
        schema=_schema(format_),
        service_tier=body.get("service_tier"),
        media=sum(map(_media, body["messages"])),
    )


def _must_call(choice: object) -> str | None:
    if choice == "required":
        return "*"
    if isinstance(choice, dict):
        return str(choice.get("function", {}).get("name", "*"))
    return None


def _schema(format_: dict[str, Any]) -> dict[str, Any] | None:
    if format_.get("type") == "json_schema":
        schema: dict[str, Any] = format_["json_schema"].get("schema", {})
        return schema
    return {"type": "object"} if format_.get("type") == "json_object" else None


def _message(raw: dict[str, Any]) -> Message:
    text = text_of(raw.get("content"))
    return Message(raw.get("role", ""), "" if raw.get("role") == "tool" else text, (text,) if raw.get("role") == "tool" else ())


def text_of(content: object) -> str:
    """All text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part.get("text") or "" for part in parts if isinstance(part, dict))


def _media(raw: dict[str, Any]) -> int:
    content = raw.get("content")
    return sum(part.get("type") not in ("text", "refusal") for part in content) if isinstance(content, list) else 0


def _message_tokens(raw: dict[str, Any], message: Message) -> int:
    calls = sum(CALL_TOKENS + tokens(call.get("function", {}).get("arguments", "")) for call in raw.get("tool_calls") or ())
    return MESSAGE_TOKENS + tokens(message.text) + sum(map(tokens, message.results)) + MEDIA_TOKENS * _media(raw) + calls


def _check_tool_messages(messages: list[dict[str, Any]]) -> None:
    """Every call is answered before anything else is said, every tool message answers a call."""
    open_calls: set[str] = set()
    for message in messages:
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in open_calls:
                raise ApiError(
                    400,
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
                    param="messages",
                )
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            break
        open_calls = {call["id"] for call in message.get("tool_calls") or ()}
    if open_calls:
        missing = ", ".join(sorted(open_calls))
        raise ApiError(
            400,
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
            f"The following tool_call_ids did not have response messages: {missing}",
            param="messages",
        )


def usage(bill: Bill, flavour: str) -> dict[str, Any]:
    """The usage object for a bill."""
    read_ = bill.input + bill.cache_read + bill.cache_write_5m + bill.cache_write_1h
    if flavour == "gemini":
        return {"completion_tokens": bill.output - bill.reasoning, "prompt_tokens": read_, "total_tokens": read_ + bill.output}
    searched = {"num_search_queries": bill.searches} if bill.searches else {}
    return {
        **searched,  # as Perplexity says it; OpenAI's own chat has no place for it
        "prompt_tokens": read_,
        "completion_tokens": bill.output,
        "total_tokens": read_ + bill.output,
        "prompt_tokens_details": {"cached_tokens": bill.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": bill.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def bill_of(usage_: dict[str, Any], flavour: str) -> Bill:
    """What a usage object that a script forces costs."""
    cached = (usage_.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    written = (usage_.get("prompt_tokens_details") or {}).get("cache_write_tokens") or 0
    reasoning = (usage_.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    prompt, output = usage_.get("prompt_tokens") or 0, usage_.get("completion_tokens") or 0
    if flavour == "gemini":
        reasoning = usage_["total_tokens"] - prompt - output
        output += reasoning
    return Bill(prompt - cached - written, cached, written, 0, output, reasoning, usage_.get("num_search_queries") or 0)


def answer(plan: Plan, body: dict[str, Any], flavour: str) -> dict[str, Any]:
    """The whole answer."""
    choices = [_choice(plan, index, text, body, flavour) for index, text in enumerate(plan.texts)]
    document = {
        "id": f"chatcmpl-{plan.id}",
        "object": "chat.completion",
        "created": plan.created,
        "model": plan.model,
        "choices": choices,
    }
    if plan.script.fault != "usage_absent":
        document["usage"] = plan.usage_forced or usage(plan.bill, flavour)
    if flavour == "azure":
        document["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": SAFE}]
    if flavour != "gemini":
        document |= {"service_tier": tier(plan), "system_fingerprint": FINGERPRINT}
    return document


def tier(plan: Plan) -> str:
    """The tier that served: what was asked, with `auto` resolved to `default`."""
    asked = plan.script.service_tier or plan.prompt.service_tier or "default"
    return "default" if asked == "auto" else "priority" if asked == "fast" else asked


def _choice(plan: Plan, index: int, text: str, body: dict[str, Any], flavour: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None, "annotations": []}
    if plan.calls:
        message["tool_calls"] = [_call(plan, index, call, call.arguments) for call in plan.calls]
    logprobs = (
        {"content": [_logprob(piece, body, plan.script.logprob) for piece in pieces(text, len(text))], "refusal": None}
        if body.get("logprobs")
        else None
    )
    choice = {"index": index, "message": message, "logprobs": logprobs, "finish_reason": plan.forced_finish or plan.finish}
    return {**choice, "content_filter_results": SAFE} if flavour == "azure" else choice


def _call(plan: Plan, choice: int, call: Call, arguments: str) -> dict[str, Any]:
    return {"id": _call_id(plan, choice, call), "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _call_id(plan: Plan, choice: int, call: Call) -> str:
    return f"call_{plan.id[:16]}{choice}{call.number}"


def _logprob(piece: str, body: dict[str, Any], logprob: float) -> dict[str, Any]:
    value = {"token": piece, "logprob": logprob, "bytes": list(piece.encode())}
    return {**value, "top_logprobs": [dict(value)] * (body.get("top_logprobs") or 0)}


def stream(plan: Plan, body: dict[str, Any], flavour: str) -> list[Frame]:
    """The streamed answer."""
    fault = plan.script.fault
    asked = bool((body.get("stream_options") or {}).get("include_usage"))
    on_finish = fault == "usage_on_delta_chunk" or flavour == "gemini"
    reported = plan.usage_forced or usage(plan.bill, flavour)
    separate = (asked or fault == "usage_unasked") and not on_finish and fault != "usage_absent"
    head = _Chunks(plan, body, flavour, null_usage=asked and not on_finish and fault != "usage_absent")
    frames = [Frame(head.filter_results(), Kind.OPEN)] if flavour == "azure" else []
    frames += [
        head.delta(i, {"role": "assistant", "content": None if plan.calls and not t else "", "refusal": None}, Kind.OPEN)
        for i, t in enumerate(plan.texts)
    ]
    frames += hidden_reasoning(plan.bill.reasoning, plan.script.chunks)
    frames += _taking_turns([_texts(head, i, text) for i, text in enumerate(plan.texts)])
    for i in range(len(plan.texts)):
        frames += _tool_deltas(head, plan, i)
    if not any(frame.kind is Kind.DELTA for frame in frames):
        frames.append(Frame(b"", Kind.DELTA))
    last = len(plan.texts) - 1
    for i in range(len(plan.texts)):
        with_usage = {"usage": reported} if on_finish and i == last and fault != "usage_absent" else {}
        frames.append(head.delta(i, {}, Kind.FINAL, finish=plan.forced_finish or plan.finish, extra=with_usage))
    if separate:
        frames += [Frame(head.write([], {"usage": reported}), Kind.FINAL)] * (2 if fault == "usage_twice" else 1)
    return [*frames, Frame(event("[DONE]"), Kind.FINAL)]


def _texts(head: "_Chunks", index: int, text: str) -> list[Frame]:
    return [head.delta(index, {"content": piece}, Kind.DELTA, text=piece) for piece in pieces(text, head.plan.script.chunks)]


def _taking_turns(columns: list[list[Frame]]) -> list[Frame]:
    """First frames of all, then second frames of all, and so on."""
    return [column[row] for row in range(max(map(len, columns), default=0)) for column in columns if row < len(column)]


def _tool_deltas(head: "_Chunks", plan: Plan, choice: int) -> list[Frame]:
    columns = []
    for call in plan.calls:
        first = {"tool_calls": [{"index": call.number, **_call(plan, choice, call, "")}]}
        more = [{"index": call.number, "function": {"arguments": piece}} for piece in slices(call.arguments, plan.script.chunks)]
        columns.append([head.delta(choice, delta, Kind.DELTA) for delta in (first, *({"tool_calls": [m]} for m in more))])
    return _taking_turns(columns) if plan.script.interleave else [frame for column in columns for frame in column]


class _Chunks:
    """Writes `chat.completion.chunk` events."""

    def __init__(self, plan: Plan, body: dict[str, Any], flavour: str, null_usage: bool) -> None:
        self.plan, self._body, self._flavour, self._null_usage = plan, body, flavour, null_usage
        # Characters that hide the lengths of OpenAI's chunks; on unless switched off.
        self._padded = flavour == "openai" and (body.get("stream_options") or {}).get("include_obfuscation") is not False

    def write(self, choices: list[dict[str, Any]], extra: dict[str, Any]) -> bytes:
        plan = self.plan
        chunk = {"id": f"chatcmpl-{plan.id}", "object": "chat.completion.chunk", "created": plan.created, "model": plan.model}
        if self._flavour != "gemini":
            chunk |= {"service_tier": tier(plan), "system_fingerprint": FINGERPRINT}
        chunk["choices"] = choices
        if self._null_usage:
            chunk["usage"] = None
        chunk |= extra
        if self._padded:
            chunk["obfuscation"] = "wJ3kP0"
        return event(chunk)

    def delta(
        self,
        index: int,
        delta: dict[str, Any],
        kind: Kind,
        finish: str | None = None,
        text: str = "",
        extra: dict[str, Any] | None = None,
    ) -> Frame:
        logprobs = (
            {
                "content": [_logprob(piece, self._body, self.plan.script.logprob) for piece in pieces(text, len(text))],
                "refusal": None,
            }
            if self._body.get("logprobs") and text
            else None
        )
        choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        if self._flavour == "azure":
            choice["content_filter_results"] = SAFE if text else {}
        if (
            self._flavour == "gemini"
            and not extra
            and self.plan.script.fault != "usage_absent"
            and self.plan.usage_forced is None
        ):
            extra = {"usage": usage(self.plan.bill.with_output(self.plan.bill.output if finish else 0, 0), self._flavour)}
        return Frame(self.write([choice], extra or {}), kind)

    def filter_results(self) -> bytes:
        """Azure's first chunk."""
        return event(
            {
                "choices": [],
                "created": 0,
                "id": "",
                "model": "",
                "object": "",
                "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SAFE}],
            }
        )


def error_event(error: ApiError, model: str) -> bytes:
    """An error in a stream that began well."""
    return event(openai_error(error, model))
