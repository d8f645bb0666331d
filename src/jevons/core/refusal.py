"""Why a request is not served, in neutral terms; `wire.errors` says it in the client's dialect."""

import enum


class Kind(enum.StrEnum):
    """Families of refusals, each with one place in every dialect."""

    INVALID = "invalid_request"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    TOO_LARGE = "too_large"
    CONFLICT = "conflict"
    BUDGET = "budget"
    RATE_LIMIT = "rate_limit"
    UPSTREAM = "upstream"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    INTERNAL = "internal"


class Refusal(Exception):
    """Raised anywhere on the journey; the door answers it. The message is for the person who must act."""

    def __init__(
        self,
        kind: Kind,
        status: int,
        message: str,
        *,
        code: str = "",
        param: str | None = None,
        retry_after_s: int | None = None,
        detail: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.message = message
        self.code = code or str(kind)
        self.param = param
        self.retry_after_s = retry_after_s
        self.detail = detail or {}
        self.spent = False
        """All tries that may help have been made: the client is told not to add its own."""


def invalid(message: str, *, param: str | None = None, code: str = "", status: int = 400) -> Refusal:
    return Refusal(Kind.INVALID, status, message, code=code or "invalid_request", param=param)
