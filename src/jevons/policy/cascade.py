"""A cascade: a small model answers first, and its own confidence in that answer decides whether a large one is asked.

Comes in: the tokens of an answer with their log-probabilities, or several answers to the same; judged answers with the confidence there was in them.
Goes out: a confidence in [0, 1], the probability that an answer with such a confidence is good, whether to ask the large model.

Of an answer that is JSON only its values count: its shape is easy, and where a grammar forces it the model's own probabilities say nothing of it.
A short answer is as sure as all its tokens together are probable; of a longer one the mean counts, for the product shrinks with every word of it.
Confidence orders answers; how good they are is learnt from labels (`Calibration`), and from which one on they may be shown is the promise's
(`policy.promise`). Does not know: models, prices (whether a cascade pays is `policy.objective`'s), clocks, where labels come from.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import groupby
from math import exp
from typing import NamedTuple, Self

import msgspec

from jevons.core.token import Token
from jevons.policy.same_answer import same_answer

SHORT_TOKENS = 12
"""An answer up to so long is one word, label, number or name, right or wrong as a whole."""
SAMPLES = 3
"""Answers to the same of which `agreement` is made."""

_FENCE = re.compile(rb"\s*(?:```\w*\s*)?(?=[{\[])")
_VALUE = re.compile(rb'"((?:[^"\\]|\\.)*+")(?!\s*+:)|(-?\d[\d.eE+-]*+|true|false|null)|"(?:[^"\\]|\\.)*+"\s*+:', re.DOTALL)


class Figures(NamedTuple):
    """What the tokens of one answer come to; logarithms are natural."""

    tokens: int
    mean: float
    """Of their log-probabilities."""
    least: float
    """The least probable token's."""
    whole: float
    """The sum: of the answer's own probability."""
    first_margin: float | None
    """The first token's, over the best other one."""


def figures(tokens: Sequence[Token]) -> Figures | None:
    """None for an answer without a token that counts."""
    kept = [token for token in _valued(tokens) if token.data.strip()]
    if not kept:
        return None
    logprobs = [min(0.0, token.logprob) for token in kept]
    whole = sum(logprobs)
    return Figures(len(kept), whole / len(kept), min(logprobs), whole, kept[0].margin)


def confidence(tokens: Sequence[Token]) -> float | None:
    """How sure a model was of its answer, in [0, 1]: the probability of a short one, of a longer one the geometric mean of its tokens'.
    None where nothing is known of it."""
    found = figures(tokens)
    if found is None:
        return None
    return exp(found.whole if found.tokens <= SHORT_TOKENS else found.mean)


def spoken(tokens: Sequence[Token], text: str) -> Sequence[Token]:
    """Those of the answer itself: some servers tell the tokens of what a model thought before it, too. All of them, if its text is not found."""
    said = text.strip().encode("utf-8", "surrogatepass")
    start = b"".join([token.data for token in tokens]).rfind(said)
    return tokens if start < 0 else _within(tokens, [(start, start + len(said))])


def agreement(answers: Sequence[str]) -> float:
    """Share of the other answers that say the same as the first, which is the one to be shown: a confidence where no log-probabilities are told
    (self-consistency, arXiv 2203.11171)."""
    first, *others = answers
    return sum(same_answer(first, other) for other in others) / len(others) if others else 0.0


def accepts(score: float | None, threshold: float | None) -> bool:
    """Is the small model's answer shown? Not where nothing is known of it, or nothing promised."""
    return score is not None and threshold is not None and score >= threshold


class Calibration(msgspec.Struct, frozen=True):
    """Confidence -> probability that the answer is good: steps that never fall."""

    starts: tuple[float, ...] = ()
    """The least confidence of each step, ascending."""
    rates: tuple[float, ...] = ()
    """Share of good answers in it."""
    labels: int = 0
    """What it was learnt from."""

    @classmethod
    def learnt(cls, judged: Iterable[tuple[float, bool]]) -> Self:
        """Of (confidence, good) pairs: the non-decreasing steps with the least squared error, by pooling adjacent violators (Ayer et al. 1955;
        for probabilities: Zadrozny and Elkan, KDD 2002). Which answers are judged may depend on their confidence, on nothing else."""
        ordered = sorted(judged)
        steps: list[tuple[float, int, int]] = []  # start, good, all
        for start, group in groupby(ordered, key=lambda pair: pair[0]):
            marks = [good for _, good in group]
            step = (start, sum(marks), len(marks))
            while steps and steps[-1][1] * step[2] >= step[1] * steps[-1][2]:
                before = steps.pop()
                step = (before[0], before[1] + step[1], before[2] + step[2])
            steps.append(step)
        return cls(tuple([step[0] for step in steps]), tuple([good / n for _, good, n in steps]), len(ordered))

    def probability(self, score: float) -> float | None:
        """Of an answer with this confidence; None where nothing was learnt. One below all that was seen counts as the lowest."""
        if not self.rates:
            return None
        return self.rates[max(0, bisect_right(self.starts, score) - 1)]


def _valued(tokens: Sequence[Token]) -> Sequence[Token]:
    """Those that touch a value, if the answer is JSON; else all of them."""
    text = b"".join([token.data for token in tokens])
    opening = _FENCE.match(text)
    if opening is None:
        return tokens
    return _within(
        tokens, [match.span(1 if match[1] else 2) for match in _VALUE.finditer(text, opening.end()) if match[1] or match[2]]
    )


def _within(tokens: Sequence[Token], spans: Sequence[tuple[int, int]]) -> list[Token]:
    """Those that have a byte in one of the spans, which are in order and apart."""
    kept, start, place = [], 0, 0
    for token in tokens:
        end = start + len(token.data)
        while place < len(spans) and spans[place][1] <= start:
            place += 1
        if place < len(spans) and spans[place][0] < end:
            kept.append(token)
        start = end
    return kept
