"""Packed holds: what is expected of an answer, and by how much its hold grows."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from jevons.core.limits import (
    IN_FLIGHT_OUTPUT_TOKENS,
    PACKED_CALLERS_MAX,
    PACKED_GROWTH_TOKENS,
    PACKED_SAMPLES,
    PACKED_SAMPLES_MIN,
)
from jevons.policy.packed import MARGIN_TOKENS, Outputs, growth


def seen(*tokens: int) -> Outputs:
    outputs = Outputs()
    for count in tokens:
        outputs.saw(1, "m", count)
    return outputs


def test_too_little_is_known_at_first() -> None:
    assert seen().expected(1, "m") is None
    assert seen(*[5] * (PACKED_SAMPLES_MIN - 1)).expected(1, "m") is None
    assert seen(*[5] * PACKED_SAMPLES_MIN).expected(1, "m") == 5 + MARGIN_TOKENS


@given(st.lists(st.integers(0, 5_000), min_size=PACKED_SAMPLES_MIN, max_size=3 * PACKED_SAMPLES))
def test_nineteen_of_twenty_of_the_latest_answers_are_no_longer(tokens: list[int]) -> None:
    expected, latest = seen(*tokens).expected(1, "m"), tokens[-PACKED_SAMPLES:]
    assert expected is not None and expected - MARGIN_TOKENS in latest
    assert sum(count <= expected - MARGIN_TOKENS for count in latest) * 100 >= 95 * len(latest)
    assert sum(count < expected - MARGIN_TOKENS for count in latest) * 100 <= 95 * len(latest)


def test_a_change_is_followed() -> None:
    assert seen(*[4_000] * PACKED_SAMPLES, *[10] * PACKED_SAMPLES).expected(1, "m") == 10 + MARGIN_TOKENS


def test_callers_and_models_are_kept_apart() -> None:
    outputs = seen(*[5] * PACKED_SAMPLES_MIN)
    assert outputs.expected(2, "m") is None and outputs.expected(1, "other") is None


def test_the_caller_that_was_silent_longest_is_forgotten() -> None:
    outputs = seen(*[5] * PACKED_SAMPLES_MIN)
    for _ in range(PACKED_SAMPLES_MIN):
        outputs.saw(2, "m", 7)
    outputs.saw(1, "m", 5)
    for number in range(PACKED_CALLERS_MAX - 1):
        outputs.saw(3, f"m{number}", 1)
    assert outputs.expected(1, "m") is not None and outputs.expected(2, "m") is None


@given(st.integers(0, 20_000), st.integers(0, 20_000))
def test_growth_is_tried_from_a_good_part_down_and_never_beyond_the_cap(held: int, room: int) -> None:
    steps = growth(held, held + room)
    most = min(room, max(PACKED_GROWTH_TOKENS, held // 2))
    assert steps[:1] == ([most] if most >= IN_FLIGHT_OUTPUT_TOKENS else [])
    assert all(later == earlier // 2 for earlier, later in pairwise(steps))
    assert all(step >= IN_FLIGHT_OUTPUT_TOKENS for step in steps)
    assert not steps or steps[-1] < 2 * IN_FLIGHT_OUTPUT_TOKENS


def test_growth_in_figures() -> None:
    assert growth(1_000, 100_000) == [500, 250, 125]
    assert growth(100, 100_000) == [256, 128, 64]
    assert growth(1_000, 1_070) == [70]
    assert growth(1_000, 1_000) == growth(1_000, 1_063) == []
