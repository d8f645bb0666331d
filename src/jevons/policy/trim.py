"""Whether a tool's output is made shorter before it is sent.

Comes in: what is known of the output, and what trimming would do. Goes out: a decision. Trimming is free only where nothing behind the text is
in the provider's cache yet: when it is first sent. Later it changes the prefix, and all that stands behind is computed again. Does not know:
dialects, texts, what was sent before.
"""

import enum
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

import msgspec

READS_FILE = re.compile(
    r"(?:^|[\s;&|(`\"'/])(?:"
    r"(?:cat|tac|zcat|head|tail|sed|nl|less|more|bat|batcat|[gm]?awk|[ef]?grep|rg|type|gc|Get-Content)\s"
    r"|(?<!\|)(?<!\| )[jy]q\s"  # behind a pipe it reads what another command printed
    r"|git\s(?:-\S{1,20}\s+\S{1,200}\s+)?(?:show\s[^\n;&|]{0,200}\w:\w|cat-file\s)"
    r")"
)
"""Commands that print files, in the texts of a call's arguments, a line for each. What they print may be edited by its exact words next, unless
it is a log."""


class Fate(enum.StrEnum):
    """What becomes of one output."""

    TRIM = "trim"
    """It may be made shorter, if that is worth it."""
    SAME = "same"
    """It was made shorter when it was first sent: the same bytes again."""
    KEEP = "keep"
    """It is sent as it came."""


class Sent(enum.StrEnum):
    """How an output was sent before, as far as anybody remembers."""

    TRIMMED = "trimmed"
    WHOLE = "whole"
    UNKNOWN = "unknown"


def fate(sent: Sent, *, fresh: bool, failed: bool) -> Fate:
    """`fresh`: no answer of the model stands behind it, so that no earlier request carried it. `failed`: the client says that the call went
    wrong; what went wrong is told in full.

    What was sent in one way stays so for as long as that is known; what is not known is taken for sent as it came.
    """
    if sent is Sent.TRIMMED:
        return Fate.SAME
    if sent is Sent.WHOLE or not fresh or failed:
        return Fate.KEEP
    return Fate.TRIM


def is_kept(tool: str, keep_tools: Sequence[str]) -> bool:
    """Is the output of this tool never touched? Patterns as a shell's, without regard to case."""
    return any(fnmatchcase(tool.lower(), pattern.lower()) for pattern in keep_tools)


def is_worth(before_tokens: int, after_tokens: int, min_share: float) -> bool:
    """Does it save the share that is asked for? Both counts with everything that is sent, the line about it included."""
    return before_tokens > after_tokens and before_tokens - after_tokens >= min_share * before_tokens


class Rates(msgspec.Struct, frozen=True):
    """What a token costs, in one unit: read from the provider's cache, and written to it (or computed anew, where writing costs nothing)."""

    read: int
    write: int


def pays(removed: int, behind: int, turns_left: int, rates: Rates) -> bool:
    """Is it cheaper to take `removed` tokens out of a prefix that is cached, with `behind` cached tokens behind them?

    Once these are written instead of read, and at every turn to come that many less are read: it pays after m turns with
    m > (w - r) L / (r D); at w = 1.25, r = 0.1 that is 11.5 L / D.
    """
    return turns_left * rates.read * removed > (rates.write - rates.read) * behind
