"""The top level of a JSON body: members as undecoded bytes, repeated members refused, and in-place edits.

A body passes through as it came; only named members are replaced or added, everything else keeps its bytes. A repeated member is
refused, since we would read the last one and the provider perhaps the first.
"""

import re

import msgspec

from jevons.core.limits import JSON_DEPTH_MAX
from jevons.core.refusal import Refusal, invalid

BAD_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding bytes of somebody else may raise."""

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_MEMBER = re.compile(rb'[ \t\r\n]*"((?:[^"\\]|\\.)*)"[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_SPACE = b" \t\r\n"
_ONE_KIND = bytes.maketrans(b"[]", b"{}")
_NO_BRACKETS = bytes(sign for sign in range(256) if sign not in b'[]{}"')
_NO_OPENING = bytes(sign for sign in range(256) if sign not in b"[{")


def read_fields(body: bytes) -> dict[str, msgspec.Raw]:
    """Members of the object that `body` is. Raises Refusal: not JSON, not an object, nested too deeply, a member repeated."""
    try:
        if not body.isascii():
            body.decode()  # values are decoded later, and one by one: what is not UTF-8 is said here
        fields = _decode_fields(body)
    except msgspec.DecodeError as error:
        raise invalid(f"The body is not a JSON object: {error}.", code="invalid_json") from None
    except (RecursionError, UnicodeDecodeError):
        raise invalid("The body is not usable JSON: nested too deeply, or not UTF-8.", code="invalid_json") from None
    _check_parts(fields)
    # Most writers put a space after every ":" and ",", or none. If the members, written that way, give the body back, none was repeated.
    colon, comma = (b'": ', b", ") if b'": ' in body[:64] else (b'":', b",")
    if b"{" + comma.join([b'"' + key.encode() + colon + value for key, value in fields.items()]) + b"}" == body:
        return fields
    spans(body, fields)
    return fields


def spans(body: bytes, fields: dict[str, msgspec.Raw]) -> dict[str, tuple[int, int]]:
    """(start, end) of each member's value in `body`. Raises Refusal naming a member that is repeated."""
    found: dict[str, tuple[int, int]] = {}
    position = body.index(b"{") + 1
    for _ in range(len(fields)):
        match = _MEMBER.match(body, position)
        assert match is not None  # the decoder has accepted this body
        name = _decode_name(match[1])
        value = bytes(fields[name])
        start, end = match.end(), match.end() + len(value)
        if name in found or body[start:end] != value:
            raise _repeated(name)
        found[name] = (start, end)
        position = _after_comma(body, end)
    if body[position:].lstrip(_SPACE + b"}"):
        match = _MEMBER.match(body, position)
        raise _repeated(_decode_name(match[1]) if match else "?")
    return found


def edit(body: bytes, fields: dict[str, msgspec.Raw], changes: dict[str, bytes]) -> bytes:
    """`body` with members set to JSON bytes: replaced where they stand, else added in front; every other byte stays."""
    replaced = [name for name in changes if name in fields]
    added = [msgspec.json.encode(name) + b":" + value for name, value in changes.items() if name not in fields]
    if replaced:
        places = spans(body, fields)
        for name in sorted(replaced, key=lambda n: places[n][0], reverse=True):
            start, end = places[name]
            body = body[:start] + changes[name] + body[end:]
    if added:
        opening = body.index(b"{") + 1
        body = body[:opening] + b",".join(added) + (b"," if fields else b"") + body[opening:]
    return body


def check_depth(text: bytes, levels: int = JSON_DEPTH_MAX) -> None:
    """Refuse nesting beyond so many levels, of JSON that was decoded. About 4 us per KB.

    Of what stands outside of strings only the brackets are kept, all of one kind; taking out "{}" takes out one level.
    """
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(text.translate(_ONE_KIND, _NO_BRACKETS).split(b'"')[::2])
    for _ in range(levels):
        if not brackets:
            return
        brackets = brackets.replace(b"{}", b"")
    if brackets:
        raise invalid(f"The body is nested deeper than {JSON_DEPTH_MAX} levels.", code="invalid_json")


def _check_parts(fields: dict[str, msgspec.Raw]) -> None:
    """`check_depth` where it must be asked. An agent's body has many brackets, in its tools and messages few each, and what opens no more of
    them than there may be levels is not nested deeper."""
    for raw in fields.values():
        if len(raw) < JSON_DEPTH_MAX:
            continue
        value = bytes(raw)
        if value[:1] not in b"[{" or _openings(value) < JSON_DEPTH_MAX:
            continue
        parts, levels = (_decode_items(value), JSON_DEPTH_MAX - 2) if value[:1] == b"[" else ([value], JSON_DEPTH_MAX - 1)
        for part in map(bytes, parts):
            if len(part) > levels and _openings(part) > levels:
                check_depth(part, levels)


def _openings(text: bytes) -> int:
    """How many brackets are opened in it, or stand in its strings."""
    return len(text.translate(None, _NO_OPENING))


def _after_comma(body: bytes, position: int) -> int:
    while body[position : position + 1] in (b" ", b"\t", b"\r", b"\n"):
        position += 1
    return position + 1 if body[position : position + 1] == b"," else position


def _decode_name(raw: bytes) -> str:
    return str(msgspec.json.decode(b'"' + raw + b'"'))


def _repeated(name: str) -> Refusal:
    return invalid(
        f"The body has the member {name!r} more than once; providers disagree on which one counts. Send it once.",
        param=name,
        code="repeated_member",
    )
