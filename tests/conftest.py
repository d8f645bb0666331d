"""Fixtures that all tests share."""

from collections.abc import Iterator

import pytest

from tests.provider import Provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A stand-in provider of its own, with an empty journal and request bodies kept in it."""
    with Provider(bodies=True) as started:
        yield started
