"""The price history: its file is sound, its rows are found, and each knows what it follows."""

from datetime import date

import pytest

from jevons.economics.history import CHEAPEST_HOST, NotInHistory, best_score, choose, price_rows, scores, series, steps
from jevons.meter.lineages import lines, tier_by_price
from tests.economics.pricing import TODAY, row

BASES = {
    "vendor_event", "vendor_announcement", "release_date", "archived_page", "first_seen", "snapshot", "between_snapshots",
    "month_snapshot", "inferred_same_event", "model_id_date", "approx_day", "approx_month",
}  # fmt: skip
EVENTS = {
    "launch", "price_cut", "price_increase", "introductory", "scheduled_increase", "cheapest_host", "snapshot", "list_price",
    "caching_price", "caching_price_cut", "offpeak_discount", "tier_added",
}  # fmt: skip


def test_every_row_is_sound() -> None:
    rows = price_rows()
    assert len(rows) == 241
    assert [r.date for r in rows] == sorted(r.date for r in rows)
    assert {r.basis for r in rows} <= BASES
    assert {r.event for r in rows} == EVENTS
    assert {r.confidence for r in rows} <= {"high", "medium", "low"}
    for r in rows:
        assert r.sources and all(r.sources)
        assert 0 < r.input_nusd <= r.output_nusd
        assert r.cached_nusd is None or 0 < r.cached_nusd < r.input_nusd
        assert (r.event == "scheduled_increase") == (r.date > TODAY)


def test_no_two_rows_say_something_about_the_same_day() -> None:
    places = [(r.date, r.provider, r.model, r.variant) for r in price_rows()]
    assert len(places) == len(set(places))


def test_every_model_has_a_line_that_the_file_of_lines_names() -> None:
    known = {line.lineage for line in lines()}
    assert {r.model for r in price_rows() if r.lineage not in known} == set()


def test_a_price_is_an_exact_number_of_nano_dollars() -> None:
    (cheap,) = [r for r in choose("deepseek-v4-pro") if r.date == date(2026, 6, 3)]
    assert (cheap.input_nusd, cheap.output_nusd, cheap.cached_nusd) == (435_000_000, 870_000_000, 3_625_000)
    assert cheap.blend_nusd == 543_750_000
    with pytest.raises(ValueError, match="nano-dollars"):
        row("2026-01-01", "m", "0.0000000001")


def test_two_dollars_is_where_price_agrees_best_with_the_lines() -> None:
    """What the head of meter/data/lineages.toml says of its threshold."""
    recent = [r for r in price_rows() if r.date >= date(2024, 1, 1)]
    agreeing = {
        usd: sum(tier_by_price(r.blend_nusd, round(usd * 1e9)) == r.lineage.tier for r in recent)
        for usd in (1, 1.25, 1.5, 1.75, 1.9, 2, 2.2, 2.5, 3, 3.4, 4)
    }
    assert len(recent) == 209
    assert all(186 <= agreeing[usd] <= 189 for usd in (2, 2.2, 2.5, 3, 3.4))
    assert all(agreeing[usd] < 186 for usd in (1, 1.25, 1.5, 1.75, 1.9, 4))


@pytest.mark.parametrize(("asked", "models"), [
    ("gpt-4o", {"gpt-4o"}),
    ("OpenAI/GPT-4o", {"gpt-4o"}),
    ("gpt-4o-*", {"gpt-4o-2024-08-06", "gpt-4o-mini"}),
    ("argon", {"gemini-4-argon"}),
])  # fmt: skip
def test_a_model_is_found_by_its_name_a_pattern_or_a_part(asked: str, models: set[str]) -> None:
    assert {r.model for r in choose(asked)} == models


def test_a_line_a_tier_and_days_are_found() -> None:
    sonnets = choose(lineage="sonnet")
    assert len(sonnets) == 12 and {r.lineage.line for r in sonnets} == {"sonnet"}
    assert choose(lineage="anthropic/Sonnet") == sonnets
    assert {r.lineage.tier for r in choose(tier="commodity")} == {"commodity"}
    early = choose(provider="openai", until=date(2022, 12, 31))
    assert {r.date.year for r in early} == {2020, 2021, 2022}
    assert choose("gpt-4o", since=date(2026, 1, 1)) == []


def test_what_is_not_there_gets_suggestions() -> None:
    with pytest.raises(NotInHistory, match="did you mean claude-opus-5"):
        choose("claude-opus-9")
    with pytest.raises(NotInHistory, match="there are: ada, "):
        choose(lineage="symphony")


def test_a_row_follows_its_own_model_or_its_predecessor_in_the_line() -> None:
    found = {(s.row.model, s.row.date.isoformat()): s for s in steps(choose(lineage="haiku"))}
    first = found["claude-instant-1.2", "2023-08-09"]
    assert first.before is None and first.change("input") is None
    successor = found["claude-3-5-haiku", "2024-11-04"]
    assert successor.succeeds and successor.before is not None and successor.before.model == "claude-3-haiku"
    assert successor.change("input") == pytest.approx(3) and successor.change("output") == pytest.approx(3)
    assert successor.change("cached") is None
    own = found["claude-3-5-haiku", "2024-12-05"]
    assert not own.succeeds and own.change("input") == pytest.approx(-0.2)


def test_a_tariff_beside_the_plain_price_is_in_no_line() -> None:
    (long,) = [s for s in steps(choose("claude-sonnet-4")) if s.row.variant == ">200k"]
    assert long.before is None
    assert all(not r.variant and r.provider != CHEAPEST_HOST for line in series() for r in line.rows)


def test_a_line_is_always_its_newest_model() -> None:
    (flagship,) = [line for line in series(until=TODAY) if line.name == "openai gpt"]
    seen: list[str] = []
    for r in flagship.rows:
        if not seen or r.model != seen[-1]:
            assert r.model not in seen
            seen.append(r.model)
    assert flagship.at(date(2024, 6, 1)) in flagship.rows
    on_a_day = flagship.at(date(2024, 6, 1))
    assert on_a_day is not None and on_a_day.model == "gpt-4o"
    assert flagship.at(date(2019, 1, 1)) is None


def test_scores_are_of_models_with_prices() -> None:
    priced = {r.model for r in price_rows()}
    assert {score.model for score in scores()} <= priced
    assert {score.benchmark for score in scores()} == {"MMLU", "GPQA Diamond", "SWE-bench Verified", "ECI"}
    assert best_score("MMLU")["davinci"] == 0.439
    assert best_score("MMLU")["gpt-4o-mini"] == 0.818 and best_score("MMLU", min)["gpt-4o-mini"] == 0.767
