"""Two models' answers to one request, held against each other.

Comes in: whole answers as they came, or the status of an attempt that brought none; the route's grader. Goes out: a Verdict, or None where nothing can be
learnt: a network that failed is no model's doing. Does not know: who pays, what becomes of a verdict.
"""

import asyncio
import enum
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from jevons.core.ask import Ask, Dialect
from jevons.core.limits import SCHEMA_BYTES_MAX, SIMILAR_ANSWER_CHARS_MAX
from jevons.meter.answer import answer_facts
from jevons.policy.grade import GOOD, HARM, Verdict, grade
from jevons.policy.same_answer import needs_similarity, same_answer
from jevons.wire.compared import CUT, Said, labels_of, said, schema_of

OF_THE_MODEL = frozenset({400, 413, 422})
"""Statuses by which a model declines this very request: too long for it, in a form that it does not take. Any other says something of the network, the
account or the hour."""

Likeness = Callable[[str, str], float]
"""Cosine of two texts' vectors. May be called in a thread."""
Judge = Callable[[str, str], Awaitable[Verdict | None]]
"""(answer, reference) -> what a judge says; None = it could not be asked."""


class End(enum.Enum):
    WHOLE = enum.auto()
    CUT = enum.auto()
    """It was not done when its tokens were used up."""
    NONE = enum.auto()
    """The model declined, or said nothing."""


class Reply(NamedTuple):
    """What one model made of a request."""

    end: End
    said: Said
    """Of an answer that says something."""


NO_REPLY = Reply(End.NONE, Said(""))


def reply_of(dialect: Dialect, status: int, body: bytes) -> Reply | None:
    """`body`: whole, in this dialect; b"" if there is none. None: what happened says nothing of the model."""
    if not body:
        return NO_REPLY if status in OF_THE_MODEL else None
    words = said(dialect, body)
    if words is None:
        return NO_REPLY
    return Reply(End.CUT if answer_facts(dialect, body).finish in CUT else End.WHOLE, words)


async def compared(
    ask: Ask, grader: str, answer: Reply, reference: Reply, *, judge: Judge | None = None, likeness: Likeness | None = None
) -> Verdict | None:
    """`answer` against `reference`, as answers to `ask`. None: the reference says nothing to hold it against, or the judge could not be asked.

    `likeness`: None where there are no vectors; then of long texts in different words nothing can be decided.
    """
    if reference.end is End.NONE:
        return None
    if answer.end is End.NONE or (answer.end is End.CUT and reference.end is not End.CUT):
        return HARM
    one, other = answer.said, reference.said
    if grader == "judge" and judge is not None:
        return GOOD if one.calls == other.calls and same_answer(one.text, other.text) else await judge(one.text, other.text)
    if one.calls or other.calls:
        return grade("json", one.text, other.text) if one.calls and other.calls else HARM
    work = (ask, grader, one.text, other.text, likeness)
    return (
        _graded(*work) if len(one.text) + len(other.text) <= SIMILAR_ANSWER_CHARS_MAX else await asyncio.to_thread(_graded, *work)
    )


def _graded(ask: Ask, grader: str, answer: str, reference: str, likeness: Likeness | None) -> Verdict:
    shaped = grader in ("choice", "json") and sum(map(len, ask.extras)) <= SCHEMA_BYTES_MAX
    schema = schema_of(ask) if shaped else None
    by_vectors = grader == "same" and likeness is not None and needs_similarity(answer, reference)
    similarity = likeness(answer, reference) if by_vectors and likeness is not None else None
    return grade(grader, answer, reference, labels=labels_of(schema), schema=schema, similarity=similarity)
