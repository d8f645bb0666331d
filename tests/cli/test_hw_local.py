"""`jevons hw calibrate`, `local`, `local-price`: measured once, then predicted for any file, and priced."""

import json
from pathlib import Path

import msgspec
import pytest

from jevons.economics.unitcost.local import Rates
from jevons.economics.unitcost.local_saved import FILE, Calibration
from jevons.engine.experts.routing import DENSE, STORED
from jevons.engine.native import package
from jevons.engine.native.package import NativeError, find
from jevons.meter.overrides import parse_overrides
from tests.cli.conftest import Run

LINE = {512: [(1, 1e-10), (128, 1e-8)]}
SMALL = dict.fromkeys(("norm", "add", "gate", "rope"), (1e-7, 1e-10))
RATES = Rates(1, "haswell", "f16", {"F32": LINE, "Q8_0": LINE}, {"Q8_0": LINE}, {64: (1e-8, 1e-9, 0.0)}, SMALL)
PRICE = ("hw", "local-price", str(DENSE), "--turn", "200:150:40")


@pytest.fixture
def calibrated(home: Path) -> Path:
    home.mkdir(exist_ok=True)
    (home / FILE).write_bytes(msgspec.json.encode(Calibration(RATES, "a.gguf", "EPYC", "2026-11-22T19:02Z", [], 1e-10)))
    return home


def test_a_machine_that_was_never_calibrated(jevons: Run) -> None:
    done = jevons("hw", "local", str(DENSE))
    assert done.status == 1
    assert "run: jevons hw calibrate" in done.err


def test_any_file_is_predicted(jevons: Run, calibrated: Path) -> None:
    found = jevons("hw", "local", str(STORED), "--json").json
    assert set(found["decode_tok_s"]) == {"1", "2", "4", "8"}
    assert len(found["prefill_tok_s"]) == len(found["kept"])
    assert "256 new tokens of a prompt" in jevons("hw", "local", str(DENSE)).out


def test_a_prediction_is_drawn(jevons: Run, calibrated: Path, tmp_path: Path) -> None:
    jevons("hw", "local", str(DENSE), "--svg", str(tmp_path / "local.svg"))
    assert f"{DENSE.name} on this machine" in (tmp_path / "local.svg").read_text()


def test_what_is_longer_than_the_file_says_the_model_takes_is_not_predicted(jevons: Run, calibrated: Path) -> None:
    found = jevons("hw", "local", str(DENSE), "--json").json
    assert found["positions"] == 256
    assert found["prefill_tok_s"] == [None, None, None]  # 256 new ones after 128
    assert found["decode_tok_s"]["1"][0] > 0 and found["decode_tok_s"]["8"][1:] == [None, None]
    assert "the model takes 256 tokens in a sequence" in jevons("hw", "local", str(DENSE)).out
    refused = jevons(*PRICE, "--turn", "250:150:40")
    assert (
        refused.status == 1
        and "takes 256 tokens in a sequence" in refused.err
        and "such a turn has 290 (250 + 40)" in refused.err
    )


def test_a_file_that_is_none(jevons: Run, calibrated: Path, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_text("no")
    done = jevons("hw", "local", str(tmp_path / "a.gguf"))
    assert done.status == 1
    assert "not a GGUF file" in done.err


def test_a_price_is_shown_and_not_written(jevons: Run, calibrated: Path) -> None:
    shown = jevons(*PRICE).out
    assert "Nothing was written" in shown
    assert 'provider = "local"' in shown
    assert not (calibrated / "prices.toml").exists()


def test_a_price_goes_behind_what_is_there(jevons: Run, calibrated: Path) -> None:
    before = '# mine\n[[price]]\nprovider = "openai"\nmodel = "*"\ndiscount = "10%"\n'
    (calibrated / "prices.toml").write_text(before)
    found = jevons(*PRICE, "--write", "--watts", "65", "--json").json
    after = (calibrated / "prices.toml").read_text()
    assert after == before + "\n" + found["entry"]
    assert [entry.provider for entry in parse_overrides(after, "prices.toml")] == ["openai", "local"]
    assert found["nusd_per_million"]["output"] > 0
    assert found["terms"] == {
        "watts": 65,
        "nusd_per_kwh": 150_000_000,
        "pue": 1,
        "machine_nusd": 1_000_000_000_000,
        "years": 4,
        "utilisation": 0.25,
    }
    jevons(*PRICE, "--write")
    assert (calibrated / "prices.toml").read_text().startswith(after)
    assert "Added to" in jevons(*PRICE, "--write").out


def test_prices_that_cannot_be_read_are_left_alone(jevons: Run, calibrated: Path) -> None:
    (calibrated / "prices.toml").write_text("[[price\n")
    done = jevons(*PRICE, "--write")
    assert done.status == 1
    assert "is not TOML" in done.err
    assert (calibrated / "prices.toml").read_text() == "[[price\n"


@pytest.mark.parametrize("turn", ["1000", "10:20:1", "a:b:c"])
def test_a_turn_that_is_none(jevons: Run, calibrated: Path, turn: str) -> None:
    assert jevons(*PRICE, "--turn", turn).status


def test_without_the_native_library_nothing_is_begun(jevons: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "folder", lambda: home / "nowhere")
    monkeypatch.setattr(package, "fits", lambda: True)
    done = jevons("hw", "calibrate", str(STORED), "--quick")
    assert done.status == 1
    assert "jevons engine install" in done.err
    assert "Measuring" not in done.err
    assert not (home / FILE).exists()


def test_a_calibration_beside_other_work_is_said_to_be_one(jevons: Run, calibrated: Path) -> None:
    assert "others were at work" not in jevons("hw", "local", str(DENSE)).out
    kept = json.loads((calibrated / FILE).read_text())
    (calibrated / FILE).write_text(json.dumps(kept | {"load": 4096.0}))
    assert "others were at work" in jevons("hw", "local", str(DENSE)).out


def test_calibrating_measures_the_file_and_keeps_what_it_found(jevons: Run, home: Path) -> None:
    try:
        find()
    except NativeError as error:
        pytest.skip(str(error))
    found = jevons("hw", "calibrate", str(STORED), "--quick", "--json").json
    assert found["calibrated_with"] == STORED.name
    assert [(point["new"], point["batch"]) for point in found["points"]] == [(1, 1), (1, 4), (256, 1)]
    assert (home / FILE).stat().st_mode & 0o777 == 0o600
    assert json.loads((home / FILE).read_text())["load"] == found["load"] >= 0
    assert "tokens a second predicted" in jevons("hw", "local", str(DENSE)).out
