"""Ends a relayed answer before its model does: the events by which a client understands that it was cut for its length.

Comes in: the events that the client was sent, in its dialect. Goes out: what closes all that they left open, and the terminal event.
Does not know: why and when an answer is cut. Responses, which repeats everything at the end, is in `cut_responses`.
"""

from typing import Protocol

import msgspec

from jevons.core.ask import Dialect
from jevons.core.usage import Usage
from jevons.wire.body import BAD_JSON
from jevons.wire.cut_responses import ResponsesEnding
from jevons.wire.sse import event, events
from jevons.wire.translate.chat_answer import write_usage as chat_usage
from jevons.wire.translate.chat_stream import DONE
from jevons.wire.translate.messages_answer import write_usage as messages_usage
from jevons.wire.translate.messages_stream import MESSAGE_STOP


class _Ending(Protocol):
    def saw(self, name: str, data: bytes) -> None:
        """Raises BAD_JSON."""

    def length(self, output_tokens: int, usage: Usage | None) -> tuple[bytes, bytes]: ...


class Ending:
    """How one stream can be ended at any event border."""

    def __init__(self, dialect: Dialect, *, model: str, answer_id: str, created_s: int, include_usage: bool = False) -> None:
        """Model, id and time (Unix seconds) stand in for what a stream that has not begun did not say; `include_usage`: the Chat client
        asked for the usage chunk."""
        self._ending: _Ending
        match dialect:
            case Dialect.CHAT:
                self._ending = _Chat(model, answer_id, created_s, include_usage)
            case Dialect.MESSAGES:
                self._ending = _Messages(model, answer_id)
            case _:
                self._ending = ResponsesEnding(model, answer_id, created_s)

    def saw(self, whole: bytes) -> None:
        """A run of events on its way to the client. What cannot be read is passed over."""
        for name, data, _ in events(whole):
            if data:
                try:
                    self._ending.saw(name, data)
                except BAD_JSON:
                    continue

    def length(self, output_tokens: int, usage: Usage | None = None) -> tuple[bytes, bytes]:
        """(events that end the answer as cut for its length, the terminal event). To be asked once, and not inside of a tool call.

        `usage`: of the whole answer, where its input is known; else only `output_tokens` are told, as far as the dialect can.
        """
        return self._ending.length(output_tokens, usage)


class _ChatChoice(msgspec.Struct):
    index: int = 0
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_ChatChoice] | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_OF_EVERY_CHUNK = ("id", "object", "created", "model", "service_tier", "system_fingerprint")


class _Chat:
    """Every choice that has not finished is finished by a chunk of its own."""

    def __init__(self, model: str, answer_id: str, created_s: int, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._frame: dict[str, object] = {
            "id": answer_id,
            "object": "chat.completion.chunk",
            "created": created_s,
            "model": model,
        }
        self._finished: dict[int, bool] = {}

    def saw(self, _name: str, data: bytes) -> None:
        choices = _decode_chunk(data).choices or ()
        if choices and not self._finished:
            members = _decode_members(data)
            self._frame = {name: members[name].copy() for name in _OF_EVERY_CHUNK if name in members}
        for choice in choices:
            self._finished[choice.index] = bool(choice.finish_reason) or self._finished.get(choice.index, False)

    def length(self, _output_tokens: int, usage: Usage | None) -> tuple[bytes, bytes]:
        delta = {} if self._finished else {"role": "assistant", "content": ""}
        out = b""
        for index in [index for index, finished in (self._finished or {0: False}).items() if not finished]:
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": "length"}
            out += self._chunk([choice], None)
        if self._include_usage and usage is not None:
            out += self._chunk([], chat_usage(usage))
        return out, DONE

    def _chunk(self, choices: list[dict[str, object]], usage: dict[str, object] | None) -> bytes:
        asked = {"usage": usage} if self._include_usage else {}
        return event("", msgspec.json.encode({**self._frame, "choices": choices, **asked}))


class _Delta(msgspec.Struct):
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    delta: _Delta | None = None


_decode_event = msgspec.json.Decoder(_Event).decode


class _Messages:
    """Every block that is open is stopped, then the message."""

    def __init__(self, model: str, answer_id: str) -> None:
        self._message = {"id": answer_id, "type": "message", "role": "assistant", "model": model, "content": []}
        self._begun = self._stopped = False
        self._open: list[int] = []

    def saw(self, name: str, data: bytes) -> None:
        if name == "content_block_delta":
            return
        said = _decode_event(data)
        match said.type or name:
            case "message_start":
                self._begun = True
            case "content_block_start":
                self._open.append(said.index)
            case "content_block_stop" if said.index in self._open:
                self._open.remove(said.index)
            case "message_delta" if said.delta and said.delta.stop_reason:
                self._stopped = True

    def length(self, output_tokens: int, usage: Usage | None) -> tuple[bytes, bytes]:
        out = b""
        if not self._begun:
            nothing = {"stop_reason": None, "stop_sequence": None, "usage": messages_usage(usage or Usage())}
            out += _message_event("message_start", message={**self._message, **nothing})
        for index in self._open:
            out += _message_event("content_block_stop", index=index)
        if not self._stopped:
            counts = messages_usage(usage) if usage else {"output_tokens": output_tokens}
            out += _message_event("message_delta", delta={"stop_reason": "max_tokens", "stop_sequence": None}, usage=counts)
        return out, MESSAGE_STOP


def _message_event(kind: str, **members: object) -> bytes:
    return event(kind, msgspec.json.encode({"type": kind, **members}))
