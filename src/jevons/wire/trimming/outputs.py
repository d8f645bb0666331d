"""Where tool output stands in a request, and other texts put in its place: every other byte stays.

Comes in: a parsed request (Chat, Responses, Messages). Goes out: the JSON strings that tools gave back, with their place; then the request with
some of them replaced. What a provider's own tools found is not touched. Does not know: what is made of a text.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from jevons.core.ask import Ask, Dialect
from jevons.core.refusal import Refusal
from jevons.wire.body import BAD_JSON, edit, read_fields, spans
from jevons.wire.calls import Call, parts
from jevons.wire.tool_calls import is_call_item

_TEXTS = frozenset({"text", "input_text", "output_text"})
_MARKS = {Dialect.CHAT: b"tool", Dialect.RESPONSES: b"_output", Dialect.MESSAGES: b"tool_result"}
"""What a message with tool output has in it."""
_CALL_MARKS = {Dialect.CHAT: b'_calls"', Dialect.RESPONSES: b'_call"', Dialect.MESSAGES: b'tool_use"'}
"""What a message with calls has in it, and one with their outputs mostly not."""
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


class Output(msgspec.Struct, frozen=True):
    """One text that a tool gave back."""

    message: int
    """Place in `Ask.messages`."""
    start: int
    """Of its JSON string in that message's bytes."""
    end: int
    raw: bytes
    """The JSON string."""
    call_id: str
    failed: bool = False
    """The client says that the call went wrong."""

    @property
    def text(self) -> str:
        return _decode_text(self.raw)


class _Message(msgspec.Struct):
    type: str = ""
    role: str = ""


class _Block(msgspec.Struct):
    type: str = ""
    tool_use_id: str = ""
    is_error: bool | None = None


class _Item(msgspec.Struct):
    type: str = ""
    call_id: str = ""


class _Tool(msgspec.Struct):
    role: str = ""
    tool_call_id: str = ""


_decode_message = msgspec.json.Decoder(_Message).decode


def outputs(ask: Ask, bytes_min: int) -> list[Output]:
    """The texts of at least so many bytes, in their order. A message that cannot be read has none. A substring search for each short message."""
    mark = _MARKS.get(ask.dialect)
    if mark is None:
        return []
    find = _FINDERS[ask.dialect]
    found: list[Output] = []
    for place, message in enumerate(ask.messages):
        if len(message) < bytes_min or mark not in message:
            continue
        try:
            for start, raw, call_id, failed in find(message):
                if len(raw) >= bytes_min:
                    found.append(Output(place, start, start + len(raw), raw, call_id, failed))
        except (*BAD_JSON, Refusal):
            continue
    return found


def answered(ask: Ask) -> int:
    """How many messages, from the first, end with what the model said or called last; 0 = it said nothing yet. What stands behind them is new."""
    for place in reversed(range(len(ask.messages))):
        try:
            message = _decode_message(ask.messages[place])
        except BAD_JSON:
            continue
        if message.role == "assistant" or message.type == "reasoning" or is_call_item(message.type):
            return place + 1
    return 0


def opening(ask: Ask) -> bytes:
    """The first message of a user, by which a conversation is told from others; b"" = there is none."""
    for message in ask.messages:
        if b'"user"' in message:
            try:
                if _decode_message(message).role == "user":
                    return message
            except BAD_JSON:
                continue
    return b""


def turns(ask: Ask) -> int:
    """Messages of the model."""
    return sum([b'"assistant"' in message[:256] or b'"function_call"' in message[:256] for message in ask.messages])


def calls_of(ask: Ask, found: Collection[Output]) -> dict[tuple[int, str], Call]:
    """The calls whose outputs these are, by message and id of the output; one that the request does not hold is missing. Where an id comes twice
    it is the latest before the output. From the end, and each message is read once at most."""
    mark = _CALL_MARKS.get(ask.dialect)
    if mark is None:
        return {}
    called: dict[tuple[int, str], Call] = {}
    to_come = sorted({(output.message, output.call_id) for output in found if output.call_id})
    waiting: dict[str, list[int]] = {}
    for place in reversed(range(to_come[-1][0] + 1 if to_come else 0)):
        message = ask.messages[place]
        if waiting and mark in message:
            for part in parts(ask.dialect, message):
                if isinstance(part, Call):
                    called |= {(output, part.id): part for output in waiting.pop(part.id, ())}
        while to_come and to_come[-1][0] == place:
            waiting.setdefault(to_come.pop()[1], []).append(place)
        if not waiting and not to_come:
            break
    return called


def replaced(ask: Ask, changes: Mapping[int, Sequence[tuple[Output, bytes]]]) -> Ask:
    """The request with JSON strings in place of outputs, by message; its other bytes as they were. A repeated message is one place each."""
    messages = list(ask.messages)
    for place, swaps in changes.items():
        messages[place] = _spliced(messages[place], sorted([(output.start, output.end, raw) for output, raw in swaps]))
    name = "input" if ask.dialect is Dialect.RESPONSES else "messages"
    array = bytes(ask.fields[name])
    items = list(_elements(array))
    ahead = len(ask.messages) - len(items)  # tools and system stand before them
    array = _spliced(
        array,
        [(start, start + len(item), messages[ahead + at]) for at, (start, item) in enumerate(items) if ahead + at in changes],
    )
    fields = {**ask.fields, name: msgspec.Raw(array)}
    return msgspec.structs.replace(ask, body=edit(ask.body, ask.fields, {name: array}), fields=fields, messages=tuple(messages))


def _spliced(raw: bytes, swaps: Iterable[tuple[int, int, bytes]]) -> bytes:
    """With other bytes from each start to its end, in order."""
    pieces, position = [], 0
    for start, end, new in swaps:
        pieces += [raw[position:start], new]
        position = end
    return b"".join([*pieces, raw[position:]])


def _chat(message: bytes) -> Iterable[tuple[int, bytes, str, bool]]:
    head = msgspec.json.decode(message, type=_Tool)
    if head.role == "tool":
        yield from _texts(message, "content", head.tool_call_id, failed=False)


def _responses(message: bytes) -> Iterable[tuple[int, bytes, str, bool]]:
    item = msgspec.json.decode(message, type=_Item)
    if item.type.endswith("_output"):
        yield from _texts(message, "output", item.call_id, failed=False)


def _messages(message: bytes) -> Iterable[tuple[int, bytes, str, bool]]:
    if msgspec.json.decode(message, type=_Message).role != "user":
        return
    content, place = _member(message, "content")
    if content[:1] != b"[":
        return
    for start, raw in _elements(content):
        block = msgspec.json.decode(raw, type=_Block)
        if block.type == "tool_result":
            for at, text, name, failed in _texts(raw, "content", block.tool_use_id, failed=bool(block.is_error)):
                yield place + start + at, text, name, failed


def _texts(raw: bytes, member: str, call_id: str, *, failed: bool) -> Iterable[tuple[int, bytes, str, bool]]:
    """A member that is a text, or a list of blocks of which some are."""
    content, place = _member(raw, member)
    if content[:1] == b'"':
        yield place, content, call_id, failed
    elif content[:1] == b"[":
        for start, block in _elements(content):
            if msgspec.json.decode(block, type=_Message).type in _TEXTS:
                text, at = _member(block, "text")
                if text[:1] == b'"':
                    yield place + start + at, text, call_id, failed


def _member(raw: bytes, name: str) -> tuple[bytes, int]:
    """A member's value and where it begins; (b"", 0) = there is none. Raises Refusal for a member that is there twice."""
    fields = read_fields(raw)
    if name not in fields:
        return b"", 0
    start, end = spans(raw, fields)[name]
    return raw[start:end], start


def _elements(array: bytes) -> Iterator[tuple[int, bytes]]:
    """(place, bytes) of each element of an array."""
    place = array.index(b"[") + 1
    for item in _decode_items(array):
        raw = bytes(item)
        place = array.index(raw, place)
        yield place, raw
        place += len(raw)


_FINDERS = {Dialect.CHAT: _chat, Dialect.RESPONSES: _responses, Dialect.MESSAGES: _messages}
