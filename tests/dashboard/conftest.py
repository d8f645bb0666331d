"""One gateway for all tests here, with a past in its ledger and hostile names in it; a browser where there is one."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from jevons.ledger.home import Home
from tests.dashboard.desk import Desk, past
from tests.provider import Provider
from tests.running import Jevons, upstream


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    path = tmp_path_factory.mktemp("desk") / "home"
    secrets = past(Home(path))
    with Provider() as provider:
        served = upstream("openai", provider.openai_url, models=("gpt-*",), retries=0)
        limits = [
            {"name": "sessions", "scope": "run", "usd": 5},
            {"name": "research", "scope": "team", "team": "research", "usd": 400, "per": "month"},
            {"name": "asks", "scope": "key", "key": "asking", "usd": 1, "approve": 0},
        ]
        with Jevons(path, served, limits=limits) as jevons:
            yield Desk(jevons, secrets)
        assert "Traceback" not in jevons.log(), jevons.log()[-5000:]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium. One for each file: while it runs, no event loop of another test can."""
    program = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=arguments)
        yield started
        started.close()
