"""What is kept of questions and answers: nothing without consent; with it, sealed, of whole answers to requests that stand by themselves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jevons.ledger.bill import check
from jevons.ledger.capture import FILE, SECRET, Captured, Example
from jevons.ledger.home import Home
from tests.gateway.asking import Gateway, Got, Key
from tests.gateway.governing import wait_until
from tests.gateway.schooling import scripted
from tests.provider import Provider
from tests.running import Jevons, upstream

SAID = "Please keep the blue parrot secret"
ANSWER = "The parrot is kept under the stairs."


def teacher(standin: Provider) -> dict[str, Any]:
    return upstream("openai", standin.openai_url, models=("gpt-*",), retries=0)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Provider(bodies=True) as standin:
        home = tmp_path_factory.mktemp("capturing") / "home"
        with Jevons(home, teacher(standin), capture={"orgs": ["school"]}) as jevons:
            yield Gateway(jevons, standin)
            assert check(jevons.ledger) == []
            assert "Traceback" not in jevons.log()


def asked(gateway: Gateway, key: Key, question: str = SAID, reply: str = ANSWER, door: str = "chat", **members: Any) -> Got:
    body = {"model": "gpt-4o", "max_tokens": 50, "messages": [{"role": "user", "content": question}]} | members
    got = gateway.post(door, key, body, **scripted(reply))
    assert got.status == 200, got.body
    return got


def kept(jevons: Jevons, org: str = "school") -> list[Example]:
    home = Home(jevons.home)
    captured = Captured(home.path / FILE, home.secret(SECRET))
    try:
        return list(captured.read(org))
    finally:
        captured.close()


def on_disk(home: Path, *said: str) -> list[Path]:
    files = [path for path in home.rglob("*") if path.is_file()]
    return [path for path in files if any(one.encode() in path.read_bytes() for one in said)]


def test_without_consent_nothing_is_kept(gateway: Gateway) -> None:
    other, pupil = gateway.key(org="elsewhere"), gateway.key(org="school")
    asked(gateway, other, f"{SAID} of elsewhere")
    asked(gateway, pupil, "What is kept of the other?")
    wait_until(lambda: any(one.key_id == pupil.id for one in kept(gateway.jevons)))
    assert kept(gateway.jevons, "elsewhere") == [] and on_disk(gateway.jevons.home, "blue parrot", "under the stairs") == []


def test_where_nobody_consents_there_is_no_file(tmp_path: Path) -> None:
    with Provider() as standin, Jevons(tmp_path / "home", teacher(standin)) as jevons:
        gateway = Gateway(jevons, standin)
        asked(gateway, gateway.key(org="school"))
        jevons.stop()
        assert not (jevons.home / FILE).exists() and on_disk(jevons.home, "blue parrot", "under the stairs") == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("door", ["chat", "messages"])
def test_with_consent_it_is_kept_sealed(gateway: Gateway, door: str, stream: bool) -> None:
    key = gateway.key(org="school")
    asked(gateway, key, door=door, stream=stream)
    wait_until(lambda: any(one.key_id == key.id for one in kept(gateway.jevons)))
    [one] = [one for one in kept(gateway.jevons) if one.key_id == key.id]
    said = ANSWER if door == "chat" else f"You said: {SAID}"  # a translated request takes no header of its client along
    assert (one.question, one.answer, one.model, one.ok, one.even) == (SAID, said, "gpt-4o", True, True)
    assert one.features.dialect == door and one.template == ""
    assert on_disk(gateway.jevons.home, "blue parrot", "under the stairs") == []


def test_what_does_not_stand_by_itself_is_not_kept_and_a_cut_answer_is_marked(gateway: Gateway) -> None:
    key = gateway.key(org="school")
    earlier = [{"role": r, "content": "Earlier."} for r in ("user", "assistant")]
    asked(gateway, key, messages=[*earlier, {"role": "user", "content": SAID}])
    asked(gateway, key, n=2)
    asked(gateway, key, max_tokens=3)
    asked(gateway, key, messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": SAID}])
    wait_until(lambda: sum(one.key_id == key.id for one in kept(gateway.jevons)) == 2)
    cut, instructed = [one for one in kept(gateway.jevons) if one.key_id == key.id]
    assert not cut.ok and instructed.ok
    assert len(instructed.template) == 16 and cut.template == ""


def test_what_waits_is_kept_when_the_gateway_stops(tmp_path: Path) -> None:
    with Provider() as standin, Jevons(tmp_path / "home", teacher(standin), capture={"keys": ["pupil"]}) as jevons:
        gateway = Gateway(jevons, standin)
        key = Key(0, "pupil", jevons.key("pupil"))
        for number in range(20):
            asked(gateway, key, f"{SAID}, {number}")
        jevons.stop()
        assert len(kept(jevons, "default")) == 20
