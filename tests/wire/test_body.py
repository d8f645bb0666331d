"""Bodies at their top level: what is decoded, what is refused, what an edit leaves alone. Python's own json is the judge."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.limits import JSON_DEPTH_MAX
from jevons.core.refusal import Refusal
from jevons.wire.body import check_depth, edit, read_fields

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
NAMES = st.text(max_size=12) | st.sampled_from(["model", "max_tokens", "stream", 'quo"te', "back\\slash", "{", "}:", "é"])
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=8)
SPACES = st.text(alphabet=" \t\r\n", max_size=3)


@st.composite
def written(draw: st.DrawFn, objects: st.SearchStrategy[dict[str, Any]] = OBJECTS) -> tuple[bytes, dict[str, Any]]:
    """An object in any legal writing: white space anywhere, names and texts escaped or not."""
    document, members = draw(objects), []
    for name, value in document.items():
        gap, escaped, inner = draw(SPACES), draw(st.booleans()), draw(st.booleans())
        separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]))
        text = json.dumps(value, ensure_ascii=inner, separators=separators)
        members.append(f"{gap}{json.dumps(name, ensure_ascii=escaped)}{draw(SPACES)}:{draw(SPACES)}{text}{draw(SPACES)}")
    return f"{draw(SPACES)}{{{','.join(members) or draw(SPACES)}}}{draw(SPACES)}".encode("utf-8", "replace"), document


def plain(body: bytes) -> Any:
    return json.loads(body)


def read(body: bytes) -> dict[str, msgspec.Raw] | Refusal:
    try:
        return read_fields(body)
    except Refusal as refused:
        return refused


@given(written())
def test_every_writing_is_read(case: tuple[bytes, dict[str, Any]]) -> None:
    body, _ = case
    fields = read_fields(body)
    assert {name: plain(bytes(raw)) for name, raw in fields.items()} == plain(body)
    assert all(bytes(raw) in body for raw in fields.values())


@given(written(), NAMES, VALUES, VALUES, st.data())
def test_a_repeated_member_is_refused(
    case: tuple[bytes, dict[str, Any]], name: str, one: Any, two: Any, data: st.DataObject
) -> None:
    """Wherever the two stand, however their names are spelt, even with one and the same value."""
    _, document = case
    others = [json.dumps(n) + ":" + json.dumps(v) for n, v in document.items() if n != name]
    spelt = "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 and data.draw(st.booleans()) else json.dumps(c)[1:-1] for c in name)
    for value in (f"{json.dumps(name)}:{json.dumps(one)}", f'"{spelt}" : {json.dumps(data.draw(st.sampled_from([one, two])))}'):
        others.insert(data.draw(st.integers(0, len(others))), value)
    with pytest.raises(Refusal) as caught:
        read_fields(("{" + ",".join(others) + "}").encode())
    assert (caught.value.code, caught.value.status) == ("repeated_member", 400)
    assert caught.value.param == name


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: b"{" + text.encode("utf-8", "replace") + b"}"))
def test_what_is_no_object_is_refused_and_nothing_else_happens(body: bytes) -> None:
    found = read(body)
    assert found.status == 400 if isinstance(found, Refusal) else plain(body).keys() == found.keys()


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth(opening: str) -> None:
    closing = "]" if opening == "[" else "}"

    def nested(levels: int) -> bytes:
        return ('{"m":' + opening * levels + "1" + closing * levels + "}").encode()

    read_fields(nested(JSON_DEPTH_MAX - 1))
    for levels in (JSON_DEPTH_MAX, 2000, 200_000):
        with pytest.raises(Refusal) as caught:
            read_fields(nested(levels))
        assert caught.value.code == "invalid_json"


def test_brackets_in_texts_are_not_depth() -> None:
    read_fields(json.dumps({"m": '["{' * 500, "n": [[]] * 500}).encode())


@given(written())
def test_depth_is_met_exactly_whatever_stands_in_texts(case: tuple[bytes, dict[str, Any]]) -> None:
    body, document = case
    room = JSON_DEPTH_MAX - depth_of(document)
    check_depth(b"[" * room + body + b"]" * room)
    with pytest.raises(Refusal):
        check_depth(b"[" * (room + 1) + body + b"]" * (room + 1))


@given(written(), st.sampled_from([(b"[0, ", b"]"), (b"[", b", []]"), (b'{"a": ', b"}")]))
def test_depth_is_met_exactly_wherever_it_lies(case: tuple[bytes, dict[str, Any]], around: tuple[bytes, bytes]) -> None:
    body, document = case
    before, after = around

    def wrapped(levels: int) -> bytes:
        return b'{"m": ' + before + b"[" * levels + body + b"]" * levels + after + b', "n": "x"}'

    room = JSON_DEPTH_MAX - 2 - depth_of(document)
    read_fields(wrapped(room))
    with pytest.raises(Refusal):
        read_fields(wrapped(room + 1))


def depth_of(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth_of, value.values() if isinstance(value, dict) else value), default=0)


def test_surrogates_in_names_are_not_a_crash() -> None:
    for body in (b'{"\\ud800": 1}', b'{"\\ud83d\\ude42": 1}', b'{"a": "\\ud800"}'):
        found = read(body)
        assert not isinstance(found, Refusal) or found.code == "invalid_json"


@given(written(), st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
def test_an_edit_sets_its_members_and_leaves_the_rest(case: tuple[bytes, dict[str, Any]], changes: dict[str, Any]) -> None:
    body, _ = case
    before = plain(body)
    fields = read_fields(body)
    changed = edit(body, fields, {name: msgspec.json.encode(value) for name, value in changes.items()})
    assert plain(changed) == before | plain(json.dumps(changes).encode())
    after = read_fields(changed)
    assert all(bytes(after[name]) == bytes(fields[name]) for name in fields if name not in changes)


@given(written(), st.data())
def test_an_edit_of_what_is_there_keeps_every_other_byte(case: tuple[bytes, dict[str, Any]], data: st.DataObject) -> None:
    body, _ = case
    fields = read_fields(body)
    if not fields:
        return
    names = data.draw(st.lists(st.sampled_from(sorted(fields)), unique=True))
    changed = edit(body, fields, dict.fromkeys(names, b'"NEW"'))
    assert edit(changed, read_fields(changed), {name: bytes(fields[name]) for name in names}) == body
