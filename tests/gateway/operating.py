"""What tests of the operator's doors begin with: a call that goes on for a while, a limit that asks a person."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.gateway.asking import PATHS, Gateway, Key, body_of, connection, marker


@contextmanager
def begun(gateway: Gateway, key: Key) -> Iterator[http.client.HTTPResponse]:
    """A stream whose first words have come, and whose last ones come in ten seconds; the client leaves when the block ends."""
    body = body_of("chat", "gpt-4o", True, reply="one " * 100, chunks=100, delay_ms=100)
    with connection(gateway.url) as wire:
        wire.request("POST", PATHS["chat"], json.dumps(body).encode(), gateway.headers(key))
        answer = wire.getresponse()
        assert answer.status == 200
        while b"one" not in answer.readline():
            pass
        yield answer


def asking_limit(gateway: Gateway) -> tuple[Key, str, dict[str, Any]]:
    """A key, the name of a limit that asks before each of its calls, and such a call."""
    key, name = gateway.key(), f"asks-{marker()[:8]}"
    got = gateway.admin("PUT", f"/limits/{name}", {"key": key.name, "usd": 1, "approve": 0})
    assert got.status == 200, got.body
    return key, name, body_of("chat", "gpt-4o")
