"""Logs made shorter: lines of one kind are folded with their number, the beginning that all instants share is dropped.

Comes in: what a command, a server, a build or a test run printed. Goes out: its lines word for word, but for terminal colours, what a progress
bar overwrote, and that beginning; in place of what is left out stands how many lines it was. Lines that may say what is wrong stay, as often
as they differ, overwritten or not; a stack trace stays whole, once. Does not know: how long a text must be.
"""

from bisect import bisect_right
from collections import Counter
from itertools import accumulate

import msgspec

from jevons.wire.trimming.crushed import Crushed
from jevons.wire.trimming.lines import ACCESS, COLOURS, DIGITS, HEX, LEVEL, ROUTINE, STAMP, WRONG, WRONG_NUMBERS, ZERO

LINES_MIN = 20
LOG_SHARE = 0.6
"""So many of the lines that begin something must look like a log's: what is not surely one is left alone."""
OF_A_KIND = 4
"""Lines of one kind that are kept, and the last one."""
HEAD, TAIL = 5, 20
"""Lines kept at either end in any case: a command says at its end what came of it."""
GAP_MIN = 3
"""Fewer lines are not worth the line that says that they are gone."""
SHARED_MIN = 8
"""Characters that all instants must share."""


class _Event(msgspec.Struct):
    """A line with those that belong to it: indented, or of a stack trace."""

    first: int
    last: int
    stamp: int
    """Characters of the instant at its beginning; 0 = none."""
    routine: int | None = None
    """Which words say that all is well."""
    logged: bool = False


def crush_log(text: str) -> Crushed | None:
    """None: it is not surely a log. About 3 ms per 100 KB."""
    if "\n" not in text:
        return None
    lines, overwritten = _plain(text)
    if len(lines) < LINES_MIN:
        return None
    events = _events(lines)
    begun = [event for event in events if lines[event.first]]
    if not begun or sum([event.logged for event in begun]) < LOG_SHARE * len(begun):
        return None
    kept = _kept(lines, events)
    shared = _shared([lines[event.first][: event.stamp] for event in events if event.stamp])
    cut = {event.first for event in events if event.stamp} if shared else set()
    out = [f'[instants begin "{shared}"]'] if shared else []
    gone = 0
    place = 0
    while place < len(lines):
        end = place
        while end < len(lines) and not kept[end]:
            end += 1
        if end - place >= GAP_MIN:
            out.append(f"[{end - place:,} lines like others here]")
            gone += end - place
            place = end
            continue
        end = max(end, place + 1)
        out += [lines[at][len(shared) :] if at in cut else lines[at] for at in range(place, end)]
        place = end
    left = ((gone, "lines"), (overwritten, "overwritten lines"))
    return Crushed("\n".join(out), tuple([(count, sort) for count, sort in left if count]))


def _plain(text: str) -> tuple[list[str], int]:
    """The lines without colours, each as a terminal would show it in the end; and how many were overwritten. One that may say what is wrong
    is a line of its own."""
    if "\x1b" in text:
        text = COLOURS.sub("", text)
    lines = text.split("\n")
    if "\r" not in text:
        return lines, 0
    drawn = [line.rstrip("\r").split("\r") for line in lines]
    whole = [part for parts in drawn for part in parts]
    last = set(accumulate([len(parts) for parts in drawn], initial=-1))
    wrong = _wrong(_bytes("\n".join(whole)))
    shown = [part for place, part in enumerate(whole) if place in last or place in wrong]
    return shown, len(whole) - len(shown)


def _events(lines: list[str]) -> list[_Event]:
    found: list[_Event] = []
    traced = False
    for place, line in enumerate(lines):
        goes_on = line[:1] in (" ", "\t") and STAMP.match(line) is None
        if found and (goes_on or line.startswith(("Caused by", "\tat ", "at ")) or traced):
            found[-1].last = place
            traced = (traced or "Traceback (most recent call last)" in line) and goes_on
            continue
        traced = line.startswith("Traceback (most recent call last)")
        stamp = STAMP.match(line)
        event = _Event(place, place, stamp.end() if stamp else 0)
        if stamp is None and (words := ROUTINE.match(line)) is not None:
            event.routine = words.lastindex
        event.logged = bool(stamp or event.routine or LEVEL.match(line) or ACCESS.match(line))
        if traced and found and found[-1].stamp and not event.logged:
            found[-1].last = place  # a logged exception: the trace belongs to the line above
        else:
            found.append(event)
    return found


def _kept(lines: list[str], events: list[_Event]) -> list[bool]:
    """For each line: does it stay?"""
    kept = [True] * len(lines)
    seen: Counter[object] = Counter()
    latest: dict[object, _Event] = {}
    data = _bytes("\n".join(lines))
    wrong, kinds = _wrong(data), _without_numbers(data)
    for event in events:
        kind: object
        single = event.first == event.last
        if event.first in wrong or not (single or wrong.isdisjoint(range(event.first + 1, event.last + 1))):
            kind, limit = (lines[event.first][event.stamp :], *lines[event.first + 1 : event.last + 1]), 1
        elif event.routine is not None:
            kind, limit = event.routine, OF_A_KIND
        elif event.logged:
            kind, limit = kinds[event.first] if single else tuple(kinds[event.first : event.last + 1]), OF_A_KIND
        else:
            continue
        latest[kind] = event
        seen[kind] += 1
        if seen[kind] > limit and event.first >= HEAD and event.last < len(lines) - TAIL:
            kept[event.first : event.last + 1] = [False] * (event.last + 1 - event.first)
    for event in latest.values():
        kept[event.first : event.last + 1] = [True] * (event.last + 1 - event.first)
    return kept


def _wrong(data: bytes) -> set[int]:
    """The lines that may say what is wrong."""
    data = data.lower()
    begins = list(accumulate([len(line) + 1 for line in data.split(b"\n")], initial=0))
    found: set[int] = set()
    for word in WRONG:
        at = data.find(word)
        while at >= 0:
            place = bisect_right(begins, at) - 1
            found.add(place)
            at = data.find(word, begins[place + 1])
    for number in WRONG_NUMBERS:
        found.update([bisect_right(begins, match.start()) - 1 for match in number.finditer(data)])
    return found


def _without_numbers(data: bytes) -> list[bytes]:
    """The lines, with the same sign for every number and id but 0."""
    data = ZERO.sub(b"none", data).translate(DIGITS)
    for run in (b"0000", b"00", b"00"):
        data = data.replace(run, b"0")
    return HEX.sub(b"0", data).split(b"\n")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _shared(stamps: list[str]) -> str:
    """What all instants begin with, up to a sign between two numbers."""
    if len(stamps) < 2:
        return ""
    first, last = min(stamps), max(stamps)
    shared = first[
        : next((place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    ]
    while shared and shared[-1].isalnum():
        shared = shared[:-1]
    return shared if len(shared) >= SHARED_MIN else ""
