"""One price book for the ledgers that these tests write themselves."""

from pathlib import Path

import pytest

from jevons.meter.pricebook import PriceBook, open_book


@pytest.fixture(scope="session")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a price book."""
    home = tmp_path_factory.mktemp("prices")
    open_book(home)
    return home


@pytest.fixture(scope="session")
def book(prices: Path) -> PriceBook:
    return open_book(prices)
