"""Who is calling: the key from a header or the base path, and the labels that come with it.

The key comes in `x-jevons-key`, in the base path (`/k/<key>/v1`), or where SDKs put theirs: `Authorization: Bearer`, `x-api-key`,
`api-key`. With auth = "client" upstreams the latter belong to the client's own provider, so the first two win.
"""

import re
from collections.abc import Mapping, Sequence

from jevons.core.ask import Caller
from jevons.core.refusal import Kind, Refusal, invalid
from jevons.ledger import keys
from jevons.ledger.ops import Key

Headers = Sequence[tuple[bytes, bytes]]
Named = Mapping[bytes, bytes]
"""The same headers by name; the last of a repeated one."""

_KEY_IN_PATH = re.compile(r"/k/([A-Za-z0-9_-]{16,128})(/.*)")
_RUN_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_KEY_HEADERS = frozenset({b"x-jevons-key", b"authorization", b"x-api-key", b"api-key"})


def split_path(path: str) -> tuple[str, str]:
    """(key in the base path or "", the door's path)."""
    match = _KEY_IN_PATH.fullmatch(path)
    return (match[1], match[2]) if match else ("", path)


def presented_key(headers: Headers, path_key: str) -> str:
    """The one Jevons key of a request, or "". Raises Refusal (400) for two that differ."""
    own = {path_key} if path_key else set()
    borrowed = set()
    for name, value in headers:
        if name not in _KEY_HEADERS:
            continue
        if name == b"x-jevons-key":
            own.add(value.decode("latin-1").strip())
        elif name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            borrowed.add(token.strip() if scheme.lower() == "bearer" else value.decode("latin-1"))
        else:
            borrowed.add(value.decode("latin-1").strip())
    found = own or borrowed
    if len(found) > 1:
        raise invalid("The request carries two different keys; send one.", code="ambiguous_key")
    return found.pop() if found else ""


def identify(known: Mapping[bytes, Key], headers: Headers, named: Named, path_key: str) -> Caller:
    """The caller behind a request. Raises Refusal (401) for no key, an unknown or a revoked one."""
    presented = presented_key(headers, path_key)
    key = keys.find(known, presented) if presented else None
    if key is None:
        what = "This key is unknown or revoked" if presented else "No key was sent"
        raise Refusal(
            Kind.AUTHENTICATION,
            401,
            f"{what}. Send a Jevons key as `Authorization: Bearer jv-…`, `x-api-key` or `x-jevons-key`; `jevons keys create NAME` makes one.",
            code="invalid_api_key",
        )
    settings = key.settings
    return Caller(key.id, key.name, _run_id(named), settings.default_output_tokens, settings.models, settings.denial_status)


def _run_id(named: Named) -> str | None:
    value = named.get(b"x-jevons-run-id")
    if value is None:
        return None
    if not _RUN_ID.fullmatch(value):
        raise invalid("x-jevons-run-id must be 1 to 128 visible ASCII characters.", code="invalid_run_id")
    return value.decode()
