"""Where a request goes: the name that it asks for, the operator's `[[routes]]` over it, and what its headers say of both.

Comes in: a parsed request with its passage. Goes out: a `Way`, the targets in the order in which they are to be tried, and why. Synchronous: no disk, no
waiting. Without routes a look-up by name is all. Does not know: how targets are tried (`gateway.journey`), what a call may cost its caller (`gateway.gate`).
"""

import random
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from jevons.core.ask import Ask, Caller, Dialect
from jevons.core.features import Features
from jevons.core.limits import ROUTE_MEMO_ENTRIES_MAX
from jevons.core.refusal import Kind, Refusal, invalid
from jevons.core.routed import Option, Routed, Stage
from jevons.gateway.candidates import NOT_ALLOWED, Candidate, Candidates, Left
from jevons.gateway.clients import Named
from jevons.gateway.gate import Gate
from jevons.gateway.passage import Passage
from jevons.gateway.promises import Promises
from jevons.gateway.reading import Reading, Seen
from jevons.gateway.telling import calls
from jevons.gateway.turns import current, of_response, turn_of
from jevons.gateway.upstreams import Live
from jevons.policy.degrade import Turn
from jevons.policy.matching import claiming, covers, fitting, needs
from jevons.policy.objective import Why, decide, sampled
from jevons.policy.route import Table, Target, allowed, choose, offered
from jevons.policy.routes import AUTO, OFF, STUDENT, STUDENTS, Route
from jevons.policy.rules import Who
from jevons.policy.sampling import comparable
from jevons.wire.body import edit
from jevons.wire.parse import parse

ROUTE = b"x-jevons-route"
MODEL = b"x-jevons-model"
ANSWERED = frozenset({Dialect.CHAT, Dialect.RESPONSES, Dialect.MESSAGES})
"""What routes take. Vectors of two embedding models cannot be compared, and counts are of the model that is named."""


class Way(NamedTuple):
    """Where one request goes."""

    targets: tuple[Target, ...]
    """To be tried in order; the chosen one first, the reference last."""
    routed: Routed | None = None
    """Stands with every entry of the request; None = it goes by its name alone."""
    cascade: bool = False
    """targets[0] is asked first, and judged before it is shown."""
    shadows: tuple[Target, ...] = ()
    """Asked too, shown to nobody."""
    weight: float = 1.0
    """1 / probability with which this request was taken for a sample."""


class Router:
    """Knows who offers what, and the routes."""

    def __init__(
        self,
        table: Table,
        gate: Gate,
        lives: dict[str, Live],
        routes: tuple[Route, ...] = (),
        reading: Reading | None = None,
        promises: Promises | None = None,
    ) -> None:
        """`reading` is needed where there are routes, `promises` where one of them is learned."""
        self._table = table
        self._gate = gate
        self._lives = lives
        self._routes = routes
        self._reading = reading
        self._promises = promises
        self._needs_reading = any(needs(routes))
        self._chosen: dict[tuple[str, Dialect], tuple[Target, ...]] = {}
        self.candidates = Candidates(gate, lives, self.find, promises)

    def asked(self, ask: Ask, named: Named) -> Ask:
        """The request under the name that it goes by. Raises Refusal for what is no name."""
        instead = named.get(MODEL)
        if instead is None:
            return ask
        return parse(ask.dialect, edit(ask.body, ask.fields, {"model": msgspec.json.encode(instead.decode("latin-1"))}))

    def check(self, ask: Ask, caller: Caller, named: Named) -> None:
        """Raises Refusal for a name that the caller may not use, or that nobody answers to."""
        if not allowed(caller.models, ask.model):
            raise Refusal(
                Kind.PERMISSION,
                403,
                f"Key {caller.key_name!r} may not use {ask.model!r}; it is limited to {', '.join(caller.models)}.",
                code="model_not_allowed",
                param="model",
            )
        if not self._by_itself(self._counted(ask, caller), ask.dialect) and not self._may_be_routed(ask, named):
            raise self._nobody(ask.model, ask.dialect, off=named.get(ROUTE) == OFF.encode())

    def way(self, ask: Ask, passage: Passage, named: Named) -> Way:
        """Where it goes, after `check`. Raises Refusal where no route fits, or none of its models can answer."""
        if not self._may_be_routed(ask, named):
            return self._by_name(ask, passage, named)
        if ask.previous_response_id is not None:
            return self._stored(ask, passage, named)
        word = named.get(ROUTE, b"").decode("latin-1")
        claims = (self._called(word, passage),) if word else claiming(self._routes, ask.model, passage.who)
        read = partial(self._read, ask, passage)
        turn = passage.turn = turn_of(ask)
        kept = current(passage.run, ask, turn)
        route = _holding(claims, kept)
        if route is None and kept != ask.model:
            route = claims[0] if word else fitting(claims, read().features if self._needs_reading else Features())
        if route is None:
            return self._by_name(ask, passage, named, claims)
        passage.credential_for = self._credential_for(ask, route)
        able, left = self.candidates.able(route, ask, passage, read)
        if route.choose != "first" and able and able[-1].name != route.to[-1]:
            able = [one for one in able if not one.name.startswith(STUDENT)]  # nobody would be asked what it does not know
        if not able:
            raise _none_can(route, left)
        if turn is not Turn.FRESH and (place := _place(route, able, kept)) is not None:
            return self._go(route, able, place, Why.TURN, self.candidates.plain(able), ask, passage)
        if route.choose == "first":
            options = self.candidates.plain(able)
            return self._go(route, able, 0, Why.FIRST if len(able) > 1 else Why.ONLY, options, ask, passage)
        return self._weighed(route, able, ask, passage, read())

    def counted_here(self, ask: Ask, caller: Caller) -> Target | None:
        """The target of a model whose upstream has no count_tokens door. Raises Refusal as `way`."""
        if not allowed(caller.models, ask.model):
            return None
        name = self._counted(ask, caller)
        return None if self.find(name, Dialect.COUNT_TOKENS) else offered(self._table, name)

    def find(self, model: str, dialect: Dialect) -> tuple[Target, ...]:
        """Targets of a name."""
        targets = self._chosen.get((model, dialect))
        if targets is None:
            targets = choose(self._table, model, dialect)
            if targets and len(self._chosen) < ROUTE_MEMO_ENTRIES_MAX:
                self._chosen[model, dialect] = targets
        return targets

    def _by_itself(self, model: str, dialect: Dialect) -> tuple[Target, ...]:
        """Targets of a name that no route chose: never a student."""
        targets = self.find(model, dialect)
        return () if targets and targets[0].upstream == STUDENTS else targets

    def names(self, caller: Caller) -> set[str]:
        """Names that routes take from this caller."""
        who = _who(caller)
        names = {name for route in self._routes for name in route.models if not set(name) & set("*?[")}
        return {name for name in names if claiming(self._routes, name, who)}

    def _may_be_routed(self, ask: Ask, named: Named) -> bool:
        """Does any route take its name, or does it name a route?"""
        if not self._routes or ask.dialect not in ANSWERED:
            return False
        word = named.get(ROUTE)
        return word != OFF.encode() and (word is not None or any(covers(route.models, ask.model) for route in self._routes))

    def _stored(self, ask: Ask, passage: Passage, named: Named) -> Way:
        """A stored response goes on where it lies, never elsewhere: with the model that it is asked of, else with that which made it."""
        assert ask.previous_response_id is not None
        claims = claiming(self._routes, ask.model, passage.who)
        if not claims or self.find(ask.model, ask.dialect):
            return self._by_name(ask, passage, named)
        kept = passage.routed_to = of_response(passage.run, ask.previous_response_id)
        names = [
            name for name in dict.fromkeys((kept, *reversed(claims[0].to))) if self._gate.governor.may_use(passage.caller, name)
        ]
        passage.routed = Routed(claims[0].name, Why.TURN)
        passage.credential_for = self._credential_for(ask, claims[0])
        return Way(tuple(target for name in names for target in self.find(name, ask.dialect)), passage.routed)

    def _by_name(self, ask: Ask, passage: Passage, named: Named, claims: Sequence[Route] = ()) -> Way:
        targets = self._by_itself(self._counted(ask, passage.caller), ask.dialect)
        if not targets:
            raise self._nobody(ask.model, ask.dialect, claims, passage)
        passage.credential_for = targets[0].upstream
        if claims:
            passage.routed_to = ask.model  # the turn goes on so
        if MODEL in named:
            passage.routed = Routed("", Why.HEADER, options=(Option(ask.model, targets[0].upstream, targets[0].model),))
        return Way(targets, passage.routed)

    def _called(self, name: str, passage: Passage) -> Route:
        """The route that a header names. Raises Refusal."""
        for route in self._routes:
            if route.name == name and claiming((msgspec.structs.replace(route, models=("*",)),), "", passage.who):
                return route
        raise invalid(
            f"There is no route {name!r} for this key. x-jevons-route names a [[routes]] table, or says {OFF!r}.",
            code="unknown_route",
        )

    def _read(self, ask: Ask, passage: Passage) -> Seen:
        assert self._reading is not None  # there are routes
        return self._reading.of(ask, passage)

    def _weighed(self, route: Route, able: list[Candidate], ask: Ask, passage: Passage, seen: Seen) -> Way:
        """By what was learnt of each."""
        if able[-1].name != route.to[-1]:
            return self._go(route, able, len(able) - 1, Why.NO_REFERENCE, self.candidates.plain(able), ask, passage)
        if not comparable(ask):
            return self._go(route, able, len(able) - 1, Why.NOT_COMPARED, self.candidates.plain(able), ask, passage)
        assert self._promises is not None  # a route is learned
        options = self.candidates.options(route, able, ask, passage, seen)
        standing = self._promises.standing(passage.caller.org, route, options[0].model)
        if route.choose == "cascade" and len(options) > 1:
            small = able[0].targets[0]
            options = _with_second(options, standing.coverage, calls(self._lives[small.upstream].settings, small))
        draw = random.random()
        decision = decide(
            options,
            choose=route.choose,
            stage=standing.stage,
            share=route.share,
            draw=draw,
            latency_usd_s=float(route.latency_usd_s),
        )
        chosen, stage = decision.chosen, standing.stage
        way = self._go(route, able, chosen, decision.why, options, ask, passage, stage=stage, draw=draw, cascade=decision.cascade)
        if stage is Stage.OBSERVE or not sampled(draw, route.sample):
            return way
        others = [one.targets[0] for place, one in enumerate(able) if place != chosen and not one.name.startswith(STUDENT)]
        return way._replace(shadows=tuple(others), weight=1 / route.sample)

    def _go(
        self,
        route: Route,
        able: Sequence[Candidate],
        chosen: int,
        why: Why,
        options: tuple[Option, ...],
        ask: Ask,
        passage: Passage,
        *,
        stage: str = "",
        draw: float = 0.0,
        cascade: bool = False,
    ) -> Way:
        """What is decided, on the passage and as a way. Without promises all others may stand in when the chosen one fails; else the reference."""
        seen, reference = passage.read, able[-1]
        features = seen.features if seen is not None else Features()
        passage.routed = Routed(route.name, why, chosen, stage, draw, options, features, cascade)
        passage.routed_to = able[chosen].name
        base = (self.find(ask.model, ask.dialect) or reference.targets)[0]
        passage.reference = (base.upstream, base.model, self._lives[base.upstream].provider)
        others = [*able[:chosen], *able[chosen + 1 :]] if route.choose == "first" else [reference]
        tried = able[chosen].targets[:1] if cascade else able[chosen].targets
        targets = dict.fromkeys([*tried, *(target for one in others for target in one.targets)])
        return Way(tuple(targets), passage.routed, cascade)

    def _credential_for(self, ask: Ask, route: Route) -> str:
        """The upstream that the client's own credential is for: the one that the name it asks for goes to; where only routes take that name, the only
        one of the route's that is called with it; "" = nobody knows."""
        if named := self.find(ask.model, ask.dialect):
            return named[0].upstream
        found = {target.upstream for name in route.to for target in self.find(name, ask.dialect)}
        theirs = [name for name in found if self._lives[name].settings.is_clients]
        return theirs[0] if len(theirs) == 1 else ""

    def _counted(self, ask: Ask, caller: Caller) -> str:
        """The model that it names; where tokens are counted for a name that only a route takes, the last of its models that the caller may use.
        Raises Refusal where it may use none."""
        if not self._routes or ask.dialect is not Dialect.COUNT_TOKENS or offered(self._table, ask.model) is not None:
            return ask.model
        left: list[Left] = []
        for route in claiming(self._routes, ask.model, _who(caller)):
            for name in reversed(route.to):
                target = offered(self._table, name)
                if target is None or name.startswith(STUDENT):
                    continue
                if self._gate.governor.may_use(caller, name, target.model):
                    return name
                left.append(Left(name, NOT_ALLOWED, forbidden=True))
            if left:
                raise _none_can(route, left)
        return ask.model

    def _nobody(
        self,
        model: str,
        dialect: Dialect,
        claims: Sequence[Route] = (),
        passage: Passage | None = None,
        *,
        off: bool = False,
    ) -> Refusal:
        """`off`: a header keeps the request from routes."""
        found = offered(self._table, model)
        if found is not None and found.upstream == STUDENTS:
            return invalid(
                f"{model!r} is a student, and a student answers only through a route: ask for a name that a route with it takes.",
                param="model",
                code="student_by_name",
            )
        if found is not None:
            return invalid(
                f"Model {model!r} is not offered over this endpoint, and {dialect} cannot be translated for it.",
                param="model",
                code="wrong_endpoint",
            )
        if claims and passage is not None:
            seen = passage.read.features if passage.read is not None else Features()
            told = f"No route fits this request ({_told(seen)}), and {model!r} is no model by itself."
            hint = f" Add a last [[routes]] table without conditions: {_lines(model)}"
            return Refusal(Kind.NOT_FOUND, 404, told + hint, code="no_route", param="model")
        if off and any(covers(route.models, model) for route in self._routes):
            told = f"{model!r} is a name for routes, and x-jevons-route: {OFF} keeps this request from all of them. Leave the header out, or name a model."
            return Refusal(Kind.NOT_FOUND, 404, told, code="no_route", param="model")
        if model == AUTO:
            told = f"{AUTO!r} is a name for routes, and no route takes it from this key. Add to jevons.toml: {_lines(model)}"
            return Refusal(Kind.NOT_FOUND, 404, told, code="no_route", param="model")
        known = sorted(
            {pattern for offer in self._table.offers for pattern in offer.models} | {alias.name for alias in self._table.aliases}
        )
        similar = self._gate.book.suggest(model)
        hint = f" Similar names with a known price: {', '.join(similar)}." if similar else ""
        return Refusal(
            Kind.NOT_FOUND,
            404,
            f"No upstream answers to the model {model!r}. Configured: {', '.join(known) or 'none'}.{hint} Add it under `models` of an upstream in jevons.toml.",
            code="model_not_found",
            param="model",
        )


def _who(caller: Caller) -> Who:
    return Who(caller.org, caller.team, caller.key_id, caller.key_name, caller.agent)


def _with_second(options: tuple[Option, ...], coverage: float, times: int) -> tuple[Option, ...]:
    """Of a cascade: the small model's cost, asked so many times, with that of asking the reference too, where its answer is not expected to do."""
    small, *others = options
    second_nusd = round((1 - coverage) * options[-1].cost_nusd)
    return (msgspec.structs.replace(small, cost_nusd=times * small.cost_nusd + second_nusd), *others)


def _holding(claims: Sequence[Route], kept: str) -> Route | None:
    """The route that began the turn: the first that has its model."""
    if not kept:
        return None
    bare = kept.partition("@")[0] if kept.startswith(STUDENT) else kept
    return next((route for route in claims if kept in route.to or bare in route.to), None)


def _place(route: Route, able: Sequence[Candidate], kept: str) -> int | None:
    """With whom a turn goes on: the model that it began with. Where nobody knows which that was, a route that learns goes on with its reference, and
    any other decides as at the beginning (None)."""
    for place, one in enumerate(able):
        if one.name == kept:
            return place
    return None if route.choose == "first" else len(able) - 1


def _none_can(route: Route, left: Sequence[Left]) -> Refusal:
    """None of a route's models can answer."""
    told = "; ".join([f"{one.name}: {one.why}" for one in left])
    text = f"None of the models of route {route.name!r} can answer this request. {told}."
    if all(one.forbidden for one in left):
        return Refusal(Kind.PERMISSION, 403, text, code="model_not_allowed", param="model")
    return invalid(text, param="model", code="no_model_fits")


def _told(features: Features) -> str:
    parts = [f"about {features.input_tokens} tokens", f"{features.tools} tools", f"language {features.language or 'not told'}"]
    parts += [f"class {features.task}"] if features.task else []
    return ", ".join([*parts, *features.modalities])


def _lines(model: str) -> str:
    """A table to paste."""
    models = "" if model == AUTO else f' models = ["{model}"]'
    return f'[[routes]] name = "default"{models} to = ["A-CHEAP-MODEL", "A-GOOD-MODEL"]'
