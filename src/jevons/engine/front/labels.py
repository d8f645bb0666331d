"""The two headers of a request to the engine: whose it is, and the conversation it goes on. Keyed digests, no text.

    x-jevons-tenant   16 bytes as hex: a tag of the organisation; two tenants never share a slot's content or a parked block
    x-jevons-chain    links of 16 bytes as hex, joined by commas: identity links of the message chain (core.chain), the first and the latest

A link stands for all messages up to its own, so the depth of a match is the place of the last link that is known.
"""

from collections.abc import Iterable, Sequence

from jevons.core.chain import DIGEST_BYTES, identity_links
from jevons.core.limits import PARK_LABELLED_BYTES_MAX, PARK_LINKS_FIRST, PARK_LINKS_LAST
from jevons.engine.park.sealing import tenant_tag

TENANT = "x-jevons-tenant"
CHAIN = "x-jevons-chain"
NO_TENANT = bytes(DIGEST_BYTES)
"""Requests without a label, as tests and people at a terminal send them: a tenant of their own."""


def labels(secret: bytes, org: str, messages: Sequence[bytes]) -> list[tuple[str, str]]:
    """The headers of one request. `messages`: raw JSON of tools, system and messages, in order (`Ask.messages`).

    8 us per KB. What is longer than any context of a local model goes without links.
    """
    if sum(map(len, messages)) > PARK_LABELLED_BYTES_MAX:
        return [(TENANT, tenant_tag(secret, org).hex())]
    links = identity_links(secret, messages)
    if len(links) > PARK_LINKS_FIRST + PARK_LINKS_LAST:
        links = links[:PARK_LINKS_FIRST] + links[-PARK_LINKS_LAST:]
    return [(TENANT, tenant_tag(secret, org).hex()), (CHAIN, ",".join([link.hex() for link in links]))]


def read_labels(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, tuple[bytes, ...]]:
    """Tenant and links of a request's headers (lower-case names). Labels that cannot be read are as good as none."""
    named = dict(headers)
    tenant = _digest(named.get(TENANT.encode(), b"")) or NO_TENANT
    links = [_digest(text) for text in named.get(CHAIN.encode(), b"").split(b",")[: PARK_LINKS_FIRST + PARK_LINKS_LAST]]
    return tenant, tuple([link for link in links if link])


def _digest(text: bytes) -> bytes:
    try:
        digest = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return b""
    return digest if len(digest) == DIGEST_BYTES else b""
