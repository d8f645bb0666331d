"""Histories: whole periods only, small segments together, what is gone and what stands still said."""

from datetime import date, timedelta
from pathlib import Path

from jevons.economics.forecast.segments import SEGMENTS_MAX, days_since_1970, history
from jevons.ledger.sqlite import SqliteStore
from tests.economics.forecast.using import FLASH, MINI, NOW, SONNET, TODAY, company, runs
from tests.economics.planting import TEAMS, write


def test_weeks_end_yesterday_and_the_running_day_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "ledger.db", runs(range(NOW - 17, NOW + 1), "support", "agent", SONNET))
    found = history(tmp_path / "ledger.db", TODAY)
    assert found is not None and (found.per, found.cost, found.start) == ("week", "billed", NOW)
    assert found.spans == ((NOW - 14, NOW - 7), (NOW - 7, NOW))
    [agent] = found.segments
    assert (agent.labels, agent.line, agent.tier) == (
        {"org": "default", "team": "support", "agent": "agent"},
        "anthropic/sonnet",
        "frontier",
    )
    assert (agent.tasks, agent.depth, agent.size) == ((2, 2), (10, 10), (8_400, 8_400))


def test_a_segment_begins_with_its_first_week(tmp_path: Path) -> None:
    write(
        tmp_path / "ledger.db",
        [*runs(range(NOW - 28, NOW), "a", "x", SONNET), *runs(range(NOW - 7, NOW), "b", "y", FLASH, a_day=3)],
    )
    found = history(tmp_path / "ledger.db", TODAY)
    assert found is not None and {segment.name: len(segment.tasks) for segment in found.segments} == {
        "a x anthropic/sonnet": 4,
        "b y google/gemini flash": 1,
    }


def test_two_years_are_read_by_the_month(tmp_path: Path) -> None:
    first = days_since_1970(date(2024, 10, 20))
    write(
        tmp_path / "ledger.db",
        [work for day in range(first, NOW, 7) for work in runs(range(day, day + 1), "a", "x", SONNET, a_day=1)],
    )
    found = history(tmp_path / "ledger.db", TODAY)
    assert found is not None and found.per == "month"
    assert (found.spans[0].first, found.spans[-1].after, len(found.spans)) == (
        days_since_1970(date(2024, 11, 1)),
        days_since_1970(date(2026, 11, 1)),
        24,
    )
    assert found.start == NOW


def test_small_ones_are_together_by_tier_and_nothing_is_lost(tmp_path: Path) -> None:
    works = [
        work._replace(task=work.task + 100_000 * place)
        for place in range(SEGMENTS_MAX + 4)
        for work in runs(
            range(NOW - 14, NOW), TEAMS[place % len(TEAMS)], f"agent-{place}", MINI if place % 2 else SONNET, a_day=1 + place % 3
        )
    ]
    write(tmp_path / "ledger.db", works)
    found = history(tmp_path / "ledger.db", TODAY)
    assert found is not None and len(found.segments) <= SEGMENTS_MAX + 2
    assert [segment.line for segment in found.segments if not segment.labels] == ["other commodity"]
    assert abs(sum(segment.nusd for segment in found.segments) * 14 - sum(work.nusd for work in works)) < 1
    assert all(part.tier == found.segments[part.segment].tier for part in found.parts)


def test_what_is_gone_and_what_stands_still_is_said(tmp_path: Path) -> None:
    end = NOW - 30
    write(
        tmp_path / "ledger.db", [*runs(range(end - 70, end - 35), "a", "x", MINI), *runs(range(end - 70, end), "a", "x", SONNET)]
    )
    found = history(tmp_path / "ledger.db", TODAY)
    assert found is not None and found.spans[-1].after == end and found.start == NOW
    assert found.notes[0] == f"Nothing is recorded since {TODAY - timedelta(31)}: use is taken to go on from there."
    assert "so not continued: openai/gpt mini" in found.notes[1]


def test_two_days_are_one_period_and_none_is_none(tmp_path: Path) -> None:
    write(tmp_path / "two.db", runs(range(NOW - 2, NOW), "a", "x", SONNET))
    two = history(tmp_path / "two.db", TODAY)
    assert two is not None and two.spans == ((NOW - 2, NOW),) and two.segments[0].tasks == (2,)
    SqliteStore(tmp_path / "none.db").close()
    assert history(tmp_path / "none.db", TODAY) is None
    write(tmp_path / "today.db", runs(range(NOW, NOW + 1), "a", "x", SONNET))
    assert history(tmp_path / "today.db", TODAY) is None


def test_a_subscription_is_read_at_list_price(tmp_path: Path) -> None:
    found = history(company(tmp_path / "ledger.db"), TODAY, "list")
    assert found is not None and found.cost == "list" and sum(found.spent) > 0


def test_an_agent_that_began_last_week_stands_at_what_it_uses_and_a_switch_of_lines_is_counted_once(tmp_path: Path) -> None:
    new = runs(range(NOW - 7, NOW), "s", "new", FLASH)
    write(tmp_path / "new.db", [*runs(range(NOW - 84, NOW), "s", "agent", SONNET), *new])
    found = history(tmp_path / "new.db", TODAY)
    assert found is not None
    levels = {segment.labels["agent"]: segment.nusd for segment in found.segments}
    assert abs(levels["new"] - sum(work.nusd for work in new) / 7) < 1
    assert "taken at what it used since: s new." in " ".join(found.notes)
    switched = [*runs(range(NOW - 84, NOW - 7), "s", "agent", SONNET), *runs(range(NOW - 7, NOW), "s", "agent", MINI)]
    write(tmp_path / "switched.db", switched)
    after = history(tmp_path / "switched.db", TODAY)
    recent = sum(work.nusd for work in switched if work.day >= NOW - 28)
    assert after is not None and abs(sum(segment.nusd for segment in after.segments) - recent / 28) < 1
