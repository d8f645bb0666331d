"""Answers that teach: kept for students where their key opted in, and compared with what its students would have said.

Comes in: every answer of a model that a client was given, or that was asked for behind a student's. Goes out, from a thread: examples into the
capture file, and labels of students, to the ledger and the promises. A student's own answers teach nothing. What cannot be taken in
time is counted and let go. Does not know: what is made of examples (`distil`), what a promise asks for.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from jevons.core.ask import Ask, Dialect
from jevons.core.features import Features
from jevons.core.label import Label
from jevons.core.limits import (
    CAPTURE_ANSWER_CHARS_MAX,
    CAPTURE_BATCH_MAX,
    CAPTURE_PRUNE_S,
    CAPTURE_QUEUE_MAX,
    COUNT_INLINE_BYTES_MAX,
    SIMILAR_ANSWER_BYTES_MAX,
)
from jevons.core.routed import Routed, Stage
from jevons.gateway.passage import Passage
from jevons.gateway.promises import Promises
from jevons.gateway.reading import Reading
from jevons.gateway.routing import Way
from jevons.gateway.showing import Given
from jevons.gateway.students import PREFIX, UPSTREAM, Ready, Students, alone
from jevons.learn.student import Vector
from jevons.ledger.capture import Captured, CaptureSettings, Example
from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import Labelled
from jevons.policy.grade import grade
from jevons.policy.objective import sampled
from jevons.policy.route import Target
from jevons.policy.routes import Route
from jevons.policy.same_answer import needs_similarity
from jevons.wire.question import answer_text

log = logging.getLogger("jevons.gateway")

WHOLE = frozenset({"stop", "end_turn", "stop_sequence", "completed"})
"""Ends of answers that were not cut, in any dialect."""


class Heard(NamedTuple):
    """One answer on its way to be kept or compared."""

    ask: Ask
    passage: Passage
    model: str
    """Who answered, as the route names it."""
    routed: Routed | None
    dialect: Dialect
    """Of `body`."""
    body: bytes
    ok: bool
    weight: float
    shown: str
    """Whose answer the client saw, if not this one."""


class Capturing(Collector):
    """One for all. `given` and `taught` belong to the event loop; the work is done in a thread, batch by batch."""

    def __init__(
        self,
        settings: CaptureSettings,
        captured: Captured | None,
        students: Students | None,
        promises: Promises | None,
        routes: tuple[Route, ...],
        reading: Reading,
        embed: Callable[[str], Vector] | None,
        submit: Callable[[Labelled], object],
    ) -> None:
        """`captured`: None where nobody opted in. `students`, `promises`, `embed`: None where no route names a student."""
        self._settings = settings
        self._captured = captured
        self._students = students
        self._promises = promises
        self._routes = {route.name: route for route in routes}
        self._reading = reading
        self._embed = embed
        self._submit = submit
        self._waiting: asyncio.Queue[Heard] = asyncio.Queue(CAPTURE_QUEUE_MAX)
        self._task: asyncio.Task[None] | None = None
        self.counts = {"kept": 0, "compared": 0, "let_go": 0, "failed": 0}

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Take what waits, and stop."""
        await self._waiting.join()
        if self._task is not None:
            self._task.cancel()

    async def drain(self) -> None:
        """Until nothing waits: before what is kept is read, or erased."""
        await self._waiting.join()

    def collect(self) -> Iterator[Metric]:
        answers = CounterMetricFamily("jevons_captured", "Answers kept for students, or held against them", labels=["outcome"])
        for outcome, n in self.counts.items():
            answers.add_metric([outcome], n)
        yield answers

    def wants(self, passage: Passage, way: Way) -> bool:
        """As `gateway.showing.Listener`: it is kept, or a student could have answered."""
        return self._keeps(passage) or bool(self._students_of(way.routed, passage.caller.org))

    def given(self, given: Given) -> None:
        """A client was given this answer."""
        target, attempt, routed = given.target, given.attempt, given.way.routed
        if target.upstream == UPSTREAM:
            return
        ok = attempt.complete and attempt.finish in WHOLE
        self._put(
            given.ask, given.passage, _named(routed, target) or given.ask.model, routed, target.dialect, given.body, ok, 1.0, ""
        )

    def taught(
        self, ask: Ask, passage: Passage, model: str, routed: Routed, dialect: Dialect, body: bytes, *, shown: str, weight: float
    ) -> None:
        """A model (as the route names it) was asked too, where `shown` answered: its answer teaches like any other, for `weight` requests."""
        self._put(ask, passage, model, routed, dialect, body, True, weight, shown)

    def _put(
        self,
        ask: Ask,
        passage: Passage,
        model: str,
        routed: Routed | None,
        dialect: Dialect,
        body: bytes,
        ok: bool,
        weight: float,
        shown: str,
    ) -> None:
        caller = passage.caller
        if len(body) > SIMILAR_ANSWER_BYTES_MAX or len(ask.body) > COUNT_INLINE_BYTES_MAX:
            return
        if not (self._keeps(passage) or self._students_of(routed, caller.org)):
            return
        try:
            self._waiting.put_nowait(Heard(ask, passage, model, routed, dialect, body, ok, weight, shown))
        except asyncio.QueueFull:
            self.counts["let_go"] += 1

    def _keeps(self, passage: Passage) -> bool:
        return self._captured is not None and self._settings.takes(passage.caller.key_name, passage.caller.org)

    def _students_of(self, routed: Routed | None, org: str) -> tuple[Ready, ...]:
        """Versions of the students that this route names."""
        route = self._routes.get(routed.route) if routed is not None else None
        if route is None or self._students is None:
            return ()
        names = [model.removeprefix(PREFIX) for model in route.to if model.startswith(PREFIX)]
        return tuple([ready for name in names for ready in self._students.tried(org, name)])

    async def _work(self) -> None:
        pruned = 0.0
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < CAPTURE_BATCH_MAX and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                for label, even in await asyncio.to_thread(self._take, batch):
                    self._labelled(label, even=even)
                if self._captured is not None and time.monotonic() - pruned > CAPTURE_PRUNE_S:
                    pruned = time.monotonic()
                    await asyncio.to_thread(self._captured.prune, int(time.time() * 1000), self._settings)
            except LedgerError as error:
                self.counts["failed"] += len(batch)
                log.warning("%d answers were not kept for students: %s", len(batch), error)
            except Exception:
                self.counts["failed"] += len(batch)
                log.exception("a bug, in what is kept for students")
            finally:
                for _ in batch:
                    self._waiting.task_done()

    def _labelled(self, label: Label, *, even: bool) -> None:
        """`even`: its request was taken by chance, and not because no student was sure of it. A promise learns of no other."""
        self.counts["compared"] += 1
        self._submit(Labelled(label))
        if not even or self._promises is None or self._students is None:
            return
        self._promises.learn(
            msgspec.structs.replace(label, weight=1.0)
        )  # whatever chance it was: it speaks of one version, and of one score
        route, promises = self._routes[label.route], self._promises
        if promises.standing(label.org, route, label.model).threshold is not None:
            self._students.promised(label.org, label.model, lambda model: promises.standing(label.org, route, model).coverage)

    def _take(self, batch: list[Heard]) -> list[tuple[Label, bool]]:
        """In a thread: keep what may be kept, compare what can be compared. Raises LedgerError."""
        examples: list[Example] = []
        labels: list[tuple[Label, bool]] = []
        for one in batch:
            question, text = alone(one.ask), answer_text(one.dialect, one.body)
            if question is None or text is None or len(text) > CAPTURE_ANSWER_CHARS_MAX:
                continue
            features = self._reading.of(one.ask, one.passage).features
            caller, request, at_ms = one.passage.caller, one.passage.request, one.passage.at_ms
            route = self._routes.get(one.routed.route) if one.routed is not None else None
            even = one.routed is None or route is None or _is_even(one.routed, route)
            if self._keeps(one.passage):
                examples.append(
                    Example(
                        caller.org,
                        caller.key_id,
                        request,
                        at_ms,
                        features.template,
                        one.model,
                        question.text,
                        text,
                        features,
                        one.ok,
                        even,
                    )
                )
            if one.ok and one.routed is not None and one.routed.stage and route is not None:
                labels += [(label, even) for label in self._compared(one, one.routed, route, question.text, text, features)]
        if examples and self._captured is not None:
            self.counts["kept"] += self._captured.put(examples)
        return labels

    def _compared(
        self, one: Heard, routed: Routed, route: Route, question: str, text: str, features: Features
    ) -> Iterator[Label]:
        """What the route's students would have said, judged against this answer."""
        ready = [student for student in self._students_of(routed, one.passage.caller.org) if student.model != one.shown]
        if not ready or self._embed is None or self._students is None or one.model != route.to[-1]:
            return  # what is held against the reference is compared with its answers only
        vector = self._embed(question)
        for student in ready:
            said = self._students.said(student, question, features, vector)
            if said is None:
                continue
            verdict = grade(
                route.grader,
                said.text,
                text,
                similarity=float(self._embed(said.text) @ self._embed(text)) if needs_similarity(said.text, text) else None,
            )
            yield Label(
                request=one.passage.request,
                key_id=one.passage.caller.key_id,
                org=one.passage.caller.org,
                route=route.name,
                model=student.model,
                reference=one.model,
                good=verdict.good,
                harm=verdict.harm,
                grader=route.grader,
                weight=one.weight,
                score=said.score,
                shown=False,
                at_ms=int(time.time() * 1000),
                features=features,
            )


def _is_even(routed: Routed, route: Route) -> bool:
    """Was the teacher asked whatever the students' scores were: nobody was to be served by one, or this request was drawn for the sample, or
    not for the share. Those of whom nothing was decided by what was learnt go to no student: they are no sample of those that may."""
    if not routed.stage:
        return route.choose == "first"
    served = routed.stage in (Stage.SHARE, Stage.FULL) and any(
        one.threshold is not None for one in routed.options if one.upstream == UPSTREAM
    )
    outside = routed.stage == Stage.SHARE and routed.draw >= route.share
    return not served or outside or sampled(routed.draw, route.sample)


def _named(routed: Routed | None, target: Target) -> str:
    """The model as the route names it; "" = it was not routed."""
    options = routed.options if routed is not None else ()
    return next((one.model for one in options if (one.upstream, one.target) == (target.upstream, target.model)), "")
