"""A student's card: what it does, whose it is, of what it was made, how well it did, and what making it took. Kept as JSON in the ledger.

Holds no content: examples by their numbers, the template as a keyed hash, fields and classes as counts. Does not know: how it is made
(`distil`), who reads it.
"""

from collections.abc import Iterable

import msgspec


class Scope(msgspec.Struct, frozen=True):
    """Which requests it may be asked: those whose answers it was made of were of these."""

    templates: tuple[str, ...]
    """Of `Features.template`: a request of another has other instructions, and is not its. "" = requests that have none."""
    task: str = ""
    """Of `Features.task`: only requests of this class of the operator's; "" = of any."""


class Measured(msgspec.Struct, frozen=True):
    """On the latest examples, which it was not trained on."""

    rows: int
    answered: int
    """Rows for which it had an answer at all."""
    agreed: int
    """Of these, as the teacher answered."""
    alpha: float
    delta: float
    threshold: float | None
    """From this score on at most `alpha` disagree with confidence 1 - delta; None = for no score. The live promise is measured anew."""
    coverage: float
    """Share of all rows at or above it."""
    disagreement: float
    """Among those, share that disagreed."""


class Provenance(msgspec.Struct, frozen=True):
    """Of what it was made."""

    org: str
    teachers: tuple[str, ...]
    """Models whose answers it learnt."""
    examples: tuple[tuple[int, int], ...]
    """Numbers of the captured examples that it holds or was fitted to, as first and last of each stretch."""
    first_ms: int
    last_ms: int
    read: int
    """Captured examples of its scope."""
    dropped: dict[str, int]
    """Why some were not used: duplicate, failed, complaint, conflict, poisoned."""
    train_rows: int
    test_rows: int
    teacher_nusd: int
    """What a request cost at the teacher then, in the mean; 0 = not known."""


class Card(msgspec.Struct, frozen=True):
    """All of it."""

    kind: str
    """table, classifier, extractor"""
    scope: Scope
    provenance: Provenance
    measured: Measured
    answers: int
    """Different answers that it can give; of an extractor: fields."""
    train_s: float
    train_nusd: int
    """Seconds of this machine, at its stated rate."""
    parent: int | None = None
    """The version that it follows."""
    retrain: str = ""
    """Why it should be made anew, such as examples that were erased; "" = it need not."""

    def holds(self, example: int) -> bool:
        return any(first <= example <= last for first, last in self.provenance.examples)


def stretches(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Numbers as (first, last) of each stretch without a gap."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return tuple(found)


def read_card(text: str) -> Card:
    """Raises msgspec.DecodeError for a card of another make."""
    return msgspec.json.decode(text, type=Card)


def card_text(card: Card) -> str:
    return msgspec.json.encode(card).decode()
