"""`jevons hw`: the catalogue, one part, and this machine measured."""

import json
import re
import stat
from pathlib import Path
from xml.etree import ElementTree

import pytest

from jevons.cli import hw_measure
from jevons.engine.native import package
from tests.cli.conftest import Run


def test_the_list_says_unknown_and_announced(jevons: Run) -> None:
    shown = jevons("hw", "list").out
    line = next(line for line in shown.splitlines() if line.startswith("Rubin"))
    assert "(announced)" in line
    assert "unknown" in line
    found = {part["name"]: part for part in jevons("hw", "list", "--json").json["parts"]}
    assert found["H100-SXM-80GB"]["price_high_nusd_h"] == 6_880_000_000
    assert found["L4"]["price_typical_nusd_h"] is None


def test_the_list_fits_a_terminal_and_all_of_it_does_not(jevons: Run) -> None:
    lines = jevons("hw", "list").out.splitlines()
    assert max(map(len, lines)) <= 100
    assert "link GB/s" not in lines[1]
    every = jevons("hw", "list", "--all").out
    assert "link GB/s" in every
    assert "$ per TB/s-h" in every


@pytest.mark.parametrize("name", ["H100", "Gaudi 3", "Rubin", "2-vCPU x86 server"])
def test_a_part_fits_a_terminal(jevons: Run, name: str) -> None:
    assert max(map(len, jevons("hw", "show", name).out.splitlines())) <= 100


@pytest.mark.parametrize("asked", [("list",), ("show", "H100"), ("show", "Gaudi 3")])
def test_a_narrow_terminal_gets_whole_lines_too(jevons: Run, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...]) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "80")
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in jevons("hw", *asked).out.splitlines()]
    assert max(map(len, lines)) <= 80
    assert any("1.90 – 2.50 – 6.88" in line for line in lines) == (asked[-1] != "Gaudi 3")


@pytest.mark.parametrize(
    ("name", "rent", "owning"),
    [
        ("H100", "rent, lowest – typical – highest 1.90 – 2.50 – 6.88 $/h 5", "hyperscaler – smaller cloud 1.30 – 1.69 $/h 3"),
        ("A100-SXM-40GB", "rent, typical 1.29 $/h", "cost of owning it unknown"),
    ],
)
def test_rents_stand_in_one_line_and_their_sources_once(jevons: Run, name: str, rent: str, owning: str) -> None:
    shown = " ".join(jevons("hw", "show", name).out.split())
    assert rent in shown
    assert owning in shown
    assert shown.count("skypilot-catalog v8") == 1


def test_this_machine_is_measured_before_it_is_a_part(jevons: Run) -> None:
    done = jevons("hw", "show", "this-machine")
    assert done.status == 1
    assert "jevons hw measure" in done.err


@pytest.mark.parametrize("precision", ["bf16", "fp4", "f32"])
def test_the_picture_names_what_is_known(jevons: Run, tmp_path: Path, precision: str) -> None:
    file = tmp_path / "roof.svg"
    assert not jevons("hw", "list", "--svg", str(file), "--precision", precision).status
    text = file.read_text()
    ElementTree.fromstring(text)
    assert ("B200" in text, "H100-SXM" in text) == (True, precision != "fp4")
    assert ("announced" in text, "Rubin" in text) == (precision == "fp4", precision == "fp4")


def test_one_part_with_its_sources(jevons: Run) -> None:
    shown = jevons("hw", "show", "nvidia b200").out
    assert "memory bandwidth, by others" in shown
    assert "NVIDIA Blackwell data sheet" in shown  # the code is explained
    document = jevons("hw", "show", "B200", "--json").json
    assert document["derived"]["ridge_flop_per_byte"]["fp4"] == 1125
    assert document["derived"]["pflop_hour_nusd"]["bf16"] == 2_173_333_333
    assert jevons("hw", "show", "CS-3", "--json").json["derived"]["tb_s_hour_nusd"] is None
    done = jevons("hw", "show", "H1000")
    assert done.status == 1
    assert "nearest: H100-SXM-80GB" in done.err


def test_not_measured_yet(jevons: Run, home: Path) -> None:
    done = jevons("hw")
    assert (done.status, "jevons hw measure" in done.out) == (0, True)
    assert jevons("hw", "--json").json == {"measured": False, "machine": None, "part": None}
    assert not home.exists()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that take a second."""
    sizes = hw_measure.Sizes(("q8_0",), (1, 16), 0.01, 0.01, 0.01, 64, 8 << 20)
    monkeypatch.setattr(hw_measure, "QUICK", sizes)
    monkeypatch.setattr(hw_measure.probe, "LEAST_BYTES", 8 << 20)
    monkeypatch.setattr(hw_measure.probe, "MOST_BYTES", 8 << 20)


@pytest.mark.usefixtures("small")
def test_it_measures_keeps_and_shows(jevons: Run, home: Path) -> None:
    try:
        package.find()
    except package.NativeError as error:
        pytest.skip(str(error))
    found = jevons("hw", "measure", "--quick", "--threads", "2", "--watts", "65", "--machine-usd", "800", "--json").json
    products = {(p["engine"], p["type"], p["tokens"], p["threads"]) for p in found["machine"]["products"]}
    assert products == {
        *(("blas", "f32", 64, threads) for threads in (1, 2)),
        *(("ggml", "q8_0", tokens, threads) for tokens in (1, 16) for threads in (1, 2)),
    }
    assert {(s["pattern"], s["threads"]) for s in found["machine"]["streams"]} == {
        ("read", 1),
        ("read", 2),
        ("triad", 1),
        ("triad", 2),
    }
    assert found["part"]["price_typical_nusd_h"] == round((0.065 * 0.15 + 800 / (4 * 8760)) * 1e9)
    assert found["machine"]["versions"]["back_end"] in package.VARIANTS
    assert found["part"]["int8_tops"] > 0
    assert found["part"]["bf16_tflops"] is None
    file = home / "machine.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = json.loads(file.read_text())
    assert kept.pop("stated") == {"watts": 65, "usd_per_kwh": 0.15, "machine_usd": 800, "years": 4}
    assert found["machine"].pop("stated") == {"watts": 65, "nusd_per_kwh": 15 * 10**7, "machine_nusd": 800 * 10**9, "years": 4}
    assert kept == found["machine"]
    assert jevons("hw", "--json").json["part"] == found["part"]
    assert "Price stated: $" in jevons("hw").out
    assert any(line.startswith("this-machine") for line in jevons("hw", "list").out.splitlines())
    shown = jevons("hw", "show", "this machine").out
    assert "stated: 65 W" in shown
    assert "an hour, as stated" in shown


@pytest.mark.usefixtures("small")
def test_without_the_native_library_it_measures_what_it_can(jevons: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "folder", lambda: home / "nowhere")
    monkeypatch.setattr(package, "fits", lambda: True)
    done = jevons("hw", "measure", "--quick", "--threads", "1")
    assert done.status == 0
    assert "jevons engine install" in done.out
    found = jevons("hw", "--json").json["machine"]
    assert {p["engine"] for p in found["products"]} == {"blas"}
    assert any("jevons engine install" in line for line in found["missing"])


def test_a_damaged_file_is_said(jevons: Run, home: Path) -> None:
    home.mkdir()
    (home / "machine.json").write_text("{")
    done = jevons("hw")
    assert done.status == 1
    assert "machine.json cannot be used" in done.err
