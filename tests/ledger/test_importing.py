"""The ledger's side of imports: whose a row is, what is known of it, how far files are read, what is refused."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jevons.core.entry import Entry, admitted_ms, first_id_of_ms
from jevons.core.usage import Usage
from jevons.ledger import importing, keys
from jevons.ledger.bill import accounts, check, latest_entries
from jevons.ledger.importing import Known, Refused, Whose
from jevons.ledger.ops import FileMark, Imported, ImportRow, Key, KeyChanged, KeyCreated, KeySettings
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key, running

DAY_MS = 86_400_000
ANN = Whose("litellm", "ann", "search")
MARK = FileMark("litellm", "/spend.jsonl", 100, 5, 60, 2, 1, NOON_MS)


def row(number: int, key_id: int = 1, *, nusd: int = 50, at_ms: int = NOON_MS - DAY_MS, **changes: Any) -> ImportRow:
    """A row of LiteLLM's."""
    hold = make_hold(first_id_of_ms(at_ms), nusd, key_id=key_id, run_id=changes.pop("run_id", None))
    entry = msgspec.structs.replace(make_entry(hold, nusd), source="litellm", **changes)
    return ImportRow(number.to_bytes(16, "big"), entry)


def directly(path: Path, rows: Iterable[ImportRow], mark: FileMark | None = None) -> int:
    store = SqliteStore(path)
    try:
        importing.make_ready(store)
        importing.ensure_keys_directly(store, [ANN], NOON_MS)
        return importing.take_in_directly(store, Imported(tuple(rows), mark))
    finally:
        store.close()


def test_each_whose_has_a_key_that_no_call_can_use(path: Path) -> None:
    wanted = [
        Whose("litellm"),
        ANN,
        Whose("litellm", "ann", "billing"),
        Whose("litellm", "ann", "billing", "acme"),
        Whose("openrouter", "ann"),
        ANN,
        Whose("litellm", "a/b\n" + "x" * 80, " ", " "),
    ]
    store = SqliteStore(path)
    ids = importing.ensure_keys_directly(store, wanted, NOON_MS)
    assert importing.ensure_keys_directly(store, wanted, NOON_MS + 1) == ids == [1, 2, 3, 4, 5, 2, 6]
    names = [key.name for key in store.load().keys]
    assert names[:5] == ["litellm", "litellm:ann@search", "litellm:ann@billing", "litellm:ann@billing@acme", "openrouter:ann"]
    assert names[5].startswith("litellm:a_b_xxx") and len(names[5]) == 64
    assert {(key.revoked_ms, key.prefix) for key in store.load().keys} == {(NOON_MS, "")}
    assert [key.settings for key in store.load().keys][2:4] == [
        KeySettings(team="billing", source="litellm"),
        KeySettings(team="billing", org="acme", source="litellm"),
    ]
    store.apply([KeyChanged(1, KeySettings(team="given", source="litellm"), NOON_MS)])
    assert importing.ensure_keys_directly(store, wanted[:1], NOON_MS) == [1]
    store.close()
    assert check(path) == []


def test_a_client_s_key_of_that_name_stays_the_client_s(path: Path) -> None:
    store = SqliteStore(path)
    store.apply([KeyCreated(Key(1, "codex", keys.digest_of("jv-x"), "jv-x", NOON_MS))])
    store.apply([KeyCreated(Key(2, "codex-2", keys.digest_of("jv-y"), "jv-y", NOON_MS))])
    assert importing.ensure_keys_directly(store, [Whose("codex")], NOON_MS) == [3]
    assert [key.name for key in store.load().keys] == ["codex", "codex-2", "codex-3"]
    store.close()


@pytest.mark.parametrize("source", ["", " ", "a/b", "x" * 65])
def test_a_source_has_a_name(path: Path, source: str) -> None:
    with pytest.raises(importing.Refused, match="name of a source"):
        importing.keys_for([], [Whose(source)], NOON_MS)


def test_rows_come_in_once_with_how_far_the_file_is_read(path: Path) -> None:
    assert directly(path, [row(1), row(2, nusd=7)], MARK) == 2
    later = msgspec.structs.replace(MARK, offset=100, rows=3)
    assert directly(path, [row(2), row(3)], later) == 1
    assert importing.marks(path, "litellm") == {"/spend.jsonl": later}
    assert importing.marks(path, "codex") == {}
    assert [account["posted_nusd"] for account in accounts(path)] == [107]
    assert check(path) == []


def test_more_rows_of_one_millisecond_than_it_has_places(path: Path) -> None:
    """Sums by the day all say midnight."""
    assert directly(path, [row(number) for number in range(8_193)]) == 8_193
    assert directly(path, [row(number) for number in range(8_193, 8_195)]) == 2
    assert {admitted_ms(entry["id"]) - NOON_MS + DAY_MS for entry in latest_entries(path, 4)} == {0, 1}
    assert check(path) == []


def test_what_is_known_of_rows(path: Path) -> None:
    numbers = [number.to_bytes(16, "big") for number in range(1_200)]
    directly(path, [row(1_100, nusd=9, usage=Usage(1, 2, 3, 4, 6, 5), requests=8)])
    assert importing.known_of(path, numbers) == {numbers[1_100]: Known((1, 2, 3, 4, 6), 5, 8, 9, 9)}


def test_of_no_ledger_nothing_is_known(path: Path) -> None:
    assert importing.known_of(path, [bytes(16)]) == {}
    assert importing.marks(path, "litellm") == {}
    assert importing.days_with(path, "litellm") == set()
    assert not importing.anything_of(path, ["litellm"])


def test_days_and_sources(path: Path) -> None:
    directly(path, [row(1), row(2, at_ms=NOON_MS - 3 * DAY_MS), row(3)])
    assert importing.days_with(path, "litellm") == {NOON_MS // DAY_MS - 1, NOON_MS // DAY_MS - 3}
    assert importing.days_with(path, "openrouter") == set()
    assert importing.anything_of(path, ["codex", "litellm"])
    assert not importing.anything_of(path, ["codex"])


def test_a_summary(path: Path) -> None:
    rows = [
        row(1, run_id="a", usage=Usage(10, 5, output=2)),
        row(2, run_id="b", nusd=90, usage=Usage(1)),
        row(3, nusd=7, at_ms=NOON_MS - 40 * DAY_MS, run_id="old"),
    ]
    directly(path, rows)
    found = importing.summary(path, ["litellm"], NOON_MS - 30 * DAY_MS, 1)
    assert (found["requests"], found["input_tokens"], found["cached_tokens"], found["output_tokens"]) == (2, 16, 5, 2)
    assert (found["list_nusd"], found["billed_nusd"]) == (140, 140)
    assert [one["list_nusd"] for one in found["models"]] == [140]
    assert [one["requests"] for one in found["days"]] == [2]
    assert [one["run"] for one in found["runs"]] == ["b"]
    assert importing.summary(path, ["codex"], 0, 1)["list_nusd"] == 0


def test_through_the_serving_process(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            [key_id] = await importing.ensure_keys(ledger, [ANN], NOON_MS)
            assert await importing.ensure_keys(ledger, [ANN], NOON_MS) == [key_id]
            assert ledger.by_id[key_id].revoked_ms == NOON_MS
            assert await importing.take_in(ledger, Imported((row(1, key_id), row(2, key_id)), MARK), NOON_MS) == 2
            assert await importing.take_in(ledger, Imported((row(2, key_id),)), NOON_MS) == 0
            assert ledger.accounts[key_id].posted == 100

    asyncio.run(scene())
    assert check(path) == []
    assert [account["posted_nusd"] for account in accounts(path)] == [100]


def entry_of(found: ImportRow, **changes: Any) -> ImportRow:
    return ImportRow(found.digest, msgspec.structs.replace(found.entry, **changes))


def held(found: ImportRow, **changes: Any) -> ImportRow:
    entry: Entry = found.entry
    return entry_of(found, hold=msgspec.structs.replace(entry.hold, **changes))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (held(row(1), key_id=7), "made for its source"),
        (held(row(1), key_id=2), "made for its source"),
        (entry_of(row(1), source="codex"), "made for its source"),
        (ImportRow(b"short", row(1).entry), "16 bytes"),
        (entry_of(row(1), list_nusd=51), "must sum"),
        (entry_of(row(1), billed_nusd=-1), "at least 0"),
        (entry_of(row(1), requests=-1), "at least 0"),
        (row(1, at_ms=NOON_MS + 1), "in the past"),
        (held(row(1), id=0), "in the past"),
    ],
)
def test_rows_that_would_not_leave_the_ledger_right_are_refused(path: Path, bad: ImportRow, why: str) -> None:
    """All of their batch with them."""

    async def scene() -> None:
        async with running(path) as ledger:
            await importing.ensure_keys(ledger, [ANN], NOON_MS)
            await ledger.add_key(make_key(2))
            with pytest.raises(Refused, match=why):
                await importing.take_in(ledger, Imported((row(9), bad), MARK), NOON_MS)

    asyncio.run(scene())
    assert {account["posted_nusd"] for account in accounts(path)} == {0}
    assert importing.marks(path, "litellm") == {}
