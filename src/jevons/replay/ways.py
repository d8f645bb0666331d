"""Where a call goes under a policy, and whether its run may call at all: fences, routes, cheaper models, bounds.

Comes in: a recorded call, its caller and run, the accounts as they stand. Goes out: `Goes`, or the name of what refuses it. All by the functions that
decide live traffic; what they need is in the call's terms. Does not know: money.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from jevons.core.ask import Dialect
from jevons.core.price import Price
from jevons.meter.pricebook import billing
from jevons.policy.access import Access, denying, judge_model
from jevons.policy.accounts import Account
from jevons.policy.books import OF_RUNS
from jevons.policy.bounds import judge, output_cap
from jevons.policy.degrade import Turn, choice, due, is_cheaper, keep, models
from jevons.policy.route import Target, allowed, choose
from jevons.policy.rules import Measure, Rule, Who, subject
from jevons.policy.runs import Run
from jevons.policy.terms import Asked, facts_of
from jevons.replay.eras import Policy, Supplier
from jevons.replay.held import Goes
from jevons.replay.rates import Rates
from jevons.replay.rerouted import ByName, NotMade, Rerouted, There, name_of
from jevons.replay.rows import Call
from jevons.replay.tally import Tally

OF_LOOPS = frozenset({Measure.REPEATS, Measure.IDENTICAL, Measure.STALLED})
DIALECTS = frozenset(Dialect)
"""Those that calls are routed in; an operator's own door has none."""
NO_ROUTE = "no upstream answers to the model"


class Refused(msgspec.Struct, frozen=True):
    """A call is not let through."""

    name: str
    """The limit, fence or route that refuses it."""
    asked: bool = False
    """A person would have been asked."""


class Ways:
    """The routes and fences of one policy."""

    def __init__(self, policy: Policy, rates: Rates, tally: Tally, ledger: Path) -> None:
        self._policy = policy
        self._rates = rates
        self.tally = tally
        self._access: tuple[Access, ...] = ()
        self._denying: tuple[Access, ...] = ()
        self._memo: dict[tuple[object, ...], Goes | Refused] = {}
        self._of_loops: dict[int, tuple[Sequence[Rule], set[bool]]] = {}
        """By the identity of a tuple of rules, which is kept with it: are they about repetition, all of them or some?"""
        self._rerouted = Rerouted(policy.routes, ledger, self._find) if policy.routes is not None else None
        self.degrades = False
        """Does any limit name cheaper models?"""

    def hold(self, access: tuple[Access, ...], rules: Sequence[Rule]) -> None:
        """From now on these fences and limits hold."""
        self._access, self._denying = access, denying(access)
        self.degrades = any(rule.degrade_pct is not None for rule in rules)
        self._memo.clear()
        self._of_loops.clear()

    def goes(self, call: Call, asked: Asked | None, who: Who) -> Goes | Refused | NotMade:
        """Where it goes by its name, or by the route that takes it."""
        if asked is None:
            goes = Goes(call.upstream, call.target, "", call.billed_nusd > 0, moved=False)
            return goes if not self._access else self._fenced(who, call.model, goes)
        if call.routed:
            found_routed = self._by_route(call, asked, who)
            if found_routed is not None:
                return found_routed
        asked_for = asked.instead_of if asked.instead_of and self._policy.table is not None else None
        upstream, target, provider = asked_for or (call.upstream, call.target, asked.provider)
        name = call.model if not (call.routed and self._access) else name_of(call, asked)
        key: tuple[object, ...] = (upstream, target, provider, asked.billed, asked_for is None, name, call.dialect)
        if self._access:
            key += (who.org, who.team, who.key, who.agent)
        found = self._memo.get(key)
        if found is None:
            moved = asked_for is not None
            found = self._routed(call, Goes(upstream, target, provider, self._billed(upstream, asked), moved=moved))
            if isinstance(found, Goes):
                found = self._fenced(who, name, found)
            self._memo[key] = found
        return found

    def _by_route(self, call: Call, asked: Asked, who: Who) -> Goes | Refused | NotMade | None:
        """Where a request that was routed goes under the policy's routes; None = where it went."""
        if self._rerouted is None:
            return None
        found = self._rerouted.goes(call, asked, who)
        self.tally.unknown_routes, self.tally.hindsight = self._rerouted.unknown, self._rerouted.hindsight
        if found is None or isinstance(found, NotMade):
            return found
        if isinstance(found, ByName):
            target = self._find(call, call.model)
            if target is None:
                return Refused(NO_ROUTE)
            found = There(call.model, target.upstream, target.model)
        supplier = self._policy.suppliers.get(found.upstream) or Supplier(found.upstream)
        moved = (found.upstream, found.target) != (call.upstream, call.target)
        return self._fenced(who, found.name, Goes(found.upstream, found.target, supplier.provider, supplier.billed, moved=moved))

    def cheaper(
        self,
        call: Call,
        asked: Asked,
        who: Who,
        run: Run | None,
        goes: Goes,
        path: Sequence[Account],
        key_models: tuple[str, ...],
    ) -> Goes:
        """The cheaper model that it goes on with where a limit is nearly used up, else where it would have gone."""
        rule, turn = due(path), asked.stands
        if self._policy.table is None or turn is None or (rule is None and (run is None or not run.degraded)):
            return goes
        current = run.degraded.get(asked.conversation, "") if run is not None and turn is Turn.OPEN else ""
        than = self._price(call, asked, goes.provider, goes.target, goes.billed)

        def fits(model: str) -> bool:
            target = self._find(call, model)
            if target is None or not allowed(key_models, model):
                return False
            denied = judge_model(self._access, who, model)
            if denied is not None and denied.enforced:
                return False
            supplier = self._policy.suppliers[target.upstream]
            price = self._price(call, asked, supplier.provider, target.model, supplier.billed)
            return is_cheaper(price, than, asked.size_tokens, asked.output_cap, asked.warm_tokens if turn is Turn.FRESH else 0)

        names = models(rule, turn, current)
        if self._policy.recorded and asked.instead_of and not any(self._find(call, name) for name in names):
            return Goes(call.upstream, call.target, asked.provider, asked.billed, moved=False)  # its route is not known any more
        model = choice(names, call.model, fits)
        if run is not None and turn is Turn.FRESH:
            if model:
                keep(run.degraded, asked.conversation, model)
            else:
                run.degraded.pop(asked.conversation, None)
        target = self._find(call, model) if model else None
        if target is None:
            return goes
        supplier = self._policy.suppliers[target.upstream]
        moved = (target.upstream, target.model) != (call.upstream, call.target)
        return Goes(target.upstream, target.model, supplier.provider, supplier.billed, moved=moved, degraded=True)

    def bounded(
        self, rules: Sequence[Rule], call: Call, asked: Asked, who: Who, granted: Callable[[str, int], int]
    ) -> int | Refused | None:
        """The largest output cap that the rules allow, None = any; or what refuses the call."""
        if not rules:
            return None
        if asked.loops is None and call.run_id is not None:
            _, judged = self._of_loops.get(id(rules)) or self._look(rules)
            if True in judged:
                self.tally.unjudged += 1
            if False not in judged:
                return None

        def raised(rule: Rule) -> int:
            whose = subject(rule.scope, who) if rule.scope in OF_RUNS else f"key:{who.key}"
            return granted(f"{rule.name}:{rule.measure} {whose}", 0)

        for passed in judge(rules, facts_of(asked), raised):
            if passed.step == "warn":
                continue
            if passed.rule.enforced:
                return Refused(passed.rule.name, asked=passed.step == "ask")
            self.tally.observed[passed.rule.name] += 1
        return output_cap(rules)

    def _look(self, rules: Sequence[Rule]) -> tuple[Sequence[Rule], set[bool]]:
        found = self._of_loops[id(rules)] = (rules, {rule.measure in OF_LOOPS for rule in rules})
        return found

    def _routed(self, call: Call, goes: Goes) -> Goes | Refused:
        table = self._policy.table
        if not self._policy.reroutes or table is None or call.dialect not in DIALECTS or call.routed:
            return goes
        found = choose(table, call.model, Dialect(call.dialect))
        if any((target.upstream, target.model) == (goes.upstream, goes.target) for target in found):
            return goes
        if not found:
            return Refused(NO_ROUTE)
        supplier = self._policy.suppliers[found[0].upstream]
        return Goes(found[0].upstream, found[0].model, supplier.provider, supplier.billed, moved=True)

    def _fenced(self, who: Who, model: str, goes: Goes) -> Goes | Refused:
        """May the caller use the model, by the name that it asks for and by the one that is called?"""
        denied = judge_model(self._access, who, model)
        if (denied is None or not denied.enforced) and goes.target != model:
            denied = judge_model(self._denying, who, goes.target) or denied
        return Refused(denied.access) if denied is not None and denied.enforced else goes

    def _find(self, call: Call, model: str) -> Target | None:
        table = self._policy.table
        if table is None or call.dialect not in DIALECTS:
            return None
        return next(iter(choose(table, model, Dialect(call.dialect))), None)

    def _billed(self, upstream: str, asked: Asked) -> bool:
        supplier = self._policy.suppliers.get(upstream) if self._policy.reroutes else None
        return asked.billed if supplier is None else supplier.billed

    def _price(self, call: Call, asked: Asked, provider: str, model: str, billed: bool) -> Price | None:
        return self._rates.of(call.book).dearest(provider, model, call.at_ms, billing(dict(asked.context), billed))
