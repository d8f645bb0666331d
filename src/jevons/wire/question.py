"""The question of a request, the last thing that its user says, apart from all the rest; and the text of an answer.

Comes in: a body of any dialect. Goes out: the question's text, the same body without it, and what else there is that decides whether the
question can be understood alone. Does not know: which questions may be answered from a cache.
"""

from typing import Any, NamedTuple

import msgspec

from jevons.core.ask import Ask, Dialect
from jevons.wire.body import BAD_JSON

_MESSAGES = {Dialect.CHAT: "messages", Dialect.MESSAGES: "messages", Dialect.RESPONSES: "input"}
_TEXTS = frozenset({"text", "input_text"})
_RESULTS = frozenset({"tool_result", "function_call_output", "custom_tool_call_output"})

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class Question(NamedTuple):
    """What is asked, and in what."""

    text: str
    rest: bytes
    """The body with an empty question: JSON, not to be sent."""
    tools: bool
    """The model may call tools."""
    tool_results: bool
    """Some message tells what a tool said."""
    other_parts: bool
    """The question has parts that are no text."""


def question_of(ask: Ask) -> Question | None:
    """None where a user's words are not the last of it."""
    name = _MESSAGES.get(ask.dialect)
    if name is None:
        return None
    try:
        body = _decode(ask.body)
    except BAD_JSON:
        return None
    said = body.get(name)
    if isinstance(said, str):
        said = body[name] = [{"role": "user", "content": said}]
    if not isinstance(said, list) or not said or not all(isinstance(one, dict) for one in said) or said[-1].get("role") != "user":
        return None
    texts, other = _taken_out(said[-1])
    return Question(
        "\n".join(texts),
        _encode(body),
        tools=bool(body.get("tools") or body.get("functions")),
        tool_results=any(_tells_result(one) for one in said),
        other_parts=other,
    )


def answer_text(dialect: Dialect, body: bytes) -> str | None:
    """What a whole answer says, if it is text and nothing else: no call of a tool, no refusal, no picture."""
    try:
        whole = _decode(body)
        match dialect:
            case Dialect.CHAT:
                (choice,) = whole["choices"]
                message = choice["message"]
                plain = not message.get("tool_calls") and not message.get("refusal") and not message.get("audio")
                parts = [message["content"]] if plain else [None]
            case Dialect.MESSAGES:
                parts = [part["text"] if part["type"] == "text" else None for part in _spoken(whole["content"])]
            case Dialect.RESPONSES:
                items = _spoken(whole["output"])
                parts = [
                    part.get("text") if part["type"] == "output_text" else None
                    for item in items
                    for part in (item["content"] if item["type"] == "message" else [{"type": ""}])
                ]
            case _:
                return None
    except (*BAD_JSON, KeyError, TypeError, ValueError, AttributeError):
        return None
    texts = [part for part in parts if isinstance(part, str)]
    return "".join(texts) if texts and len(texts) == len(parts) else None


def _spoken(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what the model thought by itself."""
    return [item for item in items if item["type"] not in ("thinking", "redacted_thinking", "reasoning")]


def _taken_out(message: dict[str, Any]) -> tuple[list[str], bool]:
    """The texts of a message, which has them no more; and whether it has parts that are none."""
    content = message.get("content")
    if isinstance(content, str):
        message["content"] = ""
        return [content], False
    texts, other = [], not isinstance(content, list)
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") in _TEXTS and isinstance(part.get("text"), str):
            texts.append(part["text"])
            part["text"] = ""
        else:
            other = True
    return texts, other


def _tells_result(message: dict[str, Any]) -> bool:
    if message.get("role") in ("tool", "function") or message.get("type") in _RESULTS:
        return True
    content = message.get("content")
    return isinstance(content, list) and any(isinstance(part, dict) and part.get("type") in _RESULTS for part in content)
