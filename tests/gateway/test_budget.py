"""A key's total limit: what is refused, what is clamped, what waits, at any concurrency. Money is read from the answers themselves."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from jevons.gateway.clients import FAMILIES, Family
from tests.gateway.asking import Gateway, Key, body_of, marker
from tests.gateway.test_leaving import hang_up
from tests.provider.bare import connected, read_until, request_bytes

STOPPED = [family for family in FAMILIES if family.status is not None]
EXAMPLES = {"codex": "codex_cli_rs", "aider": "aider/0.86.2 litellm", "litellm": "litellm/1.83.0", "openai-raw": "true"}


def hold_of(gateway: Gateway, body: dict[str, Any], door: str = "chat") -> int:
    """What such a call holds, in nano-USD, under a key that can afford it."""
    key = gateway.key(10**15)
    return int(gateway.entry_of(gateway.post(door, key, body))["held_nusd"])


def spent_key(gateway: Gateway, **settings: Any) -> Key:
    return gateway.key(1000, **settings)


@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_spent_key_is_refused_in_dialect(gateway: Gateway, door: str, stream: bool) -> None:
    """Scope, limit, spent, held, what is needed, and what to do about it; nothing is sent."""
    key = spent_key(gateway)
    model = "claude-sonnet-4-5" if door == "messages" else "gpt-4o"
    mark = marker()
    got = gateway.post(door, key, body_of(door, model, stream, marker=mark))
    assert (got.status, got.headers["x-should-retry"]) == (402, "false")
    assert "retry-after" not in got.headers
    assert got.error["type"] == ("billing_error" if door == "messages" else "insufficient_quota")
    standing = got.error["jevons"]
    assert (standing["scope"], standing["limit_nusd"]) == (f"key:{key.name}", 1000)
    assert (standing["spent_nusd"], standing["held_nusd"]) == (0, 0)
    assert standing["needed_nusd"] > 1000
    assert f"jevons keys limit {key.name}" in got.error["message"]
    assert gateway.entries_of(got) == []
    assert gateway.attempts(mark) == []


def test_the_limit_is_met_exactly(gateway: Gateway) -> None:
    """A limit of just the hold admits; one nano-dollar less cuts the cap."""
    body = body_of("chat", "gpt-4o", cap=1000, reply="one two")
    held = hold_of(gateway, body)
    got = gateway.post("chat", gateway.key(held), body)
    assert (got.status, "x-jevons-output-cap" in got.headers) == (200, False)
    got = gateway.post("chat", gateway.key(held - 1), body)
    assert (got.status, got.headers["x-jevons-output-cap"]) == (200, "999")


@pytest.mark.parametrize(
    ("door", "field"), [("chat", "max_tokens"), ("messages", "max_tokens"), ("responses", "max_output_tokens")]
)
def test_a_cap_is_cut_to_what_can_be_afforded(gateway: Gateway, door: str, field: str) -> None:
    """The provider is told, the client too, and the answer fits the limit."""
    model = "claude-sonnet-4-5" if door == "messages" else "gpt-4o"
    mark = marker()
    body = body_of(door, model, cap=5000, marker=mark, tokens_out=4000)
    key = gateway.key(hold_of(gateway, body | {field: 500}, door))
    got = gateway.post(door, key, body)
    cap = int(got.headers["x-jevons-output-cap"])
    assert cap == 500
    assert json.loads(gateway.attempts(mark)[-1].body)[field] == cap
    entry = gateway.entry_of(got)
    assert entry["output"] == cap
    account = gateway.account(key)
    assert account["posted_nusd"] <= account["limit_nusd"]
    assert account["overrun_nusd"] == 0


def test_every_cap_field_that_was_sent_is_cut(gateway: Gateway) -> None:
    mark = marker()
    body = body_of("chat", "gpt-4o", cap=5000, marker=mark) | {"max_completion_tokens": 9000}
    gateway.post("chat", gateway.key(hold_of(gateway, body_of("chat", "gpt-4o", cap=600, marker=mark))), body)
    sent = json.loads(gateway.attempts(mark)[-1].body)
    assert sent["max_tokens"] == sent["max_completion_tokens"] < 700


def test_a_cap_is_never_cut_below_the_thinking_budget(gateway: Gateway) -> None:
    body = body_of("messages", "claude-sonnet-4-5", cap=8000) | {"thinking": {"type": "enabled", "budget_tokens": 4000}}
    held = hold_of(gateway, body | {"max_tokens": 5024}, "messages")
    assert gateway.post("messages", gateway.key(held), body).headers["x-jevons-output-cap"] == "5024"
    assert gateway.post("messages", gateway.key(held - 1), body).status == 402


def test_the_keys_own_default_cap(gateway: Gateway) -> None:
    key = gateway.key(10**12, default_output_tokens=77)
    assert gateway.post("chat", key, body_of("chat", "gpt-4o", cap=None)).headers["x-jevons-output-cap"] == "77"


def test_sixteen_uncapped_calls_with_money_for_sixteen(gateway: Gateway) -> None:
    """At the default cap; all at once; all served."""
    held = hold_of(gateway, body_of("chat", "gpt-4o", cap=8192, reply="one", delay_ms=30, marker=marker()))
    key = gateway.key(16 * held + 16 * 1000_000)
    bodies = [body_of("chat", "gpt-4o", cap=None, reply="one", delay_ms=30, marker=marker()) for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: gateway.post("chat", key, body), bodies))
    assert [got.status for got in answers] == [200] * 16
    assert {got.headers["x-jevons-output-cap"] for got in answers} == {"8192"}


def test_256_calls_with_money_for_ten(gateway: Gateway) -> None:
    """The stand-in bills each at its whole hold (it never says what it used), so that no money comes back: ten get through."""
    mark = marker()
    body = body_of("chat", "gpt-4o", cap=50, reply="one", fault="usage_absent", marker=mark)
    key = gateway.key(10 * hold_of(gateway, body | {"user": "probe"}) + 1000)
    probes = len(gateway.attempts(mark))
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: gateway.post("chat", key, body), range(256)))
    statuses = [got.status for got in answers]
    assert statuses.count(200) == len(gateway.attempts(mark)) - probes == 10
    assert set(statuses) == {200, 402}
    account = gateway.account(key)
    assert account["posted_nusd"] <= account["limit_nusd"]
    assert (account["held_nusd"], account["overrun_nusd"]) == (0, 0)
    assert account["posted_nusd"] == sum(entry["billed_nusd"] for entry in gateway.entries(key))


def test_a_call_waits_for_an_open_hold(gateway: Gateway) -> None:
    """The money is there, another call holds it: the second goes on as soon as the first is settled."""
    first, second = marker(), marker()
    slow = body_of("chat", "gpt-4o", cap=1000, reply="one two", first_delay_ms=700, marker=first)
    key = gateway.key(hold_of(gateway, slow | {"user": "probe"}) + 500_000)
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(gateway.post, "chat", key, slow)
        while len(gateway.attempts(first)) < 2:
            pass
        late = pool.submit(gateway.post, "chat", key, body_of("chat", "gpt-4o", cap=1000, marker=second))
        assert [early.result().status, late.result().status] == [200, 200]
    assert late.result().headers.get("x-jevons-output-cap") is None


def test_a_call_that_waits_in_vain_is_told_to_come_back(gateway: Gateway) -> None:
    mark = marker()
    slow = {"reply": "one two three", "chunks": 3, "delay_ms": 1000, "marker": mark}
    body = body_of("chat", "gpt-4o", cap=500)
    key = gateway.key(hold_of(gateway, body) + 500_000)
    raw = request_bytes("chat", True, slow, key=key.secret).replace(b"host: x", b"host: localhost")
    with connected(int(gateway.url.rpartition(":")[2])) as sock:
        sock.sendall(raw)
        read_until(sock, b'"content":"one')
        got = gateway.post("chat", key, body)
        hang_up(sock)
    assert (got.status, got.error["code"], got.error["type"]) == (429, "holds_open", "rate_limit_error")
    assert int(got.headers["retry-after"]) >= 1
    assert "x-should-retry" not in got.headers
    assert got.error["jevons"]["held_nusd"] > 0
    gateway.settled(key, 1)


def test_an_account_over_its_limit_admits_nothing(gateway: Gateway) -> None:
    """A provider that ignores the cap: the excess is recorded, and blocks."""
    body = body_of("chat", "gpt-4o", cap=20, tokens_out=5000, ignore_cap=True)
    key = gateway.key(hold_of(gateway, body_of("chat", "gpt-4o", cap=40)))
    got = gateway.post("chat", key, body)
    account = gateway.account(key)
    assert got.status == 200
    assert account["overrun_nusd"] == account["posted_nusd"] - account["limit_nusd"] > 0
    assert gateway.entry_of(got)["billed_nusd"] == account["posted_nusd"]
    again = gateway.post("chat", key, body_of("chat", "gpt-4o", cap=16))
    assert again.status == 402
    counting = gateway.post("count_tokens", key, body_of("count_tokens", "claude-sonnet-4-5"))
    assert counting.status == 402


def test_n_answers_are_held_n_times(gateway: Gateway) -> None:
    one = hold_of(gateway, body_of("chat", "gpt-4o", cap=1000))
    five = hold_of(gateway, body_of("chat", "gpt-4o", cap=1000) | {"n": 5})
    assert five - one == pytest.approx(4 * 1000 * 10_000, abs=100_000)


@pytest.mark.parametrize("family", STOPPED, ids=[family.name for family in STOPPED])
@pytest.mark.parametrize("door", ["chat", "responses"])
def test_a_family_of_clients_is_stopped_its_own_way(gateway: Gateway, family: Family, door: str) -> None:
    """A row of data/clients.toml with a status."""
    key = spent_key(gateway)
    shows = {family.header: EXAMPLES[family.name]}
    got = gateway.post(door, key, body_of(door, "gpt-4o"), **shows)
    assert got.status == family.status
    assert got.error["type"] == "insufficient_quota"
    assert "retry-after" not in got.headers
    served = gateway.post(door, gateway.key(), body_of(door, "gpt-4o"), **shows)
    assert served.status == 200


def test_codex_is_told_in_an_event_of_its_stream(gateway: Gateway) -> None:
    """It shows the words of a failed response, and not those of a 429."""
    got = gateway.post(
        "responses", spent_key(gateway), body_of("responses", "gpt-4o") | {"stream": True}, originator="codex_exec"
    )
    assert (got.status, got.whole) == (200, True)
    name, _, data = got.body.decode().partition("\n")
    failed = json.loads(data.removeprefix("data: "))["response"]
    assert (name, failed["status"], failed["error"]["code"]) == ("event: response.failed", "failed", "invalid_prompt")
    assert "has spent" in failed["error"]["message"]
    chat = gateway.post("chat", spent_key(gateway), body_of("chat", "gpt-4o") | {"stream": True}, originator="codex_exec")
    assert chat.status == 429
    told = gateway.post(
        "responses",
        spent_key(gateway, denial_status=403),
        body_of("responses", "gpt-4o") | {"stream": True},
        originator="codex_exec",
    )
    assert told.status == 403


def test_opencode_finds_no_number_that_it_takes_for_a_status(gateway: Gateway) -> None:
    """It looks for them anywhere in a body, and tries again; people read the same words."""
    key = gateway.key(500_429_524)
    gateway.post("chat", key, body_of("chat", "gpt-4o", cap=20, tokens_out=60_000, ignore_cap=True))
    plain = gateway.post("chat", key, body_of("chat", "gpt-4o"), **{"user-agent": "opencode/1.18.33"})
    other = gateway.post("chat", key, body_of("chat", "gpt-4o"))
    assert "$0.500429524" in other.error["message"]
    assert re.search("429|50[0234]|524", plain.body.decode()) is None
    assert plain.error["message"].replace("\u2060", "") == other.error["message"]


@pytest.mark.parametrize("agent", ["opencode/1.18.33 ai-sdk/provider-utils/4.0.23 runtime/bun/1.3.14", "OpenAI/Python 3.54.0"])
def test_whoever_stops_at_402_gets_402(gateway: Gateway, agent: str) -> None:
    got = gateway.post("chat", spent_key(gateway), body_of("chat", "gpt-4o"), **{"user-agent": agent})
    assert (got.status, got.headers["x-should-retry"]) == (402, "false")


def test_a_keys_denial_status_wins(gateway: Gateway) -> None:
    key = spent_key(gateway, denial_status=403)
    for headers in ({}, {"originator": "codex_cli_rs"}):
        got = gateway.post("responses", key, body_of("responses", "gpt-4o"), **headers)
        assert (got.status, got.error["code"]) == (403, "insufficient_quota")


def test_a_family_does_not_change_other_refusals(gateway: Gateway) -> None:
    got = gateway.post("chat", gateway.key(), body_of("chat", "gtp-none"), originator="codex_cli_rs")
    assert got.status == 404


def test_an_unpriced_model_and_the_line_that_mends_it(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The message holds an override to paste; with it the model is served and charged."""
    from tests.running import Jevons, upstream  # noqa: PLC0415

    key = gateway.key()
    got = gateway.post("chat", key, body_of("chat", "gpt-99-unknown"))
    assert (got.status, got.error["code"]) == (400, "unknown_price")
    assert gateway.ids(key) == []
    line = got.error["message"].partition("prices.toml:\n")[2]
    home = tmp_path_factory.mktemp("priced") / "home"
    home.mkdir(mode=0o700)
    (home / "prices.toml").write_text(fill_in(line))
    with Jevons(home, upstream("openai", gateway.provider.openai_url, models=("gpt-*",))) as jevons:
        priced = Gateway(jevons, gateway.provider)
        served = priced.post("chat", priced.key(), body_of("chat", "gpt-99-unknown", tokens_out=1000))
        assert served.status == 200, served.body
        entry = priced.entry_of(served)
        assert entry["estimate"] == ""
        assert entry["billed_nusd"] > 0


def fill_in(line: str) -> str:
    """The operator writes a figure where the line has none."""
    return line.replace('"?"', '"1.5"')
