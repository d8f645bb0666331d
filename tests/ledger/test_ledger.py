"""The ledger as the journey uses it: reservations, settlement, repeats, cancellation, many calls at once."""

import asyncio
from pathlib import Path

import apsw
import pytest

from jevons.core.entry import Outcome, admitted_ms
from jevons.core.limits import IDEMPOTENCY_TTL_S
from jevons.core.price import Price, PriceTier
from jevons.ledger.bill import bill, check, open_holds
from jevons.ledger.errors import LedgerUnavailable
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import KeyCreated, Opened
from jevons.ledger.recovery import settle_open_holds
from jevons.ledger.sqlite import SqliteStore
from jevons.policy.amounts import Amounts, bound
from jevons.policy.govern import Admit, Terms, decide
from jevons.policy.rules import Limit
from tests.ledger.failing import DoubtfulStore
from tests.ledger.making import NOON_MS, SETTINGS, balance, dump_file, make_entry, make_hold, make_key, running, written

PRICE = Price("p/m", "b", 1, (PriceTier(-1, {"input": 1, "output": 1}),))


def test_a_hold_is_reserved_at_once_durable_when_awaited_and_resolved_once(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1, 1_000))
            hold = make_hold(ledger.next_request(NOON_MS), 300)
            durable = ledger.take(hold)
            assert balance(ledger.accounts[1]) == (1_000, 0, 300, 0)
            await durable
            assert [row["id"] for row in open_holds(path)] == [hold.id]
            await ledger.post(make_entry(hold, 120))
            assert balance(ledger.accounts[1]) == (1_000, 120, 0, 0)
            with pytest.raises(KeyError):
                ledger.post(make_entry(hold, 120))
            assert open_holds(path) == []
            assert bill(path)["total_nusd"] == 120

    asyncio.run(scene())
    assert check(path) == []


def test_of_256_calls_at_once_no_more_are_admitted_than_there_is_money_for(path: Path) -> None:
    async def call(ledger: Ledger, terms: Terms) -> bool:
        verdict = decide([ledger.accounts[1]], terms)
        if not isinstance(verdict, Admit):
            return False
        hold = make_hold(ledger.next_request(NOON_MS), verdict.held_nusd)
        await ledger.take(hold)
        assert (account := ledger.accounts[1]).limit is not None
        assert account.posted + account.held <= account.limit
        await ledger.post(make_entry(hold, verdict.held_nusd))
        return True

    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1, 37 * 150 + 149))
            terms = Terms(PRICE, 100, 50, output_cap=50)
            served = await asyncio.gather(*(call(ledger, terms) for _ in range(256)))
            assert sum(served) == 37
            assert balance(ledger.accounts[1]) == (37 * 150 + 149, 37 * 150, 0, 0)

    asyncio.run(scene())
    assert check(path) == []


def test_ids_never_repeat_nor_go_back_whatever_the_clock_does(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key())
            clock = [NOON_MS, NOON_MS, NOON_MS - 3_600_000, 0, NOON_MS + 1, *[NOON_MS + 1] * 40_000]
            ids = [ledger.next_request(now_ms) for now_ms in clock]
            assert ids == sorted(set(ids)) and all(entry_id % 16 == 0 for entry_id in ids)
            assert admitted_ms(ids[4]) == NOON_MS + 1
            assert admitted_ms(ids[-1]) == NOON_MS + 3  # 16,384 ids a millisecond: the next ones are borrowed
            await ledger.take(hold := make_hold(ids[-1]))
            await ledger.post(make_entry(hold, 1))
        async with running(path) as again:
            assert again.next_request(NOON_MS - 10**6) > ids[-1]

    asyncio.run(scene())


def test_a_hold_under_way_counts_for_the_next_id_after_a_crash(path: Path) -> None:
    store = SqliteStore(path)
    last = make_hold(NOON_MS << 18)
    store.apply([KeyCreated(make_key()), Opened(last)])
    assert store.load().last_id == last.id
    store.close()


def test_a_ledger_does_not_start_over_open_holds(path: Path) -> None:
    store = SqliteStore(path)
    store.apply([KeyCreated(make_key()), Opened(make_hold(16))])

    async def scene() -> None:
        with pytest.raises(AssertionError):
            Ledger(store, path, asyncio.get_running_loop())

    asyncio.run(scene())
    store.close()


def test_a_caller_that_leaves_while_its_hold_is_written_leaves_a_void_entry(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1, 100))
            hold = make_hold(ledger.next_request(NOON_MS), 100)
            durable = ledger.take(hold)
            durable.cancel()
            await ledger.post(make_entry(hold, 0, outcome=Outcome.VOID, lines=(), list_nusd=0))
            assert balance(ledger.accounts[1]) == (100, 0, 0, 0)
            assert ledger.open_holds == {}

    asyncio.run(scene())
    assert [row[8] for row in dump_file(path)["entries"]] == ["void"]
    assert check(path) == []


def test_who_waits_for_money_is_woken_by_every_way_it_comes_back(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1, 100))
            await ledger.take(hold := make_hold(ledger.next_request(NOON_MS), 100))
            left, waiting = ledger.on_resolved(), ledger.on_resolved()
            left.cancel()
            await ledger.post(make_entry(hold, 50))
            assert waiting.done()
            waiting = ledger.on_resolved()
            await ledger.set_limit(1, 200, NOON_MS)
            assert waiting.done()
            waiting = ledger.on_resolved()
            await ledger.adjust(1, -20, "refund", NOON_MS)
            assert waiting.done()
            waiting = ledger.on_resolved()
            await ledger.set_limit(1, 150, NOON_MS)
            assert not waiting.done()  # no money came

    asyncio.run(scene())


def test_an_idempotency_key_is_remembered_for_a_day_also_over_a_restart(path: Path) -> None:
    day_ms = IDEMPOTENCY_TTL_S * 1000
    digests = [bytes([i]) * 32 for i in range(4)]

    async def use(ledger: Ledger, number: int, at_ms: int) -> int:
        hold = make_hold(ledger.next_request(at_ms), idempotency_key=digests[number], body_digest=b"body")
        await ledger.take(hold)
        await ledger.post(make_entry(hold, 1))
        return hold.id

    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key())
            first = await use(ledger, 0, NOON_MS)
            second = await use(ledger, 1, NOON_MS + 1_000)
            assert ledger.repeated(1, digests[0]) == (b"body", first)
            assert ledger.repeated(2, digests[0]) is None  # another key's
        async with running(path) as ledger:
            assert ledger.repeated(1, digests[0]) == (b"body", first)
            third = await use(ledger, 2, NOON_MS + day_ms + 500)
            assert ledger.repeated(1, digests[0]) is None
            assert ledger.repeated(1, digests[1]) == (b"body", second)
            again = await use(ledger, 1, NOON_MS + day_ms + 600)  # whoever lets it through replaces it
            await use(ledger, 3, NOON_MS + day_ms + 1_100)
            assert ledger.repeated(1, digests[1]) == (b"body", again)
        async with running(path) as ledger:
            assert [ledger.repeated(1, digest) is not None for digest in digests] == [False, True, True, True]
            assert ledger.repeated(1, digests[2]) == (b"body", third)
            await use(ledger, 0, NOON_MS + 3 * day_ms)
            assert [ledger.repeated(1, digest) is not None for digest in digests] == [True, False, False, False]

    asyncio.run(scene())


def test_a_ledger_that_is_switched_off_counts_in_memory_and_keeps_what_the_operator_does(path: Path) -> None:
    async def scene() -> None:
        ledger = Ledger(SqliteStore(path), path, asyncio.get_running_loop(), durable=False)
        await ledger.add_key(make_key(1, 1_000))
        await ledger.take(hold := make_hold(ledger.next_request(NOON_MS)))
        await ledger.post(make_entry(hold, 40))
        assert balance(ledger.accounts[1]) == (1_000, 40, 0, 0)
        ledger.close()

    asyncio.run(scene())
    assert dump_file(path)["entries"] == [] and len(dump_file(path)["keys"]) == 1


def test_an_operators_change_is_made_although_its_caller_left(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1, 100, settings=SETTINGS))
            raising = asyncio.ensure_future(ledger.set_limit(1, 500, NOON_MS))
            await asyncio.sleep(0)
            raising.cancel()
            await ledger.adjust(1, 7, "comes after it", NOON_MS)
            assert balance(ledger.accounts[1]) == (500, 7, 0, 0)
            await ledger.revoke_key(1, NOON_MS)
        async with running(path) as ledger:
            assert balance(ledger.accounts[1]) == (500, 7, 0, 0)
            (key,) = ledger.keys.values()
            assert (key.settings, key.revoked_ms) == (SETTINGS, NOON_MS)

    asyncio.run(scene())


def test_after_the_end_nothing_is_written_and_nobody_waits(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1, 100))
            last = make_hold(ledger.next_request(NOON_MS), 60)
            durable = ledger.take(last)
        await durable  # was queued before the end, so it is on disk
        hold = make_hold(ledger.next_request(NOON_MS), 40)
        with pytest.raises(LedgerUnavailable, match="closed"):
            await ledger.take(hold)
        await asyncio.sleep(0)
        assert balance(ledger.accounts[1]) == (100, 0, 60, 0)
        with pytest.raises(LedgerUnavailable, match="closed"):
            await ledger.post(make_entry(last, 10))

    asyncio.run(scene())
    assert [row[0] for row in dump_file(path)["holds"]] == [NOON_MS << 18]


def test_an_idempotency_key_is_free_again_when_no_upstream_has_seen_the_call(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key())
            for outcome, kept in ((Outcome.UNREACHABLE, False), (Outcome.VOID, False), (Outcome.ERROR, True)):
                digest = outcome.encode().ljust(32)
                hold = make_hold(ledger.next_request(NOON_MS), idempotency_key=digest, body_digest=b"body")
                await ledger.take(hold)
                assert ledger.repeated(1, digest) is not None
                await ledger.post(make_entry(hold, 0, outcome=outcome))
                assert (ledger.repeated(1, digest) is not None) is kept
        async with running(path) as ledger:
            assert ledger.repeated(1, b"error".ljust(32)) is not None
            assert ledger.repeated(1, b"unreachable".ljust(32)) is None

    asyncio.run(scene())


def test_a_bill_above_its_hold_is_recorded_on_every_account_it_takes_over_and_blocks_them(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1, 100))
            await ledger.put_limit(Limit("org", scope="org", usd="80e-9"), NOON_MS)
            await ledger.put_limit(Limit("roomy", usd="500e-9"), NOON_MS)
            path_now = ledger.path_of(ledger.who(ledger.by_id[1]), None, "sent", NOON_MS)
            hold = make_hold(ledger.next_request(NOON_MS), 60)
            await ledger.take(hold, path_now, bound(60, 60, 10, 20, step=True))
            await ledger.post(make_entry(hold, 130))
            assert {account.rule.name: balance(account) for account in path_now} == {
                "org": (80, 130, 0, 50),
                "roomy": (500, 130, 0, 0),
                "key": (100, 130, 0, 30),
            }
            assert [account.fits(0) for account in path_now] == [False, True, False]
        assert ledger.overruns == {("org:usd org:default", 0): 50, ("key:usd key:key-1", 0): 30}
        async with running(path) as ledger:
            assert balance(ledger.accounts[1]) == (100, 130, 0, 30)
            again = ledger.path_of(ledger.who(ledger.by_id[1]), None, "sent", NOON_MS)
            assert [account.overrun for account in again] == [50, 0, 30]  # found again, and not recorded twice

    asyncio.run(scene())
    entry_id = NOON_MS << 18
    assert [row[1:6] for row in dump_file(path)["overruns"]] == [
        ("org:usd org:default", 0, 50, "post", entry_id),
        ("key:usd key:key-1", 0, 30, "post", entry_id),
    ]
    assert check(path) == []


def more(nusd: int, output_tokens: int) -> Amounts:
    return (nusd, nusd, output_tokens, 0, 0, 0, output_tokens, output_tokens, 0, 0)


def test_a_hold_grows_on_all_its_accounts_or_on_none(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1, 1_000))
            await ledger.put_limit(Limit("tokens", output_tokens=50), NOON_MS)
            await ledger.put_limit(Limit("seen", usd="150e-9", mode="observe"), NOON_MS)
            accounts = ledger.path_of(ledger.who(ledger.by_id[1]), None, "sent", NOON_MS)
            held = {account.rule.name: account for account in accounts}
            hold = make_hold(ledger.next_request(NOON_MS), 100, output_tokens=20)
            await ledger.take(hold, accounts, bound(100, 100, 10, 20, step=True))
            grown = ledger.grow(hold.id, more(70, 30))
            assert grown is not None
            bigger, durable = grown
            assert (bigger.held_nusd, bigger.list_held_nusd, bigger.output_tokens) == (170, 170, 50)
            assert (held["key"].held, held["tokens"].held, held["seen"].held) == (
                170,
                50,
                170,
            )  # what is observed refuses nothing
            await durable
            assert ledger.grow(hold.id, more(1, 1)) is None
            assert (held["key"].held, held["tokens"].held, held["seen"].held) == (170, 50, 170)
            assert [(row["held_nusd"], row["output_tokens"]) for row in open_holds(path)] == [(170, 50)]
            await ledger.put_limit(Limit("other", usd=1), NOON_MS)  # the accounts are made anew, with all that is held
            anew = {one.rule.name: one for one in ledger.path_of(ledger.who(ledger.by_id[1]), None, "sent", NOON_MS)}
            assert (anew["key"].held, anew["tokens"].held, anew["other"].held) == (170, 50, 170)

    asyncio.run(scene())
    store = SqliteStore(path)
    assert settle_open_holds(store, NOON_MS) == 1  # the process died: all that was held is charged
    assert store.load().posted[1] == (170, 0)
    store.close()
    assert check(path) == []


def test_who_was_not_told_that_more_is_held_relays_no_more(path: Path) -> None:
    store = DoubtfulStore(SqliteStore(path))

    async def scene() -> None:
        async with running(path, store) as ledger:
            await ledger.add_key(make_key(1, 1_000))
            await ledger.take(hold := make_hold(ledger.next_request(NOON_MS), 100))
            store.failures = [(apsw.FullError("full"), False)]
            bigger, durable = ledger.grow(hold.id, more(70, 30)) or (hold, None)
            assert durable is not None and not await written(durable)
            assert [row["held_nusd"] for row in open_holds(path)] == [100]
            await ledger.post(make_entry(bigger, 60))
            assert balance(ledger.accounts[1]) == (1_000, 60, 0, 0)

    asyncio.run(scene())
    assert check(path) == []


def test_without_a_disk_a_hold_grows_in_memory(path: Path) -> None:
    async def scene() -> None:
        ledger = Ledger(SqliteStore(path), path, asyncio.get_running_loop(), durable=False)
        await ledger.add_key(make_key(1, 1_000))
        await ledger.take(hold := make_hold(ledger.next_request(NOON_MS), 100))
        grown = ledger.grow(hold.id, more(70, 30))
        assert grown is not None
        await grown[1]
        assert balance(ledger.accounts[1]) == (1_000, 0, 170, 0)
        ledger.close()

    asyncio.run(scene())
    assert dump_file(path)["holds"] == []
