"""One gateway and one stand-in for most tests here: they tell their requests apart by keys and markers.

The gateway's upstreams are all the same stand-in, reached in different ways; a model is asked for as `upstream/model` where it matters.
"""

import socket
from collections.abc import Iterator

import pytest

from jevons.ledger.bill import check
from tests.gateway.asking import Gateway, Key
from tests.provider import Provider
from tests.running import Jevons, upstream

UPSTREAM_KEY = "sk-upstream-canary-4711"
HASTY = {"first_byte_timeout_s": 1.0, "idle_timeout_s": 1.0, "retries": 0}
NOTHING_ELSE = ("only-by-its-prefix",)


@pytest.fixture(scope="session")
def standin() -> Iterator[Provider]:
    with Provider(bodies=True) as started:
        yield started


@pytest.fixture(scope="session")
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, kept from others for as long as the tests run."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture(scope="session")
def gateway(standin: Provider, closed_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    oa, an = standin.openai_url, standin.url
    more = {"models": NOTHING_ELSE, "key": UPSTREAM_KEY}
    upstreams = [
        upstream("openai", oa, models=("gpt-*", "o4-*", "text-embedding-*"), retries=0, key=UPSTREAM_KEY),
        upstream("anthropic", an, "anthropic", models=("claude-*",), retries=0, key=UPSTREAM_KEY),
        upstream("hasty-oa", oa, provider="openai", **more, **HASTY),
        upstream("hasty-an", an, "anthropic", **more, **HASTY),
        upstream("drain", oa, provider="openai", on_disconnect="drain", retries=0, **more),
        upstream("again", oa, provider="openai", retries=2, **more),
        upstream("again-an", an, "anthropic", retries=2, **more),
        upstream("dead", f"http://127.0.0.1:{closed_port}/v1", provider="openai", models=("o3", "o3-mini"), retries=0),
        upstream("alive", oa, provider="openai", models=("o3",), retries=0, key=UPSTREAM_KEY),
        upstream("azure", standin.url, "azure", query={"api-version": "2024-10-21"}, **more),
        upstream("gemini", standin.gemini_url, "gemini", **more),
        upstream("plan", an, "anthropic", models=NOTHING_ELSE, auth="client", billed=False, retries=0),
        upstream("trial", oa, provider="openrouter", models=NOTHING_ELSE, billed=False, retries=0, key=UPSTREAM_KEY),
        upstream("router", oa, provider="openrouter", models=NOTHING_ELSE, retries=0, key=UPSTREAM_KEY),
        upstream("badkey", oa, provider="openai", models=NOTHING_ELSE, key="sk-wrong-canary-4712", retries=0),
    ]
    aliases = [{"name": "house-model", "upstream": "openai", "target": "gpt-4o-mini"}]
    home = tmp_path_factory.mktemp("gateway") / "home"
    with Jevons(home, *upstreams, models=aliases) as jevons:
        yield Gateway(jevons, standin)
    assert "Traceback" not in jevons.log(), f"whatever was asked, it was no surprise:\n{jevons.log()[-5000:]}"
    assert check(jevons.ledger) == []


@pytest.fixture(scope="session")
def any_key(gateway: Gateway) -> Key:
    """A key without a limit, for tests that do not look at its account."""
    return gateway.key()


@pytest.fixture
def key(gateway: Gateway) -> Key:
    """A key of the test's own, with a limit that is never reached: $1,000."""
    return gateway.key(1000 * 10**9)
