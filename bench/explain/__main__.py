"""Measures `jevons explain` over two spans of days of a large ledger; prints a table for people and, as its last line, one JSON object."""

import argparse
import datetime
import json
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.explain.filling import FIRST_DAY, told
from bench.gateway import machine
from jevons.ledger.bill import check

CHECKED_MAX = 300_000
"""Entries up to which every sum of the ledger is added up anew before it is measured."""
BYTES_OF_AN_ENTRY = 700
"""On the disk, with its part of the sums; and a third more while it is made."""


class Run(NamedTuple):
    """One process from its start to its end."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    said: dict[str, Any]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench-explain BENCH_ARGS=...", description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=30, help="of each of the two spans (default 30)")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind (default 5)")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the ledger is made, 5 GB for 10 million"
    )
    return parser.parse_args()


def measured(command: Sequence[str], home: Path) -> Run:
    """Runs it, with memory as the kernel counted it."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "JEVONS_HOME": str(home)})
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        sys.exit(f"{shlex.join(command)} failed")
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, json.loads(said))


def spans(days: int) -> tuple[int, int, int]:
    """First day, border, day after."""
    return FIRST_DAY, FIRST_DAY + days, FIRST_DAY + 2 * days


def explaining(days: int) -> list[str]:
    """The command under test, as a person would give it."""
    _, border, after = (str(datetime.date(1970, 1, 1) + datetime.timedelta(day)) for day in spans(days))
    return [sys.executable, "-m", "jevons", "explain", "--from", border, "--to", after, "--json"]


def adding_up(path: Path, days: int) -> list[str]:
    first, border, after = map(str, spans(days))
    return [sys.executable, "-m", "bench.explain.baseline", str(path), first, border, border, after]


def figures_of(explained: Sequence[Run], added: Sequence[Run]) -> dict[str, Any]:
    """Medians of seconds, the largest memory; and the two have to agree on what was billed."""
    found, plain = explained[0].said, added[0].said
    sums = [sum(effect[column] for effect in found["effects"]) for column in ("lmdi_nusd", "shapley_nusd")]
    if [found["base_nusd"], found["bill_nusd"]] != plain["billed_nusd"] or sums != 2 * [found["change_nusd"]]:
        sys.exit(
            f"the explanation is of {found['base_nusd']} and {found['bill_nusd']}, the entries say {plain['billed_nusd']}; sums {sums}"
        )
    return {
        "explain_seconds": round(statistics.median(run.seconds for run in explained), 3),
        "explain_seconds_worst": round(max(run.seconds for run in explained), 3),
        "explain_cpu_seconds": round(statistics.median(run.cpu_seconds for run in explained), 3),
        "peak_mib": round(max(run.peak_mib for run in explained), 1),
        "explain_raw_seconds": round(statistics.median(run.seconds for run in added), 3),
        "explain_raw_peak_mib": round(max(run.peak_mib for run in added), 1),
        "explain_steps": found["steps"],
        "explain_effects": len(found["effects"]),
    }


def measure(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    """Fills a ledger, explains it, adds it up."""
    began = time.monotonic()
    filling = [sys.executable, "-m", "bench.explain.filling", str(home), str(options.entries), str(2 * options.days)]
    if subprocess.run(
        filling, check=False
    ).returncode:  # a process of its own: those measured later begin with the memory of this one
        sys.exit("the ledger could not be made")
    path, size = home / "ledger.db", told(home)
    print(
        f"{size['entries']:,} entries, {size['runs']:,} runs, {size['ledger_mib']:,} MiB, made in {time.monotonic() - began:.0f} s",
        flush=True,
    )
    if options.entries <= CHECKED_MAX and (wrong := check(path)):
        sys.exit(f"the ledger does not add up: {wrong}")
    explained, added = [], []
    for _ in range(options.rounds):  # in turn, so that what else the machine does falls on both
        explained.append(measured(explaining(options.days), home))
        added.append(measured(adding_up(path, options.days), home))
    return {f"explain_{name}": value for name, value in size.items()} | figures_of(explained, added)


def main() -> None:
    """Measure and print."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))  # an exception, so that the ledger is removed
    options.folder.mkdir(parents=True, exist_ok=True)
    needed = options.entries * BYTES_OF_AN_ENTRY * 4 // 3
    if shutil.disk_usage(options.folder).free < needed:
        sys.exit(f"{options.folder} has less than {needed / 1e9:.1f} GB free; name another: BENCH_ARGS=--folder=…")
    busy, began = machine.busy_s(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="jevons-explain-", dir=options.folder) as home:
        figures = measure(options, Path(home))
    load = (machine.busy_s() - busy) / (time.monotonic() - began)
    print(f"\n| | seconds, median of {options.rounds} | peak MiB |\n| --- | ---: | ---: |")
    print(
        f"| `jevons explain`, {figures['explain_steps']} steps, a process from start to end | {figures['explain_seconds']} | {figures['peak_mib']} |"
    )
    print(f"| two sums straight from the entries | {figures['explain_raw_seconds']} | {figures['explain_raw_peak_mib']} |\n")
    named = {"seconds_10m": figures["explain_seconds"] if options.entries == 10_000_000 else None}
    about = {
        "days": options.days,
        "busy_cores": round(load, 2),
        "machine": machine.facts(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": f"make bench-explain{f' BENCH_ARGS={shlex.quote(shlex.join(sys.argv[1:]))}' if sys.argv[1:] else ''}",
    }
    print(json.dumps(named | figures | about), flush=True)


if __name__ == "__main__":
    main()
