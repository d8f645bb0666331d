"""The official SDKs as readers of what we translated, and streams of both providers written by hand to translate from."""

import json
from collections.abc import Iterable, Sequence

import anthropic
import httpx2
import openai
from anthropic.types import Message
from openai.types.chat import ChatCompletion

from jevons.core.ask import Dialect
from jevons.wire import sse
from jevons.wire.translate import StreamTranslator

USER = [{"role": "user", "content": "hi"}]


class _Answers:
    """The provider's side of both SDKs: answers every request with what was laid out for it."""

    def __init__(self) -> None:
        self.kind = ""
        self.chunks: Iterable[bytes] = ()
        http = httpx2.Client(transport=httpx2.MockTransport(self.answer))
        self.openai = openai.OpenAI(api_key="k", base_url="http://test/v1", max_retries=0, http_client=http)
        self.anthropic = anthropic.Anthropic(api_key="k", base_url="http://test", max_retries=0, http_client=http)

    def answer(self, _request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": self.kind}, content=iter(self.chunks))

    def lay_out(self, kind: str, chunks: Iterable[bytes]) -> None:
        self.kind, self.chunks = kind, chunks


_ANSWERS = _Answers()


def openai_reads(body: bytes) -> ChatCompletion:
    _ANSWERS.lay_out("application/json", [body])
    answer = _ANSWERS.openai.chat.completions.create(model="m", messages=USER)  # type: ignore[arg-type]
    return ChatCompletion.model_validate(answer.model_dump(), strict=True)


def anthropic_reads(body: bytes) -> Message:
    _ANSWERS.lay_out("application/json", [body])
    answer = _ANSWERS.anthropic.messages.create(model="m", max_tokens=9, messages=USER)  # type: ignore[arg-type]
    return Message.model_validate(answer.model_dump(), strict=True)


def openai_reads_stream(chunks: Sequence[bytes]) -> ChatCompletion:
    """What openai's accumulator makes of a stream."""
    _ANSWERS.lay_out("text/event-stream", chunks)
    with _ANSWERS.openai.chat.completions.stream(model="m", messages=USER) as stream:  # type: ignore[arg-type]
        return stream.get_final_completion()


def anthropic_reads_stream(chunks: Sequence[bytes]) -> Message:
    """What anthropic's accumulator makes of a stream; its blocks must follow each other, as the protocol says."""
    _ANSWERS.lay_out("text/event-stream", chunks)
    with _ANSWERS.anthropic.messages.stream(model="m", max_tokens=9, messages=USER) as stream:  # type: ignore[arg-type]
        open_block: int | None = None
        blocks = 0
        for event in stream:
            if event.type == "content_block_start":
                assert open_block is None
                assert event.index == blocks
                open_block, blocks = event.index, blocks + 1
            elif event.type == "content_block_delta":
                assert event.index == open_block
            elif event.type == "content_block_stop":
                assert event.index == open_block
                open_block = None
            elif event.type == "message_delta":
                assert open_block is None
        return stream.get_final_message()


def chunked(data: bytes, sizes: Iterable[int]) -> list[bytes]:
    """Data cut into pieces of these sizes; the rest in one."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [piece for piece in [*pieces, data[at:]] if piece]


def translator(source: Dialect, target: Dialect, include_usage: bool = True) -> StreamTranslator:
    return StreamTranslator(source, target, model="m", answer_id="a1", created_s=1, include_usage=include_usage)


def translated(chunks: Iterable[bytes], source: Dialect, target: Dialect) -> tuple[list[bytes], StreamTranslator]:
    """The client's bytes, event by event, for an upstream stream that arrives in these chunks."""
    cutter, stream = sse.Cutter(), translator(source, target)
    out = [stream.feed(name, data) for chunk in chunks for name, data, _ in sse.events(cutter.feed(chunk))]
    out += [stream.finish(), stream.take_terminal()]
    return [piece for piece in out if piece], stream


def chat_chunk(delta: dict[str, object] | None = None, finish: str | None = None, **members: object) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    frame = {"id": "up", "object": "chat.completion.chunk", "created": 1, "model": "u", "choices": choices, **members}
    return sse.event("", json.dumps(frame).encode())


def chat_call(index: int, arguments: str | None = None, call_id: str | None = None, name: str | None = None) -> bytes:
    """A delta of one tool call, with only the members given."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    call = {"index": index, "function": function} | ({"id": call_id, "type": "function"} if call_id else {})
    return chat_chunk({"tool_calls": [call]})


def messages_event(name: str, **members: object) -> bytes:
    return sse.event(name, json.dumps({"type": name, **members}).encode())


def messages_block(index: int, block: dict[str, object], *deltas: dict[str, object]) -> bytes:
    """A whole content block of a stream."""
    return b"".join(
        [
            messages_event("content_block_start", index=index, content_block=block),
            *(messages_event("content_block_delta", index=index, delta=delta) for delta in deltas),
            messages_event("content_block_stop", index=index),
        ]
    )


def messages_stream(*blocks: bytes, stop: dict[str, object], usage: dict[str, object]) -> bytes:
    """A whole stream around these blocks; `usage` comes at the end, as a correction of what the start said."""
    message = {"id": "up", "type": "message", "role": "assistant", "model": "u", "content": []}
    begin = messages_event("message_start", message=message | {"usage": {"input_tokens": 7, "output_tokens": 1}})
    return b"".join([begin, *blocks, messages_event("message_delta", delta=stop, usage=usage), messages_event("message_stop")])
