"""One token of an answer, and how sure its model was of it.

Does not know: where the figures come from (`wire.logprobs`), what is made of them (`policy.cascade`).
"""

from typing import NamedTuple


class Token(NamedTuple):
    """Logarithms are natural."""

    data: bytes
    """Its text in UTF-8; may end inside of a character."""
    logprob: float
    """Of its probability, given all before it; as the model had it before any grammar or sampling took others out."""
    margin: float | None
    """By how much it was more probable than the best other one: difference of log-probabilities, below 0 where that was not taken; None = not told."""
