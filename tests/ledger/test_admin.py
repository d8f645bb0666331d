"""What an operator does: each refusal says what to do, each change is durable."""

import asyncio
from pathlib import Path

import apsw
import pytest

from jevons.ledger import admin, keys
from jevons.ledger.bill import accounts, bill, check
from jevons.ledger.errors import LedgerError, LedgerUnavailable
from jevons.ledger.ops import KeySettings
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.failing import DoubtfulStore
from tests.ledger.making import NOON_MS, SETTINGS, dump_file, make_entry, make_hold, running


def test_keys_limits_and_corrections_over_a_restart(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            key, secret = await admin.create_key(ledger, "agent", 1_000, SETTINGS, NOON_MS)
            assert keys.find(ledger.keys, secret) == key and key.prefix == secret[:7]
            other, _ = await admin.create_key(ledger, "other", None, KeySettings(), NOON_MS)
            assert (key.id, other.id) == (1, 2)
            await admin.set_limit(ledger, "agent", 500, NOON_MS)
            await ledger.take(hold := make_hold(ledger.next_request(NOON_MS)))
            await ledger.post(make_entry(hold, 50))
            await admin.adjust(ledger, "agent", -30, "refund", NOON_MS, hold.id)
            await admin.revoke_key(ledger, "other", NOON_MS + 1)
            await admin.revoke_key(ledger, "other", NOON_MS + 2)
            with pytest.raises(LedgerError, match=r"There is a key 'other' already \(perhaps revoked\)"):
                await admin.create_key(ledger, "other", None, KeySettings(), NOON_MS)
        async with running(path) as ledger:
            assert keys.find(ledger.keys, secret) == key.__class__(
                key.id, "agent", key.digest, key.prefix, NOON_MS, 500, SETTINGS
            )

    asyncio.run(scene())
    agent, other = accounts(path)
    assert (agent["limit_nusd"], agent["posted_nusd"], agent["settings"]["denial_status"]) == (500, 20, 429)
    assert other["revoked_ms"] == NOON_MS + 1  # the first time counts
    assert bill(path)["adjustments_nusd"] == -30
    assert dump_file(path)["adjustments"] == [(1, 1, NOON_MS << 18, -30, "refund", NOON_MS)]


@pytest.mark.parametrize("name", ["", "x" * 65, "a/b", "tab\tbed", "line\n"])
def test_a_name_that_would_confuse_people_or_paths_is_refused(path: Path, name: str) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            with pytest.raises(LedgerError, match="cannot name a key"):
                await admin.create_key(ledger, name, None, KeySettings(), NOON_MS)

    asyncio.run(scene())
    assert dump_file(path)["keys"] == []


@pytest.mark.parametrize("limit", [-1, 2**62 + 1, 10**30])
def test_a_limit_that_makes_no_sense_is_refused(path: Path, limit: int) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            with pytest.raises(LedgerError, match="A limit is at least 0"):
                await admin.create_key(ledger, "agent", limit, KeySettings(), NOON_MS)
            await admin.create_key(ledger, "agent", 2**62, KeySettings(), NOON_MS)
            with pytest.raises(LedgerError, match="A limit is at least 0"):
                await admin.set_limit(ledger, "agent", limit, NOON_MS)
            await admin.set_limit(ledger, "agent", None, NOON_MS)

    asyncio.run(scene())


def test_corrections_need_a_reason_a_key_and_a_size_that_fits(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            with pytest.raises(LedgerError, match="Keys: none yet"):
                await admin.adjust(ledger, "agent", 1, "reason", NOON_MS)
            await admin.create_key(ledger, "agent", None, KeySettings(), NOON_MS)
            with pytest.raises(LedgerError, match="needs a reason"):
                await admin.adjust(ledger, "agent", 1, " ", NOON_MS)
            with pytest.raises(LedgerError, match="does not fit the ledger"):
                await admin.adjust(ledger, "agent", -(2**62) - 1, "reason", NOON_MS)
            with pytest.raises(LedgerError, match=r"There is no key 'agnet'\. Keys: agent"):
                await admin.adjust(ledger, "agnet", 1, "reason", NOON_MS)

    asyncio.run(scene())
    assert dump_file(path)["adjustments"] == []


def test_a_revocation_that_cannot_be_written_says_what_holds_meanwhile(path: Path) -> None:
    store = DoubtfulStore(SqliteStore(path))

    async def scene() -> None:
        async with running(path, store) as ledger:
            _, secret = await admin.create_key(ledger, "agent", None, KeySettings(), NOON_MS)
            store.failures = [(apsw.FullError("disk full"), False)]
            with pytest.raises(LedgerUnavailable, match=r"disk full.*is refused already"):
                await admin.revoke_key(ledger, "agent", NOON_MS)
            assert keys.find(ledger.keys, secret) is None

    asyncio.run(scene())
    assert dump_file(path)["keys"][0][-1] == NOON_MS


def test_two_keys_of_one_name_at_once_are_one_key(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            both = [admin.create_key(ledger, "agent", None, KeySettings(), NOON_MS) for _ in range(2)]
            made = await asyncio.gather(*both, return_exceptions=True)
            assert sorted(isinstance(one, LedgerError) for one in made) == [False, True]

    asyncio.run(scene())
    assert len(dump_file(path)["keys"]) == 1


def test_a_backup_does_not_hold_up_the_calls(path: Path, tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await admin.create_key(ledger, "agent", None, KeySettings(), NOON_MS)
            copying = asyncio.ensure_future(admin.back_up(ledger, tmp_path / "backup.db"))
            while not copying.done():
                await ledger.take(hold := make_hold(ledger.next_request(NOON_MS)))
                await ledger.post(make_entry(hold, 1))
            await copying

    asyncio.run(scene())
    assert check(tmp_path / "backup.db") == []


def test_no_usable_key_says_that_it_was_imported(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            with pytest.raises(LedgerError, match="is an import's, which no limit counts"):
                await admin.create_key(ledger, "agent", None, KeySettings(source="litellm"), NOON_MS)

    asyncio.run(scene())
    assert dump_file(path)["keys"] == []
