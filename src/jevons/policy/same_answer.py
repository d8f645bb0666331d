"""Whether two answers say the same: the judge of a semantic hit, when the model was asked although something similar was cached.

Comes in: two texts and, if the caller has it, the cosine of their vectors. Goes out: the same, or not. What cannot be decided is *not the
same*: a wrong "same" would let wrong answers be served, a wrong "not the same" only costs hits. So the error bound of policy/semantic.py is
one by this judge.

    equal but for case, punctuation, markup and spaces            the same
    each ends in an answer ("the answer is 42", "#### 42", \\boxed{42}), or is one (up to SHORT_WORDS words)     the same if these are equal
    otherwise, texts of SHORT_WORDS words or more with the same numbers, code, links and negations, of like length
                                                                   the same if their cosine is ALIKE or more
    anything else                                                  not the same

Does not know: models, questions.
"""

import re
import unicodedata
from collections import Counter

ALIKE = 0.95
"""Cosine of two long answers (embed/) from which they say the same. Different answers to one question reach 0.9."""
SHORT_WORDS = 6
LONGER = 1.5
"""An answer that is so many times longer says more."""
PIECE = 128
"""Characters that are normalised together: marks above and below a letter are sorted in quadratic time, and no letter has so many."""

_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_LINK = re.compile(r"https?://\S+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NEGATION = re.compile(r"\b(?:not|no|never|none|neither|nor|cannot|without|unable|false|incorrect)\b|n['’]t\b", re.IGNORECASE)
FINAL = re.compile(r"(?:\banswer(?:\s++is|\s*+:)|####|\\boxed\{)\s*+\**+\s*+([^\n}]++)", re.IGNORECASE)
"""What a text says its answer is. Possessive: what a model says is a stranger's text, and no pattern goes back over it."""
_SILENT = re.compile(r"[^\w\s%€$£+\-/.,:]|(?<!\d)[.,:]|[.,:](?!\d)|(?<!\w)-(?!\d)")


def same_answer(a: str, b: str, similarity: float | None = None) -> bool:
    """Whether `a` and `b` say the same; `similarity`: cosine of their vectors, which only long answers need."""
    plain_a, plain_b = normal(a), normal(b)
    if not plain_a or not plain_b:
        return False
    if plain_a == plain_b:
        return True
    final_a, final_b = _final(a, plain_a), _final(b, plain_b)
    if final_a or final_b:
        return final_a == final_b
    longer, shorter = sorted((len(plain_a), len(plain_b)), reverse=True)
    if similarity is None or similarity < ALIKE or longer > LONGER * shorter:
        return False
    return _exact(a) == _exact(b)


def needs_similarity(a: str, b: str) -> bool:
    """Whether `same_answer` would say otherwise if it knew that the two are alike: if not, no vectors are needed."""
    return same_answer(a, b, 1.0) != same_answer(a, b)


def normal(text: str) -> str:
    """A text without case, punctuation and markup, its words one space apart."""
    if not text.isascii():
        text = "".join([unicodedata.normalize("NFKC", text[at : at + PIECE]) for at in range(0, len(text), PIECE)])
    return " ".join(_SILENT.sub(" ", text.casefold()).split())


def _final(text: str, plain: str) -> str:
    """The answer that a text ends in, or is; "" = neither."""
    named = FINAL.findall(text)
    if named:
        plain = normal(named[-1])
        return _number(plain) or plain
    return (_number(plain) or plain) if len(plain.split()) <= SHORT_WORDS else ""


def _number(plain: str) -> str:
    """1,234.50 -> 1234.5, if a text holds one number and no other word; else ""."""
    bare = plain.strip("$€£% ")
    if not _NUMBER.fullmatch(bare.lstrip("+-")):
        return ""
    return plain.replace(bare, whole.rstrip("0").removesuffix(".") if "." in (whole := bare.replace(",", "")) else whole)


def _exact(text: str) -> tuple[Counter[str], ...]:
    """What two texts must have in common to the letter."""
    prose = _CODE.sub(" ", text)
    return (
        Counter(_CODE.findall(text)),
        Counter(_LINK.findall(prose)),
        Counter(number.replace(",", "") for number in _NUMBER.findall(prose)),
        Counter("no" for _ in _NEGATION.findall(prose)),
    )
