"""How a teacher writes JSON: its spaces, its fence; so that a student's answer reads like it.

Comes in: answers. Goes out: the way that most of them are written, by which others are written. Does not know: what stands in them.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

FENCES = (("", ""), ("```json\n", "\n```"), ("```\n", "\n```"))
SPACES: tuple[dict[str, Any], ...] = (
    {"separators": (", ", ": ")},
    {"separators": (",", ":")},
    {"indent": 2},
    {"indent": 4},
)


STYLED_MAX = 500
"""Answers that are looked at: enough to tell 24 styles apart."""


class Style(msgspec.Struct, frozen=True):
    """Places in FENCES and SPACES."""

    fence: int = 0
    spaces: int = 0
    ascii: bool = False
    """Characters beyond ASCII are escaped."""

    def write(self, one: dict[str, Any]) -> str:
        before, after = FENCES[self.fence]
        return before + json.dumps(one, ensure_ascii=self.ascii, **SPACES[self.spaces]) + after


def style_of(answers: Sequence[str]) -> Style:
    """The style that writes most of these objects as they are."""
    fitting: Counter[Style] = Counter()
    styles = [
        Style(fence, spaces, escaped)
        for fence in range(len(FENCES))
        for spaces in range(len(SPACES))
        for escaped in (False, True)
    ]
    for answer in answers[:STYLED_MAX]:
        one = read_object(answer)
        if one is not None:
            fitting.update(style for style in styles if style.write(one) == answer.strip())
    return max(styles, key=lambda style: fitting[style])


def read_object(answer: str) -> dict[str, Any] | None:
    """None for what is no object, in any fence."""
    text = answer.strip()
    for before, after in FENCES[1:]:
        if text.startswith(before) and text.endswith(after):
            text = text[len(before) : -len(after)]
            break
    try:
        one = json.loads(text)
    except ValueError:
        return None
    return one if isinstance(one, dict) else None
