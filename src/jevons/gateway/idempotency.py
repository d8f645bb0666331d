"""Was this request made before? What its Idempotency-Key says.

Comes in: a key of ours, digests of the header and of the body. Goes out: nothing, or a Refusal that names the request that was made. Does not know:
answers, which may be kept (`gateway.answers`).
"""

from jevons.core.entry import ATTEMPT_BITS, attempt_of, request_text
from jevons.core.refusal import Kind, Refusal, invalid
from jevons.ledger.bill import request_entries
from jevons.ledger.ledger import Ledger


def check_repeat(ledger: Ledger, key_id: int, idempotency: tuple[bytes, bytes]) -> None:
    """Raises Refusal (409, 422) if this key used the Idempotency-Key before; asked at the door, and again in the step that takes the hold."""
    earlier = ledger.repeated(key_id, idempotency[0]) if idempotency[0] else None
    if earlier is None:
        return
    body_digest, entry_id = earlier
    first = entry_id - attempt_of(entry_id)
    request = request_text(first)
    if body_digest != idempotency[1]:
        raise invalid(
            f"This Idempotency-Key was used with another body ({request}); use a new one.",
            code="idempotency_key_reused",
            status=422,
        )
    billed = sum(entry["billed_nusd"] for entry in request_entries(ledger.path, first, 1 << ATTEMPT_BITS, key_id))
    raise Refusal(
        Kind.CONFLICT,
        409,
        f"This request was made before, as {request}, and is not made again. Its cost: GET /jevons/v1/requests/{request}.",
        code="idempotent_repeat",
        detail={"request": request, "billed_nusd": billed},
    )
