"""The look of a question as numbers, and its words as places of a table. Without a list of words of any language but a few negations.

Comes in: text. Goes out: f32[SHAPE] for its look; the hashes of its words and pairs of words, with values. Does not know: what they tell.
"""

import math
import re
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from jevons.core.limits import LEARN_TEXT_CHARS_MAX
from jevons.learn.rows import Floats

_PIECE = re.compile(r"\w+|[^\w\s]")
_LETTER, _DIGIT, _UPPER, _SPACE = 1, 2, 4, 8
_KNOWN = 0x3000
_CLASSES = np.array(
    [
        _LETTER * (one := chr(code)).isalnum() + _DIGIT * one.isdigit() + _UPPER * one.isupper() + _SPACE * one.isspace()
        for code in range(_KNOWN)
    ]
    + [_LETTER],
    np.uint8,
)
"""What each character is; all that follow (Chinese, Japanese, Korean, signs) are letters."""
_EACH = np.arange(16)
_NEGATED = re.compile(r"\b(?:not|no|never|except|least|false|incorrect|without|nicht|kein\w*|ne|pas|sin|nunca)\b")
_MARKS = ("?", "_", '"', "$", "=", "(")
SHAPE = 13 + len(_MARKS)


def shape(text: str) -> Floats:
    """Counts as logarithms, shares as they are."""
    text = text[:LEARN_TEXT_CHARS_MAX]
    lines = [len(line) for line in text.split("\n") if line] or [0]
    rest = lines[1:] or [0]
    chars, words = max(1, len(text)), max(1, len(text.split()))
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    classes = np.bincount(_CLASSES[np.minimum(codes, _KNOWN)], minlength=16)
    letters, digits, upper, spaces = (int(classes[_EACH & kind > 0].sum()) for kind in (_LETTER, _DIGIT, _UPPER, _SPACE))
    low = text.lower()
    return np.array(
        [
            math.log1p(len(text)),
            math.log(words),
            chars / words,
            digits / chars,
            upper / chars,
            (chars - letters - spaces) / chars,
            math.log1p(lines[0]),
            math.log(len(lines)),
            math.log1p(max(rest)),
            math.log1p(min(rest)),
            math.log1p(sum(rest) / len(rest)),
            math.log1p(len(_NEGATED.findall(low))),
            math.log1p(low.count(" if ")),
            *(math.log1p(text.count(mark)) for mark in _MARKS),
        ],
        np.float32,
    )


def words(text: str) -> tuple[NDArray[np.int64], Floats]:
    """Hashes (32 bits) in rising order, and 1 + log of how often each occurs: of words and of neighbouring pairs."""
    pieces = [piece.encode() for piece in _PIECE.findall(text[:LEARN_TEXT_CHARS_MAX].lower())]
    codes = [crc32(piece) for piece in pieces]
    codes += [crc32(second, first) for first, second in zip(codes, pieces[1:], strict=False)]
    hashes, counts = np.unique(np.array(codes, np.int64), return_counts=True)
    return hashes, (1 + np.log(counts)).astype(np.float32)
