"""Measures the gateway against a stand-in provider; prints a table for people and, as its last line, one JSON object."""

import argparse
import contextlib
import datetime
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench.gateway import machine, native, report
from bench.gateway.campaign import FULL, QUICK, Campaign, Measured, sections
from bench.gateway.loads import Load, Loader
from bench.gateway.systems import VARIANTS, Laboratory, System

OUT = native.HERE.parent / "out"
SETTLE_S = 1.0  # from ready to idle, before memory is read


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench-gateway BENCH_ARGS=...", description=__doc__)
    names = [*sections(QUICK), "start"]
    systems = ["direct", "bare", "bare_tls", *VARIANTS]
    parser.add_argument("--quick", action="store_true", help="about 1.5 minutes, for development; without it about 8 minutes")
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, help=f"sections: {','.join(names)}")
    parser.add_argument("--systems", type=lambda text: text.split(","), default=systems, help=f"systems: {','.join(systems)}")
    parser.add_argument(
        "--rounds", type=int, help="samples of everything, within the time of the plan (default: 1 quick, 3 full)"
    )
    parser.add_argument("--gateway-cpu", type=int, default=0, help="the core of the system under test")
    parser.add_argument("--load-cpu", type=int, default=1, help="the core of the loads and the stand-in")
    parser.add_argument("--home", type=Path, default=OUT, help="the disk on which the ledgers are measured (default: bench/out)")
    parser.add_argument("--keep", action="store_true", help="keep the ledgers, configurations and logs")
    options = parser.parse_args()
    for given, known, what in ((options.only, names, "section"), (options.systems, systems, "system")):
        if unknown := set(given) - set(known):
            parser.error(f"no such {what}: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    here = os.sched_getaffinity(0)
    if not {options.gateway_cpu, options.load_cpu} <= here or options.gateway_cpu == options.load_cpu:
        parser.error(f"two cores are needed, one for the system and one for the load; this process may use {here}")
    return options


@contextlib.contextmanager
def laboratory(options: argparse.Namespace, tools: native.Tools) -> Iterator[Laboratory]:
    """A directory for ledgers and logs, and everything in it ended and removed afterwards."""
    options.home.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="gateway-", dir=options.home))
    lab = Laboratory(tools, directory, options.gateway_cpu, options.load_cpu)
    try:
        yield lab
    finally:
        lab.end()
        if options.keep:
            print(f"kept: {directory}")
        else:
            shutil.rmtree(directory)


def set_up(lab: Laboratory, wanted: list[str], starts: int, measured: Measured) -> tuple[dict[str, System], dict[str, System]]:
    """Start the wanted systems; each with its stand-in. What cannot start becomes a problem, not an end."""
    plain, direct = lab.standin("standin", lab.load_cpu), lab.standin("direct", lab.gateway_cpu)
    providers = {"direct": direct}
    encrypted = lab.standin("standin_tls", lab.load_cpu, tls=True) if lab.tools.tls else None
    for provider in (plain, direct, encrypted):
        if provider is not None:
            provider.start()
    systems: dict[str, System] = {"direct": direct} if "direct" in wanted else {}
    for name in wanted:
        tls = name in ("bare_tls", "tls")
        upstream = encrypted if tls else plain
        if name == "direct":
            continue
        if upstream is None:
            measured.problems.append(f"{name}: the stand-in has no TLS here: apt-get install libssl-dev")
            continue
        try:
            system = lab.gateway(VARIANTS[name], upstream) if name in VARIANTS else lab.bare(name, upstream, tls)
            system.start()  # the first start fills the home and writes byte code
            system.check(Load("check", 1, 0).body())
            if name in report.SYSTEM_FIGURES and starts:
                measured.start_s[name] = round(lab.start_s(system, starts), 3)
                time.sleep(SETTLE_S)
            measured.rss_mib[name] = (round(machine.rss_mib(system.pids()), 1),) * 2
        except RuntimeError as error:
            measured.problems.append(str(error))
            continue
        systems[name], providers[name] = system, upstream
        print(f"{name} is ready", flush=True)
    return systems, providers


def main() -> None:
    """Measure and print."""
    options = arguments()
    began = time.monotonic()
    tools = native.build()
    os.sched_setaffinity(0, {options.load_cpu})
    plan = QUICK if options.quick else FULL
    plan = replace(plan, rounds=options.rounds or plan.rounds)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))  # an exception, so that what was started is ended too
    with laboratory(options, tools) as lab:
        started = Measured()
        systems, standins = set_up(lab, options.systems, plan.starts if "start" in options.only else 0, started)
        campaign = Campaign(plan, Loader(tools, options.load_cpu, lab.directory, plan.ramp_s), systems, standins)
        measured = campaign.run(options.only)
        measured.problems[:0] = started.problems
        measured.start_s = started.start_s
        for name, (idle, _) in started.rss_mib.items():
            measured.rss_mib[name] = (idle, round(machine.rss_mib(systems[name].pids()), 1))
    values, noise = report.figures(measured)
    warnings = report.warnings(values, measured)
    print(f"\n{report.sample_table(measured)}\n\n{report.verdict_table(values)}\n")
    for warning in warnings:
        print(f"Beware: {warning}")
    about = {
        "noise": noise,
        "problems": warnings,
        "machine": machine.facts(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began),
        "command": f"make bench-gateway{f' BENCH_ARGS={shlex.quote(shlex.join(sys.argv[1:]))}' if sys.argv[1:] else ''}",
    }
    print(json.dumps(values | about), flush=True)
    if measured.problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
