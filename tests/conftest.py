"""Fixtures that all tests share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.provider import Provider

settings.register_profile("jevons", deadline=None)  # a slow machine is no failure
settings.load_profile("jevons")


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A stand-in provider of its own, with an empty journal and request bodies kept in it."""
    with Provider(bodies=True) as started:
        yield started
