"""Whole Messages answers: read into an Answer, and written from one. Streams share their words for stops and usage."""

from typing import Annotated

import msgspec

from jevons.core.usage import Usage
from jevons.wire.body import BAD_JSON
from jevons.wire.neutral import Answer, Reason, RedactedThinking, Text, Thinking, ToolCall
from jevons.wire.translate.broken import BrokenAnswer

_REASONS = {
    "max_tokens": Reason.LENGTH,
    "model_context_window_exceeded": Reason.LENGTH,
    "pause_turn": Reason.LENGTH,
    "tool_use": Reason.TOOLS,
    "refusal": Reason.REFUSED,
    "stop_sequence": Reason.STOP_SEQUENCE,
}
"""A paused turn is an unfinished answer; only tools that Anthropic runs pause one."""

_STOPS = {
    Reason.END: "end_turn",
    Reason.LENGTH: "max_tokens",
    Reason.TOOLS: "tool_use",
    Reason.REFUSED: "refusal",
    Reason.STOP_SEQUENCE: "stop_sequence",
}


Count = Annotated[int, msgspec.Meta(ge=0)]


class CacheCreation(msgspec.Struct):
    ephemeral_1h_input_tokens: Count = 0


class OutputDetails(msgspec.Struct):
    thinking_tokens: Count = 0


class MessagesUsage(msgspec.Struct):
    """`usage` of a message, or of message_start and message_delta, whose counts are cumulative."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None


class StopDetails(msgspec.Struct):
    explanation: str | None = None


class Block(msgspec.Struct):
    """A content block, of an answer or as a stream begins it."""

    type: str
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Message(msgspec.Struct):
    content: list[Block]
    usage: MessagesUsage | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


def read_usage(usage: MessagesUsage | None) -> Usage:
    """Anthropic's counts are disjoint already; thinking is part of the output. None counts nothing: the provider said nothing."""
    if usage is None:
        return Usage()
    written = usage.cache_creation_input_tokens or 0
    one_hour = min(written, usage.cache_creation.ephemeral_1h_input_tokens) if usage.cache_creation else 0
    output = usage.output_tokens or 0
    thinking = usage.output_tokens_details.thinking_tokens if usage.output_tokens_details else 0
    return Usage(
        input=usage.input_tokens or 0,
        cache_read=usage.cache_read_input_tokens or 0,
        cache_write_5m=written - one_hour,
        cache_write_1h=one_hour,
        output=output,
        reasoning=min(thinking, output),
    )


def write_usage(usage: Usage) -> dict[str, object]:
    """Anthropic's `usage` object. Cache writes are told apart by lifetime only where some last an hour."""
    said: dict[str, object] = {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    }
    if usage.cache_write_1h:
        said["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }
    if usage.reasoning:
        said["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return said


def read_reason(stop_reason: str | None) -> Reason:
    return _REASONS.get(stop_reason or "", Reason.END)


def write_stop(reason: Reason, stop_sequence: str | None, refusal: str | None) -> dict[str, object]:
    """The fields of a message, or of a message_delta, that say why it ends."""
    said: dict[str, object] = {"stop_reason": _STOPS[reason], "stop_sequence": stop_sequence}
    if refusal is not None:
        said["stop_details"] = {"type": "refusal", "category": None, "explanation": refusal}
    return said


def read_messages_answer(body: bytes) -> Answer:
    """A message. Raises BrokenAnswer if it is not one, or holds a kind of block that no translated request asks for."""
    try:
        message = msgspec.json.decode(body, type=_Message)
        parts = tuple(_part(block) for block in message.content)
    except BAD_JSON as error:
        raise BrokenAnswer(f"it is not a message: {error}") from None
    return Answer(
        parts=parts,
        reason=read_reason(message.stop_reason),
        usage=read_usage(message.usage),
        stop_sequence=message.stop_sequence,
        refusal=message.stop_details.explanation if message.stop_details else None,
    )


def _part(block: Block) -> Text | Thinking | RedactedThinking | ToolCall:
    if block.type == "text":
        return Text(block.text)
    if block.type == "thinking":
        return Thinking(block.thinking, block.signature)
    if block.type == "redacted_thinking":
        return RedactedThinking(block.data)
    if block.type == "tool_use":
        return ToolCall(block.id, block.name, bytes(block.input).decode())
    raise BrokenAnswer(f"it holds a block of type {block.type}, which nobody asked for")


def write_messages_answer(answer: Answer, model: str, answer_id: str) -> bytes:
    """The body of a `message`."""
    message: dict[str, object] = {
        "id": answer_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [write_block(part) for part in answer.parts],
    }
    message |= write_stop(answer.reason, answer.stop_sequence, answer.refusal)
    message["usage"] = write_usage(answer.usage)
    return msgspec.json.encode(message)


def write_block(part: Text | Thinking | RedactedThinking | ToolCall) -> dict[str, object]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Thinking):
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    if isinstance(part, RedactedThinking):
        return {"type": "redacted_thinking", "data": part.data}
    return {"type": "tool_use", "id": part.id, "name": part.name, "input": msgspec.Raw(part.arguments.encode())}
