"""Files of what was learnt: found, read again when they change, and left out with a word in the log when they cannot be used."""

import asyncio
import logging
from pathlib import Path

import pytest

from jevons.core.features import Features
from jevons.core.routed import Stage
from jevons.gateway.predictors import Predictors
from jevons.gateway.promises import Promises
from jevons.gateway.reading import Seen
from jevons.learn.place import FOLDER, path_of
from jevons.policy.routes import Route
from tests.gateway.learning import learnt, question

ROUTE = Route("learned", ("gpt-4o-mini", "gpt-4o"), choose="learned", stage=Stage.FULL)
SHORT = Seen(question(3).features, "", None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    learnt(tmp_path, "learned")
    return tmp_path / FOLDER


def opened(folder: Path) -> tuple[Predictors, Promises]:
    promises = Promises((ROUTE,), lambda learnt: None)
    predictors = Predictors((ROUTE,), folder, None, promises)
    asyncio.run(predictors.reload())
    return predictors, promises


def test_a_file_speaks_of_its_organisation_and_route(folder: Path) -> None:
    predictors, promises = opened(folder)
    assert predictors.of("default", "learned", SHORT)["gpt-4o-mini"] > 0.9
    assert predictors.of("default", "learned", Seen(question(40).features, "", None))["gpt-4o-mini"] < 0.1
    assert predictors.of("others", "learned", SHORT) == predictors.of("default", "another", SHORT) == {}
    assert promises.standing("default", ROUTE, "gpt-4o-mini").threshold is not None, "its own unseen answers began a promise"


def test_what_comes_and_goes_is_noticed(folder: Path) -> None:
    path = path_of(folder, "default", "learned")
    away = path.rename(path.with_suffix(".away"))
    predictors, _ = opened(folder)
    assert predictors.of("default", "learned", SHORT) == {}
    away.rename(path)
    asyncio.run(predictors.reload())
    assert predictors.of("default", "learned", SHORT)
    path.unlink()
    asyncio.run(predictors.reload())
    assert predictors.of("default", "learned", SHORT) == {}


def test_a_file_that_cannot_be_used_is_told_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = path_of(folder, "default", "learned")
    path.write_bytes(path.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING, "jevons.gateway"):
        predictors, promises = opened(folder)
        asyncio.run(predictors.reload())
    assert predictors.of("default", "learned", SHORT) == {}
    assert promises.standing("default", ROUTE, "gpt-4o-mini").threshold is None
    [told] = caplog.messages
    assert "jevons routes train learned" in told


def test_of_features_alone_no_vector_is_made(folder: Path) -> None:
    class Never:
        def vector(self, text: str) -> None:
            raise AssertionError("nobody reads content")

    predictors, _ = opened(folder)
    assert predictors.of("default", "learned", Seen(Features(), "a question", Never()))  # type: ignore[arg-type]
