"""Same dialect in and out: bytes pass through but for what is declared, and what must not travel does not.

Declared: the model's name behind an alias, an output cap, `stream_options.include_usage` and its effects.
"""

import json
from typing import Any

import pytest

from tests.gateway.asking import Gateway, Key, ask, body_of, marker, prompt, zipped
from tests.gateway.conftest import UPSTREAM_KEY

MODELS = {
    "chat": "gpt-4o",
    "responses": "gpt-4o",
    "messages": "claude-sonnet-4-5",
    "embeddings": "text-embedding-3-small",
    "count_tokens": "claude-sonnet-4-5",
}
HOSTILE = (
    b'{\n\t"zebra" : [1.50, 1e3, 12345678901234567890, {"deep": null}], "model"\r\n:\t"%s" ,"n\\u0061me":"\\u00e9\xc3\xa9 \\/ \\"x\\"",'
    b'"messages" :[ {"role": "user" , "content":"%s", "x_unknown": {"b":1, "a":2}} ] , "max_tokens": 50 ,"metadata": {"user_id": "u" }, '
    b'"temperature": 0.70 }\n'
)


def scripted(mark: str, **script: Any) -> bytes:
    """A script as it stands inside a JSON string."""
    return json.dumps(prompt("Hi", marker=mark, **script))[1:-1].encode()


@pytest.mark.parametrize("door", ["chat", "messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_body_is_sent_byte_for_byte(gateway: Gateway, any_key: Key, door: str, stream: bool) -> None:
    """Odd white space, escapes, number formats, unknown members: nothing is written anew."""
    mark = marker()
    body = HOSTILE % (MODELS[door].encode(), scripted(mark, reply="hello"))
    if stream:
        options = b'"stream_options":{"include_usage" : true},' if door == "chat" else b""
        body = body.replace(b'"temperature"', b'"stream" : true, ' + options + b'"temperature"')
    got = gateway.post(door, any_key, body)
    assert got.status == 200, got.body
    assert gateway.attempt(mark).body == body


@pytest.mark.parametrize("door", ["responses", "embeddings", "count_tokens"])
def test_other_doors_pass_bytes_too(gateway: Gateway, any_key: Key, door: str) -> None:
    mark = marker()
    body = json.dumps(body_of(door, MODELS[door], marker=mark), indent=3).encode()
    assert gateway.post(door, any_key, body).status == 200
    assert gateway.attempt(mark).body == body


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_a_packed_body_is_unpacked(gateway: Gateway, any_key: Key, pack: str) -> None:
    from backports import zstd  # noqa: PLC0415  what Python 3.14 has in its standard library

    mark = marker()
    body = body_of("chat", "gpt-4o", marker=mark)
    packed = zipped(body) if pack == "gzip" else zstd.compress(json.dumps(body).encode())
    assert gateway.post("chat", any_key, packed, content_encoding=pack).status == 200
    attempt = gateway.attempt(mark)
    assert attempt.body == json.dumps(body).encode()
    assert attempt.header("content-encoding") is None
    assert attempt.header("accept-encoding") == "identity"


def test_an_alias_renames_the_model_and_nothing_else(gateway: Gateway, any_key: Key) -> None:
    mark = marker()
    body = HOSTILE % (b"house-model", scripted(mark))
    assert gateway.post("chat", any_key, body).status == 200
    assert gateway.attempt(mark).body == body.replace(b'"house-model"', b'"gpt-4o-mini"')


def test_usage_is_asked_for_and_taken_out_again(gateway: Gateway, any_key: Key) -> None:
    mark = marker()
    body = body_of("chat", "gpt-4o", True, marker=mark, reply="one two three")
    got = gateway.post("chat", any_key, body)
    sent = json.loads(gateway.attempt(mark).body)
    assert sent == body | {"stream_options": {"include_usage": True}}
    chunks = [json.loads(data) for _, data in got.events[:-1]]
    assert got.events[-1] == ("", b"[DONE]")
    assert all(chunk["choices"] for chunk in chunks)
    assert gateway.entry_of(got)["estimate"] == ""


def test_other_stream_options_stay(gateway: Gateway, any_key: Key) -> None:
    mark = marker()
    body = body_of("chat", "gpt-4o", True, marker=mark) | {"stream_options": {"include_obfuscation": False}}
    gateway.post("chat", any_key, body)
    assert json.loads(gateway.attempt(mark).body)["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_a_cap_is_added_only_for_a_key_with_a_limit(gateway: Gateway, any_key: Key, key: Key) -> None:
    """In the upstream's own field; said in a header."""
    for asker, expected in ((any_key, {}), (key, {"max_tokens": 8192})):
        mark = marker()
        body = body_of("chat", "gpt-4o", cap=None, marker=mark)
        got = gateway.post("chat", asker, body)
        assert json.loads(gateway.attempt(mark).body) == expected | body
        assert got.headers.get("x-jevons-output-cap") == ("8192" if expected else None)


@pytest.mark.parametrize("door", ["chat", "messages", "responses", "embeddings", "count_tokens"])
def test_an_answer_comes_back_byte_for_byte(gateway: Gateway, any_key: Key, door: str) -> None:
    """The stand-in's journal has the hash of every body it wrote."""
    import hashlib  # noqa: PLC0415

    mark = marker()
    got = gateway.post(door, any_key, body_of(door, MODELS[door], marker=mark, reply="Grüße 日本"))
    ended = gateway.attempt(mark).ended
    assert ended is not None
    assert hashlib.sha256(got.body).hexdigest() == ended["body_sha256"]


@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
@pytest.mark.parametrize("fault", ["", "sse_comments", "sse_crlf", "sse_no_space", "sse_split_bytes", "sse_joined"])
def test_a_stream_comes_back_byte_for_byte(gateway: Gateway, any_key: Key, door: str, fault: str) -> None:
    import hashlib  # noqa: PLC0415

    mark = marker()
    body = body_of(door, MODELS[door], True, marker=mark, reply="Grüße 日本 🙂 end", **({"fault": fault} if fault else {}))
    if door == "chat":
        body["stream_options"] = {"include_usage": True}
    got = gateway.post(door, any_key, body)
    ended = gateway.attempt(mark).ended
    assert ended is not None
    assert got.whole
    assert hashlib.sha256(got.body).hexdigest() == ended["body_sha256"]


def test_headers_and_query_that_travel_and_those_that_do_not(gateway: Gateway, any_key: Key) -> None:
    mark = marker()
    passed = {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "a,b",
        "openai-organization": "org",
        "x-custom": "yes",
        "user-agent": "tests/1",
    }
    kept_back = {
        "cookie": "session=canary",
        "x-jevons-run-id": "run-1",
        "x-jevons-anything": "canary",
        "te": "trailers",
        "keep-alive": "timeout=5",
        "proxy-authorization": "Basic canary",
        "connection": "keep-alive, x-hop",
        "x-hop": "canary",
    }
    headers = {**passed, **kept_back, "x-api-key": any_key.secret, "content-type": "application/json"}
    body = json.dumps(body_of("messages", MODELS["messages"], marker=mark, headers={"set-cookie": "a=canary", "x-theirs": "1"}))
    got = ask(gateway.url, "POST", "/v1/messages?beta=true&x=%2F", body.encode(), headers)
    assert got.status == 200
    attempt = gateway.attempt(mark)
    assert attempt.received["target"] == "/v1/messages?beta=true&x=%2F"
    assert {name: attempt.header(name) for name in passed} == passed
    received = json.dumps(attempt.received["headers"])
    assert "canary" not in received.replace(UPSTREAM_KEY, "")
    assert any_key.secret not in received
    assert not any(name.lower().startswith("x-jevons-") for name, _ in attempt.received["headers"])
    assert attempt.header("x-api-key") == UPSTREAM_KEY
    assert attempt.header("authorization") is None
    assert attempt.header("te") is None
    assert "set-cookie" not in got.headers
    assert got.headers["x-theirs"] == "1"


@pytest.mark.parametrize("way", ["authorization", "x-api-key", "api-key", "x-jevons-key", "path"])
def test_a_jevons_key_never_reaches_the_upstream(gateway: Gateway, any_key: Key, way: str) -> None:
    mark = marker()
    headers = {"content-type": "application/json"}
    path = "/v1/chat/completions"
    if way == "path":
        path = f"/k/{any_key.secret}{path}"
    else:
        headers[way] = f"Bearer {any_key.secret}" if way == "authorization" else any_key.secret
    got = ask(gateway.url, "POST", path, json.dumps(body_of("chat", "gpt-4o", marker=mark)).encode(), headers)
    assert got.status == 200, got.body
    received = gateway.attempt(mark).received
    assert any_key.secret not in json.dumps({name: value for name, value in received.items() if name != "body"})


def test_own_headers_of_answers(gateway: Gateway, key: Key) -> None:
    whole = gateway.post("chat", key, body_of("chat", "gpt-4o", reply="a b c"))
    entry = gateway.entry_of(whole)
    assert whole.headers["x-jevons-request-id"] == entry["request"]
    assert whole.headers["x-jevons-model"] == "gpt-4o"
    assert whole.headers["x-jevons-route"] == "openai/gpt-4o"
    assert whole.headers["x-jevons-cache"] == "none"
    assert whole.headers["x-jevons-cost-nusd"] == str(entry["billed_nusd"])
    assert int(whole.headers["x-jevons-budget-remaining-nusd"]) == 1000 * 10**9 - entry["billed_nusd"]
    stream = gateway.post("chat", key, body_of("chat", "gpt-4o", True, reply="a b c"))
    assert "x-jevons-cost-nusd" not in stream.headers
    assert int(stream.headers["x-jevons-held-nusd"]) == gateway.entry_of(stream)["held_nusd"]
    assert b"jevons" not in stream.body


@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
def test_the_cost_comment_of_a_stream(gateway: Gateway, any_key: Key, door: str) -> None:
    """Only for who asks for it, right before the end event."""
    got = gateway.post(door, any_key, body_of(door, MODELS[door], True, reply="a b"), x_jevons_stream_cost="1")
    comment = f": jevons-cost-nusd={gateway.entry_of(got)['billed_nusd']}\n\n".encode()
    before, found, end = got.body.partition(comment)
    assert found
    assert not before.endswith(b"data: [DONE]\n\n")
    assert end.startswith(
        {"chat": b"data: [DONE]", "messages": b"event: message_stop", "responses": b"event: response.completed"}[door]
    )
