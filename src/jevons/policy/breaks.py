"""Where a request left the prefix that its conversation had, why, and what that cost.

Comes in: the request before and this one as marks (core/marks.py), this one's text, later its usage and price. Goes out: a `Difference`, and
once it is known what the provider read, a `Break`. A provider's cache goes on as far as a prompt is the same from its first byte; so the
first message that differs decides, and what stands behind it and was sent before is lost. What a request does not repeat is not lost: a
conversation taken up again further back, a sub-agent, a summary that keeps nothing break nothing.

Does not know: where requests are kept, what a token is (bytes are shared out by the tokens that the provider counted).
"""

import enum
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from jevons.core.cache_rules import CacheRules
from jevons.core.limits import BREAK_TOKENS_MIN
from jevons.core.marks import ASSISTANT, OPENING, TOOL, TOOLS, Mark
from jevons.core.money import half_even
from jevons.core.price import Price
from jevons.core.saving import Break
from jevons.core.usage import CACHE_READ, CACHE_WRITE_1H, CACHE_WRITE_5M, INPUT, Usage
from jevons.policy.volatile import Edit, Value, edit_of


class Cause(enum.StrEnum):
    """Why a prefix was not read again: what changed in it, and below what was missing although nothing did."""

    CLOCK = "clock"
    RANDOM_ID = "random_id"
    COUNTER = "counter"
    SIGNED_URL = "signed_url"
    TOOLS_ORDER = "tools_order"
    TOOLS_SET = "tools_set"
    TOOL_SCHEMA = "tool_schema"
    JSON = "json"
    MARKERS = "markers"
    EDITED = "edited"
    DROPPED = "dropped"
    SUMMARISED = "summarised"
    INSERTED = "inserted"
    PARAMETERS = "parameters"
    MODEL = "model"
    GATEWAY = "gateway"
    EXPIRED = "expired"
    SHORT = "short"
    UNMARKED = "unmarked"
    MISSED = "missed"


LOST_UNCHANGED = frozenset({Cause.EXPIRED, Cause.SHORT, Cause.UNMARKED, Cause.MISSED})
"""Losses of a prefix that stayed as it was."""
VOLATILE = frozenset({Cause.CLOCK, Cause.RANDOM_ID, Cause.COUNTER, Cause.SIGNED_URL, Cause.TOOLS_ORDER, Cause.JSON})
"""What changes from conversation to conversation although nobody wanted it to."""
ANSWERS = frozenset({ASSISTANT, TOOL})


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request, as it was sent."""

    marks: tuple[Mark, ...]
    """Tools and system first, as `Ask.messages`."""
    size: int
    """Bytes of its messages."""
    at_ms: int = 0
    """Of its admission."""
    done_ms: int = 0
    """Of its answer's end: what comes before it cannot find its prefix."""
    target: tuple[str, str] = ("", "")
    """Upstream and model."""
    parameters: tuple[tuple[str, int], ...] = ()
    """(member of the body, hash): those that a provider's cache is keyed by besides the messages."""
    ours: tuple[str, ...] = ()
    """What we changed: tools taken out, a cheaper model."""
    noted: bool = False
    """We told the agent something at its end, which the next request does not repeat."""


class Difference(NamedTuple):
    """The first thing that differs."""

    position: int
    role: str
    """Of the message; the member's name where a parameter changed, "model" for that."""
    cause: Cause
    before: int
    """Bytes of this request that stand before it."""
    lost: int
    """Bytes behind it that the earlier request had too."""


class Circumstances(NamedTuple):
    """What decides, besides the difference, whether something was lost."""

    rules: CacheRules
    gap_ms: int
    """Since the request before."""
    ttl_ms: int
    """How long its prefix was to be kept."""
    marked: bool
    """The request asks for caching, where that must be asked for."""


def common_length(old: Request, new: Request) -> int:
    """How many of the first messages are the same, as people see them."""
    count = 0
    for one, other in zip(old.marks, new.marks, strict=False):
        if one.identity != other.identity:
            break
        count += 1
    return count


def compare(old: Request, new: Request, messages: Sequence[bytes]) -> Difference | None:
    """The first difference that costs something; None = the request goes on from the old one, or has nothing to do with it.

    `messages`: the raw JSON of the new request's.
    """
    place = common_length(old, new)
    if place == len(old.marks):
        found = _respelt(old, new)
    elif place == len(new.marks):
        return None  # asked again from further back: what it repeats is there
    else:
        found = _moved(old, new, messages, place)
        if found is None:
            return None
    return _with_switch(found, old, new)


def goes_on(old: Request, new: Request) -> Difference | None:
    """The same, of a request that is known to begin with the old one, byte for byte."""
    return _with_switch(None, old, new)


def begins_with(new: Request, old: Request) -> bool:
    """Does it repeat all of the old request, as people see it?"""
    return common_length(old, new) == len(old.marks)


def broke(found: Difference | None, old: Request, new: Request, usage: Usage, price: Price, told: Circumstances) -> Break | None:
    """What a request lost against the one before it. `found` None: it goes on from `old`.

    `usage` says what the provider did read. Tokens lost are those that could have been read, and at most those behind the difference;
    their price is what they were billed at (as a write, as far as there were writes) less what reading them costs.
    """
    missing = lost_tokens(found, old, new, usage)
    if not missing:
        return None
    could = _share(usage.input_total, old.size if found is None else found.before + found.lost, new.size)
    cause = _why(found, could, old, usage, told)
    nusd = _above_reading(usage, price, missing)
    if cause is None or nusd is None:
        return None
    if found is None or cause in LOST_UNCHANGED:
        return Break(len(old.marks), "", cause, missing, nusd)
    return Break(found.position, found.role, cause, missing, nusd)


def lost_tokens(found: Difference | None, old: Request, new: Request, usage: Usage) -> int:
    """Tokens that could have been read from the cache and were not, behind the difference if there is one; 0 where they are too few to tell."""
    before, lost = (0, old.size) if found is None else (found.before, found.lost)
    could = _share(usage.input_total, before + lost, new.size)
    missing = min(_share(usage.input_total, lost, new.size), could - usage.cache_read)
    if missing < BREAK_TOKENS_MIN or (found is None and usage.cache_read * 2 >= could):
        return 0
    return missing


def assumed(found: Difference | None, old: Request, new: Request, tokens: int, told: Circumstances) -> Usage:
    """What a request of so many input tokens would be answered with, where nobody said: the provider reads what its rules let it read."""
    kept = _share(tokens, old.size if found is None else found.before, new.size)
    cached = told.rules.by_itself or told.marked
    read = kept if cached and kept >= told.rules.min_tokens and told.gap_ms <= told.ttl_ms else 0
    if cached and told.rules.ttls and told.rules.ttls[0].kind == CACHE_WRITE_5M:
        return Usage(cache_read=read, cache_write_5m=tokens - read)
    return Usage(input=tokens - read, cache_read=read)


def _share(tokens: int, some_bytes: int, all_bytes: int) -> int:
    return tokens * some_bytes // max(1, all_bytes)


def _why(found: Difference | None, could: int, old: Request, usage: Usage, told: Circumstances) -> Cause | None:
    """A prefix that could not have been there is not lost by what changed in it."""
    if could < told.rules.min_tokens:
        return Cause.SHORT if found is None and could * 2 >= told.rules.min_tokens else None
    if not (told.rules.by_itself or told.marked or usage.cache_read or usage.cache_write_5m or usage.cache_write_1h):
        return Cause.UNMARKED
    if told.gap_ms > told.ttl_ms:
        return Cause.EXPIRED
    if found is not None:
        return found.cause
    return Cause.GATEWAY if old.noted else Cause.MISSED


def _above_reading(usage: Usage, price: Price, tokens: int) -> int | None:
    """Nano-USD that so many tokens cost beyond their reading; None where the price has no rate for that."""
    nums = price.tier(usage.input_total).nums
    if CACHE_READ not in nums or INPUT not in nums:
        return None
    above, left = 0, tokens
    for kind, count in ((CACHE_WRITE_1H, usage.cache_write_1h), (CACHE_WRITE_5M, usage.cache_write_5m)):
        taken = min(left, count)
        above += taken * (nums.get(kind, nums[INPUT]) - nums[CACHE_READ])
        left -= taken
    above += left * (nums[INPUT] - nums[CACHE_READ])
    return half_even(max(0, above), price.den)


def _with_switch(found: Difference | None, old: Request, new: Request) -> Difference | None:
    """What a cache is keyed by comes before all that is in it."""
    if (switched := _switched(old, new)) is None:
        return found
    cause, role = switched
    return Difference(0, role, cause, 0, old.size if found is None else found.before + found.lost)


def _switched(old: Request, new: Request) -> tuple[Cause, str] | None:
    """What a cache is keyed by, and is another one now."""
    if old.target != new.target:
        return (Cause.MODEL if old.ours == new.ours else Cause.GATEWAY), "model"
    before, after = dict(old.parameters), dict(new.parameters)
    for name in (*after, *before):
        if before.get(name) != after.get(name):
            return Cause.PARAMETERS, name
    return None


def _respelt(old: Request, new: Request) -> Difference | None:
    """The same messages, and yet other bytes."""
    before = 0
    for position, (there, here) in enumerate(zip(old.marks, new.marks, strict=False)):
        if there.digest != here.digest:
            cause = Cause.JSON if there.markup == here.markup else Cause.MARKERS
            return Difference(
                position, here.role, cause, before, sum([mark.size for mark in new.marks[position : len(old.marks)]])
            )
        before += here.size
    return None


def _moved(old: Request, new: Request, messages: Sequence[bytes], place: int) -> Difference | None:
    """From `place` on they differ. None where nothing of the old request comes again, or nothing tells that it is the same conversation."""
    theirs, ours = old.marks, new.marks
    there, here = theirs[place], ours[place]
    first = {theirs[at].identity: at for at in range(len(theirs) - 1, place - 1, -1)}
    start = next((at for at in range(place, len(ours)) if ours[at].identity in first), len(ours))
    until = first[ours[start].identity] if start < len(ours) else len(theirs)
    kept = [mark for mark in ours[start:] if mark.identity in first]
    in_place = start == len(ours) or start - place == until - place
    edit = edit_of(there, here, messages[place]) if in_place and there.role == here.role else None
    if edit is not None and edit.value is Value.WORDS and start == place + 1 == len(ours) and here.role not in OPENING:
        return None  # another question in place of one that is not answered here, however alike they are
    if start == len(ours) and edit is not None and edit.kin:
        kept = [mark for mark, other in zip(ours[place + 1 :], theirs[place + 1 :], strict=False) if _alike(mark, other)]
    changed = edit is not None and edit.kin and (start == len(ours) or any(mark.identity == theirs[-1].identity for mark in kept))
    if not (changed or any(mark.role in ANSWERS for mark in kept) or _answered(theirs[-1], ours)):
        return None
    before = sum([mark.size for mark in ours[:place]])
    lost = sum([mark.size for mark in kept])
    if edit is not None:
        before, lost = before + edit.ahead, lost + edit.behind
    cause = _cause(old, new, place, edit, start - place, until - place)
    return Difference(place, there.role if cause is Cause.DROPPED else here.role, cause, before, lost)


def _cause(old: Request, new: Request, place: int, edit: Edit | None, come: int, gone: int) -> Cause:
    """`come` messages stand where `gone` stood."""
    there, here = old.marks[place], new.marks[place]
    if TOOLS in (there.role, here.role):
        return _tools(old, new, there, here)
    if edit is not None:
        return Cause.EDITED if edit.value is Value.WORDS else Cause(edit.value.value)
    if come == 0:
        return Cause.DROPPED
    if gone == 0 or come > gone:
        return Cause.INSERTED
    return Cause.EDITED if come == gone else Cause.SUMMARISED


def _tools(old: Request, new: Request, there: Mark, here: Mark) -> Cause:
    if old.ours != new.ours:
        return Cause.GATEWAY
    if there.role != here.role:
        return Cause.TOOLS_SET
    before, after = there.hashes, here.hashes
    if sorted(before) == sorted(after):
        return Cause.TOOLS_ORDER
    return Cause.TOOL_SCHEMA if sorted(before[::2]) == sorted(after[::2]) else Cause.TOOLS_SET


def _alike(mark: Mark, other: Mark) -> bool:
    """The same message but for numbers, or for words as long."""
    return mark.digits == other.digits or mark.shape == other.shape


def _answered(last: Mark, ours: Sequence[Mark]) -> bool:
    """What the old request ended with has been answered in the new one."""
    return any(
        one.identity == last.identity and one.role not in OPENING and after.role in ANSWERS for one, after in pairwise(ours)
    )
