"""What tests of imports share: the price book, a home of their own."""

from pathlib import Path

import pytest

from jevons.ledger.home import Home
from jevons.meter.genai import ensure_book
from jevons.meter.pricebook import PriceBook


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    """The installed genai-prices, without overrides."""
    return PriceBook.load(ensure_book(tmp_path_factory.mktemp("book")))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")
