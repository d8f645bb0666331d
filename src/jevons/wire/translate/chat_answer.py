"""Whole Chat Completions answers: read into an Answer, and written from one. Streams share their words for stops and usage."""

from typing import Annotated, Any

import msgspec

from jevons.core.usage import Usage
from jevons.wire.body import BAD_JSON
from jevons.wire.neutral import Answer, Reason, RedactedThinking, Text, Thinking, ToolCall
from jevons.wire.translate.broken import BrokenAnswer

_REASONS = {"length": Reason.LENGTH, "tool_calls": Reason.TOOLS, "content_filter": Reason.REFUSED}
_FINISH = {
    Reason.END: "stop",
    Reason.STOP_SEQUENCE: "stop",
    Reason.LENGTH: "length",
    Reason.TOOLS: "tool_calls",
    Reason.REFUSED: "content_filter",
}


Count = Annotated[int, msgspec.Meta(ge=0)]


class PromptDetails(msgspec.Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class CompletionDetails(msgspec.Struct):
    reasoning_tokens: Count | None = None


class ChatUsage(msgspec.Struct):
    """`usage` of an answer or of a stream's last chunk."""

    prompt_tokens: Count = 0
    completion_tokens: Count | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class _Function(msgspec.Struct):
    name: str
    arguments: str | None = None


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: ChatUsage | None = None


def read_usage(usage: ChatUsage | None) -> Usage:
    """Disjoint counts out of OpenAI's nested ones: prompt_tokens include cached ones, completion_tokens the reasoning.

    Some providers (xAI, Gemini) count reasoning beside completion_tokens; their total shows it.
    """
    if usage is None:
        return Usage()
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = (prompt.cached_tokens if prompt else None) or 0
    written = (prompt.cache_write_tokens if prompt else None) or 0
    reasoning = (completion.reasoning_tokens if completion else None) or 0
    output = usage.completion_tokens or 0
    if usage.total_tokens == usage.prompt_tokens + output + reasoning:
        output += reasoning
    return Usage(
        input=max(0, usage.prompt_tokens - cached - written),
        cache_read=cached,
        cache_write_5m=written,
        output=output,
        reasoning=min(reasoning, output),
    )


def write_usage(usage: Usage) -> dict[str, object]:
    """OpenAI's `usage` object. All inputs count as prompt tokens."""
    written = usage.cache_write_5m + usage.cache_write_1h
    prompt = usage.input + usage.cache_read + written
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output,
        "total_tokens": prompt + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def read_reason(finish_reason: str | None, called: bool, refused: bool) -> Reason:
    """Why a chat model stopped. Some say `stop` after a tool call (Gemini; OpenAI for a forced one), or `stop` with a refusal."""
    reason = _REASONS.get(finish_reason or "", Reason.END)
    if reason is not Reason.END:
        return reason
    return Reason.REFUSED if refused else Reason.TOOLS if called else Reason.END


def write_finish(reason: Reason) -> str:
    return _FINISH[reason]


def read_chat_answer(body: bytes, answer_id: str) -> Answer:
    """The first choice of a chat completion. Calls without an id get one from `answer_id`. Raises BrokenAnswer."""
    try:
        completion = msgspec.json.decode(body, type=_Completion)
        choice = completion.choices[0]
    except (*BAD_JSON, IndexError) as error:
        raise BrokenAnswer(f"it is not a chat completion: {error}") from None
    message = choice.message
    parts: list[Text | Thinking | RedactedThinking | ToolCall] = []
    thought = message.reasoning_content or message.reasoning
    if thought:
        parts.append(Thinking(thought))
    parts += [Text(text) for text in (message.content, message.refusal) if text]
    reason = read_reason(choice.finish_reason, bool(message.tool_calls), bool(message.refusal))
    for number, call in enumerate(message.tool_calls or ()):
        arguments = _arguments(call.function, reason)
        parts.append(ToolCall(call.id or call_id(answer_id, number), call.function.name, arguments))
    return Answer(parts=tuple(parts), reason=reason, usage=read_usage(completion.usage))


def call_id(answer_id: str, number: int) -> str:
    """Id of a call that its upstream gave none: no other call of the conversation has it."""
    return f"call_{answer_id}_{number}"


def _arguments(function: _Function, reason: Reason) -> str:
    """The arguments as JSON text of an object. A call that the output cap cut short has none, as in Anthropic's own answers."""
    text = (function.arguments or "").strip() or "{}"
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except BAD_JSON as error:
        if reason is Reason.LENGTH:
            return "{}"
        raise BrokenAnswer(f"the arguments of its call of {function.name} are not a JSON object: {error}") from None
    return text


def thinking_block(part: Thinking | RedactedThinking, index: int) -> dict[str, object] | None:
    """LiteLLM's `thinking_blocks` entry: what a client sends back so that signed thinking survives. Unsigned thinking needs none.

    `index` is what the openai SDK joins list entries of a stream by.
    """
    if isinstance(part, RedactedThinking):
        return {"index": index, "type": "redacted_thinking", "data": part.data}
    if not part.signature:
        return None
    return {"index": index, "type": "thinking", "thinking": part.text, "signature": part.signature}


def write_chat_answer(answer: Answer, model: str, answer_id: str, created_s: int) -> bytes:
    """The body of a `chat.completion`. `created_s` is in Unix seconds."""
    texts = [part.text for part in answer.parts if isinstance(part, Text)]
    calls = [part for part in answer.parts if isinstance(part, ToolCall)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts or not calls else None,
        "refusal": answer.refusal,
    }
    thoughts = [part for part in answer.parts if isinstance(part, Thinking | RedactedThinking)]
    thought = "".join(part.text for part in thoughts if isinstance(part, Thinking))
    if thought:
        message["reasoning_content"] = thought
    blocks: list[dict[str, object]] = []
    for part in thoughts:
        if block := thinking_block(part, len(blocks)):
            blocks.append(block)
    if blocks:
        message["thinking_blocks"] = blocks
    if calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": write_finish(answer.reason)}
    return msgspec.json.encode(
        {
            "id": answer_id,
            "object": "chat.completion",
            "created": created_s,
            "model": model,
            "choices": [choice],
            "usage": write_usage(answer.usage),
        }
    )
