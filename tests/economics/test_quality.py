"""The price of a fixed quality: what qualifies, what is cheapest ever, and what is cheapest now."""

from datetime import date
from statistics import median

import pytest

from jevons.economics.history import best_score
from jevons.economics.quality import JOINED, MILESTONES, Milestone, minima, offers, qualified, scores_end
from tests.economics.pricing import TODAY, row

GPT3, GPT4, *_ = MILESTONES


def test_minima_are_the_rows_cheaper_than_all_before() -> None:
    rows = [row("2025-01-01", "a", 5), row("2025-02-01", "b", 7), row("2025-03-01", "c", 5), row("2025-04-01", "d", 2)]
    assert [r.model for r in minima(rows)] == ["a", "d"]
    assert minima([]) == []
    assert minima(rows, "cached") == []


def test_a_milestone_is_the_score_of_its_model_and_what_reaches_it() -> None:
    assert GPT3.threshold == 0.439
    reached = GPT3.reached_by()
    assert {"davinci", "gpt-3.5-turbo", "llama-2-7b", "gemini-1.5-flash-8b"} - reached == {
        "gemini-1.5-flash-8b"
    }  # nobody reports its MMLU
    assert Milestone("MMLU", "gpt-4", "").reached_by() < reached


def test_reporters_differ_and_each_way_to_join_them_is_its_own() -> None:
    by = {name: best_score("MMLU", how)["llama-3.3-70b"] for name, how in JOINED.items()}
    assert by == {"minimum": 0.791, "median": median([0.791, 0.863]), "maximum": 0.863}


def test_only_plain_prices_with_a_day_qualify() -> None:
    rows = qualified(GPT3, TODAY)
    assert rows[0].date == date(2021, 11, 20)  # January 2021 is known to the month only
    assert all(not r.variant and r.date <= TODAY for r in rows)


def test_what_is_offered_rises_where_a_cheap_offer_ends() -> None:
    """DeepSeek V3's introductory output price ended on 2025-02-08; the minimum keeps it for ever."""
    found = {offer.day: offer for offer in offers(GPT4, "output")}
    before, after = found[date(2025, 2, 1)], found[date(2025, 3, 1)]
    assert before.offered is not None and (before.offered.model, before.offered.output_nusd) == ("deepseek-v3", 280_000_000)
    assert after.offered is not None and (after.offered.model, after.offered.output_nusd) == ("llama-3.3-70b", 300_000_000)
    assert after.lowest.output_nusd == 280_000_000


@pytest.mark.parametrize("milestone", MILESTONES, ids=lambda m: m.title)
def test_offers_run_from_the_milestone_to_the_end_of_the_scores_and_never_below_the_minimum(milestone: Milestone) -> None:
    found = offers(milestone)
    assert found[0].day.day == 1 and found[-1].day == date(2025, 12, 1) <= scores_end()
    for offer in found:
        assert offer.offered is not None and offer.offered.blend_nusd >= offer.lowest.blend_nusd
    lowest = [offer.lowest.blend_nusd for offer in found]
    assert lowest == sorted(lowest, reverse=True)


def test_before_the_milestone_there_is_nothing() -> None:
    assert offers(GPT3, until=date(2020, 1, 1)) == []
