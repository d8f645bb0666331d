"""The real ledger on a real file, under any order of calls, limits, corrections, cancellations, failed commits, restarts and crashes.

After every step memory says what the disk says, every account of every level says what plain sums over the calls say (oracle.py), no
account is over its limit but for recorded excess, each hold has been resolved at most once, and everything adds up.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jevons.core.entry import Entry, Estimate, Hold, Outcome, admitted_ms
from jevons.core.saving import Saving, SavingKind
from jevons.core.usage import Usage
from jevons.ledger import audit
from jevons.ledger import ledger as ledger_module
from jevons.ledger.bill import check
from jevons.ledger.errors import LedgerUnavailable
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import Approval, KeySettings, Kill, Noted
from jevons.ledger.recovery import settle_open_holds
from jevons.ledger.sqlite import SqliteStore
from jevons.policy.accounts import Account
from jevons.policy.amounts import Amounts, bound
from jevons.policy.books import RUN_BUDGET, Books
from jevons.policy.rules import COUNTED, MONEY, Limit
from jevons.policy.runs import Runs
from tests.ledger.failing import DoubtfulStore
from tests.ledger.making import NOON_MS, balance, caught_up, make_entry, make_hold, make_key, written
from tests.ledger.oracle import Call, Correction, Oracle

AUDIT_KEY = b"k" * 32
MODELS = ("gpt-5", "gpt-5-mini", "claude")
AGENTS = ("", "codex", "aider")
RUNS = ("a", "b", "c", "d")
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
PACES = {
    "seconds": (("30s", "5m", "hour", "total"), (1, 300, 5_000, 20_000, 61_000)),
    "hours": (("hour", "day", "90m", "24h"), (20_000, 25 * 60_000, HOUR_MS, 5 * HOUR_MS, 11 * HOUR_MS)),
    "days": (("week", "month", "year", "31d"), (HOUR_MS, DAY_MS, 9 * DAY_MS, 33 * DAY_MS, 150 * DAY_MS)),
}
"""How time goes in one life of the machine, and windows that such steps lead through."""
ZONES = ("UTC", "Europe/Zurich", "Asia/Kolkata", "Australia/Lord_Howe")
Failures = list[tuple[Exception, bool]]
"""How the next commits fail: (error, was it written all the same)"""

picks = st.integers(0, 10**6)
failures = st.lists(
    st.tuples(st.sampled_from([apsw.FullError("full"), apsw.IOError("sync"), OSError("gone")]), st.booleans()), max_size=3
)
clean = st.lists(st.tuples(st.just(apsw.FullError("full")), st.just(False)), max_size=2)
"""A commit that fails is not written: whoever asked is told so, and what they asked for is not so."""
key_limits = st.none() | st.integers(0, 5_000)
teams = st.builds(KeySettings, team=st.sampled_from(("", "red", "blue")), org=st.sampled_from(("default", "umbrella")))
usages = st.tuples(
    st.integers(0, 600), *[st.integers(0, 20)] * 4, st.integers(0, 40), st.integers(0, 40), st.booleans()
)  # nusd, four kinds of input, output, reasoning, estimated?


@st.composite
def limits(draw: st.DrawFn) -> Limit:
    scope = draw(st.sampled_from(("org", "team", "key", "agent", "run", "child")))
    measures = draw(st.lists(st.sampled_from(COUNTED), min_size=1, max_size=2, unique=True))
    amounts = {m.value: f"{draw(st.integers(0, 5_000))}e-9" if m in MONEY else draw(st.integers(0, 400)) for m in measures}
    return Limit(
        name=draw(st.sampled_from(("one", "two", "three", "four"))),
        scope=scope,
        per=draw(st.sampled_from("0123")),  # one of those of its pace
        timezone=draw(st.sampled_from(ZONES)),
        mode=draw(st.sampled_from(("enforce", "enforce", "enforce", "observe", "off"))),
        key=draw(st.sampled_from(("*", "*", "*", "key-1"))),
        team=draw(st.sampled_from(("*", "*", "*", "red"))),
        agent=draw(st.sampled_from(("*", "*", "*", "co*"))),
        model=draw(st.sampled_from(("*", "*", "*", "gpt-5*"))),
        **amounts,  # type: ignore[arg-type]
    )


calls = st.fixed_dictionaries(
    {
        "key": picks,
        "agent": st.sampled_from(AGENTS),
        "model": st.sampled_from(MODELS),
        "run": st.none() | st.tuples(st.sampled_from(RUNS), st.none() | st.sampled_from(RUNS)),
        "nusd": st.integers(0, 600),
        "tokens": st.tuples(st.integers(0, 60), st.integers(0, 60)),
    }
)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "ACCOUNTS_KEPT_MAX", 4)
    monkeypatch.setattr(ledger_module, "RUNS_KEPT_MAX", 1)


class LedgerMachine(RuleBasedStateMachine):
    """No rule has a precondition that the state decides: when the writer's thread tries again is its own affair.

    `honest`: no bill is above its hold, no limit is lowered, nothing is corrected. Then no account may ever have excess."""

    honest = False

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="jevons-machine-"))
        self.path = self.folder / "ledger.db"
        self.lives = 0
        self.now_ms = NOON_MS
        self.oracle = Oracle()
        self.outcomes: dict[int, tuple[str, int]] = {}
        """What must stand in the ledger: entry id -> (outcome, billed)"""
        self.holds: dict[int, Hold] = {}
        self.kills: dict[int, Kill] = {}
        self.approvals: dict[str, Approval] = {}
        self.open()

    def open(self) -> None:
        self.store = DoubtfulStore(SqliteStore(self.path, audit_key=AUDIT_KEY, synchronous="OFF"))
        for hold in self.store.load().holds:
            del self.holds[hold.id]
            self.outcomes[hold.id] = (Outcome.KILLED, hold.held_nusd)
            call = self.oracle.open.pop(hold.id)
            tokens = (hold.input_tokens + hold.output_tokens, hold.input_tokens, 0, 0, hold.output_tokens, 0)
            call.amounts = (hold.held_nusd, hold.list_held_nusd, *tokens, int(hold.id % 16 == 0), 0)
            self.oracle.resolved[hold.id] = call
        assert self.holds == {} == self.oracle.open
        settle_open_holds(self.store, self.now_ms)
        self.ledger = Ledger(self.store, self.path, self.loop)

    def run(self, work: Awaitable[object]) -> None:
        """One step, and then wait until the writer has caught up."""

        async def step() -> None:
            await work
            self.store.failures.clear()
            await caught_up(self.ledger)

        self.loop.run_until_complete(step())

    def teardown(self) -> None:
        self.ledger.close()
        self.loop.close()
        self.the_audit_log_is_whole_and_shows_tampering()
        shutil.rmtree(self.folder)

    # What requests do

    def ask(self, asked: dict[str, Any], entry_id: int | None = None) -> tuple[Hold, tuple[Account, ...], Amounts] | None:
        """A hold that fits all its accounts, as the gate would take it; None if it is refused."""
        ledger, oracle = self.ledger, self.oracle
        key = ledger.by_id[1 + asked["key"] % len(ledger.accounts)]
        if entry_id is None:
            entry_id = ledger.next_request(self.now_ms)
        at_ms = admitted_ms(entry_id)
        run = None
        if asked["run"] is not None:
            label, parent = asked["run"]
            self.enter(key.id, label, parent)
            run = ledger.runs.enter(key.id, label, parent, at_ms)
        who = ledger.who(key, asked["agent"], run.label if run is not None else None)
        path = ledger.path_of(who, run, asked["model"], at_ms)
        nusd, (input_tokens, output_tokens) = asked["nusd"], asked["tokens"]
        amounts = bound(nusd, nusd, input_tokens, output_tokens, step=entry_id % 16 == 0)
        call = Call(entry_id, key.id, asked["agent"], run.label if run is not None else None, asked["model"], amounts)
        assert {(a.rule.name, a.rule.measure.value, a.subject) for a in path} == oracle.path(call)
        if not all(account.fits(amounts[account.index]) for account in path if account.enforced):
            return None
        for account in path:
            if account.enforced and account.limit is not None:  # said once more, without the accounts' own arithmetic
                assert oracle.posted(account) + oracle.held(account) + amounts[account.index] <= account.limit
        hold = make_hold(
            entry_id,
            nusd,
            key_id=key.id,
            run_id=call.run,
            parent_run_id=run.parent.label if run is not None and run.parent is not None else None,
            agent=call.agent,
            target=call.target,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            idempotency_key=key.id.to_bytes(16, "big") if nusd % 3 == 0 else b"",
        )
        oracle.open[hold.id] = call
        return hold, path, amounts

    def enter(self, key_id: int, label: str, parent: str | None) -> None:
        """A run's parent is what the first mention of it says that is still known: of a call that was refused only memory knows."""
        known = set(self.store.store.db.execute("SELECT key_id, run_id FROM runs")) | set(self.ledger.runs._runs)
        parents = self.oracle.parents = {run: above for run, above in self.oracle.parents.items() if run in known}
        if (key_id, label) not in parents:
            parent = None if parent == label else parent
            if parent is not None:
                parents.setdefault((key_id, parent), None)
            parents[key_id, label] = parent

    @rule(asked=calls)
    def take_one(self, asked: dict[str, Any]) -> None:
        self.run(self.takes([asked], []))

    @rule(asked=st.lists(calls, min_size=2, max_size=5), failing=failures)
    def take_some(self, asked: list[dict[str, Any]], failing: Failures) -> None:
        self.run(self.takes(asked, failing))

    async def takes(self, asked: list[dict[str, Any]], failing: Failures) -> None:
        self.store.failures = failing
        begun = [(taken[0], self.ledger.take(*taken)) for one in asked if (taken := self.ask(one))]
        for hold, durable in begun:
            try:
                await durable
            except LedgerUnavailable:
                await asyncio.sleep(0)  # what is undone is undone in the same turn of the loop
                assert self.ledger.repeated(hold.key_id, hold.idempotency_key) != (hold.body_digest, hold.id)
                del self.oracle.open[hold.id]
            else:
                self.holds[hold.id] = hold

    @rule(asked=calls, failing=failures)
    def take_and_leave(self, asked: dict[str, Any], failing: Failures) -> None:
        """A client that goes while its hold is being written: the gate voids it."""

        async def leave() -> None:
            if not (taken := self.ask(asked)):
                return
            self.store.failures = failing
            hold = taken[0]
            request = self.loop.create_task(_awaiting(self.ledger.take(*taken)))
            await asyncio.sleep(0)
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
            await written(self.post_of(hold, Outcome.VOID, (0,) * 7 + (False,)))

        self.run(leave())

    @rule(asked=calls, failing=failures)
    def hit(self, asked: dict[str, Any], failing: Failures) -> None:
        """A kept answer: nothing is reserved anywhere, and hold and entry go to the disk together."""

        async def answered() -> None:
            if not (taken := self.ask({**asked, "nusd": 0, "tokens": (0, 0)})):
                return
            hold = msgspec.structs.replace(taken[0], idempotency_key=b"")
            self.store.failures = failing
            self.ledger.take(hold, (), (0,) * 10)
            await written(self.post_of(hold, Outcome.CACHED, (0,) * 7 + (False,)))

        self.run(answered())

    @rule(which=st.lists(picks, min_size=1, max_size=6), spent=usages, failing=failures, leaves=st.booleans())
    def post(self, which: list[int], spent: tuple[Any, ...], failing: Failures, leaves: bool) -> None:
        async def posts() -> None:
            self.store.failures = failing
            begun = [
                self.post_of(list(self.holds.values())[number % len(self.holds)], Outcome.OK, spent)
                for number in which
                if self.holds
            ]
            for durable in begun:
                if leaves:
                    durable.cancel()
                else:
                    await written(durable)
            await caught_up(self.ledger)

        self.run(posts())

    @rule(which=picks, spent=usages, asked=calls, failing=failures)
    def fail_and_retry(self, which: int, spent: tuple[Any, ...], asked: dict[str, Any], failing: Failures) -> None:
        """The next attempt of the same request: it belongs to the windows of the request, and is no step."""

        if not self.holds:
            return

        async def retry() -> None:
            hold = list(self.holds.values())[which % len(self.holds)]
            call = self.oracle.open[hold.id]
            self.post_of(hold, Outcome.ERROR, spent)
            again = {**asked, "key": hold.key_id - 1, "agent": call.agent, "run": (call.run, None) if call.run else None}
            recent = all(not rule.window.rolling_ms for rule in self.oracle.rules()) or self.now_ms == call.at_ms
            if recent and hold.id % 16 < 15 and hold.id + 1 not in self.outcomes | self.holds:
                self.store.failures = failing
                if taken := self.ask(again, hold.id + 1):
                    if await written(self.ledger.take(*taken)):
                        self.holds[hold.id + 1] = taken[0]
                    else:
                        del self.oracle.open[hold.id + 1]

        self.run(retry())

    def post_of(self, hold: Hold, outcome: Outcome, spent: tuple[Any, ...]) -> "asyncio.Future[None]":
        entry = self.entry(hold, outcome, spent)
        self.holds.pop(hold.id, None)
        call = self.oracle.open.pop(hold.id)
        u = entry.usage
        cache_write = u.cache_write_5m + u.cache_write_1h
        tokens = (u.input + u.cache_read + cache_write + u.output, u.input, u.cache_read, cache_write, u.output, u.reasoning)
        step = int(hold.id % 16 == 0 and outcome not in (Outcome.VOID, Outcome.CACHED))
        self.oracle.resolved[hold.id] = call
        call.amounts = (entry.billed_nusd, entry.list_nusd, *tokens, step, 0)
        self.outcomes[hold.id] = (outcome, entry.billed_nusd)
        durable = self.ledger.post(entry)
        with pytest.raises(KeyError):
            self.ledger.post(entry)
        return durable

    def entry(self, hold: Hold, outcome: Outcome, spent: tuple[Any, ...]) -> Entry:
        nusd, plain, read, write_5m, write_1h, output, reasoning, estimated = spent
        if self.honest:
            nusd, output = min(nusd, hold.held_nusd), min(output, hold.output_tokens)
            left = hold.input_tokens
            plain, left = min(plain, left), left - min(plain, left)
            read, left = min(read, left), left - min(read, left)
            write_5m, left = min(write_5m, left), left - min(write_5m, left)
            write_1h = min(write_1h, left)
        usage = Usage(plain, read, write_5m, write_1h, output, min(reasoning, output))
        estimate = Estimate.SEEN if estimated else Estimate.NONE
        savings = (Saving(SavingKind.ANSWER_EXACT, 7, 8, estimated=True),) if outcome is Outcome.CACHED else ()
        return make_entry(hold, nusd, outcome=outcome, usage=usage, estimate=estimate, settled_ms=self.now_ms, savings=savings)

    @rule(which=picks, nusd=st.integers(0, 300), output=st.integers(0, 40), failing=clean)
    def grow(self, which: int, nusd: int, output: int, failing: Failures) -> None:
        if not self.holds:
            return

        async def grows() -> None:
            hold = list(self.holds.values())[which % len(self.holds)]
            call, more = self.oracle.open[hold.id], (nusd, nusd, output, 0, 0, 0, output, output, 0, 0)
            self.store.failures = failing
            grown = self.ledger.grow(hold.id, more)
            if grown is not None:
                call.amounts = tuple(a + b for a, b in zip(call.amounts, more, strict=True))  # type: ignore[assignment]
                bigger, durable = grown
                assert (bigger.held_nusd, bigger.list_held_nusd) == call.amounts[:2]
                assert bigger.output_tokens == call.amounts[6]
                self.holds[hold.id] = bigger
                if not await written(durable):  # the answer is cut, and its call ends
                    self.post_of(bigger, Outcome.OK, (bigger.held_nusd, 1, 1, 1, 1, 1, 1, True))

        self.run(grows())

    @rule(step=st.integers(0, 4), back=st.booleans(), asked=calls)
    def time_goes_on(self, step: int, back: bool, asked: dict[str, Any]) -> None:
        """And somebody calls then. A clock that is set back moves nothing back."""
        by = self.steps_ms[step]
        self.now_ms += -by if back and by < 60_000 else by
        self.run(self.takes([asked], []))

    # What the operator does

    @rule(
        what=st.sampled_from(("add", "team", "team", "limit", "limit", "revoke")),
        key=picks,
        limit=key_limits,
        of=teams,
        failing=clean,
    )
    def change_keys(self, what: str, key: int, limit: int | None, of: KeySettings, failing: Failures) -> None:
        ledger, number, keys = self.ledger, 1 + key % len(self.ledger.accounts), self.oracle.keys
        before = ledger.accounts[number].limit
        if what == "add" and len(ledger.accounts) < 4:
            number = len(ledger.accounts) + 1
            keys[number] = of
            if not self.operate(lambda: ledger.add_key(make_key(number, limit, settings=of)), failing):
                del keys[number]
        elif what == "team" and not self.honest:
            if self.operate(lambda: ledger.change_key(number, of, self.now_ms), failing, beside=False):
                keys[number] = of
            assert ledger.by_id[number].settings == keys[number]
        elif what == "limit" and not (self.honest and limit is not None and (before is None or limit < before)):
            done = self.operate(lambda: ledger.set_limit(number, limit, self.now_ms), failing)
            assert ledger.accounts[number].limit == (limit if done else before)
        elif what == "revoke":
            self.operate(lambda: ledger.revoke_key(number, NOON_MS + 1), failing)
            assert ledger.by_id[number].revoked_ms

    @precondition(lambda self: not self.honest)
    @rule(key=picks, nusd=st.integers(-800, 800), of=st.none() | picks, failing=clean)
    def adjust(self, key: int, nusd: int, of: int | None, failing: Failures) -> None:
        number = 1 + key % len(self.ledger.accounts)
        mine = [call for call in self.oracle.resolved.values() if call.key_id == number]
        call = mine[of % len(mine)] if of is not None and mine else None
        entry_id = call.id if call is not None else None
        if self.operate(lambda: self.ledger.adjust(number, nusd, "reason", self.now_ms, entry_id), failing, beside=False):
            self.oracle.corrections.append(Correction(number, nusd, self.now_ms, call))

    @rule(limit=limits(), remove=st.sampled_from((False, False, True)), failing=clean)
    def put_limit(self, limit: Limit, remove: bool, failing: Failures) -> None:
        """Set, replace, or take out the one of its name."""
        limit, name, in_force = self.paced(limit), limit.name, self.oracle.limits
        if remove and name in in_force:
            if self.operate(lambda: self.ledger.remove_limit(name, self.now_ms), failing, beside=False):
                del in_force[name]
        elif self.honest and (self.outcomes or self.holds):
            return
        elif self.operate(lambda: self.ledger.put_limit(limit, self.now_ms), failing, beside=False):
            in_force[name] = limit
        assert self.ledger.control.stored == in_force

    def paced(self, limit: Limit) -> Limit:
        return msgspec.structs.replace(limit, per=self.windows[int(limit.per)])

    @rule(key=picks, run=st.sampled_from(RUNS), budget=st.integers(0, 3_000), failing=failures)
    def tighten(self, key: int, run: str, budget: int, failing: Failures) -> None:
        """A call that tells its run's budget, and is then refused for another reason."""
        number, oracle = 1 + key % len(self.ledger.accounts), self.oracle

        async def tightens() -> None:
            self.store.failures = failing
            at_ms = admitted_ms(self.ledger.next_request(self.now_ms))
            self.enter(number, run, None)
            node = self.ledger.runs.enter(number, run, None, at_ms)
            who = self.ledger.who(self.ledger.by_id[number], "", run)
            account = self.ledger.books.budget(node, who)
            if self.honest and account.posted + account.held > budget:
                return
            self.ledger.tighten(node, who, budget, at_ms)
            before = oracle.budgets.get((number, run))
            oracle.budgets[number, run] = budget if before is None else min(before, budget)

        self.run(tightens())

    @rule(lift=st.none() | picks, failing=failures)
    def kill(self, lift: int | None, failing: Failures) -> None:
        """A kill is in force at once, whether it can be written or not; it is lifted when that is on disk."""
        control = self.ledger.control
        if lift is not None and self.kills:
            kill_id = sorted(self.kills)[lift % len(self.kills)]
            if self.operate(lambda: control.lift(kill_id, self.now_ms), [(error, False) for error, _ in failing]):
                del self.kills[kill_id]
            return
        told: list[Kill] = []
        control.on_kill.append(told.append)
        self.operate(lambda: control.kill("run:key-1/a", "why", self.now_ms), failing)
        control.on_kill.clear()
        (made,) = told
        self.kills[made.id] = made

    @rule(number=st.integers(0, 3), grants=st.integers(1, 50), decide=st.none() | st.tuples(picks, st.booleans()), failing=clean)
    def question(self, number: int, grants: int, decide: tuple[int, bool] | None, failing: Failures) -> None:
        control = self.ledger.control
        if decide is not None and self.approvals:
            before = self.approvals[list(self.approvals)[decide[0] % len(self.approvals)]]
            if self.operate(lambda: control.decide(before.id, decide[1], self.now_ms), failing):
                state = "approved" if decide[1] else "denied"
                self.approvals[before.id] = msgspec.structs.replace(before, state=state, decided_ms=self.now_ms)
            return
        asked = Approval(
            f"apr_{len(self.approvals)}", f"one:steps key:key-{number}", 0, "?", grants, self.now_ms, self.now_ms + 9
        )
        self.approvals[asked.id] = asked

        async def asks() -> None:
            control.ask(asked)
            control.note(Noted(self.now_ms, "denied", asked.account, {"n": number}))
            assert control.asked(asked.account, 0) == asked

        self.run(asks())

    def operate(self, change: Callable[[], Awaitable[object]], failing: Failures, *, beside: bool = True) -> bool:
        """An operator's change, with a call beside it. Was it written?"""
        done = False

        async def change_beside_a_call() -> None:
            nonlocal done
            self.store.failures = failing
            task = asyncio.ensure_future(_awaiting(change()))
            await asyncio.sleep(0)
            taken = None
            if beside:
                taken = self.ask({"key": 0, "agent": "", "model": "claude", "run": None, "nusd": 50, "tokens": (5, 5)})
            durable = self.ledger.take(*taken) if taken else None
            done = await written(task)
            if taken and durable:
                if await written(durable):
                    self.holds[taken[0].id] = taken[0]
                else:
                    del self.oracle.open[taken[0].id]

        self.run(change_beside_a_call())
        return done

    # What happens to the process

    def open_again(self) -> None:
        self.open()
        control = self.ledger.control
        assert control.kills == self.kills
        assert control.approvals == self.approvals
        assert control.stored == self.oracle.limits
        db = self.store.store.db
        budgets = db.execute("SELECT key_id, run_id, budget_nusd FROM run_budgets")
        assert {(key, run): budget for key, run, budget in budgets} == self.oracle.budgets
        called = {
            (call.key_id, run) for call in self.oracle.resolved.values() for run in self.oracle.lineage(call.key_id, call.run)
        }
        assert called <= set(db.execute("SELECT key_id, run_id FROM runs"))

    @rule(how=st.sampled_from(("stops", "dies", "", "", "")), spent=usages)
    def the_process(self, how: str, spent: tuple[Any, ...]) -> None:
        if how == "stops":
            self.ledger.close()
            self.open_again()
        elif how == "dies":
            self.crash(spent)

    def crash(self, spent: tuple[Any, ...]) -> None:
        """It dies while the disk is broken; what the system had taken from it is there. Nothing is closed."""

        async def last_call() -> None:
            self.store.failures = [(apsw.FullError("full"), False)] * 10**4
            for hold in list(self.holds.values())[:1]:
                assert not await written(self.ledger.post(self.entry(hold, Outcome.OK, spent)))

        self.loop.run_until_complete(last_call())
        self.lives += 1
        after = self.folder / f"life-{self.lives}.db"
        for end in ("", "-wal"):
            if (left := Path(f"{self.path}{end}")).exists():
                shutil.copy(left, f"{after}{end}")
        self.ledger.close()
        self.path = after
        self.open_again()

    # What must hold

    @initialize(
        pace=st.sampled_from(list(PACES)),
        of=st.lists(teams, min_size=2, max_size=2),
        limits=st.lists(limits(), min_size=1, max_size=4, unique_by=lambda limit: limit.name),
    )
    def first_keys(self, pace: str, of: list[KeySettings], limits: list[Limit]) -> None:
        self.windows, self.steps_ms = PACES[pace]
        for number, limit in ((1, 2_000), (2, None)):
            self.oracle.keys[number] = of[number - 1]
            self.run(self.ledger.add_key(make_key(number, limit, settings=of[number - 1])))
        for one in map(self.paced, limits):
            self.oracle.limits[one.name] = one
            self.run(self.ledger.put_limit(one, self.now_ms))

    @invariant()
    def memory_is_what_the_disk_says(self) -> None:
        snapshot = self.store.load()
        held = dict.fromkeys(snapshot.posted, 0)
        for hold in snapshot.holds:
            held[hold.key_id] += hold.held_nusd
        for key in snapshot.keys:
            account = self.ledger.accounts[key.id]
            posted, overrun = snapshot.posted[key.id]
            found, expected = balance(account), (key.limit_nusd, posted, held[key.id], overrun)
            assert found == expected, f"{account.label}: {found}, not {expected}"
        assert sorted(self.ledger.open_holds) == [hold.id for hold in snapshot.holds]
        assert {hold.id: hold for hold in snapshot.holds}.keys() == self.holds.keys() == self.oracle.open.keys()
        assert {key.id: key.revoked_ms for key in self.ledger.keys.values()} == {key.id: key.revoked_ms for key in snapshot.keys}
        assert self.ledger.control.kills == {kill.id: kill for kill in snapshot.kills} == self.kills
        assert self.ledger.control.approvals == {one.id: one for one in snapshot.approvals} == self.approvals
        approved = [one for one in self.approvals.values() if one.state == "approved"]
        grants = {one.account: sum(other.grants for other in approved if other.account == one.account) for one in approved}
        assert {account: grant for (account, _), grant in self.ledger.control.grants.items() if grant} == grants

    @invariant()
    def each_hold_is_resolved_once_and_everything_adds_up(self) -> None:
        db = self.store.store.db
        assert {row[0]: row[1:] for row in db.execute("SELECT id, outcome, billed_nusd FROM entries")} == self.outcomes
        assert not (problems := check(self.path)), problems

    @invariant()
    def every_account_says_what_plain_sums_say(self) -> None:
        for account in (*self.ledger.books.accounts.values(), *self.ledger.accounts.values()):
            found, expected = (account.posted, account.held), (self.oracle.posted(account), self.oracle.held(account))
            assert found == expected, f"{account.label}: {found}, not {expected}"
            if account.rule is RUN_BUDGET:
                key, _, run = account.subject.removeprefix("run:key-").partition("/")
                assert account.limit == self.oracle.budgets.get((int(key), run))

    @invariant()
    def a_new_process_would_find_the_same(self) -> None:
        """All accounts made anew from the disk, without what is open."""
        ledger, oracle = self.ledger, self.oracle
        runs = Runs(ledger.history.recall)
        books = Books(ledger.control.rules, ledger.history, ledger.accounts, self.now_ms)
        for call in list(oracle.resolved.values())[-6:]:
            now_ms = max(call.at_ms, self.now_ms)
            run = runs.enter(call.key_id, call.run, None, now_ms) if call.run is not None else None
            for account in books.path(ledger.who(ledger.by_id[call.key_id], call.agent, call.run), run, call.target, now_ms):
                assert account.posted == oracle.posted(account), account.label

    @invariant()
    def no_account_is_over_its_limit_but_for_recorded_excess(self) -> None:
        for account in (*self.ledger.books.accounts.values(), *self.ledger.accounts.values()):
            assert account.excess <= account.overrun or not account.enforced
            assert account.enforced or account.overrun == 0
            if self.honest:
                assert account.overrun == 0 and (account.excess == 0 or not account.enforced)
        if self.honest:
            assert self.ledger.overruns == {} == self.store.load().overruns

    def the_audit_log_is_whole_and_shows_tampering(self) -> None:
        whole = audit.verify(self.path, AUDIT_KEY)
        assert whole.broken == "" and whole.rows >= 2
        row = 1 + self.now_ms % whole.rows
        for damage in (
            f"UPDATE audit SET detail = detail || ' ' WHERE seq = {row}",
            f"DELETE FROM audit WHERE seq = {row}",
            f"DELETE FROM audit WHERE seq >= {row}",
        ):
            copy = self.folder / "damaged.db"
            shutil.copy(self.path, copy)
            db = apsw.Connection(str(copy))
            db.execute(f"DROP TRIGGER audit_is_never_edited; DROP TRIGGER audit_is_never_shortened; {damage}")
            db.close()
            assert audit.verify(copy, AUDIT_KEY, whole.anchor).broken


async def _awaiting(future: Awaitable[object]) -> None:
    await future


@pytest.mark.usefixtures("retry_at_once")
class TestLedger(LedgerMachine.TestCase):  # type: ignore[name-defined, misc]
    settings = settings(max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))


class HonestMachine(LedgerMachine):
    honest = True


@pytest.mark.usefixtures("retry_at_once")
class TestHonestLedger(HonestMachine.TestCase):  # type: ignore[name-defined, misc]
    settings = settings(max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.usefixtures("retry_at_once", "little_memory")
class TestLedgerOfLittleMemory(LedgerMachine.TestCase):  # type: ignore[name-defined, misc]
    """Accounts and runs are let go all the time, and made anew from the disk."""

    settings = settings(max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
