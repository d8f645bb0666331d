"""The compiled book of the installed genai-prices, made once for all tests of the meter."""

from pathlib import Path

import pytest

from jevons.meter.genai import ensure_book
from jevons.meter.pricebook import PriceBook


@pytest.fixture(scope="session")
def book_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_book(tmp_path_factory.mktemp("jevons"))


@pytest.fixture(scope="session")
def book(book_path: Path) -> PriceBook:
    return PriceBook.load(book_path)
