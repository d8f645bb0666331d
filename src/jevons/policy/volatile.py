"""What kind of thing was changed in a message that otherwise stayed: a clock, an id, a counter, a signature, or words.

Comes in: the mark of the message as it was, its mark and its text as it is. The old text is not kept, so what it said is unknown; where it
differs is known, and what stands there now is matched against what clocks and ids look like. Goes out: an `Edit`. Does not know: requests.
"""

import enum
import re
from collections.abc import Sequence
from typing import NamedTuple

from jevons.core.limits import EDIT_BYTES_MAX, EDIT_PIECES_MAX
from jevons.core.marks import TOOLS, Mark, pieces_of

AROUND_PIECES = 3
"""A word before a number says what it counts."""


class Value(enum.StrEnum):
    """What was changed."""

    CLOCK = "clock"
    RANDOM_ID = "random_id"
    COUNTER = "counter"
    SIGNED_URL = "signed_url"
    WORDS = "edited"


class Edit(NamedTuple):
    """How one message became another."""

    value: Value
    kin: bool
    """Most of it stayed: it is the same message, changed."""
    ahead: int
    """Its bytes before the change."""
    behind: int
    """Its bytes behind it: the same as before, and yet to be computed again."""


_MONTHS = rb"January|February|March|April|May|June|July|August|September|October|November|December"
_CLOCK = re.compile(
    rb"\d\d?:\d\d|\d{4}-\d\d-\d\d|\b\d{1,2}[/.]\d{1,2}[/.]\d{2,4}\b|(?<![0-9A-Za-z])1[5-9]\d{8}(?:\d{3})?(?![0-9A-Za-z])|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|"
    + _MONTHS
)
"""A time, a date, Unix seconds or milliseconds from 2017 on (not ten digits in the middle of a hexadecimal id), a day or a month by its name."""
_OF_TIME = re.compile(rb"\b(?:time|date|today|now|timestamp|clock)\b", re.IGNORECASE)
_ADDRESS = re.compile(rb"https?://[^\s\"\\]+", re.IGNORECASE)
_PARAMETER = re.compile(rb"[?&]([^?&=]+)=")
_SIGNING = re.compile(rb"sig|expires|token|x-amz-|x-goog-|hmac|\Ase\Z", re.IGNORECASE)
"""In the name of a parameter that an address is signed by."""
_RANDOM = re.compile(
    rb"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}|\b(?=[a-f]*\d)[0-9a-f]{8,}\b"
    rb"|(?<![\w-])(?=[a-z_-]*\d)(?=[0-9_-]*[a-z])[\w-]{10,}|\d{7,}",
    re.IGNORECASE | re.ASCII,
)
"""A UUID, 8 hexadecimal digits or more, 10 letters and digits mixed, a long number. What repeats without bound begins at one place of a word
only: texts are a stranger's, and every pattern here must take time in proportion to them."""


def edit_of(there: Mark, here: Mark, text: bytes) -> Edit:
    """How `there` became `here`, whose raw JSON is `text`. Both have one role."""
    if not there.pieces or not here.pieces:
        return Edit(Value.WORDS, kin=False, ahead=0, behind=0)
    before, after, parts = there.hashes, here.hashes, pieces_of(text, here.role)
    head = _common(before, after)
    if here.role == TOOLS:
        known = set(before)
        again = [len(part) for part, value in zip(parts[head:], after[head:], strict=True) if value in known]
        kin = len(known.intersection(after)) * 2 >= max(len(before), len(after))
        return Edit(Value.WORDS, kin, sum(map(len, parts[:head])), sum(again))
    tail = _common(before[::-1], after[::-1], min(len(before), len(after)) - head)
    end = len(parts) - tail
    kin = (head + tail) * 2 >= max(len(before), len(after)) or there.digits == here.digits or there.shape == here.shape
    in_place = len(before) == len(after) and end - head <= EDIT_PIECES_MAX
    value, changed = Value.WORDS, b" ".join(parts[head:end])[:EDIT_BYTES_MAX]
    if there.digits == here.digits:
        ahead = b" ".join(parts[max(0, head - AROUND_PIECES) : head])[-EDIT_BYTES_MAX:]
        behind = b" ".join(parts[end : end + AROUND_PIECES])[:EDIT_BYTES_MAX]
        value = _number(b" ".join((ahead, changed, behind)), changed)
    elif in_place and kin:
        value = _look((parts[head][:EDIT_BYTES_MAX], changed))
    return Edit(value, kin, sum(map(len, parts[:head])) + head, sum(map(len, parts[end:])) + tail)


def _number(around: bytes, changed: bytes) -> Value:
    """Only digits were changed."""
    if _is_signed(changed):
        return Value.SIGNED_URL
    if _CLOCK.search(changed) or _CLOCK.search(around) or _OF_TIME.search(around):
        return Value.CLOCK
    return Value.RANDOM_ID if _RANDOM.search(changed) else Value.COUNTER


def _look(texts: tuple[bytes, ...]) -> Value:
    """By what the first changed piece looks like, else all of them."""
    for text in texts:
        if _is_signed(text):
            return Value.SIGNED_URL
        if _RANDOM.search(text):
            return Value.RANDOM_ID
        if _CLOCK.search(text):
            return Value.CLOCK
    return Value.WORDS


def _is_signed(text: bytes) -> bool:
    """Is there an address in it with a parameter that signs it?"""
    names = [name for address in _ADDRESS.findall(text) for name in _PARAMETER.findall(address)]
    return any(_SIGNING.search(name) for name in names)


def _common(a: Sequence[int], b: Sequence[int], at_most: int | None = None) -> int:
    """How many of the first values are equal."""
    count = 0
    for one, other in zip(a, b, strict=False):
        if one != other or count == at_most:
            break
        count += 1
    return count
