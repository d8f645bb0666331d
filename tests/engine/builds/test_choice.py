"""What is decided from figures, without measuring any."""

import re
from pathlib import Path

import msgspec
import pytest

from jevons.engine.builds.build import BUILT_IN, worth_measuring
from jevons.engine.builds.choice import Choice, Row, decide, processor
from jevons.engine.builds.exchange import look
from jevons.engine.builds.measure import DIFFERENCE_MOST, difference
from jevons.engine.native.package import NativeError

OWN = Row(200.0, 50.0, build=BUILT_IN, kind="built-in", gain=1.0, rounds=3)


def exchanged(build: str, gain: float, *, rounds: int = 3, problem: str = "") -> Row:
    return Row(250.0, 60.0, build=build, kind="exchanged", gain=gain, rounds=rounds, problem=problem)


def test_the_fastest_that_computes_the_same_is_taken() -> None:
    wrong = exchanged("cooperlake", 3.0, problem="it computes something else")
    heat = exchanged("icelake", 0.0, rounds=0)
    program = Row(900.0, 90.0, build="llama-server", kind="program", gain=4.0, rounds=3)
    taken, why = decide([OWN, exchanged("haswell", 1.2), exchanged("zen4", 1.4), wrong, heat, program])
    assert taken.build == "zen4"
    assert why == "1.40 × as fast as the built-in one on 4 prompt tokens per token answered"


@pytest.mark.parametrize("others", [[], [exchanged("zen4", 1.04)], [exchanged("zen4", 2.0, problem="it ended")]])
def test_the_built_in_one_stays_where_no_other_is_clearly_faster(others: list[Row]) -> None:
    assert decide([OWN, *others])[0] is OWN


def test_what_is_compared_is_a_prompt_and_an_answer_together() -> None:
    assert OWN.mix_ms == pytest.approx(4 / 0.2 + 1 / 0.05)
    assert Row(build="zen4", kind="exchanged").mix_ms == float("inf")


def test_variants_for_older_processors_are_not_measured() -> None:
    scores = {"zen4": 1984, "icelake": 1472, "skylakex": 192, "haswell": 64, "sandybridge": 21, "x64": 1}
    assert worth_measuring(scores) == ["zen4", "haswell", "icelake", "skylakex"]
    assert worth_measuring({"sandybridge": 21, "sse42": 5}) == ["sandybridge", "sse42"]


def test_rounding_is_told_from_another_computation() -> None:
    own = [(7, {7: -0.1, 8: -2.5, 9: -4.0}), (3, {3: -0.69, 4: -0.70, 5: -6.0})]
    rounded = [(7, {7: -0.12, 8: -2.4, 9: -4.1}), (4, {4: -0.69, 3: -0.71, 5: -6.0})]
    broken = [(1, {1: -3.0, 2: -3.1, 7: -9.0}), (1, {1: -3.0, 2: -3.1, 3: -9.0})]
    assert difference(own, own) == 0
    assert 0 < difference(own, rounded) < 0.1
    assert difference(own, broken) > DIFFERENCE_MOST


def chosen(build: str, where: str) -> Choice:
    return Choice(
        build, "1.40 × as fast", where, "2026.9.11063", "a model", 1, "2026-11-22T09:00Z", [OWN, exchanged("zen4", 1.4)]
    )


def test_a_choice_that_does_not_hold_leaves_the_built_in_back_end_and_says_why(tmp_path: Path) -> None:

    file = tmp_path / "engine.json"
    assert look(None).build == look(file).build == BUILT_IN
    assert "jevons engine install" in look(file).said
    for content, reason in (
        (b"{", "cannot be read"),
        (msgspec.json.encode(chosen("zen4", "another processor")), "measured on another processor"),
        (msgspec.json.encode(chosen("../../evil", processor())), "there is no back end '../../evil'|xllamacpp is"),
    ):
        file.write_bytes(content)
        found = look(file)
        assert found.build == BUILT_IN
        assert re.search(reason, found.said)
    with pytest.raises(NativeError, match="jevons engine choose"):
        Choice.read(tmp_path / "nowhere.json")
