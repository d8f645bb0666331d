"""The same commands while a gateway serves: writes go through it, readings come from the file it writes."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.asking import Gateway, body_of
from tests.gateway.operating import asking_limit, begun
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


def test_the_governor_while_it_serves(serving: Gateway) -> None:
    """Limits with what open calls hold, kills that cut them, changes of keys: all by the process that serves."""
    run, key = serving.jevons.run, serving.key()
    run("keys", "set", key.name, "--team", "search", "--org", "acme")
    run("limits", "set", "team", "--scope", "team", "--usd", "5", "--per", "month")
    with begun(serving, key) as answer:
        found = {one["name"]: one for one in json.loads(run("limits", "--json"))["limits"]}
        [account] = found["team"]["accounts"]
        assert account["subject"] == "team:acme/search"
        assert account["held_nusd"] == serving.account(key)["held_nusd"] > 0
        shown = run("limits")
        assert "▒" in shown
        assert "held of $5.00, until 20" in shown
        assert "with 1 call under way" in run("kill", f"key:{key.name}", "--reason", "enough")
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    [made] = json.loads(run("kill", "--json"))["kills"]
    assert "enough" in serving.post("chat", key, body_of("chat", "gpt-4o")).error["message"]
    run("kill", "--lift", str(made["id"]))
    assert serving.post("chat", key, body_of("chat", "gpt-4o")).status == 200
    run("limits", "set", "team", "--scope", "team", "--usd", "0.000001", "--per", "month")
    assert serving.post("chat", key, body_of("chat", "gpt-4o")).status == 402
    over = run("limits")
    assert f"{'█' * 20}" in over
    assert "over, until 20" in over
    run("limits", "remove", "team")
    assert serving.post("chat", key, body_of("chat", "gpt-4o")).status == 200
    with pytest.raises(RuntimeError, match="no limit 'team'"):
        run("limits", "remove", "team")
    assert json.loads(run("audit", "verify", "--json"))["sound"]
    actions = [row["action"] for row in json.loads(run("audit", "--json"))["rows"]]
    assert {"key-change", "limit-set", "kill", "lift", "denied", "overrun", "limit-remove"} <= set(actions)


def test_an_answer_while_it_serves(serving: Gateway) -> None:
    run = serving.jevons.run
    key, _, call = asking_limit(serving)
    question = serving.post("chat", key, call).error["jevons"]["approval"]
    assert question in run("approve")
    assert run("approve", question).startswith("Approved; the agent may send its request again.")
    assert serving.post("chat", key, call).status == 200
    assert "Denied" in run("approve", question, "--deny")


def test_a_second_server_on_one_home_is_refused(serving: Gateway) -> None:
    """With the process that has it."""
    environ = {**os.environ, "JEVONS_HOME": str(serving.jevons.home), "PYTHONPATH": str(ROOT / "src"), "JEVONS_PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "jevons", "serve"], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert str(serving.jevons.pid) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_it_is_reached_as_soon_as_it_says_where(tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text("[engine]\nenabled = false\n")
    environ = {**os.environ, "JEVONS_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT / "src"), "JEVONS_PORT": "0"}
    command = [sys.executable, "-m", "jevons", "serve", "--config", str(config)]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if line.startswith("Jevons serves on "))
        with contextlib.closing(http.client.HTTPConnection(said.split()[3].removeprefix("http://"), timeout=60)) as wire:
            wire.request("GET", "/health/live")
            assert wire.getresponse().status == 200
        process.terminate()


def test_a_port_that_is_taken(serving: Gateway, tmp_path: Path) -> None:
    port = serving.url.rpartition(":")[2]
    environ = {**os.environ, "JEVONS_HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src"), "JEVONS_PORT": port}
    done = subprocess.run(
        [sys.executable, "-m", "jevons", "serve"], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "JEVONS_PORT" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_answers_that_are_kept(serving: Gateway) -> None:
    """Given, saved by, and forgotten."""
    run = serving.jevons.run
    for key in (serving.key(org="acme"), serving.key()):
        for _ in range(3):
            assert serving.post("chat", key, body_of("chat", "gpt-4o"), x_jevons_cache="exact").status == 200
    found = json.loads(run("cache", "status", "--json"))
    answers, saved = found["answers"], found["saved"]["answer_exact"]
    assert {name: answers[name] for name in ("entries", "orgs", "looked", "hits", "kept")} == {
        "entries": 2, "orgs": 2, "looked": 6, "hits": 4, "kept": 2,
    }  # fmt: skip
    assert saved["hits"] == 4 and saved["nusd"] > 0 and saved["tokens"] > 0
    shown = run("cache", "status")
    assert "2 answers of 2 organisations kept" in shown and "6 looked for, 4 given" in shown
    assert "4 answers to the same requests saved ~$" in shown and "estimated" in shown
    assert run("cache", "clear", "--org", "acme") == "Forgot 1 answer of acme.\n"
    assert json.loads(run("cache", "clear", "--json")) == {"serving": True, "forgotten": 1, "questions": 0}
