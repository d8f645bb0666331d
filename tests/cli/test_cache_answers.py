"""`jevons cache status` and `clear`, while nobody serves and while a gateway does."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.gateway.asking import Gateway, body_of
from tests.provider import Provider
from tests.running import Jevons, upstream


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with (
        Provider() as provider,
        Jevons(tmp_path_factory.mktemp("caching") / "home", upstream("openai", provider.openai_url, retries=0)) as jevons,
    ):
        yield Gateway(jevons, provider)


def test_nobody_serves(jevons: Run) -> None:
    assert "No gateway serves" in jevons("cache", "status").out and "No gateway serves" in jevons("cache", "clear").out
    assert jevons("cache", "status", "--json").json == {"serving": False, "days": 30, "saved": {}}
    assert jevons("cache", "clear", "--json").json == {"serving": False, "forgotten": 0}


def test_what_is_kept_given_saved_and_forgotten(serving: Gateway) -> None:
    run = serving.jevons.run
    for key in (serving.key(org="acme"), serving.key()):
        for _ in range(3):
            assert serving.post("chat", key, body_of("chat", "gpt-4o"), x_jevons_cache="exact").status == 200
    found: dict[str, Any] = json.loads(run("cache", "status", "--json"))
    answers, saved = found["answers"], found["saved"]["answer_exact"]
    assert {name: answers[name] for name in ("entries", "orgs", "looked", "hits", "kept")} == {
        "entries": 2, "orgs": 2, "looked": 6, "hits": 4, "kept": 2,
    }  # fmt: skip
    assert saved["hits"] == 4 and saved["nusd"] > 0 and saved["tokens"] > 0
    shown = run("cache", "status")
    assert "2 answers of 2 organisations kept" in shown and "6 looked for, 4 given" in shown
    assert "4 answers to the same requests saved ~$" in shown and "estimated" in shown
    assert run("cache", "clear", "--org", "acme") == "Forgot 1 answer of acme.\n"
    assert json.loads(run("cache", "clear", "--json")) == {"serving": True, "forgotten": 1}
