"""A question's words as numbers: which words, pairs of words and pieces of words stand in it, folded into a fixed number of columns.

Comes in: text. Goes out: f32[COLUMNS] of length 1. Each gram is hashed to a column and a sign (feature hashing: Weinberger et al. 2009,
arXiv 0902.2206), so that no list of words has to be kept. It sees what the mean of word vectors loses: order, spelling, names and numbers.
Does not know: what the columns are used for.
"""

import re
import zlib
from itertools import pairwise

import numpy as np

from jevons.learn.student import Vector

COLUMNS = 1024
"""On banking77 and clinc150 twice as many gain nothing (0.1 points), none at all cost two points (make bench-making)."""
CHARS_MAX = 4_000
"""Of a longer question its beginning: 4,000 characters take about a millisecond."""
_WORDS = re.compile(r"\w+|[^\w\s]")


def grams(text: str) -> set[str]:
    """Words, neighbours, and pieces of three and four letters with the word's ends marked."""
    words = _WORDS.findall(text[:CHARS_MAX].casefold())
    found = {f"w{word}" for word in words}
    found.update(f"n{one} {two}" for one, two in pairwise(words))
    for word in words:
        marked = f"<{word}>"
        for size in (3, 4):
            found.update(marked[begin : begin + size] for begin in range(len(marked) - size + 1))
    return found


def folded(text: str) -> Vector:
    """f32[COLUMNS], all zeros for a text without a word."""
    hashes = np.fromiter((zlib.crc32(gram.encode("utf-8", "surrogatepass")) for gram in grams(text)), np.uint32)
    signs = np.where(hashes >> np.uint32(31), 1.0, -1.0)
    row = np.bincount(hashes % np.uint32(COLUMNS), signs, COLUMNS).astype(np.float32)
    length = np.sqrt(row @ row)
    return row / length if length else row
