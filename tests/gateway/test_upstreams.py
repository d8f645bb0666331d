"""Ways to reach an upstream: the client's own credential, Azure's and Gemini's paths, TLS with a private authority, a proxy."""

import http.server
import json
import socket
import threading
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.gateway.asking import Gateway, Key, ask, body_of, marker, prompt
from tests.gateway.conftest import UPSTREAM_KEY
from tests.provider import Provider
from tests.running import Jevons, upstream

SUBSCRIPTION = "sk-ant-oat01-subscription"


@pytest.mark.parametrize("way", ["path", "header"])
@pytest.mark.parametrize("own", ["authorization", "x-api-key"])
def test_the_clients_own_credential(gateway: Gateway, key: Key, way: str, own: str) -> None:
    """It reaches the upstream as it is; the account pays nothing, the list cost is kept."""
    mark = marker()
    headers = {"content-type": "application/json", own: f"Bearer {SUBSCRIPTION}" if own == "authorization" else SUBSCRIPTION}
    path = f"/k/{key.secret}/v1/messages" if way == "path" else "/v1/messages"
    if way == "header":
        headers["x-jevons-key"] = key.secret
    body = json.dumps(body_of("messages", "plan/claude-sonnet-4-5", marker=mark, tokens_out=90)).encode()
    got = ask(gateway.url, "POST", path, body, headers)
    assert got.status == 200, got.body
    attempt = gateway.attempt(mark)
    assert attempt.header(own) == headers[own]
    assert key.secret not in json.dumps(attempt.received["headers"])
    entry = gateway.entry_of(got)
    assert (entry["billed_nusd"], entry["held_nusd"], entry["estimate"]) == (0, 0, "")
    assert entry["list_nusd"] == gateway.cost_nusd("anthropic", "claude-sonnet-4-5", attempt.bill) > 0
    assert gateway.account(key)["posted_nusd"] == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_free_variant_bills_nothing_and_shows_what_its_paid_twin_costs(gateway: Gateway, stream: bool) -> None:
    """With an account that has a nano-dollar: nothing is held of it. The list cost is that of the name without ":free"."""
    poor, mark = gateway.key(1), marker()
    body = body_of("chat", "trial/openai/gpt-4o-mini:free", marker=mark, tokens_out=90, stream=stream)
    got = gateway.post("chat", poor, body)
    assert got.status == 200, got.body
    attempt = gateway.attempt(mark)
    assert json.loads(b64decode(attempt.received["body"]))["model"] == "openai/gpt-4o-mini:free"
    [entry] = gateway.settled(poor, 1)
    assert (entry["billed_nusd"], entry["held_nusd"], entry["estimate"], entry["tariff"]) == (0, 0, "", "billed=no")
    assert entry["list_nusd"] == gateway.cost_nusd("openrouter", "openai/gpt-4o-mini", attempt.bill) > 0
    assert "?billed=no" in entry["price_row"]
    assert gateway.account(poor)["posted_nusd"] == 0


def test_that_a_variant_is_free_must_be_stated(gateway: Gateway, key: Key) -> None:
    """Its name does not say so: where the upstream bills, its price is unknown."""
    got = gateway.post("chat", key, body_of("chat", "router/openai/gpt-4o-mini:free"))
    assert got.status == 400 and "openai/gpt-4o-mini:free" in got.error["message"]
    assert [entry["billed_nusd"] for entry in gateway.entries(key)] in ([], [0])


def test_the_clients_own_credential_is_asked_for(gateway: Gateway, key: Key) -> None:
    """A Jevons key where the credential should be is not passed on."""
    mark = marker()
    body = body_of("messages", "plan/claude-sonnet-4-5", marker=mark)
    got = gateway.post("messages", key, body)
    assert (got.status, got.error["type"]) == (401, "authentication_error")
    assert "x-jevons-key" in got.error["message"]
    assert gateway.attempts(mark) == []
    assert [entry["billed_nusd"] for entry in gateway.entries(key)] in ([], [0])


def test_a_clients_rejected_credential_is_its_own_matter(gateway: Gateway, key: Key) -> None:
    """The provider's own words: the client can mend it."""
    headers = {"x-jevons-key": key.secret, "x-api-key": "sk-ant-wrong", "content-type": "application/json"}
    body = json.dumps(body_of("messages", "plan/claude-sonnet-4-5")).encode()
    got = ask(gateway.url, "POST", "/v1/messages", body, headers)
    assert (got.status, got.error["type"]) == (401, "authentication_error")


def test_a_coding_agents_way_in(gateway: Gateway, key: Key) -> None:
    """The SDK with a subscription token, the Jevons key in its base URL."""
    with anthropic.Anthropic(base_url=f"{gateway.url}/k/{key.secret}", auth_token=SUBSCRIPTION, max_retries=0) as client:
        answer = client.messages.create(
            model="plan/claude-sonnet-4-5", max_tokens=20, messages=[{"role": "user", "content": prompt(reply="hello")}]
        )
    assert answer.content[0].type == "text"
    [entry] = gateway.settled(key, 1)
    assert (entry["outcome"], entry["billed_nusd"]) == ("ok", 0)


@pytest.mark.parametrize("stream", [False, True])
def test_azure(gateway: Gateway, key: Key, stream: bool) -> None:
    mark = marker()
    got = gateway.post("chat", key, body_of("chat", "azure/gpt-4o", stream, cap=None, marker=mark))
    assert got.status == 200, got.body
    attempt = gateway.attempt(mark)
    assert attempt.received["target"] == "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    assert attempt.header("api-key") == UPSTREAM_KEY
    assert attempt.header("authorization") is None
    assert json.loads(attempt.body)["max_completion_tokens"] == 8192
    assert gateway.entry_of(got)["estimate"] == ""


def test_azure_embeddings_and_responses(gateway: Gateway, key: Key) -> None:
    for door, model, path in (
        ("embeddings", "azure/text-embedding-3-small", "/openai/deployments/text-embedding-3-small/embeddings"),
        ("responses", "azure/gpt-4o", "/openai/v1/responses"),
    ):
        mark = marker()
        assert gateway.post(door, key, body_of(door, model, marker=mark)).status == 200
        assert gateway.attempt(mark).received["target"] == f"{path}?api-version=2024-10-21"


@pytest.mark.parametrize("model", ["..", "a/../b", "gpt-4o?x=1", "gpt-4o#x"])
def test_a_model_name_is_no_path(gateway: Gateway, key: Key, model: str) -> None:
    before = len(gateway.provider.attempts())
    got = gateway.post("chat", key, body_of("chat", f"azure/{model}"))
    assert got.status in (400, 404)
    for attempt in gateway.provider.attempts()[before:]:
        if attempt.received["method"] == "GET":
            continue  # a breaker that another test opened looks whether its upstream is back
        assert attempt.received["target"].startswith("/openai/deployments/")
        assert attempt.received["target"].count("?") == 1


def test_gemini(gateway: Gateway, key: Key) -> None:
    mark = marker()
    got = gateway.post("chat", key, body_of("chat", "gemini/gemini-2.5-flash", marker=mark, reply="one two"))
    assert got.status == 200, got.body
    attempt = gateway.attempt(mark)
    assert attempt.received["target"] == "/v1beta/openai/chat/completions"
    assert attempt.header("authorization") == f"Bearer {UPSTREAM_KEY}"
    assert gateway.entry_of(got)["billed_nusd"] == gateway.cost_nusd("google", "gemini-2.5-flash", attempt.bill)


@pytest.fixture(scope="module")
def secure() -> Iterator[Provider]:
    with Provider(tls=True, bodies=True) as started:
        yield started


def test_tls_with_a_private_authority(secure: Provider, tmp_path: Path) -> None:
    """`ca_file`, or SSL_CERT_FILE; without either nothing is sent."""
    authority = str(secure.ca)
    ways: list[tuple[dict[str, Any], dict[str, str], int]] = [
        ({"ca_file": authority}, {}, 200),
        ({}, {"SSL_CERT_FILE": authority}, 200),
        ({}, {}, 502),
    ]
    for number, (settings, environ, status) in enumerate(ways):
        home = tmp_path / f"home{number}"
        table = upstream("openai", secure.openai_url, models=("gpt-*",), provider="openai", retries=0, **settings)
        with Jevons(home, table, environ=environ) as jevons:
            gateway = Gateway(jevons, secure)
            for stream in (False, True):
                got = gateway.post("chat", gateway.key(), body_of("chat", "gpt-4o", stream, reply="one two"))
                assert got.status == status, got.body
                entry = gateway.entry_of(got)
                assert (entry["outcome"], entry["billed_nusd"] > 0) == (("ok", True) if status == 200 else ("unreachable", False))


class Tunnel(http.server.BaseHTTPRequestHandler):
    """A proxy that remembers what passed it, and forwards nothing but CONNECT."""

    asked: list[str]

    def do_CONNECT(self) -> None:
        self.asked.append(self.path)
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as there:
            self.send_response(200)
            self.end_headers()
            pumps = [threading.Thread(target=pump, args=pair) for pair in ((self.connection, there), (there, self.connection))]
            for thread in pumps:
                thread.start()
            for thread in pumps:
                thread.join()

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.send_error(502)

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Remembering", (Tunnel,), {"asked": asked}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_proxy_of_the_environment(secure: Provider, proxy: tuple[str, list[str]], tmp_path: Path) -> None:
    """HTTPS_PROXY is used, NO_PROXY heeded; the command line talks to the serving process directly."""
    address, asked = proxy
    table = upstream("openai", secure.openai_url, models=("gpt-*",), provider="openai", retries=0, ca_file=str(secure.ca))
    for no_proxy, times in (("", 1), ("127.0.0.1", 0)):
        asked.clear()
        environ = {"HTTPS_PROXY": address, "NO_PROXY": no_proxy, "no_proxy": no_proxy}
        with Jevons(tmp_path / f"home{times}", table, environ=environ) as jevons:
            gateway = Gateway(jevons, secure)
            assert gateway.post("chat", gateway.key(), body_of("chat", "gpt-4o")).status == 200
            jevons.run("keys", "list")
            jevons.run("keys", "create", "through-admin")
        assert asked == [f"127.0.0.1:{secure.port}"] * times


def test_the_local_model_is_asked_directly(proxy: tuple[str, list[str]], tmp_path: Path) -> None:
    """Whatever HTTP_PROXY says: prompts to a model on this machine do not leave it."""
    import importlib.util  # noqa: PLC0415

    from jevons.engine.install import install_command  # noqa: PLC0415
    from jevons.engine.models import find_model  # noqa: PLC0415

    if not importlib.util.find_spec("xllamacpp") or not find_model():
        pytest.skip(f"needs the local model: {install_command()}")
    address, asked = proxy
    environ = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), address) | {
        "NO_PROXY": "",
        "no_proxy": "",
    }
    with Provider() as unused, Jevons(tmp_path / "home", engine=True, environ=environ) as jevons:
        gateway = Gateway(jevons, unused)
        with openai.OpenAI(base_url=jevons.openai_url, api_key=gateway.key().secret, max_retries=0) as client:
            answer = client.chat.completions.create(model="local", messages=[{"role": "user", "content": "Hi"}], max_tokens=4)
    assert answer.choices[0].finish_reason in ("length", "stop")
    assert asked == []


@pytest.mark.parametrize("base", ["/k/{key}/run/fix-login", "/run/fix-login"])
def test_a_run_can_be_named_in_the_base_path(gateway: Gateway, key: Key, base: str) -> None:
    """For a client that can be told nothing but a base URL."""
    path = base.format(key=key.secret) + "/v1/chat/completions"
    headers = {"content-type": "application/json"} | ({} if "{key}" in base else {"authorization": f"Bearer {key.secret}"})
    got = ask(gateway.url, "POST", path, json.dumps(body_of("chat", "gpt-4o")).encode(), headers)
    assert got.status == 200
    assert gateway.entry_of(got)["run_id"] == got.headers["x-jevons-run-id"] == "fix-login"
