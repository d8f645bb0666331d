"""What the ledger says of an account before it was in memory: by whom, of what, and since when."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jevons.core.entry import Entry, Outcome, admitted_ms, first_id_of_ms
from jevons.core.usage import Usage
from jevons.ledger.history import History
from jevons.ledger.ops import Adjusted, Began, Key, KeyCreated, KeySettings, Noted, Opened, Posted, RunTightened
from jevons.ledger.sqlite import SqliteStore
from jevons.policy.amounts import spent
from jevons.policy.rules import COUNTED, Limit, Measure, Rule, Who, rules_of
from jevons.policy.runs import Record
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key

RED, BLUE = KeySettings(team="red"), KeySettings(team="blue", org="umbrella")
KEYS = [make_key(1, settings=RED), make_key(2, settings=RED), make_key(3, settings=BLUE), make_key(4)]
PARENTS = {"root": None, "child": "root", "leaf": "child", "other": None}


@pytest.fixture
def entries() -> list[Entry]:
    rng = random.Random(5)
    made = []
    for number in range(120):
        run = rng.choice([None, *PARENTS])
        hold = make_hold(
            first_id_of_ms(NOON_MS + number * 3_600_000) + rng.choice((0, 0, 1)),
            key_id=rng.randint(1, 4),
            agent=rng.choice(("", "codex", "aider")),
            target=rng.choice(("gpt-5", "claude[1m]")),
            run_id=run,
            parent_run_id=PARENTS[run] if run else None,
        )
        usage = Usage(*(rng.randint(0, 9) for _ in range(4)), output=rng.randint(4, 9), reasoning=rng.randint(0, 4))
        outcome = rng.choice((Outcome.OK, Outcome.OK, Outcome.VOID, Outcome.FREE, Outcome.ERROR))
        made.append(make_entry(hold, rng.randint(0, 99), usage=usage, outcome=outcome, billed_nusd=rng.randint(0, 99)))
    return made


@pytest.fixture
def store(path: Path, entries: list[Entry]) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    runs = {(entry.hold.key_id, run) for entry in entries if entry.hold.run_id for run in PARENTS}
    store.apply([KeyCreated(key) for key in KEYS])
    store.apply([Began(key_id, run, PARENTS[run], "", "", NOON_MS) for key_id, run in sorted(runs)])
    store.apply([op for entry in entries for op in (Opened(entry.hold), Posted(entry))])
    yield store
    store.close()


@pytest.fixture
def history(path: Path, store: SqliteStore) -> Iterator[History]:
    history = History(path, {key.digest: key for key in KEYS}, {("a", 7): 5}, {("b", 0): 6})
    yield history
    history.close()


def who(key: Key, agent: str = "", run: str | None = None) -> Who:
    return Who(key.settings.org, key.settings.team, key.id, key.name, agent, run)


def rule(measure: Measure, **settings: Any) -> Rule:
    (found,) = rules_of(Limit(**{"name": "limit", measure.value: 1, **settings}))
    return found


def below(run: str) -> set[str]:
    return {label for label in PARENTS if label == run or (PARENTS[label] and run in (PARENTS[label], PARENTS[PARENTS[label]]))}  # type: ignore[index]


@pytest.mark.parametrize("measure", COUNTED)
def test_each_measure_of_each_scope_is_the_sum_of_its_entries(history: History, entries: list[Entry], measure: Measure) -> None:
    def total(settings: dict[str, Any], of: Who, run: str | None = None) -> int:
        return sum(amount for _, amount in history.posted(rule(measure, **settings), of, run, 0))

    def plain(wanted: Any) -> int:
        return sum(spent(entry)[COUNTED.index(measure)] for entry in entries if wanted(entry.hold))

    red, blue = KEYS[0], KEYS[2]
    assert total({"scope": "org"}, who(red)) == plain(lambda hold: hold.key_id in (1, 2, 4))
    assert total({"scope": "org"}, who(blue)) == plain(lambda hold: hold.key_id == 3)
    assert total({"scope": "team"}, who(red)) == plain(lambda hold: hold.key_id in (1, 2))
    assert total({"scope": "key"}, who(red)) == plain(lambda hold: hold.key_id == 1)
    assert total({"scope": "agent"}, who(red, "codex")) == plain(lambda hold: (hold.key_id, hold.agent) == (1, "codex"))
    for scope, run in (("run", "root"), ("run", "other"), ("child", "child"), ("child", "leaf")):
        assert total({"scope": scope}, who(red, "", run), run) == plain(
            lambda hold, run=run: hold.key_id == 1 and hold.run_id in below(run)
        )
    patterns = {"model": "claude[1m]", "agent": "co*"}
    assert total({"scope": "org", **patterns, "key": "key-[12]"}, who(red)) == plain(
        lambda hold: hold.key_id in (1, 2) and hold.agent == "codex" and hold.target == "claude[1m]"
    )
    assert total({"scope": "run", **patterns}, who(red, "codex", "root"), "root") == plain(
        lambda hold: hold.key_id == 1 and hold.run_id in below("root") and hold.agent == "codex" and hold.target == "claude[1m]"
    )
    assert total({"scope": "org", "team": "green"}, who(red)) == 0


@pytest.mark.parametrize("scope", ["key", "run"])
@pytest.mark.parametrize("per", ["5m", "3h", "24h", "31d", "hour", "day", "month", "year"])
def test_of_a_window_comes_all_that_counts_in_it(history: History, entries: list[Entry], scope: str, per: str) -> None:
    limit = rule(Measure.LIST_USD, scope=scope, per=per)
    at_ms = admitted_ms(entries[60].hold.id)
    since_ms = at_ms - limit.window.rolling_ms if limit.window.rolling_ms else limit.window.period(at_ms).start_ms
    end_ms = limit.window.period(at_ms).end_ms
    mine = [entry for entry in entries if entry.hold.key_id == 1 and (scope == "key" or entry.hold.run_id in below("root"))]
    expected = sum(entry.list_nusd for entry in mine if since_ms <= admitted_ms(entry.hold.id) < end_ms)
    found = list(history.posted(limit, who(KEYS[0], "", "root"), "root" if scope == "run" else None, since_ms))
    assert sum(amount for posted_ms, amount in found if since_ms <= posted_ms < end_ms) == expected


def test_a_correction_counts_where_its_entry_counts_or_for_its_key_alone(
    history: History, store: SqliteStore, entries: list[Entry]
) -> None:
    entry = next(one for one in entries if one.hold.key_id == 1 and one.hold.run_id == "leaf" and one.hold.agent == "codex")
    store.apply(
        [Adjusted(1, 10_000, "of an entry", NOON_MS - 5, entry.hold.id), Adjusted(1, 1_000_000, "of the key", NOON_MS - 5)]
    )

    def corrected(settings: dict[str, Any], of: Who, run: str | None = None, since_ms: int = 0) -> int:
        found = list(history.posted(rule(Measure.USD, **settings), of, run, since_ms))
        return sum(amount for _, amount in found if amount >= 10_000)

    key = KEYS[0]
    assert corrected({"scope": "org"}, who(key)) == corrected({"scope": "key"}, who(key)) == 1_010_000
    assert corrected({"scope": "org"}, who(KEYS[2])) == 0
    assert corrected({"scope": "key"}, who(key), since_ms=NOON_MS) == 10_000
    assert corrected({"scope": "agent"}, who(key, "codex")) == 10_000
    assert corrected({"scope": "agent"}, who(key, "aider")) == 0
    assert corrected({"scope": "key", "model": entry.hold.target}, who(key)) == 10_000
    assert corrected({"scope": "run"}, who(key, "", "root"), "root") == 10_000
    assert corrected({"scope": "run"}, who(key, "", "other"), "other") == 0
    assert {amount for _, amount in history.posted(rule(Measure.LIST_USD), who(key), None, 0) if amount >= 10_000} == set()
    assert history.has_entry(1, entry.hold.id) and not history.has_entry(2, entry.hold.id)


def test_of_a_run_comes_who_started_it_when_and_how_many_it_started(history: History, store: SqliteStore) -> None:
    store.apply([RunTightened(1, "child", 500, NOON_MS), RunTightened(1, "new", 70, NOON_MS)])
    assert history.recall(1, "root") == Record(None, NOON_MS, 1, None)
    assert history.recall(1, "child") == Record("root", NOON_MS, 1, 500)
    assert history.recall(1, "new") == Record(None, None, 0, 70)
    assert history.recall(1, "nowhere") is None


def test_overruns_and_grants_are_those_the_ledger_keeps(history: History) -> None:
    assert (history.overrun("a", 7), history.overrun("a", 0)) == (5, 0)
    assert (history.granted("b", 0), history.granted("b", 7)) == (6, 0)


def test_the_run_that_made_a_stored_response_is_found_by_its_key_alone(history: History, store: SqliteStore) -> None:
    for number, run in ((1, "root"), (2, None)):
        hold = make_hold(first_id_of_ms(NOON_MS - number), run_id=run)
        store.apply([Opened(hold), Posted(make_entry(hold, 1, response_id=f"resp_{number}"))])
    assert history.run_of_response(1, "resp_1") == "root"
    assert history.run_of_response(2, "resp_1") is None
    assert history.run_of_response(1, "resp_2") is None
    assert history.run_of_response(1, "resp_3") is None


def test_the_latest_inferred_calls_come_oldest_first(history: History, store: SqliteStore) -> None:
    for number in range(4):
        hold = make_hold(
            first_id_of_ms(NOON_MS - 10 + number), run_id=f"auto-{number}", run_source="inferred", chain=bytes([number]) * 16
        )
        store.apply([Opened(hold), Posted(make_entry(hold, 1))])
    assert [(row[0], row[1], bytes(row[2]), row[3]) for row in history.inferred(NOON_MS - 9)] == [
        (1, f"auto-{number}", bytes([number]) * 16, NOON_MS - 10 + number) for number in (1, 2, 3)
    ]
    assert len(history.inferred(-1)) == 4


@pytest.mark.parametrize("scope", ["key", "run"])
@pytest.mark.parametrize("per", ["5m", "3h", "31d", "hour", "day", "month", "total"])
def test_how_an_account_stood_at_an_instant(path: Path, store: SqliteStore, entries: list[Entry], scope: str, per: str) -> None:
    """What was admitted from then on is left out, wherever in a period the instant lies; so are corrections of later."""
    limit, until_ms = rule(Measure.USD, scope=scope, per=per), admitted_ms(entries[70].hold.id) + 1
    first, later = entries[3].hold, entries[110].hold
    store.apply([Adjusted(1, 1000, "early", until_ms - 1), Adjusted(1, 10**6, "late", until_ms, first.id)])
    store.apply([Adjusted(later.key_id, 10**8, "of a later call", until_ms + 5, later.id)])
    before = History(path, {key.digest: key for key in KEYS}, {}, {}, until_ms)
    at_ms = until_ms - 1
    since_ms = at_ms - limit.window.rolling_ms if limit.window.rolling_ms else limit.window.period(at_ms).start_ms
    run = "root" if scope == "run" else None
    found = [(at, amount) for at, amount in before.posted(limit, who(KEYS[0], "", run), run, since_ms) if at >= since_ms]
    mine = [
        (admitted_ms(entry.hold.id), entry.billed_nusd)
        for entry in entries
        if entry.hold.key_id == 1
        and since_ms <= admitted_ms(entry.hold.id) < until_ms
        and (run is None or entry.hold.run_id in below(run))
    ]
    assert sum(amount for _, amount in found) == sum(amount for _, amount in mine) + (1000 if run is None else 0)
    assert all(at < until_ms + 86_400_000 for at, _ in found)
    before.close()


def test_which_policy_the_log_says_last(history: History, store: SqliteStore) -> None:
    assert history.stated_policy() is None
    for steps in (1, 2):
        said: dict[str, object] = {"limits": [{"name": "a", "steps": steps}], "order": steps}
        store.apply([Noted(NOON_MS, "policy", "jevons.toml", said)])
    assert history.stated_policy() == {"limits": [{"name": "a", "steps": 2}]}


def test_no_limit_counts_what_was_imported(path: Path, store: SqliteStore) -> None:
    imported = [
        msgspec.structs.replace(key, settings=msgspec.structs.replace(key.settings, source="litellm")) for key in KEYS[:1]
    ]
    every, fewer = (History(path, {key.digest: key for key in keys}, {}, {}) for keys in (KEYS, [*imported, *KEYS[1:]]))
    of_team = rule(Measure.OUTPUT, scope="team", team="red")
    whole, counted = (sum(amount for _, amount in of.posted(of_team, who(KEYS[1]), None, 0)) for of in (every, fewer))
    of_key = rule(Measure.OUTPUT, scope="key", key=KEYS[0].name)
    assert counted == whole - sum(amount for _, amount in every.posted(of_key, who(KEYS[0]), None, 0)) < whole
    every.close()
    fewer.close()
