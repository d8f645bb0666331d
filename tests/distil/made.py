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
    return [
        Example(
            org, 1, (NOON_MS + place * MINUTE_MS) << 18, NOON_MS + place * MINUTE_MS, template, "gpt-4o", question, answer, features, id=first + place
        )
        for place, (question, answer) in enumerate(pairs)
    ]  # fmt: skip
