"""Client keys: 256 random bits, shown once, kept as SHA-256."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from jevons.ledger.ops import Key

KEY_PREFIX = "jv-"
SHOWN_CHARACTERS = 7
"""Characters of a key that are kept and shown, so that a person can tell keys apart: four of 43, which leaves 232 bits."""


def new_key() -> str:
    """A fresh key: "jv-" and 43 URL-safe characters (it may stand in a base path)."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def find(keys: Mapping[bytes, Key], presented: str) -> Key | None:
    """The live key that was presented, or None. What is looked up and compared is a digest, the comparison takes constant time."""
    digest = digest_of(presented)
    key = keys.get(digest)
    if key is None or key.revoked_ms is not None or not hmac.compare_digest(key.digest, digest):
        return None
    return key
