"""What is promised of every model of every learned route, as it stands: each organisation for itself.

Comes in: labels, one after the other. Goes out: from which score on a model may answer, and how far its route may go. A promise is looked at when
its labels have become three times as many (LOOKS), and each look takes less of delta than the one before (policy.promise.spent), so that all of its life
together err as seldom as was promised. Between looks each label is a bet against it (policy/drift.py).

Every label counts alike. Its weight is of what was drawn, and stays in the ledger for reports; whoever brings labels here drew their requests by one
chance for a route, whatever the scores were. Where some of them are lost, these are of answers that were shown, for which the reference must be paid:
then those below the threshold are too many, and harm looks like more than it is.

What was learnt is written as `Learnt("promise", ...)`, one row for a route of an organisation, and labels are in the ledger: both are read again when
serving begins.

Does not know: who made a label, where scores come from, what is decided with them. Reads no clock: time is that of the labels.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from jevons.core.entry import admitted_ms
from jevons.core.label import Label
from jevons.core.limits import (
    PROMISE_ALL_LABELS_MAX,
    PROMISE_LABELS_MAX,
    PROMISE_MODELS_MAX,
    PROMISE_ROOM_EVERY,
    PROMISE_WRITTEN_EVERY,
)
from jevons.core.routed import Stage
from jevons.ledger.ops import Learnt
from jevons.policy.drift import WINDOW, Verdict, Watch
from jevons.policy.promise import Certificate, Judged, certify, covered, even, harmed, spent
from jevons.policy.routes import Route
from jevons.policy.stages import Known, lowest, step

log = logging.getLogger("jevons.gateway")

KIND = "promise"
LOOKS = tuple(PROMISE_LABELS_MAX // 3**i for i in (4, 3, 2, 1, 0))
"""With so many labels; afterwards with every further two thirds of the last number, among the latest."""
RECENT = 300
"""Labels from which a threshold is found anew when harm has become more: a few windows of a drift."""

Withdrawn = Callable[[str, str, str, str], None]
"""org, route, model, reason"""


class Standing(msgspec.Struct, frozen=True):
    """Of one model of one route of one organisation."""

    threshold: float | None
    """From this score on it may answer; None = nothing is promised."""
    stage: Stage
    """In force for the whole route, at most the operator's."""
    coverage: float = 0.0
    """Share of requests that reach the threshold."""


class Model(msgspec.Struct):
    """What stands on the disk of one model, besides its labels."""

    alpha: float
    delta: float
    reference: str
    """Held against whom."""
    grader: str = ""
    """By whom."""
    version: str = ""
    """Of the predictor that scores it: its labels speak of no other."""
    seeded: bool = False
    """Among its labels are those that the predictor brought."""
    seen: int = 0
    """Labels that counted towards the next look."""
    looks: int = 0
    """At its labels, since it has this version and these terms."""
    since_ms: int = 0
    """Earlier labels count no more."""
    scored_ms: int = 0
    """Since when this version has scored it: an earlier request's label, however late, is of another one's score, or was learnt from."""
    certificate: Certificate | None = None
    watch: Watch = msgspec.field(default_factory=Watch)
    changed_ms: int = 0
    reason: str = ""
    """Of the last change of its promise."""


class State(msgspec.Struct):
    """What stands on the disk of one route of one organisation."""

    stage: Stage
    reason: str = ""
    shown: int = 0
    """Judged answers that clients were shown since it came to its stage."""
    changed_ms: int = 0
    written_ms: int = 0
    """Later labels are not in it."""
    models: dict[str, Model] = {}


_decode = msgspec.json.Decoder(State).decode
_named = msgspec.json.Decoder(tuple[str, str]).decode
_encode = msgspec.json.Encoder().encode


def name_of(org: str, route: str) -> str:
    """As `Learnt.name`."""
    return _encode([org, route]).decode()


def read(states: Mapping[str, str]) -> dict[tuple[str, str], State]:
    """(org, route) -> what stands on the disk (`ledger.routing.learnt`)."""
    return {_named(name): _decode(state) for name, state in states.items()}


class Promises:
    """Live state. `on_withdrawn` is called when a promise that held is taken back."""

    def __init__(self, routes: Iterable[Route], submit: Callable[[Learnt], object]) -> None:
        """`submit`: the ledger's writer."""
        self._routes = {route.name: route for route in routes if route.choose != "first"}
        self._submit = submit
        self._states: dict[tuple[str, str], State] = {}
        self._labels: dict[tuple[str, str, str], deque[tuple[int, Judged]]] = {}
        """The one judged last stands last."""
        self._taken = 0
        self._standing: dict[tuple[str, str, str], Standing] = {}
        self._unwritten: dict[tuple[str, str], int] = {}
        self.on_withdrawn: Withdrawn | None = None

    def standing(self, org: str, route: Route, model: str) -> Standing:
        """Hot path: one look-up. A model that nothing is known of stands with no promise."""
        found = self._standing.get((org, route.name, model))
        if found is None:
            state = self._states.get((org, route.name))
            found = Standing(None, state.stage if state is not None else lowest(route.stage))
        return found

    def recall(self, states: Mapping[str, str], labels: Iterable[Label]) -> None:
        """What an earlier process learnt, before serving: the ledger's `promise` states and its labels. What was promised on other terms is looked at anew."""
        for (org, name), state in read(states).items():
            route = self._routes.get(name)
            if route is not None:
                self._states[org, name] = state
        late: list[Label] = []
        for label in labels:
            route = self._routes.get(label.route)
            of = self._states.get((label.org, label.route))
            if of is None or label.at_ms > of.written_ms:
                late.append(label)
                continue
            known = of.models.get(label.model)
            late_enough = known is not None and label.at_ms >= known.since_ms and admitted_ms(label.request) >= known.scored_ms
            if route is not None and late_enough and _counts(label, route):
                self._take(label, _judged(label))
        for (org, name), state in self._states.items():
            route = self._routes[name]
            for model, known in state.models.items():
                fresh = _new(route, known.since_ms)
                if _terms(known) != _terms(fresh):
                    fresh.scored_ms, fresh.seen = known.scored_ms, len(self._kept(org, name, model))
                    state.models[model] = fresh
                    self._look(org, route, model, known.changed_ms, held=known.certificate is not None)
            self._step(org, route, state.written_ms)
        for label in late:
            self.learn(label)

    def learn(self, label: Label) -> None:
        """Takes in one label: may certify, tighten or withdraw, and change the stage. No await, no disk; a look sorts PROMISE_LABELS_MAX labels at most."""
        route = self._routes.get(label.route)
        if route is None or label.model == route.to[-1] or not _counts(label, route):
            return
        known = self._known(label.org, route, label.model, label.at_ms)
        if admitted_ms(label.request) < known.scored_ms:
            return
        state = self._states[label.org, route.name]
        judged = _judged(label)
        self._take(label, judged)
        state.shown += label.shown
        known.seen += 1
        if known.certificate is None or judged.score < known.certificate.threshold:
            verdict = Verdict.HOLD
        else:
            verdict = known.watch.see(judged.harm, known.certificate, route.alpha)
        if verdict is Verdict.WITHDRAW:
            self._withdraw(label.org, route, label.model, "harm is above alpha", label.at_ms)
        elif verdict is Verdict.TIGHTEN:
            self._tighten(label.org, route, label.model, label.at_ms)
        elif known.seen in LOOKS:
            self._look(label.org, route, label.model, label.at_ms)
        self._step(label.org, route, label.at_ms)

    def seed(self, org: str, route: str, model: str, judged: Sequence[Judged], version: str, at_ms: int) -> None:
        """A predictor begins to score a model: what was judged under another one's scores says nothing of it.

        `judged`: with scores that it gave to what it had not been trained on. The same version once more only brings them back to memory. `at_ms`: when
        it began to score; labels of later requests have its scores.
        """
        rule = self._routes.get(route)
        if rule is None:
            return
        known = self._known(org, rule, model, at_ms)
        kept = self._kept(org, route, model)
        brought = [(at_ms, one._replace(weight=1.0)) for one in even(judged)]
        if known.version == version:
            if known.seeded:
                late = list(kept)
                kept.clear()
                kept.extend([*brought, *late])
            return
        at_ms = max(at_ms, self._states[org, route].written_ms)  # until now another predictor scored
        kept.clear()
        kept.extend(brought)
        held = known.certificate is not None
        known = self._states[org, route].models[model] = _new(rule, at_ms)
        known.version, known.scored_ms, known.seeded, known.seen = version, at_ms, True, len(kept)
        self._look(org, rule, model, at_ms, held=held)
        self._step(org, rule, at_ms)

    def _known(self, org: str, route: Route, model: str, at_ms: int) -> Model:
        state = self._states.get((org, route.name))
        if state is None:
            state = self._states[org, route.name] = State(lowest(route.stage), changed_ms=at_ms)
        known = state.models.pop(model, None) or _new(route, at_ms)
        state.models[model] = known  # the one judged last stands last
        if len(state.models) > PROMISE_MODELS_MAX:
            gone = next(iter(state.models))
            del state.models[gone]
            self._labels.pop((org, route.name, gone), None)
            self._standing.pop((org, route.name, gone), None)
        return known

    def _kept(self, org: str, route: str, model: str) -> deque[tuple[int, Judged]]:
        kept = self._labels.pop((org, route, model), None)
        kept = self._labels[org, route, model] = deque(maxlen=PROMISE_LABELS_MAX) if kept is None else kept
        return kept

    def _take(self, label: Label, judged: Judged) -> None:
        self._kept(label.org, label.route, label.model).append((label.at_ms, judged))
        self._taken += 1
        if self._taken % PROMISE_ROOM_EVERY == 0:
            self._make_room()

    def _make_room(self) -> None:
        over = sum(map(len, self._labels.values())) - PROMISE_ALL_LABELS_MAX
        for (org, route, model), kept in list(self._labels.items()):
            if over > 0 and len(kept) > WINDOW:
                over -= len(kept) - WINDOW
                self._forget(org, self._routes[route], model, WINDOW)

    def _look(self, org: str, route: Route, model: str, at_ms: int, *, held: bool = False) -> None:
        """Is there a threshold that holds, among all labels? One that was found before stands as long as its harm has not come above alpha: at a later look
        more is asked. `held`: another was in force until now.

        Feedback is given for answers that were shown: it says nothing of those below the threshold, and lowers none."""
        known = self._states[org, route.name].models[model]
        kept = [one for _, one in self._kept(org, route.name, model)]
        found, before = self._found(known, kept), known.certificate
        if known.seen >= LOOKS[-1]:
            known.seen = LOOKS[-2]
        if before is not None and harmed(kept, before.threshold) <= route.alpha:
            if found is None or found.threshold > before.threshold or route.grader == "feedback":
                known.certificate = msgspec.structs.replace(before, coverage=covered(kept, before.threshold))
                self._changed(org, route)
                return
        elif found is None and (held or before is not None):
            self._withdraw(org, route, model, f"{len(kept)} labels promise nothing any more", at_ms, drifted=False)
            return
        if found is not None:
            self._certified(known, found, f"{len(kept)} labels", at_ms)
        self._changed(org, route)

    def _tighten(self, org: str, route: Route, model: str, at_ms: int) -> None:
        """Harm has become more: recent labels alone must promise it, with a threshold that is no lower."""
        known = self._states[org, route.name].models[model]
        recent = [one for _, one in list(self._kept(org, route.name, model))[-RECENT:]]
        found = self._found(known, recent)
        assert known.certificate is not None
        if found is None:
            self._withdraw(org, route, model, "harm has become more, and recent labels promise nothing", at_ms)
            return
        if found.threshold < known.certificate.threshold:
            threshold = known.certificate.threshold
            found = msgspec.structs.replace(found, threshold=threshold, coverage=covered(recent, threshold))
        self._forget(org, route, model, RECENT)
        self._certified(known, found, "harm has become more: recent labels", at_ms)
        self._changed(org, route)

    def _found(self, known: Model, judged: Sequence[Judged]) -> Certificate | None:
        """One look."""
        known.looks += 1
        return certify(judged, known.alpha, spent(known.delta, known.looks))

    def _certified(self, known: Model, found: Certificate, reason: str, at_ms: int) -> None:
        known.certificate, known.watch, known.reason, known.changed_ms = found, Watch(), reason, at_ms

    def _withdraw(self, org: str, route: Route, model: str, reason: str, at_ms: int, *, drifted: bool = True) -> None:
        state = self._states[org, route.name]
        known = state.models[model]
        known.certificate, known.watch, known.reason, known.changed_ms = None, Watch(), reason, at_ms
        if drifted:
            self._forget(org, route, model, WINDOW)
        log.warning("route %s of %s: the promise of %s is withdrawn: %s", route.name, org, model, reason)
        self._changed(org, route)
        self._step(org, route, at_ms, drifted=drifted)
        if self.on_withdrawn is not None:
            self.on_withdrawn(org, route.name, model, reason)

    def _forget(self, org: str, route: Route, model: str, keep: int) -> None:
        """All labels but the latest."""
        known, kept = self._states[org, route.name].models[model], self._kept(org, route.name, model)
        while len(kept) > keep:
            kept.popleft()
        known.seen, known.since_ms, known.seeded = len(kept), kept[0][0], False

    def _step(self, org: str, route: Route, at_ms: int, *, drifted: bool = False) -> None:
        state = self._states[org, route.name]
        promised = any(known.certificate is not None for known in state.models.values())
        found = step(state.stage, route.stage, Known(promised, state.shown, drifted))
        moved = found.stage is not state.stage
        if moved:
            log.info("route %s of %s: from %s to %s: %s", route.name, org, state.stage, found.stage, found.reason)
            state.stage, state.shown, state.changed_ms = found.stage, 0, at_ms
        state.reason = found.reason
        for model, known in state.models.items():
            promise = known.certificate
            self._standing[org, route.name, model] = (
                Standing(None, state.stage) if promise is None else Standing(promise.threshold, state.stage, promise.coverage)
            )
        unwritten = self._unwritten[org, route.name] = self._unwritten.get((org, route.name), 0) + 1
        if moved or unwritten >= PROMISE_WRITTEN_EVERY:
            self._write(org, route.name, at_ms)

    def _changed(self, org: str, route: Route) -> None:
        """To be written with the next step."""
        self._unwritten[org, route.name] = PROMISE_WRITTEN_EVERY

    def _write(self, org: str, route: str, at_ms: int) -> None:
        self._unwritten[org, route] = 0
        state = self._states[org, route]
        state.written_ms = at_ms = max(at_ms, state.written_ms)
        self._submit(Learnt(KIND, name_of(org, route), _encode(state).decode(), at_ms))


def _new(route: Route, at_ms: int) -> Model:
    return Model(route.alpha, route.delta, route.to[-1], route.grader, since_ms=at_ms, changed_ms=at_ms)


def _terms(known: Model) -> tuple[float, float, str, str]:
    return known.alpha, known.delta, known.reference, known.grader


def _counts(label: Label, route: Route) -> bool:
    """Those of whom something was believed, held against today's reference by today's grader. Feedback counts where it is the grader: who complains is
    no random sample."""
    return label.score is not None and label.reference in ("", route.to[-1]) and label.grader == route.grader


def _judged(label: Label) -> Judged:
    assert label.score is not None
    return Judged(label.score, label.harm)
