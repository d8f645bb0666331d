"""A real gateway as a process of its own, for tests: home folder, configuration, keys, the ledger to look into."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jevons.ledger.bill import latest_entries, open_holds

ROOT = Path(__file__).parents[1]
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30


def upstream(name: str, url: str, kind: str = "openai", models: tuple[str, ...] = (), **settings: Any) -> dict[str, Any]:
    """One upstream table of jevons.toml, with a key that the stand-in accepts."""
    table = {"name": name, "kind": kind, "base_url": url, "key": "sk-upstream-secret", **settings}
    return {**table, "models": list(models)} if models else table


class Jevons:
    """`jevons serve` on a free port. Start it as a context manager; `restart` keeps home and configuration."""

    def __init__(
        self,
        home: Path,
        *upstreams: dict[str, Any],
        engine: bool | dict[str, Any] = False,
        environ: dict[str, str] | None = None,
        **config: Any,
    ) -> None:
        """`engine`: whether there is one, or its settings."""
        self.home = home
        self.url = ""
        self.pid = 0
        self._environ = {**os.environ, "JEVONS_HOME": str(home), "PYTHONPATH": str(ROOT / "src"), **(environ or {})}
        self._config = {
            "port": 0,
            "engine": engine if isinstance(engine, dict) else {"enabled": engine},
            "upstreams": list(upstreams),
            **config,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def openai_url(self) -> str:
        return self.url + "/v1"

    @property
    def ledger(self) -> Path:
        return self.home / "ledger.db"

    def __enter__(self) -> Self:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self, *wrapper: str) -> None:
        """Start and wait until it is ready; `wrapper` is a command that runs it (strace …)."""
        (self.home / "serving.json").unlink(missing_ok=True)
        (self.home / "test.toml").write_text(to_toml(self._config))
        command = [*wrapper, sys.executable, "-m", "jevons", "serve", "--config", str(self.home / "test.toml")]
        with (self.home / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environ, stdout=log, stderr=log, cwd=self.home)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if self._is_ready():
                return
            time.sleep(0.02)
        raise RuntimeError(f"the gateway did not start (status {self._process.poll()}):\n{self.log()}")

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self.pid or self._process.pid, signal.SIGTERM)
            self._process.wait(timeout=STOP_TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL: the process is gone at once."""
        assert self._process is not None
        if self._process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait(timeout=STOP_TIMEOUT_S)

    @property
    def running(self) -> bool:
        """Its process has not ended."""
        return self._process is not None and self._process.poll() is None

    def wait_dead(self) -> int:
        """Wait until it has ended by itself or by somebody else; its exit status, negative for a signal."""
        assert self._process is not None
        return self._process.wait(timeout=STOP_TIMEOUT_S)

    def log(self) -> str:
        return (self.home / "serve.log").read_text()

    def run(self, *arguments: str) -> str:
        """Output of a `jevons` command on this home; raises with its error text."""
        done = subprocess.run(
            [sys.executable, "-m", "jevons", *arguments], env=self._environ, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"jevons {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def key(self, name: str, limit_usd: str | None = None, **settings: str) -> str:
        """A new key, by the command line."""
        limit = ["--limit-usd", limit_usd] if limit_usd is not None else []
        more = [part for option, value in settings.items() for part in (f"--{option.replace('_', '-')}", value)]
        made: dict[str, Any] = json.loads(self.run("keys", "create", name, *limit, *more, "--json"))
        return str(made["key"])

    def entries(self) -> list[dict[str, Any]]:
        """All entries, oldest first."""
        return latest_entries(self.ledger, 1_000_000)[::-1]

    def holds(self) -> list[dict[str, Any]]:
        return open_holds(self.ledger)

    def settled(self, count: int) -> list[dict[str, Any]]:
        """All entries, once there are `count` and no open hold: a client may be gone before its attempt is settled."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while len(entries := self.entries()) < count or self.holds():
            assert time.monotonic() < deadline, f"{len(entries)} of {count} entries, holds: {self.holds()}"
            time.sleep(0.02)
        return entries

    def _is_ready(self) -> bool:
        try:
            serving = json.loads((self.home / "serving.json").read_text())
            self.url, self.pid = serving["address"], serving["pid"]
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, ValueError, urllib.error.URLError):
            return False


def to_toml(config: dict[str, Any]) -> str:
    """The few shapes that a test configuration has, as TOML."""
    lines = [
        f"{name} = {_value(value)}" for name, value in config.items() if not isinstance(value, dict) and not _is_tables(value)
    ]
    for name, value in config.items():
        if isinstance(value, dict):
            lines += [f"[{name}]", *(f"{key} = {_value(item)}" for key, item in value.items())]
        elif _is_tables(value):
            for table in value:
                lines += [f"[[{name}]]", *(f"{key} = {_value(item)}" for key, item in table.items())]
    return "\n".join(lines) + "\n"


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value)
