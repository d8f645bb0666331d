"""`jevons cache status` and `clear` while nobody serves; `test_while_serving.py` has the rest."""

from tests.cli.conftest import Run


def test_nobody_serves(jevons: Run) -> None:
    assert "No gateway serves" in jevons("cache", "status").out and "No gateway serves" in jevons("cache", "clear").out
    assert jevons("cache", "status", "--json").json == {"serving": False, "days": 30, "saved": {}}
    assert jevons("cache", "clear", "--json").json == {"serving": False, "forgotten": 0, "questions": 0}
