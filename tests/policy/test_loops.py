"""Steps that repeat: what is counted, what is not, and how it is said."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from jevons.core.limits import TRAIL_PERIOD_MAX, TRAIL_SENDS_PER_REPEAT, TRAIL_STEPS_MAX
from jevons.policy.loops import CARRIED_MIN, History, Loops, State, Step, Trail, Turn, add, carried, close, judge, same

SAME, NEARLY, OTHER = 0b11, 0b10, 0x5555_5555_5555_5555
"""Bits of prints: the first two differ in one bit, the third in thirty-odd."""


def call(tool: str, key: str = "") -> Step:
    """A call of a tool with its result; `key` tells other arguments or another result."""
    return Step(tool, (key or tool).encode())


def turn(assistant: int, user: int) -> Step:
    return Step(said=(assistant, user))


def made(*steps: Step, tokens: int = 0) -> History:
    history = History()
    for step in steps:
        history = add(history, step, tokens)
    return history


def letters(text: str) -> History:
    return made(*[call(letter) for letter in text])


@pytest.mark.parametrize(("steps", "repeats"), [
    ("", 0), ("A", 1), ("AB", 1), ("AA", 2), ("AAA", 3), ("ABAB", 2), ("ABABA", 2), ("ABABAB", 3), ("ABCABCABC", 3), ("AAAB", 1),
    ("BAAA", 3), ("AABAAB", 2), ("ABAC", 1), ("ABCDEFGHABCDEFGH", 2), ("ABCDEFGHIABCDEFGHI", 1), ("A" * 20, 20), ("AB" * 20, 20),
    ("XYZ" * 20, 20), ("ABCDEFG" * 20, 20),
])  # fmt: skip
def test_whole_repetitions_at_the_end(steps: str, repeats: int) -> None:
    assert letters(steps).repeats == repeats


@given(st.text("ABC", max_size=80))
def test_repeats_and_identical_by_their_definition(steps: str) -> None:
    """Against the plain reading of all steps."""
    best = min(len(steps), 1)
    for period in range(1, min(TRAIL_PERIOD_MAX, len(steps)) + 1):
        count = 1
        while len(steps) >= period * (count + 1) and steps.endswith(steps[-period:] * (count + 1)):
            count += 1
        best = max(best, count)
    history = letters(steps)
    assert history.repeats == best
    assert history.identical == max(Counter(steps[-TRAIL_STEPS_MAX:]).values(), default=0)


def test_polling_with_another_result_and_batch_work_do_not_repeat() -> None:
    polls = made(*[call("status", f"pending {second}") for second in range(50)])
    assert (polls.repeats, polls.identical) == (1, 1)
    batch = made(*[call(tool, f"{tool} {item}") for item in range(30) for tool in ("read", "write")])
    assert (batch.repeats, batch.identical) == (1, 1)


def test_a_poll_that_changes_between_waits_that_do_not() -> None:
    history = made(*[call(tool, key) for n in range(20) for tool, key in (("status", f"{n} %"), ("sleep", "slept"))])
    assert history.repeats == 1
    assert history.identical == 20  # the waits; no limit by default


def test_near_identical_turns() -> None:
    assert made(turn(SAME, SAME), turn(NEARLY, SAME), turn(SAME, NEARLY)).repeats == 3
    assert made(turn(SAME, SAME), turn(SAME, OTHER)).repeats == 1
    assert made(turn(SAME, SAME), turn(OTHER, SAME)).repeats == 1
    assert made(turn(SAME, SAME), Step(said=(SAME, SAME, SAME))).repeats == 1
    assert made(turn(SAME, SAME), turn(SAME, SAME)).identical == 0  # that is of calls


def test_a_row_of_turns_bears_one_that_is_a_little_too_far_off() -> None:
    far = OTHER ^ SAME
    row = (turn(SAME, SAME), turn(NEARLY, SAME), turn(far, SAME), turn(NEARLY, SAME), turn(SAME, SAME))
    assert [made(*row[:length]).repeats for length in range(1, 6)] == [1, 2, 1, 1, 2]
    middle, other = (
        SAME ^ (OTHER & 0xFFFF_FFFF),
        SAME ^ (OTHER & ~0xFFFF_FFFF),
    )  # each sixteen bits from the first, to other sides
    assert same(turn(SAME, SAME), turn(middle, SAME))
    assert same(turn(SAME, SAME), turn(other, SAME))
    assert not same(turn(middle, SAME), turn(other, SAME))
    assert made(turn(SAME, SAME), turn(middle, SAME), turn(other, SAME), turn(SAME, SAME)).repeats == 4
    assert (
        made(turn(SAME, SAME), turn(far, SAME), turn(SAME, SAME), turn(far, SAME)).repeats == 2
    )  # a cycle is counted as a cycle
    assert made(call("A"), call("A"), call("B"), call("A")).repeats == 1  # a call is the same or not


def test_turns_and_calls_in_one_cycle() -> None:
    assert made(*[turn(SAME, NEARLY), call("search")] * 4).repeats == 4
    assert not same(turn(SAME, SAME), call("search"))
    assert not same(call("search"), turn(SAME, SAME))


def test_results_of_unseen_calls_are_the_same_as_nothing() -> None:
    unseen = Step("", b"ok")
    assert made(unseen, unseen, unseen).repeats == 1
    assert made(unseen, unseen).identical == 0


def test_identical_calls_are_of_the_latest_steps() -> None:
    often = made(*[call("A"), call("B", "1"), call("A"), call("B", "2"), call("A")])
    assert often.identical == 3
    for number in range(TRAIL_STEPS_MAX):
        often = add(often, call("C", str(number)), 0)
    assert often.identical == 1
    assert len(often.steps) == len(often.keys) == TRAIL_STEPS_MAX


def test_the_last_call_leaves_the_window() -> None:
    history = made(call("A"), call("A"), *[turn(SAME, SAME)] * TRAIL_STEPS_MAX)
    assert history.identical == 0


def test_stalled_tokens_grow_from_the_last_new_step() -> None:
    history = add(add(History(), call("A"), 1_000), call("B"), 1_500)
    assert judge(history, 1, 1_700).stalled_tokens == 200
    history = add(add(history, call("A"), 2_000), call("B"), 2_500)
    loops = judge(history, 1, 2_500)
    assert (loops.stalled_tokens, loops.why) == (
        1_000,
        "the steps A, B were made 2 times in a row with the same results; the context grew by 1,000 tokens since anything new happened",
    )
    assert judge(add(history, call("C"), 3_000), 1, 3_000).stalled_tokens == 0
    assert judge(history, 1, 500).stalled_tokens == 0


def test_a_near_turn_is_nothing_new() -> None:
    history = add(add(History(), turn(SAME, SAME), 100), turn(OTHER, SAME), 200)
    assert add(history, turn(NEARLY, SAME), 300).fresh_tokens == 200
    assert add(history, turn(OTHER, OTHER), 300).fresh_tokens == 300


def test_calls_at_once_count_in_one_order() -> None:
    def at_once(*tools: str) -> History:
        return close(State(History(), Turn(done=tuple([call(tool) for tool in tools]), tools=True, heard=True)))

    assert at_once("A", "B") == at_once("B", "A") == letters("AB")


def test_a_turn_is_closed_once() -> None:
    done = Turn(done=(call("A"),), tools=True, heard=True, tokens=7)
    assert close(State(letters("B"), done)) == replace(letters("BA"), fresh_tokens=7)
    assert close(State(letters("B"), done, closed=letters("X"))) == letters("X")
    assert close(State(letters("B"), Turn(assistant=(SAME,), user=(SAME,)))) == add(letters("B"), turn(SAME, SAME), 0)


@pytest.mark.parametrize("unfinished", [
    Turn(), Turn(assistant=(SAME,)), Turn(user=(SAME,), heard=True), Turn(calls=(("id", "A", {}),), tools=True),
    Turn(calls=(("id", "A", {}),), assistant=(SAME,), heard=True, tools=True),
])  # fmt: skip
def test_what_is_no_step(unfinished: Turn) -> None:
    assert close(State(letters("B"), unfinished)) == letters("B")


def test_new_words_beside_results_begin_anew() -> None:
    told = Turn(done=(call("A"),), tools=True, heard=True, user=(SAME,), tokens=7)
    begun = close(State(letters("AAA"), told))
    assert (begun.repeats, begun.identical, begun.fresh_tokens, begun.own) == (0, 0, 7, 4)
    assert close(State(begun, told)).repeats == 1  # these words are known
    assert close(State(add(begun, call("A"), 8), replace(told, user=(OTHER,)))).repeats == 0
    assert close(State(letters("AAA"), replace(told, chatty=True))).repeats == 4


def test_a_loop_goes_on_over_a_cut() -> None:
    after = carried(letters("BAAAA"), 900)
    assert judge(after, 1, 5_000) == Loops(1)  # nothing was done since
    assert add(after, call("A"), 1_000).repeats == 5
    assert add(after, call("C"), 1_000).repeats == 1


def test_no_loop_is_carried_over_a_cut() -> None:
    """Many conversations that begin alike, each with the same first calls, are batch work."""
    assert letters("AA").repeats < CARRIED_MIN
    assert carried(letters("AA"), 900) == History(fresh_tokens=900)


@pytest.mark.parametrize(("history", "sends", "loops"), [
    (letters("AB"), 1, Loops(1, 1)),
    (letters("A" * 12), 1, Loops(12, 12, 0, "the call A was made 12 times in a row with the same result")),
    (letters("AB" * 6), 1, Loops(6, 6, 0, "the steps A, B were made 6 times in a row with the same results")),
    (made(*[turn(SAME, SAME)] * 5), 1, Loops(5, 0, 0, "the last 5 turns without tools say nearly the same")),
    (made(*[call("A"), turn(SAME, SAME)] * 3), 2,
     Loops(3, 3, 0, "the steps A, a turn without tools were made 3 times in a row with the same results")),
    (letters("ABACAD"), 1, Loops(1, 3, 0, "of the last 6 steps, 3 are one call with the same result (A)")),
    (History(), 1, Loops(1)),
    (History(), 4 * TRAIL_SENDS_PER_REPEAT + 1, Loops(5, 0, 0, "the same request was sent 17 times")),
    (letters("AA"), 9, Loops(3, 2, 0, "the same request was sent 9 times")),
])  # fmt: skip
def test_judged_and_in_words(history: History, sends: int, loops: Loops) -> None:
    assert judge(history, sends, 0) == loops


def test_an_sdks_retries_are_one_request() -> None:
    assert {judge(History(), sends, 0).repeats for sends in range(1, TRAIL_SENDS_PER_REPEAT + 1)} == {1}
    assert judge(History(), 30, 0).repeats < 10  # the most stubborn client that was measured


def test_a_tools_name_cannot_break_a_message() -> None:
    why = judge(made(*[call("rm\r\nx-evil: 1" + "y" * 200)] * 2), 1, 0).why
    assert "rm??x-evil: 1" in why
    assert len(why) < 150
    assert why.isprintable()


def test_marks_tell_steps_apart_exactly() -> None:
    steps = [call("A"), call("A", "1"), turn(SAME, SAME), turn(NEARLY, SAME)]
    assert len({step.mark for step in [*steps, *steps]}) == 4


def test_a_new_trail_is_empty() -> None:
    trail = Trail()
    assert (trail.conversations, trail.sends, trail.seen) == ([], {}, {})
