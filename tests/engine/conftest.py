"""A real engine with the real model, shared by the tests that only ask it things."""

import asyncio
import importlib.util
from collections.abc import Iterator

import pytest

from jevons.engine.install import install_command
from jevons.engine.models import find_model
from jevons.engine.native.library import Library, open_library
from jevons.engine.native.package import NativeError, find
from jevons.engine.process import Engine
from jevons.engine.settings import EngineSettings
from tests.engine.asking import READY_S, Asker


@pytest.fixture(scope="session")
def parts() -> None:
    """Skips where the engine or the weights are not installed."""
    if not importlib.util.find_spec("xllamacpp") or not find_model():
        pytest.skip(f"needs the local model: {install_command()}")


@pytest.fixture(scope="session")
def engine(parts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Its event loop runs only at start and stop: the process needs no attention in between."""
    settings = EngineSettings(log_file=tmp_path_factory.mktemp("engine") / "engine.log", context_tokens=512)
    with asyncio.Runner() as runner:
        engine = Engine(settings)

        async def begin() -> None:
            await engine.start()
            assert await engine.wait_ready(READY_S), engine.detail

        runner.run(begin())
        yield engine
        runner.run(engine.stop())


@pytest.fixture
def ask(engine: Engine) -> Asker:
    return Asker(engine.base_url, engine.api_key)


@pytest.fixture(scope="session")
def library() -> Library:
    """The native library, loaded into this process; skips where it is not installed."""
    try:
        find()
    except NativeError as error:
        pytest.skip(str(error))
    return open_library()
