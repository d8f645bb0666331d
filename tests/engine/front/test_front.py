"""A real engine behind its front: conversations come back to their slots and out of the park, and tenants share nothing."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jevons.engine.front.labels import labels
from jevons.engine.park.sealing import tenant_tag
from jevons.engine.process import Engine
from jevons.engine.settings import EngineSettings, ParkSettings
from tests.engine.asking import READY_S, Asker

SECRET = b"0123456789abcdef"
SYSTEM = "You tell stories of steam engines, in few words. " * 12
SLOTS = 2
WAIT_S = 60.0


class Talker:
    """Asks one engine with the labels that a gateway would send."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def say(self, messages: list[dict[str, str]], org: str = "default", path: str = "/v1/chat/completions", **more: Any) -> Any:
        named = {"input": messages} if path.endswith("responses") else {"messages": messages}
        body = {"model": "local", **named, "temperature": 0, **({} if named.get("input") else {"max_tokens": 12}), **more}
        status, answer = self._asker(messages, org).post(path, body)
        assert status == 200, answer
        return answer

    def open(self, messages: list[dict[str, str]], org: str = "default", **more: Any) -> Any:
        return self._asker(messages, org).open("POST", "/v1/chat/completions", {"messages": messages, **more})

    def park(self) -> Any:
        return json.loads(self._asker([], "").get("/jevons/park")[1])

    def forget(self, org: str) -> None:
        status, _ = self._asker([], "").post_raw("/jevons/park/forget", tenant_tag(SECRET, org).hex().encode())
        assert status == 200

    def _asker(self, messages: list[dict[str, str]], org: str) -> Asker:
        asker = Asker(self._engine.base_url, self._engine.api_key)
        asker.headers |= dict(labels(SECRET, org, [json.dumps(message).encode() for message in messages]))
        return asker


@contextmanager
def running(**settings: Any) -> Iterator[Talker]:
    with asyncio.Runner() as runner:
        engine = Engine(EngineSettings(slots=SLOTS, context_tokens=1_024, **settings))

        async def begin() -> None:
            await engine.start()
            assert await engine.wait_ready(READY_S), engine.detail

        runner.run(begin())
        try:
            yield Talker(engine)
        finally:
            runner.run(engine.stop())


@pytest.fixture(scope="module")
def talker(parts: None) -> Iterator[Talker]:
    with running() as talker:
        yield talker


def conversation(name: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM + name}, {"role": "user", "content": f"Begin {name}."}]


def answered(messages: list[dict[str, str]], answer: Any) -> list[dict[str, str]]:
    """The next turn."""
    text = answer["choices"][0]["message"]["content"]
    return [*messages, {"role": "assistant", "content": text}, {"role": "user", "content": "Go on."}]


def cached(answer: Any) -> int:
    usage = answer["usage"]
    return int((usage.get("prompt_tokens_details") or usage["input_tokens_details"])["cached_tokens"])


def displace(talker: Talker, org: str = "default") -> None:
    """Other conversations take every slot; what they displaced is in the park when this returns."""
    kept = talker.park()["states_kept"]
    for place in range(SLOTS):
        talker.say([{"role": "user", "content": f"Something else entirely, number {place}, {kept}."}], org, max_tokens=1)
    until(lambda: talker.park()["states_kept"] > kept)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_next_turn_finds_its_slot(talker: Talker) -> None:
    messages = conversation("kept")
    first = talker.say(messages)
    second = talker.say(answered(messages, first))
    assert cached(second) >= first["usage"]["prompt_tokens"]


def test_a_lossless_park_gives_the_answer_of_a_conversation_that_never_left_its_slot(talker: Talker) -> None:
    """Token for token, with the very same probabilities. Both were computed in the same steps, which is what llama.cpp's last bits depend on."""
    messages = conversation("parked")
    answers = []
    for org, leaves in (("one", False), ("two", True)):
        turn = answered(messages, talker.say(messages, org))
        if leaves:
            displace(talker)
        filled = talker.park()["states_filled"]
        answers.append(talker.say(turn, org, logprobs=True))
        assert talker.park()["states_filled"] == filled + leaves
        assert cached(answers[-1]) > 100
    one, two = [
        [(token["token"], token["logprob"]) for token in answer["choices"][0]["logprobs"]["content"]] for answer in answers
    ]
    assert one == two


def test_conversations_that_share_a_beginning_do_not_take_each_others_end(talker: Talker) -> None:
    system = {"role": "system", "content": SYSTEM + "siblings"}
    turns = {}
    for name in ("first", "second"):
        messages = [system, {"role": "user", "content": f"The {name} question, which is another one."}]
        turns[name] = answered(messages, talker.say(messages))
        displace(talker)
    for name, turn in turns.items():
        whole = talker.say(turn, max_tokens=1)
        assert cached(whole) >= whole["usage"]["prompt_tokens"] - 20, name


def test_a_new_conversation_starts_from_the_system_prompt_of_another(talker: Talker) -> None:
    system = {"role": "system", "content": SYSTEM + "shared"}
    talker.say([system, {"role": "user", "content": "First question."}])
    displace(talker)
    other = talker.say([system, {"role": "user", "content": "Quite another question."}])
    assert cached(other) > 100
    displace(talker)
    depth = talker.park()
    third = talker.say([system, {"role": "user", "content": "And a third."}])
    assert cached(third) > 100
    assert talker.park()["tokens_filled"] - depth["tokens_filled"] < cached(third) + 256  # no more was given than is shared


def test_an_idle_slot_lends_what_nobody_parked_yet(talker: Talker) -> None:
    system = {"role": "system", "content": SYSTEM + "lent"}
    talker.say([system, {"role": "user", "content": "First question."}])
    other = talker.say([system, {"role": "user", "content": "Quite another question."}])
    assert cached(other) > 100


def test_tenants_share_neither_slot_nor_block(talker: Talker) -> None:
    messages = conversation("private")
    talker.say(messages, "one")
    assert cached(talker.say(messages, "two")) == 0
    displace(talker, "one")
    assert cached(talker.say(messages, "three")) == 0
    assert cached(talker.say(messages, "one")) > 100


def test_what_is_forgotten_is_nowhere(talker: Talker) -> None:
    for name, leaves in (("in the park", True), ("in its slot", False)):
        messages = conversation(f"forgotten {name}")
        talker.say(messages, "forgetful")
        if leaves:
            displace(talker, "somebody else")
        talker.forget("forgetful")
        assert cached(talker.say(messages, "forgetful")) == 0, name


def test_responses_are_placed_too(talker: Talker) -> None:
    messages = conversation("responses")
    first = talker.say(messages, path="/v1/responses", max_output_tokens=4)
    again = talker.say(messages, path="/v1/responses", max_output_tokens=4)
    assert cached(again) == first["usage"]["input_tokens"] - 1


def test_more_requests_than_slots_are_all_served(talker: Talker) -> None:
    with ThreadPoolExecutor(SLOTS * 3) as pool:
        asked = [[{"role": "user", "content": f"Number {place}?"}] for place in range(SLOTS * 3)]
        answers = list(pool.map(lambda messages: talker.say(messages, max_tokens=3, ignore_eos=True), asked))
    assert [answer["usage"]["completion_tokens"] for answer in answers] == [3] * len(asked)


def test_a_reader_who_leaves_gives_the_slot_back(talker: Talker) -> None:
    for place in range(SLOTS + 1):
        with talker.open([{"role": "user", "content": f"Leave {place}"}], stream=True, ignore_eos=True) as answer:
            assert answer.readline().startswith(b"data: ")
    assert talker.say([{"role": "user", "content": "Still there?"}], max_tokens=1)


def test_parked_conversations_survive_a_restart_and_damaged_files_are_refused(parts: None, tmp_path: Path) -> None:
    tag = labels(SECRET, "default", [])[0][1]
    park = ParkSettings(
        disk_bytes=2**30, disk_folder=str(tmp_path / "park"), disk_tags=(tag,), retention_s=3_600.0, secret=SECRET.hex()
    )
    messages = conversation("disk")
    with running(park=park) as talker:
        turn = answered(messages, talker.say(messages))
        without = talker.say(turn, "a stranger")
    files = [file for file in (tmp_path / "park").rglob("*") if file.is_file()]
    assert files
    assert all(b"steam" not in file.read_bytes() for file in files)
    assert {file.parent.name for file in files} == {tag}  # the stranger did not opt in
    with running(park=park) as talker:
        again = talker.say(turn)
        assert cached(again) > 100
        assert again["choices"][0]["message"] == without["choices"][0]["message"]
    with running(park=msgspec.structs.replace(park, bytes_per_token_max=6_500)) as talker:
        assert cached(talker.say(turn)) == 0  # what was encoded otherwise is not found, and not taken for damaged
        assert talker.park()["blocks_refused"] == talker.park()["store"]["damaged"] == 0
    for file in (tmp_path / "park").rglob("*"):
        if file.is_file() and file.stat().st_size > 10_000:
            damaged = bytearray(file.read_bytes())
            damaged[len(damaged) // 2] ^= 1
            file.write_bytes(damaged)
    with running(park=park) as talker:
        again = talker.say(turn)
        assert cached(again) == 0
        assert again["choices"][0]["message"] == without["choices"][0]["message"]
        assert talker.park()["store"]["damaged"] >= 1


def test_a_budget_in_bytes_compresses_what_is_parked(parts: None) -> None:
    with running(park=ParkSettings(bytes_per_token_max=6_500)) as talker:
        messages = conversation("compressed")
        turn = answered(messages, talker.say(messages))
        displace(talker)
        assert cached(talker.say(turn)) > 100
        park = talker.park()
        assert park["codec"] == "turbo"
        assert 4_000 < park["bytes_per_token"] <= 6_500


def test_without_room_nothing_is_parked_and_all_is_served(parts: None) -> None:
    with running(park=ParkSettings(ram_bytes=0)) as talker:
        messages = conversation("roomless")
        first = talker.say(messages)
        assert cached(talker.say(answered(messages, first))) > 100
        assert talker.park() is None
        for place in range(SLOTS):
            talker.say([{"role": "user", "content": f"Else {place}"}], max_tokens=1)
        assert cached(talker.say(messages)) < 100
