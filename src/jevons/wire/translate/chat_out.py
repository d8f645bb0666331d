"""A Conversation becomes a Chat Completions request for an OpenAI-compatible upstream."""

import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from jevons.wire.neutral import (
    AnswerSchema,
    Choose,
    Conversation,
    Document,
    Image,
    Part,
    Reasoning,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from jevons.wire.translate.table import EFFORT_OF_BUDGET, USER_CHARS_MAX

_CHOICES = {Choose.AUTO: "auto", Choose.ANY: "required", Choose.NONE: "none"}


def write_chat_request(talk: Conversation, model: str, output_cap: int, cap_field: str) -> bytes:
    """Body for POST /chat/completions. `output_cap` tokens go into `cap_field`. Usage is always asked for, as policy needs it."""
    body: dict[str, object] = {"model": model, "messages": [message for turn in talk.turns for message in _messages(turn)]}
    body[cap_field] = output_cap
    if talk.tools:
        body["tools"] = [_tool(tool) for tool in talk.tools]
    if talk.tool_choice:
        body |= _tool_choice(talk.tool_choice)
    effort = _effort(talk.reasoning)
    if effort:
        body["reasoning_effort"] = effort
    if talk.answer_schema:
        body["response_format"] = _response_format(talk.answer_schema)
    if talk.temperature is not None:
        body["temperature"] = talk.temperature
    if talk.top_p is not None:
        body["top_p"] = talk.top_p
    if talk.stop:
        body["stop"] = talk.stop
    if talk.user:
        body["user"] = talk.user if len(talk.user) <= USER_CHARS_MAX else hashlib.sha256(talk.user.encode()).hexdigest()
    if talk.standard_tier:
        body["service_tier"] = "default"
    if talk.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(body)


def _tool(tool: Tool) -> dict[str, object]:
    function: dict[str, object] = {"name": tool.name, "parameters": msgspec.Raw(tool.schema.encode())}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice) -> dict[str, object]:
    said: object = _CHOICES.get(choice.choose) or {"type": "function", "function": {"name": choice.name}}
    return {"tool_choice": said} if choice.parallel else {"tool_choice": said, "parallel_tool_calls": False}


def _effort(reasoning: Reasoning | None) -> str | None:
    if reasoning is None:
        return None
    if reasoning.effort is None and reasoning.budget_tokens is not None:
        budget = reasoning.budget_tokens
        return next((effort for up_to, effort in EFFORT_OF_BUDGET if budget <= up_to), "high")
    return reasoning.effort


def _response_format(answer: AnswerSchema) -> dict[str, object]:
    spec = {"name": answer.name, "schema": msgspec.Raw(answer.schema.encode()), "strict": answer.strict}
    return {"type": "json_schema", "json_schema": spec}


def _messages(turn: Turn) -> Iterator[dict[str, object]]:
    if turn.role is Role.ASSISTANT:
        yield _assistant(turn)
        return
    rest = [part for part in turn.parts if not isinstance(part, ToolResult)]
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    for result in results:
        yield {"role": "tool", "tool_call_id": result.call_id, "content": _result_text(result)}
    moved = [part for result in results for part in _moved(result)]
    if moved or rest or not results:
        yield {"role": turn.role.value, "content": _content([*moved, *rest])}


def _assistant(turn: Turn) -> dict[str, object]:
    text = "".join(part.text for part in turn.parts if isinstance(part, Text))
    calls = [part for part in turn.parts if isinstance(part, ToolCall)]
    message: dict[str, object] = {"role": "assistant", "content": None if calls and not text else text}
    thought = "".join(part.text for part in turn.parts if isinstance(part, Thinking) and not part.signature)
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in calls
        ]
    return message


def _result_text(result: ToolResult) -> object:
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    if not texts and result.parts:
        texts = ["The result follows in the next user message."]
    if result.is_error:
        texts = [f"Error:\n{texts[0]}", *texts[1:]] if texts else ["Error"]
    return _content([Text(text) for text in texts])


def _moved(result: ToolResult) -> list[Part]:
    """Images and PDFs of a tool result: chat's tool messages hold text only, so a user message right after brings them."""
    files = [part for part in result.parts if not isinstance(part, Text)]
    return [Text(f"From the result of tool call {result.call_id}:"), *files] if files else []


def _content(parts: Sequence[Part]) -> object:
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, object]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        url = part.url or f"data:{part.media_type};base64,{part.data}"
        return {"type": "image_url", "image_url": {"url": url}}
    assert isinstance(part, Document)
    file = {"file_data": f"data:application/pdf;base64,{part.data}", "filename": part.title or "document.pdf"}
    return {"type": "file", "file": file}
