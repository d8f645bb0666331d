"""The same commands while a gateway serves: writes go through it, readings come from the file it writes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.asking import Gateway, body_of
from tests.provider import Provider
from tests.running import ROOT, Jevons, upstream


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with (
        Provider() as provider,
        Jevons(tmp_path_factory.mktemp("serving") / "home", upstream("openai", provider.openai_url, retries=0)) as jevons,
    ):
        yield Gateway(jevons, provider)


def test_writes_reach_the_serving_process(serving: Gateway, tmp_path: Path) -> None:
    run = serving.jevons.run
    secret = json.loads(run("keys", "create", "agent", "--limit-usd", "5", "--json"))["key"]
    got = serving.post("chat", None, body_of("chat", "gpt-4o"), authorization=f"Bearer {secret}")
    assert got.status == 200
    run("keys", "limit", "agent", "0.000001")
    assert serving.post("chat", None, body_of("chat", "gpt-4o"), authorization=f"Bearer {secret}").status == 402
    run("adjust", "agent", "-1", "--reason", "a credit", "--request", got.request)
    assert serving.post("chat", None, body_of("chat", "gpt-4o"), authorization=f"Bearer {secret}").status == 200
    run("backup", str(tmp_path / "copy.db"))
    run("keys", "revoke", "agent")
    assert serving.post("chat", None, body_of("chat", "gpt-4o"), authorization=f"Bearer {secret}").status == 401
    with pytest.raises(RuntimeError, match="already"):
        run("keys", "create", "agent")


def test_readings_while_it_serves(serving: Gateway) -> None:
    key = serving.key(10**9)
    got = serving.post("chat", key, body_of("chat", "gpt-4o", reply="one two"), x_jevons_run_id="run-7")
    billed = serving.entry_of(got)["billed_nusd"]
    found = json.loads(serving.jevons.run("bill", "--by", "run", "--key", key.name, "--json"))
    assert (found["total_nusd"], found["entries"], found["rows"][0]["run"]) == (billed, 1, "run-7")
    picture = json.loads(serving.jevons.run("top", "--json"))
    assert picture["entries"][0]["key_name"] == key.name
    assert json.loads(serving.jevons.run("doctor", "--json"))["findings"]


def test_a_second_server_on_one_home_is_refused(serving: Gateway) -> None:
    """With the process that has it."""
    environ = {**os.environ, "JEVONS_HOME": str(serving.jevons.home), "PYTHONPATH": str(ROOT / "src"), "JEVONS_PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "jevons", "serve"], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert str(serving.jevons.pid) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_port_that_is_taken(serving: Gateway, tmp_path: Path) -> None:
    port = serving.url.rpartition(":")[2]
    environ = {**os.environ, "JEVONS_HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src"), "JEVONS_PORT": port}
    done = subprocess.run(
        [sys.executable, "-m", "jevons", "serve"], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "JEVONS_PORT" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
