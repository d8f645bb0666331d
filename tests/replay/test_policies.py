"""What other policies come to: who is refused, what is not made then, cut, moved, and between what the cost may lie. Sums by hand."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jevons.core.ask import Dialect
from jevons.core.entry import Entry, Estimate, Hold, Outcome, first_id_of_ms
from jevons.core.limits import ACCOUNTS_KEPT_MAX
from jevons.core.usage import Usage
from jevons.ledger.ops import Imported, ImportRow, Key, KeyCreated, KeySettings
from jevons.ledger.sqlite import SqliteStore
from jevons.meter.pricebook import PriceBook
from jevons.policy.access import Access
from jevons.policy.route import Alias, Offer, Table
from jevons.policy.rules import Limit
from jevons.replay.eras import Dated, Policy, Stated, Supplier
from jevons.replay.report import document
from jevons.replay.run import Recordings
from tests.replay.recorder import START_MS, Recorder, Request

AS_IT_WAS = Policy("as it was", recorded=True)
SMALL_NUSD, LARGE_NUSD = 900 * 2_500 + 100 * 10_000, 900 * 2_500 + 1_000 * 10_000
"""A call of the recorder's own: 900 tokens in, 100 out; and one with 1,000 out."""
DAY_MS = 86_400_000
TABLE = Table(
    (Offer("openai", ("gpt-*",), frozenset({Dialect.CHAT})), Offer("plan", ("plan-*",), frozenset({Dialect.CHAT}))),
    (Alias("gpt-4o", "openai", "gpt-4o-mini"),),
)
SUPPLIERS = {"openai": Supplier("openai"), "plan": Supplier("openai", billed=False)}
Record = Callable[..., Recordings]


@pytest.fixture
def record(tmp_path: Path, book: PriceBook) -> Record:
    """A ledger of these requests, ten seconds apart where they do not say otherwise."""

    def made(requests: list[Request], limits: tuple[Limit, ...] = (), since_ms: int = 0, denied: int = 0) -> Recordings:
        async def scene() -> None:
            recorder = Recorder(tmp_path, book, limits)
            for number in (1, 2):
                await recorder.key(number)
            for n, request in enumerate(requests):
                recorder.ask(request._replace(at_ms=request.at_ms + n * 10_000))
            if denied:
                recorder.denied(1, "steps", denied)
            recorder.close()

        asyncio.run(scene())
        return Recordings(tmp_path, tmp_path / "ledger.db", since_ms=since_ms, book=book)

    return made


def tried(*limits: Limit, **members: Any) -> Policy:
    return Policy(
        "tried",
        stated=Stated(limits, **{name: members.pop(name) for name in ("access", "governor") if name in members}),
        **members,
    )


def outcome(recordings: Recordings, policy: Policy) -> dict[str, Any]:
    [found] = document(recordings, [recordings.replay(policy)])["policies"]
    return dict(found)


def test_as_it_was_nothing_is_another(record: Record) -> None:
    recordings = record([Request()] * 3)
    recorded = document(recordings, [])["recorded"]
    assert (recorded["calls"], recorded["billed_nusd"], recorded["refused"]) == (3, 3 * SMALL_NUSD, 0)
    found = outcome(recordings, AS_IT_WAS)
    names = ("cost_nusd", "low_nusd", "high_nusd", "change_nusd", "refused", "unmade", "not_replayed")
    assert [found[name] for name in names] == [3 * SMALL_NUSD] * 3 + [0, 0, 0, {}]


def test_a_run_that_is_refused_ends_or_is_refused_again(record: Record) -> None:
    """Of a limit on steps both come to the same money; only who is told differs."""
    small, large = Request(run="r"), Request(run="r", output_cap=2_000, used_output=1_000)
    other = Request(key_id=2, run="other")
    recordings = record([small, large, small, small, other])
    found = outcome(recordings, tried(Limit("sessions", scope="run", steps=2, key="key-1")))
    assert (found["cost_nusd"], found["cost_if_runs_go_on_nusd"]) == (2 * SMALL_NUSD + LARGE_NUSD,) * 2
    assert (found["refused"], found["unmade"], found["refused_if_runs_go_on"]) == (1, 1, 2)


def test_ends_and_goes_on_are_the_ends_of_the_interval(record: Record) -> None:
    """A call whose input is too long is refused; the next ones are short again."""
    short, long = Request(run="r"), Request(run="r", input_tokens=5_000, used_input=4_000)
    found = outcome(record([short, long, short, short]), tried(Limit("context", scope="run", context_tokens=2_000)))
    assert (found["cost_nusd"], found["low_nusd"], found["high_nusd"]) == (SMALL_NUSD, SMALL_NUSD, 3 * SMALL_NUSD)
    long_nusd = 4_000 * 2_500 + 100 * 10_000
    [stopped] = found["limits"]
    assert (stopped["refused"], stopped["unmade"], stopped["avoided_nusd"]) == (1, 2, long_nusd + 2 * SMALL_NUSD)
    assert stopped["avoided_if_runs_go_on_nusd"] == long_nusd
    assert (stopped["first_key"], stopped["first_run"], stopped["first_ms"]) == ("key-1", "r", START_MS + 10_000)
    assert stopped["runs"] == [{"key": "key-1", "run": "r", "avoided_nusd": stopped["avoided_nusd"]}]


def test_children_end_with_the_run_that_started_them(record: Record) -> None:
    root, child = Request(run="root"), Request(run="child", parent="root")
    found = outcome(record([root, root, child, child]), tried(Limit("sessions", scope="run", steps=1)))
    assert (found["calls"], found["refused"], found["unmade"]) == (1, 1, 2)


def test_calls_without_a_run_are_each_by_themselves(record: Record) -> None:
    found = outcome(record([Request()] * 4), tried(Limit("steps", steps=1)))
    assert (found["calls"], found["refused"], found["unmade"], found["high_nusd"]) == (1, 3, 0, SMALL_NUSD)


def test_an_answer_is_cut(record: Record) -> None:
    """At 40 tokens, by a rule; the upstream had been told 500."""
    found = outcome(record([Request()]), tried(Limit("short", output_cap=40)))
    assert (found["cut"], found["cost_nusd"]) == (1, 900 * 2_500 + 40 * 10_000)


def test_an_answer_that_was_cut_might_have_been_longer(record: Record, tmp_path: Path) -> None:
    """It was told 40 and ended there: under 500 it may cost 460 tokens more."""
    recordings = record([Request(used_output=40)], (Limit("short", output_cap=40),))
    store = SqliteStore(tmp_path / "ledger.db")
    store.db.execute("DROP TRIGGER entries_are_never_edited; UPDATE entries SET finish = 'length'")
    store.close()
    found = outcome(recordings, tried())
    assert (found["longer"], found["cost_nusd"]) == (1, 900 * 2_500 + 40 * 10_000)
    assert found["high_nusd"] == found["cost_nusd"] + 460 * 10_000
    assert outcome(recordings, AS_IT_WAS)["longer"] == 0


def test_a_route_leads_to_another_model(record: Record) -> None:
    """gpt-4o-mini costs $0.15 and $0.60 a million. Too few answers to compare: half to twice the output is assumed."""
    found = outcome(record([Request(agent="codex")]), tried(table=TABLE, suppliers=SUPPLIERS, reroutes=True))
    [moved] = found["moved"]
    assert (moved["agent"], moved["from"], moved["to"], moved["calls"]) == ("codex", "gpt-4o", "gpt-4o-mini", 1)
    assert found["cost_nusd"] == moved["cost_nusd"] == 900 * 150 + 100 * 600
    assert (moved["low_nusd"], moved["high_nusd"]) == (900 * 150 + 50 * 600, 900 * 150 + 200 * 600)
    assert "assumed" in moved["basis"]
    assert (found["low_nusd"], found["high_nusd"]) == (moved["low_nusd"], moved["high_nusd"])


def test_answers_of_both_models_say_how_lengths_differ(record: Record) -> None:
    """The agent's answers by gpt-4o-mini were twice as long, always: there is nothing to resample."""
    before = [Request(agent="codex")] * 30 + [Request(agent="codex", model="gpt-4o-mini", used_output=200)] * 30
    [moved] = outcome(record(before), tried(table=TABLE, suppliers=SUPPLIERS, reroutes=True))["moved"]
    assert moved["calls"] == 30
    assert (moved["low_nusd"], moved["high_nusd"]) == (30 * (900 * 150 + 100 * 600), 30 * (900 * 150 + 200 * 600))
    assert "resamples of this agent's 30 and 30 answers" in moved["basis"]


def test_a_model_that_nobody_offers_and_one_that_is_denied(record: Record) -> None:
    nowhere = Table((Offer("plan", ("plan-*",), frozenset({Dialect.CHAT})),))
    recordings = record([Request()])
    for policy in (
        tried(table=nowhere, suppliers=SUPPLIERS, reroutes=True),
        tried(access=(Access("no-dear", models_deny=("gpt-4o",)),)),
        tried(access=(Access("alias", models_deny=("gpt-4o-mini",)),), table=TABLE, suppliers=SUPPLIERS, reroutes=True),
    ):
        assert (outcome(recordings, policy)["refused"], outcome(recordings, policy)["cost_nusd"]) == (1, 0)
    assert outcome(recordings, tried(access=(Access("watched", mode="observe", models_deny=("gpt-4o",)),)))["refused"] == 0


def test_a_nearly_spent_limit_goes_on_with_a_cheaper_model(record: Record) -> None:
    """The first call is the dear one; then more than half is spent."""
    table = Table(TABLE.offers)
    limit = Limit("thrift", usd="0.02", degrade_at=0.1, degrade_to=("gpt-4o-mini",))
    found = outcome(record([Request(run="r", turn=1)] * 3), tried(limit, table=table, suppliers=SUPPLIERS))
    assert (found["degraded"], found["cost_nusd"]) == (2, SMALL_NUSD + 2 * (900 * 150 + 100 * 600))


@pytest.mark.parametrize(("turn", "warm_tokens", "degraded"), [(1, 0, 2), (1, 1000, 0), (2, 1000, 0)])
def test_a_switch_is_charged_with_what_was_warm_then(record: Record, turn: int, warm_tokens: int, degraded: int) -> None:
    """The other model is little cheaper: where all of the prompt was cached, the dear one goes on."""
    limit = Limit("thrift", usd="0.005", degrade_at=0.1, degrade_to=("gpt-5.1",))
    calls = [Request(run="r", turn=turn, model="gpt-5.2", output_cap=10, used_output=9, warm_tokens=warm_tokens)] * 3
    assert outcome(record(calls), tried(limit, table=Table(TABLE.offers), suppliers=SUPPLIERS))["degraded"] == degraded


def test_what_was_refused_then_might_be_served(record: Record) -> None:
    """Three of five calls were refused by a limit that is gone: at most they cost an average call each."""
    recordings = record([Request()] * 2, (Limit("steps", steps=2),), denied=3)
    found = outcome(recordings, tried())
    assert (found["might_be_served"], found["might_be_served_nusd"]) == (3, 3 * SMALL_NUSD)
    assert (found["cost_nusd"], found["high_nusd"]) == (2 * SMALL_NUSD, 5 * SMALL_NUSD)
    assert outcome(recordings, tried(Limit("steps", steps=2)))["might_be_served"] == 0
    assert outcome(recordings, AS_IT_WAS)["high_nusd"] == 2 * SMALL_NUSD


def test_what_was_spent_before_counts(record: Record) -> None:
    """Two calls before the replay begins: of a limit of three steps one is left; of a day's all."""
    requests = [Request()] * 2 + [Request(at_ms=START_MS + DAY_MS)] * 3
    recordings = record(requests, since_ms=START_MS + DAY_MS)
    assert outcome(recordings, tried(Limit("three", steps=3)))["calls"] == 1
    assert outcome(recordings, tried(Limit("three", steps=3, per="day")))["calls"] == 3
    assert outcome(recordings, tried(Limit("run-three", scope="run", steps=3)))["calls"] == 3


def test_a_dated_change(record: Record) -> None:
    """From the third call on there is no limit."""
    recordings = record([Request()] * 4)
    change = Dated(START_MS + 20_000, remove=("one",))
    assert outcome(recordings, tried(Limit("one", steps=1), changes=(change,)))["calls"] == 3
    change = Dated(START_MS + 20_000, limits=(Limit("one", steps=2),))
    assert outcome(recordings, tried(Limit("one", steps=1), changes=(change,)))["calls"] == 2


def test_an_observed_limit_stops_nothing(record: Record) -> None:
    found = outcome(record([Request()] * 3), tried(Limit("watched", steps=1, mode="observe")))
    assert (found["calls"], found["refused"], found["observed"]) == (3, 0, {"watched": 2})


def test_a_person_would_be_asked(record: Record) -> None:
    found = outcome(record([Request(run="r")] * 3), tried(Limit("ask", scope="run", steps=10, approve=1)))
    [stopped] = found["limits"]
    assert (found["calls"], stopped["asked"], stopped["unmade"]) == (1, 1, 1)


def test_imported_calls_count_with_what_they_came_to(tmp_path: Path, book: PriceBook) -> None:
    """As it was they are under no limit; under a policy each is let through whole, or not at all."""
    key = Key(1, "claude-code", b"k" * 32, "", START_MS, None, KeySettings(source="claude_code"))
    rows = []
    for n in range(4):
        hold = Hold(
            first_id_of_ms(START_MS + n * 1000),
            1,
            "s",
            "messages",
            "m",
            "m",
            "anthropic",
            False,
            0,
            0,
            0,
            "exact",
            0,
            "",
            "",
            b"",
            0,
        )
        entry = Entry(
            hold,
            Outcome.OK,
            200,
            Usage(input=10, output=90),
            (),
            5_000,
            5_000,
            Estimate.NONE,
            START_MS + n * 1000 + 500,
            source="claude_code",
        )
        rows.append(ImportRow(bytes([n]) * 16, entry))
    store = SqliteStore(tmp_path / "ledger.db")
    store.apply([KeyCreated(key)])
    store.apply([Imported(tuple(rows), None)])
    store.close()
    recordings = Recordings(tmp_path, tmp_path / "ledger.db", book=book)
    found = outcome(recordings, AS_IT_WAS)
    assert (found["cost_nusd"], found["not_replayed"]) == (20_000, {"imported_calls": 4})
    found = outcome(recordings, tried(Limit("sessions", scope="run", usd="0.000012")))
    assert (found["calls"], found["cost_nusd"], found["refused"], found["unmade"]) == (2, 10_000, 1, 1)
    assert found["limits"][0]["avoided_nusd"] == 10_000
    found = outcome(recordings, tried(Limit("tokens", tokens=150)))
    assert (found["calls"], found["refused"], found["unmade"]) == (1, 1, 2)


def test_more_runs_than_accounts_are_kept_for(record: Record) -> None:
    """Their accounts are let go on the way and made anew: runs that come again are where they were."""
    runs, again = ACCOUNTS_KEPT_MAX // 4 + 200, 300
    requests = [Request(run=f"r{n}", takes_ms=5) for n in [*range(runs), *range(again)]]
    limits = [
        Limit("steps", scope="run", steps=1),
        Limit("money", scope="run", usd=1),
        Limit("tokens", scope="run", tokens=10**6),
    ]
    found = outcome(record(requests), tried(*limits, Limit("output", scope="run", output_tokens=10**6)))
    assert (found["calls"], found["refused"], found["unmade"]) == (runs, again, 0)
    assert [stopped["limit"] for stopped in found["limits"]] == ["steps"]


def test_what_was_said_before_holds(tmp_path: Path, book: PriceBook) -> None:
    """A key's limit, a limit that was set while serving, a run's own budget, a yes of a person: of the day before the replay begins."""
    begin_ms = START_MS + DAY_MS

    async def scene() -> None:
        recorder = Recorder(tmp_path, book)
        await recorder.key(1)
        recorder.ask(Request(run="r"))
        recorder.until(START_MS + 5_000)
        ledger = recorder.ledger
        await ledger.set_limit(1, 4 * SMALL_NUSD, START_MS + 10_000)
        await ledger.put_limit(Limit("gone", steps=1), START_MS + 10_000)
        await ledger.remove_limit("gone", START_MS + 11_000)
        await ledger.put_limit(Limit("stays", scope="run", output_tokens=10**6), START_MS + 12_000)
        who = ledger.who(ledger.by_id[1], "", "r")
        ledger.tighten(ledger.runs.enter(1, "r", None, START_MS), who, 3 * SMALL_NUSD, START_MS + 13_000)
        await ledger.adjust(1, SMALL_NUSD, "a bill", START_MS + 14_000)
        for n in range(3):
            recorder.ask(Request(run="r", output_cap=None, used_output=300, at_ms=begin_ms + n * 10_000))
        assert recorder.refused
        recorder.close()

    asyncio.run(scene())
    recordings = Recordings(tmp_path, tmp_path / "ledger.db", since_ms=begin_ms, book=book)
    held: list[int] = []
    with recordings.world(AS_IT_WAS, stops=False) as world:
        world.on_post = lambda call, _: held.append(call.amounts[0])
        recordings.run(world)
        assert world.totals[1].limit == 4 * SMALL_NUSD
        posted = world.totals[1].posted
    with recordings.reading() as db:
        assert held == [
            row[0] for row in db.execute("SELECT held_nusd FROM entries WHERE id >= ? ORDER BY id", (first_id_of_ms(begin_ms),))
        ]
        assert posted == db.execute("SELECT posted_nusd FROM accounts").get


def test_a_price_book_that_is_gone(record: Record, tmp_path: Path) -> None:
    recordings = record([Request()])
    store = SqliteStore(tmp_path / "ledger.db")
    store.db.execute("DROP TRIGGER entries_are_never_edited; UPDATE entries SET price_book = 'ffff'")
    store.close()
    found = outcome(recordings, AS_IT_WAS)
    assert (found["cost_nusd"], found["not_replayed"]) == (SMALL_NUSD, {"price_books_gone": 1})
