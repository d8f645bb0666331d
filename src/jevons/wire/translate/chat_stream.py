"""Chat Completions streams: chunks read into events, and events written as chunks.

In: the `data` of one server-sent event. Out: events; and back, bytes of server-sent events. `[DONE]` itself is not written
here: the gateway holds it back until the ledger has its post.
"""

from collections.abc import Iterator

import msgspec

from jevons.wire import sse
from jevons.wire.neutral import (
    Event,
    Failure,
    Ping,
    RedactedThinking,
    Start,
    Stop,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    ToolArguments,
    ToolEnd,
    ToolStart,
)
from jevons.wire.translate.broken import CUT_OFF, BrokenAnswer
from jevons.wire.translate.chat_answer import (
    ChatUsage,
    call_id,
    read_reason,
    read_usage,
    thinking_block,
    write_finish,
    write_usage,
)

DONE = sse.event("", b"[DONE]")


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _CallDelta(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_CallDelta] | None = None


_EMPTY = _Delta()


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Error(msgspec.Struct):
    message: str = ""
    type: str | None = None
    code: str | int | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: ChatUsage | None = None
    error: _Error | str | None = None


class _Call:
    """A tool call as its deltas come in. It begins once its id and name are known; arguments that came before wait."""

    __slots__ = ("id", "name", "number", "waiting")

    def __init__(self) -> None:
        self.number: int | None = None
        self.id = self.name = self.waiting = ""

    def begin(self, number: int) -> Iterator[Event]:
        self.number = number
        yield ToolStart(number, self.id, self.name)
        if self.waiting:
            yield ToolArguments(number, self.waiting)


class ChatStreamReader:
    """Events of a chat stream. Raises BrokenAnswer for a chunk that is not one."""

    def __init__(self, answer_id: str) -> None:
        self._answer_id = answer_id
        self._started = False
        self._refused = False
        self._finish: str | None = None
        self._usage: ChatUsage | None = None
        self._calls: dict[int, _Call] = {}
        """The open call at each index. Gemini sends every parallel call whole under index 0: a new id there is a new call."""
        self._waiting: list[_Call] = []
        self._begun = 0

    def read(self, data: bytes) -> Iterator[Event | Failure]:
        if data.strip() == b"[DONE]":
            yield from self.close()
            return
        chunk = msgspec.json.decode(data, type=_Chunk)
        if chunk.error is not None:
            error = chunk.error if isinstance(chunk.error, _Error) else _Error(chunk.error)
            yield Failure(error.type or str(error.code or "upstream_error"), error.message)
            return
        if not self._started:
            self._started = True
            yield Start()
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices[:1]:
            delta = choice.delta or _EMPTY
            yield from self._delta(delta)
            self._finish = choice.finish_reason or self._finish
            if delta == _EMPTY and not choice.finish_reason:
                yield Ping()

    def _delta(self, delta: _Delta) -> Iterator[Event]:
        thought = delta.reasoning_content or delta.reasoning
        if thought:
            yield ThinkingDelta(thought)
        if delta.content:
            yield TextDelta(delta.content)
        if delta.refusal:
            self._refused = True
            yield TextDelta(delta.refusal)
        for call in delta.tool_calls or ():
            yield from self._call_delta(call)

    def _call_delta(self, delta: _CallDelta) -> Iterator[Event]:
        function = delta.function or _Function()
        call = self._calls.get(delta.index)
        if call is None or (delta.id and function.name and call.id not in ("", delta.id)):
            call = self._calls[delta.index] = _Call()
            self._waiting.append(call)
        if call.number is None:
            call.id = call.id or delta.id or ""
            call.name = call.name or function.name or ""
            call.waiting += function.arguments or ""
            if call.id and call.name:
                self._waiting.remove(call)
                yield from self._begin(call)
        elif function.arguments:
            yield ToolArguments(call.number, function.arguments)

    def _begin(self, call: _Call) -> Iterator[Event]:
        yield from call.begin(self._begun)
        self._begun += 1

    def close(self) -> Iterator[Event | Failure]:
        """The end: `[DONE]`, or a close after the finish reason, as some providers send no `[DONE]`."""
        if self._finish is None:
            yield CUT_OFF
            return
        for call in self._waiting:
            if not call.name:
                raise BrokenAnswer("it holds a tool call without a name")
            call.id = call.id or call_id(self._answer_id, self._begun)
            yield from self._begin(call)
        yield Stop(read_reason(self._finish, self._begun > 0, self._refused), read_usage(self._usage))


class ChatStreamWriter:
    """Events as chat chunks."""

    terminal = DONE

    def __init__(self, model: str, answer_id: str, created_s: int, include_usage: bool) -> None:
        self._frame: dict[str, object] = {
            "id": answer_id,
            "object": "chat.completion.chunk",
            "created": created_s,
            "model": model,
        }
        self._include_usage = include_usage
        self._thought = ""
        self._thinking_blocks = 0
        self._without_arguments: set[int] = set()

    def write(self, event: Event) -> bytes:
        match event:
            case TextDelta(text):
                return self._chunk({"content": text})
            case ToolArguments(call, text):
                self._without_arguments.discard(call)
                return self._call(call, {"function": {"arguments": text}})
            case ThinkingDelta(text):
                self._thought += text
                return self._chunk({"reasoning_content": text})
            case ToolStart(call, tool_id, name):
                self._without_arguments.add(call)
                return self._call(call, {"id": tool_id, "type": "function", "function": {"name": name, "arguments": ""}})
            case ToolEnd(call):
                if call not in self._without_arguments:
                    return b""
                self._without_arguments.discard(call)
                return self._call(call, {"function": {"arguments": "{}"}})
            case ThinkingEnd(signature):
                part, self._thought = Thinking(self._thought, signature), ""
                return self._thinking_block(part)
            case Start():
                return self._chunk({"role": "assistant", "content": ""})
            case Ping():
                return self._chunk({})
            case Stop():
                return self._stop(event)
            case redacted:
                return self._thinking_block(RedactedThinking(redacted.data))

    def _call(self, call: int, delta: dict[str, object]) -> bytes:
        return self._chunk({"tool_calls": [{"index": call, **delta}]})

    def _thinking_block(self, part: Thinking | RedactedThinking) -> bytes:
        block = thinking_block(part, self._thinking_blocks)
        if block is None:
            return b""
        self._thinking_blocks += 1
        return self._chunk({"thinking_blocks": [block]})

    def _chunk(self, delta: dict[str, object], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._event({"choices": [choice]}, None)

    def _event(self, members: dict[str, object], usage: dict[str, object] | None) -> bytes:
        """OpenAI gives every chunk a null usage when the last one is to bring it."""
        if self._include_usage:
            members["usage"] = usage
        return sse.event("", msgspec.json.encode(self._frame | members))

    def _stop(self, stop: Stop) -> bytes:
        refusal = self._chunk({"refusal": stop.refusal}) if stop.refusal else b""
        last = refusal + self._chunk({}, write_finish(stop.reason))
        return last + self._event({"choices": []}, write_usage(stop.usage)) if self._include_usage else last
