"""Which tool calls of a stream are open: one reader for each dialect. `blocks` holds the bytes.

Comes in: single events. Goes out: whether an event belongs to a call, and the calls that are complete.
"""

from typing import NamedTuple, Protocol

import msgspec

from jevons.wire.body import BAD_JSON
from jevons.wire.sse import BrokenStream
from jevons.wire.tool_calls import Block, FunctionCall, Item, Response, ToolCall, block_calls, text_of


class Step(NamedTuple):
    """What one event means."""

    before: tuple[ToolCall, ...] = ()
    """Calls that were complete before it, so that what is held can go."""
    part: bool = False
    """It belongs to calls: it is held."""
    calls: tuple[ToolCall, ...] = ()
    """Calls that it completes; none is open after it."""


class OpenCalls(Protocol):
    """Knows which calls of a stream are open."""

    @property
    def open(self) -> bool: ...

    @staticmethod
    def marked(data: bytes) -> bool:
        """May a call begin in here?"""

    def read(self, name: str, data: bytes) -> Step:
        """One event that is marked, or any while a call is open. Raises BAD_JSON, BrokenStream."""

    def rest(self) -> tuple[tuple[ToolCall, ...], bool]:
        """(what is known of the open calls, is one of them unfinished) when the stream has ended."""


class _CallDelta(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: FunctionCall | None = None
    custom: FunctionCall | None = None


class _ChatDelta(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw()
    refusal: msgspec.Raw = msgspec.Raw()
    reasoning_content: msgspec.Raw = msgspec.Raw()
    reasoning: msgspec.Raw = msgspec.Raw()
    tool_calls: list[_CallDelta] | None = None
    function_call: FunctionCall | None = None

    @property
    def speaks(self) -> bool:
        said = (self.content, self.refusal, self.reasoning_content, self.reasoning)
        return any(bytes(text) not in (b"", b"null", b'""', b"[]") for text in said)

    def calls(self) -> list[_CallDelta]:
        legacy = [] if self.function_call is None else [_CallDelta(index=-1, function=self.function_call)]
        return [*(self.tool_calls or ()), *legacy]


class _ChatChoice(msgspec.Struct):
    index: int = 0
    delta: _ChatDelta | None = None
    finish_reason: str | None = None


class _ChatChunk(msgspec.Struct):
    choices: list[_ChatChoice] | None = None


class _Growing:
    """A call of Chat as its deltas come in."""

    __slots__ = ("_looked", "_pieces", "_whole", "call_id", "choice", "done", "free", "given", "name")

    def __init__(self, choice: int, delta: _CallDelta) -> None:
        self.choice = choice
        self.call_id = delta.id or ""
        self.name = ""
        self.free = delta.custom is not None
        self.done = False
        self.given = False
        self._pieces: list[str] = []
        self._looked = self._whole = False

    def add(self, said: FunctionCall) -> None:
        """Raises BrokenStream if the call has been given already: what comes now was not judged."""
        text, name = said.text, said.name or ""
        if self.given:
            if text.strip() or name not in ("", self.name):
                raise BrokenStream(f"the call of {self.name} goes on after its end")
            return
        if name != self.name:  # some repeat it in every delta, some send it in pieces
            self.name += name
        self._pieces.append(text)
        self.done = self._looked = False

    @property
    def complete(self) -> bool:
        """Are its arguments a whole JSON object, after which none can come? A free text never says that it has ended."""
        if not self._looked and not self.free:
            self._looked = True
            self._whole = bool(self._pieces) and self._pieces[-1].rstrip().endswith("}") and _is_json(self.text)
        return self._whole

    @property
    def text(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def give(self) -> ToolCall:
        call = ToolCall(self.name, self.text)
        self.given, self._pieces = True, []
        return call


class ChatCalls:
    """A call has no end mark here: it ends when its arguments are whole and something else comes, with the finish, or at the end.

    Calls that are open at once are one block. Several choices have calls of their own.
    """

    def __init__(self) -> None:
        self._held: list[_Growing] = []
        self._at: dict[tuple[int, int], _Growing] = {}
        """The latest call at each (choice, index). Gemini sends every parallel call whole under index 0: a new id there is a new call."""

    @property
    def open(self) -> bool:
        return bool(self._held)

    @staticmethod
    def marked(data: bytes) -> bool:
        return b'"tool_calls"' in data or b'"function_call"' in data

    def read(self, _name: str, data: bytes) -> Step:
        if data.strip() == b"[DONE]":
            return Step(before=self._take())
        choices = _decode_chunk(data).choices or ()
        for choice in choices:
            self._end(choice)
        before = self._take() if self._all_done() else ()
        for choice in choices:
            for delta in choice.delta.calls() if choice.delta else ():
                self._add(choice.index, delta)
        if not self._held:
            return Step(before)
        for choice in choices:
            if choice.finish_reason:
                self._finish(choice.index)
        return Step(before, True, self._take() if self._all_done() else ())

    def rest(self) -> tuple[tuple[ToolCall, ...], bool]:
        inside = not all(call.done or call.complete for call in self._held)
        return self._take(), inside

    def _end(self, choice: _ChatChoice) -> None:
        """Marks the held calls that are over when this is said."""
        delta = choice.delta or _ChatDelta()
        going_on = [
            self._at.get((choice.index, part.index or 0)) for part in delta.calls() if not self._begins(choice.index, part)
        ]
        others = [call for call in self._held if call.choice == choice.index and call not in going_on]
        if choice.finish_reason and not going_on:
            self._finish(choice.index)
        elif delta.speaks or delta.calls():
            for call in others:
                call.done = call.done or call.complete

    def _begins(self, choice: int, delta: _CallDelta) -> bool:
        call = self._at.get((choice, delta.index or 0))
        said = delta.function or delta.custom
        return call is None or bool(delta.id and said and said.name and call.call_id not in ("", delta.id))

    def _add(self, choice: int, delta: _CallDelta) -> None:
        key = (choice, delta.index or 0)
        if self._begins(choice, delta):
            self._at[key] = _Growing(choice, delta)
            self._held.append(self._at[key])
        call = self._at[key]
        call.call_id = call.call_id or delta.id or ""
        for said in (delta.function, delta.custom):
            if said is not None:
                call.add(said)

    def _finish(self, choice: int) -> None:
        for call in self._held:
            if call.choice == choice:
                call.done = True

    def _all_done(self) -> bool:
        return bool(self._held) and all(call.done for call in self._held)

    def _take(self) -> tuple[ToolCall, ...]:
        held, self._held = self._held, []
        return tuple([call.give() for call in held])


class _BlockDelta(msgspec.Struct):
    partial_json: str | None = None


class _Begun(msgspec.Struct):
    content: list[Block] | None = None


class _BlockEvent(msgspec.Struct):
    type: str = ""
    index: int = 0
    message: _Begun | None = None
    content_block: Block | None = None
    delta: _BlockDelta | None = None


class MessagesCalls:
    """A call is a content block with a start and a stop."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[Block, list[str]]] = {}
        self._done: list[ToolCall] = []

    @property
    def open(self) -> bool:
        return bool(self._open)

    @staticmethod
    def marked(data: bytes) -> bool:
        return b'tool_use"' in data

    def read(self, name: str, data: bytes) -> Step:
        part = self.open
        event = _decode_block(data)
        match event.type or name:
            case "content_block_start" if event.content_block and event.content_block.is_call:
                self._open[event.index] = (event.content_block, [])
                return Step(part=True)
            case "content_block_delta" if event.delta and event.delta.partial_json and event.index in self._open:
                self._open[event.index][1].append(event.delta.partial_json)
            case "content_block_stop" if event.index in self._open:
                self._stop(event.index)
            case "message_stop":
                for index in list(self._open):
                    self._stop(index)
            case "message_start" if event.message:
                self._done += block_calls(event.message.content)
        part = part or bool(self._done)
        return Step(part=part) if self.open else Step((), part, self._take())

    def rest(self) -> tuple[tuple[ToolCall, ...], bool]:
        inside = self.open
        for index in list(self._open):
            self._stop(index)
        return self._take(), inside

    def _stop(self, index: int) -> None:
        block, pieces = self._open.pop(index)
        self._done.append(block.call("".join(pieces)))

    def _take(self) -> tuple[ToolCall, ...]:
        done, self._done = self._done, []
        return tuple(done)


class _ItemEvent(msgspec.Struct):
    type: str = ""
    output_index: int = 0
    item: Item | None = None
    delta: msgspec.Raw = msgspec.Raw()
    response: Response | None = None


class ResponsesCalls:
    """A call is an output item, added and done. The terminal event repeats all items: calls that came before are not new there."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[Item, list[str]]] = {}
        self._done: list[ToolCall] = []
        self._given: set[int] = set()
        """Hashes of the calls that were given."""

    @property
    def open(self) -> bool:
        return bool(self._open)

    @staticmethod
    def marked(data: bytes) -> bool:
        return b'_call"' in data or b'"mcp_approval_request"' in data or b'"program"' in data

    def read(self, name: str, data: bytes) -> Step:
        part = self.open
        event = _decode_item(data)
        match event.type or name:
            case "response.output_item.added" if event.item and event.item.is_call:
                self._open[event.output_index] = (event.item, [])
            case "response.output_item.done" if event.item and event.item.is_call:
                self._open.pop(event.output_index, None)
                self._done.append(event.item.call())
            case "response.completed" | "response.incomplete" | "response.failed":
                calls = event.response.calls() if event.response else []
                self._end(said=not calls)
                self._done += [call for call in calls if hash(call) not in self._given]
            case kind if kind.endswith(("arguments.delta", "input.delta")) and event.output_index in self._open:
                self._open[event.output_index][1].append(text_of(event.delta))
        part = part or self.open or bool(self._done)
        return Step(part=part) if self.open else Step((), part, self._take())

    def rest(self) -> tuple[tuple[ToolCall, ...], bool]:
        inside = self.open
        self._end(said=True)
        return self._take(), inside

    def _end(self, *, said: bool) -> None:
        """Nothing is open any longer; `said`: what the deltas told is all that is known of the calls."""
        if said:
            self._done += [item.call("".join(pieces)) for item, pieces in self._open.values()]
        self._open.clear()

    def _take(self) -> tuple[ToolCall, ...]:
        done, self._done = self._done, []
        self._given.update(map(hash, done))
        return tuple(done)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except BAD_JSON:
        return False
    return True


_decode_chunk = msgspec.json.Decoder(_ChatChunk).decode
_decode_block = msgspec.json.Decoder(_BlockEvent).decode
_decode_item = msgspec.json.Decoder(_ItemEvent).decode
