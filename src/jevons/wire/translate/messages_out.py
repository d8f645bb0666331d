"""A Conversation becomes a Messages request for an Anthropic-compatible upstream."""

import re

import msgspec

from jevons.core.refusal import invalid
from jevons.wire.neutral import (
    Choose,
    Conversation,
    Document,
    Image,
    Part,
    Reasoning,
    RedactedThinking,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    merged,
)
from jevons.wire.translate.table import BUDGET_MODELS, EFFORT_BUDGETS, EFFORT_FOR_ANTHROPIC, THINKING_BUDGET_MIN

_CHOICES = {Choose.AUTO: "auto", Choose.ANY: "any", Choose.NONE: "none", Choose.NAMED: "tool"}
_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")


def write_messages_request(talk: Conversation, model: str, output_cap: int) -> bytes:
    """Body for POST /v1/messages. Raises Refusal 400 where nothing is left to answer, or the cap leaves no room to think."""
    turns = [turn for turn in merged(tuple(_without_empty_text(turn) for turn in talk.turns)) if turn.parts]
    system = turns.pop(0) if turns and turns[0].role is Role.SYSTEM else None
    if not turns:
        raise invalid("messages holds nothing to answer: Messages needs at least one message with text", param="messages")
    body: dict[str, object] = {
        "model": model,
        "max_tokens": output_cap,
        "messages": [_message(turn) for turn in merged(tuple(turns))],
    }
    if system:
        body["system"] = [_block(part) for part in system.parts]
    if talk.tools:
        body["tools"] = [_tool(tool) for tool in talk.tools]
    if talk.tool_choice:
        body["tool_choice"] = _tool_choice(talk.tool_choice)
    thinking, effort = _thinking(talk.reasoning, model, output_cap)
    if thinking:
        body["thinking"] = thinking
    output: dict[str, object] = {"effort": effort} if effort else {}
    if talk.answer_schema:
        output["format"] = {"type": "json_schema", "schema": msgspec.Raw(talk.answer_schema.schema.encode())}
    if output:
        body["output_config"] = output
    if talk.temperature is not None:
        body["temperature"] = talk.temperature
    if talk.top_p is not None:
        body["top_p"] = talk.top_p
    if talk.stop:
        body["stop_sequences"] = talk.stop
    if talk.user:
        body["metadata"] = {"user_id": talk.user}
    if talk.standard_tier:
        body["service_tier"] = "standard_only"
    if talk.stream:
        body["stream"] = True
    return msgspec.json.encode(body)


def _without_empty_text(turn: Turn) -> Turn:
    """Messages answers 400 to an empty text block."""
    return Turn(turn.role, tuple(part for part in turn.parts if not isinstance(part, Text) or part.text))


def _thinking(reasoning: Reasoning | None, model: str, output_cap: int) -> tuple[dict[str, object] | None, str | None]:
    """(`thinking`, `output_config.effort`). Models before 4.6 think by a budget, which must be less than the cap."""
    if reasoning is None:
        return None, None
    if reasoning.effort == "none":
        return {"type": "disabled"}, None
    budget = reasoning.budget_tokens
    if budget is None and not re.search(BUDGET_MODELS, model):
        effort = reasoning.effort
        return {"type": "adaptive"}, EFFORT_FOR_ANTHROPIC.get(effort, effort) if effort else None
    if budget is None:
        budget = min(EFFORT_BUDGETS.get(reasoning.effort or "medium", THINKING_BUDGET_MIN), output_cap - 1)
        if budget < THINKING_BUDGET_MIN:
            raise invalid(
                f"reasoning_effort needs an output cap over {THINKING_BUDGET_MIN} tokens on {model}; it is {output_cap}",
                param="reasoning_effort",
            )
    return {"type": "enabled", "budget_tokens": budget}, None


def _tool(tool: Tool) -> dict[str, object]:
    said: dict[str, object] = {"name": tool.name, "input_schema": msgspec.Raw(tool.schema.encode())}
    if tool.description is not None:
        said["description"] = tool.description
    if tool.strict is not None:
        said["strict"] = tool.strict
    return said


def _tool_choice(choice: ToolChoice) -> dict[str, object]:
    said: dict[str, object] = {"type": _CHOICES[choice.choose]}
    if choice.choose is Choose.NAMED:
        said["name"] = choice.name
    if not choice.parallel and choice.choose is not Choose.NONE:
        said["disable_parallel_tool_use"] = True
    return said


def _message(turn: Turn) -> dict[str, object]:
    """Tool results come first in a turn, as Anthropic demands."""
    parts = sorted(turn.parts, key=lambda part: not isinstance(part, ToolResult))
    if len(parts) == 1 and isinstance(parts[0], Text):
        return {"role": turn.role.value, "content": parts[0].text}
    return {"role": turn.role.value, "content": [_block(part) for part in parts]}


def tool_id(text: str) -> str:
    """A tool call's id in the letters Anthropic allows; another id becomes a longer one, never that of another call."""
    return _FOREIGN.sub(lambda letter: f"_{ord(letter[0]):x}_", text)


def _block(part: Part) -> dict[str, object]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        if part.url:
            return {"type": "image", "source": {"type": "url", "url": part.url}}
        return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}
    if isinstance(part, Document):
        document: dict[str, object] = {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": part.data},
        }
        return document | ({"title": part.title} if part.title else {})
    if isinstance(part, Thinking):
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    if isinstance(part, RedactedThinking):
        return {"type": "redacted_thinking", "data": part.data}
    if isinstance(part, ToolCall):
        arguments = msgspec.Raw(part.arguments.encode())
        return {"type": "tool_use", "id": tool_id(part.id), "name": part.name, "input": arguments}
    result: dict[str, object] = {"type": "tool_result", "tool_use_id": tool_id(part.call_id)}
    content = [_block(inner) for inner in part.parts if not isinstance(inner, Text) or inner.text]
    if content:
        result["content"] = content
    return result | ({"is_error": True} if part.is_error else {})
