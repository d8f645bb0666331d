"""From captured examples to what a student is trained on: whole answers that nobody complained of, each question once, and none that contradicts the rest.

Comes in: examples of one scope by time, and the labels of their answers. Goes out: rows to train on, and why the others were left out. Rows keep the
order of time. Two kinds of wrong labels are found: one question with two answers (a conflict: the majority stands, if it is one), and an answer that
none of the nearest questions has, where these agree among each other (poison). Does not know: how a student is trained.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy import float32
from numpy.typing import NDArray

from jevons.core.label import Label
from jevons.learn.student import Vector
from jevons.learn.student_table import normalised
from jevons.ledger.capture import Example

ROWS_MAX = 20_000
"""Latest rows: more teach little, and a student is to be trained within a minute."""
SEARCHED_MAX = 10_000
"""Rows among which neighbours are searched, spread evenly over time: with all of 20,000 the search would take longer than the training."""
MAJORITY = 2 / 3
"""Of the answers to one question: with less it has none."""
NEIGHBOURS = 10
AGREE_LEAST = 0.7
"""Of a row's neighbours: so many must share an answer that it contradicts, and none its own. So 8 of 10 that are found are wrong labels, and 7 of 10
wrong ones are found (5 % turned at random, banking77 and clinc150); to let one neighbour share its own finds no more, and takes more that are right."""
ALIKE_LEAST = 0.5
"""Cosine from which a question is a neighbour."""
NEIGHBOURS_LEAST = 5
ANOTHER = "of another model"
"""Why an example was left out: not its teacher answered."""
_BLOCK = 1_000

Embed = Callable[[str], Vector]


class Row(NamedTuple):
    """One question with one answer."""

    question: str
    answer: str
    vector: Vector
    ids: tuple[int, ...]
    """Of the examples that it stands for."""
    at_ms: int
    """The latest of these."""

    @property
    def times(self) -> int:
        return len(self.ids)


class DataSet(NamedTuple):
    rows: tuple[Row, ...]
    read: int
    """Examples that there were."""
    dropped: dict[str, int]
    """Examples left out: failed, complaint, of another model, conflict, poisoned, old."""
    poisoned: tuple[int, ...]
    """Of these, the numbers of those that contradict their neighbours."""

    @property
    def ids(self) -> list[int]:
        return [number for row in self.rows for number in row.ids]


def complaints(labels: Iterable[Label]) -> set[tuple[int, str]]:
    """(request, model) of answers that were judged not good by anybody."""
    return {(label.request, label.model) for label in labels if not label.good}


def usable(examples: Iterable[Example], bad: set[tuple[int, str]]) -> tuple[list[Example], Counter[str]]:
    """Those that came whole and were not complained of, by time; and why the others were left out."""
    kept, dropped = [], Counter[str]()
    for one in examples:
        why = "failed" if not one.ok or not one.answer else "complaint" if (one.request, one.model) in bad else ""
        if why:
            dropped[why] += 1
        else:
            kept.append(one)
    return sorted(kept, key=lambda one: (one.at_ms, one.id)), dropped


def taught(examples: Sequence[Example], teacher: str | None) -> tuple[list[Example], Counter[str]]:
    """Those that one model answered (none = the one with most of them); and why the others were left out: a student is held against one teacher."""
    most = Counter(one.model for one in examples).most_common(1)
    teacher = teacher if teacher is not None or not most else most[0][0]
    kept = [one for one in examples if one.model == teacher]
    return kept, Counter({ANOTHER: len(examples) - len(kept)})


def prepare(examples: Sequence[Example], embed: Embed, dropped: Counter[str] | None = None) -> DataSet:
    """Of usable ones, by time."""
    left = Counter(dropped or {})
    asked: dict[str, list[Example]] = defaultdict(list)
    for one in examples:
        asked[normalised(one.question)].append(one)
    rows = []
    for same in asked.values():
        (answer, times), *_ = Counter(one.answer.strip() for one in same).most_common(1)
        if times < MAJORITY * len(same):
            left["conflict"] += len(same)
            continue
        agreed = [one for one in same if one.answer.strip() == answer]
        left["conflict"] += len(same) - times
        ids = tuple(sorted(one.id for one in agreed))
        rows.append(Row(agreed[-1].question, answer, embed(agreed[-1].question), ids, agreed[-1].at_ms))
    rows.sort(key=lambda row: (row.at_ms, row.ids))
    left["old"] += sum(row.times for row in rows[:-ROWS_MAX])
    rows = rows[-ROWS_MAX:]
    wrong = contradicted([row.answer for row in rows], np.stack([row.vector for row in rows])) if rows else []
    poisoned = tuple(number for place in wrong for number in rows[place].ids)
    left["poisoned"] += len(poisoned)
    gone = set(wrong)
    kept = tuple(row for place, row in enumerate(rows) if place not in gone)
    return DataSet(kept, len(examples) + sum((dropped or Counter()).values()), {why: n for why, n in left.items() if n}, poisoned)


def contradicted(answers: Sequence[str], vectors: NDArray[float32]) -> list[int]:
    """Places of answers that no near neighbour shares, where most of these share another. vectors f32[n, d] of length 1. Where nearly every answer is
    one of its own there is nothing to share, and nothing is found."""
    _, kinds = np.unique(np.array(answers, dtype=object).astype(str), return_inverse=True)
    found: list[int] = []
    searched = np.unique(np.linspace(0, len(answers) - 1, min(len(answers), SEARCHED_MAX)).astype(np.int64))
    for begin in range(0, len(answers), _BLOCK):
        likeness = vectors[begin : begin + _BLOCK] @ vectors[searched].T
        places = np.arange(begin, begin + len(likeness))
        likeness[places[:, None] == searched] = -1.0  # itself
        for place, like in zip(places.tolist(), likeness, strict=True):
            near = np.flatnonzero(like >= ALIKE_LEAST)
            if len(near) > NEIGHBOURS:
                near = near[np.argpartition(-like[near], NEIGHBOURS - 1)[:NEIGHBOURS]]
            theirs = kinds[searched[near]]
            if len(near) < NEIGHBOURS_LEAST or kinds[place] in theirs:
                continue
            if np.bincount(theirs).max() >= AGREE_LEAST * len(theirs):
                found.append(place)
    return found
