"""Reads a relayed stream in passing: where it ends, what usage it reports, whether it broke. Nothing is changed or delayed.

Comes in: runs of whole events (wire.sse.Cutter). Goes out: the place of the terminal event, the raw usage objects, the ids.
Most runs are passed over by a few substring searches; only events that carry usage, an id or an end are decoded.
"""

import re

import msgspec

from jevons.core.ask import Dialect
from jevons.wire.body import BAD_JSON
from jevons.wire.sse import events

_CHAT_USAGE = re.compile(rb'"usage"[ \t]*:[ \t]*\{')
_CHAT_FINISH = re.compile(rb'"finish_reason"[ \t]*:[ \t]*"([a-z_]*)"')
_CHAT_ERROR = re.compile(rb'(?:^|(?<=[\r\n]))data:[ \t]*\{[ \t]*"error"')
_CHAT_END = re.compile(rb"(?:^|(?<=[\r\n]))data:[ \t]*\[DONE\]")
_MESSAGES_MARK = re.compile(rb"message_(?:start|delta|stop)|\berror\b")
_RESPONSES_MARK = re.compile(rb"response\.(?:created|completed|incomplete|failed)|_search_call|\berror\b")
_RESPONSES_END = ("response.completed", "response.incomplete", "response.failed")


class _Typed(msgspec.Struct):
    type: str = ""


class _ChatChunk(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw()
    choices: list[msgspec.Raw] | None = None
    id: str | None = None
    service_tier: str | None = None


class _MessageStart(msgspec.Struct):
    id: str = ""
    usage: msgspec.Raw = msgspec.Raw()


class _Delta(msgspec.Struct):
    stop_reason: str | None = None


class _MessageEvent(msgspec.Struct):
    type: str = ""
    message: _MessageStart | None = None
    delta: _Delta | None = None
    usage: msgspec.Raw = msgspec.Raw()


class _Response(msgspec.Struct):
    id: str = ""
    status: str | None = None
    usage: msgspec.Raw = msgspec.Raw()
    service_tier: str | None = None


class _ResponseEvent(msgspec.Struct):
    type: str = ""
    response: _Response | None = None


class _Action(msgspec.Struct):
    type: str | None = None


class _Item(msgspec.Struct):
    type: str | None = None
    action: _Action | None = None

    @property
    def kind(self) -> tuple[str | None, str | None]:
        return self.type, self.action.type if self.action else None


class _Output(msgspec.Struct):
    output: list[_Item] | None = None


class _Items(msgspec.Struct):
    """What an event of a response says of items that are done: one, or at its end all."""

    item: _Item | None = None
    response: _Output | None = None


_decode_chat = msgspec.json.Decoder(_ChatChunk).decode
_decode_message = msgspec.json.Decoder(_MessageEvent).decode
_decode_response = msgspec.json.Decoder(_ResponseEvent).decode
_decode_items = msgspec.json.Decoder(_Items).decode


_decode_typed = msgspec.json.Decoder(_Typed).decode


def type_of(data: bytes) -> str:
    """The `type` in an event's data: what names it where a provider writes no `event:` line. "" if there is none."""
    try:
        return _decode_typed(data).type
    except BAD_JSON:
        return ""


class Reader:
    """What a stream has said so far. `feed` each run once, in order."""

    def __init__(self, dialect: Dialect, *, strip_usage: bool = False) -> None:
        """`strip_usage`: chat only; the client did not ask for the usage chunk that we asked for, so it is taken out again."""
        self.dialect = dialect
        self._strip = strip_usage
        self.items: list[tuple[str | None, str | None]] = []
        """(type, type of its action) of a response's items, if there are searches among them: providers bill these by themselves."""
        self.usages: list[bytes] = []
        """Raw usage objects in order; Anthropic's second completes its first."""
        self.finish = ""
        self.response_id = ""
        self.service_tier: str | None = None
        self.ended = False
        """The terminal event has been seen."""
        self.failed = False
        """The upstream reported an error inside the stream."""

    def feed(self, whole: bytes) -> tuple[bytes, bytes]:
        """(what may be relayed now, what waits for the post): the second starts with the terminal event."""
        match self.dialect:
            case Dialect.CHAT:
                return self._chat(whole)
            case Dialect.MESSAGES:
                return self._messages(whole) if _MESSAGES_MARK.search(whole) else (whole, b"")
        return self._responses(whole) if _RESPONSES_MARK.search(whole) else (whole, b"")

    @property
    def complete(self) -> bool:
        """The answer came to its own end: a terminal event, or for chat a finish reason (some providers send no [DONE])."""
        return self.ended or (self.dialect is Dialect.CHAT and bool(self.finish))

    def _chat(self, whole: bytes) -> tuple[bytes, bytes]:
        if finish := _CHAT_FINISH.search(whole):
            self.finish = finish[1].decode()
        if b'"error"' in whole and _CHAT_ERROR.search(whole):
            self.failed = True
        if _CHAT_USAGE.search(whole):
            whole = self._chat_usage(whole)
        end = _CHAT_END.search(whole) if b"[DONE]" in whole else None
        if end is None:
            return whole, b""
        self.ended = True
        return whole[: end.start()], whole[end.start() :]

    def _chat_usage(self, whole: bytes) -> bytes:
        kept = []
        for _, data, raw in events(whole):
            if _CHAT_USAGE.search(data):
                try:
                    chunk = _decode_chat(data)
                except BAD_JSON:
                    kept.append(raw)
                    continue
                self.usages.append(bytes(chunk.usage))
                self.service_tier = chunk.service_tier or self.service_tier
                if self._strip and not chunk.choices:
                    continue
            kept.append(raw)
        return b"".join(kept)

    def _messages(self, whole: bytes) -> tuple[bytes, bytes]:
        passed = 0
        for name, data, raw in events(whole):
            name = name or type_of(data)
            if name in ("message_start", "message_delta"):
                try:
                    event = _decode_message(data)
                except BAD_JSON:
                    event = _MessageEvent()
                if event.message is not None:
                    self.response_id = event.message.id
                    self._add(event.message.usage)
                self._add(event.usage)
                if event.delta is not None and event.delta.stop_reason:
                    self.finish = event.delta.stop_reason
            elif name == "error":
                self.failed = True
            elif name == "message_stop":
                self.ended = True
                return whole[:passed], whole[passed:]
            passed += len(raw)
        return whole, b""

    def _responses(self, whole: bytes) -> tuple[bytes, bytes]:
        passed = 0
        for name, data, raw in events(whole):
            name = name or type_of(data)
            if b"_search_call" in data and (name in _RESPONSES_END or name == "response.output_item.done"):
                self._add_items(data)
            if name in _RESPONSES_END or name == "response.created":
                try:
                    response = _decode_response(data).response or _Response()
                except BAD_JSON:
                    response = _Response()
                self.response_id = response.id or self.response_id
                if name != "response.created":
                    self._add(response.usage)
                    self.finish = response.status or name.removeprefix("response.")
                    self.service_tier = response.service_tier
                    self.failed = name == "response.failed"
                    self.ended = True
                    return whole[:passed], whole[passed:]
            elif name == "error":
                self.failed = True
            passed += len(raw)
        return whole, b""

    def _add_items(self, data: bytes) -> None:
        """The last event repeats all items, with some providers none."""
        try:
            done = _decode_items(data)
        except BAD_JSON:
            return
        if done.item is not None:
            self.items.append(done.item.kind)
        elif done.response is not None and done.response.output:
            self.items = [item.kind for item in done.response.output]

    def _add(self, usage: msgspec.Raw) -> None:
        raw = bytes(usage)
        if raw and raw != b"null":
            self.usages.append(raw)
