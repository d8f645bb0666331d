"""Each lever's derivative against the difference that a small pull of it makes, and what a pull refuses."""

from pathlib import Path

import msgspec
import pytest

from jevons.economics.forecast.formula import Rates, bill
from jevons.economics.forecast.levers import (
    NO_RUNS,
    Pull,
    Target,
    cached,
    moved,
    parse,
    pulled,
    runs_of,
    settled,
    slopes,
    swap_slope,
)
from jevons.economics.forecast.segments import History, history
from jevons.economics.frames import Span
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.ledger.ops import Imported, ImportRow, Key, KeyCreated, KeySettings
from jevons.ledger.sqlite import SqliteStore
from tests.economics.forecast.using import NOW, SONNET, TODAY, company, runs
from tests.economics.planting import row, write

HAIKU = Target("anthropic", "claude-haiku-4-5", "anthropic/haiku", "commodity", Rates(1_000, 100, 1_250, 5_000))
EPSILON = 1e-4


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> History:
    found = history(company(tmp_path_factory.mktemp("levers") / "ledger.db"), TODAY)
    assert found is not None
    return found


def targets(name: str) -> Target:
    known = {
        HAIKU.model: HAIKU,
        "gemini-2.5-flash": Target("google", "gemini-2.5-flash", "google/gemini flash", "commodity", Rates(300, 30, 300, 2_500)),
    }
    if name not in known:
        raise UnknownFact(name)
    return known[name]


def total(parts: object) -> float:
    return sum(bill(part.terms) for part in parts)  # type: ignore[attr-defined,misc]


def test_derivatives_are_finite_differences(past: History) -> None:
    parts, base = past.parts, total(past.parts)
    found = {slope.name: slope.nusd_a_day for slope in slopes(parts, targets)}
    more = total(part._replace(terms=cached(part.terms, EPSILON)) for part in parts)
    assert found["cache"] == pytest.approx((more - base) / EPSILON, rel=1e-6) and found["cache"] < 0
    deeper = total(part._replace(terms=part.terms._replace(depth=part.terms.depth * (1 + EPSILON))) for part in parts)
    assert found["steps"] == pytest.approx((deeper - base) / EPSILON, rel=1e-6)
    routed = total(pulled(Pull("route", "route", EPSILON), parts, past.segments, targets, NO_RUNS))
    assert found["route"] == pytest.approx((routed - base) / EPSILON, rel=1e-6) and found["route"] < 0
    swap = Pull("swap", "swap", 1.0, "claude-*", HAIKU.model)
    little = total(moved(parts, EPSILON, HAIKU, lambda part: part.model == SONNET.name, dearer=True))
    assert swap_slope(swap, parts, targets).nusd_a_day == pytest.approx((little - base) / EPSILON, rel=1e-6)
    assert base + swap_slope(swap, parts, targets).nusd_a_day == pytest.approx(
        total(pulled(swap, parts, past.segments, targets, NO_RUNS))
    )


def test_a_cache_share_ends_where_the_input_does(past: History) -> None:
    agent = past.parts[0].terms
    assert agent.cached == pytest.approx(0.75)
    assert cached(agent, 0.2).cached == pytest.approx(0.95) and cached(agent, 0.5).cached == 1 and cached(agent, -1).cached == 0
    unknown = agent._replace(rates=agent.rates._replace(cached=None))
    assert cached(unknown, 0.1) == unknown


def test_a_cap_cuts_what_is_beyond_it(tmp_path: Path) -> None:
    days = range(NOW - 28, NOW)
    long = [work._replace(task=work.task + 500) for work in runs(days, "support", "agent", SONNET, a_day=1, calls=90)]
    write(tmp_path / "ledger.db", [*runs(days, "support", "agent", SONNET, a_day=3, calls=10), *long])
    found = history(tmp_path / "ledger.db", TODAY)
    assert found is not None
    known = runs_of(tmp_path / "ledger.db", Span(NOW - 28, NOW))
    support = ("default", "support", "agent")
    assert known.lengths == {support: [(10, 84), (90, 28)]}
    assert known.steps == {(support, "anthropic/sonnet"): (28 * 120, 0)}
    capped = pulled(parse("steps=50"), found.parts, found.segments, targets, known)
    assert total(capped) / total(found.parts) == pytest.approx((30 + 50) / 120)
    assert total(pulled(parse("steps=90"), found.parts, found.segments, targets, known)) == pytest.approx(total(found.parts))


def test_a_cap_leaves_calls_outside_runs_alone(tmp_path: Path) -> None:
    days = range(NOW - 28, NOW)
    agent = runs(days, "support", "agent", SONNET, a_day=1, calls=90)
    rows = [row(place, work, 1) for place, work in enumerate(agent)]
    for place, work in enumerate(agent, len(agent)):
        told = row(place, work, 1)
        hold = msgspec.structs.replace(told.entry.hold, run_id=None)
        rows.append(ImportRow(told.digest, msgspec.structs.replace(told.entry, hold=hold)))
    settings = KeySettings(team="support", source="litellm")
    store = SqliteStore(tmp_path / "ledger.db", synchronous="OFF")
    store.apply([KeyCreated(Key(1, "support", bytes(32), "", 0, settings=settings)), Imported(tuple(rows))])
    store.close()
    found = history(tmp_path / "ledger.db", TODAY)
    assert found is not None
    known = runs_of(tmp_path / "ledger.db", Span(NOW - 28, NOW))
    capped = pulled(parse("steps=45"), found.parts, found.segments, targets, known)
    assert total(capped) / total(found.parts) == pytest.approx((45 + 90) / 180)


def test_what_is_dearer_is_not_routed_to_but_may_be_swapped_for(past: History) -> None:
    dear = Target("x", "dear", "x/dear", "frontier", Rates(1e6, 1e6, 1e6, 1e6))
    assert total(moved(past.parts, 0.5, dear, lambda _: True)) == pytest.approx(total(past.parts))
    assert total(moved(past.parts, 0.5, dear, lambda _: True, dearer=True)) > total(past.parts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cache",
        "cache=much",
        "cache=nan",
        "route=130%",
        "steps=0",
        f"steps={'9' * 400}",
        "steps=2.5",
        "swap=a",
        "swap=:b",
        "park=1",
    ],
)
def test_what_is_no_lever_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(UnitCostError, match="cache=\\+20 \\(-100 to 100\\), route=30%"):
        parse(text)


def test_a_swap_is_taken_apart_where_a_model_in_use_ends(past: History) -> None:
    free = [part._replace(model="r1:free") for part in past.parts]
    assert settled(parse("swap=r1:free:llama3:8b"), free)[3:] == ("r1:free", "llama3:8b")
    assert settled(parse("swap=r1:free"), past.parts)[3:] == ("r1", "free") and settled(parse("steps=3"), free) == parse(
        "steps=3"
    )


def test_models_that_nobody_knows_are_named(past: History) -> None:
    with pytest.raises(UnitCostError, match=r"gpt-9 is not in use; there are: claude-sonnet-4-5, gemini-2\.5-flash"):
        pulled(parse("swap=gpt-9:claude-haiku-4-5"), past.parts, past.segments, targets, NO_RUNS)
    with pytest.raises(UnknownFact, match="gpt-9"):
        pulled(parse("route=10%:gpt-9"), past.parts, past.segments, targets, NO_RUNS)
    reader = [part for part in past.parts if part.tier == "commodity"]
    with pytest.raises(UnknownFact, match="name one: route=30%:MODEL"):
        pulled(parse("route=10%"), reader, past.segments, targets, NO_RUNS)
    assert [slope.name for slope in slopes(reader, targets)] == ["cache", "steps"]
    bare = Target("x", "bare", "x/bare", "commodity", Rates(1, None, None, 1))
    with pytest.raises(UnknownFact, match="bare has tokens of claude-sonnet-4-5"):
        moved(past.parts, 0.5, bare, lambda _: True)
