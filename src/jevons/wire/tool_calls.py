"""Tool calls as one value, whatever dialect they are made in, and the one name that a tool has on its way in and on its way out.

Comes in: whole answers, and the objects that carry a call in each dialect. Goes out: `ToolCall`s. Streams are cut in `blocks`.
Names: a tool of a namespace, toolset or MCP server is `namespace__name`, as agents write it (mcp__github__get_issue); all tools of a
server that lists none are `mcp__github__*`; a provider's own tool without a name has its type's, without version (web_search).
"""

import re

import msgspec

from jevons.core.ask import Dialect
from jevons.wire.body import BAD_JSON
from jevons.wire.translate.broken import BrokenAnswer

_VERSION = re.compile(r"(?:_use)?(?:_preview|_toolset)?(?:_\d{4}_?\d{2}_?\d{2})?$")
_CALL_ITEMS = ("mcp_approval_request", "program")
"""Responses items that are calls although their type does not end with `_call`: a question before one, and code that makes them."""
_NONE = (b"", b"null")


class ToolCall(msgspec.Struct, frozen=True):
    """What the model wants done."""

    name: str
    arguments: str
    """As the model wrote them: JSON text, not always valid; of a custom tool, free text."""


def qualified(namespace: str | None, name: str) -> str:
    """The name of a tool of a namespace; some write the namespace's own name with the `__` that joins them."""
    return f"{namespace.removesuffix('__')}__{name}" if namespace else name


def of_server(label: str, name: str = "*") -> str:
    """The name of a tool of an MCP server that the provider itself calls; "*" = of all its tools."""
    return qualified(f"mcp__{label}", name)


def built_in(kind: str) -> str:
    """The name of a provider's own tool that has only a type: `web_search_preview_2025_03_11` is web_search."""
    return _VERSION.sub("", kind, count=1)


def is_call_item(kind: str) -> bool:
    """Is an output item of this type a call?"""
    return kind.endswith("_call") or kind in _CALL_ITEMS


def text_of(raw: msgspec.Raw) -> str:
    """A member that should be a string; some upstreams send the object itself where its JSON text belongs."""
    data = bytes(raw)
    if data.startswith(b'"'):
        return msgspec.json.decode(data, type=str)
    return "" if data in _NONE else data.decode()


class FunctionCall(msgspec.Struct):
    """`function`, `custom` or `function_call` of Chat, whole or a delta."""

    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    """Of a custom tool."""

    @property
    def text(self) -> str:
        return text_of(self.arguments) + text_of(self.input)


class _ChatCall(msgspec.Struct):
    function: FunctionCall | None = None
    custom: FunctionCall | None = None


class _Message(msgspec.Struct):
    tool_calls: list[_ChatCall] | None = None
    function_call: FunctionCall | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice] | None = None


class Block(msgspec.Struct):
    """A content block of Messages."""

    type: str = ""
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw()
    server_name: str | None = None
    toolset_name: str | None = None

    @property
    def is_call(self) -> bool:
        return self.type.endswith("tool_use")

    def call(self, arguments: str = "") -> ToolCall:
        """`arguments`: what a stream's deltas said; they replace the input that the block began with."""
        name = self.name or ""
        if self.server_name is not None:
            name = of_server(self.server_name, name)
        elif self.type == "server_tool_use" and name.endswith("code_execution"):
            name = "code_execution"  # its parts (bash_, text_editor_) are one tool of the request
        return ToolCall(qualified(self.toolset_name, name), arguments or text_of(self.input))


class _Answer(msgspec.Struct):
    content: list[Block] | None = None


class Item(msgspec.Struct):
    """An output item of Responses."""

    type: str = ""
    name: str | None = None
    namespace: str | None = None
    server_label: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    action: msgspec.Raw = msgspec.Raw()
    actions: msgspec.Raw = msgspec.Raw()
    operation: msgspec.Raw = msgspec.Raw()
    queries: msgspec.Raw = msgspec.Raw()
    code: msgspec.Raw = msgspec.Raw()

    @property
    def is_call(self) -> bool:
        return is_call_item(self.type)

    def call(self, arguments: str = "") -> ToolCall:
        """`arguments`: what a stream's deltas said, where the item itself never came whole."""
        if self.server_label is not None:
            name = of_server(self.server_label, self.name or "*")
        elif self.name is not None:
            name = qualified(self.namespace, self.name)
        else:
            name = "programmatic_tool_calling" if self.type == "program" else built_in(self.type.removesuffix("_call"))
        return ToolCall(name, text_of(self.arguments) or text_of(self.input) or arguments or self._details())

    def _details(self) -> str:
        """What a provider's own tool is to do, under the members that say it."""
        names = ("action", "actions", "operation", "queries", "code")
        said = {name: raw for name in names if bytes(raw := getattr(self, name)) not in _NONE}
        return msgspec.json.encode(said).decode() if said else ""


class Response(msgspec.Struct):
    """A whole answer of Responses, also as the last event of a stream holds it."""

    output: list[Item] | None = None

    def calls(self) -> list[ToolCall]:
        return [item.call() for item in self.output or () if item.is_call]


def calls_in(dialect: Dialect, body: bytes) -> list[ToolCall]:
    """The tool calls of a whole answer. Raises BrokenAnswer if it cannot be read: what is not read cannot be judged."""
    try:
        match dialect:
            case Dialect.CHAT:
                choices = msgspec.json.decode(body, type=_Completion).choices or ()
                return [call for choice in choices if choice.message for call in _chat_calls(choice.message)]
            case Dialect.RESPONSES:
                return msgspec.json.decode(body, type=Response).calls()
            case Dialect.MESSAGES:
                return block_calls(msgspec.json.decode(body, type=_Answer).content)
    except BAD_JSON as error:
        raise BrokenAnswer(f"it may hold tool calls, and cannot be read: {error}") from None
    return []


def block_calls(blocks: list[Block] | None) -> list[ToolCall]:
    """The calls among content blocks."""
    return [block.call() for block in blocks or () if block.is_call]


def _chat_calls(message: _Message) -> list[ToolCall]:
    said = [part for call in message.tool_calls or () for part in (call.function, call.custom) if part is not None]
    if message.function_call is not None:
        said.append(message.function_call)
    return [ToolCall(part.name or "", part.text) for part in said]
