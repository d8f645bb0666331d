"""The cheapest student: the same question gets the answer that the teacher always gave to it.

Comes in: a question. Goes out: the answer, where it was asked before and never answered otherwise. Questions are the same up to case, spaces,
the form of characters and a closing mark; they are kept as digests. Does not know: which examples are good enough for it (`distil.dataset`).
"""

import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, ClassVar, Self

import numpy as np

from jevons.learn.student import Answered, Arrays, Vector

_SPACES = re.compile(r"\s+")
_DIGEST_BYTES = 8
"""Of 100,000 questions two share a digest with a chance of 1 in 3 thousand million."""


def normalised(question: str) -> str:
    """What two spellings of one question share."""
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", question).casefold()).strip().rstrip(".!?;: ")


class Table:
    """Digest of a question -> its answer, and how often it was given."""

    kind: ClassVar[str] = "table"
    embeds: ClassVar[bool] = False

    def __init__(self, answers: tuple[str, ...], rows: dict[bytes, tuple[int, int]]) -> None:
        """`rows`: digest -> (place of the answer, times it was given)."""
        self._answers = answers
        self._rows = rows

    @classmethod
    def made(cls, pairs: Iterable[tuple[str, str]]) -> Self:
        """Of (question, answer); a question with two answers is left out."""
        said: dict[bytes, list[str]] = {}
        for question, answer in pairs:
            said.setdefault(_digest(question), []).append(answer)
        unanimous = {digest: (told[0], len(told)) for digest, told in said.items() if len(set(told)) == 1}
        answers = tuple(sorted({answer for answer, _ in unanimous.values()}))
        places = {answer: place for place, answer in enumerate(answers)}
        return cls(answers, {digest: (places[answer], times) for digest, (answer, times) in unanimous.items()})

    @classmethod
    def of(cls, settings: dict[str, Any], arrays: Arrays) -> Self:
        """From `state`. Raises KeyError for another's."""
        digests, places, times = arrays["digests"].tobytes(), arrays["places"].tolist(), arrays["times"].tolist()
        keys = [digests[begin : begin + _DIGEST_BYTES] for begin in range(0, len(digests), _DIGEST_BYTES)]
        return cls(tuple(settings["answers"]), dict(zip(keys, zip(places, times, strict=True), strict=True)))

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def answers(self) -> int:
        """How many different answers it can give."""
        return len(self._answers)

    def answer(self, question: str, vector: Vector | None) -> Answered | None:
        """The score is Laplace's rule of succession: (n + 1) / (n + 2) after n answers that were all the same."""
        found = self._rows.get(_digest(question))
        return Answered(self._answers[found[0]], (found[1] + 1) / (found[1] + 2)) if found else None

    def state(self) -> tuple[dict[str, Any], Arrays]:
        places = np.array([place for place, _ in self._rows.values()], np.dtype("<i4"))
        times = np.array([times for _, times in self._rows.values()], np.dtype("<i4"))
        digests = np.frombuffer(b"".join(self._rows), np.uint8)
        return {"answers": list(self._answers)}, {"digests": digests, "places": places, "times": times}


def _digest(question: str) -> bytes:
    return blake2b(normalised(question).encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
