"""Which words of a question belong to which field: a tag for each word, by the word, its neighbours, its shape and its place.

Comes in: words with their places in the text. Goes out: the spans of the fields, and how probable the whole reading is. Traits of a word are hashed to
rows of one table of weights; a word's tag is a multinomial logistic over their sum, trained by AdaGrad (Duchi, Hazan & Singer 2011), which
suits traits that are rare. The reading is the most probable sequence in which a field begins before it goes on (Viterbi). Does not know: JSON,
what fields are.
"""

import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy import float32, int64
from numpy.typing import NDArray

from jevons.learn.softmax import probabilities

ROWS = 2**14
TRAITS = 20
"""Of each word."""
EPOCHS = 8
EPOCHS_LEAST = 3
SWEPT = 400_000
"""Words that are looked at in all epochs together: many questions need fewer, and a training is to take seconds."""
BATCH = 256
STEP = 0.3
WORDS_MAX = 400
"""Of a longer question nothing is extracted: 400 words take 10 ms."""
OUTSIDE = 0
"""Tag of a word of no field; field f begins with tag 2f + 1, and goes on with 2f + 2."""
_WORD = re.compile(r"\w+|[^\w\s]")


class Word(NamedTuple):
    text: str
    begin: int
    end: int


class Span(NamedTuple):
    """Of a field: characters of the question."""

    begin: int
    end: int


class Reading(NamedTuple):
    spans: tuple[Span | None, ...]
    """By field; None = it is not there."""
    probability: float
    """That every word's tag is right, as if they were independent."""


def words_of(text: str) -> list[Word]:
    return [Word(found.group(), found.start(), found.end()) for found in _WORD.finditer(text)]


class Tagger:
    """f32[ROWS, 2 fields + 1]"""

    def __init__(self, weights: NDArray[float32]) -> None:
        self.weights = weights

    @property
    def fields(self) -> int:
        return int(self.weights.shape[1] - 1) // 2

    def read(self, words: Sequence[Word]) -> Reading:
        if not words:
            return Reading((None,) * self.fields, 1.0)
        likely = probabilities(self.weights[traits(words)].sum(axis=1))
        tags, probability = _best(likely)
        spans: list[Span | None] = [None] * self.fields
        for place, tag in enumerate(tags):
            field, goes_on = (tag - 1) // 2, tag % 2 == 0
            if tag == OUTSIDE:
                continue
            before = spans[field]
            if goes_on and before is not None:
                spans[field] = Span(before.begin, words[place].end)
            elif before is None:
                spans[field] = Span(words[place].begin, words[place].end)
            else:
                probability = 0.0  # a field cannot stand twice
        return Reading(tuple(spans), probability)


def train(questions: Sequence[Sequence[Word]], tags: Sequence[Sequence[int]], fields: int, *, seed: int = 0) -> Tagger:
    """Of each question's words and their tags. 5,000 questions of ten words and six fields take a few seconds on one core."""
    rows = np.concatenate([traits(words) for words in questions])
    wanted = np.array([tag for one in tags for tag in one], int64)
    weights = np.zeros((ROWS, 2 * fields + 1), float32)
    squares = np.full_like(weights, 1e-6)
    random = np.random.default_rng(seed)
    epochs = max(EPOCHS_LEAST, min(EPOCHS, SWEPT // len(rows)))
    for epoch in range(epochs):
        order = random.permutation(len(rows))
        step = STEP * (1 - epoch / epochs)
        for begin in range(0, len(order), BATCH):
            picked = order[begin : begin + BATCH]
            some = rows[picked]
            wrong = probabilities(weights[some].sum(axis=1))
            wrong[np.arange(len(picked)), wanted[picked]] -= 1
            touched, place = np.unique(some, return_inverse=True)
            gradient = np.zeros((len(touched), weights.shape[1]), float32)
            np.add.at(gradient, place.reshape(-1), np.repeat(wrong, TRAITS, axis=0))
            squares[touched] += gradient * gradient
            weights[touched] -= step * gradient / np.sqrt(squares[touched])
    return Tagger(weights)


def traits(words: Sequence[Word]) -> NDArray[int64]:
    """i64[n, TRAITS]: rows of the table for each word."""
    texts = [word.text.casefold() for word in words]
    shapes = [_shape(word.text) for word in words]
    padded = ["<<", "<", *texts, ">", ">>"]
    kinds = ["<<", "<", *shapes, ">", ">>"]
    size = len(words)
    found = np.empty((size, TRAITS), int64)
    for place in range(size):
        before2, before, here, after, after2 = padded[place : place + 5]
        kind2, kind1, kind, kind3, kind4 = kinds[place : place + 5]
        named = (
            "bias", here, kind, before, after, before2, after2, kind1, kind3, kind2 + kind1, kind3 + kind4, kind1 + kind + kind3,
            f"{before} {here}", f"{here} {after}", here[:2], here[-2:], here[-3:], f"{kind} {min(place, 3)}", f"{kind} {min(size - place, 4)}",
            f"{before} {kind}",
        )  # fmt: skip
        found[place] = [
            zlib.crc32(f"{number} {trait}".encode("utf-8", "surrogatepass")) % ROWS for number, trait in enumerate(named)
        ]
    return found


def _shape(text: str) -> str:
    """Its kind and about how long it is: 9 for digits, A and a for letters, others as they are."""
    if text.isdecimal():
        return "9" * min(len(text), 6)
    if text.isalpha():
        kind = "a" if text.islower() else "A" if text.isupper() else "Aa"
        return f"{kind}{min(len(text), 3)}"
    return text if len(text) == 1 else "x" + "".join(sorted({"9" if one.isdecimal() else "a" for one in text}))


def _best(likely: NDArray[float32]) -> tuple[list[int], float]:
    """The most probable tags in which a field goes on only after itself."""
    size, kinds = likely.shape
    scores = np.log(likely.astype(np.float64) + 1e-12)
    allowed = np.zeros((kinds, kinds))
    for tag in range(2, kinds, 2):
        allowed[:, tag] = -np.inf
        allowed[[tag - 1, tag], tag] = 0.0
    best = scores[0].copy()
    best[2::2] = -np.inf
    came = np.zeros((size, kinds), int64)
    for place in range(1, size):
        ways = best[:, None] + allowed
        came[place] = ways.argmax(axis=0)
        best = ways.max(axis=0) + scores[place]
    tags = [int(best.argmax())]
    for place in range(size - 1, 0, -1):
        tags.append(int(came[place, tags[-1]]))
    return tags[::-1], float(np.exp(best.max()))
