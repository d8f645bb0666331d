"""`jevons unit-cost`: a prediction from a name, a config.json and a file of weights; a check and a fit of a table; messages."""

import json
import sys
from pathlib import Path

import pytest

from jevons.economics.unitcost.efficiency import shipped
from jevons.engine.models import find_model
from tests.cli.conftest import Run
from tests.economics.unitcost.test_measured import made, table

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128}


def test_a_prediction(jevons: Run) -> None:
    line = ("unit-cost", "predict", "llama-3.3-70b", "--on", "H100", "--devices", "2", "--weights", "fp8", "--cached", "0.5")
    shown = jevons(*line).out
    for words in ("tokens/s a user", "plain roofline", "joules a token", "prompts, kept", "takes the most time", "rented"):
        assert words in shown
    found = jevons(*line, "--json").json
    assert int(found["batch"]) == found["batch_fits"]
    assert found["device_tok_s"]["low"] < found["device_tok_s"]["value"] < found["device_tok_s"]["high"]
    assert found["cost"]["output_per_million"]["p50_nusd"] > found["cost"]["input_per_million"]["p50_nusd"] > 0
    assert found["answer_per_million"]["p50_nusd"] > found["cost"]["output_per_million"]["p50_nusd"]
    assert (found["prompt"], found["cached"]) == (500, 500)
    assert found["from_parents"] == []
    assert (found["estimated"], found["utilisation"]) == (True, 0.7)
    assert found["nusd_per_hour"]["p5"] < found["nusd_per_hour"]["p50"] < found["nusd_per_hour"]["p95"]


def test_a_sequence_longer_than_the_model_takes(jevons: Run) -> None:
    line = ("unit-cost", "predict", "llama-3.1-8b", "--on", "H200")
    refused = jevons(*line, "--input", "500000", "--output", "1000")
    assert refused.status == 1 and "llama-3.1-8b takes 131,072 tokens in a sequence" in refused.err and "501,000" in refused.err
    assert jevons(*line, "--json").json["positions"] == 131_072
    assert "may be is not known" not in jevons(*line).out
    unknown = jevons("unit-cost", "predict", "mistral-nemo-12b", "--on", "H200", "--input", "5000", "--output", "1000").out
    assert "How long a sequence of mistral-nemo-12b may be is not known: see that it takes 6,000 tokens" in " ".join(
        unknown.split()
    )


def test_the_best_batch_above_a_floor(jevons: Run) -> None:
    line = (
        "unit-cost",
        "predict",
        "deepseek-r1",
        "--on",
        "H200",
        "--devices",
        "8",
        "--parallel",
        "dep",
        "--weights",
        "fp8",
        "--best",
    )
    found = jevons(*line, "--floor", "30", "--speculative", "1:0.8", "--usd-per-hour", "1:2:3", "--json").json
    assert found["user_tok_s"]["value"] >= 30
    assert found["experts_apart"]
    refused = jevons(*line, "--floor", "9000")
    assert "cannot be met" in refused.err
    assert "--best needs --floor" in jevons(*line).err


def test_pictures(jevons: Run, tmp_path: Path) -> None:
    line = ("unit-cost", "predict", "llama-3.1-8b", "--on", "H100")
    priced, unpriced, scatter = (tmp_path / f"{name}.svg" for name in ("priced", "unpriced", "scatter"))
    assert f"Wrote {priced}." in jevons(*line, "--best", "--floor", "50", "--svg", str(priced)).err
    assert "50 tokens/s, the floor" in priced.read_text()
    jevons(*line[:3], "--on", "L4", "--batch", "2", "--svg", str(unpriced))
    assert "tokens and speed" in unpriced.read_text()
    measured = tmp_path / "rows.csv"
    measured.write_text(table({}))
    jevons("unit-cost", "check", str(measured), "--svg", str(scatter))
    assert "1 measured rows" in scatter.read_text()
    assert "There is no folder" in jevons(*line, "--svg", str(tmp_path / "none" / "a.svg")).err


def test_a_picture_that_cannot_be_written(jevons: Run) -> None:
    done = jevons("unit-cost", "predict", "llama-3.1-8b", "--on", "H100", "--json", "--svg", "/dev/full")
    assert done.json["model"] == "llama-3.1-8b"
    assert "/dev/full cannot be written: No space left on device" in done.err


def test_a_model_as_a_file(jevons: Run, tmp_path: Path) -> None:
    config = tmp_path / "mine" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"model_type": "llama", "vocab_size": 1000, **SMALL}))
    found = jevons("unit-cost", "predict", str(config), "--on", "L4", "--batch", "1", "--weights", "int8", "--json").json
    assert found["model"] == "mine"
    assert found["cost"] is None
    assert "no rent of L4 is known" in found["price_unknown"]
    assert found["from_parents"] == ["dense int8: no measured rows; taken from dense fp8; the interval is wider (assumption)"]
    shown = jevons("unit-cost", "predict", str(config), "--on", "L4", "--batch", "1", "--weights", "int8").out
    assert "no measured rows" in shown
    packaged = jevons("unit-cost", "predict", str(find_model().path), "--on", "H100", "--batch", "1", "--json").json
    assert packaged["weight_bytes"] < 200e6


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("nothing.json",), "cannot be read as a config.json"),
        (("nothing.gguf",), "cannot be read"),
        (("no-such-model",), "architecture of 'no-such-model' is not known"),
        (("llama-3.3-70b", "--parallel", "sideways"), "not understood"),
        (("llama-3.1-8b", "--kv", "int3"), "int3"),
        (("llama-3.1-8b", "--engine", "sglang"), "'sglang' is not one of"),
        (("llama-3.1-8b", "--parallel", "ep", "--devices", "2"), "has no experts to keep apart"),
        (("llama-3.3-70b",), "What would fit: 2 devices"),
        (("llama-3.1-8b", "--speculative", "lots"), "not DRAFTED:ACCEPTANCE"),
        (("llama-3.1-8b", "--speculative", "3:1.5"), "0 to 1"),
        (("llama-3.1-8b", "--speculative", "100000000:0.5"), "1 to 64 tokens"),
        (("llama-3.1-8b", "--batch", "nan"), "are numbers"),
        (("llama-3.1-8b", "--best", "--floor", "nan"), "are numbers"),
        (("llama-3.1-8b", "--speculative", "3:0.5:no-such-model"), "not known"),
    ],
)
def test_what_cannot_be_predicted_is_said(jevons: Run, line: tuple[str, ...], said: str) -> None:
    refused = jevons("unit-cost", "predict", *line, "--on", "H100")
    assert refused.status
    assert said in " ".join(refused.err.split())
    assert "Traceback" not in refused.err


def test_weights_are_as_their_maker_stores_them(jevons: Run, tmp_path: Path) -> None:
    line = ("--on", "B200", "--batch", "1", "--json")
    assert jevons("unit-cost", "predict", "gpt-oss-120b", *line).json["weights"] == "mxfp4"
    assert jevons("unit-cost", "predict", "deepseek-r1", "--devices", "8", *line).json["weights"] == "fp8"
    assert jevons("unit-cost", "predict", "llama-3.1-8b", *line).json["weights"] == "bf16"
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": "llama", "vocab_size": 1000, **SMALL}))
    assert "in what numbers the weights are stored" in jevons("unit-cost", "predict", str(config), *line).err


def test_a_check_asks_for_numpy_once(jevons: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(table({}, {}))
    monkeypatch.setitem(sys.modules, "numpy", None)
    for command in ("check", "fit"):
        refused = jevons("unit-cost", command, str(file))
        assert refused.status
        assert refused.err.count("-m pip install numpy") == 1


def test_no_config_but_a_list(jevons: Run, tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text("[1]")
    assert "holds no object" in jevons("unit-cost", "predict", str(file), "--on", "H100").err


def test_a_check_and_a_fit(jevons: Run, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(made(shipped()) + table({"model": "no-such-model"}).splitlines()[1] + "\n")
    found = jevons("unit-cost", "check", str(file), "--json").json
    assert found["median_ape_spec_pct"] == 0
    assert (found["rows"], found["judged"], found["unjudged"]) == (46, 45, 1)
    assert found["not_judged"][0]["id"] == "R0"
    assert len(found["points"]) == 45
    shown = jevons("unit-cost", "check", str(file)).out
    assert "Not judged: 1" in shown
    target = tmp_path / "mine.toml"
    fitted = jevons("unit-cost", "fit", str(file), "--resamples", "1", "--to", str(target), "--json").json
    assert fitted["source"] == "rows.csv: 45 of 46 rows, 5 models"
    assert "Written by" in target.read_text()
    assert "before any row" in jevons("unit-cost", "fit", str(file), "--resamples", "0").out
    file.write_text("a,b\n1,2\n")
    assert "no table of measured throughput" in jevons("unit-cost", "check", str(file)).err
    file.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read as a table" in jevons("unit-cost", "check", str(file)).err
