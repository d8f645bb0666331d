"""A Chat Completions request becomes a Conversation. What Messages cannot say is refused by name, as `table` lists it."""

import re

from jevons.core.ask import Dialect
from jevons.core.refusal import invalid
from jevons.wire.neutral import (
    AnswerSchema,
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
)
from jevons.wire.translate.fields import Fields

_ROLES = {"system": Role.SYSTEM, "developer": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}
_CHOICES = {"auto": Choose.AUTO, "required": Choose.ANY, "none": Choose.NONE}
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,", re.ASCII | re.IGNORECASE)
_IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_NO_ARGUMENTS = '{"type":"object","properties":{}}'


def read_chat_request(body: bytes) -> Conversation:
    """The client's body as a conversation. Raises Refusal 400 naming the first field that cannot be translated."""
    fields = Fields(Dialect.CHAT, body)
    fields.skip("model", "max_tokens", "max_completion_tokens")
    options = fields.child("stream_options")
    if options:
        options.take("include_usage", bool)
        options.close()
    tools = tuple(_tool(tool) for tool in fields.children("tools"))
    user, safety_identifier = fields.take("user", str), fields.take("safety_identifier", str)
    effort = fields.take("reasoning_effort", str)
    conversation = Conversation(
        turns=tuple(_turn(message) for message in fields.children("messages")),
        tools=tools,
        tool_choice=_tool_choice(fields, bool(tools)),
        reasoning=None if effort is None else Reasoning(effort=effort),
        answer_schema=_answer_schema(fields),
        temperature=fields.take("temperature", float),
        top_p=fields.take("top_p", float),
        stop=_stop(fields),
        stream=fields.take("stream", bool) or False,
        user=user or safety_identifier,
        standard_tier=_standard_tier(fields),
    )
    if conversation.temperature is not None and conversation.temperature > 1:
        raise fields.refuse("temperature", conversation.temperature, row="temperature>1")
    fields.close()
    return conversation


def _stop(fields: Fields) -> tuple[str, ...]:
    one = fields.take_string("stop")
    return (one,) if one is not None else tuple(fields.take("stop", list[str]) or ())


def _standard_tier(fields: Fields) -> bool:
    tier = fields.take("service_tier", str)
    if tier not in (None, "auto", "default"):
        raise fields.refuse("service_tier", tier)
    return tier == "default"


def _tool(tool: Fields) -> Tool:
    kind = tool.need("type", str)
    if kind != "function":
        raise tool.refuse("type", kind)
    function = _child(tool, "function")
    read = Tool(
        name=function.need("name", str),
        schema=function.take_json("parameters") or _NO_ARGUMENTS,
        description=function.take("description", str),
        strict=function.take("strict", bool),
    )
    function.close()
    tool.close()
    return read


def _tool_choice(fields: Fields, has_tools: bool) -> ToolChoice | None:
    parallel = fields.take("parallel_tool_calls", bool) is not False
    word = fields.take_string("tool_choice")
    if word is not None:
        if word not in _CHOICES:
            raise fields.refuse("tool_choice", word)
        return ToolChoice(_CHOICES[word], parallel=parallel)
    choice = fields.child("tool_choice")
    if choice is None:
        return ToolChoice(parallel=False) if has_tools and not parallel else None
    kind = choice.need("type", str)
    if kind != "function":
        raise choice.refuse("type", kind)
    function = _child(choice, "function")
    name = function.need("name", str)
    function.close()
    choice.close()
    return ToolChoice(Choose.NAMED, name, parallel)


def _answer_schema(fields: Fields) -> AnswerSchema | None:
    form = fields.child("response_format")
    if form is None:
        return None
    kind = form.need("type", str)
    if kind == "text":
        form.close()
        return None
    if kind != "json_schema":
        raise form.refuse("type", kind)
    spec = _child(form, "json_schema")
    spec.take("description", str)
    schema = spec.take_json("schema")
    if schema is None:
        raise invalid(f"{spec.where('schema')} is missing", param=spec.where("schema"))
    read = AnswerSchema(schema, name=spec.need("name", str), strict=spec.take("strict", bool) or False)
    spec.close()
    form.close()
    return read


def _turn(message: Fields) -> Turn:
    role = message.need("role", str)
    if role == "tool":
        return _tool_message(message)
    if role not in _ROLES:
        raise message.refuse("role", role)
    parts = _content(message, text_only=role != "user")
    if role == "assistant":
        refusal = message.take("refusal", str)
        parts = [*_thinking(message), *parts, *([Text(refusal)] if refusal else []), *_tool_calls(message)]
    message.close()
    return Turn(_ROLES[role], tuple(parts))


def _tool_message(message: Fields) -> Turn:
    message.skip("name")
    call_id = message.need("tool_call_id", str)
    parts = tuple(part for part in _content(message, text_only=False) if isinstance(part, Text | Image | Document))
    message.close()
    return Turn(Role.USER, (ToolResult(call_id, parts),))


def _content(message: Fields, text_only: bool) -> list[Part]:
    text = message.take_string("content")
    if text is not None:
        return [Text(text)] if text else []
    return [_part(part, text_only) for part in message.children("content")]


def _part(part: Fields, text_only: bool) -> Part:
    kind = part.need("type", str)
    read: Part
    if kind in ("text", "refusal"):
        read = Text(part.need(kind, str))
    elif text_only or kind not in ("image_url", "file"):
        raise part.refuse("type", kind)
    else:
        inner = _child(part, kind)
        read = _image(inner) if kind == "image_url" else _file(inner)
        inner.close()
    part.close()
    return read


def _image(image: Fields) -> Image:
    url = image.need("url", str)
    if url.startswith(("https://", "http://")):
        return Image(url=url)
    head = _DATA_URL.match(url)
    if head is None or head[1].lower() not in _IMAGE_TYPES:
        field = image.where("url")
        raise invalid(f"{field} must be a web URL or a base64 data URL of {', '.join(_IMAGE_TYPES)}", param=field)
    return Image(media_type=head[1].lower(), data=url[head.end() :])


def _file(file: Fields) -> Document:
    data = file.take("file_data", str)
    if data is None:
        file.close()
        raise invalid(f"{file.where('file_data')} is missing", param=file.where("file_data"))
    head = _DATA_URL.match(data)
    if head is None or head[1].lower() != "application/pdf":
        raise invalid(f"{file.where('file_data')} must be a base64 data URL of application/pdf", param=file.where("file_data"))
    return Document(data[head.end() :], title=file.take("filename", str) or "")


def _thinking(message: Fields) -> list[Part]:
    parts: list[Part] = []
    for block in message.children("thinking_blocks"):
        block.take("index", int)
        kind = block.need("type", str)
        if kind == "redacted_thinking":
            parts.append(RedactedThinking(block.need("data", str)))
        elif kind == "thinking":
            parts.append(Thinking(block.need("thinking", str), block.need("signature", str)))
        else:
            raise block.refuse("type", kind)
        block.close()
    return parts


def _tool_calls(message: Fields) -> list[ToolCall]:
    calls: list[ToolCall] = []
    for call in message.children("tool_calls"):
        kind = call.take("type", str) or "function"
        if kind != "function":
            raise call.refuse("type", kind)
        function = _child(call, "function")
        arguments = (function.take("arguments", str) or "").strip() or "{}"
        calls.append(
            ToolCall(
                id=call.need("id", str),
                name=function.need("name", str),
                arguments=function.require_object(arguments.encode(), "arguments"),
            )
        )
        function.close()
        call.close()
    return calls


def _child(fields: Fields, name: str) -> Fields:
    inner = fields.child(name)
    if inner is None:
        raise invalid(f"{fields.where(name)} is missing", param=fields.where(name))
    return inner
