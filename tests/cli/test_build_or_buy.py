"""`jevons build-or-buy` and `jevons synergy` as commands: documents with stable keys, tables for people, and a message for what is missing."""

import time
from pathlib import Path
from struct import pack
from xml.etree import ElementTree

import msgspec
import pytest

from jevons.core.usage import Usage
from jevons.economics.unitcost.local import Rates
from jevons.economics.unitcost.local_saved import FILE, Calibration
from jevons.engine.experts.routing import DENSE
from jevons.ledger.rollup import DAY_MS, HOUR_MS
from tests.cli.conftest import Run
from tests.economics.test_workload import call, ledger

ASK = ("build-or-buy", "--model", "gpt-oss-120b", "--on", "H100-SXM-80GB")


@pytest.fixture
def used(home: Path) -> Path:
    """Some calls of an hour ago."""
    home.mkdir(mode=0o700)
    at_ms = int(time.time() * 1000) - HOUR_MS
    usage = Usage(input=2_000, cache_read=6_000, output=300)
    return ledger(home / "ledger.db", [op for n in range(5) for op in call(at_ms + n, 5_000, 10**8, agent="codex", usage=usage)])


def test_a_month_bought_and_built(jevons: Run, used: Path, tmp_path: Path) -> None:
    done = jevons(*ASK, "--json", "--svg", str(tmp_path / "cross.svg"))
    assert not done.status
    found = done.json
    assert (found["workload"]["requests"], found["workload"]["list_nusd"]) == (5, 5 * 10**8)
    assert [way["name"] for way in found["ways"]] == [
        "api_list",
        "api_caches",
        "api_billed",
        "api_open",
        "rented",
        "owned",
        "here",
    ]
    assert found["workload"]["days"] in (1, 2) and found["workload"]["until_ms"] % DAY_MS == 0  # whole days, today's with them
    rented = found["ways"][4]
    assert rented["devices"] == 1 and rented["monthly"]["p50_nusd"] == 1_826_250_000_000 and rented["estimated"]
    assert found["ways"][6]["monthly"] is None and "jevons hw" in found["ways"][6]["says"]
    assert {one["build"] for one in found["break_even"]} == {"rented", "owned"}
    assert ElementTree.parse(tmp_path / "cross.svg").getroot().tag.endswith("svg")
    said = jevons(*ASK, "--agent", "codex", "--of", "sm*", "--usd-per-hour", "2", "--purchase-usd", "30000").out
    assert "H100-SXM-80GB, rented" in said and "is not the models" in said and "$1,461.00" in said and "bought at $30,000" in said
    assert "gpt-oss-120b in mxfp4, 1 x H100-SXM-80GB, up to" in said


def test_this_machine_with_the_model_that_it_serves(jevons: Run, used: Path) -> None:
    line, small = {512: [(1, 1e-10), (128, 1e-8)]}, dict.fromkeys(("norm", "add", "gate", "rope"), (1e-7, 1e-10))
    rates = Rates(1, "haswell", "f16", {"F32": line, "Q8_0": line}, {}, {64: (1e-8, 1e-9, 0.0)}, small)
    (used.parent / FILE).write_bytes(msgspec.json.encode(Calibration(rates, "a.gguf", "EPYC", "2026-11-22T19:02Z", [], 1e-10)))
    long, said = used.parent / "long.gguf", b"llama.context_length" + pack("<I", 4)  # a whole number of 32 bits
    long.write_bytes(DENSE.read_bytes().replace(said + pack("<I", 256), said + pack("<I", 131_072)))
    (used.parent / "jevons.toml").write_text(f'[engine]\nmodel = "{DENSE}"\n')
    short = jevons(*ASK, "--json").json["ways"][6]
    assert (
        short["monthly"] is None
        and "takes 256 tokens in a sequence" in short["says"]
        and "the mean call of this work" in short["says"]
    )
    (used.parent / "jevons.toml").write_text(f'[engine]\nmodel = "{long}"\n')
    here = jevons(*ASK, "--json").json["ways"][6]
    assert here["monthly"]["p50_nusd"] > 20 * 10**9 and here["tok_s_user"] > 20
    assert "another model again, as calibrated 2026-11-22T19:02Z" in here["says"] and "assumed" in here["says"]
    slow = jevons(*ASK, "--floor", "90", "--json").json["ways"][6]
    assert slow["tok_s_user"] >= here["tok_s_user"]


def test_what_is_missing_is_said_to_whom_can_give_it(jevons: Run, used: Path, tmp_path: Path) -> None:
    unpriced = jevons("build-or-buy", "--model", "llama-3.1-8b", "--on", "L4")
    assert not unpriced.status and "no rent of L4 is known" in unpriced.out and "--usd-per-hour" in unpriced.out
    for options, says in (
        (("--of", "claude*"), "No call with tokens in the last 30 days is of that agent or model"),
        (("--usd-per-hour", "cheap"), "LOW:TYPICAL:HIGH"),
        (("--usd-per-hour", "3:2:1"), "low ≤ typical ≤ high"),
        (("--floor", "nan"), "'nan' is no number"),
        (("--purchase-usd", "inf"), "'inf' is no number"),
        (("--usd-per-hour", "1:inf:inf"), "finite"),
        (("--key", "nobody"), "There is no key 'nobody'"),
        (("--precision", "bf17"), "bf17"),
        (("--floor", "5000"), "cannot be met"),
    ):
        refused = jevons(*ASK, *options)
        assert refused.status and says in refused.err, refused
    assert "8 devices weights take" in jevons("build-or-buy", "--model", "llama-3.1-405b", "--on", "L4").err


def test_an_empty_ledger_says_how_to_fill_it(jevons: Run, home: Path) -> None:
    assert "There is no ledger" in jevons(*ASK).err
    ledger(home / "ledger.db", [])
    assert "The ledger has no calls with tokens in the last 30 days" in jevons(*ASK).err


def test_how_levers_multiply(jevons: Run, home: Path, tmp_path: Path) -> None:
    small = ("synergy", "--prompt", "2048", "--output", "256", "--cached", "0.5", "--batch", "4", "--floor", "10")
    found = jevons(*small, "--json", "--svg", str(tmp_path / "fall.svg")).json
    assert len(found["corners"]) == 32 and found["levers"][0]["lever"] == "hardware"
    fall = found["per_million_output"]["from"]["p50_nusd"] - found["per_million_output"]["to"]["p50_nusd"]
    assert sum(row["share_nusd"] for row in found["levers"]) == fall
    assert {"benchmark": "GPQA Diamond", "from": 0.4419, "to": 0.7576} in found["scores"]  # names are values, never keys
    assert ElementTree.parse(tmp_path / "fall.svg").getroot().tag.endswith("svg")
    said = jevons(*small, "--from", "llama-3.1-8b:bf16:L40S:0.9", "--to", "llama-3.1-8b:fp8:H100-SXM-80GB").out
    assert "L40S: $0.90/h" in said and "One model at both ends" in said and "Quality is not held equal" in jevons(*small).out
    wrong = jevons("synergy", "--to", "llama-3.1-8b:bf16")
    assert wrong.status == 1 and "write MODEL:PRECISION:PART" in wrong.err
