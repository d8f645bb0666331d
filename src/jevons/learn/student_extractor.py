"""The student for answers that are a JSON object of fields taken from the question: where each stands, or which of a few values it has.

Comes in: a question and its vector. Goes out: the object as the teacher writes it. A field is a span of the question (as it stands there, or
in other case, or as a number), one of a few values, or always the same; what is not there is written as the teacher writes it (null, "",
or left out). The score is the probability that all of it is right. Does not know: which examples are good enough for it (`distil.dataset`).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import msgspec
from numpy import float32
from numpy.typing import NDArray

from jevons.learn.json_style import Style, read_object, style_of
from jevons.learn.student import Answered, Arrays, Vector
from jevons.learn.student_classifier import Classifier, row
from jevons.learn.student_tagger import OUTSIDE, WORDS_MAX, Span, Tagger, Word, train, words_of

FOUND_LEAST = 0.9
"""Of a field's values, the share that must stand in their questions for it to be a span."""
READ_LEAST = 0.95
"""Of the answers, the share that must be objects; the others are slips, and left out. So is an object without a member that so many have, and a
member that no more than 1 - READ_LEAST of them have."""
CLOSED_MAX = 50
"""Values of a field that is one of a few."""
CLOSED_EACH = 5
"""Times that each stands for, in the mean: fewer are not a few values, but many."""
_ABSENT: Any = msgspec.UNSET


def _number(text: str) -> Any:
    """Raises ValueError."""
    plain = text.replace(",", "")
    return int(plain) if plain.lstrip("-").isdecimal() else float(plain)


WRITTEN: dict[str, Callable[[str], Any]] = {
    "same": str, "lower": str.lower, "upper": str.upper, "title": str.title, "number": _number,
}  # fmt: skip
"""How a value is written that stands in the question."""


class Field(msgspec.Struct, frozen=True):
    """One member of the object."""

    name: str
    kind: str
    """span, closed, constant"""
    place: int = 0
    """Among the spans, or among the closed ones."""
    written: str = "same"
    value: Any = None
    """Of a constant."""
    missing: str = "null"
    """How the teacher writes that a span is not there: null, empty, out."""


class Extractor:
    """Fields in the teacher's order."""

    kind: ClassVar[str] = "extractor"
    embeds: ClassVar[bool] = True

    def __init__(self, fields: tuple[Field, ...], style: Style, tagger: Tagger | None, closed: tuple[Classifier, ...]) -> None:
        self._fields = fields
        self._style = style
        self._tagger = tagger
        self._closed = closed

    @classmethod
    def made(cls, questions: Sequence[str], rows: NDArray[float32], said: Sequence[str], *, seed: int = 0) -> Self | None:
        """Of questions, their rows (`student_classifier.row`) and answers. None where the answers are no objects of fields that can be found."""
        read = [read_object(answer) for answer in said]
        times = Counter(name for one in read if one is not None for name in one)
        usual = {name for name, count in times.items() if count >= READ_LEAST * len(read)}
        places = [place for place, one in enumerate(read) if one is not None and usual <= one.keys()]
        if not places or len(places) < READ_LEAST * len(said):
            return None
        asked = [questions[place] for place in places]
        names = [name for name, count in times.items() if count > (1 - READ_LEAST) * len(read)]
        plans = _plans(names, asked, [read[place] or {} for place in places])
        if plans is None:
            return None
        closed = [Classifier.made(rows[places], plan.values, seed=seed) for plan in plans if plan.field.kind == "closed"]
        tagger = _tagger(asked, [plan for plan in plans if plan.field.kind == "span"], seed)
        return cls(tuple(plan.field for plan in plans), style_of([said[place] for place in places]), tagger, tuple(closed))

    @classmethod
    def of(cls, settings: dict[str, Any], arrays: Arrays) -> Self:
        """From `state`. Raises KeyError, ValueError for another's."""
        closed = [
            Classifier.of({"answers": answers}, {"weights": arrays[f"closed{place}"]})
            for place, answers in enumerate(settings["closed"])
        ]
        tagger = Tagger(arrays["tagger"]) if "tagger" in arrays else None
        return cls(
            msgspec.convert(settings["fields"], tuple[Field, ...]),
            msgspec.convert(settings["style"], Style),
            tagger,
            tuple(closed),
        )

    @property
    def answers(self) -> int:
        """How many fields it fills."""
        return len(self._fields)

    def answer(self, question: str, vector: Vector | None) -> Answered | None:
        if vector is None:
            raise ValueError("an extractor needs the question's vector")
        words = words_of(question)
        if len(words) > WORDS_MAX:
            return None
        score = 1.0
        spans: tuple[Span | None, ...] = ()
        if self._tagger is not None:
            spans, score = self._tagger.read(words)
        one = row(question, vector) if self._closed else None
        made: dict[str, Any] = {}
        for field in self._fields:
            value = field.value
            if field.kind == "closed" and one is not None:
                told = self._closed[field.place].judged(one)
                value, score = msgspec.json.decode(told.text), score * told.score
            elif field.kind == "span":
                try:
                    value = _taken(field, question, spans[field.place])
                except ValueError:
                    return None  # a number was expected there
            if value is not _ABSENT:
                made[field.name] = value
        return Answered(self._style.write(made), score)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        arrays: Arrays = {} if self._tagger is None else {"tagger": self._tagger.weights}
        answers = []
        for place, one in enumerate(self._closed):
            settings, of = one.state()
            answers.append(settings["answers"])
            arrays[f"closed{place}"] = of["weights"]
        return {"fields": msgspec.to_builtins(self._fields), "style": msgspec.to_builtins(self._style), "closed": answers}, arrays


def _taken(field: Field, question: str, span: Span | None) -> Any:
    if span is None:
        return {"null": None, "empty": "", "out": _ABSENT}[field.missing]
    return WRITTEN[field.written](question[span.begin : span.end])


class _Plan(NamedTuple):
    """What a field is, and what of it stands in each example."""

    field: Field
    spans: list[Span | None]
    values: list[str]
    """As JSON, of a closed one."""
    lost: frozenset[int] = frozenset()
    """Examples whose value stands nowhere in the question: they teach nothing of where it stands."""


def _tagger(questions: Sequence[str], spans: list[_Plan], seed: int) -> Tagger | None:
    lost = frozenset[int]().union(*(plan.lost for plan in spans))
    texts = [words_of(question) for question in questions]
    fit = [place for place, words in enumerate(texts) if words and place not in lost]
    if not spans or not fit:
        return None
    return train([texts[place] for place in fit], [_tags(texts[place], spans, place) for place in fit], len(spans), seed=seed)


def _plans(names: Sequence[str], questions: Sequence[str], objects: Sequence[Mapping[str, Any]]) -> list[_Plan] | None:
    plans: list[_Plan] = []
    counts = {"span": 0, "closed": 0, "constant": 0}
    for name in names:
        plan = _plan(name, questions, [one.get(name, _ABSENT) for one in objects])
        if plan is None:
            return None
        plans.append(plan._replace(field=msgspec.structs.replace(plan.field, place=counts[plan.field.kind])))
        counts[plan.field.kind] += 1
    return plans or None


def _plan(name: str, questions: Sequence[str], values: list[Any]) -> _Plan | None:
    """What kind of field it is. None = its values come from nowhere that is known."""
    there = [value for value in values if value not in (None, "", _ABSENT)]
    written = [msgspec.json.encode(value).decode() for value in values if value is not _ABSENT]
    always = _ABSENT not in values
    if always and len(set(written)) == 1:
        return _Plan(Field(name, "constant", value=values[0]), [], [])
    found = {how: [_found(question, value, how) for question, value in zip(questions, values, strict=True)] for how in WRITTEN}
    best = max(found, key=lambda how: sum(span is not None for span in found[how]))
    if there and sum(span is not None for span in found[best]) >= FOUND_LEAST * len(there):
        missing = "out" if _ABSENT in values else "empty" if "" in values else "null"
        lost = [place for place, value in enumerate(values) if value not in (None, "", _ABSENT) and found[best][place] is None]
        return _Plan(Field(name, "span", written=best, missing=missing), found[best], [], frozenset(lost))
    different = len(set(written))
    if always and different <= min(CLOSED_MAX, len(values) / CLOSED_EACH):
        return _Plan(Field(name, "closed"), [], written)
    return None


def _found(question: str, value: Any, how: str) -> Span | None:
    """Where a value stands in a question, at the ends of words."""
    if value in (None, "", _ABSENT) or isinstance(value, bool | list | dict) or isinstance(value, str) == (how == "number"):
        return None
    if how == "number":
        return next((Span(word.begin, word.end) for word in words_of(question) if _reads(word.text, value)), None)
    text = question if how == "same" else WRITTEN[how](question)
    begin = text.find(value) if len(text) == len(question) else -1
    while begin >= 0:
        end = begin + len(value)
        if not (question[begin - 1 : begin].isalnum() or question[end : end + 1].isalnum()):
            return Span(begin, end)
        begin = text.find(value, begin + 1)
    return None


def _reads(text: str, value: float) -> bool:
    try:
        return bool(_number(text) == value)
    except ValueError:
        return False


def _tags(words: Sequence[Word], spans: Sequence[_Plan], example: int) -> list[int]:
    """A word that two fields claim is the first one's."""
    tags = [OUTSIDE] * len(words)
    for field, plan in enumerate(spans):
        span = plan.spans[example]
        inside = [place for place, word in enumerate(words) if span and span.begin <= word.begin and word.end <= span.end]
        if not any(tags[place] for place in inside):
            for number, place in enumerate(inside):
                tags[place] = 2 * field + (2 if number else 1)
    return tags
