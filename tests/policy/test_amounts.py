"""What a call weighs in each measure: at most, before it is sent; as billed, after."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.entry import ATTEMPT_BITS, Entry, Estimate, Hold, Outcome
from jevons.core.usage import Usage
from jevons.policy.amounts import bound, came_to, is_step, plus, spent
from jevons.policy.rules import COUNTED, Measure

FIRST = 77 << ATTEMPT_BITS
NO_USAGE = Usage()


def entry(
    usage: Usage = NO_USAGE, *, entry_id: int = FIRST, outcome: Outcome = Outcome.OK, nusd: tuple[int, int] = (0, 0)
) -> Entry:
    hold = Hold(entry_id, 1, None, "chat", "m", "m", "u", True, 0, 0, 0, "exact", 0, "b", "r", b"", 1)
    return Entry(hold, outcome, 200, usage, (), list_nusd=nusd[1], billed_nusd=nusd[0], estimate=Estimate.NONE, settled_ms=0)


def named(amounts: tuple[int, ...]) -> dict[str, int]:
    return {measure.value: amount for measure, amount in zip(COUNTED, amounts, strict=True) if amount}


def test_the_bound_of_a_call() -> None:
    assert named(bound(7, 9, 100, 50, step=True)) == {
        "usd": 7,
        "list_usd": 9,
        "tokens": 150,
        "input_tokens": 100,
        "cache_read_tokens": 100,
        "cache_write_tokens": 100,
        "output_tokens": 50,
        "reasoning_tokens": 50,
        "steps": 1,
        "concurrent": 1,
    }
    assert named(bound(0, 0, 0, 0, step=False)) == {"concurrent": 1}
    assert named(bound(0, 0, 0, 0, step=False, calls=0)) == {}  # tokens counted: no model answers


def test_what_a_call_came_to() -> None:
    usage = Usage(input=1, cache_read=20, cache_write_5m=300, cache_write_1h=4_000, output=50_000, reasoning=6_000)
    assert named(spent(entry(usage, nusd=(7, 9)))) == {
        "usd": 7,
        "list_usd": 9,
        "tokens": 54_321,
        "input_tokens": 1,
        "cache_read_tokens": 20,
        "cache_write_tokens": 4_300,
        "output_tokens": 50_000,
        "reasoning_tokens": 6_000,
        "steps": 1,
    }


@given(*[st.integers(0, 10**6) for _ in range(6)])
def test_a_call_within_its_bounds_comes_to_no_more_in_any_measure(
    a: int, b: int, c: int, d: int, output: int, reasoning: int
) -> None:
    usage = Usage(a, b, c, d, output=output, reasoning=min(output, reasoning))
    most = bound(5, 5, usage.input_total, output, step=True)
    assert all(after <= before for before, after in zip(most, spent(entry(usage, nusd=(5, 5))), strict=True))


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_step_is_a_request_of_the_clients_own_that_was_made(outcome: Outcome) -> None:
    assert is_step(entry(outcome=outcome)) is (outcome not in (Outcome.VOID, Outcome.FREE, Outcome.CACHED))
    assert not is_step(entry(entry_id=FIRST + 1, outcome=outcome))  # our own retry
    assert spent(entry(outcome=outcome))[COUNTED.index(Measure.STEPS)] == is_step(entry(outcome=outcome))


def test_a_resolved_call_runs_no_more() -> None:
    assert spent(msgspec.structs.replace(entry(Usage(input=5)), settled_ms=9))[COUNTED.index(Measure.CONCURRENT)] == 0


def test_what_a_call_came_to_needs_no_entry() -> None:
    usage = Usage(input=1, cache_read=2, cache_write_5m=3, cache_write_1h=4, output=5, reasoning=1)
    assert came_to(usage, 70, 90, step=True) == spent(entry(usage, nusd=(70, 90)))
    assert came_to(usage, 70, 90, step=False) == spent(entry(usage, nusd=(70, 90), outcome=Outcome.FREE))


def test_two_calls_weigh_what_each_does() -> None:
    one, other = bound(7, 9, 100, 50, step=True), bound(1, 2, 30, 4, step=True)
    assert plus(one, other) == tuple(a + b for a, b in zip(one, other, strict=True))
