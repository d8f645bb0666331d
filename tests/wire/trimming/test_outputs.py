"""Where tool output stands in a request, and that nothing else of it changes."""

import json

import pytest

from jevons.core.ask import Ask, Dialect
from jevons.wire.parse import parse
from jevons.wire.trimming.outputs import answered, calls_of, opening, outputs, replaced, turns

LONG = 'a "quoted" \\ text\n\u00e9 ' * 9
RAW = json.dumps(LONG).encode()
ESCAPED = RAW.replace(b"quoted", b"q\\u0075oted")
CHAT = (
    b'{ "model":"m" ,\n "messages":[ {"role":"system","content":%(raw)s},{"role" : "user","content":"hi"} ,'
    b'{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"ls","arguments":"{}"}}]},'
    b'\t{"tool_call_id":"c1", "content" : %(raw)s , "role":"tool"},  {"role":"tool","tool_call_id":"c1","content":'
    b'[{"type":"text","text":%(raw)s},{"type":"image","text":%(raw)s}]} ], "x_after":1.50}'
)
MESSAGES = (
    b'{"model":"m","max_tokens":9,"system":[{"type":"text","text":%(raw)s}],"messages":[{"role":"user","content":%(raw)s},'
    b'{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"ls","input":{"p":%(raw)s}}]},{"role":"user","content":['
    b'{"type":"tool_result", "tool_use_id":"t1" ,"content":%(raw)s,"cache_control":{"type":"ephemeral"}},{"type":"text","text":%(raw)s},'
    b'{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":[{"type":"text","text":%(raw)s}]}]}]}'
)
RESPONSES = (
    b'{"input":[{"role":"user","content":%(raw)s},{"type":"function_call","call_id":"f1","name":"ls","arguments":"{}"},'
    b'{"type":"function_call_output","call_id":"f1","output":%(raw)s},{"type":"custom_tool_call_output","call_id":"f1","output":'
    b'[{"type":"input_text","text":%(raw)s}]},{"type":"web_search_call","output":%(raw)s}],"model":"m"}'
)
BODIES = {Dialect.CHAT: CHAT, Dialect.MESSAGES: MESSAGES, Dialect.RESPONSES: RESPONSES}


def asked(dialect: Dialect, raw: bytes = RAW) -> Ask:
    return parse(dialect, BODIES[dialect] % {b"raw": raw})


@pytest.mark.parametrize("raw", [RAW, ESCAPED])
@pytest.mark.parametrize("dialect", BODIES)
def test_only_what_tools_gave_back_is_replaced(dialect: Dialect, raw: bytes) -> None:
    """Where the same text stands elsewhere it stays; white space, order and spelling of the rest too."""
    ask = asked(dialect, raw)
    found = outputs(ask, 20)
    assert [(output.text, output.raw) for output in found] == [(LONG, raw)] * 2
    assert [output.failed for output in found] == [False, dialect is Dialect.MESSAGES]
    for output in found:
        assert calls_of(ask, found)[output.message, output.call_id].name == "ls"
    small = b'"short\\n"'
    changes: dict[int, list[tuple[object, bytes]]] = {}
    for output in found:
        changes.setdefault(output.message, []).append((output, small))
    sent = replaced(ask, changes)  # type: ignore[arg-type]
    whole = BODIES[dialect] % {b"raw": b"@@"}
    pieces = whole.split(b"@@")
    places = {Dialect.CHAT: (1, 2), Dialect.MESSAGES: (3, 5), Dialect.RESPONSES: (1, 2)}[dialect]
    filled = [small if place in places else raw for place in range(len(pieces) - 1)] + [b""]
    assert sent.body == b"".join(piece + fill for piece, fill in zip(pieces, filled, strict=True))
    again = parse(dialect, sent.body)
    assert (again.messages, {name: bytes(one) for name, one in again.fields.items()}) == (
        sent.messages,
        {name: bytes(one) for name, one in sent.fields.items()},
    )


@pytest.mark.parametrize("dialect", BODIES)
def test_what_is_new_stands_behind_what_the_model_said(dialect: Dialect) -> None:
    ask = asked(dialect)
    assert ask.messages[answered(ask) - 1].count(b"ls" if dialect is not Dialect.RESPONSES else b"web_search_call")
    assert turns(ask) == 1
    assert b"hi" in opening(ask) or RAW in opening(ask)


def test_a_request_without_messages_has_none() -> None:
    ask = parse(Dialect.EMBEDDINGS, b'{"model":"m","input":"tool"}')
    assert outputs(ask, 1) == [] and answered(ask) == 0 and opening(ask) == b""
    assert outputs(parse(Dialect.RESPONSES, b'{"model":"m","input":"x _output"}'), 1) == []


def test_a_message_that_cannot_be_read_is_left_alone() -> None:
    """A member that is there twice, a content of another type: whoever reads it may read it otherwise."""
    twice = b'{"role":"tool","tool_call_id":"a","content":"0123456789","content":"0123456789"}'
    odd = b'{"role":"tool","tool_call_id":"a","content":{"a":"0123456789"}}'
    number = b'{"role":"tool","tool_call_id":7,"content":"0123456789"}'
    assert outputs(parse(Dialect.CHAT, b'{"model":"m","messages":[%b,%b,%b]}' % (twice, odd, number)), 5) == []


def test_a_call_that_the_request_does_not_hold_is_not_known() -> None:
    ask = parse(Dialect.RESPONSES, b'{"model":"m","input":[{"type":"function_call_output","call_id":"f","output":"0123456789"}]}')
    assert calls_of(ask, outputs(ask, 5)) == {}


def test_where_an_id_comes_again_the_latest_call_counts() -> None:
    """Some clients number their calls anew at each turn."""

    def turn(*names: str) -> list[dict[str, object]]:
        calls = [
            {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": "{}"}} for n, name in enumerate(names)
        ]
        results = [{"role": "tool", "tool_call_id": f"c{n}", "content": "0123456789"} for n in range(len(names) + 1)]
        return [{"role": "assistant", "content": None, "tool_calls": calls}, *results]

    body = {"model": "m", "messages": [{"role": "user", "content": "go"}, *turn("a", "b"), *turn("c"), *turn("d", "e")]}
    ask = parse(Dialect.CHAT, json.dumps(body).encode())
    called = calls_of(ask, outputs(ask, 10))
    assert {place: call.name for (place, _), call in called.items()} == {2: "a", 3: "b", 6: "c", 7: "b", 9: "d", 10: "e"}
