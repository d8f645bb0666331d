"""What can go wrong with the ledger, said for the operator."""


class LedgerError(Exception):
    """The ledger cannot be used; the message says what happened, to what, and what to do."""


class LedgerUnavailable(LedgerError):
    """A commit failed (disk full, I/O error). Governed requests are answered 503 until one succeeds."""


class Unknown(LedgerError):
    """What was named is not there."""
