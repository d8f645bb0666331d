"""Ids carry time, request and attempt; public request ids lead back to them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.entry import (
    ATTEMPT_BITS,
    COUNTER_BITS,
    Entry,
    Estimate,
    Hold,
    Outcome,
    admitted_ms,
    attempt_of,
    first_id_of_ms,
    parse_request_text,
    request_text,
)
from jevons.core.usage import Usage

milliseconds = st.integers(0, 2 ** (63 - COUNTER_BITS - ATTEMPT_BITS) - 1)
counters = st.integers(0, 2**COUNTER_BITS - 1)
attempts = st.integers(0, 2**ATTEMPT_BITS - 1)


@given(milliseconds, counters, attempts)
def test_an_id_gives_back_what_it_is_made_of(ms: int, counter: int, attempt: int) -> None:
    entry_id = first_id_of_ms(ms) + (counter << ATTEMPT_BITS) + attempt
    assert (admitted_ms(entry_id), attempt_of(entry_id)) == (ms, attempt)
    assert first_id_of_ms(ms) <= entry_id < first_id_of_ms(ms + 1)
    assert entry_id < 2**63
    assert len(request_text(entry_id)) == len("req_") + 15
    assert parse_request_text(request_text(entry_id)) == entry_id - attempt


@pytest.mark.parametrize(
    "text",
    [
        "",
        "req_",
        "req_12",
        "req_" + "g" * 15,
        "req_" + "１" * 15,
        "req_" + "0" * 16,
        "req_-0000000000000f",
        "req_0x0000000000000",
    ],
)
def test_what_is_no_request_id_is_none(text: str) -> None:
    assert parse_request_text(text) is None


def test_the_prefix_may_be_left_out() -> None:
    assert parse_request_text("000000000000001") == 16


def test_what_does_not_fit_an_id_is_none() -> None:
    assert parse_request_text("req_7" + "f" * 14) == 2**63 - 16
    assert parse_request_text("req_8" + "0" * 14) is None


def test_ids_fit_for_a_thousand_years() -> None:
    year_3000_ms = 32_503_680_000_000
    assert first_id_of_ms(year_3000_ms) < 2**63


def test_the_overrun_is_what_was_billed_above_the_hold() -> None:
    hold = Hold(1, 1, None, "chat", "m", "m", "u", False, 100, 100, 1, "exact", 1, "", "", b"", 1)

    def billed(nusd: int) -> Entry:
        return Entry(hold, Outcome.OK, 200, Usage(), (), nusd, nusd, Estimate.NONE, 0)

    assert [billed(nusd).overrun_nusd for nusd in (0, 100, 101)] == [0, 0, 1]
