"""A true f32 model that costs nothing, and a home to keep things of it in."""

from pathlib import Path

import pytest

from jevons.engine.native.package import NativeError, find
from tests.engine.weights.tiny import write


@pytest.fixture(scope="session")
def native() -> None:
    """Skips where the native library is not installed. Nothing is loaded into this process."""
    try:
        find()
    except NativeError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("tiny") / "tiny.gguf")
