"""CPU per request with ten rules on six levels and loops on, against none: two gateways, loaded in turn by the same requests.

Comes in: the native stand-in and the cores of bench.gateway. Goes out: samples. Does not know what they are compared with.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

from bench.gateway import machine
from bench.gateway.campaign import QUIET_CORES
from bench.gateway.loads import MODEL, PATH
from bench.gateway.systems import Laboratory, System, clean_environment, free_port
from bench.governor.bodies import Bodies

SCRIPT = Path(__file__).with_name("requests.lua")
CONNECTIONS = (1, 16)
WARM_S = 2
TOOL_GRACE_S = 60
QUIET_PROBE_S = 0.2
BASE = """\
[[upstreams]]
name = "standin"
kind = "openai"
provider = "openai"
base_url = "http://127.0.0.1:{port}/v1"
auth = "bearer"
key = "sk-standin"
models = ["{model}"]

[engine]
enabled = false
"""
NONE = """
[governor]
infer_runs = false

[[limits]]
name = "loops"
scope = "run"
repeats = 20
mode = "off"
"""
GOVERNED = """
[[limits]]
name = "org-month"
scope = "org"
per = "month"
usd = 1000000

[[limits]]
name = "team-month"
scope = "team"
per = "month"
usd = 1000000

[[limits]]
name = "key-day"
scope = "key"
per = "24h"
tokens = 1000000000000

[[limits]]
name = "key-calls"
scope = "key"
concurrent = 1000

[[limits]]
name = "agent-day"
scope = "agent"
per = "day"
usd = 1000000

[[limits]]
name = "run-usd"
scope = "run"
usd = 100000

[[limits]]
name = "run-steps"
scope = "run"
steps = 1000000

[[limits]]
name = "run-context"
scope = "run"
context_tokens = 100000

[[limits]]
name = "loops"
scope = "run"
repeats = 20
warn = 5
approve = 10

[[limits]]
name = "child-usd"
scope = "child"
usd = 100000
"""
"""Ten rules on six levels: organisation, team, key, agent, run, child. None is ever reached."""


GATEWAYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "none": (NONE, ()),
    "governed": (GOVERNED, ("--limit-usd", "1000000", "--team", "bench")),
}
"""Configuration, and options of the key."""


@dataclass(frozen=True)
class Setup:
    """A gateway and what its requests say of their run; `base`: the setup without limits that gets the same requests."""

    name: str
    gateway: str
    names_runs: bool
    base: str = ""


SETUPS = (
    Setup("none", "none", names_runs=True),
    Setup("governed", "governed", names_runs=True, base="none"),
    Setup("none, no run named", "none", names_runs=False),
    Setup("governed, runs inferred", "governed", names_runs=False, base="none, no run named"),
)


@dataclass(frozen=True)
class Sample:
    """One load on one gateway. `other_cores`: what the rest of the machine used."""

    cpu_us: float
    rate: float
    p50_us: float
    bad: int
    other_cores: float


Samples = dict[tuple[str, int, str], list[Sample]]
"""(kind of request, connections, setup) -> samples, one a round"""


class More(NamedTuple):
    """By how much CPU a request needs more than the same one without limits, microseconds."""

    least: float
    """The least disturbed sample of each compared: others on the machine can only make CPU time longer."""
    median: float
    """Of the differences in each round."""


def more_us(samples: Samples, kind: str, connections: int, setup: str) -> More:
    """What a setup adds to its base."""
    base = next(one.base for one in SETUPS if one.name == setup)
    own = [sample.cpu_us for sample in samples[kind, connections, setup]]
    none = [sample.cpu_us for sample in samples[kind, connections, base]]
    return More(min(own) - min(none), statistics.median(a - b for a, b in zip(own, none, strict=True)))


class Campaign:
    """The gateways and what they are loaded with."""

    def __init__(self, lab: Laboratory, kinds: tuple[Bodies, ...], seconds: int, quiet_wait_s: float) -> None:
        """`seconds` of each load; `quiet_wait_s`: how long in all to wait for a machine that others leave alone."""
        self._lab = lab
        self._kinds = kinds
        self._seconds = seconds
        self._quiet_left_s = quiet_wait_s
        self._standin = lab.standin("standin", lab.load_cpu)
        self._standin.start()
        self._systems = {name: self._gateway(name) for name in GATEWAYS}
        for kind in kinds:
            self._file(kind, "bodies").write_text("\n".join(kind.lines) + "\n")
            self._file(kind, "runs").write_text("\n".join(kind.runs) + "\n")
        self._file(None, "runs").write_text("")
        for system in self._systems.values():
            system.start()
            system.check(kinds[0].lines[0].encode())

    def run(self, rounds: int, connections: tuple[int, ...] = CONNECTIONS) -> Samples:
        """Rounds over all loads and gateways, forwards and backwards, so that a slow minute strikes all alike."""
        samples: Samples = {}
        for setup, kind in product(SETUPS, self._kinds):
            self._load(setup, kind, 16, WARM_S)
        for number in range(rounds):
            for kind, many in product(self._kinds, connections):
                self._wait_for_quiet()
                for setup in SETUPS if number % 2 == 0 else reversed(SETUPS):
                    samples.setdefault((kind.name, many, setup.name), []).append(self._sample(setup, kind, many))
        return samples

    def _wait_for_quiet(self) -> None:
        while self._quiet_left_s > 0:
            busy = machine.busy_s()
            time.sleep(QUIET_PROBE_S)
            if (machine.busy_s() - busy) / QUIET_PROBE_S < QUIET_CORES:
                return
            self._quiet_left_s -= QUIET_PROBE_S

    def _sample(self, setup: Setup, kind: Bodies, connections: int) -> Sample:
        pids, standin = self._systems[setup.gateway].pids(), self._standin.pids()
        before, began = (machine.cpu_s(pids), machine.cpu_s(standin), machine.busy_s()), time.monotonic()
        said = self._load(setup, kind, connections, self._seconds)
        own, provider, busy = (
            b - a for a, b in zip(before, (machine.cpu_s(pids), machine.cpu_s(standin), machine.busy_s()), strict=True)
        )
        elapsed_s = time.monotonic() - began
        answered = said["requests"] - said["bad_status"]
        return Sample(
            cpu_us=own / answered * 1e6,
            rate=answered / said["us"] * 1e6,
            p50_us=said["p50"],
            bad=int(said["bad_status"] + said["socket_errors"]),
            other_cores=max(0.0, (busy - own - provider - said["tool_s"]) / elapsed_s),
        )

    def _load(self, setup: Setup, kind: Bodies, connections: int, seconds: int) -> dict[str, float]:
        """Raises RuntimeError with the tool's words."""
        system = self._systems[setup.gateway]
        environment = {
            "BENCH_BODIES": str(self._file(kind, "bodies")),
            "BENCH_RUNS": str(self._file(kind if setup.names_runs else None, "runs")),
            "BENCH_HEADERS": f"Authorization: Bearer {system.key}\nx-jevons-agent: bench",
        }
        flags = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(SCRIPT)]
        command = ["taskset", "-c", str(self._lab.load_cpu), "wrk", *flags, f"http://127.0.0.1:{system.port}{PATH}"]
        tools_s = _children_s()
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, timeout=seconds + TOOL_GRACE_S, check=False
        )
        line = next((line for line in done.stdout.splitlines() if line.startswith("JSON ")), None)
        if done.returncode or line is None:
            raise RuntimeError(f"wrk ended with {done.returncode}: {done.stdout[-300:]} {done.stderr[-300:]}")
        said: dict[str, float] = json.loads(line[5:])
        return said | {"tool_s": _children_s() - tools_s}

    def _file(self, kind: Bodies | None, what: str) -> Path:
        return self._lab.directory / f"{kind.name if kind else 'no'}.{what}"

    def _gateway(self, name: str) -> System:
        """Raises RuntimeError without a key."""
        settings, key_options = GATEWAYS[name]
        home, config = self._lab.directory / name, self._lab.directory / f"{name}.toml"
        home.mkdir(mode=0o700)
        config.write_text(BASE.format(port=self._standin.port, model=MODEL) + settings)
        environment = clean_environment() | {"JEVONS_HOME": str(home)}
        create = [sys.executable, "-m", "jevons", "keys", "create", "bench", *key_options, "--json"]
        made = subprocess.run(create, env=environment, capture_output=True, text=True, check=False)
        if made.returncode:
            raise RuntimeError(f"{name}: jevons keys create ended with {made.returncode}: {made.stderr[-800:]}")
        port, key = free_port(), json.loads(made.stdout)["key"]
        command = [sys.executable, "-m", "jevons", "serve", "--config", str(config), "--port", str(port)]
        log = self._lab.directory / f"{name}.log"
        system = System(name, port, command, environment, self._lab.gateway_cpu, log, key, health="/health/ready")
        self._lab.systems.append(system)
        return system


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system
