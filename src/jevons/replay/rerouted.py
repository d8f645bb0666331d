"""Where routed requests go under other `[[routes]]`: decided again by the functions that decide live ones, from what was recorded of each.

Comes in: recorded calls with how their requests were routed, in their order; a policy's routes. Goes out: the model that an attempt goes to, that it
is not made then, or that it goes where it went. What was believed of each candidate, what it would have cost, the draw and the features are
those of the time. Where a route promises something else than the configuration in use, its thresholds are made anew from all labels of the ledger:
with hindsight, and so are said to be. A stage that is another than in use is taken to be reached.

Shadows and judges come while their route samples as much. A cascade's try that was not shown comes while its request is still a cascade. What the
record does not hold is no part: a shadow that was not asked, the second answer of a cascade that was sure then and would not be now.
Does not know: prices, accounts, limits.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from jevons.core.label import Label
from jevons.core.limits import RUNS_KEPT_MAX
from jevons.core.routed import Option, Role, Routed, Stage
from jevons.ledger.routing import labels
from jevons.policy.matching import claiming, fitting
from jevons.policy.objective import Why, decide, good_enough, sampled
from jevons.policy.promise import Judged, certify
from jevons.policy.route import Target
from jevons.policy.routes import STUDENT, Route
from jevons.policy.rules import Who
from jevons.policy.terms import Asked
from jevons.replay.eras import Routes
from jevons.replay.rows import Call

UNDECIDED = frozenset({Why.HEADER, Why.NOT_COMPARED, Why.NO_REFERENCE})
"""What no route decides by what it knows of the candidates."""
SECOND = frozenset({Role.SHADOW, Role.JUDGE})
_routed = msgspec.json.Decoder(Routed).decode


class NotMade(msgspec.Struct, frozen=True):
    """The call does not come."""


class ByName(msgspec.Struct, frozen=True):
    """No route takes it: it goes by the name that it asks for."""


class There(NamedTuple):
    """A model of a route."""

    name: str
    upstream: str
    target: str


class _Made(NamedTuple):
    there: There
    cascade: bool = False
    """It is asked first, and its answer judged."""


class Rerouted:
    """One pass of calls."""

    def __init__(self, routes: Routes, ledger: Path, find: Callable[[Call, str], Target | None]) -> None:
        """`find`: the policy's target of a name, for this call."""
        self._routes = routes
        self._in_use = {route.name: route for route in routes.in_use}
        self._ledger = ledger
        self._find = find
        self._thresholds: dict[tuple[str, str, str], float | None] = {}
        self._turns: dict[tuple[int, str | None, str], There] = {}
        """(key, run, route) -> the model that its latest turn began with here."""
        self.unknown = 0
        """Attempts of which too little was recorded for what the policy says: they go where they went."""

    @property
    def hindsight(self) -> int:
        """Thresholds that were made anew."""
        return len(self._thresholds)

    def goes(self, call: Call, asked: Asked, who: Who) -> There | NotMade | ByName | None:
        """Where one attempt goes; None = where it went."""
        routed = _routed(call.routed)
        if call.role in SECOND:
            return self._second(routed, call, who)
        if routed.why in UNDECIDED:
            return None
        route = self._route(routed, call, who)
        if route is None:
            return NotMade() if call.role == Role.CASCADE else ByName()
        made = self._made(route, routed, call, who)
        was = there_of(routed, call, asked)
        if made is None:
            self.unknown += 1
            return None
        if made.cascade:
            return self._judged(made.there, route, routed, call, was, who)
        if call.role == Role.CASCADE:
            return NotMade()
        if made.there == was or (not routed.cascade and routed.options and was != _there(routed.options[routed.chosen])):
            return None  # it goes there, or stood in for one that failed
        return made.there

    def _made(self, route: Route, routed: Routed, call: Call, who: Who) -> _Made | None:
        """What is decided; None = nobody can tell."""
        turn = (call.key_id, call.run_id, route.name)
        if routed.why == Why.TURN:
            kept = self._turns.get(turn) if call.run_id is not None else None
            return None if kept is None else _Made(kept)
        if route.choose == "first":
            able = [(name, target) for name in route.to if (target := self._find(call, name)) is not None]
            made = _Made(There(able[0][0], able[0][1].upstream, able[0][1].model)) if able else None
        else:
            made = self._weighed(route, routed, who)
        if made is not None and call.run_id is not None:
            self._turns.pop(turn, None)
            self._turns[turn] = made.there
            if len(self._turns) > RUNS_KEPT_MAX:
                del self._turns[next(iter(self._turns))]
        return made

    def _weighed(self, route: Route, routed: Routed, who: Who) -> _Made | None:
        options = self._options(route, routed, who)
        if not options or options[-1].model != route.to[-1]:
            return None
        same = self._in_use.get(route.name)
        stage = Stage(routed.stage) if routed.stage and same is not None and same.stage is route.stage else route.stage
        made = decide(
            options,
            choose=route.choose,
            stage=stage,
            share=route.share,
            draw=routed.draw,
            latency_usd_s=float(route.latency_usd_s),
        )
        return _Made(_there(options[made.chosen]), made.cascade)

    def _options(self, route: Route, routed: Routed, who: Who) -> list[Option]:
        """Those of the route of which something was recorded."""
        known = {_bare(option.model): option for option in routed.options}
        options = [known[name] for name in route.to if name in known]
        same = self._in_use.get(route.name)
        if same is not None and (same.alpha, same.delta) == (route.alpha, route.delta):
            return options
        return [one if one.model == route.to[-1] else self._promised(one, route, who) for one in options]

    def _judged(self, small: There, route: Route, routed: Routed, call: Call, was: There, who: Who) -> There | NotMade | None:
        """An attempt of what is a cascade here. Was its small model's answer judged then?"""
        first = next((one for one in self._options(route, routed, who) if _there(one) == small), None)
        if not routed.cascade or first is None or first.score is None:
            self.unknown += 1
            return None
        if call.role == Role.CASCADE:
            return None
        if was == small:
            return None if good_enough(first) else _there(routed.options[-1])
        return NotMade() if good_enough(first) else None

    def _second(self, routed: Routed, call: Call, who: Who) -> NotMade | None:
        """A shadow or a judge: it comes if its request would still be sampled."""
        route = self._route(routed, call, who)
        if route is None or route.choose == "first":
            return NotMade()
        same = self._in_use.get(route.name)
        if same is not None and (same.sample, same.stage) == (route.sample, route.stage):
            return None
        return None if route.stage is not Stage.OBSERVE and sampled(routed.draw, route.sample) else NotMade()

    def _route(self, routed: Routed, call: Call, who: Who) -> Route | None:
        """The one that takes the request now."""
        return fitting(claiming(self._routes.stated, call.model, who), routed.features)

    def _promised(self, option: Option, route: Route, who: Who) -> Option:
        """With the threshold that all labels of the ledger promise under the route's terms."""
        key = (who.org, route.name, option.model)
        if key not in self._thresholds:
            judged = _scored(labels(self._ledger, org=who.org, route=route.name), option.model)
            found = certify(judged, route.alpha, route.delta)
            self._thresholds[key] = None if found is None else found.threshold
        return msgspec.structs.replace(option, threshold=self._thresholds[key])


def there_of(routed: Routed, call: Call, asked: Asked) -> There:
    """Where a call went by its route: before a cheaper model took it, if one did."""
    upstream, target = (asked.instead_of or (call.upstream, call.target))[:2]
    found = next((one for one in routed.options if (one.upstream, one.target) == (upstream, target)), None)
    return There(target if found is None else found.model, upstream, target)


def name_of(call: Call, asked: Asked) -> str:
    """The name by which fences judge a call: of the model that its route chose, or that it asks for."""
    return there_of(_routed(call.routed), call, asked).name if call.routed else call.model


def _scored(found: Iterable[Label], model: str) -> list[Judged]:
    return [Judged(one.score, one.harm, one.weight) for one in found if one.model == model and one.score is not None]


def _there(option: Option) -> There:
    return There(option.model, option.upstream, option.target)


def _bare(name: str) -> str:
    """A student without its version."""
    return name.partition("@")[0] if name.startswith(STUDENT) else name
