"""One answer in both its forms: a stream put together to the whole answer that it tells, and a whole answer told as a stream.

Comes in: all events of a stream, or the body of a whole answer, in one dialect; goes out: the other. What a whole answer has in members that
nobody here knows goes through; a stream that says more than can be put together raises BrokenAnswer, and is kept by nobody. A stream that is told has
fewer and longer deltas than the provider's. Putting one together takes time in proportion to its length. Embeddings have no stream. Does not know:
other dialects, who keeps answers.
"""

from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any

import msgspec

from jevons.core.ask import Dialect
from jevons.wire.body import BAD_JSON
from jevons.wire.replayed_responses import tell_response
from jevons.wire.sse import event, events
from jevons.wire.translate.broken import BrokenAnswer

Json = dict[str, Any]

_ONCE = frozenset({"role", "id", "type", "name", "index", "format", "signature"})
"""Members of a Chat delta that are said at once; any other text goes on from delta to delta."""
_OF_CHUNK = frozenset({"choices", "obfuscation"})
_FIRST = ("reasoning_content", "reasoning")
_DONE = event("", b"[DONE]")
_STOPPED = event("message_stop", b'{"type":"message_stop"}')
_RESPONSE_ENDS = frozenset({"response.completed", "response.incomplete"})

_ODD = (*BAD_JSON, KeyError, TypeError, AttributeError, ValueError)
"""What reading an answer raises that is not as its dialect has it."""

_encode = msgspec.json.Encoder(enc_hook=StringIO.getvalue).encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def whole_of(dialect: Dialect, stream: bytes) -> bytes:
    """The body of the whole answer that a stream tells, from its first event to its last. Raises BrokenAnswer.

    Chat: the usage is in it only if the stream has its chunk.
    """
    said = (_decode(data) for _, data, _ in events(stream) if data.strip() not in (b"", b"[DONE]"))
    try:
        match dialect:
            case Dialect.CHAT:
                return _encode(_whole_chat(said))
            case Dialect.MESSAGES:
                return _encode(_whole_message(said))
        return _encode(_whole_response(said))
    except _ODD as error:
        raise BrokenAnswer(f"its stream cannot be put together: {_said(error)}") from None


def stream_of(dialect: Dialect, body: bytes, *, include_usage: bool) -> tuple[bytes, bytes]:
    """(events, the terminal event) that tell a whole answer, in its own dialect. Raises BrokenAnswer.

    `include_usage`: the Chat client asked for that chunk.
    """
    try:
        whole = _decode(body)
        match dialect:
            case Dialect.CHAT:
                return b"".join(_tell_chat(whole, include_usage)), _DONE
            case Dialect.MESSAGES:
                return b"".join(_tell_message(whole)), _STOPPED
        return tell_response(whole)
    except _ODD as error:
        raise BrokenAnswer(f"it cannot be told as a stream: {_said(error)}") from None


def _said(error: Exception) -> str:
    """In words; an exception's own spelling can hold the bytes that it is about."""
    return f"{type(error).__name__}: {error}"


def _whole_chat(chunks: Iterable[Json]) -> Json:
    whole: Json = {}
    choices: dict[int, Json] = {}
    for chunk in chunks:
        whole |= {name: value for name, value in chunk.items() if name not in _OF_CHUNK and value is not None}
        for said in chunk.get("choices") or ():
            choice = choices.setdefault(said["index"], {"index": said["index"], "message": {}, "logprobs": None})
            _grow(choice["message"], said.get("delta") or {})
            more = {
                name: value for name, value in said.items() if name not in ("index", "delta", "logprobs") and value is not None
            }
            choice |= more
            if said.get("logprobs"):
                choice["logprobs"] = choice["logprobs"] or {}
                _grow(choice["logprobs"], said["logprobs"])
    whole["object"] = "chat.completion"
    for choice in choices.values():
        for call in choice["message"].get("tool_calls") or ():
            call.pop("index", None)
        choice["message"] = {"role": "assistant", "content": None, **choice["message"]}
    whole["choices"] = [choice for _, choice in sorted(choices.items())]
    return whole


def _grow(whole: Json, delta: Json) -> None:
    """Add what a delta says: text goes on, lists get longer, list entries with an `index` are one entry each."""
    for name, value in delta.items():
        before = whole.get(name)
        if before is None or (name in _ONCE and value):
            whole[name] = _placed([], value) if isinstance(value, list) else value
        elif isinstance(before, (str, StringIO)) and isinstance(value, str):
            _go_on(whole, name, value)
        elif isinstance(before, dict) and isinstance(value, dict):
            _grow(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            _placed(before, value)
        elif value is not None and value != before:
            raise BrokenAnswer(f"its stream says {name} twice")


def _go_on(whole: Json, name: str, more: str) -> None:
    """Add to a text. From its second piece on it is a StringIO, for a `str` would be copied each time."""
    text = whole[name]
    if isinstance(text, str):
        whole[name] = StringIO()
        whole[name].write(text)
    whole[name].write(more)


def _placed(whole: list[Any], more: list[Any]) -> list[Any]:
    for item in more:
        place = item.get("index") if isinstance(item, dict) else None
        there = (
            next((one for one in whole if isinstance(one, dict) and one.get("index") == place), None)
            if place is not None
            else None
        )
        if there is None:
            whole.append(item)
        elif item.get("id") not in (None, "", there.get("id")):
            raise BrokenAnswer(f"its stream has two calls at one place ({place})")
        else:
            _grow(there, item)
    return whole


def _tell_chat(whole: Json, include_usage: bool) -> Iterator[bytes]:
    usage = whole.get("usage")
    frame = {name: value for name, value in whole.items() if name not in ("choices", "usage")} | {
        "object": "chat.completion.chunk"
    }
    unsaid: Json = {"usage": None} if include_usage else {}

    def chunk(choice: Json) -> bytes:
        return event("", _encode({**frame, "choices": [choice], **unsaid}))

    for choice in whole["choices"]:
        message, logprobs = dict(choice["message"]), choice.get("logprobs")
        calls = message.get("tool_calls")
        if calls:
            message["tool_calls"] = [{"index": number, **call} for number, call in enumerate(calls)]
        at = {"index": choice["index"], "logprobs": None, "finish_reason": None}
        opening = {
            "content": None if message.get("content") is None else "",
            **{name: None for name in message if message[name] is None},
        }
        yield chunk({**at, "delta": {"role": message.pop("role", "assistant"), **opening}})
        for name in (*_FIRST, *(name for name in message if name not in _FIRST)):
            if message.get(name) not in (None, "", []):
                yield chunk({**at, "delta": {name: message[name]}, "logprobs": logprobs if name == "content" else None})
        more = {name: value for name, value in choice.items() if name not in ("message", "logprobs")}
        yield chunk({**at, **more, "delta": {}})
    if include_usage:
        yield event("", _encode({**frame, "choices": [], "usage": usage}))


def _whole_message(said: Iterable[Json]) -> Json:
    whole: Json = {}
    blocks: dict[int, Json] = {}
    arguments: dict[int, list[str]] = {}
    for one in said:
        match one["type"]:
            case "message_start":
                whole = one["message"]
            case "content_block_start":
                blocks[one["index"]] = one["content_block"]
            case "content_block_delta":
                _delta(blocks[one["index"]], one["delta"], one["index"], arguments)
            case "message_delta":
                whole |= one["delta"]
                whole["usage"] |= {name: count for name, count in (one.get("usage") or {}).items() if count is not None}
                whole |= {name: value for name, value in one.items() if name not in ("type", "delta", "usage")}
            case "error":
                raise BrokenAnswer("its stream says that it failed")
    for index, pieces in arguments.items():
        if (text := "".join(pieces)).strip():
            blocks[index]["input"] = _decode(text)
    return {**whole, "content": [block for _, block in sorted(blocks.items())]}


def _delta(block: Json, delta: Json, index: int, arguments: dict[int, list[str]]) -> None:
    match delta["type"]:
        case "text_delta":
            _go_on(block, "text", delta["text"])
        case "thinking_delta":
            _go_on(block, "thinking", delta["thinking"])
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            arguments.setdefault(index, []).append(delta["partial_json"])
        case "citations_delta":
            block["citations"] = block.get("citations") or []
            block["citations"].append(delta["citation"])
        case unknown:
            raise BrokenAnswer(f"its stream has a delta of type {unknown}")


def _tell_message(whole: Json) -> Iterator[bytes]:
    def named(name: str, **members: Any) -> bytes:
        return event(name, _encode({"type": name, **members}))

    told = ("stop_reason", "stop_sequence", "stop_details")
    usage = whole.get("usage") or {}
    opening = {**whole, **dict.fromkeys(told[:2]), "content": [], "usage": {**usage, "output_tokens": 0}}
    opening.pop("stop_details", None)
    yield named("message_start", message=opening)
    for index, block in enumerate(whole["content"]):
        shell, deltas = _block_told(block)
        yield named("content_block_start", index=index, content_block=shell)
        for delta in deltas:
            yield named("content_block_delta", index=index, delta=delta)
        yield named("content_block_stop", index=index)
    yield named("message_delta", delta={name: whole[name] for name in told if name in whole}, usage=usage)


def _block_told(block: Json) -> tuple[Json, list[Json]]:
    """(how a block begins, its deltas). A block of another kind begins with all that it is, as Anthropic's own do."""
    match block["type"]:
        case "text":
            cited = [{"type": "citations_delta", "citation": one} for one in block.get("citations") or ()]
            shell = {**block, "text": ""} | ({"citations": []} if cited else {})
            return shell, [{"type": "text_delta", "text": block["text"]}, *cited]
        case "thinking":
            signed = {"type": "signature_delta", "signature": block.get("signature", "")}
            return {**block, "thinking": "", "signature": ""}, [{"type": "thinking_delta", "thinking": block["thinking"]}, signed]
        case "tool_use":
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": _encode(block["input"]).decode()}]
    return block, []


def _whole_response(said: Iterable[Json]) -> Json:
    """A Responses stream says all of it again at its end, with some providers all but the items."""
    items: dict[int, Json] = {}
    for one in said:
        kind = one.get("type")
        if kind == "response.output_item.done":
            items[one["output_index"]] = one["item"]
        elif kind in _RESPONSE_ENDS:
            response: Json = one["response"]
            response["output"] = response.get("output") or [item for _, item in sorted(items.items())]
            return response
    raise BrokenAnswer("its stream has no end")
