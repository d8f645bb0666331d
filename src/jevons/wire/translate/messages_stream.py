"""Messages streams: events of the wire read into neutral events, and those written back.

Anthropic's blocks follow each other: one is closed before the next begins, and clients such as LiteLLM count on it. A chat
stream may interleave its calls. So the writer streams the oldest open block and keeps back what belongs to later ones until it is
complete.
`message_stop` itself is not written here: the gateway holds it back until the ledger has its post.
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping

import msgspec

from jevons.core.usage import Usage
from jevons.wire import sse
from jevons.wire.neutral import (
    Event,
    Failure,
    Ping,
    Redacted,
    RedactedThinking,
    Start,
    Stop,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    ToolArguments,
    ToolCall,
    ToolEnd,
    ToolStart,
)
from jevons.wire.translate.broken import CUT_OFF, BrokenAnswer
from jevons.wire.translate.messages_answer import (
    Block,
    MessagesUsage,
    StopDetails,
    read_reason,
    read_usage,
    write_block,
    write_stop,
    write_usage,
)

MESSAGE_STOP = sse.event("message_stop", b'{"type":"message_stop"}')


class _Opening(msgspec.Struct):
    usage: MessagesUsage = msgspec.field(default_factory=MessagesUsage)


class _Delta(msgspec.Struct):
    """Of a block, or of the message."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class _Error(msgspec.Struct):
    type: str = "upstream_error"
    message: str = ""


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _Opening | None = None
    content_block: Block | None = None
    delta: _Delta | None = None
    usage: MessagesUsage | None = None
    error: _Error | None = None


class _Open:
    """An open block of the upstream's stream: its kind, its number if it is a call, its signature if it is thinking."""

    __slots__ = ("call", "kind", "signature")

    def __init__(self, kind: str, call: int) -> None:
        self.kind, self.call, self.signature = kind, call, ""


class MessagesStreamReader:
    """Events of a Messages stream. Raises BrokenAnswer for an event out of order."""

    def __init__(self) -> None:
        self._usage = MessagesUsage()
        self._blocks: dict[int, _Open] = {}
        self._calls = 0
        self._last: _Delta | None = None

    def read(self, data: bytes) -> Iterator[Event | Failure]:
        event = msgspec.json.decode(data, type=_Event)
        match event.type:
            case "content_block_delta" if event.delta:
                yield from self._block_delta(event.delta, self._block(event.index))
            case "content_block_start" if event.content_block:
                yield from self._block_start(event.index, event.content_block)
            case "content_block_stop":
                yield from self._block_stop(self._block(event.index))
                del self._blocks[event.index]
            case "message_start" if event.message:
                yield Start(self._count(event.message.usage))
            case "message_delta":
                self._last = event.delta or self._last
                if event.usage:
                    self._count(event.usage)
            case "message_stop":
                yield self._stop()
            case "ping":
                yield Ping()
            case "error":
                error = event.error or _Error()
                yield Failure(error.type, error.message)
            # Anthropic may add event types at any time and asks clients to pass over them.

    def close(self) -> Iterator[Event | Failure]:
        """Anthropic always says when a message ends: a close before that is a break."""
        yield CUT_OFF

    def _count(self, usage: MessagesUsage) -> Usage:
        """Counts are cumulative, and a later event may leave out what has not changed."""
        for name in usage.__struct_fields__:
            if (count := getattr(usage, name)) is not None:
                setattr(self._usage, name, count)
        return read_usage(self._usage)

    def _block(self, index: int) -> _Open:
        if index not in self._blocks:
            raise BrokenAnswer(f"content block {index} is not open")
        return self._blocks[index]

    def _block_start(self, index: int, block: Block) -> Iterator[Event]:
        self._blocks[index] = _Open(block.type, self._calls)
        match block.type:
            case "text":
                if block.text:
                    yield TextDelta(block.text)
            case "thinking":
                self._blocks[index].signature = block.signature
                if block.thinking:
                    yield ThinkingDelta(block.thinking)
            case "redacted_thinking":
                yield Redacted(block.data)
            case "tool_use":
                yield ToolStart(self._calls, block.id, block.name)
                arguments = bytes(block.input).decode()
                if arguments.strip("{} \r\n\t") and arguments != "null":
                    yield ToolArguments(self._calls, arguments)
                self._calls += 1
            case unknown:
                raise BrokenAnswer(f"it holds a block of type {unknown}, which nobody asked for")

    def _block_delta(self, delta: _Delta, block: _Open) -> Iterator[Event]:
        match delta.type:
            case "text_delta" if delta.text:
                yield TextDelta(delta.text)
            case "input_json_delta" if delta.partial_json:
                yield ToolArguments(block.call, delta.partial_json)
            case "thinking_delta" if delta.thinking:
                yield ThinkingDelta(delta.thinking)
            case "signature_delta":
                block.signature = delta.signature
            # Citations stay behind: the text they belong to is passed on.

    def _block_stop(self, block: _Open) -> Iterator[Event]:
        if block.kind == "tool_use":
            yield ToolEnd(block.call)
        elif block.kind == "thinking":
            yield ThinkingEnd(block.signature)

    def _stop(self) -> Stop:
        if self._last is None:
            raise BrokenAnswer("its message never stopped")
        usage = read_usage(self._usage)
        details = self._last.stop_details
        return Stop(
            read_reason(self._last.stop_reason), usage, self._last.stop_sequence, details.explanation if details else None
        )


_JSON_MARK = re.compile(r'["\\{}\[\]]')


class _ObjectEnd:
    """Watches JSON text go by and knows when its outermost object has closed."""

    __slots__ = ("_depth", "_escaped", "_in_string", "reached")

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._escaped = self.reached = False

    def feed(self, text: str) -> None:
        skip = 0 if self._escaped else -1
        self._escaped = False
        for mark in _JSON_MARK.finditer(text):
            if mark.start() == skip:
                continue
            letter = mark[0]
            if letter == "\\":
                skip = mark.start() + 1
                self._escaped = skip == len(text)
            elif letter == '"':
                self._in_string = not self._in_string
            elif not self._in_string:
                self._depth += 1 if letter in "{[" else -1
                self.reached = self.reached or self._depth == 0


class _Block:
    """A block to be written: how it begins, the deltas that wait for it to be the oldest, and whether more can come."""

    __slots__ = ("arguments", "begin", "call", "complete", "kind", "waiting")

    def __init__(self, part: Text | Thinking | RedactedThinking | ToolCall, call: int = -1) -> None:
        self.begin: bytes | None = msgspec.json.encode(write_block(part))
        self.kind = type(part)
        self.call = call
        self.waiting: list[dict[str, str]] = []
        self.arguments = _ObjectEnd()
        self.complete = self.kind is RedactedThinking

    def may_close(self, others_wait: bool) -> bool:
        """Text and thinking end where something else begins; a call when its arguments do."""
        return self.complete or (others_wait and (self.kind is not ToolCall or self.arguments.reached))


class MessagesStreamWriter:
    """Events as Messages events."""

    terminal = MESSAGE_STOP

    def __init__(self, model: str, answer_id: str) -> None:
        self._model, self._answer_id = model, answer_id
        self._queue: deque[_Block] = deque()
        self._calls: dict[int, _Block] = {}
        self._index = 0

    def write(self, event: Event) -> bytes:
        match event:
            case TextDelta(text):
                self._newest(Text("")).waiting.append({"type": "text_delta", "text": text})
            case ToolArguments(call, text):
                self._argue(self._calls[call], text)
            case ThinkingDelta(text):
                self._newest(Thinking("")).waiting.append({"type": "thinking_delta", "thinking": text})
            case ThinkingEnd(signature):
                block = self._newest(Thinking(""))
                block.waiting.append({"type": "signature_delta", "signature": signature})
                block.complete = True
            case Redacted(data):
                self._queue.append(_Block(RedactedThinking(data)))
            case ToolStart(call, tool_id, name):
                self._calls[call] = _Block(ToolCall(tool_id, name, "{}"), call)
                self._queue.append(self._calls[call])
            case ToolEnd(call):
                self._calls[call].complete = True
            case Start(usage):
                return self._start(usage)
            case Ping():
                return sse.event("ping", b'{"type":"ping"}')
            case stop:
                return self._stop(stop)
        return self._drain()

    def _newest(self, part: Text | Thinking) -> _Block:
        """The newest block if it is of that kind and open, else a new one."""
        if not self._queue or self._queue[-1].kind is not type(part) or self._queue[-1].complete:
            self._queue.append(_Block(part))
        return self._queue[-1]

    def _argue(self, block: _Block, text: str) -> None:
        if block not in self._queue:
            if text.strip():
                raise BrokenAnswer("a tool call goes on after its arguments were complete")
            return
        block.arguments.feed(text)
        block.waiting.append({"type": "input_json_delta", "partial_json": text})

    def _drain(self) -> bytes:
        """Writes what can be written: the oldest block so far, and those after it as far as each is complete."""
        out: list[bytes] = []
        while self._queue:
            block = self._queue[0]
            self._write_block(block, out)
            if not block.may_close(others_wait=len(self._queue) > 1):
                break
            out.append(_event("content_block_stop", {"type": "content_block_stop", "index": self._index}))
            self._index += 1
            self._queue.popleft()
        return b"".join(out)

    def _write_block(self, block: _Block, out: list[bytes]) -> None:
        if block.begin is not None:
            begin = {"type": "content_block_start", "index": self._index, "content_block": msgspec.Raw(block.begin)}
            out.append(_event("content_block_start", begin))
            block.begin = None
        frame = {"type": "content_block_delta", "index": self._index}
        out.extend(_event("content_block_delta", frame | {"delta": delta}) for delta in block.waiting)
        block.waiting.clear()

    def _start(self, usage: Usage) -> bytes:
        message: dict[str, object] = {
            "id": self._answer_id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(usage),
        }
        return _event("message_start", {"type": "message_start", "message": message})

    def _stop(self, stop: Stop) -> bytes:
        for block in self._queue:
            block.complete = True
        last = {
            "type": "message_delta",
            "delta": write_stop(stop.reason, stop.stop_sequence, stop.refusal),
            "usage": write_usage(stop.usage),
        }
        return self._drain() + _event("message_delta", last)


def _event(name: str, data: Mapping[str, object]) -> bytes:
    return sse.event(name, msgspec.json.encode(data))
