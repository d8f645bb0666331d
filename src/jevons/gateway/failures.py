"""How an attempt at an upstream can fail, told apart by what matters for money: nothing was sent, or nobody knows."""


class NotSent(Exception):
    """No byte of the request was handed to a connection: the upstream cannot have seen it."""


class Broken(Exception):
    """The connection failed after the request may have gone out, or the answer is unusable."""


class TimedOut(Broken):
    """Nothing came for as long as the upstream's settings allow."""
