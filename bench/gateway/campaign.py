"""What is measured, in which order, and for how long: rounds over all loads and systems, so that a slow minute strikes all alike.

Values come in (systems, loads, a loader), samples go out; it does not know what the figures are for (report.py does)."""

import resource
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.gateway import machine
from bench.gateway.loads import PROMPT_BYTES_LARGE, Load, Loader, open_streams
from bench.gateway.systems import System

Names = tuple[str, ...]
CORE: Names = ("direct", "bare", "gateway", "no_ledger")
SYNCS: Names = ("sync_1ms", "sync_5ms")
TLS: Names = ("bare_tls", "tls")
QUIET_CORES = 0.15  # what others may use of the machine in a sample that counts as quiet
QUIET_PROBE_S = 0.2
WARM_S = 1.0


@dataclass(frozen=True)
class Plan:
    """How long everything takes, in seconds; `rounds` over the sections, within `budget_s` in all."""

    rounds: int
    json_repeats: int
    json_s: float
    stream_s: float
    first_s: float
    ramp_s: float
    window_s: float
    starts: int
    budget_s: float
    quiet_wait_s: float


FULL = Plan(
    rounds=3,
    json_repeats=2,
    json_s=2,
    stream_s=2.5,
    first_s=1.5,
    ramp_s=1.5,
    window_s=3.5,
    starts=3,
    budget_s=480,
    quiet_wait_s=40,
)
QUICK = Plan(
    rounds=1,
    json_repeats=2,
    json_s=1,
    stream_s=1,
    first_s=0.6,
    ramp_s=1,
    window_s=1.5,
    starts=3,
    budget_s=90,
    quiet_wait_s=4,
)


@dataclass(frozen=True)
class Sample:
    """One load on one system once. Times in microseconds, shares in cores; `other` is what the rest of the machine used."""

    tool: dict[str, float]
    rate: float
    cpu_us: float
    system_share: float
    standin_share: float
    load_share: float
    load_core_share: float
    other: float
    syncs_per_answer: float
    sync_p50_us: float | None


@dataclass
class Measured:
    """All samples by (load, system), in the order of the rounds."""

    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    rss_mib: dict[str, tuple[float, float]] = field(default_factory=dict)
    start_s: dict[str, float] = field(default_factory=dict)

    def of(self, load: str, system: str) -> list[Sample]:
        """The samples, the noisy ones left out where at least two quiet ones stand."""
        every = self.samples.get((load, system), [])
        quiet = [sample for sample in every if sample.other < QUIET_CORES]
        return quiet if len(quiet) >= 2 else every


def sections(plan: Plan) -> dict[str, list[tuple[Load, Names]]]:
    """The loads of each section, with the systems they run on, neighbours in time to be compared."""
    json = [Load(f"json_c{c}", c, plan.json_s) for c in (1, 16, 64)]
    return {
        "json": [(load, CORE) for load in json] * plan.json_repeats,
        "stream": [(Load("stream_c16", 16, plan.stream_s, stream_events=50), CORE)],
        "first": [(Load("first_c1", 1, plan.first_s, stream_events=5), CORE)],
        "open": [(open_streams(500, plan.ramp_s, plan.window_s), CORE)],
        "large": [(Load(f"large_c{c}", c, plan.json_s, prompt_bytes=PROMPT_BYTES_LARGE), CORE) for c in (1, 16)],
        "sync": [(load, SYNCS) for load in json],
        "tls": [(load, TLS) for load in json],
    }


class Campaign:
    """Runs a plan; the harness's own core carries the loads and the stand-ins."""

    def __init__(self, plan: Plan, loader: Loader, systems: dict[str, System], standins: dict[str, System]) -> None:
        self.plan, self.loader, self.systems, self.standins = plan, loader, systems, standins
        self.measured = Measured()
        self._began = time.monotonic()
        self._quiet_left_s = plan.quiet_wait_s

    def run(self, only: Iterable[str]) -> Measured:
        """All rounds, or as many as the budget allows, but at least one."""
        chosen = [pair for name in only for pair in sections(self.plan).get(name, [])]
        names = {name for _, on in chosen for name in on} & self.systems.keys()
        self._warm(name for name in self.systems if name in names)
        longest = 0.0
        for number in range(self.plan.rounds):
            began = time.monotonic()
            if number and began - self._began + longest > self.plan.budget_s:
                break
            for load, on in chosen:
                for name in on:
                    self._sample(load, name)
            longest = max(longest, time.monotonic() - began)
            print(f"round {number + 1} of {self.plan.rounds} took {longest:.0f} s", flush=True)
        return self.measured

    def _warm(self, names: Iterable[str]) -> None:
        warm = [Load("warm", 16, WARM_S), Load("warm_stream", 16, WARM_S / 2, stream_events=20)]
        for name in names:
            for load in warm:
                self._try(load, name)

    def _try(self, load: Load, name: str) -> dict[str, float] | None:
        system = self.systems[name]
        try:
            said = self.loader.run(load, system.port, system.key)
        except RuntimeError as error:
            self.measured.problems.append(f"{name} under {load.name}: {error}")
            return None
        if said["bad"]:
            self.measured.problems.append(f"{name} under {load.name}: {said['bad']:.0f} bad answers")
        return said

    def _sample(self, load: Load, name: str) -> None:
        if name not in self.systems:
            return
        self._wait_for_quiet()
        system, standin = self.systems[name], self.standins[name]
        pids, ours = system.pids(), standin.pids() if standin is not system else []
        syncs = system.syncs.count() if system.syncs else 0
        began, before = time.monotonic(), self._clocks(pids, ours)
        said = self._try(load, name)
        seconds, after = time.monotonic() - began, self._clocks(pids, ours)
        if said is None or not said["answered"]:
            return
        own, provider, tools, machine_busy, load_core = (b - a for a, b in zip(before, after, strict=True))
        answered = said["answered"]
        synced = system.syncs.count() - syncs if system.syncs else 0
        sample = Sample(
            tool=said,
            rate=answered / said["seconds"],
            cpu_us=own / answered * 1e6,
            system_share=own / seconds,
            standin_share=(provider if ours else own) / seconds,
            load_share=tools / seconds,
            load_core_share=load_core / seconds,
            other=max(0.0, (machine_busy - own - provider - tools) / seconds),
            syncs_per_answer=synced / answered,
            sync_p50_us=system.syncs.p50_us(syncs) if system.syncs else None,
        )
        self.measured.samples.setdefault((load.name, name), []).append(sample)

    def _clocks(self, pids: list[int], provider: list[int]) -> tuple[float, float, float, float, float]:
        children, own = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
        tools = children.ru_utime + children.ru_stime + own.ru_utime + own.ru_stime
        return machine.cpu_s(pids), machine.cpu_s(provider), tools, machine.busy_s(), machine.busy_s(self.loader.cpu)

    def _wait_for_quiet(self) -> None:
        """On a shared machine: wait until others are quiet, as long as the plan's patience lasts."""
        while self._quiet_left_s > 0:
            busy = machine.busy_s()
            time.sleep(QUIET_PROBE_S)
            self._quiet_left_s -= QUIET_PROBE_S
            if (machine.busy_s() - busy) / QUIET_PROBE_S < QUIET_CORES:
                self._quiet_left_s += QUIET_PROBE_S  # a quiet probe costs no patience
                return
