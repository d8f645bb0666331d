"""What goes wrong with the first of two providers, and how it is set up: upstreams, aliases, scripts.

The stand-in takes its script from a header that only the first upstream sends, so both get the very same requests. Does not know: load, figures.
"""

import json
from typing import Any, NamedTuple

from tests.running import upstream

MODEL = "gpt-4o"
ANSWER: dict[str, Any] = {"tokens_out": 40, "chunks": 8, "first_delay_ms": 20, "delay_ms": 2}
"""A sound answer: about 35 ms, as of a fast provider."""
HEDGE_MS = 150


class Scene(NamedTuple):
    """One thing that goes wrong."""

    name: str
    says: str
    script: dict[str, Any]
    """Of the first provider."""
    settings: tuple[tuple[str, Any], ...] = ()
    """Of its upstream, besides the common ones."""


SCENES = (
    Scene("sound", "both answer", {}),
    Scene("fails", "every call: status 500", {"fault": "status", "status": 500}),
    Scene(
        "fails_at_first", "the first 60 calls: status 503", {"fault": "status", "status": 503, "fault_times": 60, "marker": "m"}
    ),
    Scene("slows", "first byte after 1.5 s", {"first_delay_ms": 1_500}),
    Scene("hangs", "no answer; given up after 2 s", {"fault": "hang_before_headers"}, (("first_byte_timeout_s", 2.0),)),
    Scene("rate_limits", "every call: status 429, Retry-After 40", {"fault": "status", "status": 429, "retry_after": 40}),
    Scene("garbage", "200 with half a JSON document, or a stream that breaks before its text", {"fault": "invalid_json"}),
    Scene(
        "dies_mid_stream", "connection reset in the middle of a stream, or before a whole answer", {"fault": "reset_mid_stream"}
    ),
    Scene("gone", "nobody listens", {}, (("base_url", "http://127.0.0.1:9/v1"),)),
)


def upstreams(scene: Scene, first: str, second: str) -> list[dict[str, Any]]:
    """The faulty one, by itself with its retries and once more in front of another; and the other."""
    common: dict[str, Any] = {"provider": "openai", "models": ("only-by-alias",)}
    headers = {"x-stand-in-script": json.dumps({**ANSWER, **scene.script})}
    sound = {"x-stand-in-script": json.dumps(ANSWER)}
    url = dict(scene.settings).get("base_url", first)
    settings = {key: value for key, value in scene.settings if key != "base_url"}
    return [
        upstream("alone", url, **common, **settings, headers=headers),
        upstream("first", url, **common, **settings, headers=headers, retries=0, hedge_ms=HEDGE_MS),
        upstream("second", second, **common, headers=sound, retries=0),
    ]


def aliases() -> list[dict[str, Any]]:
    """`without`: the faulty one alone. `with`: the other behind it."""
    rows = (("without", "alone"), ("with", "first"), ("with", "second"))
    return [{"name": name, "upstream": who, "target": MODEL} for name, who in rows]
