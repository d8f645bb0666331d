"""How sure a model was of each token: asked for in a request, read in a whole answer, taken out again for a client that did not ask.

Comes in: the members of a request, the body of a whole answer. Goes out: members to set, tokens, the answer without the figures. Chat has them in
`logprobs`, Responses in the parts of its text, Messages has none. What is taken out leaves what the dialect has where nobody asked: null, or an
empty list; every other byte stays. Does not know: which upstreams refuse to be asked, what the figures say.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from jevons.core.ask import Dialect
from jevons.core.refusal import Refusal
from jevons.core.token import Token
from jevons.wire.body import BAD_JSON, edit

TOP = 2
"""The token itself and the best other one."""
RESPONSES_LOGPROBS = "message.output_text.logprobs"
"""What `include` names them by (OpenAI, API reference: create a model response)."""

_NOTHING: Mapping[str, bytes] = {}
_ODD = (*BAD_JSON, ValueError, Refusal)
"""What reading an answer raises that is not as its dialect has it; `bytes` are to be from 0 to 255."""
_OFF = (b"", b"null", b"false")


class _Other(msgspec.Struct, gc=False):
    token: str
    logprob: float


class _Said(msgspec.Struct, gc=False):
    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[_Other] | None = None


class _Content(msgspec.Struct, gc=False):
    content: list[_Said] | None = None


class _Choice(msgspec.Struct, gc=False):
    logprobs: _Content | None = None


class _Chat(msgspec.Struct, gc=False):
    choices: list[_Choice]


class _Part(msgspec.Struct, gc=False):
    logprobs: list[_Said] | None = None


class _Item(msgspec.Struct, gc=False):
    content: list[_Part] | None = None


class _Response(msgspec.Struct, gc=False):
    output: list[_Item]


_decode_chat = msgspec.json.Decoder(_Chat).decode
_decode_response = msgspec.json.Decoder(_Response).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


def asking(dialect: Dialect, fields: Mapping[str, msgspec.Raw]) -> Mapping[str, bytes]:
    """The members to set in a request so that its answer tells them; none where the dialect cannot, or the client asks by itself."""
    if asked_for(dialect, fields):
        return _NOTHING
    top = str(TOP).encode()
    if dialect is Dialect.CHAT:
        return {"logprobs": b"true", "top_logprobs": top}
    if dialect is Dialect.RESPONSES:
        return {"include": msgspec.json.encode([*_included(fields), RESPONSES_LOGPROBS]), "top_logprobs": top}
    return _NOTHING


def asked_for(dialect: Dialect, fields: Mapping[str, msgspec.Raw]) -> bool:
    """Does the client want them itself?"""
    if dialect is Dialect.CHAT:
        return bytes(fields.get("logprobs", b"")).strip() not in _OFF
    return dialect is Dialect.RESPONSES and RESPONSES_LOGPROBS in _included(fields)


def tokens_of(dialect: Dialect, body: bytes) -> tuple[Token, ...]:
    """The tokens of a whole answer's text, of its first choice; () if it does not tell them."""
    try:
        if dialect is Dialect.CHAT:
            choices = _decode_chat(body).choices
            said = (choices[0].logprobs.content or []) if choices and choices[0].logprobs else []
        elif dialect is Dialect.RESPONSES:
            items = _decode_response(body).output
            said = [one for item in items for part in item.content or () for one in part.logprobs or ()]
        else:
            return ()
        return tuple([_token(one) for one in said])
    except _ODD:
        return ()


def without(dialect: Dialect, body: bytes) -> bytes:
    """A whole answer without the figures, as if nobody had asked."""
    try:
        if dialect is Dialect.CHAT:
            return _each(body, "choices", lambda choice: _set(choice, "logprobs", b"null"))
        if dialect is Dialect.RESPONSES:
            return _each(body, "output", lambda item: _each(item, "content", lambda part: _set(part, "logprobs", b"[]")))
    except _ODD:
        pass
    return body


def _included(fields: Mapping[str, msgspec.Raw]) -> list[Any]:
    try:
        return msgspec.json.decode(fields.get("include", b"null"), type=list[Any] | None) or []
    except BAD_JSON:
        return []


def _token(said: _Said) -> Token:
    data = said.token.encode("utf-8", "surrogatepass") if said.bytes is None else bytes(said.bytes)
    others = [other.logprob for other in said.top_logprobs or () if other.token != said.token]
    return Token(data, said.logprob, said.logprob - max(others) if others else None)


def _each(body: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """`body` with every object in its member `name`, a list, changed; what stands between them stays."""
    fields = _decode_fields(body)
    if bytes(fields.get(name, b"null"))[:1] != b"[":
        return body
    whole = bytes(fields[name])
    pieces, position = [], 0
    for raw in _decode_list(whole):
        one = bytes(raw)
        start = whole.index(one, position)
        pieces += [whole[position:start], change(one)]
        position = start + len(one)
    return edit(body, fields, {name: b"".join(pieces) + whole[position:]})


def _set(body: bytes, name: str, value: bytes) -> bytes:
    fields = _decode_fields(body)
    return edit(body, fields, {name: value}) if name in fields else body
