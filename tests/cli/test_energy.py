"""`jevons energy` as a command: tables, stable keys, pictures, and words where something is not known."""

from pathlib import Path

import pytest

from jevons.core.entry import request_text
from jevons.core.usage import Usage
from jevons.economics.energy import beside
from jevons.economics.unitcost.machine import Machine, Processor, Stated
from tests.cli.conftest import Run
from tests.economics.energy.recorded import record

CALL = Usage(input=1_000, cache_read=5_000, output=400)
SONNET = ("anthropic/claude-sonnet-4-5", CALL, {"run_id": "r1"})


def test_a_table_says_that_it_is_estimated_and_what_is_unknown(jevons: Run, home: Path) -> None:
    record(home / "ledger.db", SONNET, ("acme/frobnicate-1", CALL, {}))
    done = jevons("energy", "--grid", "ireland")
    assert done.status == 0, done.err
    assert "Estimated, all of it. Ireland: 231 to 331 gCO2e/kWh, location-based" in done.out
    assert "Unknown: acme/frobnicate-1, 1 call, 6,400 tokens, in no sum." in done.out
    assert "unknown" in done.out and " +?" in done.out


def test_keys_of_the_document(jevons: Run, home: Path) -> None:
    [entry] = record(home / "ledger.db", SONNET)
    by_request, by_run = (
        jevons("energy", request_text(entry), "--json").json,
        jevons("energy", "--run", "r1", "--key", "key-1", "--json").json,
    )
    assert by_request["by"] == "call" and by_run["by"] == "model" and by_request["rows"][0]["label"] == request_text(entry)
    for name in ("wh_low", "wh", "wh_high", "gco2e_low", "gco2e", "gco2e_high", "ecologits_wh_low", "ecologits_wh_high"):
        assert by_request[name] == by_run["rows"][0][name]
    assert by_run["estimated"] is True and by_run["unknown"] == [] and by_run["models"][0]["basis"] == "class"


def test_without_the_library_ours_stands_alone(jevons: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(home / "ledger.db", SONNET)
    beside._find.cache_clear()
    monkeypatch.setattr(beside.metadata, "version", _not_installed)
    done = jevons("energy")
    beside._find.cache_clear()
    assert done.status == 0 and "EcoLogits is not installed" in done.out and "pip install" in done.out


def _not_installed(name: str) -> str:
    raise beside.metadata.PackageNotFoundError(name)


def test_a_picture(jevons: Run, home: Path, tmp_path: Path) -> None:
    record(home / "ledger.db", SONNET, ("acme/frobnicate-1", CALL, {"key_id": 2}))
    file = tmp_path / "energy.svg"
    assert f"Wrote {file}" in jevons("energy", "--svg", str(file)).err and file.read_text().startswith("<svg")
    nothing = jevons("energy", "--key", "key-2", "--svg", str(tmp_path / "none.svg"))
    assert nothing.status == 1 and "nothing to draw" in nothing.err and not (tmp_path / "none.svg").exists()


def test_the_watts_of_this_machine_are_as_it_was_measured_or_stated(jevons: Run, home: Path) -> None:
    record(home / "ledger.db", ("local/local", CALL, {"ms": 36_000}))
    processor = Processor(name="one", cores=2, flags=(), last_cache_bytes=None, memory_bytes=None)
    for watts, stated, middle in ((None, 90.0, 0.9), (200.0, 90.0, 2.0)):
        fields = {
            "measured_at": "2026-11-22",
            "quick": True,
            "load": None,
            "seconds": 1.0,
            "streams": (),
            "products": (),
            "versions": {},
        }
        Machine(processor=processor, watts=watts, stated=Stated(watts=stated), **fields).save(home)  # type: ignore[arg-type]
        assert jevons("energy", "--json").json["wh"] == pytest.approx(middle, rel=0.06)


def test_grids_are_listed(jevons: Run) -> None:
    assert (
        "Electricity" not in (said := jevons("energy", "--grids").out) and "sweden" in said and "somewhere in the world" in said
    )
    assert {"name", "gco2e_per_kwh", "source"} <= jevons("energy", "--grids", "--json").json["grids"][0].keys()


def test_what_cannot_be_said_is_a_line(jevons: Run, home: Path) -> None:
    assert "There is no ledger" in jevons("energy").err
    record(home / "ledger.db", SONNET)
    for arguments, status, said in (
        (["--grid", "atlantis"], 1, "grid 'atlantis' is not known"),
        (["req_1"], 1, "no request id"),
        (["req_1", "--key", "key-1"], 2, "go without it"),
        (["--run", "nothing"], 1, "no run"),
        (["--key", "nobody"], 2, "There is no key"),
    ):
        done = jevons("energy", *arguments)
        assert (done.status, said in done.err) == (status, True), done.err
    (home / "energy.toml").write_text("[[model]]\nmatch = 3\n")
    done = jevons("energy")
    assert done.status == 1 and "energy.toml cannot be read" in done.err and "Traceback" not in done.err
    assert "No call in this time" in _after(jevons, home)


def _after(jevons: Run, home: Path) -> str:
    (home / "energy.toml").unlink()
    return jevons("energy", "--from", "2030-01-01").out
