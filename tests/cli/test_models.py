"""`jevons models` end to end, on a real f32 model that costs nothing."""

import os
from pathlib import Path

import pytest

from jevons.config import load
from jevons.engine.models import find_model
from jevons.engine.native.package import NativeError, find
from tests.cli.conftest import Run
from tests.engine.weights.tiny import write
from tests.imports.doing import SAMPLES

TOML = '# mine\nport = 5151\n\n[engine] # the local model\nthreads = 1\n# model = "no"\n\n[ledger]\nenabled = true\n'


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny.gguf")


@pytest.fixture
def native() -> None:
    try:
        find()
    except NativeError as error:
        pytest.skip(str(error))


def test_list_add_remove(jevons: Run, tiny: Path) -> None:
    added = jevons("models", "add", str(tiny), "--name", "mine", "--json").json
    listed = jevons("models", "--json").json["models"]
    assert listed[-1] == added and len(listed) == 1 + (find_model() is not None)
    assert (added["name"], added["state"], added["architecture"], added["licence"]) == ("mine", "there", "llama", "mit")
    assert added["parameters"] == added["active_parameters"] and added["types"] == {"F32": 1.0} and added["context_tokens"] == 512
    assert (
        not added["quantised"] and not added["requantised"] and not added["served"] and added["size_bytes"] == tiny.stat().st_size
    )
    said = jevons("models").out
    assert "mine" in said and "32.00" in said and str(tiny) in said
    tiny.unlink()
    assert "the file is missing" in jevons("models").out
    assert "Forgot mine" in jevons("models", "remove", "mine").out
    assert jevons("models", "remove", "mine").status == 1


def test_what_is_no_model_is_told_in_a_line(jevons: Run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_text("hello")
    done = jevons("models", "add", str(tmp_path / "x.gguf"))
    assert done.status == 1 and "not a GGUF file" in done.err and "Traceback" not in done.err
    assert "there is no model file" in jevons("models", "add", str(tmp_path / "y.gguf")).err
    jevons("models", "add", str(tiny))
    facts = tiny.stat()
    data = bytearray(tiny.read_bytes())
    data[4] = 99  # another version of the format, and nobody noticed: the same size and time
    tiny.write_bytes(data)
    os.utime(tiny, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    listed = jevons("models")
    assert not listed.status and "the file is damaged" in listed.out and f"tiny: {tiny} cannot be used" in listed.out
    assert jevons("models", "--json").json["models"][-1]["state"] == "damaged"
    assert "needs an importance matrix" in jevons("models", "quantise", "packaged", "IQ2_XS").err


def test_use_changes_one_setting_and_nothing_else(jevons: Run, home: Path, tiny: Path) -> None:
    config = home / "jevons.toml"
    jevons("models", "add", str(tiny))
    config.write_text(TOML)
    assert "Restart" in jevons("models", "use", "tiny").out
    assert config.read_text() == TOML.replace("local model\n", f'local model\nmodel = "{tiny}"\n')
    assert load(config, {}).engine.model == str(tiny)
    assert [one["name"] for one in jevons("models", "--json").json["models"] if one["served"]] == ["tiny"]
    done = jevons("models", "remove", "tiny")
    assert done.status == 2 and "models use packaged" in done.err
    if find_model() is not None:
        assert jevons("models", "use", "packaged", "--json").json["written"]
        assert load(config, {}).engine.model == "" and load(config, {}).port == 5151


@pytest.mark.parametrize("text", ["", "port = 1\n", "[engine]\nmodel = 'old' # why\nslots = 2", "[ledger]\n[ engine ]\n"])
def test_use_writes_into_any_plain_file(jevons: Run, home: Path, tiny: Path, text: str) -> None:
    jevons("models", "add", str(tiny))
    (home / "jevons.toml").write_text(text)
    assert jevons("models", "use", "tiny", "--json").json["written"]
    assert load(home / "jevons.toml", {}).engine.model == str(tiny)


def test_a_served_file_that_is_not_listed_is_said(jevons: Run, home: Path, tiny: Path) -> None:
    jevons("models", "add", str(write(tiny.with_name("other.gguf"), seed=2)))
    (home / "jevons.toml").write_text(f'[engine]\nmodel = "{tiny}"\n')
    assert f"serves {tiny}, which is not in the list" in jevons("models").out
    assert jevons("models", "--json").json["served"] == str(tiny)


def test_use_gives_the_lines_where_writing_is_not_safe(jevons: Run, home: Path, tiny: Path) -> None:
    text = "engine = { slots = 2 }\n"
    jevons("models", "add", str(tiny))
    (home / "jevons.toml").write_text(text)
    done = jevons("models", "use", "tiny")
    assert done.status == 1 and f'[engine]\nmodel = "{tiny}"' in done.out
    assert (home / "jevons.toml").read_text() == text


@pytest.mark.usefixtures("native")
def test_quantise_and_choose(jevons: Run, tiny: Path, tmp_path: Path) -> None:
    jevons("models", "add", str(tiny))
    made = jevons("models", "quantise", "tiny", "q4_k_m", "Q8_0", "--json").json["models"]
    assert [one["name"] for one in made] == ["tiny.Q4_K_M", "tiny.Q8_0"] and not made[0]["requantised"]
    assert "multiple of 256" in made[0]["fell_back"] and made[0]["made"]["type"] == "Q4_K_M"
    chosen = ("models", "choose", "tiny.Q8_0", "--types", "Q4_0", "--tokens", "300", "--questions", "2", "--mix", "900:100")
    done = jevons(*chosen, "--json")
    assert done.json["none_passes"] and done.json["chosen"] == "tiny.Q8_0", "two texts bound nothing"
    assert done.json["requantised"] and done.json["mix"] == {"prompt_tokens": 900, "output_tokens": 100, "source": "as given"}
    row = done.json["rows"][1]
    assert row["requantised"] and row["kld_mean"] > 0 and row["kld_upper"] is None and row["task_loss_upper"] > 0
    said = jevons(*chosen)
    assert "95 % of each, one-sided" in said.out and "by itself" not in said.out, "there is one candidate"
    assert "measured before" in said.err and "No candidate passes" in said.out and "Re-quantised" in said.out
    jevons("import", "litellm", str(SAMPLES / "litellm.jsonl"))
    mix = jevons(*chosen[:-2], "--json").json["mix"]
    spent = jevons("bill", "--by", "model", "--json").json["rows"]
    assert mix["source"] == "the ledger, calls of every model", "it has none of the local model"
    assert mix["output_tokens"] == sum(row["output"] for row in spent) > 0
    assert "Traceback" not in jevons("models", "choose", "tiny", "--traffic", str(tmp_path / "none.jsonl")).err
