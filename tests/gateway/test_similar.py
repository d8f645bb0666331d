"""Answers to similar requests through a real gateway: who is given one, what teaches it, what checking costs and when it stops."""

import http.client
import itertools
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jevons.ledger.bill import check, open_holds
from tests.gateway.asking import PATHS, Gateway, Got, Key, body_of, connection, marker
from tests.gateway.governing import killed, limit, wait_until
from tests.gateway.test_leaving import hang_up
from tests.provider import Provider
from tests.running import ROOT, Jevons, upstream

SIMILAR = {"x-jevons-cache": "semantic"}
ANSWER, OTHERWISE = "A new card comes within a week.", "No cards are made any more."
BEGINNINGS = (
    "How do I get",
    "How can I get",
    "Where do I get",
    "Please tell me how to get",
    "Hello, how do I get",
    "How would one get",
)
THINGS = ("a new card", "another card", "a replacement card", "a second card", "a new bank card", "a card that works")
ENDS = ("", " please", " for the account", " quickly", " in this bank", " by post", " from you", " at the branch")
LEARNS_IN = 280
"""Requests after which an answer that was never wrong is given; about eighty are needed."""
CHECKED_IN = 500
"""Hits of which one is checked, but for one test in four million."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    cache = {"semantic": {"enabled": True, "delta": 0.1, "orgs": ["listed"]}}
    with Provider(bodies=True) as standin:
        table = [
            upstream("openai", standin.openai_url, models=("gpt-*",), retries=0),
        ]
        with Jevons(tmp_path_factory.mktemp("similar") / "home", *table, cache=cache) as jevons:
            yield Gateway(jevons, standin)
        assert check(jevons.ledger) == [] and open_holds(jevons.ledger) == []
        assert "Traceback" not in jevons.log() and "Preparing the semantic cache" in jevons.log()
        for path in (path for path in jevons.home.rglob("*") if path.is_file()):
            assert not any(said in path.read_bytes() for said in (ANSWER.encode(), OTHERWISE.encode(), b"replacement card")), path


def letters() -> str:
    """A marker that is not taken for anybody's telephone number."""
    return marker().translate(str.maketrans("0123456789", "ghijklmnop"))


@pytest.fixture
def key(gateway: Gateway) -> Key:
    """Of an organisation of its own: nothing is known of it yet."""
    return gateway.key(1000 * 10**9, org=marker())


class Asker:
    """Asks the same in ever other words; the script stands in all of them, and is a part of what must be the same."""

    def __init__(
        self, gateway: Gateway, key: Key, door: str = "chat", name: str = "", headers: dict[str, str] = SIMILAR, **members: Any
    ) -> None:
        self.gateway, self.key, self.door, self.name, self.members = gateway, key, door, name or letters(), members
        self._headers = headers
        texts = list(itertools.product(BEGINNINGS, THINGS, ENDS))
        random.Random(1865).shuffle(texts)
        self._texts = itertools.cycle(f"{a} {b}{c}?" for a, b, c in texts)

    def body(self, text: str = "", stream: bool = False) -> dict[str, Any]:
        said = f"{text or next(self._texts)} @@{json.dumps({'marker': self.name, 'reply': ANSWER})}"
        stored = {"store": False} if self.door == "responses" else {}
        return body_of(self.door, "gpt-4o", stream, text=said) | self.members | stored

    def post(self, text: str = "", stream: bool = False, **headers: str) -> Got:
        return self.gateway.post(self.door, self.key, self.body(text, stream), **(self._headers | headers))

    @contextmanager
    def leaving(self, body: dict[str, Any]) -> Iterator[http.client.HTTPConnection]:
        """Asked; and gone at the end of the block, answered or not."""
        with connection(self.gateway.url) as wire:
            wire.request("POST", PATHS[self.door], json.dumps(body), self.gateway.headers(self.key, **self._headers))
            yield wire
            if wire.sock is not None:
                hang_up(wire.sock)

    def word(self, text: str = "", stream: bool = False, **headers: str) -> str:
        got = self.post(text, stream, **headers)
        assert got.status == 200, got.body
        return got.headers["x-jevons-cache"]

    def given(self) -> Got:
        """The first answer that was made for another question."""
        return next(got for _ in range(LEARNS_IN) if (got := self.post()).headers["x-jevons-cache"] == "semantic")

    def sent(self) -> int:
        return len(self.gateway.attempts(self.name))


@pytest.fixture(scope="module")
def taught(gateway: Gateway) -> "Asker":
    """One whose organisation's answers are given already."""
    asker = Asker(gateway, gateway.key(1000 * 10**9, org="taught"))
    asker.given()
    return asker


def checks(gateway: Gateway, key: Key) -> list[dict[str, Any]]:
    return [entry for entry in gateway.entries(key) if any(line["kind"] == "check" for line in entry["savings"])]


def status(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.admin("GET", "/cache").json["similar"]
    return found


@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
def test_what_was_always_right_is_given(gateway: Gateway, taught: Asker, door: str) -> None:
    """Messages are translated for this model; what is given is in the words of its own door."""
    asker = Asker(gateway, taught.key, door)
    first, given = asker.post(), asker.given()
    assert first.headers["x-jevons-cache"] == "miss"
    assert ANSWER in given.body.decode() and 0.3 < float(given.headers["x-jevons-similarity"]) <= 1
    assert given.headers["x-jevons-cost-nusd"] == "0" and "age" in given.headers
    paid, free = gateway.entry_of(first), gateway.entry_of(given)
    assert free["outcome"] == "cached" and free["billed_nusd"] == 0
    [line] = free["savings"]
    assert line["kind"] == "answer_semantic" and line["estimated"] and line["nusd"] == free["baseline_nusd"] > 0
    assert abs(line["nusd"] / paid["list_nusd"] - 1) < 0.5, "what the answer that was given had cost"
    streams = [asker.post(stream=True) for _ in range(5)]
    told = next(got for got in streams if got.headers["x-jevons-cache"] == "semantic")
    assert told.whole and told.headers["content-type"].startswith("text/event-stream") and ANSWER.encode() in told.body


def checked(taught: Asker, **headers: str) -> None:
    """Ask until a hit is checked."""
    begun = status(taught.gateway)["checks_begun"]
    for _ in range(CHECKED_IN):
        taught.word(**headers)
        if status(taught.gateway)["checks_begun"] > begun:
            return
    raise AssertionError(f"none of {CHECKED_IN} was checked")


def test_hits_are_checked_for_ever(gateway: Gateway, taught: Asker) -> None:
    """Some are asked again behind the client's back: a call of its own, charged to the key, a line against what the cache saves."""
    before = status(gateway)["checked"]
    checked(taught, x_jevons_run_id="run-of-an-agent")
    wait_until(lambda: status(gateway)["checked"] > before)
    entry = checks(gateway, taught.key)[-1]
    [line] = entry["savings"]
    assert entry["outcome"] == "ok" and line["nusd"] == -entry["list_nusd"] < 0 and entry["baseline_nusd"] == 0
    assert entry["run_id"] is None, "an agent's run takes no step by it"
    posted = sum(one["billed_nusd"] for one in gateway.entries(taught.key))
    assert gateway.account(taught.key)["posted_nusd"] == posted
    shown, known = gateway.jevons.run("cache", "status"), status(gateway)
    assert f"{known['checked']} of these were checked, {known['checked_wrong']} wrong: about 0 % of the requests" in shown
    assert f"{known['served']:,} got the answer to a similar one" in shown
    assert "At most 10 % may be answered wrongly (delta)" in shown


def test_without_money_a_hit_that_is_to_be_checked_is_none(gateway: Gateway, taught: Asker) -> None:
    """It goes the way of any request, to the same limit; what is not to be checked costs nothing, and is given."""
    poor = Asker(gateway, gateway.key(1, org="taught"), name=taught.name)
    begun, sent = status(gateway)["checks_begun"], taught.sent()
    given, refused = 0, None
    for _ in range(CHECKED_IN):
        got = poor.post()
        if got.status != 200:
            refused = got
        else:
            given += got.headers["x-jevons-cache"] == "semantic"
        if refused is not None and given:  # either may be first
            break
    assert refused is not None and refused.status == 402 and given
    assert status(gateway)["checks_begun"] == begun and taught.sent() == sent
    assert gateway.account(poor.key)["posted_nusd"] == gateway.account(poor.key)["held_nusd"] == 0


def slow_check(taught: Asker, delay_ms: int) -> None:
    """Ask until a check is under way that the provider is slow to answer."""
    gateway, name, slow = taught.gateway, marker(), 0
    begun = status(gateway)["checks_begun"]
    while status(gateway)["checks_begun"] == begun:
        if len(gateway.attempts(name)) == slow:  # a question that was given no answer had it: it is asked with patience
            gateway.provider.script({"marker": name, "reply": ANSWER, "first_delay_ms": delay_ms})
            slow += 1
        taught.word()
    wait_until(lambda: len(gateway.attempts(name)) == slow)


def test_a_kill_cuts_a_check(gateway: Gateway, taught: Asker) -> None:
    slow_check(taught, delay_ms=2_000)
    with killed(gateway, f"key:{taught.key.name}"):
        wait_until(lambda: status(gateway)["checks_under_way"] == 0)
    entry = checks(gateway, taught.key)[-1]
    assert entry["outcome"] == "stopped" and gateway.account(taught.key)["held_nusd"] == 0


def test_who_is_refused_an_answer_has_none_checked(gateway: Gateway, taught: Asker) -> None:
    """Nothing is spent for a run that may not go on, and what was foreseen for it is there for others."""
    asker = Asker(gateway, gateway.key(1000 * 10**9, org="taught"), name=taught.name)
    limit(gateway, asker.key, scope="run", context_tokens=1)
    before = status(gateway)
    assert {asker.post(x_jevons_run_id="too-long").status for _ in range(250)} == {402}
    after = status(gateway)
    assert (after["checks_begun"], after["served"]) == (before["checks_begun"], before["served"])
    assert after["looked"] > before["looked"] and gateway.entries(asker.key) == []


def test_nothing_is_checked_for_who_does_not_want_the_provider_asked(gateway: Gateway, taught: Asker) -> None:
    """What is there is given."""
    begun = status(gateway)["checks_begun"]
    answers = [taught.post(cache_control="only-if-cached") for _ in range(250)]
    assert not [got.body for got in answers if b"could not be checked" in got.body]
    assert any(got.headers["x-jevons-cache"] == "semantic" for got in answers) and status(gateway)["checks_begun"] == begun


def test_for_a_client_that_has_left_nothing_is_checked(gateway: Gateway, taught: Asker) -> None:
    """The check waits for money that another call holds. When it is there, nobody is given what was to be checked."""
    poor = Asker(gateway, gateway.key(2_500_000, org="taught"), name=taught.name)
    begun, name = status(gateway)["checks_begun"], marker()
    with poor.leaving(body_of("chat", "gpt-4o", cap=200, marker=name, reply="late", first_delay_ms=30_000, stream=True)):
        wait_until(lambda: gateway.attempts(name))
        assert any(waits_for_its_check(poor) for _ in range(CHECKED_IN))
        assert status(gateway)["checks_begun"] == begun
    wait_until(lambda: status(gateway)["checks_under_way"] == gateway.account(poor.key)["held_nusd"] == 0)
    assert status(gateway)["checks_begun"] == begun


def waits_for_its_check(asker: Asker) -> bool:
    """Ask, and leave if that is so."""
    with asker.leaving(asker.body(stream=True)) as wire:
        assert wire.sock is not None
        wire.sock.settimeout(0.3)
        try:
            wire.getresponse().read()
        except TimeoutError:
            return bool(status(asker.gateway)["checks_under_way"])
    return False


def test_tools_the_time_and_persons_are_never_compared(gateway: Gateway, taught: Asker) -> None:
    before = status(gateway)
    for text in ("What is the weather like today?", "How do I get a new card, my name is Ada?", "Who is the president now?"):
        assert [taught.word(text), taught.word(text)] == ["miss", "hit"], "the very same request is another matter"
    tool = {"type": "function", "function": {"name": "card", "parameters": {"type": "object"}}}
    with_tool = Asker(gateway, taught.key, name=taught.name, tools=[tool])
    assert {with_tool.word() for _ in range(5)} == {"miss"}
    after = status(gateway)
    assert after["looked"] == before["looked"] and after["unfit"] == before["unfit"] + 8


def test_all_but_the_question_must_be_the_same(gateway: Gateway, taught: Asker) -> None:
    """What was learnt of answers holds for the whole organisation; the answers themselves are for the same context only."""
    for members in ({"max_tokens": 99}, {"temperature": 0.3}, {"frequency_penalty": 1}, {"model": "gpt-4o-mini"}):
        assert Asker(gateway, taught.key, name=taught.name, **members).word("How do I get a brand new card?") == "miss", members
    assert {taught.word(f"How do I get card {number}?") for number in range(5)} == {"miss"}, "a number is what it is"
    assert taught.word("How do I not get a new card?") == "miss"


def test_organisations_learn_apart(gateway: Gateway, taught: Asker) -> None:
    org = marker()
    stranger = Asker(gateway, gateway.key(1000 * 10**9, org=org), name=taught.name)
    assert {stranger.word() for _ in range(10)} == {"miss"}
    said = f"Forgot 10 answers of {org}, and 10 questions of the semantic cache with what they taught.\n"
    assert gateway.jevons.run("cache", "clear", "--org", org) == said


def test_who_is_listed_asks_without_a_header(gateway: Gateway) -> None:
    listed = Asker(gateway, gateway.key(1000 * 10**9, org="listed"), headers={})
    before = status(gateway)
    assert [listed.word(), listed.word()] == ["miss", "miss"]
    after = status(gateway)
    assert after["looked"] == before["looked"] + 2 and after["right"] == before["right"] + 1


def test_who_is_contradicted_is_given_no_more(gateway: Gateway, key: Key) -> None:
    """The provider says something else from now on: checks find it out, and what is cached is not believed until it is proved again."""
    asker = Asker(gateway, key)
    asker.given()
    before, name, queued, words = status(gateway), marker(), 0, list[str]()
    while len(words) < 8 or "semantic" in words[-8:]:
        assert len(words) < CHECKED_IN
        if len(gateway.attempts(name)) == queued:
            gateway.provider.script({"marker": name, "reply": OTHERWISE})
            queued += 1
        words.append(asker.word())
    assert status(gateway)["wrong"] > before["wrong"]
    while len(gateway.attempts(name)) < queued:  # nobody else shall be told so
        asker.word()


def test_a_stop_cuts_a_check(gateway: Gateway, taught: Asker) -> None:
    """It is under way when this module's gateway is stopped, and settled when that has ended: see the fixture."""
    slow_check(taught, delay_ms=15_000)
    assert status(gateway)["checks_under_way"] == 1


def test_without_its_extra_it_says_what_to_install(tmp_path: Path) -> None:
    missing = "numba"
    (tmp_path / f"{missing}.py").write_text(f"raise ModuleNotFoundError('No module named {missing}', name='{missing}')")
    environ = {"PYTHONPATH": f"{tmp_path}:{ROOT / 'src'}"}
    home = tmp_path / "home"
    with pytest.raises(RuntimeError) as failed, Jevons(home, environ=environ, cache={"semantic": {"enabled": True}}):
        pass
    said = str(failed.value)
    assert (
        f"needs {missing}" in said and "-m pip install" in said and "embed/requirements.txt" in said and "Traceback" not in said
    )


def test_without_kept_answers_there_is_nothing_to_give(tmp_path: Path) -> None:
    cache = {"semantic": {"enabled": True}, "answers": {"ram_mib": 0}}
    with pytest.raises(RuntimeError, match="set ram_mib of") as failed, Jevons(tmp_path / "home", cache=cache):
        pass
    assert "Traceback" not in str(failed.value)
