"""Bytes as they stand on a disk: encrypted, and bound to what they are, whose they are and the name that they were written under.

Comes in: a secret, a format, a tenant's tag, a name, plain bytes. Goes out: sealed bytes, and back; whatever was changed, cut, renamed, moved
to another tenant or written under another secret or format is `Refused`.
Does not know: where the bytes lie. Imports the cipher only when a `Sealer` is made.

Sealed bytes are MAGIC (8 bytes) ‖ nonce (12 bytes, random) ‖ AES-256-GCM of the bytes, with MAGIC ‖ tag ‖ name as associated data.
Each tenant has a key of its own, HKDF-SHA256 (RFC 5869) of the secret and the format's purpose. Random nonces are good for 2^32 messages of
one key (NIST SP 800-38D, 8.3): at ten a second, 13 years.
"""

import hmac
import os
from hashlib import sha256
from importlib import import_module
from typing import Any, NamedTuple

MAGIC_BYTES = 8
TAG_BYTES = 16
_NONCE_BYTES = 12
_GCM_BYTES = 16
OVERHEAD_BYTES = MAGIC_BYTES + _NONCE_BYTES + _GCM_BYTES


class Refused(Exception):
    """The bytes are not what was sealed under this secret, tenant and name."""


class Format(NamedTuple):
    """What is sealed. Bytes of one format are never taken for another's."""

    magic: bytes
    """8 bytes; the last counts up whenever the layout changes."""
    purpose: bytes
    """What its keys are derived for."""


def tag_of(secret: bytes, purpose: bytes, name: str) -> bytes:
    """16 bytes that stand for an organisation and say nothing of its name to whoever lacks the secret."""
    return hmac.digest(secret, purpose + name.encode(), sha256)[:TAG_BYTES]


class Sealer:
    """Seals and opens for every tenant under one secret; usable from many threads. Raises ImportError without `cryptography`."""

    def __init__(self, secret: bytes, form: Format) -> None:
        self._invalid: type[Exception] = import_module("cryptography.exceptions").InvalidTag
        self._cipher = import_module("cryptography.hazmat.primitives.ciphers.aead").AESGCM
        self._secret = secret
        self._form = form
        self._ciphers: dict[bytes, Any] = {}

    def seal(self, tag: bytes, name: bytes, plain: bytes) -> bytes:
        nonce, magic = os.urandom(_NONCE_BYTES), self._form.magic
        return b"".join((magic, nonce, self._of(tag).encrypt(nonce, plain, magic + tag + name)))

    def open(self, tag: bytes, name: bytes, sealed: bytes) -> bytes:
        """Raises Refused."""
        magic = self._form.magic
        if len(sealed) < OVERHEAD_BYTES or not sealed.startswith(magic):
            raise Refused
        view = memoryview(sealed)[MAGIC_BYTES:]
        try:
            opened: bytes = self._of(tag).decrypt(view[:_NONCE_BYTES], view[_NONCE_BYTES:], magic + tag + name)
        except self._invalid:
            raise Refused from None
        return opened

    def _of(self, tag: bytes) -> Any:
        if tag not in self._ciphers:
            self._ciphers[tag] = self._cipher(_hkdf(self._secret, self._form.purpose + tag))
        return self._ciphers[tag]


def _hkdf(secret: bytes, info: bytes) -> bytes:
    """32 bytes by HKDF-SHA256 without salt: one block of output (RFC 5869, 2.2 and 2.3)."""
    return hmac.digest(hmac.digest(bytes(32), secret, sha256), info + b"\x01", sha256)
