"""When somebody is not called for a while: what counts, how long, and how it ends."""

import pytest

from jevons.core.entry import Outcome
from jevons.core.limits import (
    BREAKER_CLAIM_S,
    BREAKER_FAILURES,
    BREAKER_OPEN_FIRST_S,
    BREAKER_OPEN_MAX_S,
    BREAKER_WINDOW_S,
    COOL_DOWN_MAX_S,
)
from jevons.policy.breaker import Breaker, Sign, Standing, sign_of

NOW = 1_800_000_000_000
OPEN_MS, CLAIM_MS = int(BREAKER_OPEN_FIRST_S * 1000), int(BREAKER_CLAIM_S * 1000)


def failed(times: int = BREAKER_FAILURES, now_ms: int = NOW) -> Breaker:
    breaker = Breaker()
    for _ in range(times):
        breaker.hear(Sign.BAD, now_ms)
    return breaker


@pytest.mark.parametrize(
    ("outcome", "status", "after_s", "sign"),
    [
        (Outcome.OK, 200, 0, Sign.GOOD),
        (Outcome.FREE, 200, 0, Sign.GOOD),
        (Outcome.ERROR, 400, 0, Sign.GOOD),
        (Outcome.ERROR, 404, 0, Sign.GOOD),
        (Outcome.ERROR, 500, 0, Sign.BAD),
        (Outcome.ERROR, 408, 0, Sign.BAD),
        (Outcome.ERROR, 503, 0, Sign.BAD),
        (Outcome.ERROR, 503, 7, Sign.LIMITED),
        (Outcome.ERROR, 529, 7, Sign.LIMITED),
        (Outcome.ERROR, 500, 7, Sign.BAD),
        (Outcome.ERROR, 429, 0, Sign.LIMITED),
        (Outcome.ERROR, 401, 0, Sign.REFUSED),
        (Outcome.ERROR, 200, 0, Sign.BAD),
        (Outcome.ERROR, 0, 0, Sign.BAD),
        (Outcome.TIMEOUT, 0, 0, Sign.BAD),
        (Outcome.UNREACHABLE, 0, 0, Sign.BAD),
        (Outcome.CANCELLED, 200, 0, Sign.NOTHING),
        (Outcome.VOID, 0, 0, Sign.NOTHING),
    ],
)
def test_what_an_end_says(outcome: Outcome, status: int, after_s: float, sign: Sign) -> None:
    assert sign_of(outcome, status, after_s, own_credential=True) is sign


@pytest.mark.parametrize(
    ("status", "after_s", "sign"),
    [
        (401, 0, Sign.NOTHING),
        (402, 0, Sign.NOTHING),
        (403, 0, Sign.NOTHING),
        (429, 0, Sign.NOTHING),
        (429, 3600, Sign.NOTHING),
        (400, 0, Sign.GOOD),
        (500, 0, Sign.BAD),
        (503, 7, Sign.LIMITED),
    ],
)
def test_a_credential_that_the_client_sent_is_its_own_matter(status: int, after_s: float, sign: Sign) -> None:
    assert sign_of(Outcome.ERROR, status, after_s, own_credential=False) is sign
    assert sign_of(Outcome.ERROR, 429, 60, own_credential=False) is Sign.NOTHING


def test_failures_in_a_row_open_it() -> None:
    breaker = failed(BREAKER_FAILURES - 1)
    assert breaker.standing(NOW) is Standing.READY and breaker.until_ms(NOW) == 0
    assert breaker.hear(Sign.BAD, NOW)
    assert breaker.standing(NOW) is Standing.OPEN and breaker.until_ms(NOW) == NOW + OPEN_MS
    assert breaker.standing(NOW + OPEN_MS) is Standing.TRYING and breaker.until_ms(NOW + OPEN_MS) == 0


def test_rare_failures_in_a_row_open_it_too() -> None:
    breaker = Breaker()
    assert [breaker.hear(Sign.BAD, NOW + n * 3_600_000) for n in range(BREAKER_FAILURES)][-1]


def test_half_of_the_calls_failing_opens_it_and_fewer_do_not() -> None:
    breaker = Breaker()
    for n in range(60):  # two of three answer
        assert not breaker.hear(Sign.BAD if n % 3 == 0 else Sign.GOOD, NOW + n * 100)
    breaker = Breaker()
    said = [breaker.hear(Sign.GOOD if n % 2 else Sign.BAD, NOW + n * 100) for n in range(BREAKER_FAILURES * 2)]
    assert any(said)


def test_what_is_long_past_does_not_count() -> None:
    breaker = Breaker()
    window_ms = int(BREAKER_WINDOW_S * 1000)
    for n in range(BREAKER_FAILURES - 1):
        breaker.hear(Sign.BAD, NOW)
        breaker.hear(Sign.GOOD, NOW + n)
    assert not breaker.hear(Sign.BAD, NOW + 3 * window_ms)
    breaker.hear(Sign.GOOD, NOW + 4 * window_ms)
    assert (breaker.bad, breaker.bad_before, breaker.good) == (0, 1, 1)


def test_one_call_shows_whether_it_answers_again() -> None:
    breaker, later = failed(), NOW + OPEN_MS
    breaker.claim(later)
    assert breaker.standing(later) is Standing.OPEN and breaker.until_ms(later) == later + CLAIM_MS
    assert breaker.standing(later + CLAIM_MS) is Standing.TRYING, "it never ended: the next may try"
    assert breaker.hear(Sign.GOOD, later)
    assert breaker.standing(later) is Standing.READY and not breaker.hear(Sign.GOOD, later)


def test_a_call_that_says_nothing_lets_the_next_one_try() -> None:
    breaker, later = failed(), NOW + OPEN_MS
    breaker.claim(later)
    assert not breaker.hear(Sign.NOTHING, later)
    assert breaker.standing(later) is Standing.TRYING


def test_it_stays_open_twice_as_long_each_time_up_to_a_bound() -> None:
    breaker, now = failed(), NOW
    waits = []
    for _ in range(20):
        now = breaker.open_until_ms
        assert breaker.hear(Sign.BAD, now)
        waits.append((breaker.open_until_ms - now) // 1000)
    assert waits[:3] == [BREAKER_OPEN_FIRST_S * 2, BREAKER_OPEN_FIRST_S * 4, BREAKER_OPEN_FIRST_S * 8]
    assert waits[-1] == BREAKER_OPEN_MAX_S


def test_calls_that_were_under_way_when_it_opened_change_nothing() -> None:
    breaker = failed()
    until = breaker.open_until_ms
    breaker.hear(Sign.BAD, NOW + 100)
    assert breaker.open_until_ms == until and breaker.opened == 1


def test_a_closed_one_is_not_claimed() -> None:
    breaker = Breaker()
    breaker.claim(NOW)
    assert breaker.claimed_ms == 0


def test_a_cool_down_is_the_providers_word() -> None:
    breaker = Breaker()
    assert breaker.hear(Sign.LIMITED, NOW, 7.5)
    assert breaker.standing(NOW + 7_499) is Standing.COOLING and breaker.until_ms(NOW) == NOW + 7_500
    assert breaker.standing(NOW + 7_500) is Standing.READY
    breaker.hear(Sign.LIMITED, NOW, 1.0)
    assert breaker.until_ms(NOW) == NOW + 7_500, "a shorter one does not end it"
    breaker.hear(Sign.LIMITED, NOW, 10 * COOL_DOWN_MAX_S)
    assert breaker.until_ms(NOW) == NOW + COOL_DOWN_MAX_S * 1000
    assert breaker.hear(Sign.GOOD, NOW) and breaker.standing(NOW) is Standing.READY


def test_a_cool_down_without_a_time_becomes_longer() -> None:
    breaker, waits = Breaker(), []
    for n in range(3):
        breaker.hear(Sign.LIMITED, NOW + n * 100_000)
        waits.append(breaker.cool_until_ms - NOW - n * 100_000)
    assert waits == [1_000, 2_000, 4_000]


def test_a_refused_credential_opens_it_at_once() -> None:
    breaker = Breaker()
    assert breaker.hear(Sign.REFUSED, NOW)
    assert breaker.standing(NOW) is Standing.OPEN


def test_a_probe_that_is_answered_ends_the_first_wait_only() -> None:
    breaker = failed()
    assert breaker.probed(NOW + 1_000, answers=True)
    assert breaker.standing(NOW + 1_000) is Standing.TRYING
    assert not breaker.probed(NOW + 1_000, answers=True), "it may be tried already"
    breaker.hear(Sign.BAD, NOW + 1_000)
    assert not breaker.probed(NOW + 2_000, answers=True), "it was there, and failed all the same"
    assert breaker.standing(NOW + 2_000) is Standing.OPEN


def test_a_probe_that_is_not_answered_spares_a_client() -> None:
    breaker = failed()
    assert breaker.probed(NOW + OPEN_MS - 1, answers=False)
    assert breaker.standing(NOW + OPEN_MS) is Standing.OPEN
    assert not breaker.probed(NOW + OPEN_MS - 1, answers=False), "it waits long enough"
    assert not Breaker().probed(NOW, answers=False), "a closed one is nobody's to ask"
