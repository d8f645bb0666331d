"""One stream of requests through the loop, in this process: a student or a rival answers where the promise allows, the teacher the rest.

Comes in: requests in order of time with what the teacher says to each. Goes out: who answered each, and whether the teacher would have said the same.
A student's decisions are those of the gateway: policy.objective decides, gateway.promises promises, by the same rules of what is a label: every
teacher's answer while no student may answer, later those of the sample. Rivals have the same labels and the same looks, but a threshold that
is chosen on the very labels that it is tested on, from the place that suits them best: that is to their favour, and promises less than it says.
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench.students.rivals import Local
from bench.students.sets import Row
from jevons.core.entry import first_id_of_ms
from jevons.core.features import Features
from jevons.core.label import Label
from jevons.core.routed import Option, Stage
from jevons.distil.dataset import usable
from jevons.distil.train import Untrainable, train
from jevons.gateway.promises import Promises
from jevons.learn.student import Student, Vector
from jevons.learn.student_card import Scope
from jevons.ledger.capture import Example
from jevons.policy.objective import decide, sampled
from jevons.policy.promise import Judged, at_most, spent
from jevons.policy.routes import Route

DELTA = 0.1
SAMPLE = 0.1
FIRST, GROWTH = 500, 2.0
"""A student is trained of so many examples first, and anew when there are so many times as many."""
SOON = 1.25
"""Or, where no student can be made of them yet, when there are so many times as many."""
LOOK_EVERY = 50
"""Labels after which a rival's threshold is found anew."""
AGAIN = 300
"""After a demotion: of so many that came since."""
TEACHER, ORG = "teacher", "school"


class Told(NamedTuple):
    """What became of one request."""

    local: bool
    """The teacher was not asked for the client's answer."""
    asked: bool
    """The teacher was asked, for the client or for a sample."""
    differs: bool
    """A local answer, and the teacher would have said something else."""
    wrong: bool
    """What the client got is not right."""


class Training(NamedTuple):
    """One student."""

    request: int
    """After which it was made."""
    examples: int
    seconds: float
    poisoned: int
    """Examples that were left out because they contradict their neighbours."""
    coverage: float
    """Share that the promise covers from the start, by its trials."""


class Outcome(NamedTuple):
    told: list[Told]
    trained: list[Training]
    demoted: list[tuple[int, str]]


Embed = Callable[[str], Vector]
Same = Callable[[str, str], bool]


def route(name: str, alpha: float, grader: str) -> Route:
    return Route(
        name=name,
        to=(f"student/{name}", TEACHER),
        choose="learned",
        alpha=alpha,
        delta=DELTA,
        stage=Stage.FULL,
        share=1.0,
        sample=SAMPLE,
        grader=grader,  # type: ignore[arg-type]
    )


class Version(NamedTuple):
    """One student of the loop."""

    number: int
    student: Student

    @property
    def model(self) -> str:
        return f"student@{self.number}"


class Loop:
    """The state of one stream's loop."""

    def __init__(self, rule: Route, embed: Embed, same: Same) -> None:
        self._rule = rule
        self._embed = embed
        self._same = same
        self._promises = Promises((rule,), lambda _op: None)
        self._promises.on_withdrawn = self._withdrawn
        self._serving: Version | None = None
        self._tried: list[Version] = []
        """The one that serves, and those that are compared with the teacher until their promise holds."""
        self._made = 0
        self._examples: list[Example] = []
        self._due = FIRST
        self._now = 0
        self.trained: list[Training] = []
        self.demoted: list[tuple[int, str]] = []

    def tell(self, number: int, row: Row, draw: float) -> Told:
        self._now = number
        vector, version = self._embed(row.question), self._serving
        said = version.student.answer(row.question, vector) if version is not None else None
        local, in_sample, threshold = False, sampled(draw, self._rule.sample), None
        if version is not None and said is not None:
            standing = self._promises.standing(ORG, self._rule, version.model)
            threshold = standing.threshold
            options = (
                Option(version.model, "student", version.model, said.score, threshold, 33),
                Option(TEACHER, TEACHER, TEACHER, None, None, 100_000),
            )
            decision = decide(options, choose="learned", stage=standing.stage, share=self._rule.share, draw=draw)
            local = decision.chosen == 0
        if not local or in_sample:
            even = threshold is None or in_sample
            if even:
                self._compare(number, row, vector, shown=version if local else None)
            self._learn(number, row, even)
        answer = said.text if local and said is not None else row.said
        return Told(local, not local or in_sample, local and not self._same(answer, row.said), not self._same(answer, row.right))

    def _compare(self, number: int, row: Row, vector: Vector, shown: Version | None) -> None:
        """What each version says, held against what the teacher said."""
        rule = self._rule
        for version in list(self._tried):
            said = version.student.answer(row.question, vector)
            if said is None:
                continue
            good = self._same(said.text, row.said)
            label = Label(
                first_id_of_ms(number), 0, ORG, rule.name, version.model, TEACHER, good, not good, rule.grader, 1.0, said.score, version is shown,
                number, Features(),
            )  # fmt: skip
            self._promises.learn(label)
            self._promote(version)

    def _promote(self, version: Version) -> None:
        """As `gateway.students.Students.promised`."""
        standing = self._promises.standing(ORG, self._rule, version.model)
        before = self._serving
        if standing.threshold is None or version not in self._tried or (before is not None and before.number >= version.number):
            return
        if before is not None and self._promises.standing(ORG, self._rule, before.model).coverage > standing.coverage:
            return
        self._serving = version
        self._tried = [one for one in self._tried if one.number >= version.number]

    def _learn(self, number: int, row: Row, even: bool) -> None:
        self._examples.append(Example(ORG, 0, number, number, "", TEACHER, row.question, row.said, even=even, id=number))
        if len(self._examples) < self._due:
            return
        self._due = round(GROWTH * len(self._examples))
        try:
            made = train(
                *usable(self._examples, bad=set()), self._embed, Scope(("",)), alpha=self._rule.alpha, delta=self._rule.delta
            )
        except Untrainable:
            self._due = round(SOON * len(self._examples))
            return
        self._made += 1
        version = Version(self._made, made.student)
        self._tried.append(version)
        judged = [Judged(one.score, one.harm) for one in made.trial]
        self._promises.seed(ORG, self._rule.name, version.model, judged, str(version.number), number)
        covers = self._promises.standing(ORG, self._rule, version.model).coverage
        self.trained.append(Training(number, len(self._examples), made.card.train_s, len(made.poisoned), covers))

    def _withdrawn(self, _org: str, _route: str, model: str, reason: str) -> None:
        """Demoted. Where it certainly drifted, what it was made of is not to be trusted: the next is made of what comes from now on."""
        self._tried = [one for one in self._tried if one.model != model]
        if self._serving is None or self._serving.model != model:
            return
        self._serving = None
        self.demoted.append((self._now, reason))
        self._due = round(SOON * len(self._examples))
        if reason.startswith("harm is above"):
            self._examples.clear()
            self._due = AGAIN


def students(rows: Sequence[Row], rule: Route, embed: Embed, same: Same, seed: int) -> Outcome:
    loop, chance = Loop(rule, embed, same), random.Random(seed)
    told = [loop.tell(number, row, chance.random()) for number, row in enumerate(rows)]
    return Outcome(told, loop.trained, loop.demoted)


def rival(rows: Sequence[Row], local: Local, alpha: float, embed: Embed, same: Same, seed: int) -> Outcome:
    """The same for one that learns with every answer of the teacher."""
    chance, told = random.Random(seed), []
    judged: list[Judged] = []
    threshold: float | None = None
    for row in rows:
        draw, vector = chance.random(), embed(row.question)
        said = local.answer(row.question, vector)
        served = said is not None and threshold is not None and said.score >= threshold
        in_sample = sampled(draw, SAMPLE)
        if said is not None and (threshold is None or in_sample):
            judged.append(Judged(said.score, not same(said.text, row.said)))
            if len(judged) % LOOK_EVERY == 0:
                threshold = favourable(judged, alpha, spent(DELTA, 1))
        if not served or in_sample:
            local.learn(row.question, vector, row.said)
        answer = said.text if served and said is not None else row.said
        told.append(Told(served, not served or in_sample, served and not same(answer, row.said), not same(answer, row.right)))
    return Outcome(told, [], [])


def favourable(judged: Sequence[Judged], alpha: float, delta: float) -> float | None:
    """The lowest score from which a test of these very labels would pass."""
    best: float | None = None
    harms = 0
    ordered = sorted(judged, key=lambda one: -one.score)
    for n, one in enumerate(ordered, 1):
        harms += one.harm
        if at_most(harms, n, alpha) <= delta:
            best = one.score
    return best
