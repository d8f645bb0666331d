"""Which crusher a text is for: JSON, diff, log; else none.

Comes in: what a tool gave back. Goes out: the same made shorter, or None: not recognised, not shorter, or made shorter before. Source code is
none of the three. Does not know: which tool it was, what is worth it.
"""

import enum

from jevons.wire.trimming.crushed import Crushed, is_marked
from jevons.wire.trimming.diffs import crush_diff
from jevons.wire.trimming.json_text import crush_json
from jevons.wire.trimming.logs import crush_log


class Form(enum.StrEnum):
    """What a text is."""

    JSON = "json"
    DIFF = "diff"
    LOG = "log"
    PLAIN = "plain"
    """None of them: cut to its beginning and its end, where the operator wants it."""


ALL = frozenset({Form.JSON, Form.DIFF, Form.LOG})


def crush(text: str, forms: frozenset[Form] = ALL, plain_chars: int = 0) -> Crushed | None:
    """`plain_chars`: what is kept of a text that is nothing of `forms`, if PLAIN is among them."""
    if is_marked(text):
        return None
    made = None
    if Form.JSON in forms:
        made = crush_json(text, _inside)
    if made is None and Form.DIFF in forms:
        made = crush_diff(text)
    if made is None and Form.LOG in forms:
        made = crush_log(text)
    if made is None and Form.PLAIN in forms and plain_chars:
        made = cut(text, plain_chars)
    return made if made is not None and len(made.text) < len(text) else None


def cut(text: str, chars: int) -> Crushed | None:
    """About so many characters of a text, two thirds from its beginning, in whole lines where it has them. None: it is no longer."""
    if len(text) <= chars:
        return None
    head, tail = text[: chars * 2 // 3], text[len(text) - chars // 3 :]
    head = head[: head.rfind("\n") + 1] or head
    tail = tail[tail.find("\n") + 1 :] or tail
    gone = len(text) - len(head) - len(tail)
    return Crushed(f"{head.removesuffix(chr(10))}\n[{gone:,} characters left out]\n{tail}", ((gone, "characters"),))


def _inside(text: str) -> Crushed | None:
    """A text inside of JSON."""
    return crush(text)
