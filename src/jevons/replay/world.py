"""One pass of recorded calls through a policy: every event in its order, every decision by the functions that decide live traffic.

Comes in: calls in the order of their holds, the changes of what the operator says, what was posted before. Goes out: a `Tally`, and the
accounts as they are at the end. Time is the recorded one: a call's answer takes as long as it took. What is assumed of a run that is
refused is said by `stops`: its later requests do not come, or each comes and is decided by itself.
"""

from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from itertools import count

from jevons.core.entry import ATTEMPT_BITS, ORDER_BITS, first_order_of_ms
from jevons.core.limits import ACCOUNTS_KEPT_MAX, HOLD_WAIT_MAX_S, REPLAY_REFUSED_KEPT, RETRY_HELPS_MAX_S, RUNS_KEPT_MAX
from jevons.core.price import UnpricedKind
from jevons.ledger.ops import Adjusted, KeyChanged, LimitSet, RunTightened
from jevons.meter.models import model_facts
from jevons.policy.accounts import Account
from jevons.policy.amounts import plus
from jevons.policy.books import KEY_TOTAL, Books
from jevons.policy.govern import Admit, AskPerson, Deny, Wait, decide, is_cut, more_output
from jevons.policy.packed import Outputs, growth
from jevons.policy.rules import Who
from jevons.policy.runs import Run, Runs, TooDeep
from jevons.policy.settle import Settled
from jevons.policy.terms import LITTLE_KNOWN, NOT_PACKED, Asked, Sort
from jevons.policy.windows import FOREVER
from jevons.replay.eras import Change, Era, Granted, Placed
from jevons.replay.held import RECORDED, Goes, Held, held_price, terms_here, worth
from jevons.replay.past import Past
from jevons.replay.rates import Rates
from jevons.replay.rerouted import NotMade
from jevons.replay.rows import Call
from jevons.replay.tally import Tally, Whose
from jevons.replay.ways import Refused, Ways

_POST, _GROW, _GIVE_UP = range(3)
NO_PRICE = "the price of the model is unknown"
UNBOUNDED = "a tool that is billed by use has no bound"
TOO_DEEP = "the run is too deep"
Event = tuple[int, int, int, Held, int]
"""(place in the order of events, number, what, of which call, output tokens more)"""


class World:
    """A policy, its accounts, and the calls under way."""

    def __init__(
        self,
        era: Era,
        changes: Sequence[Placed],
        past: Past,
        rates: Rates,
        ways: Ways,
        *,
        since_ms: int,
        stops: bool,
        spares: bool,
    ) -> None:
        """`era` as it is when the replay begins; `changes` are those after it. `spares`: what was imported counts in no limit."""
        self.tally = ways.tally
        self.on_post: Callable[[Held, Settled], None] | None = None
        """Told of each call as it ends: what its entry would be."""
        self._era = era
        self._changes = list(changes)
        self._next_change = 0
        self._past = past
        self._rates = rates
        self._ways = ways
        self._stops = stops
        self._spares = spares
        self._events: list[Event] = []
        self._numbers = count()
        self._open: dict[int, Held] = {}
        self._waiting: list[Held] = []
        self._outputs = Outputs()
        self._some_pack = False
        """Does any key have packed holds?"""
        self._refused: dict[int, None] = {}
        """Requests that were refused: their further attempts do not come."""
        self._ended: dict[tuple[int, str], str] = {}
        """(key id, label) of runs that stopped -> what stopped them."""
        self._callers: dict[tuple[int, str, str | None], tuple[Who, Run | None]] = {}
        self._now_ms = since_ms
        self.runs = Runs(past.recall)
        self.totals = {key.id: self._total(key.id, since_ms) for key in era.keys.values()}
        self.books = self._new_books(max(0, since_ms - 1))

    def run(self, calls: Iterable[Call], until_ms: int) -> Tally:
        """All of them, and what is under way after the last."""
        for call in calls:
            self._advance(call.held_order)
            self._take(call)
        self._advance(first_order_of_ms(until_ms) if until_ms < FOREVER.end_ms >> ORDER_BITS else FOREVER.end_ms)
        while self._events:
            self._happens(heappop(self._events))
        return self.tally

    def _advance(self, order: int) -> None:
        """All that happens before."""
        events, changes = self._events, self._changes
        while True:
            change_order = changes[self._next_change][0] if self._next_change < len(changes) else order + 1
            if events and events[0][0] < order and events[0][0] < change_order:
                self._happens(heappop(events))
            elif change_order <= order:
                self._next_change += 1
                self._now_ms = max(self._now_ms, change_order >> ORDER_BITS)
                self._change(changes[self._next_change - 1][1])
            else:
                return

    def _happens(self, event: Event) -> None:
        order, _, what, held, more = event
        if what == _POST:
            self._post(held, order)
        elif what == _GROW:
            self._grow(held, more)
        elif held.since_ms:
            self._waiting.remove(held)
            self._refuse(held.call, held.who, held.run, Refused(held.in_the_way), ends=False)

    def _take(self, call: Call) -> None:
        """A request comes, or a further try of one."""
        if self._refused and call.id >> ATTEMPT_BITS in self._refused:
            return
        asked = call.asked
        if asked is not None and asked.sort == Sort.HERE:
            self.tally.calls += 1
            return
        try:
            who, run = self._caller(call)
        except TooDeep:
            self._refuse(call, self._who(call), None, Refused(TOO_DEEP), ends=True)
            return
        if self._ended and run is not None and (by := self._ended_by(run)):
            self.tally.unmade(by, (who.key, who.run or ""), worth(call, self._rates))
            return
        self.tally.imported += call.imported
        self.tally.fixed += asked is None and not call.imported
        found = self._prepare(call, asked, who, run)
        if isinstance(found, Refused):
            self._refuse(call, who, run, found, ends=True)
        elif isinstance(found, NotMade):
            self.tally.spare(worth(call, self._rates))
        else:
            self._try(found, call.held_order)

    def _prepare(self, call: Call, asked: Asked | None, who: Who, run: Run | None) -> Held | Refused | NotMade:
        """All of a call but its hold."""
        goes = self._ways.goes(call, asked, who)
        if isinstance(goes, Refused | NotMade):
            return goes
        if asked is None:
            return Held(call, who, run, goes, RECORDED, terms_here(call, goes, RECORDED, call.usage.output, None))
        if self._ways.degrades and asked.sort == Sort.CALL:
            path = self._path(who, run, goes.target, call.at_ms)
            goes = self._ways.cheaper(call, asked, who, run, goes, path, self._era.keys[call.key_id].settings.models)
        cap_max = None
        if asked.sort == Sort.CALL:
            bounded = self._ways.bounded(self.books.bounds(who, run, goes.target), call, asked, who, self._past.granted)
            if isinstance(bounded, Refused):
                return bounded
            cap_max = bounded
        price = held_price(call, goes, self._rates)
        if price is None:
            return Refused(NO_PRICE)
        output_max = asked.output_max
        if goes.moved and output_max:
            output_max = model_facts(goes.provider, goes.target).max_output
        return Held(call, who, run, goes, price, terms_here(call, goes, price, output_max, cap_max))

    def _try(self, held: Held, order: int) -> bool:
        """Take its hold, let it wait, or refuse it. Returns whether it waits no longer."""
        call, terms, asked = held.call, held.terms, held.call.asked
        path = held.path = () if call.imported and self._spares else self._path(held.who, held.run, held.goes.target, call.at_ms)
        if asked is not None and (asked.unbounded or asked.followable) and is_cut(path):
            if asked.unbounded:
                self._refuse(call, held.who, held.run, Refused(UNBOUNDED), ends=True)
                return True
            terms = held.expecting(self._expected(call, asked, held.goes))
        try:
            verdict = decide(path, terms)
        except UnpricedKind:
            self._refuse(call, held.who, held.run, Refused(NO_PRICE), ends=True)
            return True
        if isinstance(verdict, Wait):
            self._wait(held, verdict.account, order)
            return False
        if isinstance(verdict, Admit):
            if not held.is_short(verdict):
                self._admit(held, verdict, order)
                return True
            account = held.shortest()
        else:
            account = verdict.account
        temporary = isinstance(verdict, Deny) and self._frees_soon(verdict.account, verdict.needed, call.at_ms)
        held.since_ms = 0
        self._refuse(
            call, held.who, held.run, Refused(account.rule.name, asked=isinstance(verdict, AskPerson)), ends=not temporary
        )
        return True

    def _admit(self, held: Held, verdict: Admit, order: int) -> None:
        call, asked = held.call, held.call.asked
        for account in verdict.observed:
            self.tally.observed[account.rule.name] += 1
        held.amounts, at_ms = verdict.amounts, call.at_ms
        held.claims = [(account, account.bucket(at_ms)) for account in held.path]
        for account, bucket in held.claims:
            account.reserve(bucket, held.amounts[account.index])
        if held.since_ms:
            held.delay = order - call.held_order
            self.tally.waited_ms += held.delay >> ORDER_BITS
            held.since_ms = 0
        self._open[call.id] = held
        if asked is not None:
            held.told(asked, asked.output_cap if verdict.output_cap is None else verdict.output_cap)
            if held.terms.expected_output is not None:
                for grown_order, more in asked.grown:
                    heappush(self._events, (grown_order + held.delay, next(self._numbers), _GROW, held, more))
        heappush(self._events, (call.posted_order + held.delay, next(self._numbers), _POST, held, 0))

    def _post(self, held: Held, order: int) -> None:
        call, tally = held.call, self.tally
        self._now_ms = order >> ORDER_BITS
        del self._open[call.id]
        settled = held.settle(self._rates)
        if self.on_post is not None:
            self.on_post(held, settled)
        spent = held.spent(settled)
        for account, bucket in held.claims:
            if excess := account.post(bucket, held.amounts[account.index], spent[account.index]):
                self._over(account, excess, "post")
        tally.calls += 1
        tally.billed_nusd += settled.billed_nusd
        tally.list_nusd += settled.list_nusd
        if not call.usage_known:
            tally.estimated_nusd += settled.billed_nusd
        held.tell(settled, tally)
        if self._past.remembers:
            self._past.post(call.id, held.who, held.run, held.goes.target, settled.usage, spent)
        if self._some_pack and settled.usage.output and self._packs(call.key_id):
            self._outputs.saw(call.key_id, held.goes.target, settled.usage.output)
        if self._waiting:
            self._wake(order)

    def _grow(self, held: Held, more: int) -> None:
        """An answer under a packed hold came to its end, and went on: more is held, or it ends here."""
        if held.output_max is not None:
            return
        cap = held.told_cap or held.terms.output_max
        for step in (more, *growth(held.output_tokens, cap)):
            grown = more_output(held.terms, held.output_tokens, step)
            if all(account.fits(grown[account.index]) for account, _ in held.claims if account.enforced):
                for account, bucket in held.claims:
                    account.grow(bucket, grown[account.index])
                held.amounts = plus(held.amounts, grown)
                return
        held.output_max = held.output_tokens

    def _wait(self, held: Held, account: Account, order: int) -> None:
        """Open holds are in the way: it waits for one of them."""
        held.in_the_way = account.rule.name
        if not held.since_ms:
            self.tally.waits += 1
            held.since_ms = max(1, order >> ORDER_BITS)
            self._waiting.append(held)
            give_up = order + first_order_of_ms(int(HOLD_WAIT_MAX_S * 1000))
            heappush(self._events, (give_up, next(self._numbers), _GIVE_UP, held, 0))

    def _wake(self, order: int) -> None:
        """Money may have become free."""
        self._waiting = [held for held in list(self._waiting) if not self._try(held, order)]

    def _refuse(self, call: Call, who: Who, run: Run | None, refused: Refused, *, ends: bool) -> None:
        """The request is refused. `ends`: what its client is told ends its run, if runs end so."""
        whose: Whose = (who.key, who.run or "")
        self.tally.stop(refused.name, call, whose, worth(call, self._rates), asked=refused.asked)
        self._refused[call.id >> ATTEMPT_BITS] = None
        if len(self._refused) > REPLAY_REFUSED_KEPT:
            del self._refused[next(iter(self._refused))]
        if ends and self._stops and run is not None:
            self._ended[run.key_id, run.label] = refused.name

    def _ended_by(self, run: Run) -> str:
        """What stopped the run, or one above it."""
        return next((by for node in run.lineage if (by := self._ended.get((node.key_id, node.label)))), "")

    def _change(self, change: Change) -> None:
        """The operator says something, or a run tightens its own budget."""
        anew = self._era.change(change)
        match change:
            case LimitSet(key_id, limit_nusd):
                if excess := self.totals[key_id].set_limit(limit_nusd):
                    self._over(self.totals[key_id], excess)
                self._wake(first_order_of_ms(self._now_ms))
            case Adjusted(key_id, nusd):
                if excess := self.totals[key_id].adjust(0, nusd):
                    self._over(self.totals[key_id], excess, "adjustment")
                self._past.adjust(change)
            case Granted(account, window_ms, amount):
                self._grant(account, window_ms, amount)
            case RunTightened(key_id, label, budget_nusd):
                self._tighten(key_id, label, budget_nusd)
            case KeyChanged():
                self._callers.clear()
        if anew:
            self._renew()

    def _grant(self, account: str, window_ms: int, amount: int) -> None:
        grants = self._past.grants
        granted = grants[account, window_ms] = grants.get((account, window_ms), 0) + amount
        for one in self.books.accounts.values():
            if one.period.start_ms == window_ms and one.label == account:
                one.granted = granted

    def _tighten(self, key_id: int, label: str, budget_nusd: int) -> None:
        run = self._enter(key_id, label)
        self._past.budgets[key_id, label] = min(budget_nusd, self._past.budgets.get((key_id, label), budget_nusd))
        if excess := self.books.tighten(run, self._who_of(key_id, "", label), budget_nusd):
            self._over(self.books.budget(run, self._who_of(key_id, "", label)), excess)

    def _renew(self, *, wake: bool = True) -> None:
        """Make the accounts of the limits anew, with the open holds on them, as the ledger does."""
        self._past.keep(self._era.keys)
        self._callers.clear()
        self.runs.forget(
            RUNS_KEPT_MAX, {(held.run.key_id, held.run.label) for held in self._open.values() if held.run is not None}
        )
        self.books = self._new_books(self._now_ms)
        for held in self._open.values():
            at_ms, target = held.call.at_ms, held.goes.target
            if held.call.imported and self._spares:
                continue
            self.books.path(held.who, held.run, target, self._now_ms)
            held.claims = [(account, account.pinned(at_ms)) for account in self.books.path(held.who, held.run, target, at_ms)]
            for account, bucket in held.claims:
                if account.rule is not KEY_TOTAL:
                    account.restore(bucket, 0, held.amounts[account.index])
        for account in self.books.accounts.values():
            if excess := account.cover():
                self._over(account, excess)
        self._found()
        if wake:
            self._wake(first_order_of_ms(self._now_ms))

    def _new_books(self, since_ms: int) -> Books:
        rules = self._era.rules
        self._some_pack = any(self._packs(key_id) for key_id in self._era.keys)
        self._ways.hold(self._era.stated.access, rules)
        return Books(rules, self._past, self.totals, since_ms)

    def _path(self, who: Who, run: Run | None, model: str, at_ms: int) -> tuple[Account, ...]:
        if len(self.books.accounts) > ACCOUNTS_KEPT_MAX and self._past.remembers:
            self._renew(wake=False)
        path = self.books.path(who, run, model, at_ms)
        if self.books.fresh_excess:
            self._found()
        return path

    def _found(self) -> None:
        found, self.books.fresh_excess = self.books.fresh_excess, []
        for account, excess in found:
            self._over(account, excess)

    def _over(self, account: Account, excess: int, cause: str = "limit") -> None:
        key = (account.label, account.period.start_ms)
        self._past.overruns[key] = self._past.overruns.get(key, 0) + excess
        self.tally.overruns[*key, cause] += excess

    def _total(self, key_id: int, since_ms: int) -> Account:
        key, who = self._era.keys[key_id], self._who_of(key_id, "", None)
        account = Account(KEY_TOTAL, f"key:{key.name}", FOREVER, key.limit_nusd)
        account.overrun = self._past.overrun(account.label, 0)
        for _, amount in self._past.posted(KEY_TOTAL, who, None, 0) if since_ms else ():
            account.restore(0, amount)
        return account

    def _caller(self, call: Call) -> tuple[Who, Run | None]:
        key = (call.key_id, call.agent, call.run_id)
        found = self._callers.get(key)
        if found is None:
            run = self._enter(call.key_id, call.run_id) if call.run_id is not None else None
            if len(self._callers) > RUNS_KEPT_MAX:
                self._callers.clear()
            found = self._callers[key] = (self._who(call), run)
        return found

    def _enter(self, key_id: int, label: str) -> Run:
        """The run; those above it as their first calls said."""
        parent = self._past.parent(key_id, label)
        if parent is not None and parent != label:
            self._enter_above(key_id, parent)
        return self.runs.enter(key_id, label, parent, self._now_ms)

    def _enter_above(self, key_id: int, label: str) -> None:
        line = [label]
        while (above := self._past.parent(key_id, line[-1])) is not None and above not in line:
            line.append(above)
        for place in reversed(range(len(line))):
            self.runs.enter(key_id, line[place], line[place + 1] if place + 1 < len(line) else None, self._now_ms)

    def _who(self, call: Call) -> Who:
        return self._who_of(call.key_id, call.agent, call.run_id)

    def _who_of(self, key_id: int, agent: str, run: str | None) -> Who:
        key = self._era.keys[key_id]
        return Who(key.settings.org, key.settings.team, key_id, key.name, agent, run)

    def _packs(self, key_id: int) -> bool:
        return (self._era.keys[key_id].settings.holds or self._era.packs) == "packed"

    def _expected(self, call: Call, asked: Asked, goes: Goes) -> int | None:
        """What a packed hold begins with: what it began with then, else by the answers so far; None = strict."""
        if not self._packs(call.key_id):
            return None
        if asked.packing != NOT_PACKED and not goes.moved:
            return asked.packing if asked.packing > LITTLE_KNOWN else None
        return self._outputs.expected(call.key_id, goes.target)

    def _frees_soon(self, account: Account, needed: int, now_ms: int) -> bool:
        """Is the client told to wait, and not that this is the end?"""
        frees_ms = account.frees_ms(needed)
        return frees_ms is not None and frees_ms - now_ms <= RETRY_HELPS_MAX_S * 1000
