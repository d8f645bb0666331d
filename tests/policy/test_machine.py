"""Every account of every call, at six levels, in several measures and windows, under any order of what may happen to them.

The steps are those of the ledger without its disk. A list of what was called and corrected is all that the oracle knows: from it it says
at every step what each account must hold.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jevons.core.price import Price, PriceTier
from jevons.policy.accounts import Account
from jevons.policy.amounts import Amounts
from jevons.policy.books import KEY_TOTAL, Books
from jevons.policy.govern import Admit, Terms, decide, more_output
from jevons.policy.rules import COUNTED, Limit, Measure, Who, rules_of
from jevons.policy.runs import Record, Run, Runs
from jevons.policy.windows import FOREVER
from tests.policy.keeping import Kept, Post, counts

EVENING_MS = 1_795_215_600_000 - 90_000
"""A minute and a half before midnight in Zurich."""
PRICE = Price("p/m", "b", 1, (PriceTier(-1, {"input": 1, "output": 2}),))
CALLERS = (
    Who("acme", "web", 1, "alice", "coder"),
    Who("acme", "web", 2, "bob", "coder"),
    Who("acme", "api", 3, "carol", ""),
    Who("acme", "", 4, "loner", "reviewer"),
)
PARENTS = {"r": None, "s": None, "c": "r", "d": "r", "g": "c"}
LIMITS = [
    Limit("org-day", scope="org", usd=1, per="day", timezone="Europe/Zurich"),
    Limit("org-busy", scope="org", concurrent=4, model="gpt-*"),
    Limit("team-hour", scope="team", tokens=1, per="1h"),
    Limit("watched", scope="team", usd=1, mode="observe"),
    Limit("key-minute", scope="key", steps=1, per="1m"),
    Limit("key-money", scope="key", usd=1, list_usd=1, per="5m"),
    Limit("agent", scope="agent", output_tokens=1, agent="coder"),
    Limit("run", scope="run", usd=1),
    Limit("child", scope="child", tokens=1, per="hour"),
]
RULES = {(made.name, made.measure): made for limit in LIMITS for made in rules_of(limit)}
ORDINARY = {
    Measure.USD: 500,
    Measure.LIST_USD: 700,
    Measure.TOKENS: 600,
    Measure.OUTPUT: 500,
    Measure.STEPS: 5,
    Measure.CONCURRENT: 4,
}
NOTHING: Amounts = (0,) * 10  # type: ignore[assignment]


class Asked(NamedTuple):
    """What a client asks for."""

    who: Who
    label: str | None
    model: str
    tokens: int
    cap: int | None
    late_ms: int
    """A retry of our own, of a call that was admitted so long ago."""
    billed: bool
    packed: int | None


ASKED = st.builds(
    Asked,
    who=st.sampled_from(CALLERS),
    label=st.none() | st.sampled_from(sorted(PARENTS)),
    model=st.sampled_from(["gpt-5", "claude"]),
    tokens=st.integers(0, 30),
    cap=st.none() | st.integers(1, 60),
    late_ms=st.just(0) | st.just(0) | st.integers(1, 30_000),
    billed=st.sampled_from([True, True, True, False]),
    packed=st.none() | st.none() | st.integers(1, 30),
)


class Call(msgspec.Struct, eq=False):
    """One call or correction, from beginning to end. `line`: labels from its root run to its own."""

    at_ms: int
    who: Who
    line: tuple[str, ...]
    model: str
    held: Amounts = NOTHING
    posted: Amounts = NOTHING
    claims: list[tuple[Account, int]] = []
    terms: Terms | None = None
    known: dict[tuple[str, str], bool] = {}
    """(rule, subject) -> does it count there?"""

    def counts(self, account: Account) -> bool:
        key = (account.rule.name, account.subject)
        if key not in self.known:
            self.known[key] = counts(account.rule, account.subject, self.who, self.line, self.model)
        return self.known[key] and account.period.start_ms <= self.at_ms < account.period.end_ms

    @property
    def open(self) -> bool:
        return bool(self.claims)


class PathMachine(RuleBasedStateMachine):
    """posted + held <= limit + recorded excess, at every step and level; excess only from its three causes."""

    @initialize(scale=st.sampled_from([1, 1, 2, 5]))
    def begin(self, scale: int) -> None:
        self.now_ms = EVENING_MS
        self.rules = {key: msgspec.structs.replace(made, limit=ORDINARY[made.measure] // scale) for key, made in RULES.items()}
        self.calls: list[Call] = []
        self.kept = Kept()
        self.begun: dict[tuple[int, str], int] = {}
        """Runs that have called, and those above them: on record before anything is spent."""
        self.budgets: dict[tuple[int, str], int] = {}
        self.total_limits: dict[int, int | None] = {who.key_id: 2_000 // scale for who in CALLERS[:2]}
        self.caused = False
        self.pending: tuple[int, int | None, int, int] | None = None
        """An operator's change of a key's total that is on its way to the disk: (key, limit before, correction, recorded)."""
        self.start()

    def start(self) -> None:
        self.runs = Runs(self.recall)
        self.totals = {who.key_id: self.total(who) for who in CALLERS}
        self.books = self.new_books()

    def total(self, who: Who) -> Account:
        overrun = self.kept.overrun(f"key:usd key:{who.key}", 0)
        made = Account(KEY_TOTAL, f"key:{who.key}", FOREVER, self.total_limits.get(who.key_id), overrun)
        made.restore(0, sum(post.amounts[0] for post in self.kept.posts if post.who.key_id == who.key_id))
        return made

    def new_books(self) -> Books:
        return Books(list(self.rules.values()), self.kept, self.totals, self.now_ms)

    def recall(self, key_id: int, label: str) -> Record | None:
        first_ms, budget = self.begun.get((key_id, label)), self.budgets.get((key_id, label))
        if first_ms is None and budget is None:
            return None
        started = sum(key == key_id and PARENTS[child] == label for key, child in self.begun)
        return Record(PARENTS[label] if first_ms is not None else None, first_ms, started, budget)

    def run_of(self, who: Who, label: str | None) -> Run | None:
        return None if label is None else self.runs.enter(who.key_id, label, PARENTS[label], self.now_ms)

    @property
    def open_calls(self) -> list[Call]:
        return [call for call in self.calls if call.open]

    def record(self, account: Account, excess: int) -> None:
        assert excess >= 0 and (account.enforced or not excess)
        key = (account.label, account.period.start_ms)
        self.kept.overruns[key] = self.kept.overruns.get(key, 0) + excess

    def record_found(self) -> None:
        for account, excess in self.books.fresh_excess:
            self.record(account, excess)
        self.books.fresh_excess.clear()

    @rule(asked=st.lists(ASKED, min_size=1, max_size=6))
    def calls_at_once(self, asked: list[Asked]) -> None:
        for one in asked:
            self.ask(*one)

    def ask(
        self,
        who: Who,
        label: str | None,
        model: str,
        tokens: int,
        cap: int | None,
        late_ms: int,
        billed: bool,
        packed: int | None,
    ) -> None:
        run = self.run_of(who, label)
        line = tuple(above.label for above in run.lineage) if run is not None else ()
        who = msgspec.structs.replace(who, run=label)
        at_ms = self.now_ms - late_ms
        path = self.books.path(who, run, model, at_ms)
        self.record_found()
        terms = Terms(
            PRICE, tokens, 60, output_cap=cap, default_output_tokens=40, billed=billed, step=not late_ms, expected_output=packed
        )
        verdict = decide(path, terms)
        if not isinstance(verdict, Admit):
            assert verdict.account in path and verdict.account.enforced  # what is observed refuses nobody
            return
        for above in line:
            self.begun.setdefault((who.key_id, above), at_ms)
        claims = [(account, account.bucket(at_ms)) for account in path]
        for account, bucket in claims:
            account.reserve(bucket, verdict.amounts[account.index])
        self.calls.append(Call(at_ms, who, line, model, verdict.amounts, claims=claims, terms=terms))

    @precondition(lambda self: self.open_calls)
    @rule(ends=st.lists(st.tuples(st.integers(0, 99), st.sampled_from([0, 1, 2, 3, 4, 4, 4, 5, 9])), min_size=1, max_size=5))
    def calls_end(self, ends: list[tuple[int, int]]) -> None:
        """Each at so many quarters of its hold: 0 = void, above 4 = the provider billed more than was held."""
        steps, concurrent = COUNTED.index(Measure.STEPS), COUNTED.index(Measure.CONCURRENT)
        for number, quarters in ends:
            if not self.open_calls:
                return
            call = self.open_calls[number % len(self.open_calls)]
            came_to = [amount * quarters // 4 for amount in call.held]
            came_to[steps], came_to[concurrent] = min(call.held[steps], quarters), 0
            self.caused |= quarters > 4
            self.post(call, tuple(came_to))  # type: ignore[arg-type]

    def post(self, call: Call, came_to: Amounts) -> None:
        for account, bucket in call.claims:
            self.record(account, account.post(bucket, call.held[account.index], came_to[account.index]))
        self.resolved(call, came_to)

    def resolved(self, call: Call, came_to: Amounts) -> None:
        call.held, call.posted, call.claims = NOTHING, came_to, []
        self.kept.posts.append(Post(call.at_ms, call.who, call.line, call.model, came_to))

    @precondition(lambda self: self.open_calls)
    @rule(number=st.integers(0, 99))
    def a_hold_cannot_be_written(self, number: int) -> None:
        call = self.open_calls[number % len(self.open_calls)]
        for account, bucket in call.claims:
            account.release(bucket, call.held[account.index])
        self.calls.remove(call)

    @precondition(lambda self: self.open_calls)
    @rule(number=st.integers(0, 99), tokens=st.integers(1, 60))
    def a_hold_grows(self, number: int, tokens: int) -> None:
        call = self.open_calls[number % len(self.open_calls)]
        assert call.terms is not None
        more = more_output(call.terms, call.held[COUNTED.index(Measure.OUTPUT)], tokens)
        if all(not account.enforced or account.fits(more[account.index]) for account, _ in call.claims):
            for account, bucket in call.claims:
                account.grow(bucket, more[account.index])
            call.held = tuple(a + b for a, b in zip(call.held, more, strict=True))  # type: ignore[assignment]

    @rule(
        by_ms=st.sampled_from([1, 999, 1_000, 20_000, 60_000, 61_001, 300_000, 3_600_000, 86_400_000]) | st.integers(1, 120_000)
    )
    def time_passes(self, by_ms: int) -> None:
        self.now_ms += by_ms

    @precondition(lambda self: self.pending is None)
    @rule(
        does=st.sampled_from(["edit", "edit", "correct", "limit_key", "crash", "renew"]),
        who=st.sampled_from(CALLERS),
        key=st.sampled_from(sorted(RULES)),
        limit=st.integers(0, 1_000),
        enforced=st.sampled_from([True, True, True, False]),
        nusd=st.integers(-300, 300),
        keep=st.integers(0, 6),
    )
    def operator(self, does: str, who: Who, key: tuple[str, Measure], limit: int, enforced: bool, nusd: int, keep: int) -> None:
        match does:
            case "edit":
                self.edit(key, limit, enforced)
            case "correct":
                self.correct(who, nusd)
            case "limit_key":
                self.limit_key(who, limit if enforced else None)
            case "crash":
                self.crash()
            case _:
                self.renew(keep)

    def edit(self, key: tuple[str, Measure], limit: int, enforced: bool) -> None:
        before = self.rules[key]
        self.caused |= (enforced and not before.enforced) or limit < before.limit
        self.rules[key] = msgspec.structs.replace(before, limit=limit, enforced=enforced)
        self.renew()

    def renew(self, keep: int = 100) -> None:
        """New accounts under new rules: what is on disk, and the open holds on top."""
        self.runs.forget(keep, {(call.who.key_id, call.who.run or "") for call in self.open_calls})
        self.books = self.new_books()
        for call in self.open_calls:
            path = self.books.path(call.who, self.run_of(call.who, call.who.run), call.model, call.at_ms)
            call.claims = [(account, account.pinned(call.at_ms)) for account in path]
            for account, bucket in call.claims:
                if account is not self.totals[call.who.key_id]:
                    account.restore(bucket, 0, call.held[account.index])
        for account in self.books.accounts.values():
            assert account.roll(self.now_ms) == 0  # what is out by now is no news
            self.record(account, account.cover())
        self.record_found()

    def crash(self) -> None:
        """The process ends and starts again: what was open is charged whole."""
        for call in self.open_calls:
            self.resolved(call, (*call.held[:9], 0))
        self.start()

    def correct(self, who: Who, nusd: int) -> None:
        """A correction upwards counts at once, one downwards when it is on disk."""
        account, excess = self.totals[who.key_id], 0
        self.caused = True
        if nusd >= 0:
            excess = account.adjust(0, nusd)
            self.record(account, excess)
            self.pending = (who.key_id, account.limit, nusd, excess)
        else:
            self.written(who.key_id, nusd)
            account.adjust(0, nusd)
            self.renew()

    def limit_key(self, who: Who, limit: int | None) -> None:
        account = self.totals[who.key_id]
        before = account.limit
        lowered = limit is not None and (before is None or limit < before)
        excess = account.set_limit(limit)
        self.record(account, excess)
        assert lowered or not excess
        self.caused |= lowered
        self.total_limits[who.key_id] = limit
        if lowered:
            self.pending = (who.key_id, before, 0, excess)

    @precondition(lambda self: self.pending is not None)
    @rule(fails=st.booleans())
    def it_comes_to_disk_or_not(self, fails: bool) -> None:
        assert self.pending is not None
        key_id, before, nusd, excess = self.pending
        self.pending = None
        account = self.totals[key_id]
        if fails:
            account.take_back(before, 0, nusd, excess)
            self.kept.overruns[account.label, 0] -= excess
            self.total_limits[key_id] = before
        elif nusd:
            self.written(key_id, nusd)
            self.renew()

    def written(self, key_id: int, nusd: int) -> None:
        who = next(msgspec.structs.replace(who, agent="") for who in CALLERS if who.key_id == key_id)
        correction = Call(self.now_ms, who, (), "", posted=(nusd, *NOTHING[1:]))
        self.calls.append(correction)
        self.kept.posts.append(Post(correction.at_ms, who, (), "", correction.posted))

    @rule(who=st.sampled_from(CALLERS), label=st.sampled_from(sorted(PARENTS)), nusd=st.integers(0, 500))
    def tighten(self, who: Who, label: str, nusd: int) -> None:
        run = self.run_of(who, label)
        assert run is not None
        before = run.budget_nusd
        excess = self.books.tighten(run, msgspec.structs.replace(who, run=label), nusd)
        self.record_found()
        account = self.books.budget(run, who)
        self.record(account, excess)
        assert account.limit == run.budget_nusd == (nusd if before is None else min(before, nusd))
        self.caused |= run.budget_nusd != before
        self.budgets[who.key_id, label] = account.limit

    def accounts(self) -> Iterator[Account]:
        for account in (*self.totals.values(), *self.books.accounts.values()):
            self.record(account, account.roll(self.now_ms))
            yield account

    def expected(self, account: Account) -> tuple[int, int]:
        """Posted and held, from the list."""
        posted = held = 0
        span = account.rule.window
        length_ms, width_ms = span.rolling_ms, span.bucket_ms
        for call in self.calls:
            if not call.counts(account):
                continue
            if length_ms and call.at_ms // width_ms * width_ms + width_ms <= self.now_ms - length_ms:
                continue  # the last instant of its bucket is out
            posted += call.posted[account.index]
            held += call.held[account.index]
        if self.pending is not None and account is self.totals[self.pending[0]]:
            posted += self.pending[2]
        return posted, held

    @invariant()
    def it_adds_up_at_every_level(self) -> None:
        for account in self.accounts():
            assert (account.posted, account.held) == self.expected(account), account.label

    @invariant()
    def within_limit_and_recorded_excess(self) -> None:
        for account in self.accounts():
            if not account.enforced:
                continue
            assert account.overrun == self.kept.overrun(account.label, account.period.start_ms), account.label
            if account.limit is not None:
                assert account.posted + account.held <= account.limit + account.overrun, account.label
        if not self.caused:
            assert not any(self.kept.overruns.values())


PathMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=50)
TestPaths = PathMachine.TestCase
