"""What students are made of, measured apart from the gateway: rows and penalties of the classifier, wrong labels found, and the time that training takes.

    make bench-making

Comes in: the sets of `bench.students.sets`, in an order drawn by a seed; the last third tests. Goes out: a table for people, and one JSON object.
"""

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bench.gateway import machine
from bench.students.sets import MissingError, Row, Task, load
from jevons.distil.dataset import contradicted, usable
from jevons.distil.train import agrees, train
from jevons.embed import Embedder
from jevons.learn import softmax
from jevons.learn.student_card import Scope
from jevons.learn.student_classifier import Classifier, row
from jevons.learn.student_extractor import Extractor
from jevons.ledger.capture import Example

ROWS = 15_000
POISON = 0.05
TESTED = 1 / 3
EMBEDDED = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS, help="of each set")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        tasks = load()
    except MissingError as error:
        raise SystemExit(str(error)) from None
    embedder = Embedder()
    figures: dict[str, Any] = {}
    for task in tasks.values():
        rows = task.stream(options.seed, options.rows, 0.0)
        figures[task.name] = _intents(rows, embedder) if task.name != "addresses" else _objects(rows, embedder)
        figures[task.name] |= _trained(task, options, embedder)
        print(f"{task.name}: {len(rows):,} rows")
        for name, value in figures[task.name].items():
            print(f"  {name:<44} {value}", flush=True)
    figures["machine"] = machine.facts()
    print(json.dumps(figures))


def _intents(rows: Sequence[Row], embedder: Embedder) -> dict[str, float]:
    """Share of the last third that is answered rightly, by what a row is made of, and by the penalty where labels are wrong."""
    cut = round(len(rows) * (1 - TESTED))
    made = np.stack([row(one.question, embedder.vector(one.question)) for one in rows])
    right = [one.right for one in rows]
    spoilt = poisoned(right[:cut], POISON)
    halves = {"embedding and words": slice(None), "embedding alone": slice(EMBEDDED), "words alone": slice(EMBEDDED, None)}
    found = {f"right_pct, {name}": _right(made[:, part], right[:cut], right[cut:]) for name, part in halves.items()}
    for penalty in (1e-6, softmax.PENALTY):
        found[f"right_pct, {100 * POISON:g} % wrong labels, penalty {penalty:g}"] = _right(made, spoilt, right[cut:], penalty)
    vectors = made[:cut, :EMBEDDED] / np.maximum(np.linalg.norm(made[:cut, :EMBEDDED], axis=1, keepdims=True), 1e-6)
    caught = contradicted(spoilt, vectors)
    wrong = {place for place, (one, other) in enumerate(zip(right, spoilt, strict=False)) if one != other}
    found["poison_precision_pct"] = _pct(len(wrong.intersection(caught)), len(caught))
    found["poison_recall_pct"] = _pct(len(wrong.intersection(caught)), len(wrong))
    return found


def _right(rows: np.ndarray, said: Sequence[str], right: Sequence[str], penalty: float = softmax.PENALTY) -> float:
    answers = sorted(set(said))
    places = {answer: place for place, answer in enumerate(answers)}
    weights = softmax.fit(rows[: len(said)], np.array([places[one] for one in said]), len(answers), penalty=penalty)
    student = Classifier(tuple(answers), weights)
    return _pct(sum(student.judged(one).text == answer for one, answer in zip(rows[len(said) :], right, strict=True)), len(right))


def _objects(rows: Sequence[Row], embedder: Embedder) -> dict[str, float]:
    """Share of the last third whose whole object is right, and how long an answer takes."""
    cut = round(len(rows) * (1 - TESTED))
    made = np.stack([row(one.question, embedder.vector(one.question)) for one in rows[:cut]])
    student = Extractor.made([one.question for one in rows[:cut]], made, [one.right for one in rows[:cut]])
    assert student is not None
    vectors = [embedder.vector(one.question) for one in rows[cut:]]
    began = time.perf_counter()
    said = [student.answer(one.question, vector) for one, vector in zip(rows[cut:], vectors, strict=True)]
    each_us = (time.perf_counter() - began) / len(said) * 1e6
    right = sum(one is not None and agrees(one.text, told.right) for one, told in zip(said, rows[cut:], strict=True))
    return {"right_pct, whole objects": _pct(right, len(said)), "answer_us": round(each_us)}


def _trained(task: Task, options: argparse.Namespace, embedder: Embedder) -> dict[str, Any]:
    """All of `jevons students train`, with the set's own noise."""
    taught = task.stream(options.seed, options.rows)
    examples = [
        Example("bench", 1, place << 4, place, "", "teacher", one.question, one.said, id=place + 1)
        for place, one in enumerate(taught)
    ]
    good, dropped = usable(examples, set())
    made = train(good, Counter(dropped), embedder.vector, Scope(("",)), alpha=0.05, delta=0.1)
    measured = made.card.measured
    return {
        "kind": made.card.kind,
        "train_s": round(made.card.train_s, 1),
        "coverage_pct": round(100 * measured.coverage, 1),
        "disagreement_pct": round(100 * measured.disagreement, 2),
    }


def poisoned(answers: Sequence[str], share: float, seed: int = 7) -> list[str]:
    """The same with a share of them turned into another."""
    chance, kinds = random.Random(seed), sorted(set(answers))
    return [_other(kinds, one, chance) if chance.random() < share else one for one in answers]


def _other(kinds: Iterable[str], one: str, chance: random.Random) -> str:
    return chance.choice([kind for kind in kinds if kind != one])


def _pct(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


if __name__ == "__main__":
    main()
