"""From captured examples to a student with its card, in seconds: which kind suits, how well it does on what came later, and one trained on all.

Comes in: usable examples by time, the embedder. Goes out: a student whose scores are probabilities, its trials and its card; or `Untrainable`, which
says what is missing. Examples are cut by time: a student of those before a cut is tried on those after it, as it would have been had it served. The kind
is chosen at the first cut, and the figures of the card are of the last stretch, which chose nothing. Does not know: where students are kept.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from jevons.distil.dataset import DataSet, Embed, prepare
from jevons.learn.json_style import read_object
from jevons.learn.student import Student, Tried, Vector
from jevons.learn.student_calibrated import Calibrated
from jevons.learn.student_card import Card, Measured, Provenance, Scope, stretches
from jevons.learn.student_classifier import Classifier, row
from jevons.learn.student_extractor import Extractor
from jevons.learn.student_table import Table
from jevons.ledger.capture import Example
from jevons.policy.promise import Judged, certify

EXAMPLES_LEAST = 200
"""With fewer there are too few trials to promise anything."""
CUTS = (0.55, 0.7, 0.85)
SCALE_LEAST = 200
"""Trials of a stretch that has a scale of its own."""
CLASSES_MAX = 500
ROWS_EACH = 3
"""An answer that was given less often is no class of a classifier."""
CLASS_ROWS_LEAST = 5
"""Rows for each answer, in the mean: with fewer answers are not chosen among a few, but written."""
BUSY_SECOND_NUSD = 32_960
"""What a busy second of this machine is stated to cost: meter/data/local_prices.toml, "a busy second"."""

Made = Table | Classifier | Extractor


class Untrainable(Exception):
    """No student can be made of these; the message says why, and what would help."""


class Trained(NamedTuple):
    student: Student
    trial: tuple[Tried, ...]
    card: Card
    poisoned: tuple[int, ...]
    """Numbers of examples whose answers contradict their neighbours."""


def train(
    examples: Sequence[Example],
    dropped: Counter[str],
    embed: Embed,
    scope: Scope,
    *,
    alpha: float,
    delta: float,
    teacher_nusd: int = 0,
    parent: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Trained:
    """Of usable examples (`dataset.usable`) of one organisation. Raises Untrainable. 15,000 examples of 150 answers take about half a minute on one core."""
    began = clock()
    if len(examples) < EXAMPLES_LEAST:
        raise Untrainable(
            f"{len(examples):,} examples can be used, and {EXAMPLES_LEAST} are the least (left out: {_said(dropped)}). See jevons capture status."
        )
    seen = _Remembered(embed)
    cuts = [int(cut * len(examples)) for cut in CUTS] + [len(examples)]
    kind, first = _chosen(examples[: cuts[0]], examples[cuts[0] : cuts[1]], seen, alpha)
    stretches_tried = [first]
    for cut, end in pairwise(cuts[1:]):
        student = _made(kind, prepare(examples[:cut], seen), seen)
        stretches_tried.append(tried(student, examples[cut:end], seen))
    data = prepare(examples, seen, dropped)
    final = _made(kind, data, seen)
    if final is None:
        raise Untrainable(f"Of all examples together no {kind} can be made: the answers changed their shape in the last of them.")
    scaled, calibrated = _scaled(stretches_tried, final)
    measured = _measured([one for part in scaled[:-1] for one in part], scaled[-1], alpha, delta)
    made_in_s = clock() - began
    card = Card(
        kind=kind,
        scope=scope,
        provenance=_provenance(examples, data, measured.rows, teacher_nusd),
        measured=measured,
        answers=final.answers,
        train_s=round(made_in_s, 3),
        train_nusd=round(made_in_s * BUSY_SECOND_NUSD),
        parent=parent,
    )
    trial = [*scaled[:-1], _scored(calibrated, stretches_tried[-1])]
    return Trained(calibrated, tuple(one for part in trial for one in part), card, data.poisoned)


def agrees(said: str, teacher: str) -> bool:
    """The same text but for space around it, or the same JSON object."""
    if said.strip() == teacher.strip():
        return True
    one = read_object(said)
    return one is not None and one == read_object(teacher)


def tried(student: Student | None, examples: Sequence[Example], embed: Embed) -> list[Tried]:
    """What it says of examples that were taken evenly."""
    found = []
    for one in examples:
        if not one.even:
            continue
        said = student.answer(one.question, embed(one.question)) if student is not None else None
        found.append(Tried(0.0, True) if said is None else Tried(said.score, not agrees(said.text, one.answer)))
    return found


def _scaled(stretches_tried: Sequence[list[Tried]], final: Student) -> tuple[list[list[Tried]], Calibrated]:
    """Each stretch with probabilities for scores, and the final student with those of the last. A student of more examples is surer of all that it says, so
    each stretch has its own scale, where it has enough trials for one; but the last, whose figures go onto the card, has the scale of the one before."""
    before = stretches_tried[:-1]
    if min(len(part) for part in stretches_tried) < SCALE_LEAST:
        pooled = [[one for part in before for one in part]] * len(before)
        scales = [Calibrated.fitted(final, part) for part in pooled]
        last = scales[-1]
    else:
        scales = [Calibrated.fitted(final, part) for part in before]
        last = Calibrated.fitted(final, stretches_tried[-1])
    scaled = [_scored(scale, part) for scale, part in zip([*scales, scales[-1]], stretches_tried, strict=True)]
    return scaled, last


def _scored(scale: Calibrated, trials: Sequence[Tried]) -> list[Tried]:
    return [one._replace(score=scale.score(one.score)) if one.score else one for one in trials]


class _Remembered:
    """Each question's vector and row are made once."""

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self._known: dict[str, Vector] = {}
        self._rows: dict[str, Vector] = {}

    def row(self, question: str) -> Vector:
        found = self._rows.get(question)
        if found is None:
            found = self._rows[question] = row(question, self(question))
        return found

    def __call__(self, question: str) -> Vector:
        found = self._known.get(question)
        if found is None:
            found = self._known[question] = self._embed(question)
        return found


def _chosen(examples: Sequence[Example], later: Sequence[Example], seen: _Remembered, alpha: float) -> tuple[str, list[Tried]]:
    """The kind that would answer most of what came next within alpha, and its trials there. Raises Untrainable."""
    data = prepare(examples, seen)
    trials = {}
    for kind in (Classifier.kind, Extractor.kind, Table.kind):
        student = _made(kind, data, seen)
        if student is not None:
            trials[kind] = tried(student, later, seen)
    if not trials:
        answers = len({one.answer for one in data.rows})
        raise Untrainable(
            f"{len(data.rows):,} questions have {answers:,} different answers, and these are not JSON of fields that stand in the questions:"
            " no student of ours writes such answers."
        )
    kind = max(trials, key=lambda name: (_within(trials[name], alpha), -sum(one.harm for one in trials[name])))
    return kind, trials[kind]


def _made(kind: str, data: DataSet, seen: _Remembered) -> Made | None:
    """None where the answers do not suit this kind."""
    match kind:
        case Table.kind:
            table = Table.made((one.question, one.answer) for one in data.rows for _ in range(one.times))
            return table if any(one.times > 1 for one in data.rows) else None
        case Classifier.kind:
            times = Counter(one.answer for one in data.rows)
            fit = [one for one in data.rows if times[one.answer] >= ROWS_EACH]
            answers = len({one.answer for one in fit})
            if answers < 2 or answers > CLASSES_MAX or len(data.rows) < CLASS_ROWS_LEAST * len(times):
                return None
            return Classifier.made(np.stack([seen.row(one.question) for one in fit]), [one.answer for one in fit])
        case _:
            if not data.rows or (read_object(data.rows[0].answer) is None and read_object(data.rows[-1].answer) is None):
                return None
            rows = np.stack([seen.row(one.question) for one in data.rows])
            return Extractor.made([one.question for one in data.rows], rows, [one.answer for one in data.rows])


def _within(trials: Sequence[Tried], alpha: float) -> int:
    """How many of the surest can be answered with at most alpha of them wrong."""
    harms = best = 0
    for number, one in enumerate(sorted(trials, key=lambda one: -one.score), 1):
        harms += one.harm
        if harms <= alpha * number:
            best = number
    return best


def _measured(before: Sequence[Tried], last: Sequence[Tried], alpha: float, delta: float) -> Measured:
    """The threshold is found on what came before, and held against what came last."""
    certificate = certify([Judged(one.score, one.harm) for one in before], alpha, delta)
    threshold = certificate.threshold if certificate is not None else None
    above = [one for one in last if threshold is not None and one.score >= threshold]
    return Measured(
        rows=len(last),
        answered=sum(one.score > 0 for one in last),
        agreed=sum(not one.harm for one in last),
        alpha=alpha,
        delta=delta,
        threshold=threshold,
        coverage=len(above) / len(last) if last else 0.0,
        disagreement=sum(one.harm for one in above) / len(above) if above else 0.0,
    )


def _provenance(examples: Sequence[Example], data: DataSet, test_rows: int, teacher_nusd: int) -> Provenance:
    return Provenance(
        org=examples[0].org,
        teachers=tuple(sorted({one.model for one in examples})),
        examples=stretches(data.ids),
        first_ms=examples[0].at_ms,
        last_ms=examples[-1].at_ms,
        read=data.read,
        dropped=data.dropped,
        train_rows=len(data.rows),
        test_rows=test_rows,
        teacher_nusd=teacher_nusd,
    )


def _said(dropped: Counter[str]) -> str:
    return ", ".join(f"{count:,} {why}" for why, count in sorted(dropped.items())) or "none"
