"""Bad input: each a clear error in the client's own dialect, nothing sent, no entry."""

import gzip
import json
from typing import Any

import pytest

from jevons.core.limits import BODY_BYTES_MAX, JSON_DEPTH_MAX
from tests.gateway.asking import PATHS, Gateway, Got, Key, ask, body_of
from tests.provider.bare import connected, read_all

MODELS = {"chat": "gpt-4o", "messages": "claude-sonnet-4-5", "responses": "gpt-4o", "embeddings": "text-embedding-3-small"}
OPENAI_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "invalid_request_error"}
ANTHROPIC_TYPES = {**OPENAI_TYPES, 404: "not_found_error", 413: "request_too_large"}


def assert_refused(gateway: Gateway, key: Key | None, door: str, got: Got, status: int, code: str, *words: str) -> None:
    """The dialect's shape, a message for people, no retry, nothing sent and nothing written."""
    assert got.status == status, got.body
    assert got.headers["content-type"] == "application/json"
    assert got.headers["x-should-retry"] == "false"
    assert got.request.startswith("req_")
    if door in ("messages", "count_tokens"):
        assert got.json["type"] == "error"
        assert got.json["request_id"] == got.request
        assert got.error["type"] == ANTHROPIC_TYPES.get(status, "invalid_request_error")
    else:
        assert got.error["type"] == OPENAI_TYPES.get(status, "invalid_request_error")
        assert got.error["code"] == code
    for word in words:
        assert word in got.error["message"]
    assert gateway.entries_of(got) == []
    if key is not None:
        assert gateway.ids(key) == []


def with_model(door: str, text: str) -> bytes:
    """A body whose text is written by hand; MODEL stands for a model that is there."""
    return text.replace("MODEL", f'"model": "{MODELS[door]}"').encode()


MALFORMED = [
    ("{", "invalid_json"),
    ("", "invalid_json"),
    ("[]", "invalid_json"),
    ('"text"', "invalid_json"),
    ('{MODEL, "messages": [}', "invalid_json"),
    ("{MODEL} trailing", "invalid_json"),
    ('{MODEL, "temperature": NaN, "messages": [], "max_tokens": 1}', "invalid_json"),
    ('{MODEL, "messages": ' + "[" * (JSON_DEPTH_MAX + 9) + "]" * (JSON_DEPTH_MAX + 9) + "}", "invalid_json"),
    ('{MODEL, "messages": ' + "[" * 100_000 + "]" * 100_000 + "}", "invalid_json"),
    ('{MODEL, MODEL, "messages": [], "max_tokens": 1}', "repeated_member"),
    ('{MODEL, "messages": [], "max_tokens": 1, "max_tokens": 2}', "repeated_member"),
    ('{MODEL, "messages": [], "max_tokens": 1, "max\\u005ftokens": 2}', "repeated_member"),
    ('{"mode\\u006c": "x", MODEL, "messages": [], "max_tokens": 1}', "repeated_member"),
    ('{MODEL, "messages": [{"role": "user", "content": "a", "content": "b"}], "max_tokens": 1}', "duplicate_field"),
    (
        '{MODEL, "messages": [{"role": "user", "content": [{"type": "text", "text": "a", "te\\u0078t": "b"}]}], "max_tokens": 1}',
        "duplicate_field",
    ),
    ('{"messages": [], "max_tokens": 1}', "invalid_request"),
    ('{"model": 7, "messages": [], "max_tokens": 1}', "invalid_request"),
    ('{"model": "", "messages": [], "max_tokens": 1}', "invalid_request"),
    ('{"model": "gpt-4o\\r\\nx-injected: 1", "messages": [], "max_tokens": 1}', "invalid_request"),
    ('{MODEL, "messages": {}, "max_tokens": 1}', "invalid_request"),
    ('{MODEL, "max_tokens": 1}', "invalid_request"),
    ('{MODEL, "messages": [], "max_tokens": 0}', "invalid_request"),
    ('{MODEL, "messages": [], "max_tokens": -5}', "invalid_request"),
    ('{MODEL, "messages": [], "max_tokens": 1.5}', "invalid_request"),
    ('{MODEL, "messages": [], "max_tokens": "9"}', "invalid_request"),
    ('{MODEL, "messages": [], "max_tokens": 99999999999999999999999}', "invalid_request"),
    ('{MODEL, "messages": [], "max_tokens": 1, "stream": "yes"}', "invalid_request"),
]


@pytest.mark.parametrize("door", ["chat", "messages"])
@pytest.mark.parametrize(("text", "code"), MALFORMED, ids=[text[:60] for text, _ in MALFORMED])
def test_malformed_bodies(gateway: Gateway, key: Key, door: str, text: str, code: str) -> None:
    assert_refused(gateway, key, door, gateway.post(door, key, with_model(door, text)), 400, code)


CASES: list[tuple[str, dict[str, Any], int, str, str]] = [
    ("chat", {"n": 0}, 400, "invalid_request", "n is 0"),
    ("chat", {"n": 129}, 400, "invalid_request", "n is 129"),
    ("chat", {"web_search_options": {}}, 400, "unbounded_tool", "web_searches"),
    ("chat", {"stream": True, "stream_options": 7}, 400, "invalid_request", "stream_options"),
    ("messages", {"max_tokens": None}, 400, "invalid_request", "max_tokens: Field required"),
    ("messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, 400, "unbounded_tool", "max_uses"),
    ("messages", {"tools": [{"type": "web_search_20250305", "max_uses": -1}]}, 400, "invalid_request", "bound is -1"),
    ("messages", {"thinking": {"type": "enabled", "budget_tokens": -1}}, 400, "invalid_request", "budget_tokens"),
    ("responses", {"tools": [{"type": "web_search"}]}, 400, "unbounded_tool", "max_tool_calls"),
    ("responses", {"background": True}, 400, "invalid_request", "background"),
    ("responses", {"previous_response_id": "resp_of_somebody_else"}, 404, "unknown_response", "resp_of_somebody_else"),
    ("responses", {"input": None}, 400, "invalid_request", "input"),
    ("chat", {"model": "gpt-4o-minni"}, 400, "unknown_price", "gpt-4o-mini"),
    ("chat", {"model": "mistral-larg"}, 404, "model_not_found", "mistral-large"),
    ("messages", {"model": "clod-opus"}, 404, "model_not_found", "claude-*"),
    ("responses", {"model": "claude-sonnet-4-5"}, 400, "wrong_endpoint", "responses"),
    ("embeddings", {"model": "claude-sonnet-4-5"}, 400, "wrong_endpoint", "embeddings"),
    ("count_tokens", {"model": "gtp-4o"}, 404, "model_not_found", "gpt-*"),
]


@pytest.mark.parametrize(
    ("door", "change", "status", "code", "word"), CASES, ids=[f"{c[0]}-{json.dumps(c[1])[:50]}" for c in CASES]
)
def test_requests_that_cannot_be_served(
    gateway: Gateway, key: Key, door: str, change: dict[str, Any], status: int, code: str, word: str
) -> None:
    body = body_of(door, MODELS.get(door, "claude-sonnet-4-5")) | change
    assert_refused(gateway, key, door, gateway.post(door, key, body), status, code, word)


def test_an_escaped_tool_type_is_still_a_tool(gateway: Gateway, key: Key) -> None:
    """`web\\u005fsearch` is web_search to the provider, and so to us."""
    text = '{MODEL, "input": "x", "tools": [{"type": "web\\u005fsearch"}]}'
    assert_refused(
        gateway, key, "responses", gateway.post("responses", key, with_model("responses", text)), 400, "unbounded_tool"
    )


def test_an_escaped_file_id_is_still_remote_content(gateway: Gateway) -> None:
    """What cannot be seen is held at the size of the context window."""
    key = gateway.key(10_000_000)  # a cent: enough for the text, not for a whole window
    text = (
        '{MODEL, "max_output_tokens": 16, "input": [{"role": "user", "content": [{"type": "input_file", "file\\u005fid": "f"}]}]}'
    )
    got = gateway.post("responses", key, with_model("responses", text))
    assert got.status == 402, got.body


@pytest.mark.parametrize("door", ["chat", "messages"])
@pytest.mark.parametrize("place", ["model", "text", "name"])
def test_bytes_that_are_no_utf8(gateway: Gateway, key: Key, door: str, place: str) -> None:
    body = json.dumps(body_of(door, MODELS[door], text="Hello") | {"metadata": {"namely": "x"}}).encode()
    body = body.replace({"model": MODELS[door].encode(), "text": b"Hello", "name": b"namely"}[place], b"\xc3\x28")
    assert_refused(gateway, key, door, gateway.post(door, key, body), 400, "invalid_json", "UTF-8")


@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
def test_keys_that_are_refused(gateway: Gateway, door: str) -> None:
    body, model = json.dumps(body_of(door, MODELS[door])).encode(), MODELS[door]
    revoked = gateway.key()
    gateway.admin("DELETE", f"/keys/{revoked.name}")
    assert_refused(gateway, revoked, door, gateway.post(door, revoked, body), 401, "invalid_api_key", "unknown or revoked")
    assert_refused(gateway, None, door, gateway.post(door, None, body), 401, "invalid_api_key", "No key")
    unknown = Key(0, "", "jv-" + "x" * 43)
    assert_refused(gateway, None, door, gateway.post(door, unknown, body), 401, "invalid_api_key", "unknown or revoked")
    first, second = gateway.key(), gateway.key()
    twice = gateway.post(door, first, body, x_api_key=second.secret)
    assert_refused(gateway, first, door, twice, 400, "ambiguous_key", "two different keys")
    narrow = gateway.key(models=["o1-*"])
    refused = gateway.post(door, narrow, body)
    assert_refused(gateway, narrow, door, refused, 403, "model_not_allowed", model, "o1-*")


def test_the_same_key_twice_is_one_key(gateway: Gateway, any_key: Key) -> None:
    got = gateway.post("chat", any_key, body_of("chat", "gpt-4o"), x_api_key=any_key.secret, x_jevons_key=any_key.secret)
    assert got.status == 200


@pytest.mark.parametrize("door", ["chat", "messages"])
def test_bodies_that_are_too_large(gateway: Gateway, key: Key, door: str) -> None:
    """Said before the body is read where its length is known, else as soon as it has passed the limit."""
    start = f"POST {PATHS[door]} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key.secret}\r\n"
    port = int(gateway.url.rpartition(":")[2])
    with connected(port) as sock:
        sock.sendall(f"{start}content-length: {BODY_BYTES_MAX + 1}\r\n\r\n".encode())
        assert read_all(sock).head.startswith(b"HTTP/1.1 413")
    chunk = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    with connected(port) as sock:
        sock.sendall(f"{start}transfer-encoding: chunked\r\n\r\n".encode())
        try:
            for _ in range(BODY_BYTES_MAX // 2**20 + 2):
                sock.sendall(chunk)
        except ConnectionError:
            pass  # it hung up on us, which it may: the answer was sent before
        else:
            assert read_all(sock).head.startswith(b"HTTP/1.1 413")
    assert gateway.ids(key) == []


def test_packed_bodies_that_are_refused(gateway: Gateway, key: Key) -> None:
    body = json.dumps(body_of("chat", "gpt-4o")).encode()
    packed = gzip.compress(body)
    bomb = gzip.compress(b" " * 50_000_000)
    for data, encoding, status, code in (
        (bomb, "gzip", 413, "request_too_large"),
        (packed[:-9], "gzip", 400, "invalid_encoding"),
        (packed + gzip.compress(b"more"), "gzip", 400, "invalid_encoding"),
        (body, "gzip", 400, "invalid_encoding"),
        (body, "zstd", 400, "invalid_encoding"),
        (packed, "br", 415, "unknown_encoding"),
        (packed, "gzip, gzip", 415, "unknown_encoding"),
    ):
        got = gateway.post("chat", key, data, content_encoding=encoding)
        assert (got.status, got.error["code"]) == (status, code), encoding
    assert gateway.ids(key) == []


@pytest.mark.parametrize("run_id", ["", "with space", "x" * 129, "grün"])
def test_run_ids_that_are_refused(gateway: Gateway, key: Key, run_id: str) -> None:
    headers = gateway.headers(key) | {"x-jevons-run-id": run_id}
    body = json.dumps(body_of("chat", "gpt-4o")).encode()
    got = ask(gateway.url, "POST", PATHS["chat"], body, headers)
    assert_refused(gateway, key, "chat", got, 400, "invalid_run_id", "x-jevons-run-id")


def test_doors_that_are_not_there(gateway: Gateway, key: Key) -> None:
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "a" * 22 + "==",
    }
    got = ask(gateway.url, "GET", "/v1/responses", None, gateway.headers(key) | upgrade)
    assert (got.status, got.error["code"]) == (426, "upgrade_required")
    for method, path in (
        ("POST", "/v1/images/generations"),
        ("GET", "/v1/chat/completions"),
        ("PUT", "/v1/chat/completions"),
        ("GET", "/v1/files"),
        ("POST", "/v1/models"),
        ("GET", "/v1/chat/completions/../models"),
        ("DELETE", "/v1/models"),
        ("GET", "/jevons/v1/nothing"),
    ):
        got = ask(gateway.url, method, path, None, gateway.headers(key))
        assert (got.status, got.error["code"]) == (404, "unknown_path"), (method, path)
    got = ask(gateway.url, "GET", "/v1/messages", None, gateway.headers(key))
    assert (got.status, got.json["type"], got.error["type"]) == (404, "error", "not_found_error")
    got = ask(gateway.url, "GET", "/nothing", None, gateway.headers(key) | {"anthropic-version": "2023-06-01"})
    assert (got.status, got.error["type"]) == (404, "not_found_error")
    assert ask(gateway.url, "GET", "/v1/files").status == 401


def test_hosts_that_are_not_ours(gateway: Gateway, key: Key) -> None:
    """Against DNS rebinding, on every door, the admin API's too."""
    body = json.dumps(body_of("chat", "gpt-4o")).encode()
    for method, path in (("POST", PATHS["chat"]), ("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/jevons/v1/admin/keys")):
        got = ask(
            gateway.url, method, path, body if method == "POST" else None, gateway.headers(key) | {"host": "evil.example:4141"}
        )
        assert (got.status, got.error["code"]) == (403, "unknown_host"), path
    for host in ("localhost", "LOCALHOST:1", "[::1]:4141", "127.0.0.1:80"):
        assert ask(gateway.url, "GET", "/v1/models", None, gateway.headers(key) | {"host": host}).status == 200, host
    assert gateway.ids(key) == []


def test_two_framings_at_once_are_refused(gateway: Gateway, key: Key) -> None:
    """Transfer-Encoding and Content-Length together are how requests are smuggled."""
    body = json.dumps(body_of("chat", "gpt-4o")).encode()
    head = f"POST {PATHS['chat']} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key.secret}\r\n"
    with connected(int(gateway.url.rpartition(":")[2])) as sock:
        sock.sendall(f"{head}content-length: {len(body)}\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        assert read_all(sock).head.startswith(b"HTTP/1.1 400")
    assert gateway.ids(key) == []
