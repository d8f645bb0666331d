"""The approval page: a person without a command line answers with the admin token, and nobody else can."""

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import pytest

from jevons.core.limits import APPROVAL_ATTEMPTS_PER_MINUTE_MAX, APPROVAL_FORM_BYTES_MAX
from jevons.gateway.approvals import Attempts
from jevons.ledger.home import Home
from tests.gateway.asking import Gateway, Got, Key, ask
from tests.gateway.operating import asking_limit
from tests.provider import Provider
from tests.running import Jevons, upstream


class Page(HTMLParser):
    """Its elements with their attributes, and its text."""

    def __init__(self, got: Got) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(got.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


class Asked:
    """A question, as whoever made the call is told of it."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.key, self.limit, self.call = asking_limit(gateway)
        refused = self.ask_again()
        assert refused.status == 402, refused.body
        self.told: dict[str, Any] = refused.error["jevons"]
        self.path = self.told["approval_url"].removeprefix(gateway.url)
        self.token = Home(gateway.jevons.home).admin_token()

    def ask_again(self) -> Got:
        return self.gateway.post("chat", self.key, self.call)

    def look(self) -> Got:
        return ask(self.gateway.url, "GET", self.path)

    def answer(self, token: str, answer: str = "approve") -> Got:
        form = urlencode({"token": token, "answer": answer}).encode()
        return ask(self.gateway.url, "POST", self.path, form, {"content-type": "application/x-www-form-urlencoded"})

    def state(self) -> str:
        found = self.gateway.admin("GET", "/approvals").json["approvals"]
        return str(next(one["state"] for one in found if one["id"] == self.told["approval"]))


@pytest.fixture
def asked(gateway: Gateway) -> Asked:
    return Asked(gateway)


def test_the_page_says_what_is_asked_and_what_a_yes_grants(asked: Asked) -> None:
    got = asked.look()
    assert got.status == 200
    page = Page(got)
    for word in (asked.key.name, asked.limit, "A yes grants", "$0.000000001 more", "UTC", "Waiting for an answer"):
        assert word in page.text, word
    [form] = page.named("form")
    assert (form["method"], form["action"]) == ("post", asked.path)
    [field] = page.named("input")
    assert (field["type"], field["name"], field.get("value")) == ("password", "token", None)
    assert [(button["name"], button["value"]) for button in page.named("button")] == [("answer", "deny"), ("answer", "approve")]


def test_nothing_on_it_runs_or_comes_from_elsewhere(asked: Asked) -> None:
    got = asked.look()
    assert not [tag for tag, attributes in Page(got).elements if tag == "script" or {"src", "href", "style"} & set(attributes)]
    assert got.headers["cache-control"] == "no-store"
    rules = dict(rule.strip().split(" ", 1) for rule in got.headers["content-security-policy"].split(";"))
    assert (rules["default-src"], rules["frame-ancestors"], rules["form-action"]) == ("'none'", "'none'", "'self'")
    assert rules["style-src"].startswith("'sha256-")
    assert (got.headers["referrer-policy"], got.headers["x-content-type-options"]) == ("no-referrer", "nosniff")
    assert "set-cookie" not in got.headers


def test_a_yes_with_the_token_lets_the_call_through(asked: Asked) -> None:
    got = asked.answer(asked.token)
    assert (got.status, got.headers["location"], got.headers["cache-control"]) == (303, asked.path, "no-store")
    assert "Approved" in Page(asked.look()).text
    assert asked.state() == "approved"
    assert asked.ask_again().status == 200


def test_a_no_can_become_a_yes(asked: Asked) -> None:
    assert asked.answer(f" {asked.token}\n", "deny").status == 303
    assert "Denied" in Page(asked.look()).text
    refused = asked.ask_again()
    assert (refused.status, refused.error["jevons"]["approval"]) == (402, asked.told["approval"])
    assert asked.answer(asked.token).status == 303
    assert asked.ask_again().status == 200


def test_the_token_alone_answers(asked: Asked) -> None:
    """Not a client's key, not the token in a header or in the query, not half of it."""
    for wrong in ("", asked.token[:-1], asked.key.secret):
        got = asked.answer(wrong)
        assert got.status == 403
        assert "not the admin token" in Page(got).text
        assert asked.token not in got.body.decode()
    form = urlencode({"answer": "approve"}).encode()
    headers = {"authorization": f"Bearer {asked.token}", "content-type": "application/x-www-form-urlencoded"}
    assert ask(asked.gateway.url, "POST", f"{asked.path}?token={asked.token}", form, headers).status == 403
    assert asked.state() == "pending"
    assert asked.ask_again().status == 402


def test_a_form_without_an_answer_changes_nothing(asked: Asked) -> None:
    got = asked.answer(asked.token, "perhaps")
    assert (got.status, "Nothing was changed" in Page(got).text) == (400, True)
    assert asked.state() == "pending"
    assert ask(asked.gateway.url, "POST", asked.path, b"x" * (APPROVAL_FORM_BYTES_MAX + 1), {}).status == 413
    assert ask(asked.gateway.url, "POST", asked.path, b"\xff\xfe&token=%ff", {}).status == 403
    assert ask(asked.gateway.url, "PUT", asked.path, b"", {}).status == 405


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", ["none", "<script>alert(1)<%2Fscript>", "apr_", "..%2Fadmin%2Fkeys"])
def test_a_question_that_is_not_there(gateway: Gateway, method: str, name: str) -> None:
    got = ask(gateway.url, method, f"/jevons/v1/approvals/{name}", b"" if method == "POST" else None)
    assert got.status == 404
    assert got.headers["content-type"].startswith(("text/plain", "application/json"))
    assert got.headers["x-content-type-options"] == "nosniff"


def test_what_clients_chose_is_text_and_nothing_else(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A run's label may be any visible ASCII; the page shows it as it is."""
    table = upstream("openai", standin.openai_url, models=("gpt-*",), retries=0)
    limits = [{"name": "asks", "scope": "run", "usd": 1, "approve": 0}]
    label = "<script>alert(1)</script>&amp;\"'$question"
    with Jevons(tmp_path_factory.mktemp("page") / "home", table, limits=limits) as jevons:
        gateway = Gateway(jevons, standin)
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
        refused = gateway.post("chat", gateway.key(), body, x_jevons_run_id=label)
        assert refused.status == 402, refused.body
        got = ask(gateway.url, "GET", refused.error["jevons"]["approval_url"].removeprefix(gateway.url))
    page = Page(got)
    assert label in page.text
    assert not page.named("script")


def test_wrong_tokens_are_counted(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> None:
    """After some of them within a minute even the right one has to wait; the command line has not."""
    table = upstream("openai", standin.openai_url, models=("gpt-*",), retries=0)
    with Jevons(tmp_path_factory.mktemp("tries") / "home", table) as jevons:
        asked = Asked(Gateway(jevons, standin))
        for _ in range(APPROVAL_ATTEMPTS_PER_MINUTE_MAX):
            assert asked.answer("wrong").status == 403
        got = asked.answer(asked.token)
        assert got.status == 429
        assert 1 <= int(got.headers["retry-after"]) <= 60
        assert f"jevons approve {asked.told['approval']}" in Page(got).text
        assert asked.state() == "pending"
        assert "Approved" in jevons.run("approve", asked.told["approval"])
        assert asked.ask_again().status == 200


def test_a_minute_of_attempts() -> None:
    now = 100.0
    attempts = Attempts(lambda: now)
    for _ in range(APPROVAL_ATTEMPTS_PER_MINUTE_MAX):
        assert attempts.wait_s() == 0
        attempts.failed()
        now += 1
    assert attempts.wait_s() == 60 - APPROVAL_ATTEMPTS_PER_MINUTE_MAX
    now = 159.5
    assert attempts.wait_s() == 1
    now = 160.0
    assert attempts.wait_s() == 0
    attempts.failed()
    assert attempts.wait_s() == 1


def test_the_page_has_the_gateways_own_hosts_only(asked: Asked) -> None:
    got = ask(asked.gateway.url, "GET", asked.path, None, {"host": "evil.example"})
    assert (got.status, got.error["code"]) == (403, "unknown_host")


def test_a_key_in_the_path_opens_nothing(asked: Asked, any_key: Key) -> None:
    assert re.match(r"/jevons/v1/approvals/apr_[\w-]{22}$", asked.path)
    assert ask(asked.gateway.url, "GET", f"/k/{any_key.secret}{asked.path}").status in (401, 404)
