"""`jevons levers` on the small stored model: measured, shared out, drawn."""

from pathlib import Path

import pytest

from jevons.engine.experts.routing import DENSE
from jevons.engine.native.package import NativeError, find
from tests.cli.conftest import Run

FILES = ("--reference", str(DENSE), "--quantised", str(DENSE))


@pytest.fixture
def native() -> None:
    try:
        find()
    except NativeError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("native")
def test_it_measures_shares_and_draws(jevons: Run, tmp_path: Path) -> None:
    picture = tmp_path / "levers.svg"
    found = jevons("levers", "--quick", *FILES, "--svg", str(picture), "--usd-per-hour", "0.36", "--json").json
    costs = {tuple(corner["levers"]): corner["nusd_per_million"] for corner in found["corners"]}
    assert len(costs) == 16
    shares = found["shares_nusd_per_million"]
    assert sum(shares.values()) == costs[()] - costs[tuple(shares)]
    assert found["kld"]["quantised weights"] == 0  # the same file on both sides
    assert found["mixture"]["mixture"]["active_parameters"] < found["mixture"]["mixture"]["parameters"]
    assert picture.read_text().startswith("<svg")


@pytest.mark.parametrize("options", [("--turn", "10:20:5"), ("--turn", "ten"), ("--usd-per-hour", "-1"), ("--usd-per-hour", "x")])
def test_what_cannot_be_is_said(jevons: Run, options: tuple[str, str]) -> None:
    done = jevons("levers", "--quick", *FILES, *options)
    assert done.status
    assert options[0] in done.err
    assert "Traceback" not in done.err
