"""Every command of the documentation is run, page by page and in order, against a gateway of its own with a stand-in provider behind it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import apsw
import pytest

from jevons.engine.install import install_command, present
from tests.docs.pages import NAMES, ROOT, Block, blocks
from tests.provider import Provider
from tests.running import Jevons, upstream

TIMEOUT_S = 100
RUN = "nightly-42"
RUNNABLE = ("sh", "console", "python", "sql", "yaml")
PAGES = [page for page in NAMES if any(b.language in RUNNABLE and b.note not in ("make", "by-hand") for b in blocks(page))]


class Desk:
    """Where the commands of one page are run: a folder, a shell's environment, a running gateway and a key for it."""

    def __init__(self, jevons: Jevons, folder: Path) -> None:
        self._jevons = jevons
        self._folder = folder
        key = jevons.key("docs")
        address = jevons.url
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environ = {
            "PATH": path,
            "HOME": str(folder),
            "COLUMNS": "120",
            "JEVONS_HOME": str(jevons.home),
            "KEY": key,
            "OPENAI_BASE_URL": f"{address}/v1",
            "OPENAI_API_KEY": key,
            "ANTHROPIC_BASE_URL": address,
            "ANTHROPIC_API_KEY": key,
            "LLM_USER_PATH": str(folder),
            "LLM_LOAD_PLUGINS": "",
        }

    def do(self, block: Block) -> None:
        """Run one block; fails with its place and what it said."""
        match block.language:
            case "sh":
                if block.note == "restore":
                    self._jevons.stop()
                self._run(block, ["bash", "-eu", "-o", "pipefail", "-c", self._here(block.text)])
            case "python":
                self._run(block, [sys.executable, "-c", block.text])
            case "console":
                self._compare(block)
            case "sql":
                db = apsw.Connection(str(self._jevons.ledger), flags=apsw.SQLITE_OPEN_READONLY)
                try:
                    assert db.execute(block.text).fetchall(), f"{block.place}: no rows"
                except apsw.SQLError as error:
                    pytest.fail(f"{block.place}: {error}")
                finally:
                    db.close()
            case "yaml":
                (self._folder / "extra-openai-models.yaml").write_text(self._here(block.text))
                shell = f"llm keys set jevons --value $KEY && llm -m {re.findall(r'model_id: (.+)', block.text)[0]} hello"
                self._run(block, ["bash", "-eu", "-c", shell])

    def _here(self, text: str) -> str:
        return text.replace("http://127.0.0.1:4141", self._jevons.url)

    def _run(self, block: Block, command: list[str]) -> str:
        done = subprocess.run(
            command, env=self._environ, cwd=self._folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        assert not done.returncode, f"{block.place}: status {done.returncode}\n{block.text}\n{done.stdout}{done.stderr}"
        assert '"error"' not in done.stdout, f"{block.place}: {done.stdout}"
        return done.stdout

    def _compare(self, block: Block) -> None:
        """`$ command`, then what it prints."""
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            said = self._run(block, ["bash", "-eu", "-c", command])
            assert _constant(said) == _constant(expected), f"{block.place}: it prints\n{said}"


def _constant(text: str) -> str:
    """Without what changes with every version of the price book."""
    return re.sub(r"price book [0-9a-f]{16} \(genai-prices [0-9.]+\)", "price book …", text)


@pytest.mark.parametrize("page", PAGES)
def test_commands(page: str, tmp_path: Path, provider: Provider) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is missing: apt-get install curl")
    engine = page == "README.md"  # the one page whose reader has nothing but the embedded model
    if engine and present() is None:
        pytest.skip(f"the embedded model is not installed: {install_command()}")
    upstreams = [
        upstream("openai", f"{provider.url}/v1", models=("gpt-*",)),
        upstream("anthropic", provider.url, kind="anthropic"),
        {"name": "subscription", "kind": "anthropic", "base_url": provider.url, "auth": "client", "billed": False, "models": []},
    ]
    names = [] if engine else [{"name": "local", "upstream": "openai", "target": "gpt-4o"}]
    routes = [{"name": "default", "to": ["local"]}]
    with Jevons(tmp_path / "home", *upstreams, engine=engine, models=names, routes=routes) as jevons:
        folder = tmp_path / "folder"
        folder.mkdir()
        _talk(jevons)
        desk = Desk(jevons, folder)
        for block in blocks(page, *RUNNABLE):
            if block.note not in ("make", "by-hand"):
                desk.do(block)


def _talk(jevons: Jevons) -> None:
    """So that there is something to show: one call of a run."""
    body = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}'
    headers = {"authorization": f"Bearer {jevons.key('talker')}", "content-type": "application/json", "x-jevons-run-id": RUN}
    with urllib.request.urlopen(
        urllib.request.Request(jevons.openai_url + "/chat/completions", body, headers), timeout=60
    ) as answer:
        assert answer.status == 200


def test_make_run_serves(tmp_path: Path) -> None:
    """The first command of the README, where `make` has set up this checkout already; setting up is not repeated here."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "ARGS"}
    if subprocess.run(["make", "-q", ".venv/run.stamp"], cwd=ROOT, env=environ, capture_output=True, check=False).returncode:
        pytest.skip("this checkout is not set up by make: make test")
    home = tmp_path / "home"
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        ["make", "run"], cwd=ROOT, env={**environ, "JEVONS_HOME": str(home), "JEVONS_PORT": "0"}, stdout=log, stderr=log
    )
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while not (home / "serving.json").exists():
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
        os.kill(json.loads((home / "serving.json").read_text())["pid"], signal.SIGINT)  # make passes none on: a terminal does
    finally:
        process.wait(timeout=TIMEOUT_S)
        log.close()
    assert "Your first key" in (tmp_path / "log").read_text()
