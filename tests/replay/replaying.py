"""A ledger of real traffic without its outcomes, gone through once more, beside the one that has them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from jevons.meter.pricebook import open_book
from jevons.policy.settle import Settled
from jevons.replay.eras import Policy
from jevons.replay.held import Held
from jevons.replay.run import Recordings
from jevons.replay.world import World

RECORDED = Policy("recorded")
FORGET = """
DROP TRIGGER entries_are_never_edited;
DROP TRIGGER audit_is_never_shortened;
UPDATE entries SET outcome = iif(outcome IN ('void', 'free'), outcome, 'ok'), status = 0, list_nusd = 0, billed_nusd = 0, held_nusd = 0,
    overrun_nusd = 0, input_bound = '', price_row = '', tariff = '', tier = '', chain = x'', messages = 0, finish = '',
    estimate = iif(estimate = 'seen', '', estimate),
    lines = (SELECT json_group_array(json_array(line.value ->> 0, line.value ->> 1, 0, 0)) FROM json_each(lines) AS line);
UPDATE accounts SET posted_nusd = 0, overrun_nusd = 0;
DELETE FROM overruns;
DELETE FROM rollup_minute;
DELETE FROM rollup_hour;
DELETE FROM rollup_day;
UPDATE runs SET entries = 0, steps = 0, input = 0, output = 0, list_nusd = 0, billed_nusd = 0;
DELETE FROM audit WHERE action IN ('overrun', 'denied', 'would-deny', 'would-ask', 'kill', 'lift', 'ask');
"""
"""Usage stays (tokens by kind, the number of other units, and whether anybody knows them), and how long it took."""


class Books(NamedTuple):
    """What a ledger says of money."""

    entries: dict[int, tuple[int, int, int]]
    """id -> (held, list, billed)"""
    accounts: dict[str, int]
    """Posted in each key's total."""
    overruns: dict[tuple[str, int], int]
    """(account, start of its window) -> what came over by bills above their holds."""
    found_over: dict[tuple[str, int], int]
    """The same of accounts that were found over their limits. A ledger has more of it: whoever found it may have been refused."""


def without_outcomes(home: Path, scratch: Path) -> Path:
    """A copy of a ledger (nobody is writing it) that does not know what came of the decisions."""
    copy = scratch / "ledger.db"
    with apsw.Connection(str(home / "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY) as source:
        target = apsw.Connection(str(copy))
        with target.backup("main", source, "main") as backup:
            backup.step()
        target.execute(FORGET)
        target.close()
    return copy


def recorded(ledger: Path) -> Books:
    db = apsw.Connection(str(ledger), flags=apsw.SQLITE_OPEN_READONLY)
    entries = {
        row[0]: row[1:] for row in db.execute("SELECT id, held_nusd, list_nusd, billed_nusd FROM entries WHERE source = ''")
    }
    accounts = dict(db.execute("SELECT name, posted_nusd FROM keys JOIN accounts ON key_id = id"))
    over: dict[bool, dict[tuple[str, int], int]] = {True: {}, False: {}}
    for account, start, by_post, amount in db.execute(
        "SELECT account, window_ms, cause = 'post', sum(amount) FROM overruns GROUP BY 1, 2, 3"
    ):
        over[bool(by_post)][account, start] = amount
    db.close()
    return Books(entries, accounts, over[True], over[False])


@contextmanager
def replayed(home: Path, ledger: Path, policy: Policy = RECORDED, **span: int) -> Iterator[tuple[World, Books]]:
    """The world after all of the ledger's calls, and its books."""
    recordings = Recordings(home, ledger, book=open_book(home), **span)
    entries: dict[int, tuple[int, int, int]] = {}

    def note(held: Held, settled: Settled) -> None:
        entries[held.call.id] = (held.amounts[0], settled.list_nusd, settled.billed_nusd)

    with recordings.world(policy, stops=False) as world:
        world.on_post = note
        recordings.run(world)
        accounts = {key.subject.removeprefix("key:"): key.posted for key in world.totals.values()}
        over: dict[bool, dict[tuple[str, int], int]] = {True: {}, False: {}}
        for (account, start, cause), amount in world.tally.overruns.items():
            found = over[cause == "post"]
            found[account, start] = found.get((account, start), 0) + amount
        yield world, Books(entries, accounts, over[True], over[False])


def differences(home: Path, scratch: Path) -> dict[str, Any]:
    """Where the replay of the unchanged policy is not the ledger; empty = nowhere."""
    scratch.mkdir(parents=True, exist_ok=True)
    before = recorded(home / "ledger.db")
    with replayed(home, without_outcomes(home, scratch)) as (world, after):
        entries = {n: (before.entries.get(n), after.entries.get(n)) for n in before.entries.keys() | after.entries.keys()}
        found: dict[str, Any] = {
            "entries": {
                n: pair for n, pair in entries.items() if pair[0] != pair[1] and not (pair[1] is None and pair[0] == (0, 0, 0))
            },
            "accounts": {
                name: (n, after.accounts.get(name)) for name, n in before.accounts.items() if n != after.accounts.get(name)
            },
            "overruns": {
                key: (before.overruns.get(key), after.overruns.get(key))
                for key in before.overruns.keys() | after.overruns.keys()
                if before.overruns.get(key) != after.overruns.get(key)
            },
            "found over": {key: n for key, n in after.found_over.items() if n > before.found_over.get(key, 0)},
            "stopped": {name: stopped.requests for name, stopped in world.tally.stopped.items()},
        }
    return {name: what for name, what in found.items() if what}
