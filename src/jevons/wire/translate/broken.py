"""How translators say that an upstream's answer is not what its dialect promises."""

from jevons.wire.neutral import Failure


class BrokenAnswer(Exception):
    """What is wrong with the answer, for the person who looks after the upstream."""


CUT_OFF = Failure("upstream_error", "The upstream's stream ended before its answer did")
"""The upstream closed too early."""
