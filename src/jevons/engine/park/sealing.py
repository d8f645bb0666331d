"""Parked bytes as they stand on a disk: encrypted, and bound to the tenant and the name that they were written under.

Comes in: the installation secret, a tenant's tag, a name of 32 bytes, plain bytes. Goes out: a sealed file's bytes, and back; whatever
was changed, cut, renamed, moved to another tenant or written under another secret or format is `Refused`.
Does not know: where files lie. Imports the cipher only when a `Sealer` is made: the gateway takes `tenant_tag` from here.

A file is FORMAT (8 bytes) ‖ nonce (12 bytes, random) ‖ AES-256-GCM of the bytes, with FORMAT ‖ tag ‖ name as associated data.
Each tenant has a key of its own, HKDF-SHA256 (RFC 5869) of the secret. Random nonces are good for 2^32 files of one key (NIST SP
800-38D, 8.3): at ten files a second, 13 years.
"""

import hmac
import os
from hashlib import sha256
from importlib import import_module
from typing import Any

FORMAT = b"JvPark\x00\x01"
"""Its last byte counts up whenever the layout changes; files of any other format are refused, which costs a prefill each."""
TAG_BYTES = 16
NAME_BYTES = 32
_NONCE_BYTES = 12
_GCM_BYTES = 16
OVERHEAD_BYTES = len(FORMAT) + _NONCE_BYTES + _GCM_BYTES


class Refused(Exception):
    """The bytes are not what was sealed under this secret, tenant and name."""


def tenant_tag(secret: bytes, name: str) -> bytes:
    """16 bytes that stand for an organisation and say nothing of its name to whoever lacks the secret."""
    return hmac.digest(secret, b"park" + name.encode(), sha256)[:TAG_BYTES]


class Sealer:
    """Seals and opens for every tenant of one installation; usable from many threads. Raises ImportError without `cryptography`."""

    def __init__(self, secret: bytes) -> None:
        self._invalid: type[Exception] = import_module("cryptography.exceptions").InvalidTag
        self._cipher = import_module("cryptography.hazmat.primitives.ciphers.aead").AESGCM
        self._secret = secret
        self._ciphers: dict[bytes, Any] = {}

    def seal(self, tag: bytes, name: bytes, plain: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return b"".join((FORMAT, nonce, self._of(tag).encrypt(nonce, plain, FORMAT + tag + name)))

    def open(self, tag: bytes, name: bytes, sealed: bytes) -> bytes:
        """Raises Refused."""
        if len(sealed) < OVERHEAD_BYTES or not sealed.startswith(FORMAT):
            raise Refused
        view = memoryview(sealed)[len(FORMAT) :]
        try:
            opened: bytes = self._of(tag).decrypt(view[:_NONCE_BYTES], view[_NONCE_BYTES:], FORMAT + tag + name)
        except self._invalid:
            raise Refused from None
        return opened

    def _of(self, tag: bytes) -> Any:
        if tag not in self._ciphers:
            self._ciphers[tag] = self._cipher(_hkdf(self._secret, b"jevons park" + tag))
        return self._ciphers[tag]


def _hkdf(secret: bytes, info: bytes) -> bytes:
    """32 bytes by HKDF-SHA256 without salt: one block of output (RFC 5869, 2.2 and 2.3)."""
    return hmac.digest(hmac.digest(bytes(32), secret, sha256), info + b"\x01", sha256)
