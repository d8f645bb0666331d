"""What the ledger's tests share."""

from pathlib import Path

import pytest

from jevons.ledger import writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that cannot be written is tried again without a pause."""
    monkeypatch.setattr(writer, "LEDGER_RETRY_S", 0.0005)
