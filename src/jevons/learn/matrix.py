"""A request's features, the look of its question and its embedding as one row of numbers.

Comes in: Features, and where content is read: the question, and the embedder's vector. Goes out: f32[d], and the question's hashed words.
Which columns there are is fixed when a predictor is trained: counts become logarithms in units of their own spread, words from short lists
become a column each if they are frequent. A word that was not seen then has no column. Does not know: labels, models.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from jevons.core.features import Features
from jevons.learn import text
from jevons.learn.rows import Floats, Grams, Rows

SPREAD = 3.0
"""Numbers are cut at so many standard deviations: a prompt of a million tokens must not decide by its length alone."""
NUMBER, WORD = 0.17, 0.5
"""Weight of a number's column and of a word's beside the vector, which has length 1: twenty numbers and it then tell requests apart about as
much. Chosen on MMLU (docs/learned-routing.md)."""
RARE = 10
"""A word in fewer examples gets no column."""
WORDS_MAX = 64
"""Columns of one list of words: the most frequent."""


class Request(NamedTuple):
    """What is known of one."""

    features: Features
    vector: Floats | None = None
    question: str = ""


class Columns(msgspec.Struct, frozen=True):
    """What each place of a row is."""

    means: tuple[float, ...]
    spreads: tuple[float, ...]
    words: tuple[str, ...]
    """As `list=word`."""
    vector: int
    """Dimensions of the embedding; 0 = content is not read."""

    @property
    def width(self) -> int:
        return len(self.means) + len(self.words) + self.vector

    def rows(self, requests: Sequence[Request]) -> Rows:
        """Of n requests; where content is read, each has a vector f32[vector]."""
        dense = np.array([self._dense(one) for one in requests])
        return Rows(dense, _grams([one.question for one in requests]) if self.vector else None)

    def _dense(self, one: Request) -> Floats:
        found = _words(one.features)
        values = [
            NUMBER * max(-SPREAD, min(SPREAD, (value - mean) / spread))
            for value, mean, spread in zip(_numbers(one, self.vector > 0), self.means, self.spreads, strict=True)
        ]
        values += [WORD if word in found else 0.0 for word in self.words]
        row = np.array(values, np.float32)
        if not self.vector:
            return row
        assert one.vector is not None
        return np.concatenate((row, one.vector), dtype=np.float32)


def columns(requests: Sequence[Request]) -> Columns:
    """The columns for a predictor that is trained on these. Content is read if all of them have a vector."""
    reads = all(one.vector is not None for one in requests)
    numbers = np.array([_numbers(one, reads) for one in requests])
    counted = Counter(word for one in requests for word in _words(one.features))
    of_list = Counter[str]()
    words = []
    for word, count in sorted(counted.items(), key=lambda one: (-one[1], one[0])):
        name = word.partition("=")[0]
        of_list[name] += 1
        if RARE <= count < len(requests) and of_list[name] <= WORDS_MAX:
            words.append(word)
    spreads = numbers.std(0)
    first = requests[0].vector
    return Columns(
        tuple(numbers.mean(0).tolist()),
        tuple(np.where(spreads > 1e-6, spreads, 1.0).tolist()),
        tuple(words),
        len(first) if reads and first is not None else 0,
    )


def _grams(questions: Sequence[str]) -> Grams:
    found = [text.words(one) for one in questions]
    starts = np.concatenate(([0], np.cumsum([len(places) for places, _ in found])))
    return Grams(starts, np.concatenate([places for places, _ in found]), np.concatenate([values for _, values in found]))


def _numbers(one: Request, reads: bool) -> tuple[float, ...]:
    of = one.features
    counts = (
        math.log1p(of.input_tokens),
        math.log1p(of.messages),
        math.log1p(of.step),
        math.log1p(of.question_chars),
        math.log1p(of.question_words),
        math.log1p(of.question_chars / max(1, of.question_words)),
        math.log1p(of.digits_pct),
        math.log1p(of.tools),
        math.log1p(of.output_cap),
    )
    return (*counts, *text.shape(one.question).tolist()) if reads else counts


def _words(of: Features) -> frozenset[str]:
    marks = {name for name in ("tool_results", "schema", "code") if getattr(of, name)}
    named = {f"{name}={value}" for name in ("dialect", "language", "task", "template") if (value := getattr(of, name))}
    return frozenset(marks | named | {f"modality={one}" for one in of.modalities})
