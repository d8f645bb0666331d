"""What cannot be worked out, said to the person who can give what is missing."""


class UnitCostError(ValueError):
    """A question that has no answer as it was asked; the message says why."""


class UnknownFact(UnitCostError):
    """A field, a figure of a part or a price that nobody has given. The message names it, of what it is, and how to give it."""


class TooLong(UnitCostError):
    """A sequence has more tokens than the model has positions. The message says how many of each."""


class DoesNotFit(UnitCostError):
    """The model and its caches need more memory than there is. The message says how much of each, and what would fit."""
