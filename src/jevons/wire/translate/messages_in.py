"""A Messages request becomes a Conversation. What Chat Completions cannot say is refused by name, as `table` lists it."""

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

_CHOICES = {"auto": Choose.AUTO, "any": Choose.ANY, "none": Choose.NONE, "tool": Choose.NAMED}
_BILLING = "x-anthropic-billing-header"


def read_messages_request(body: bytes) -> Conversation:
    """The client's body as a conversation. Raises Refusal 400 naming the first field that cannot be translated."""
    fields = Fields(Dialect.MESSAGES, body)
    fields.skip("model", "max_tokens")
    metadata = fields.child("metadata")
    user = metadata.take("user_id", str) if metadata else None
    if metadata:
        metadata.close()
    output = fields.child("output_config")
    effort = output.take("effort", str) if output else None
    schema = _answer_schema(output) if output else None
    if output:
        output.close()
    loaded: set[str] = set()
    turns = (*_system(fields), *(_turn(message, loaded) for message in fields.children("messages")))
    conversation = Conversation(
        turns=turns,
        tools=tuple(tool for definition in fields.children("tools") if (tool := _tool(definition, loaded))),
        tool_choice=_tool_choice(fields),
        reasoning=_reasoning(fields, effort),
        answer_schema=schema,
        temperature=fields.take("temperature", float),
        top_p=fields.take("top_p", float),
        stop=tuple(fields.take("stop_sequences", list[str]) or ()),
        stream=fields.take("stream", bool) or False,
        user=user,
        standard_tier=_standard_tier(fields),
    )
    fields.close()
    return conversation


def _standard_tier(fields: Fields) -> bool:
    tier = fields.take("service_tier", str)
    if tier not in (None, "auto", "standard_only"):
        raise fields.refuse("service_tier", tier)
    return tier == "standard_only"


def _reasoning(fields: Fields, effort: str | None) -> Reasoning | None:
    thinking = fields.child("thinking")
    if thinking is None:
        return None if effort is None else Reasoning(effort=effort)
    kind = thinking.need("type", str)
    if kind not in ("adaptive", "enabled", "disabled"):
        raise thinking.refuse("type", kind)
    budget = thinking.need("budget_tokens", int) if kind == "enabled" else None
    thinking.close()
    return Reasoning(effort="none" if kind == "disabled" else effort, budget_tokens=budget)


def _answer_schema(output: Fields) -> AnswerSchema | None:
    form = output.child("format")
    if form is None:
        return None
    kind = form.need("type", str)
    if kind != "json_schema":
        raise form.refuse("type", kind)
    schema = form.take_json("schema")
    if schema is None:
        raise invalid(f"{form.where('schema')} is missing", param=form.where("schema"))
    form.close()
    return AnswerSchema(schema)


def _tool(tool: Fields, loaded: set[str]) -> Tool | None:
    """A client tool; None if it is deferred and nothing in the conversation has loaded it."""
    kind = tool.take("type", str) or "custom"
    if kind != "custom":
        raise tool.refuse("type", kind)
    name = tool.need("name", str)
    deferred = tool.take("defer_loading", bool) or False
    schema = tool.take_json("input_schema")
    if schema is None:
        raise invalid(f"{tool.where('input_schema')} is missing", param=tool.where("input_schema"))
    read = Tool(name, schema, tool.take("description", str), tool.take("strict", bool))
    tool.close()
    return None if deferred and name not in loaded else read


def _tool_choice(fields: Fields) -> ToolChoice | None:
    choice = fields.child("tool_choice")
    if choice is None:
        return None
    kind = choice.need("type", str)
    if kind not in _CHOICES:
        raise choice.refuse("type", kind)
    name = choice.need("name", str) if kind == "tool" else ""
    one_at_a_time = choice.take("disable_parallel_tool_use", bool) or False
    choice.close()
    return ToolChoice(_CHOICES[kind], name, not one_at_a_time)


def _system(fields: Fields) -> list[Turn]:
    text = fields.take_string("system")
    if text is not None:
        return [Turn(Role.SYSTEM, (Text(text),))]
    parts = [_text(block) for block in fields.children("system")]
    kept = tuple(part for part in parts if not part.text.startswith(_BILLING))
    return [Turn(Role.SYSTEM, kept)] if kept else []


def _text(block: Fields) -> Text:
    kind = block.need("type", str)
    if kind != "text":
        raise block.refuse("type", kind)
    text = block.need("text", str)
    block.close()
    return Text(text)


def _turn(message: Fields, loaded: set[str]) -> Turn:
    role = message.need("role", str)
    if role not in ("system", "user", "assistant"):
        raise message.refuse("role", role)
    text = message.take_string("content")
    blocks = () if text is not None else tuple(_block(block, role, loaded) for block in message.children("content"))
    message.close()
    return Turn(Role(role), blocks if text is None else (Text(text),))


def _block(block: Fields, role: str, loaded: set[str]) -> Part:
    kind = block.need("type", str)
    read: Part
    if kind == "text":
        read = Text(block.need("text", str))
    elif kind == "image" and role == "user":
        read = _image(block)
    elif kind == "document" and role == "user":
        read = _document(block)
    elif kind == "tool_result" and role == "user":
        read = _tool_result(block, loaded)
    elif kind == "thinking" and role == "assistant":
        read = Thinking(block.need("thinking", str), block.take("signature", str) or "")
    elif kind == "redacted_thinking" and role == "assistant":
        read = RedactedThinking(block.need("data", str))
    elif kind == "tool_use" and role == "assistant":
        read = ToolCall(block.need("id", str), block.need("name", str), block.take_json("input") or "{}")
    else:
        raise block.refuse("type", kind)
    block.close()
    return read


def _image(block: Fields) -> Image:
    source = _source(block)
    kind = source.need("type", str)
    if kind == "url":
        image = Image(url=source.need("url", str))
    elif kind == "base64":
        image = Image(media_type=source.need("media_type", str), data=source.need("data", str))
    else:
        raise source.refuse("type", kind)
    source.close()
    return image


def _document(block: Fields) -> Document | Text:
    source = _source(block)
    kind = source.need("type", str)
    if kind not in ("base64", "text"):
        raise source.refuse("type", kind)
    media_type, data = source.need("media_type", str), source.need("data", str)
    if kind == "base64" and media_type != "application/pdf":
        raise source.refuse("media_type", media_type)
    source.close()
    title = block.take("title", str) or ""
    citations = block.child("citations")
    if citations:
        if citations.take("enabled", bool):
            raise citations.refuse("enabled", True)
        citations.close()
    if kind == "base64":
        return Document(data, title)
    return Text(f"{title}\n\n{data}" if title else data)


def _source(block: Fields) -> Fields:
    source = block.child("source")
    if source is None:
        raise invalid(f"{block.where('source')} is missing", param=block.where("source"))
    return source


def _tool_result(block: Fields, loaded: set[str]) -> ToolResult:
    call_id = block.need("tool_use_id", str)
    is_error = block.take("is_error", bool) or False
    text = block.take_string("content")
    if text is not None:
        return ToolResult(call_id, (Text(text),), is_error)
    parts: list[Text | Image | Document] = []
    for inner in block.children("content", rule=block.rule):
        kind = inner.need("type", str)
        if kind == "text":
            parts.append(Text(inner.need("text", str)))
        elif kind == "image":
            parts.append(_image(inner))
        elif kind == "document":
            parts.append(_document(inner))
        elif kind == "tool_reference":
            name = inner.need("tool_name", str)
            loaded.add(name)
            parts.append(Text(f"The tool {name} can be called now."))
        else:
            raise inner.refuse("type", kind)
        inner.close()
    return ToolResult(call_id, tuple(parts), is_error)
