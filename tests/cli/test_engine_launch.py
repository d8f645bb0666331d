"""`jevons engine launch`: what it prints can be used as it stands, or it says why not."""

import json
import tomllib
from pathlib import Path

import yaml

from tests.cli.conftest import Run
from tests.engine.checkpoints import LLAMA


def test_vllm(jevons: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    asked = (
        "engine",
        "launch",
        "vllm",
        str(tmp_path),
        "--name",
        "llama",
        "--on",
        "l40s",
        "--max-model-len",
        "8192",
        "--vllm",
        "0.32.0",
    )
    done = jevons(*asked, "--", "--seed", "7")
    assert f"vllm serve {tmp_path} \\\n  --served-model-name llama \\\n" in done.out
    assert done.out.count("\n  --seed 7\n") == 1
    assert "note: 16.1 GB of weights in 44.2 GB (92% of L40S)" in done.err
    document = jevons(*asked, "--json").json
    assert document["version"] == "0.32.0" and document["command"][:3] == ["vllm", "serve", str(tmp_path)]
    assert tomllib.loads(document["upstream"])["upstreams"][0]["key_env"] == "VLLM_API_KEY"
    assert tomllib.loads(document["price"])["price"][0]["model"] == "llama"


def test_ray(jevons: Run) -> None:
    done = jevons("engine", "launch", "ray", "org/model-7b", "--on", "H100-SXM-80GB", "--replicas", "1", "8", "--json")
    [application] = yaml.safe_load(done.json["config"])["applications"]
    [model] = application["args"]["llm_configs"]
    assert model["model_loading_config"] == {"model_id": "model-7b", "model_source": "org/model-7b"}
    assert model["deployment_config"]["autoscaling_config"]["max_replicas"] == 8
    assert 'auth = "none"' in jevons("engine", "launch", "ray", "org/model-7b").out


def test_what_cannot_work_starts_nothing(jevons: Run, tmp_path: Path) -> None:
    refused = jevons(
        "engine",
        "launch",
        "vllm",
        "m",
        "--on",
        "CPU",
        "--kv-cache-dtype",
        "turboquant_4bit_nc",
        "--vllm",
        "0.32.0",
        "--",
        "--sed=7",
    )
    assert refused.status == 1 and refused.out == ""
    assert "perplexity was 155,155" in refused.err and "is it --seed?" in refused.err
    damaged = tmp_path / "config.json"
    damaged.write_text("{")
    for arguments, text in (
        (("--on", "H1000"), "Nothing is known of 'H1000'"),
        (("--vllm", "9.9"), "only of 0.29.0, 0.32.0"),
        (("--model-config", str(damaged)), "is not a model's config.json"),
    ):
        done = jevons("engine", "launch", "vllm", "m", *arguments)
        assert done.status == 2 and text in " ".join(done.err.split()), done.err
    assert "fewest first" in jevons("engine", "launch", "ray", "m", "--replicas", "3", "2").err
    assert "no accelerator type" in jevons("engine", "launch", "ray", "m", "--on", "RTX-4090").err
