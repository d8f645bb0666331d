"""What a request looks like from outside: its question, and counts and marks by which it can be routed.

Comes in: an `Ask` of a dialect with messages. Goes out: `Read`. A long history is searched, not decoded: of it only the message with the question, and those
that seem to hold a picture, a sound or a file, are taken apart, and in these only what is needed. Does not know: languages, classes, what routes want.
"""

import re
from typing import NamedTuple

import msgspec

from jevons.core.ask import Ask, Dialect
from jevons.core.features import Features

WITH_MESSAGES = frozenset({Dialect.CHAT, Dialect.RESPONSES, Dialect.MESSAGES, Dialect.COUNT_TOKENS})
BYTES_PER_TOKEN = 4
MEDIUM_TOKENS = 1_000
"""What a picture, a sound or a file counts for, in place of its bytes: about a large picture (OpenAI's and Anthropic's published formulas)."""
READ_CHARS = 4_096
"""Of a question, for all but its length."""

_HEAD_BYTES = 256
"""Where a message says its role and the type of its first part."""
_MODEL = re.compile(rb'"assistant"|_call"|"reasoning"')
"""In the head of what a model has made."""
_MEDIA = {
    "image_url": "image",
    "image": "image",
    "input_image": "image",
    "input_audio": "audio",
    "file": "file",
    "input_file": "file",
    "document": "file",
}
"""Type of a part -> what is in it (OpenAI Chat and Responses, Anthropic Messages)."""
_MARKS = (b'image"', b'"image_url"', b'_audio"', b'file"', b'"document"')
"""Ends and wholes of these: what a message without any of them need not be taken apart for. Words in a text have a backslash before the quote."""
_RESULTS = (b'"tool_result"', b'_call_output"', b'"tool"', b'"function"')
_PROGRAM = re.compile(
    r"```|^[^\S\n]*+(?:def|class|import|from|func|fn|const|let|var|public|private|static|#include|SELECT|INSERT|UPDATE)\b.*[({:;=*]"
    r"|[;{][^\S\n]*+$|=>|</\w++>",
    re.MULTILINE,
)
"""Marks of program text: fences, lines that begin like a definition or end like a statement, tags. None of them goes beyond its line: a run of blank lines
would be searched anew from each of them."""


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    content: "str | list[_Part] | None" = None


class _Message(msgspec.Struct):
    role: str = ""
    type: str = ""
    content: str | list[_Part] | None = None
    output: object = None


_decode = msgspec.json.Decoder(_Message).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Read(NamedTuple):
    """One request."""

    features: Features
    """Without language, class and template."""
    question: str
    """The last thing that a person (or a program in their place) said; "" = nothing."""
    head: int
    """So many of `Ask.messages` stand before the conversation: tools, system."""


def read(ask: Ask, *, of_run: bool) -> Read:
    """`of_run`: it belongs to a run, so that its place there counts."""
    if ask.dialect not in WITH_MESSAGES:
        return Read(Features(dialect=ask.dialect, input_tokens=len(ask.body) // BYTES_PER_TOKEN), "", 0)
    head = _head(ask)
    said = ask.messages[head:]
    question = _question(said)
    begin = question[:READ_CHARS]
    modalities, media, media_bytes = _media(said)
    return Read(
        Features(
            dialect=ask.dialect,
            input_tokens=(len(ask.body) - media_bytes) // BYTES_PER_TOKEN + media * MEDIUM_TOKENS,
            messages=len(ask.messages),
            step=_answers(said) + 1 if of_run else 0,
            question_chars=len(question),
            question_words=len(begin.split()),
            digits_pct=_digits_pct(begin),
            tools=_tools(ask),
            tool_results=bool(said) and _is_result(said[-1]),
            schema=any(b'"json_schema"' in extra for extra in ask.extras),
            modalities=modalities,
            code=_PROGRAM.search(begin) is not None,
            output_cap=ask.output_cap or 0,
        ),
        question,
        head,
    )


def _head(ask: Ask) -> int:
    """How many messages come before the first that a person or a model said."""
    apart = sum(
        name in ask.fields and bytes(ask.fields[name]) != b"null" for name in ("tools", "functions", "system", "instructions")
    )
    apart = min(apart, len(ask.messages))
    for message in ask.messages[apart:]:
        start = message[:_HEAD_BYTES]
        if not (b'"system"' in start or b'"developer"' in start) or b'"user"' in start:
            break
        apart += 1
    return apart


def _question(said: tuple[bytes, ...]) -> str:
    for message in reversed(said):
        if message.startswith(b'"'):
            return _lone(message)
        start = message[:_HEAD_BYTES]
        if (b'"user"' in start or b'"user"' in message[-_HEAD_BYTES:]) and (text := _text(message)):
            return text
    return ""


def _digits_pct(text: str) -> int:
    raw = text.encode(errors="replace")
    return 100 * (len(raw) - len(raw.translate(None, b"0123456789"))) // max(1, len(raw))


def _lone(message: bytes) -> str:
    """All of a Responses input as one text."""
    try:
        return _decode_text(message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _text(message: bytes) -> str:
    """What is said in it; "" for a message of another role, or that holds nothing but results of tools."""
    decoded = _decoded(message)
    if decoded is None or decoded.role != "user" or decoded.content is None:
        return ""
    if isinstance(decoded.content, str):
        return decoded.content
    return "\n".join([part.text for part in decoded.content if part.text is not None])


def _decoded(message: bytes) -> _Message | None:
    try:
        return _decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _media(said: tuple[bytes, ...]) -> tuple[tuple[str, ...], int, int]:
    """(modalities besides text, how many parts have one, the bytes that these take)."""
    found: set[str] = set()
    count = size = 0
    for message in said:
        if not any(mark in message for mark in _MARKS):
            continue
        kinds, texts = _kinds(message)
        if kinds:
            found.update(kinds)
            count += len(kinds)
            size += max(0, len(message) - texts)
    return tuple(sorted(found)), count, size


def _kinds(message: bytes) -> tuple[list[str], int]:
    """(what each of its parts is that is no text, characters of its texts)."""
    decoded = _decoded(message)
    if decoded is None:
        return [], 0
    kinds, texts = [], 0
    ahead: list[_Part] = [*_parts(decoded.content), *_outputs(decoded.output)]
    for part in ahead:  # grows while it is read: results of tools hold parts of their own
        if (kind := _MEDIA.get(part.type)) is not None:
            kinds.append(kind)
        texts += len(part.text or "")
        if isinstance(part.content, str):
            texts += len(part.content)
        ahead += _parts(part.content)
    return kinds, texts


def _parts(content: str | list[_Part] | None) -> list[_Part]:
    return content if isinstance(content, list) else []


def _outputs(output: object) -> list[_Part]:
    """Parts of a tool's output in Responses."""
    try:
        return msgspec.convert(output, list[_Part]) if isinstance(output, list) else []
    except msgspec.ValidationError:
        return []


def _answers(said: tuple[bytes, ...]) -> int:
    """How often a model has spoken: what it said at one time may be several items."""
    times, speaking = 0, False
    for message in said:
        made = _MODEL.search(message, 0, _HEAD_BYTES // 2) is not None
        times += made and not speaking
        speaking = made
    return times


def _tools(ask: Ask) -> int:
    found = 0
    for name in ("tools", "functions"):
        raw = ask.fields.get(name)
        if raw is not None:
            try:
                found += len(_decode_list(raw))
            except msgspec.MsgspecError:  # null, or nothing that the provider will take
                continue
    return found


def _is_result(message: bytes) -> bool:
    return any(mark in message[:_HEAD_BYTES] for mark in _RESULTS)
