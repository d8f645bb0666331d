"""Captured examples as the tests of students need them."""

from jevons.core.features import Features
from jevons.ledger.capture import Example
from tests.ledger.making import NOON_MS

MINUTE_MS = 60_000


def examples(
    pairs: list[tuple[str, str]], *, org: str = "default", template: str = "t1", task: str = "", first: int = 1
) -> list[Example]:
    """One a minute, numbered from `first`."""
    features = Features(template=template, task=task)
    made = []
    for place, (question, answer) in enumerate(pairs):
        at_ms, number = NOON_MS + place * MINUTE_MS, first + place
        made.append(
            Example(org, 1, (at_ms << 18) + (first << 4), at_ms, template, "gpt-4o", question, answer, features, id=number)
        )
    return made
