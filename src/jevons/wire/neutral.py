"""The one conversation model that every dialect is translated through: turns of parts on the way in, events on the way out.

It holds only what Chat Completions and Messages can both say; what one of them cannot is in `translate.table`. It knows neither
JSON nor HTTP. JSON that we only carry (schemas, tool arguments) stays text, so that no number or key order changes on the way.
"""

import enum
from itertools import groupby

import msgspec

from jevons.core.usage import Usage


class Role(enum.StrEnum):
    """Who speaks. Tool results are the user's: both dialects send them from the client's side."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Text(msgspec.Struct, frozen=True):
    text: str


class Thinking(msgspec.Struct, frozen=True):
    """Visible reasoning. Only Anthropic signs it; unsigned thinking came from a chat upstream."""

    text: str
    signature: str = ""


class RedactedThinking(msgspec.Struct, frozen=True):
    """Reasoning that only its provider can read."""

    data: str


class Image(msgspec.Struct, frozen=True):
    """Either base64 `data` of `media_type`, or a `url`."""

    media_type: str = ""
    data: str = ""
    url: str = ""


class Document(msgspec.Struct, frozen=True):
    """A PDF as base64."""

    data: str
    title: str = ""


class ToolCall(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: str
    """JSON text of an object."""


class ToolResult(msgspec.Struct, frozen=True):
    call_id: str
    parts: tuple[Text | Image | Document, ...]
    is_error: bool = False


Part = Text | Thinking | RedactedThinking | Image | Document | ToolCall | ToolResult


class Turn(msgspec.Struct, frozen=True):
    role: Role
    parts: tuple[Part, ...]


class Tool(msgspec.Struct, frozen=True):
    name: str
    schema: str
    """JSON Schema text of the arguments."""
    description: str | None = None
    strict: bool | None = None


class Choose(enum.StrEnum):
    """Whether the model may, must or must not call a tool; NAMED = this one."""

    AUTO = "auto"
    ANY = "any"
    NONE = "none"
    NAMED = "named"


class ToolChoice(msgspec.Struct, frozen=True):
    choose: Choose = Choose.AUTO
    name: str = ""
    parallel: bool = True


class Reasoning(msgspec.Struct, frozen=True):
    """How much to think. Both None = the model decides."""

    effort: str | None = None
    """"none", "minimal", "low", "medium", "high", "xhigh" or "max"."""
    budget_tokens: int | None = None


class AnswerSchema(msgspec.Struct, frozen=True):
    """The answer must be JSON of this schema."""

    schema: str
    name: str = "answer"
    strict: bool = True


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """One request, but for its model and output cap, which policy may change."""

    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    reasoning: Reasoning | None = None
    answer_schema: AnswerSchema | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    user: str | None = None
    standard_tier: bool = False
    """Never served at another price than the standard tier's."""


def merged(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Adjacent turns of one role become one: how Messages counts turns."""
    return tuple(
        Turn(role, tuple(part for turn in group for part in turn.parts)) for role, group in groupby(turns, lambda turn: turn.role)
    )


class Reason(enum.StrEnum):
    """Why the model stopped."""

    END = "end"
    LENGTH = "length"
    TOOLS = "tools"
    REFUSED = "refused"
    STOP_SEQUENCE = "stop_sequence"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer. `refusal` is set only where the provider sent its reason for one apart from the text."""

    parts: tuple[Text | Thinking | RedactedThinking | ToolCall, ...]
    reason: Reason
    usage: Usage
    stop_sequence: str | None = None
    refusal: str | None = None


# What a stream says, in order. Calls are numbered from 0 in the order they begin; their argument deltas may interleave.
class Start(msgspec.Struct, frozen=True):
    usage: Usage = Usage()
    """What is known of the usage when the answer begins."""


class TextDelta(msgspec.Struct, frozen=True):
    text: str


class ThinkingDelta(msgspec.Struct, frozen=True):
    text: str


class ThinkingEnd(msgspec.Struct, frozen=True):
    """Ends a block of thinking that is signed (the signature may be empty)."""

    signature: str


class Redacted(msgspec.Struct, frozen=True):
    data: str


class ToolStart(msgspec.Struct, frozen=True):
    call: int
    id: str
    name: str


class ToolArguments(msgspec.Struct, frozen=True):
    call: int
    text: str


class ToolEnd(msgspec.Struct, frozen=True):
    call: int


class Ping(msgspec.Struct, frozen=True):
    """Nothing yet, but the upstream is alive."""


class Stop(msgspec.Struct, frozen=True):
    """The answer is complete: nothing follows but the end of the stream."""

    reason: Reason
    usage: Usage
    stop_sequence: str | None = None
    refusal: str | None = None


Event = Start | TextDelta | ThinkingDelta | ThinkingEnd | Redacted | ToolStart | ToolArguments | ToolEnd | Ping | Stop


class Failure(msgspec.Struct, frozen=True):
    """Instead of an event: the upstream broke off. `type` is its own word for why."""

    type: str
    message: str
