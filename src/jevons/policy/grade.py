"""Graders: is an answer as good as another model's to the same request?

Comes in: two texts and what the request says of the shape of its answer, or the reply of a model that was asked to judge. Goes out: a Verdict.

    same      they say the same (`policy.same_answer`)
    exact     the very same text, but for space around it
    number    the same number: the one that the text says is its answer, else its last
    choice    the same of several: a letter, or one of the labels that the request names
    json      the same JSON, members in any order; where only one of the two fits the request's own schema, that one is good
    judge     a model says which of the two is good

The reference counts as good where nothing shows otherwise. What cannot be decided counts as harm: it costs coverage, and no promise leans on it.
Does not know: models, requests, who asks the judge.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec

from jevons.policy.same_answer import FINAL, SHORT_WORDS, needs_similarity, normal, same_answer


class Verdict(NamedTuple):
    """Of one answer against the reference's."""

    good: bool
    harm: bool
    """The reference's answer is good and this one is not."""
    decided: bool = True


GOOD = Verdict(good=True, harm=False)
HARM = Verdict(good=False, harm=True)
NEITHER = Verdict(good=False, harm=False)
"""Neither of the two is good."""
UNDECIDED = Verdict(good=False, harm=True, decided=False)

REPLY_CHARS_MAX = 64
"""A line of a judge's reply that is longer is no verdict."""
NUMBER_CHARS_MAX = 64
"""A longer number is compared by its characters: arithmetic on what a stranger wrote takes time in proportion to the square."""
JSON_STEPS_MAX = 20_000
"""Of one grading, each a value held against a schema or another value: about 10 ms. A schema of a few KB may have each of its alternatives tried with each
part of an answer; what takes longer is left undecided."""

_NUMBER = re.compile(r"(?:(?<![\w.)])[-+])?[$€£]?\d++(?:[.,]\d++)*+(?:[eE][-+]?\d{1,3}(?!\w))?(?:/\d++)?", re.ASCII)
_THOUSANDS = re.compile(r"(?<!\d)[1-9]\d{0,2}(?:,\d{3})+(?=[.e/]|$)", re.ASCII)
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d+(?:[e/]|$))", re.ASCII)
_FENCE = re.compile(r"```(?:json)?\n(.*)\n```", re.DOTALL | re.IGNORECASE)
_LETTER = re.compile(r"[*\s]*\(?([A-J])[*]*(?:[).:]|\s*\Z)")
_REPLY = re.compile(r"(?:(?i:final|the|answer|verdict|letter|choice|is)\b|\W)*+([A-D])\W*", re.ASCII)
_NO_JSON = object()


def grade(
    grader: str,
    answer: str,
    reference: str,
    *,
    labels: Sequence[str] = (),
    schema: Mapping[str, Any] | None = None,
    similarity: float | None = None,
) -> Verdict:
    """By any grader but `judge`; one that is not known here grades as `same`.

    `labels`: the answers that the request allows (choice). `schema`: the JSON Schema that it asks for (json). `similarity`: cosine of the two
    texts' vectors (same), where `needs_similarity` says that it counts.
    """
    match grader:
        case "exact":
            return GOOD if answer.strip() == reference.strip() else HARM
        case "number":
            return _alike(number_in(answer), number_in(reference))
        case "choice":
            return _alike(choice_in(answer, labels), choice_in(reference, labels))
        case "json":
            return _json(answer, reference, schema)
    if same_answer(answer, reference, similarity):
        return GOOD
    return UNDECIDED if similarity is None and needs_similarity(answer, reference) else HARM


def number_in(text: str) -> Fraction | str | None:
    """The number that a text says is its answer, else its last (as GSM8K is graded); None = there is none."""
    text = text.replace("\u2212", "-")
    for said in reversed(FINAL.findall(text)):
        if found := _NUMBER.findall(said.rpartition("=")[2]):
            return _value(found[0])
    found = _NUMBER.findall(text)
    return _value(found[-1]) if found else None


def choice_in(text: str, labels: Sequence[str] = ()) -> str:
    """The one of several that a text chooses; "" = none, or more than one. Without labels: a letter from A to J, or the text itself if it is short."""
    named = FINAL.findall(text)
    said = named[-1] if named else text
    if labels:
        known = {normal(label): label for label in labels}
        return known.get(normal(said)) or _only(known, normal(text))
    if (letter := _LETTER.match(said)) is not None:
        return letter[1]
    plain = normal(said)
    if len(plain) == 1:
        return plain.upper()
    return plain if len(plain.split()) <= SHORT_WORDS else ""


def fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Does a decoded JSON value fit a JSON Schema? Of its words these are known: type, enum, const, properties, required,
    additionalProperties = false, items, anyOf, oneOf, allOf. Any other is taken to hold. Raises TooLong."""
    return _Json().fits(value, schema)


class TooLong(Exception):
    """JSON_STEPS_MAX were not enough."""


def verdict_in(reply: str, *, swapped: bool) -> Verdict | None:
    """What a judge says, in one letter on its last line: A = only the first answer is good, B = only the second, C = both, D = neither.

    The first is the one that is judged, the second the reference's; `swapped`: they were shown the other way round. None = it says none of these.
    """
    lines = [line for line in reply.splitlines() if line.strip()]
    found = _REPLY.fullmatch(lines[-1].strip()) if lines and len(lines[-1]) <= REPLY_CHARS_MAX else None
    if found is None:
        return None
    letter = {"A": "B", "B": "A"}.get(found[1], found[1]) if swapped else found[1]
    return {"A": GOOD, "B": HARM, "C": GOOD, "D": NEITHER}[letter]


def agreed(first: Verdict | None, second: Verdict | None) -> Verdict:
    """Of a judge that was asked twice, the answers once in each order: what it says of the order and not of the answers is no verdict."""
    return first if first is not None and first == second else UNDECIDED


def _alike(answer: Fraction | str | None, reference: Fraction | str | None) -> Verdict:
    if not isinstance(reference, Fraction) and not reference:
        return UNDECIDED  # it does not say what an answer would have to be
    return GOOD if answer == reference else HARM


def _value(said: str) -> Fraction | str:
    bare = said.replace(" ", "").lower().translate({ord(sign): None for sign in "$€£+"})
    if len(bare) > NUMBER_CHARS_MAX:
        return bare
    plain = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), bare)
    if plain.count(",") == 1 and "." not in plain:
        plain = _DECIMAL_COMMA.sub(".", plain)
    try:
        return Fraction(plain)
    except (ValueError, ZeroDivisionError):  # 1.2.3, 10/0
        return bare


def _only(known: Mapping[str, str], plain: str) -> str:
    """The one label that stands in a text; a shorter one within a longer does not count."""
    text, found = f" {plain} ", []
    for name in sorted(known, key=len, reverse=True):
        if name and f" {name} " in text:
            text = text.replace(f" {name} ", " | ")
            found.append(known[name])
    return found[0] if len(found) == 1 else ""


def _json(answer: str, reference: str, schema: Mapping[str, Any] | None) -> Verdict:
    if _FENCE.fullmatch(answer.strip()) and not _FENCE.fullmatch(reference.strip()):
        return HARM  # whoever reads the reference's as it is would stumble over this one
    work = _Json()
    try:
        of_answer, of_reference = work.decoded(answer, schema), work.decoded(reference, schema)
        if of_reference is _NO_JSON:
            return UNDECIDED if schema is None else NEITHER if of_answer is _NO_JSON else GOOD
        return GOOD if of_answer is not _NO_JSON and work.same(of_answer, of_reference) else HARM
    except (RecursionError, TooLong):
        return UNDECIDED


class _Json:
    """Holds JSON against schemas and other JSON, in JSON_STEPS_MAX steps altogether. Its methods raise TooLong."""

    def __init__(self) -> None:
        self._left = JSON_STEPS_MAX

    def decoded(self, text: str, schema: Mapping[str, Any] | None) -> Any:
        """The JSON that a text is, in a fence or bare; _NO_JSON if it is none, or does not fit the schema."""
        fenced = _FENCE.fullmatch(text.strip())
        try:
            value = msgspec.json.decode(fenced[1] if fenced is not None else text)
        except msgspec.DecodeError:
            return _NO_JSON
        return value if schema is None or self.fits(value, schema) else _NO_JSON

    def same(self, a: Any, b: Any) -> bool:
        self._step()
        if isinstance(a, dict) and isinstance(b, dict):
            return a.keys() == b.keys() and all(self.same(a[name], b[name]) for name in a)
        if isinstance(a, list) and isinstance(b, list):
            return len(a) == len(b) and all(map(self.same, a, b))
        return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)

    def fits(self, value: Any, schema: Mapping[str, Any]) -> bool:
        kind = schema.get("type")
        kinds = [kind] if isinstance(kind, str) else kind if isinstance(kind, list) else []
        self._step(1 + len(kinds))
        if kinds and not any(_is(value, one) for one in kinds):
            return False
        if "const" in schema and not self.same(value, schema["const"]):
            return False
        if isinstance(schema.get("enum"), list) and not any(self.same(value, one) for one in schema["enum"]):
            return False
        if isinstance(value, dict) and not self._members_fit(value, schema):
            return False
        items = schema.get("items")
        if isinstance(value, list) and isinstance(items, dict) and not all(self.fits(one, items) for one in value):
            return False
        for word, holds in (("anyOf", any), ("oneOf", any), ("allOf", all)):
            if isinstance(schema.get(word), list) and not holds(self._fits_any_way(value, schema[word])):
                return False
        return True

    def _fits_any_way(self, value: Any, ways: list[Any]) -> Iterator[bool]:
        self._step(len(ways))
        return (self.fits(value, one) for one in ways if isinstance(one, dict))

    def _members_fit(self, value: dict[str, Any], schema: Mapping[str, Any]) -> bool:
        properties = schema.get("properties")
        known = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        self._step(len(known) + len(value) + (len(required) if isinstance(required, list) else 0))
        if isinstance(required, list) and any(name not in value for name in required if isinstance(name, str)):
            return False
        if schema.get("additionalProperties") is False and any(name not in known for name in value):
            return False
        return all(self.fits(value[name], one) for name, one in known.items() if name in value and isinstance(one, dict))

    def _step(self, steps: int = 1) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooLong


def _is(value: Any, kind: Any) -> bool:
    match kind:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "integer":
            return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
    return True
