"""What held when: the policy of a time as the audit log tells it, and another one laid over it.

Comes in: the audit log with the operator's changes, the configuration, a `Policy` to try. Goes out: the state of all limits and keys at an
instant, and every change after it with its place in the order of events. Does not know: accounts, calls.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import apsw
import msgspec

from jevons.core.entry import first_order_of_ms
from jevons.ledger.ops import Adjusted, Key, KeyChanged, KeySettings, LimitPut, LimitRemoved, LimitSet, RunTightened
from jevons.policy.access import Access
from jevons.policy.route import Table
from jevons.policy.routes import Route
from jevons.policy.rules import Limit, Rule, named_and_built_in, rules_of


class Stated(msgspec.Struct, frozen=True):
    """What a configuration says of limits and fences."""

    limits: tuple[Limit, ...] = ()
    access: tuple[Access, ...] = ()
    governor: dict[str, Any] = {}


class Supplier(msgspec.Struct, frozen=True):
    """What is known of an upstream where a call may go instead."""

    provider: str
    billed: bool = True
    service_tier: str = "default"


class Routes(msgspec.Struct, frozen=True):
    """What a policy says of routing."""

    stated: tuple[Route, ...]
    in_use: tuple[Route, ...] = ()
    """The configuration's: a route that says the same promises what was recorded."""


class Dated(msgspec.Struct, frozen=True):
    """From an instant on, other limits: these are put (a limit of the same name is replaced), and those are removed."""

    at_ms: int
    limits: tuple[Limit, ...] = ()
    remove: tuple[str, ...] = ()


class Policy(msgspec.Struct, frozen=True):
    """A policy to replay under. Without anything it is the recorded one."""

    name: str
    recorded: bool = False
    """As it was: what was imported counts in no limit then."""
    stated: Stated | None = None
    """In place of what the configuration said; None = as it was."""
    changes: tuple[Dated, ...] = ()
    table: Table | None = None
    """Routes, for calls that go to another model; None = each goes where it went."""
    reroutes: bool = False
    """The table is the policy's own: calls go where it sends them."""
    routes: Routes | None = None
    """Requests that were routed are decided again by these; None = they go where they went."""
    suppliers: dict[str, Supplier] = {}


class Granted(msgspec.Struct, frozen=True):
    """A person's yes, or a yes taken back."""

    account: str
    window_ms: int
    amount: int


Change = Stated | Dated | LimitPut | LimitRemoved | LimitSet | KeyChanged | Adjusted | RunTightened | Granted
Placed = tuple[int, Change]
"""With its place in the order of events."""


class Era:
    """The policy as it holds at one point of a replay; changes carry it on."""

    def __init__(self, policy: Policy, keys: dict[int, Key]) -> None:
        self._fixed = policy.stated
        self.stated = policy.stated or Stated()
        self.configured: dict[str, Limit] = {limit.name: limit for limit in self.stated.limits}
        self.stored: dict[str, Limit] = {}
        self.keys = keys
        """As they are now; those of imported rows may call like any other."""

    @property
    def limits(self) -> dict[str, Limit]:
        """Every limit by its name. One of the policy stands for one of that name that was set while serving."""
        stored = [limit for limit in self.stored.values() if limit.name not in self.configured]
        return {limit.name: limit for limit in named_and_built_in((*self.configured.values(), *stored))}

    @property
    def rules(self) -> tuple[Rule, ...]:
        return tuple([rule for limit in self.limits.values() for rule in rules_of(limit)])

    @property
    def packs(self) -> str:
        """What a key without a setting of its own does: strict or packed."""
        return str(self.stated.governor.get("holds", "strict"))

    def change(self, change: Change) -> bool:
        """Take a change over. Returns whether limits or accounts are others from now on."""
        match change:
            case Stated():
                if self._fixed is not None:
                    return False
                self.stated, self.configured = change, {limit.name: limit for limit in change.limits}
            case Dated(_, limits, remove):
                kept = {name: limit for name, limit in self.configured.items() if name not in remove}
                self.configured = kept | {limit.name: limit for limit in limits}
                self.stored = {name: limit for name, limit in self.stored.items() if name not in remove}
            case LimitPut(limit):
                self.stored[limit.name] = limit
            case LimitRemoved(name):
                self.stored.pop(name, None)
            case LimitSet(key_id, limit_nusd):
                self.keys[key_id] = msgspec.structs.replace(self.keys[key_id], limit_nusd=limit_nusd)
                return False
            case KeyChanged(key_id, settings):
                self.keys[key_id] = msgspec.structs.replace(self.keys[key_id], settings=settings)
            case _:
                return isinstance(change, Adjusted)
        return True


def keys_of(db: apsw.Connection) -> dict[int, Key]:
    """All keys as they were made, without a limit; the changes say the rest. What was imported counts as if it had called."""
    keys = {}
    for key_id, name, created_ms, settings, limit_nusd in db.execute(
        "SELECT id, name, created_ms, settings, limit_nusd FROM keys JOIN accounts ON key_id = id"
    ):
        decoded = msgspec.structs.replace(msgspec.json.decode(settings, type=KeySettings), source="")
        keys[key_id] = Key(key_id, name, b"%d" % key_id, "", created_ms, limit_nusd, decoded)
    made = dict(db.execute("SELECT substr(subject, 5), detail FROM audit WHERE action = 'key-create' ORDER BY seq"))
    for key in keys.values():
        if (detail := made.get(key.name)) is not None:
            found = msgspec.json.decode(detail)
            settings = msgspec.structs.replace(msgspec.convert(found["settings"], KeySettings), source="")
            keys[key.id] = msgspec.structs.replace(key, limit_nusd=found["limit_nusd"], settings=settings)
    return keys


def recorded(db: apsw.Connection) -> list[Placed]:
    """Every change that the log tells, in the order of events."""
    key_ids = {name: key_id for key_id, name in db.execute("SELECT id, name FROM keys")}
    windows = dict(db.execute("SELECT id, window_ms FROM approvals"))
    found: list[tuple[str, int, Change]] = []
    orders: dict[int, int] = {}
    yes: set[str] = set()
    for at_ms, action, subject, text in db.execute(
        "SELECT at_ms, action, subject, detail FROM audit WHERE action IN ('policy', 'in-force', 'limit-set', 'limit-remove', 'key-limit',"
        " 'key-change', 'adjust', 'run-budget', 'answer-approved', 'answer-denied') ORDER BY seq"
    ):
        detail = msgspec.json.decode(text)
        if action == "in-force":
            if (place := next((n for n in reversed(range(len(found))) if found[n][0] == detail["of"]), None)) is not None:
                orders.setdefault(place, detail["order"])
            continue
        if (change := _change(action, subject, detail, at_ms, key_ids, windows, yes)) is not None:
            found.append((subject, at_ms, change))
            if "order" in detail:
                orders[len(found) - 1] = detail["order"]
    placed = [(orders.get(n, first_order_of_ms(at_ms)), change) for n, (_, at_ms, change) in enumerate(found)]
    return sorted(placed, key=lambda one: one[0])


def states_policy(changes: Sequence[Placed]) -> bool:
    """Does the log tell what the configuration said?"""
    return any(isinstance(change, Stated) for _, change in changes)


def dated(policy: Policy) -> Iterator[Placed]:
    """The policy's own changes."""
    for change in policy.changes:
        yield first_order_of_ms(change.at_ms), change


def _change(
    action: str, subject: str, detail: Any, at_ms: int, key_ids: dict[str, int], windows: dict[str, int], yes: set[str]
) -> Change | None:
    name = subject.partition(":")[2]
    match action:
        case "policy":
            return msgspec.convert({member: detail[member] for member in ("limits", "access", "governor")}, Stated)
        case "limit-set":
            return LimitPut(msgspec.convert(detail["limit"], Limit), at_ms)
        case "limit-remove":
            return LimitRemoved(name, at_ms)
        case "run-budget":
            key = next((key for key in sorted(key_ids, key=len, reverse=True) if name.startswith(f"{key}/")), None)
            if key is None:
                return None
            return RunTightened(key_ids[key], name.removeprefix(f"{key}/"), detail["budget_nusd"], at_ms)
        case "answer-approved" | "answer-denied":
            return _answer(action == "answer-approved", subject, detail, windows, yes)
    key_id = key_ids.get(name)
    if key_id is None:
        return None
    match action:
        case "key-limit":
            return LimitSet(key_id, detail["limit_nusd"], at_ms)
        case "key-change":
            settings = msgspec.structs.replace(msgspec.convert(detail["settings"], KeySettings), source="")
            return KeyChanged(key_id, settings, at_ms)
    return Adjusted(key_id, detail["nusd"], detail["reason"], at_ms, detail["entry_id"])


def _answer(approved: bool, account: str, detail: Any, windows: dict[str, int], yes: set[str]) -> Granted | None:
    """An answer may be changed: only a change of it changes what is granted."""
    approval = detail["approval"]
    if approved == (approval in yes):
        return None
    (yes.add if approved else yes.discard)(approval)
    return Granted(account, windows.get(approval, 0), detail["grants"] if approved else -detail["grants"])
