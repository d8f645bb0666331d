"""Who may answer a routed request: the models of its route that can, and what is believed of each.

Comes in: a route and a request. Goes out: candidates in the route's order, those left out with the reason; and for a decision, an `Option` of each: its score,
from which score on a promise holds, what its answer is expected to cost with what is warm in its prompt cache, how long it is waited for.
Does not know: which one is chosen (`policy.objective`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from jevons.core.ask import Ask, Dialect
from jevons.core.entry import Entry
from jevons.core.features import Features
from jevons.core.limits import ROUTE_MEMO_ENTRIES_MAX
from jevons.core.price import Price, UnpricedKind, charge
from jevons.core.routed import Option
from jevons.core.usage import REQUESTS, Usage
from jevons.gateway.gate import Gate
from jevons.gateway.passage import Passage
from jevons.gateway.pricing import price_context, size_tokens
from jevons.gateway.promises import Promises
from jevons.gateway.reading import Seen
from jevons.gateway.upstreams import Live
from jevons.meter.models import ModelFacts, model_facts
from jevons.policy.degrade import DEGRADED_OUTPUT_TOKENS
from jevons.policy.route import Target
from jevons.policy.routes import STUDENT, Route

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

LENGTH_WEIGHT = 0.1
"""Of the latest answer in the mean of a model's lengths."""
NOT_ALLOWED = "this key may not use it"


class Candidate(NamedTuple):
    """A model that can answer this request."""

    name: str
    """As the route names it; a student with its version."""
    targets: tuple[Target, ...]


class Left(NamedTuple):
    """A model that cannot."""

    name: str
    why: str
    forbidden: bool = False
    """By what the caller may use; else by what the model can."""


class Students(Protocol):
    """`gateway.students.Students`."""

    def current(self, org: str, name: str) -> str | None: ...

    def score(self, name: str, ask: Ask, features: Features, vector: "NDArray[float32] | None", org: str) -> float | None: ...


class Scores(Protocol):
    """What was learnt of an organisation's route: `gateway.predictors.Predictors`."""

    def of(self, org: str, route: str, seen: Seen) -> Mapping[str, float]:
        """Model as the route names it -> probability that its answer is good enough; nothing for models that nothing was learnt of."""
        ...


class Lengths:
    """How long the answers of routed requests are, by route and model, in tokens. A model that has not answered yet is taken to write as others do."""

    def __init__(self) -> None:
        self._means: dict[tuple[str, str], float] = {}

    def saw(self, route: str, model: str, tokens: int) -> None:
        before = self._means.get((route, model))
        if before is None and len(self._means) >= ROUTE_MEMO_ENTRIES_MAX:
            self._means.clear()
        self._means[route, model] = tokens if before is None else before + LENGTH_WEIGHT * (tokens - before)

    def expected(self, route: str, model: str, output_cap: int | None) -> int:
        length = round(self._means.get((route, model), DEGRADED_OUTPUT_TOKENS))
        return length if output_cap is None else min(length, output_cap)


class Candidates:
    """Knows upstreams, prices, and what was learnt."""

    def __init__(
        self,
        gate: Gate,
        lives: dict[str, Live],
        find: Callable[[str, Dialect], tuple[Target, ...]],
        promises: Promises | None,
    ) -> None:
        """`find`: targets of a name in a dialect."""
        self._gate = gate
        self._lives = lives
        self._find = find
        self._promises = promises
        self.scores: Scores | None = None
        self.students: Students | None = None
        self.wait_ms: Callable[[Target], int] | None = None
        """Expected time to a target's first byte; 0 = not known."""
        self.lengths = Lengths()
        gate.on_routed = self._answered

    def able(self, route: Route, ask: Ask, passage: Passage, read: Callable[[], Seen]) -> tuple[list[Candidate], list[Left]]:
        """Those of `to` that can answer, in order, and those that cannot. `read` is asked only where it matters what the request holds."""
        able: list[Candidate] = []
        left: list[Left] = []
        for name in route.to:
            found = self._one(route, name, ask, passage, read)
            if isinstance(found, Left):
                left.append(found)
            else:
                able.append(found)
        return able, left

    def options(
        self, route: Route, candidates: Sequence[Candidate], ask: Ask, passage: Passage, seen: Seen
    ) -> tuple[Option, ...]:
        """One for each candidate."""
        org = passage.caller.org
        learnt = self.scores.of(org, route.name, seen) if self.scores is not None and route.choose == "learned" else {}
        return tuple([self._option(route, one, ask, passage, seen, learnt) for one in candidates])

    def plain(self, candidates: Sequence[Candidate]) -> tuple[Option, ...]:
        """The same where nothing is weighed."""
        return tuple([Option(one.name, one.targets[0].upstream, one.targets[0].model) for one in candidates])

    def _answered(self, entry: Entry) -> None:
        routed = entry.routed
        assert routed is not None  # the gate tells of no others
        for option in routed.options:
            if (option.upstream, option.target) == (entry.hold.upstream, entry.hold.target):
                self.lengths.saw(routed.route, option.model, entry.usage.output)

    def _one(self, route: Route, name: str, ask: Ask, passage: Passage, read: Callable[[], Seen]) -> Candidate | Left:
        caller = passage.caller
        targets = self._find(name, ask.dialect)
        if not targets:
            return Left(name, f"it is not offered over this endpoint, and {ask.dialect} cannot be translated for it")
        if name.startswith(STUDENT):
            version = self.students.current(caller.org, name.removeprefix(STUDENT)) if self.students is not None else None
            if version is None:
                return Left(name, "no student of this name serves this organisation")
            return Candidate(version, (msgspec.structs.replace(targets[0], model=version.removeprefix(STUDENT)),))
        left = Left(name, NOT_ALLOWED, forbidden=True)
        can = []
        for target in targets:
            if not self._gate.governor.may_use(caller, name, target.model):
                continue
            if not self._lives[target.upstream].carries(passage.credential_for):
                left = Left(name, "the client's own credential is another provider's")
                continue
            why = self._unfit(target, ask, read)
            if not why and route.choose != "first" and self._price(target, ask, passage) is None:
                why = "its price is not known"
            if why:
                left = Left(name, why)
            else:
                can.append(target)
        return Candidate(name, tuple(can)) if can else left

    def _unfit(self, target: Target, ask: Ask, read: Callable[[], Seen]) -> str:
        """Why a model cannot take this request, as far as that is known; "" = it can."""
        about = self._facts(target)
        if not about.known:
            return ""
        room = about.context_window - (ask.output_cap or 0)
        if about.text_only and read().features.modalities:
            return f"it takes text only, and the request holds {', '.join(read().features.modalities)}"
        if size_tokens(ask) > room and (tokens := read().features.input_tokens) > room:
            return f"it takes {about.context_window:,} tokens, and the request has about {tokens:,}"
        return ""

    def _option(
        self, route: Route, one: Candidate, ask: Ask, passage: Passage, seen: Seen, learnt: Mapping[str, float]
    ) -> Option:
        org, target = passage.caller.org, one.targets[0]
        score = learnt.get(one.name)
        if one.name.startswith(STUDENT):
            assert self.students is not None  # else it were no candidate
            score = self.students.score(one.name.removeprefix(STUDENT), ask, seen.features, seen.vector, org)
        reference = one.name == route.to[-1]
        cost_nusd, cold_nusd = self._costs_nusd(route, one, ask, passage, seen.features)
        return Option(
            one.name,
            target.upstream,
            target.model,
            score,
            None if reference or self._promises is None else self._promises.standing(org, route, one.name).threshold,
            cost_nusd,
            self.wait_ms(target) if self.wait_ms is not None else 0,
            cold_nusd - cost_nusd,
        )

    def _costs_nusd(self, route: Route, one: Candidate, ask: Ask, passage: Passage, features: Features) -> tuple[int, int]:
        """Expected list cost of this one answer, and what it would be with nothing in the prompt cache."""
        target = one.targets[0]
        price = self._price(target, ask, passage)
        if price is None:  # a student's, that nobody stated
            return 0, 0
        output = self.lengths.expected(route.name, one.name, ask.output_cap) * ask.choices
        cold_nusd = _list_nusd(price, features.input_tokens, 0, output)
        warm = 0
        if features.messages > 1 and passage.run is not None:
            provider = self._lives[target.upstream].provider
            warm = min(features.input_tokens, self._gate.prefixes.warm_tokens(ask, passage, target, provider))
        return (_list_nusd(price, features.input_tokens, warm, output) if warm > 0 else cold_nusd), cold_nusd

    def _price(self, target: Target, ask: Ask, passage: Passage) -> Price | None:
        live = self._lives[target.upstream]
        return self._gate.book.dearest(live.provider, target.model, passage.at_ms, price_context(ask, live.settings))

    def _facts(self, target: Target) -> ModelFacts:
        return model_facts(self._lives[target.upstream].provider, target.model)


def _list_nusd(price: Price, input_tokens: int, warm: int, output: int) -> int:
    """With so many tokens read from the prompt cache, if reading is known to be cheaper; 0 where kinds have no price: then nothing can be expected."""
    each = ((REQUESTS, 1),) if REQUESTS in price.tiers[0].nums else ()
    for read in dict.fromkeys((warm, 0)):
        try:
            return charge(Usage(input=input_tokens - read, cache_read=read, output=output, other=each), price).nusd
        except UnpricedKind:
            continue
    return 0
