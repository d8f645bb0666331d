"""A small model's answer, judged by its own confidence before anybody has seen it: is it shown, or the large model asked?

Comes in: the small model's whole answer, its attempt held still. Goes out: whether it is shown, as it is shown, and how sure it was. Where the dialect
tells log-probabilities they were asked for (`wire.logprobs`); else the small model is asked again, and its answers are compared: each of these is a call
of its own, held and charged. An answer that calls tools, or was cut, is not judged: the large model is asked.

Where the large model answered after all, both answers are there: a label for nothing. It is taken because of its confidence, so it says how good answers
of such a confidence are (`policy.cascade.Calibration`), not how good all are; the promise is told of it only if the request was drawn for the sample, as
those whose small answer was shown are. Does not know: how a try is made (`gateway.journey`), how answers are compared (`gateway.comparing`), from which
confidence on the promise holds (`gateway.promises`; it stands with the option).
"""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping

import msgspec

from jevons.core.ask import Ask
from jevons.core.label import Label
from jevons.core.limits import CASCADE_LABELS_MAX, CASCADE_MODELS_MAX, CASCADE_TRIES_BYTES_MAX, CASCADE_TRY_MAX_S
from jevons.core.routed import Role, Routed
from jevons.gateway.client import Scope
from jevons.gateway.comparing import Likeness, compared, reply_of
from jevons.gateway.outbound import NOTHING
from jevons.gateway.passage import Passage
from jevons.gateway.routing import Way
from jevons.gateway.showing import Given
from jevons.gateway.telling import tells
from jevons.gateway.unseen import Asides, Judged, Tried
from jevons.gateway.upstreams import Live
from jevons.ledger.errors import LedgerUnavailable
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import Labelled
from jevons.meter.answer import answer_facts
from jevons.policy.cascade import SAMPLES, Calibration, accepts, agreement, confidence, spoken
from jevons.policy.objective import sampled
from jevons.policy.route import Target
from jevons.policy.routes import Route
from jevons.wire.logprobs import asked_for, asking, tokens_of, without
from jevons.wire.question import answer_text

log = logging.getLogger("jevons.gateway")

WARM = {"temperature": b"1"}
"""Of the answers that are compared: at 0 a model agrees with itself whatever it knows."""
WHOLE_ENDS = frozenset({"stop", "end_turn", "stop_sequence", "completed"})
"""How an answer ends that came to its own end."""
CALIBRATED_FROM = 30
"""Labels; of fewer, one alone could make a probability 0 or 1."""
RELEARN = 1.1
"""A calibration is learnt anew once there are so many times the labels it was learnt from."""


class Cascades:
    """Judges the tries of all cascades (`unseen.Judge`). Lives on one event loop."""

    def __init__(
        self,
        ledger: Ledger,
        asides: Asides,
        lives: Mapping[str, Live],
        routes: Iterable[Route],
        learn: Callable[[Label], None],
        likeness: Likeness | None = None,
    ) -> None:
        """`learn` is told of each label that the promise may count. `likeness`: see `gateway.comparing`."""
        self._ledger = ledger
        self._asides = asides
        self._lives = lives
        self._routes = {route.name: route for route in routes if route.choose == "cascade"}
        self._promise = learn
        self._likeness = likeness
        self._tried: dict[int, Tried] = {}
        """By request: tries that were not shown, until the large model's answer is there, or will not be."""
        self._kept_bytes = 0
        """Of these, and of those that are being compared."""
        self._learning: OrderedDict[tuple[str, str, str], Learning] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def members(self, ask: Ask, way: Way, target: Target) -> Mapping[str, bytes]:
        """As `unseen.Judge`. `way` is not looked at: a shadow of the small model is asked in the same way, so that its confidence is the same."""
        if not tells(self._lives[target.upstream].settings, target):
            return NOTHING
        return asking(target.dialect, ask.fields if target.dialect is ask.dialect else {})

    async def judge(self, tried: Tried) -> Judged:
        """As `unseen.Judge`."""
        attempt, target, routed = tried.attempt, tried.target, tried.attempt.routed
        option = routed.options[routed.chosen] if routed is not None and routed.options else None
        score = None
        if option is not None and option.threshold is not None:
            score = await self.score(tried.ask, tried.passage, tried.scope, target, tried.body, routed)
        if option is None or routed is None or score is None:
            return Judged(False, tried.body)
        options = list(routed.options)
        options[routed.chosen] = msgspec.structs.replace(option, score=score)
        attempt.routed = msgspec.structs.replace(routed, options=tuple(options))
        shown = accepts(score, option.threshold)
        if not shown and self._graded(routed.route):
            self._keep(tried)
        own = target.dialect is tried.ask.dialect and asked_for(target.dialect, tried.ask.fields)
        body = tried.body if own else without(target.dialect, tried.body)
        return Judged(shown, body, self.probability(tried.passage.caller.org, routed.route, option.model, score))

    async def score(
        self,
        ask: Ask,
        passage: Passage,
        scope: Scope,
        target: Target,
        body: bytes,
        routed: Routed | None = None,
        role: Role = Role.CASCADE,
    ) -> float | None:
        """The confidence of a small model's whole answer, in [0, 1]; None for one that is no plain text, was cut, or of which nothing can be known.

        `body`: in the target's dialect, asked for with `members`. May ask the model again (`agreement`), in this role.
        """
        text = answer_text(target.dialect, body)
        if text is None or answer_facts(target.dialect, body).finish not in WHOLE_ENDS:
            return None
        if tells(self._lives[target.upstream].settings, target):
            return confidence(spoken(tokens_of(target.dialect, body), text))
        more = [
            self._asides.ask(passage, ask, target, role, scope=scope, members=WARM, routed=routed) for _ in range(SAMPLES - 1)
        ]
        try:
            async with asyncio.timeout(CASCADE_TRY_MAX_S):
                unseen = await asyncio.gather(*more)
        except TimeoutError:
            return None
        others = [answer_text(target.dialect, one.body) if one is not None else None for one in unseen]
        return agreement([text, *(other or "" for other in others)])

    def wants(self, passage: Passage, way: Way) -> bool:
        """As `showing.Listener`."""
        return way.cascade and way.routed is not None and self._graded(way.routed.route)

    def given(self, given: Given) -> None:
        """As `showing.Listener`: where a try was not shown and another model's answer was, both are there to be compared."""
        tried = self._tried.get(given.passage.request)
        if tried is not None and given.target != tried.target:
            del self._tried[given.passage.request]
            task = asyncio.get_running_loop().create_task(self._label(tried, given))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: self._let_go(tried))

    def forget(self, request: int) -> None:
        """As `unseen.Judge`."""
        tried = self._tried.pop(request, None)
        if tried is not None:
            self._let_go(tried)

    async def close(self) -> None:
        """As `showing.Listener`: until every label is on disk, or given up."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _keep(self, tried: Tried) -> None:
        if self._kept_bytes + _bytes_of(tried) <= CASCADE_TRIES_BYTES_MAX:
            self._kept_bytes += _bytes_of(tried)
            self._tried[tried.passage.request] = tried

    def _let_go(self, tried: Tried) -> None:
        self._kept_bytes -= _bytes_of(tried)

    async def _label(self, tried: Tried, given: Given) -> None:
        """Compare, and leave the label."""
        routed, caller = tried.attempt.routed, tried.passage.caller
        assert routed is not None
        route, option = self._routes[routed.route], routed.options[routed.chosen]
        answer = reply_of(tried.target.dialect, tried.attempt.status, tried.body)
        reference = reply_of(given.target.dialect, given.attempt.status, given.body)
        if (
            answer is None
            or reference is None
            or (given.target.upstream, given.target.model) != (routed.options[-1].upstream, routed.options[-1].target)
        ):
            return
        verdict = await compared(tried.ask, route.grader, answer, reference, likeness=self._likeness)
        if verdict is None:
            return
        label = Label(
            request=tried.passage.request,
            key_id=caller.key_id,
            org=caller.org,
            route=route.name,
            model=option.model,
            reference=route.to[-1],
            good=verdict.good,
            harm=verdict.harm,
            grader=route.grader,
            weight=1.0,
            score=option.score,
            shown=False,
            at_ms=int(time.time() * 1000),
            features=routed.features,
        )
        try:
            await self._ledger.writer.submit(Labelled(label))
        except LedgerUnavailable as error:
            log.warning("a label was lost: %s", error)
            return
        self.learn(label)
        if sampled(routed.draw, route.sample):
            self._promise(label)

    def _graded(self, route: str) -> bool:
        """Can its answers be compared for nothing?"""
        return route in self._routes and self._routes[route].grader not in ("judge", "feedback")

    def learn(self, label: Label) -> None:
        """Of any route; those that say nothing of a cascade's confidence are left out by whoever calls."""
        if label.score is None or not label.reference:
            return
        name = (label.org, label.route, label.model)
        learning = self._learning.get(name)
        if learning is None:
            learning = self._learning[name] = Learning()
            if len(self._learning) > CASCADE_MODELS_MAX:
                self._learning.popitem(last=False)
        learning.take(label.score, label.good)

    def recall(self, labels: Iterable[Label]) -> None:
        """What is on record, before serving begins."""
        for label in labels:
            self.learn(label)

    def probability(self, org: str, route: str, model: str, score: float) -> float:
        """That an answer with this confidence is good, by the labels there are; with few, the confidence itself."""
        learning = self._learning.get((org, route, model))
        found = learning.calibration().probability(score) if learning is not None else None
        return score if found is None else found


class Learning:
    """The latest labels of one small model on one route."""

    def __init__(self) -> None:
        self._pairs: deque[tuple[float, bool]] = deque(maxlen=CASCADE_LABELS_MAX)
        self._since = 0
        self._learnt = Calibration()

    def take(self, score: float, good: bool) -> None:
        self._pairs.append((score, good))
        self._since += 1

    def calibration(self) -> Calibration:
        if len(self._pairs) >= CALIBRATED_FROM and self._since > (RELEARN - 1) * self._learnt.labels:
            self._learnt, self._since = Calibration.learnt(self._pairs), 0
        return self._learnt


def _bytes_of(tried: Tried) -> int:
    return len(tried.ask.body) + len(tried.body)
