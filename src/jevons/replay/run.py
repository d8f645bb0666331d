"""Recorded traffic through policies, one after the other: what each would have cost, with an interval where that is not certain.

Comes in: a home with its ledger, policies, a time. Goes out: an `Outcome` for each. A policy that refuses something is gone through twice: once
as if a run ended at its first refusal, once as if all its later requests came nevertheless. Nothing is written to the ledger.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import msgspec

from jevons.core.entry import ORDER_BITS, first_order_of_ms
from jevons.core.limits import ACCOUNTS_KEPT_MAX
from jevons.ledger.bill import reading
from jevons.ledger.ops import LimitSet, RunTightened
from jevons.meter.pricebook import PriceBook
from jevons.policy.windows import FOREVER
from jevons.replay.eras import Change, Era, Granted, Placed, Policy, dated, keys_of, recorded, states_policy
from jevons.replay.past import Past
from jevons.replay.rates import Rates
from jevons.replay.rows import calls
from jevons.replay.tally import Tally
from jevons.replay.ways import Ways
from jevons.replay.world import World

LEVELS = 4
"""Accounts that a run has, about: its own budget, and limits on runs and their children."""


class Passed(msgspec.Struct, frozen=True):
    """A policy, gone through."""

    policy: Policy
    ends: Tally
    """A run that is refused ends there."""
    goes_on: Tally
    """It does not: each of its requests is decided by itself. The same object where nothing was refused."""
    absent_books: tuple[str, ...]
    """Price books that are gone; the one in use stood in."""


class Recordings:
    """What a ledger has of a time, and what held then."""

    def __init__(
        self, home: Path, ledger: Path, since_ms: int = 0, until_ms: int = FOREVER.end_ms, book: PriceBook | None = None
    ) -> None:
        """`since_ms` and `until_ms`: when requests came in, Unix ms. `book`: the price book in use, if it is open already."""
        self._home = home
        self._ledger = ledger
        self.since_ms = since_ms
        self.until_ms = until_ms
        self._rates = Rates(home, book)
        with reading(ledger) as db:
            self._changes = recorded(db)
            self._keys = keys_of(db)
            self._overruns = {
                (account, window_ms): amount
                for account, window_ms, amount in db.execute(
                    "SELECT account, window_ms, sum(amount) FROM overruns WHERE at_ms < ? GROUP BY 1, 2", (since_ms,)
                )
            }
            runs: int = db.execute("SELECT count(*) FROM runs WHERE last_ms >= ?", (since_ms,)).get
        self._many_runs = runs * LEVELS > ACCOUNTS_KEPT_MAX

    @property
    def states_policy(self) -> bool:
        """Does the log tell what the configuration said?"""
        return states_policy(self._changes)

    def reading(self) -> AbstractContextManager[apsw.Connection]:
        """The ledger, for whoever tells of it."""
        return reading(self._ledger)

    def limits_at_end(self, policy: Policy) -> Era:
        """What holds when the time ends."""
        era, end = Era(policy, dict(self._keys)), first_order_of_ms(min(self.until_ms, FOREVER.end_ms >> ORDER_BITS))
        for order, change in self._placed(policy):
            if order < end:
                era.change(change)
        return era

    def replay(self, policy: Policy) -> Passed:
        """Through one policy."""
        ends = self.once(policy, stops=True)
        goes_on = self.once(policy, stops=False) if ends.stopped else ends
        return Passed(policy, ends, goes_on, tuple(sorted(self._rates.absent)))

    def once(self, policy: Policy, *, stops: bool) -> Tally:
        """One way through it."""
        with self.world(policy, stops=stops) as world:
            return self.run(world)

    def run(self, world: World) -> Tally:
        """All calls of the time, through a world of its own."""
        with reading(self._ledger) as db:
            return world.run(calls(db, self.since_ms, self.until_ms), self.until_ms)

    @contextmanager
    def world(self, policy: Policy, *, stops: bool) -> Iterator[World]:
        """A policy as it is when the replay begins."""
        begin = first_order_of_ms(self.since_ms)
        end = first_order_of_ms(self.until_ms) if self.until_ms < FOREVER.end_ms else FOREVER.end_ms
        changes = self._placed(policy)
        era = Era(policy, dict(self._keys))
        before = [change for order, change in changes if order < begin]
        after = [(order, change) for order, change in changes if begin <= order < end]
        with TemporaryDirectory(prefix="jevons-replay-") as folder:
            scratch = Path(folder) / "scratch.db" if self._many_runs or any(_renews(change) for _, change in after) else None
            with Past(self._ledger, era.keys, self.since_ms, scratch) as past:
                past.overruns.update(self._overruns)
                for change in before:
                    _stood(era, past, change)
                ways = Ways(policy, self._rates, Tally(), self._ledger)
                yield World(era, after, past, self._rates, ways, since_ms=self.since_ms, stops=stops, spares=policy.recorded)

    def _placed(self, policy: Policy) -> list[Placed]:
        return sorted([*self._changes, *dated(policy)], key=lambda one: one[0])


def _renews(change: object) -> bool:
    return not isinstance(change, LimitSet | RunTightened | Granted)


def _stood(era: Era, past: Past, change: Change) -> None:
    """A change of before the replay."""
    era.change(change)
    match change:
        case Granted(account, window_ms, amount):
            past.grants[account, window_ms] = past.grants.get((account, window_ms), 0) + amount
        case RunTightened(key_id, label, budget_nusd):
            past.budgets[key_id, label] = budget_nusd
