"""What the operator has said and decided: limits, kills, answers to questions. In memory, the disk as their journal.

Does not know: accounts; who makes them anew when a limit changes is the ledger.
"""

from collections.abc import Callable, Sequence

import msgspec

from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import Approval, Decided, Kill, Lifted, LimitPut, LimitRemoved, Noted
from jevons.ledger.store import Snapshot
from jevons.ledger.writer import Writer
from jevons.policy.rules import BUILT_IN, Limit, Rule, named_and_built_in, rules_of


class Control:
    """Limits with their rules, kills in force, questions and answers."""

    def __init__(self, writer: Writer, snapshot: Snapshot, configured: Sequence[Limit]) -> None:
        """`configured`: the limits of jevons.toml; only a restart changes them. Raises LedgerError for two limits of one name."""
        self._writer = writer
        self.configured = {limit.name: limit for limit in configured}
        self.stored = {limit.name: limit for limit in snapshot.limits}
        twice = sorted(self.configured.keys() & self.stored.keys())
        if len(self.configured) < len(configured) or twice:
            names = [limit.name for limit in configured]
            twice = twice or sorted({name for name in names if names.count(name) > 1})
            raise LedgerError(
                f"Two limits are called {', '.join(twice)} (in jevons.toml or `jevons limits`); rename or remove one."
            )
        self.rules: tuple[Rule, ...] = ()
        self._last_kill = snapshot.last_kill
        self.kills = {kill.id: kill for kill in snapshot.kills}
        self.approvals = {approval.id: approval for approval in snapshot.approvals}
        self.grants: dict[tuple[str, int], int] = {}
        """(account, start of its window) -> by how much approvals have raised its asking point."""
        self.on_kill: list[Callable[[Kill], None]] = []
        """Told of each kill in the step that makes it."""
        self.on_grant: list[Callable[[str, int, int], None]] = []
        """Told of each change: (account, start of its window, sum)."""
        self._latest = {(approval.account, approval.window_ms): approval.id for approval in snapshot.approvals}
        for approval in snapshot.approvals:
            self._count(approval)
        self._expand()

    @property
    def limits(self) -> list[tuple[Limit, str]]:
        """Every limit with where it stands: jevons.toml, built in, or "" for those set while serving."""
        named = self.configured.keys() | self.stored.keys()
        return [
            *((limit, "jevons.toml") for limit in self.configured.values()),
            *((limit, "") for limit in self.stored.values()),
            *((limit, "built in") for limit in BUILT_IN if limit.name not in named),
        ]

    async def put_limit(self, limit: Limit, now_ms: int) -> None:
        """Raises LedgerError for a limit that makes no sense or stands in jevons.toml; LedgerUnavailable."""
        try:
            rules_of(limit)
        except ValueError as error:
            raise LedgerError(f"{error}.") from None
        if limit.name in self.configured:
            raise LedgerError(f"Limit {limit.name!r} stands in jevons.toml; change it there and restart, or choose another name.")
        await self._writer.submit(LimitPut(limit, now_ms))
        self.stored[limit.name] = limit
        self._expand()

    async def remove_limit(self, name: str, now_ms: int) -> None:
        """Raises LedgerError, LedgerUnavailable."""
        if name in self.configured:
            raise LedgerError(f"Limit {name!r} stands in jevons.toml; take it out there and restart.")
        if name not in self.stored:
            raise LedgerError(
                f"There is no limit {name!r}. Limits: {', '.join(sorted([*self.stored, *self.configured])) or 'none yet'}."
            )
        await self._writer.submit(LimitRemoved(name, now_ms))
        del self.stored[name]
        self._expand()

    async def kill(self, subject: str, reason: str, now_ms: int) -> Kill:
        """In force at once. Raises LedgerUnavailable; then it is in force all the same, and written when the disk is back."""
        self._last_kill += 1
        kill = Kill(self._last_kill, subject, reason, now_ms)
        self.kills[kill.id] = kill
        for told in self.on_kill:
            told(kill)
        await self._writer.submit(kill)
        return kill

    async def lift(self, kill_id: int, now_ms: int) -> None:
        """Raises LedgerError, LedgerUnavailable; then it stays in force."""
        if kill_id not in self.kills:
            raise LedgerError(f"No kill {kill_id} is in force. In force: {', '.join(map(str, self.kills)) or 'none'}.")
        await self._writer.submit(Lifted(kill_id, now_ms))
        self.kills.pop(kill_id, None)  # another may have lifted it meanwhile

    def ask(self, approval: Approval) -> None:
        """Put a question to a person. Not awaited: who asks has been refused already."""
        self.approvals[approval.id] = approval
        self._latest[approval.account, approval.window_ms] = approval.id
        self._writer.submit(approval)

    def asked(self, account: str, window_ms: int) -> Approval | None:
        """The latest question about an account."""
        latest = self._latest.get((account, window_ms))
        return self.approvals[latest] if latest is not None else None

    async def decide(self, approval_id: str, approved: bool, now_ms: int) -> Approval:
        """Answer a question, in time or late, or change the answer. Raises LedgerError, LedgerUnavailable; then nothing changed."""
        if approval_id not in self.approvals:
            raise LedgerError(f"There is no question {approval_id!r}. `jevons approve` lists them.")
        after = msgspec.structs.replace(
            self.approvals[approval_id], state="approved" if approved else "denied", decided_ms=now_ms
        )
        await self._writer.submit(Decided(after))
        self._count(self.approvals[approval_id], -1)  # as it is now: another may have answered meanwhile
        self._count(after)
        self.approvals[approval_id] = after
        key = (after.account, after.window_ms)
        for told in self.on_grant:
            told(*key, self.grants.get(key, 0))
        return after

    def note(self, noted: Noted) -> None:
        """A line for the audit log, written with the next commit."""
        self._writer.submit(noted)

    def _count(self, approval: Approval, sign: int = 1) -> None:
        if approval.state == "approved":
            key = (approval.account, approval.window_ms)
            self.grants[key] = self.grants.get(key, 0) + sign * approval.grants

    def _expand(self) -> None:
        stated = named_and_built_in((*self.configured.values(), *self.stored.values()))
        self.rules = tuple(rule for limit in stated for rule in rules_of(limit))
