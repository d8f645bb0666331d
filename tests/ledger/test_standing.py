"""What an operator is shown: limits with what is spent and held under them, kills, questions."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from jevons.core.entry import Entry, first_id_of_ms
from jevons.ledger import admin, importing, standing
from jevons.ledger.admin import KeyChanges, Unknown
from jevons.ledger.errors import LedgerError, LedgerUnavailable
from jevons.ledger.importing import Whose
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import Approval, Imported, ImportRow, KeySettings
from jevons.ledger.sqlite import SqliteStore
from jevons.policy.amounts import bound
from jevons.policy.rules import Limit
from tests.ledger.failing import DoubtfulStore
from tests.ledger.making import NOON_MS, make_entry, make_hold, running

HOUR_MS = 3_600_000
SEARCH = KeySettings(team="search")
TEAM = Limit("team", "team", usd="0.000001", per="month")
SESSION = Limit("session", "run", agent="codex", steps=2)
RECENT = Limit("recent", "key", tokens=100, per="1h", mode="observe")
OFF = Limit("off", "key", model="gpt-*", output_tokens=5, mode="off")


@asynccontextmanager
async def governed(path: Path, *limits: Limit) -> AsyncIterator[Ledger]:
    """A ledger with limits of jevons.toml, as a start makes it."""
    ledger = Ledger(SqliteStore(path), path, asyncio.get_running_loop(), limits=limits)
    try:
        yield ledger
    finally:
        ledger.close()


def scene(path: Path, *limits: Limit) -> Callable[[Callable[[Ledger], Awaitable[None]]], None]:
    """Runs a test's steps on a ledger of its own."""

    def run(steps: Callable[[Ledger], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with governed(path, *limits) as ledger:
                await steps(ledger)

        asyncio.run(whole())

    return run


async def begin(
    ledger: Ledger, key_id: int, held_nusd: int, at_ms: int = NOON_MS, run: str | None = None, agent: str = ""
) -> Entry:
    """A call under way; what it will have cost is posted by whoever wants to."""
    key = ledger.by_id[key_id]
    node = ledger.runs.enter(key_id, run, None, at_ms) if run is not None else None
    path = ledger.path_of(ledger.who(key, agent, run), node, "sent", at_ms)
    hold = make_hold(ledger.next_request(at_ms), held_nusd, key_id=key_id, run_id=run, agent=agent)
    await ledger.take(hold, path, bound(held_nusd, held_nusd, hold.input_tokens, hold.output_tokens, step=True))
    return make_entry(hold, held_nusd)


async def shown(ledger: Ledger, name: str, now_ms: int = NOON_MS) -> list[dict[str, Any]]:
    accounts: list[dict[str, Any]] = (await standing.limit(ledger, name, now_ms, 10))["accounts"]
    return accounts


def test_a_limit_with_what_is_spent_and_held_under_it(path: Path) -> None:
    async def steps(ledger: Ledger) -> None:
        await admin.create_key(ledger, "alice", None, SEARCH, NOON_MS)
        assert await shown(ledger, "team") == []
        await ledger.post(await begin(ledger, 1, 300))
        await begin(ledger, 1, 200)
        [team] = await shown(ledger, "team")
        start_ms, end_ms = team.pop("window_start_ms"), team.pop("window_end_ms")
        assert team == {
            "account": "team:usd team:default/search",
            "subject": "team:default/search",
            "measure": "usd",
            "limit_nusd": 1_000,
            "posted_nusd": 300,
            "held_nusd": 200,
            "available_nusd": 500,
            "over_nusd": 0,
            "overrun_nusd": 0,
            "granted_nusd": 0,
            "mode": "enforce",
        }
        assert start_ms <= NOON_MS < end_ms
        assert (start_ms, end_ms) == TEAM_MONTH
        [following] = await shown(ledger, "team", end_ms)
        assert (following["window_start_ms"], following["posted_nusd"], following["held_nusd"]) == (end_ms, 0, 0)

    scene(path, TEAM)(steps)


TEAM_MONTH = (1_788_220_800_000, 1_790_812_800_000)
"""2026-09-01 to 2026-10-01, UTC."""


def test_a_limit_as_it_is_written_and_as_it_is_applied(path: Path) -> None:
    async def steps(ledger: Ledger) -> None:
        await admin.put_limit(ledger, SESSION, NOON_MS)
        found = {one["name"]: one for one in (await standing.limits(ledger, NOON_MS, 10))["limits"]}
        assert [found[name]["where"] for name in ("team", "off", "session", "loops")] == [
            "jevons.toml",
            "jevons.toml",
            "ledger",
            "built in",
        ]
        team, off, session = found["team"], found["off"], found["session"]
        assert team["settings"] == {"name": "team", "scope": "team", "usd": "0.000001", "per": "month"}
        assert team["rules"] == [{"measure": "usd", "limit_nusd": 1_000, "warn_nusd": None, "approve_nusd": None}]
        assert (off["mode"], off["rules"][0]["limit"]) == ("off", 5)
        assert (session["scope"], session["rules"][0]["measure"], session["accounts_known"]) == ("run", "steps", 0)
        with pytest.raises(Unknown, match=r"There is no limit 'sesion'\. Limits: loops, off, session, team\."):
            await standing.limit(ledger, "sesion", NOON_MS, 10)

    scene(path, TEAM, OFF)(steps)


def test_after_a_restart_accounts_stand_where_they_stood(path: Path) -> None:
    """Although nobody has called yet. Runs are found again with their next call."""

    async def before(ledger: Ledger) -> None:
        for name in ("alice", "bob", "carol"):
            await admin.create_key(ledger, name, None, SEARCH, NOON_MS)
        await ledger.post(await begin(ledger, 1, 300, run="r", agent="codex"))
        await ledger.post(await begin(ledger, 2, 100))
        await ledger.post(await begin(ledger, 3, 50))
        await admin.revoke_key(ledger, "carol", NOON_MS)
        assert [one["subject"] for one in await shown(ledger, "session")] == ["run:alice/r"]

    async def after(ledger: Ledger) -> None:
        [team] = await shown(ledger, "team")
        assert (team["posted_nusd"], team["held_nusd"]) == (450, 0)
        assert [one["subject"] for one in await shown(ledger, "recent")] == ["key:alice", "key:bob"]
        assert await shown(ledger, "session") == []

    limits = (TEAM, SESSION, RECENT)
    scene(path, *limits)(before)
    scene(path, *limits)(after)


def test_imported_rows_crowd_nobody_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def before(ledger: Ledger) -> None:
        await admin.create_key(ledger, "alice", None, SEARCH, NOON_MS)
        await ledger.post(await begin(ledger, 1, 300))
        now_ms = NOON_MS + 5 * 24 * HOUR_MS
        ids = await importing.ensure_keys(ledger, [Whose("litellm", str(number)) for number in range(3)], now_ms)
        rows = []
        for key_id in ids:
            entry = make_entry(make_hold(first_id_of_ms(now_ms - 1), 50, key_id=key_id), 50)
            rows.append(ImportRow(key_id.to_bytes(16, "big"), msgspec.structs.replace(entry, source="litellm")))
        assert await importing.take_in(ledger, Imported(tuple(rows)), now_ms) == 3

    async def after(ledger: Ledger) -> None:
        monkeypatch.setattr(standing, "STANDING_CALLERS_MAX", 2)
        [team] = await shown(ledger, "team")
        assert team["posted_nusd"] == 300

    scene(path, TEAM)(before)
    scene(path, TEAM)(after)


def test_without_limits_nobody_is_called_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(ledger: Ledger) -> None:
        await admin.create_key(ledger, "alice", 7, KeySettings(), NOON_MS)
        await admin.put_limit(ledger, Limit("loops", "run", repeats=20, mode="off"), NOON_MS)
        assert not ledger.control.rules
        monkeypatch.setattr(standing, "_callers", None)
        found = await standing.limits(ledger, NOON_MS, 10)
        assert [(key["subject"], key["limit_nusd"]) for key in found["keys"]] == [("key:alice", 7)]

    scene(path)(steps)


def test_the_fullest_accounts_come_first(path: Path) -> None:
    async def steps(ledger: Ledger) -> None:
        await admin.create_key(ledger, "alice", None, KeySettings(), NOON_MS)
        for run, calls in (("a", 1), ("b", 2), ("c", 1)):
            for _ in range(calls):
                await begin(ledger, 1, 0, run=run, agent="codex")
        found = await standing.limit(ledger, "session", NOON_MS, 2)
        assert found["accounts_known"] == 3
        assert [(one["subject"], one["held"]) for one in found["accounts"]] == [("run:alice/b", 2), ("run:alice/a", 1)]

    scene(path, SESSION)(steps)


def test_what_is_out_of_a_rolling_window_is_not_shown(path: Path) -> None:
    """Nobody calls meanwhile: looking at it is what lets go. A credit that leaves before what it allowed is an overrun, on record."""
    recent = Limit("recent", "run", usd="0.0000001", per="1h")
    later_ms = NOON_MS + HOUR_MS // 2
    ends_ms = NOON_MS + HOUR_MS + 120_000

    async def steps(ledger: Ledger) -> None:
        await admin.create_key(ledger, "alice", None, KeySettings(), NOON_MS)
        await ledger.post(entry := await begin(ledger, 1, 60, run="r"))
        await admin.adjust(ledger, "alice", -100, "credit", NOON_MS, entry.hold.id)
        await ledger.post(await begin(ledger, 1, 60, later_ms, run="r"))
        await ledger.post(await begin(ledger, 1, 80, later_ms, run="r"))
        assert [one["posted_nusd"] for one in await shown(ledger, "recent", later_ms)] == [100]
        [run] = await shown(ledger, "recent", ends_ms)
        assert (run["posted_nusd"], run["over_nusd"], run["overrun_nusd"]) == (140, 40, 40)
        assert [one["posted_nusd"] for one in await shown(ledger, "recent", ends_ms + HOUR_MS)] == [0]
        ledger.path_of(ledger.who(ledger.by_id[1]), None, "sent", ends_ms + HOUR_MS)
        assert ledger.overruns["recent:usd run:alice/r", 0] == 40

    scene(path, recent)(steps)


def test_a_budget_that_a_run_set_itself(path: Path) -> None:
    async def steps(ledger: Ledger) -> None:
        await admin.create_key(ledger, "alice", None, KeySettings(), NOON_MS)
        await begin(ledger, 1, 10, run="free")
        await begin(ledger, 1, 10, run="r")
        assert (await standing.limits(ledger, NOON_MS, 10))["run_budgets"] == []
        who = ledger.who(ledger.by_id[1], run="r")
        ledger.tighten(ledger.runs.enter(1, "r", None, NOON_MS), who, 500, NOON_MS)
        [budget] = (await standing.limits(ledger, NOON_MS, 10))["run_budgets"]
        assert (budget["subject"], budget["limit_nusd"], budget["held_nusd"]) == ("run:alice/r", 500, 10)

    scene(path)(steps)


def test_questions_newest_first_and_none_that_waits_left_out(path: Path) -> None:
    async def steps(ledger: Ledger) -> None:
        for number, account in enumerate(("s:usd run:alice/r", "s:steps run:alice/r", "s:usd run:alice/q")):
            until_ms = NOON_MS + (1_000 if number else 10)
            ledger.control.ask(Approval(f"apr_{number}", account, 0, "More?", 5, NOON_MS + number, until_ms))
        found = standing.approvals(ledger, NOON_MS + 5, 0)
        assert [(one["id"], one["state"]) for one in found] == [("apr_2", "pending"), ("apr_1", "pending"), ("apr_0", "pending")]
        assert (found[0]["subject"], found[0]["limit_name"], found[0]["grants_nusd"]) == ("run:alice/q", "s", 5)
        assert (found[1]["measure"], found[1]["grants"]) == ("steps", 5)
        await admin.decide(ledger, "apr_2", True, NOON_MS + 6)
        await admin.decide(ledger, "apr_1", False, NOON_MS + 6)
        later = standing.approvals(ledger, NOON_MS + 20, 10)
        assert [one["state"] for one in later] == ["approved", "denied", "expired"]
        assert later[0]["decided_ms"] == NOON_MS + 6
        assert [one["id"] for one in standing.approvals(ledger, NOON_MS + 20, 1)] == ["apr_2"]
        assert (await admin.decide(ledger, "apr_0", True, NOON_MS + 30)).state == "approved"  # late is allowed
        with pytest.raises(Unknown, match="There is no question 'apr_9'"):
            await admin.decide(ledger, "apr_9", True, NOON_MS)

    scene(path)(steps)


def test_a_kill_says_how_many_calls_it_stops(path: Path) -> None:
    async def steps(ledger: Ledger) -> None:
        for name, settings in (("alice", SEARCH), ("bob", KeySettings(org="acme"))):
            await admin.create_key(ledger, name, None, settings, NOON_MS)
        ledger.runs.enter(1, "child", "r", NOON_MS)
        for key_id, run, agent in ((1, "r", "codex"), (1, "child", "codex"), (1, None, ""), (2, "r", "codex")):
            await begin(ledger, key_id, 1, run=run, agent=agent)
        reach = {
            "everything": 4, "model:sent": 4, "model:other": 0, "key:alice": 3, "run:alice/r": 2, "run:alice/child": 1, "run:*/r": 3,
            "agent:*/codex": 3, "team:default/search": 3, "org:acme": 1, "run:alice/later": 0,
        }  # fmt: skip
        for subject, calls in reach.items():
            assert (await admin.kill(ledger, subject, "", NOON_MS))[1] == calls, subject
        made, _ = await admin.kill(ledger, " key:alice ", "a test", NOON_MS)
        assert standing.kill(made, 3) == {
            "id": 12, "subject": "key:alice", "reason": "a test", "created_ms": NOON_MS, "open_calls": 3,
        }  # fmt: skip
        assert standing.kills(ledger)[-1] == {"id": 12, "subject": "key:alice", "reason": "a test", "created_ms": NOON_MS}
        await admin.lift(ledger, 12, NOON_MS)
        assert [one["id"] for one in standing.kills(ledger)] == [*range(1, 12)]

    scene(path)(steps)


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        ("key:alcie", "'key:alcie' would stop nobody: there is no key 'alcie'. Keys: alice."),
        ("agent:bob/*", "there is no key 'bob'"),
        ("run:bob/r/s", "there is no key 'bob'"),
        ("team:default/other", "there is no team 'default/other'. Teams: default/search."),
        ("org:acme", "there is no organisation 'acme'. Organisations: default."),
        ("alice", "does not say whom to stop"),
    ],
)
def test_a_kill_that_would_stop_nobody_is_refused(path: Path, subject: str, message: str) -> None:
    async def steps(ledger: Ledger) -> None:
        await admin.create_key(ledger, "alice", None, SEARCH, NOON_MS)
        with pytest.raises(LedgerError, match=re.escape(message)):
            await admin.kill(ledger, subject, "", NOON_MS)
        assert ledger.control.kills == {}

    scene(path)(steps)


def test_a_kill_that_cannot_be_written_is_in_force_and_says_so(path: Path) -> None:
    store = DoubtfulStore(SqliteStore(path))

    async def steps() -> None:
        async with running(path, store) as ledger:
            await admin.create_key(ledger, "alice", None, SEARCH, NOON_MS)
            store.failures = [(apsw.FullError("disk full"), False)]
            with pytest.raises(LedgerUnavailable, match=r"disk full.*stopped already \(key:alice\)"):
                await admin.kill(ledger, "key:alice", "", NOON_MS)
            assert [one["subject"] for one in standing.kills(ledger)] == ["key:alice"]

    asyncio.run(steps())


def test_a_key_moves_to_another_team_with_what_it_spent(path: Path) -> None:
    async def steps(ledger: Ledger) -> None:
        settings = KeySettings(99, ("gpt-*",), 400, "search", "acme")
        await admin.create_key(ledger, "alice", None, settings, NOON_MS)
        await ledger.post(await begin(ledger, 1, 300))
        assert [one["subject"] for one in await shown(ledger, "team")] == ["team:acme/search"]
        moved = await admin.change_key(ledger, "alice", KeyChanges(team="ads", default_output_tokens=None), NOON_MS)
        assert moved == ledger.by_id[1].settings == KeySettings(None, ("gpt-*",), 400, "ads", "acme")
        assert [(one["subject"], one["posted_nusd"]) for one in await shown(ledger, "team")] == [("team:acme/ads", 300)]
        assert (await admin.change_key(ledger, "alice", KeyChanges(), NOON_MS)) == moved
        with pytest.raises(Unknown, match="There is no key 'bob'"):
            await admin.change_key(ledger, "bob", KeyChanges(team="ads"), NOON_MS)

    scene(path, TEAM)(steps)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (KeyChanges(team="a/b"), "'a/b' cannot name a team"),
        (KeyChanges(org=""), "'' cannot name an organisation"),
        (KeyChanges(default_output_tokens=0), "at least one token"),
        (KeyChanges(denial_status=500), "500 is no status of a denial"),
        (KeyChanges(denial_status=399), "399 is no status of a denial"),
    ],
)
def test_settings_that_make_no_sense_are_refused(path: Path, changes: KeyChanges, message: str) -> None:
    async def steps(ledger: Ledger) -> None:
        await admin.create_key(ledger, "alice", None, SEARCH, NOON_MS)
        with pytest.raises(LedgerError, match=message):
            await admin.change_key(ledger, "alice", changes, NOON_MS)
        with pytest.raises(LedgerError, match=message):
            await admin.create_key(ledger, "bob", None, changes.applied(KeySettings()), NOON_MS)
        assert ledger.by_id[1].settings == SEARCH and len(ledger.by_id) == 1

    scene(path)(steps)


def test_limits_that_are_refused(path: Path) -> None:
    async def steps(ledger: Ledger) -> None:
        for limit, message in (
            (Limit("x", "key", usd=1, warn=2, mode="off"), "limit 'x': warn, approve and the limit ascend"),
            (Limit("x", "key"), "it limits nothing"),
            (Limit("team", "team", usd=1), "stands in jevons.toml"),
        ):
            with pytest.raises(LedgerError, match=message):
                await admin.put_limit(ledger, limit, NOON_MS)
        with pytest.raises(LedgerError, match=r"stands in jevons\.toml"):
            await admin.remove_limit(ledger, "team", NOON_MS)
        with pytest.raises(LedgerError, match="'loops' is built in"):
            await admin.remove_limit(ledger, "loops", NOON_MS)
        with pytest.raises(Unknown, match=r"There is no limit 'x'\. Limits: loops, team\."):
            await admin.remove_limit(ledger, "x", NOON_MS)
        await admin.put_limit(ledger, SESSION, NOON_MS)
        await admin.remove_limit(ledger, "session", NOON_MS)
        with pytest.raises(Unknown, match=r"No kill 7 is in force\. In force: none\."):
            await admin.lift(ledger, 7, NOON_MS)

    scene(path, TEAM)(steps)


def test_the_head_of_the_audit_log(path: Path) -> None:
    async def steps(ledger: Ledger) -> None:
        assert str(admin.audit_head(path)) == f"0:{'0' * 64}"
        await admin.create_key(ledger, "alice", None, SEARCH, NOON_MS)
        await admin.kill(ledger, "everything", "", NOON_MS)
        assert admin.audit_head(path).seq == 2

    scene(path)(steps)
