"""One stand-in for all tests of a module: they tell their requests apart by markers."""

import uuid
from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.provider import Provider


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """The stand-in under test."""
    with Provider(bodies=True) as started:
        yield started


@pytest.fixture
def marker() -> str:
    """Names this test's requests in the journal."""
    return uuid.uuid4().hex


@pytest.fixture
def gpt(provider: Provider) -> Iterator[openai.OpenAI]:
    """The official client, raising whatever does not fit its types."""
    with openai.OpenAI(
        base_url=provider.openai_url, api_key="sk-test", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture
def claude(provider: Provider) -> Iterator[anthropic.Anthropic]:
    """The official client, raising whatever does not fit its types."""
    with anthropic.Anthropic(base_url=provider.url, api_key="sk-ant", max_retries=0, _strict_response_validation=True) as client:
        yield client
