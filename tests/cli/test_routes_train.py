"""`jevons routes train` as a command."""

from pathlib import Path

import pytest

from jevons.ledger.home import Home
from jevons.ledger.ops import KeyCreated, Labelled
from jevons.ledger.sqlite import SqliteStore
from tests.cli.conftest import Run
from tests.distil.test_routers import labels
from tests.ledger.making import make_key

CONFIG = """
[[routes]]
name = "easy"
to = ["small", "mini", "large"]
choose = "learned"
"""


@pytest.fixture
def labelled(home: Path) -> Path:
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "jevons.toml").write_text(CONFIG)
    store = SqliteStore(Home(home).ledger)
    store.apply([KeyCreated(make_key(1)), *(Labelled(one) for one in labels(220, reads=False))])
    store.close()
    return home


def test_a_route_is_trained(jevons: Run, labelled: Path) -> None:
    said = jevons("routes", "train", "easy", "--org", "acme").out
    assert "easy of acme: mini, small\n220 labelled requests; features alone" in said and "Taken: " in said
    assert (labelled / "routers" / "acme" / "easy.router").exists()
    card = jevons("routes", "train", "easy", "--org", "acme", "--json").json
    assert card["models"] == ["mini", "small"] and card["log_loss"] < card["log_loss_before"] and not card["reads_questions"]


def test_what_cannot_be_trained_is_said(jevons: Run, labelled: Path) -> None:
    assert "there is no route 'esay' in the configuration: easy" in jevons("routes", "train", "esay").err
    assert "has 0 labelled requests of organisation 'default'; 200 are the least" in jevons("routes", "train", "easy").err
    joined = jevons("routes", "train", "easy", "--org", "acme", "--join", "gpt-5").err
    assert "--join gpt-5: of `to` of route 'easy' those before the reference are small, mini" in " ".join(joined.split())
    assert "has no predictor for organisation 'acme'" in jevons("routes", "train", "easy", "--org", "acme", "--join", "mini").err
    (labelled / "jevons.toml").write_text(CONFIG.replace("learned", "cascade"))
    assert "a cascade goes by the first model's own confidence" in jevons("routes", "train", "easy", "--org", "acme").err
