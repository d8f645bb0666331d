"""A text made shorter, what it lost, and the line at its end that says so.

Comes in: how much of what was left out, and a reference. Goes out: one line, short because it is paid for at every turn.
"""

import re

import msgspec

from jevons.core.limits import TRIM_REF_DIGITS

PATH = "/jevons/v1/trimmed/"
"""Where the original can be had, on the gateway that the agent calls anyway."""
_LAST_LINE = re.compile(rf"\n\[jevons: [^\n]*{re.escape(PATH)}\d{{{TRIM_REF_DIGITS}}}\]\s*\Z")


class Crushed(msgspec.Struct, frozen=True):
    """What one of the crushers made of a text."""

    text: str
    left: tuple[tuple[int, str], ...] = ()
    """(how many, of what) was left out; () = every value is still there, in another form."""


def total(parts: list[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    """What was left out in several places, one number for each sort."""
    sums: dict[str, int] = {}
    for count, sort in parts:
        sums[sort] = sums.get(sort, 0) + count
    return tuple([(count, sort) for sort, count in sums.items()])


def marked(crushed: Crushed, ref: str) -> str:
    """The text with its last line: what was left out, how much, and where the whole is."""
    said = ", ".join([f"{count} {sort}" for count, sort in crushed.left])
    head = f"{said} left out; ask for less, or" if said else "reformatted; original:"
    return f"{crushed.text}\n[jevons: {head} GET {PATH}{ref}]"


def is_marked(text: str) -> bool:
    """Was this text made shorter before? Its last line tells."""
    return _LAST_LINE.search(text, max(0, len(text) - 400)) is not None
