"""The systems under test and their stand-in provider: started, asked whether they are ready, ended.

It knows of the gateway what its users know: `jevons keys create`, `jevons serve`, jevons.toml and /health/ready."""

import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from bench.gateway import machine
from bench.gateway.loads import MODEL, PATH
from bench.gateway.native import Tools
from bench.gateway.syncs import SyncLog

REPOSITORY = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 60
END_WITHIN_S = 10
POLL_S = 0.005
CONFIG = """\
[[upstreams]]
name = "standin"
kind = "openai"
provider = "openai"
base_url = "{scheme}://127.0.0.1:{port}/v1"
auth = "bearer"
key = "sk-standin"
models = ["{model}"]

[engine]
enabled = false

[ledger]
enabled = {ledger}
"""


@dataclass(frozen=True)
class Variant:
    """How a gateway is set up."""

    name: str
    ledger: bool = True
    tls: bool = False
    sync_delay_us: int = 0


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("gateway"),
        Variant("no_ledger", ledger=False),
        Variant("sync_1ms", sync_delay_us=1000),
        Variant("sync_5ms", sync_delay_us=5000),
        Variant("tls", tls=True),
    )
}


@dataclass
class System:
    """Something that answers chat completions on 127.0.0.1:`port`; without `health` it is ready once it listens."""

    name: str
    port: int
    command: list[str]
    environment: dict[str, str]
    cpu: int
    log: Path
    key: str = "sk-bench"
    health: str | None = None
    syncs: SyncLog | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> float:
        """Start it on its core; seconds from its spawning to the first 200. Raises RuntimeError when it ends or never answers."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            pinned = ["taskset", "-c", str(self.cpu), *self.command]
            self.process = subprocess.Popen(pinned, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        while time.monotonic() - began < READY_WITHIN_S:
            if self.process.poll() is not None:
                tail = self.log.read_text(errors="replace")[-800:]
                raise RuntimeError(f"{self.name} ended with {self.process.returncode} before it was ready:\n{tail}")
            if self._ready():
                return time.monotonic() - began
            time.sleep(POLL_S)
        self.end()
        raise RuntimeError(f"{self.name} was not ready within {READY_WITHIN_S} s; its log: {self.log}")

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.connect()
            if self.health is None:
                return True
            connection.request("GET", self.health)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def check(self, body: bytes) -> None:
        """One request, so that a wrong configuration is told in the system's own words. Raises RuntimeError unless it gives 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=READY_WITHIN_S)
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.key}"}
        try:
            connection.request("POST", PATH, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except OSError as error:
            raise RuntimeError(f"{self.name} does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{self.name} answers {answer.status}: {text[:600]}")

    def end(self) -> None:
        """Ask it to end, then insist."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def pids(self) -> list[int]:
        """Its process tree."""
        assert self.process is not None
        return machine.tree(self.process.pid)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment() -> dict[str, str]:
    """This process's environment without provider keys and Jevons' own settings, and with byte code kept, as a service has it."""
    dropped = {name for name in os.environ if name.endswith("_API_KEY") or name.startswith(("JEVONS_", "PYTHONDONTWRITE"))}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    paths = [*filter(None, [os.environ.get("PYTHONPATH")]), str(REPOSITORY / "src"), str(REPOSITORY)]
    return kept | {"PYTHONPATH": os.pathsep.join(paths)}


class Laboratory:
    """Makes systems in one directory; gateways on one core, stand-ins and loads on another."""

    def __init__(self, tools: Tools, directory: Path, gateway_cpu: int, load_cpu: int) -> None:
        self.tools, self.directory, self.gateway_cpu, self.load_cpu = tools, directory, gateway_cpu, load_cpu
        self.systems: list[System] = []
        self.certificate = directory / "standin.pem"
        self.authority = directory / "authority.pem"
        if tools.tls:
            authority = trustme.CA()
            authority.cert_pem.write_to_path(str(self.authority))
            authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(self.certificate))

    def standin(self, name: str, cpu: int, tls: bool = False) -> System:
        """A stand-in provider."""
        port = free_port()
        command = [str(self.tools.standin), str(port), *([str(self.certificate)] * 2 if tls else [])]
        return self._kept(System(name, port, command, clean_environment(), cpu, self.directory / f"{name}.log"))

    def bare(self, name: str, upstream: System, tls: bool = False) -> System:
        """The bare proxy before a stand-in."""
        port, url = free_port(), f"{'https' if tls else 'http'}://127.0.0.1:{upstream.port}/v1/chat/completions"
        command = [sys.executable, "-m", "bench.gateway.bare_proxy", str(port), url, "sk-bench"]
        return self._kept(System(name, port, command, self._trusting(tls), self.gateway_cpu, self.directory / f"{name}.log"))

    def gateway(self, variant: Variant, upstream: System) -> System:
        """A gateway with a home, a configuration and a strictly limited key of its own. Raises RuntimeError without a key."""
        home = self.directory / variant.name
        home.mkdir(mode=0o700)
        config = self.directory / f"{variant.name}.toml"
        scheme = "https" if variant.tls else "http"
        config.write_text(CONFIG.format(scheme=scheme, port=upstream.port, model=MODEL, ledger=str(variant.ledger).lower()))
        environment = self._trusting(variant.tls) | {"JEVONS_HOME": str(home)}
        create = [sys.executable, "-m", "jevons", "keys", "create", "bench", "--limit-usd", "1000000", "--json"]
        made = subprocess.run(create, env=environment, capture_output=True, text=True, timeout=READY_WITHIN_S, check=False)
        if made.returncode:
            raise RuntimeError(f"{variant.name}: jevons keys create ended with {made.returncode}: {made.stderr[-800:]}")
        syncs = SyncLog(self.directory / f"{variant.name}.syncs")
        environment |= syncs.environment(self.tools.syncshim, variant.sync_delay_us)
        port = free_port()
        command = [sys.executable, "-m", "jevons", "serve", "--config", str(config), "--port", str(port)]
        log, key = self.directory / f"{variant.name}.log", json.loads(made.stdout)["key"]
        return self._kept(
            System(variant.name, port, command, environment, self.gateway_cpu, log, key, health="/health/ready", syncs=syncs)
        )

    def start_s(self, system: System, starts: int) -> float:
        """Median seconds to its first 200, its home warm; the last start is left running."""
        taken = []
        for _ in range(starts):
            system.end()
            taken.append(system.start())
        return statistics.median(taken)

    def end(self) -> None:
        """End everything started here, the last first."""
        for system in reversed(self.systems):
            system.end()

    def _trusting(self, tls: bool) -> dict[str, str]:
        environment = clean_environment()
        if tls:
            environment.pop("SSL_CERT_DIR", None)
            environment["SSL_CERT_FILE"] = str(self.authority)
        return environment

    def _kept(self, system: System) -> System:
        self.systems.append(system)
        return system
