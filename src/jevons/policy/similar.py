"""Which requests may be answered by similarity at all, and what two requests must have in common to the letter.

Comes in: what a request is made of. Goes out: None, or why it may not, in words for whoever asks why nothing is served; and the literals of
its text, which belong into the key of the partition. Everything before the last user message does, too, by its link (core/chain.py): a
model knows of a person what the request says, so that two requests with the same beginning and the same literals have the same context.

The rules are crude on purpose: a word list that stops too much costs hits, one that stops too little answers wrongly. Word lists are
English. An operator may force what they stop.

Does not know: vectors, stores, settings.
"""

import re
from typing import NamedTuple

from jevons.core.limits import SEMANTIC_TEXT_CHARS_MAX

_TIME = re.compile(
    r"""\b(?:today|tonight|tomorrow|yesterday|now|nowadays|current(?:ly)?|latest|newest|recent(?:ly)?|upcoming|breaking|
    (?:this|next|last|past)\s+(?:second|minute|hour|morning|afternoon|evening|night|day|week|weekend|month|quarter|season|year)|
    (?:what|which)\s+(?:time|day|date|year)|how\s+(?:long\s+ago|old)|ago|so\s+far|up\s+to\s+date|as\s+of|
    (?:mon|tues|wednes|thurs|fri|satur|sun)day|weather|forecast|news|exchange\s+rates?|(?:stock|share)\s+prices?|
    \d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/\d{2,4}|(?:19|20)\d\d)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_PERSONAL = re.compile(
    r"""\bmy\s+(?:full\s+|first\s+|last\s+)?(?:name|e-?mail|address|phone\s+number|number|birthday|birth\s+date|age|password|passport|ssn|diagnosis|
    salary|wife|husband|son|daughter|mother|father|boss)\b|\bi\s+(?:live|work|was\s+born)\s+(?:in|at|for|on)\b|\bi\s*(?:am|['’]m)\s+\d|\bi\s*(?:am|['’]m)\s+called\b|
    (?<![\w.+-])[\w.+-]++@[\w-]+\.\w|\+?\d[\d\s()/-]{6,}\d""",
    re.IGNORECASE | re.VERBOSE,
)
_LITERAL = re.compile(
    r"""```.*?```|`[^`\n]+`|"[^"\n]+"|“[^“”\n]+”|https?://\S+|
    (?<![^\s@"”`])(?:[^\s@"”`]++@[^\s@]+|[^\s@"”`]*\d\S*)|
    (?<=[\w,;]\s)[A-Z][\w'’-]+""",
    re.DOTALL | re.VERBOSE,
)
"""A word is gone over once, from its beginning or from behind what ended a literal: no pattern goes back and forth over a stranger's text."""
_NEGATION = re.compile(r"\b(?:not|never|no|none|without|cannot)\b|n['’]t\b", re.IGNORECASE)
_I = re.compile(r"I(?:['’]\w+)?")


class Features(NamedTuple):
    """What decides whether a request may be answered by similarity."""

    text: str
    """Of the last user message."""
    tools: bool = False
    """Tools are offered: the answer may be a call, whose result is not ours to guess."""
    tool_results: bool = False
    """A tool's result is in the conversation."""
    media: bool = False
    """The last user message holds something else than text."""
    remote_context: bool = False
    """What the model sees is not all in the request: a previous response, a file, a stored prompt."""
    choices: int = 1


def ineligible(request: Features) -> str | None:
    """Why this request may not be answered by similarity; None = it may."""
    text = request.text
    if request.tools:
        return "tools are offered"
    if request.tool_results:
        return "a tool's result is in the conversation"
    if request.media:
        return "it holds more than text"
    if request.remote_context:
        return "part of its context is kept by the provider"
    if request.choices != 1:
        return "several answers are asked for"
    if not text.strip():
        return "it has no text"
    if len(text) > SEMANTIC_TEXT_CHARS_MAX:
        return f"its text is longer than {SEMANTIC_TEXT_CHARS_MAX:,} characters"
    if found := _TIME.search(text):
        return f"its answer depends on when it is asked ({found[0]!r})"
    if _PERSONAL.search(text):
        return "it says something personal"  # which is not repeated here
    return None


def literals(text: str) -> tuple[str, ...]:
    """What another text must have in common with this one to be similar at all: numbers, names, quotations, links, code; whether it negates.

    A mean of word vectors hardly feels them (embed/), and answers turn on them.
    """
    found = [literal.strip(".,;:!?") for literal in _LITERAL.findall(text) if not _I.fullmatch(literal)]
    return (*sorted(found), *(["not"] if _NEGATION.search(text) else []))
