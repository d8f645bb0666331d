"""What a parked block's file is to the sealer (`ledger.sealing`): its format, and the tag that stands for its tenant.

Does not know: where files lie. Imports no cipher: the gateway takes `tenant_tag` from here.
"""

from jevons.ledger.sealing import Format, Sealer, tag_of

PARK = Format(b"JvPark\x00\x01", b"jevons park")
"""Files of any other format are refused, which costs a prefill each."""
NAME_BYTES = 32


def tenant_tag(secret: bytes, name: str) -> bytes:
    """16 bytes that stand for an organisation and say nothing of its name to whoever lacks the secret."""
    return tag_of(secret, b"park", name)


def park_sealer(secret: bytes) -> Sealer:
    """Raises ImportError without `cryptography`."""
    return Sealer(secret, PARK)
