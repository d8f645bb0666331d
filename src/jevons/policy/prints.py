"""Prints of texts: near for texts that say the same in nearly the same words, far apart for all others.

Comes in: a secret and a text. Goes out: a `Print`, which says nothing to whoever lacks the secret. Does not know: turns, runs, loops.

A print is a simhash (Charikar, "Similarity Estimation Techniques from Rounding Algorithms", 2002) of 64 bits over the text's word
triples: two texts that share a fraction s of their triples differ in 64 × arccos(s) / π bits on average. Numbers, dates, identifiers
and names are data, not wording: texts that differ in one of them are far apart. So are any two texts in scripts without spaces between words.
"""

import re
from hashlib import blake2b
from itertools import chain, filterfalse
from operator import xor
from typing import NamedTuple

from jevons.core.limits import PRINT_TEXT_CHARS_MAX, PRINT_WORDS_MEMO_MAX

NEAR_BITS = 16
"""Texts are near up to this distance: half of the pairs that share 71 % of their triples, as when four words in 40 are others. The prints
of unrelated texts are 32 ± 4 bits apart, so this is four standard deviations away, and a turn has two of them."""
WORDED_MIN = 8
"""A text of fewer words ("yes", "positive", "please go on") has no wording to compare."""

_LANES = 64
_LANE_BYTES = 2
_HALF = 1 << (8 * _LANE_BYTES - 1)
_ONES = sum(1 << (8 * _LANE_BYTES * lane) for lane in range(_LANES))
_DIGITS = bytes.maketrans(b"\x00\x80", b"01")
_BYTES = [b"".join([bit.encode().replace(b"0", b"\0\0").replace(b"1", b"\0\1") for bit in f"{byte:08b}"]) for byte in range(256)]
"""Of each byte, its eight bits in lanes."""
_PUNCTUATION = str.maketrans(
    dict.fromkeys(chain(map(chr, range(0x2010, 0x2070)), "!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~«»。、，！？：；"), " ")
)
_names = re.compile(r"[A-Z](?<=[\w,;] .)\w+").findall
"""Words with a capital that begin no sentence."""


class Print(NamedTuple):
    """The print of one text."""

    bits: int
    """The simhash: 64 bits."""
    worded: bool
    """Long enough for its wording to be compared."""


class Prints:
    """Makes prints under one secret, and remembers the bits of words."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._memo: dict[str, tuple[int, int, int]] = {}

    def of(self, text: str) -> Print:
        """The print of a text. About 10 us + 0.4 us a word. A text too long to be compared by its words is near to itself only."""
        if len(text) > PRINT_TEXT_CHARS_MAX:
            return self.exact(text)
        words = text.casefold().translate(_PUNCTUATION).split()
        data = list(filterfalse(str.isalpha, words))
        wording = [word if word.isalpha() else "0" for word in words] if data else words
        data += _names(text)
        bits = _majority([known or self._learn(word) for known, word in zip(map(self._memo.get, wording), wording, strict=True)])
        return Print(bits ^ self._drawn(" ".join(data)) if data else bits, len(words) >= WORDED_MIN)

    def exact(self, text: str) -> Print:
        """A print that is near only to that of the very same text."""
        return Print(self._drawn(text), True)

    def _drawn(self, text: str) -> int:
        """64 bits that follow from the text as if by chance."""
        return int.from_bytes(self._hashed(text, 8))

    def _learn(self, word: str) -> tuple[int, int, int]:
        """The bits of a word as the first, second and third of a triple."""
        if len(self._memo) >= PRINT_WORDS_MEMO_MAX:
            self._memo.clear()
        drawn = self._hashed(word, 24)
        bits = self._memo[word] = (_spread(drawn[:8]), _spread(drawn[8:16]), _spread(drawn[16:]))
        return bits

    def _hashed(self, text: str, size: int) -> bytes:
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size, key=self._secret, person=b"print").digest()


def near(one: int, other: int) -> bool:
    """Are the bits of two prints those of texts in nearly the same words?"""
    return (one ^ other).bit_count() <= NEAR_BITS


def _majority(words: list[tuple[int, int, int]]) -> int:
    """For each lane, the bit that more than half of the triples have; of a shorter text, of its words.

    A triple's bits are those of its three words in their places, by XOR (simple tabulation); one sum counts all lanes at once.
    """
    if len(words) < 3:
        votes, count = sum(first for first, _, _ in words), len(words)
    else:
        first, second, third = zip(*words, strict=True)
        votes, count = sum(map(xor, map(xor, first, second[1:]), third[2:])), len(words) - 2
    lanes = (votes + (_HALF - 1 - count // 2) * _ONES) & (_HALF * _ONES)
    return int(lanes.to_bytes(_LANES * _LANE_BYTES)[::_LANE_BYTES].translate(_DIGITS), 2)


def _spread(bits: bytes) -> int:
    """Eight bytes, one bit to a lane."""
    return int.from_bytes(b"".join([_BYTES[byte] for byte in bits]))
