"""Shadow sampling: of some requests another model is asked too, behind the client's back, and the answers are compared.

Comes in: what a client was given, with whom else to ask (`Way.shadows`). Goes out: labels, to the ledger and to whoever learns from them. Where the
reference answered, the others are asked; where another did, the reference is: so what is routed away is judged as well as what is not, each label
with the weight of the requests that it stands for. Every call is one like any other: its key pays, it is held before it is sent, and leaves its
entry. None is made out of a caller's last money, or beyond what the route may spend in a day. Does not know: which requests are drawn
(`gateway.routing`), how answers are compared (`gateway.comparing`), what a label changes.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

import msgspec
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from jevons.core.ask import Ask, Dialect
from jevons.core.label import Label
from jevons.core.limits import JUDGE_OUTPUT_TOKENS, OUTPUT_TOKENS_DEFAULT, SHADOW_BODY_BYTES_MAX, SHADOW_MAX_S, SHADOWS_MAX
from jevons.core.money import parse_usd
from jevons.core.price import UnpricedKind, worst_case
from jevons.core.routed import Option, Role, Routed
from jevons.gateway.cascade import Cascades
from jevons.gateway.client import Scope
from jevons.gateway.comparing import End, Likeness, Reply, compared, reply_of
from jevons.gateway.gate import Gate
from jevons.gateway.judging import draws, judged
from jevons.gateway.outbound import NOTHING
from jevons.gateway.passage import Passage
from jevons.gateway.pricing import price_context
from jevons.gateway.routing import Way
from jevons.gateway.showing import Given
from jevons.gateway.telling import tells
from jevons.gateway.unseen import PLAIN, Asides, Unseen
from jevons.gateway.upstreams import Live
from jevons.ledger.errors import LedgerUnavailable
from jevons.ledger.ops import Labelled
from jevons.ledger.rollup import DAY_MS
from jevons.ledger.routing import sampled_nusd
from jevons.meter.models import model_facts
from jevons.policy.amounts import bound
from jevons.policy.cascade import SAMPLES
from jevons.policy.grade import Verdict
from jevons.policy.route import Table, Target, choose
from jevons.policy.routes import Route
from jevons.policy.sampling import Allowance, comparable, has_room
from jevons.wire.compared import said

log = logging.getLogger("jevons.gateway")


class Taught(Protocol):
    """Told of the reference's answer where another's was shown (`gateway.capturing`)."""

    def __call__(
        self, ask: Ask, passage: Passage, model: str, routed: Routed, dialect: Dialect, body: bytes, *, shown: str, weight: float
    ) -> None: ...


class Heard(NamedTuple):
    """One model's part in a sample."""

    option: Option
    reply: Reply
    shown: bool


class Shadows(Collector):
    """All that are under way, at most SHADOWS_MAX. Lives on one event loop."""

    def __init__(
        self,
        gate: Gate,
        lives: dict[str, Live],
        asides: Asides,
        table: Table,
        routes: Iterable[Route],
        learn: Callable[[Label], None],
        *,
        likeness: Likeness | None = None,
        cascades: Cascades | None = None,
        taught: Taught | None = None,
    ) -> None:
        """`learn` is told of every label once it is on disk. `cascades`: None where no route is one. Raises ValueError for a route whose judge
        nobody can ask."""
        self._gate = gate
        self._lives = lives
        self._asides = asides
        self._table = table
        self._routes = {route.name: route for route in routes}
        self._judges = {route.name: _judge(route, table) for route in self._routes.values() if route.grader == "judge"}
        self._allowances = {route.name: Allowance(parse_usd(route.sample_usd_day)) for route in self._routes.values()}
        self._learn = learn
        self._likeness = likeness
        self._cascades = cascades
        self._taught = taught
        self._tasks: set[asyncio.Task[None]] = set()
        self.counts: Counter[tuple[str, str]] = Counter()
        """(route, what became of a sample), since the start."""

    def recall(self) -> None:
        """After a start: what was spent of this day. Reads the disk. Raises LedgerError."""
        day = _day()
        for route, nusd in sampled_nusd(self._gate.ledger.path, day * DAY_MS).items():
            if route in self._allowances:
                self._allowances[route].restore(day, nusd)

    def wants(self, passage: Passage, way: Way) -> bool:
        """As `gateway.showing.Listener`: it was drawn for a sample."""
        return bool(way.shadows)

    def given(self, given: Given) -> None:
        """A client was given this answer: ask the others, if there is room."""
        routed = given.attempt.routed or given.way.routed  # of a cascade, the attempt knows how sure its answer was
        route = self._routes.get(routed.route) if given.way.shadows and routed is not None else None
        if route is None or routed is None or route.grader == "feedback":
            return
        if (why := self._why_not(given, route)) is not None:
            self.counts[route.name, why] += 1
            return
        task = asyncio.get_running_loop().create_task(self._alone(given, route, routed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Until none is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Cut off what is under way; each call is settled when this returns."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def collect(self) -> Iterator[Metric]:
        samples = CounterMetricFamily(
            "jevons_samples", "Requests asked of another model too, by outcome", labels=["route", "outcome"]
        )
        for labels, n in self.counts.items():
            samples.add_metric(list(labels), n)
        yield samples

    def _why_not(self, given: Given, route: Route) -> str | None:
        """Why this one is not taken, as it is counted."""
        if not comparable(given.ask) or len(given.ask.body) > SHADOW_BODY_BYTES_MAX:
            return "unfit"
        if route.name in self._judges and not self._gate.governor.may_use(given.passage.caller, route.judge):
            return "judge_not_allowed"
        if not self._allowances[route.name].left_nusd(_day()):
            return "day_spent"
        return "busy" if len(self._tasks) >= SHADOWS_MAX else None

    async def _alone(self, given: Given, route: Route, routed: Routed) -> None:
        try:
            async with asyncio.timeout(SHADOW_MAX_S):
                await self._sample(given, route, routed)
        except TimeoutError:
            self.counts[route.name, "too_slow"] += 1
        except LedgerUnavailable as error:
            log.warning("a sample was lost: %s", error)
        except Exception:
            log.exception("a bug, in a sample")

    async def _sample(self, given: Given, route: Route, routed: Routed) -> None:
        """Ask, compare, label."""
        heard = await self._answers(given, route, routed)
        reference = next((one for one in heard if one.option.model == route.to[-1]), None)
        if reference is None or reference.reply.end is End.NONE:
            self.counts[route.name, "no_reference"] += 1
            return
        for one in heard:
            if one is not reference:
                verdict = await self._compared(given, route, routed, one.reply, reference.reply)
                self.counts[route.name, _word(verdict)] += 1
                if verdict is not None:
                    await self._label(given, route, routed, one, verdict)

    async def _answers(self, given: Given, route: Route, routed: Routed) -> list[Heard]:
        """The client's, and those of all who are asked besides."""
        shown = self._option(routed, given.target, given.ask)
        reply = reply_of(given.target.dialect, given.attempt.status, given.body)
        if shown is None or reply is None:
            return []
        heard = [Heard(shown, reply, shown=True)]
        for target in given.way.shadows:
            option = self._option(routed, target, given.ask)
            if option is None or option == shown:  # the one that was to answer failed, and this one did in its place
                continue
            if not self._lives[target.upstream].carries(given.target.upstream):
                self.counts[route.name, "unfit"] += 1  # not behind its back: only who answered it certainly has that credential
                continue
            found = await self._paid(route, routed, given, given.ask, target, Role.SHADOW)
            if found is None:
                continue
            reply = reply_of(target.dialect, found.attempt.status, found.body)
            if reply is None:
                self.counts[route.name, "unanswered"] += 1
                continue
            heard.append(Heard(await self._sure(given, route, routed, target, option, found), reply, shown=False))
            if self._taught is not None and option.model == route.to[-1] and reply.end is End.WHOLE:
                weight = given.way.weight
                self._taught(
                    given.ask, given.passage, option.model, routed, target.dialect, found.body, shown=shown.model, weight=weight
                )
        return heard

    async def _sure(self, given: Given, route: Route, routed: Routed, target: Target, option: Option, found: Unseen) -> Option:
        """The small model of a cascade is scored by its answer. Where that takes more answers of it, these count in the day's samples too."""
        if self._cascades is None or route.choose != "cascade" or option != routed.options[0]:
            return option
        settled, more_nusd = found.attempt.settled, 0
        if not tells(self._lives[target.upstream].settings, target) and settled is not None:
            more_nusd = settled.list_nusd * (SAMPLES - 1)
        allowance, score = self._allowances[route.name], None
        if found.body and (not more_nusd or allowance.hold(_day(), more_nusd)):
            try:
                scope = _scope(given.scope)
                score = await self._cascades.score(given.ask, given.passage, scope, target, found.body, routed, Role.SHADOW)
            finally:
                if more_nusd:
                    allowance.settle(more_nusd, more_nusd)
        return msgspec.structs.replace(option, score=score)

    async def _compared(self, given: Given, route: Route, routed: Routed, answer: Reply, reference: Reply) -> Verdict | None:
        async def ask_judge(one: str, other: str) -> Verdict | None:
            request = b"\n".join(given.ask.messages).decode(errors="replace")
            return await judged(reply, route.judge, request, one, other, draws(random.random))

        async def reply(question: Ask) -> str | None:
            target = self._judges[route.name]
            found = await self._paid(route, routed, given, question, target, Role.JUDGE)
            if found is None or not found.body:
                return None
            words = said(target.dialect, found.body)
            return words.text if words is not None else ""

        judge = ask_judge if route.name in self._judges else None
        return await compared(given.ask, route.grader, answer, reference, judge=judge, likeness=self._likeness)

    async def _label(self, given: Given, route: Route, routed: Routed, one: Heard, verdict: Verdict) -> None:
        """Raises LedgerUnavailable."""
        caller = given.passage.caller
        label = Label(
            request=given.passage.request,
            key_id=caller.key_id,
            org=caller.org,
            route=route.name,
            model=one.option.model,
            reference=route.to[-1],
            good=verdict.good,
            harm=verdict.harm,
            grader=route.grader,
            weight=given.way.weight,
            score=one.option.score,
            shown=one.shown,
            at_ms=int(time.time() * 1000),
            features=routed.features,
        )
        await self._gate.ledger.writer.submit(Labelled(label))
        self._learn(label)

    async def _paid(self, route: Route, routed: Routed, given: Given, ask: Ask, target: Target, role: Role) -> Unseen | None:
        """One call, if its caller and its route can spare what it may come to. None: it is not made, or could not be."""
        settings, same = self._lives[target.upstream].settings, ask is given.ask
        governor, ledger = self._gate.governor, self._gate.ledger
        passage = governor.enter_again(given.passage, ledger.next_request(int(time.time() * 1000)), None if same else ask)
        about = model_facts(settings.price_provider, target.model)
        tokens = (await self._gate.counting.count(ask, about, passage.sent)).tokens
        output = min(ask.output_cap or (OUTPUT_TOKENS_DEFAULT if same else JUDGE_OUTPUT_TOKENS), about.max_output)
        price = self._gate.book.dearest(settings.price_provider, target.model, passage.at_ms, price_context(ask, settings))
        try:
            worst_nusd = worst_case(price, tokens, output) if price is not None else None
        except UnpricedKind:
            worst_nusd = None
        if worst_nusd is None:
            self.counts[route.name, "unpriced"] += 1
            return None
        accounts = (*given.passage.path, *governor.path(passage, target.model))
        if not has_room(accounts, bound(worst_nusd if settings.billed else 0, worst_nusd, tokens, output, step=True)):
            self.counts[route.name, "caller_nearly_spent"] += 1
            return None
        allowance = self._allowances[route.name]
        if not allowance.hold(_day(), worst_nusd):
            self.counts[route.name, "day_spent"] += 1
            return None
        cost_nusd = worst_nusd  # of one that is cut off
        try:
            scope = _scope(given.scope) if same else PLAIN
            members = self._members(route, given, target) if same else NOTHING
            found = await self._asides.ask(
                given.passage, ask, target, role, scope=scope, same=same, members=members, routed=routed, errors=True
            )
            settled = found.attempt.settled if found is not None else None
            cost_nusd = settled.list_nusd if settled is not None else 0
            if found is None:
                self.counts[route.name, "unanswered"] += 1
            return found
        finally:
            allowance.settle(worst_nusd, cost_nusd)

    def _option(self, routed: Routed, target: Target, ask: Ask) -> Option | None:
        """A target as the route names it, at whichever of its upstreams; None = it is none of the route's."""
        for one in routed.options:
            if (one.upstream, one.target) == (target.upstream, target.model):
                return one
        return next((one for one in routed.options if target in choose(self._table, one.model, ask.dialect)), None)

    def _members(self, route: Route, given: Given, target: Target) -> Mapping[str, bytes]:
        """What a cascade asks its small model for besides."""
        if self._cascades is None or route.choose != "cascade":
            return NOTHING
        return self._cascades.members(given.ask, given.way, target)


def _judge(route: Route, table: Table) -> Target:
    targets = choose(table, route.judge, Dialect.CHAT) if route.judge else ()
    if not targets:
        raise ValueError(f'route {route.name!r}: grader = "judge" needs judge = a model that an upstream answers to')
    return targets[0]


def _scope(scope: Scope) -> Scope:
    """The client's, for a request of our own: its Idempotency-Key stands for its own alone."""
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"idempotency-key"]}


def _word(verdict: Verdict | None) -> str:
    """What became of a sample, as it is counted."""
    if verdict is None:
        return "not_judged"
    return ("good" if verdict.good else "harm" if verdict.harm else "neither_good") if verdict.decided else "undecided"


def _day() -> int:
    return int(time.time() * 1000) // DAY_MS
