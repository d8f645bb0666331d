"""The one way a translator says that an upstream's answer is not what its dialect promises."""


class BrokenAnswer(Exception):
    """What is wrong with the answer, for the person who looks after the upstream."""
