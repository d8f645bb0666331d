"""What is read of a request stands on its passage: once, with a template that is the same for all calls of one kind, and a vector only where somebody asks."""

from typing import Any

import msgspec
import numpy as np
import pytest

from jevons.core.ask import Ask, Caller, Dialect
from jevons.core.chain import chain
from jevons.core.limits import EMBEDDED_CHARS_MAX, TEMPLATE_BYTES_MAX
from jevons.embed import Embedder
from jevons.gateway.classes import Classes
from jevons.gateway.passage import Passage
from jevons.gateway.reading import Reading, Seen
from jevons.policy.routes import TaskClass
from jevons.policy.rules import Who
from jevons.wire.parse import parse

SECRET = b"s" * 32
CLASSES = (
    TaskClass("cooking", ("Give me a recipe with chicken and rice.", " ")),
    TaskClass("returns", ("How do I send my order back?",), min_likeness=0.9),
)


class Counting:
    """The embedder, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._embedder = Embedder()

    def vector(self, text: str) -> Any:
        self.asked.append(text)
        return self._embedder.vector(text)


@pytest.fixture(scope="module")
def embedder() -> Counting:
    return Counting()


def request(text: str, system: str = "Be brief.", **more: Any) -> tuple[Ask, Passage]:
    said = [{"role": "system", "content": system}] if system else []
    ask = parse(
        Dialect.CHAT, msgspec.json.encode({"model": "auto", "messages": [*said, {"role": "user", "content": text}], **more})
    )
    return ask, Passage(Caller(1, "k"), Who("default", "", 1, "k", ""), 1 << 32, chain(SECRET, ask.messages))


def template(secret: bytes = SECRET, **more: Any) -> str:
    return Reading(secret).of(*request(**({"text": "One?"} | more))).features.template


def test_a_template_is_what_stays_the_same() -> None:
    shape = {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}
    assert len(template()) == 16
    assert template() == template(text="Two, and more?")
    assert len({template(), template(system="Be long."), template(tools=[{}]), template(**shape), template(b"t" * 32)}) == 5
    assert template(system="") == ""
    assert template(system="", **shape)


def test_a_template_is_the_same_however_its_json_is_written() -> None:
    """Two SDKs: one writes spaces and members in its own order. Of a very long one it is the bytes that count."""

    def written(space: str, system: str) -> str:
        messages = f'[{{{space}"role":{space}"system","content":{space}"{system}"}},{{"role":"user","content":"One?"}}]'
        schema = f'{{"type":{space}"json_schema","n":{space}1.0}}' if not space else f'{{"n": 1.0,{space}"type": "json_schema"}}'
        ask = parse(Dialect.CHAT, f'{{"model":"auto","messages":{messages},"response_format":{schema}}}'.encode())
        passage = Passage(Caller(1, "k"), Who("default", "", 1, "k", ""), 1 << 32, chain(SECRET, ask.messages))
        return Reading(SECRET).of(ask, passage).features.template

    assert written("", "Be brief.") == written(" ", "Be brief.") != written("", "Be brief. ")
    assert written("", "long " * TEMPLATE_BYTES_MAX) != written(" ", "long " * TEMPLATE_BYTES_MAX)


def test_it_is_read_once_and_a_vector_is_made_when_somebody_asks(embedder: Counting) -> None:
    reading, (ask, passage) = Reading(SECRET, embedder), request("What is " + "very " * 1_000 + "much?")
    embedder.asked.clear()
    seen = reading.of(ask, passage)
    assert reading.of(ask, passage) is seen is passage.read
    assert (embedder.asked, seen.features.language, seen.features.task) == ([], "", "")
    vector = seen.vector
    assert vector is not None
    assert vector is seen.vector
    assert [len(text) for text in embedder.asked] == [EMBEDDED_CHARS_MAX]


def test_without_a_question_or_an_embedder_there_is_no_vector(embedder: Counting) -> None:
    assert Reading(SECRET, embedder).of(*request("")).vector is None
    assert Reading(SECRET).of(*request("One?")).vector is None
    assert Seen(Reading(SECRET).of(*request("")).features, "", embedder).vector is None


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("A recipe with rice and chicken, please.", "cooking"),
        ("How do I send my order back?", "returns"),
        ("How do I get my parcel to you again?", ""),
        ("Prove that there are infinitely many primes.", ""),
    ],
)
def test_a_question_belongs_to_the_class_that_it_is_like(embedder: Counting, text: str, task: str) -> None:
    reading = Reading(SECRET, embedder, classes=Classes(CLASSES, embedder.vector))
    assert reading.of(*request(text)).features.task == task
    assert reading.of(*request("")).features.task == ""


def test_what_resembles_nothing_belongs_to_nothing(embedder: Counting) -> None:
    classes = Classes((TaskClass("any", ("One?",), min_likeness=0.0),), embedder.vector)
    assert classes.of(np.zeros(256, np.float32)) == ""
