"""Measures what the governor prevents and what it costs; prints tables for people and, as its last line, one JSON object."""

import argparse
import datetime
import json
import os
import shlex
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from bench.gateway import machine, native
from bench.gateway.__main__ import OUT, laboratory
from bench.governor import bodies
from bench.governor.callers import Pace
from bench.governor.cost import CONNECTIONS, SETUPS, Campaign, Samples, more_us
from bench.governor.lengths import drawn
from bench.governor.overshoot import MODES, Outcome, house

LOADS = ((64, 4.0), (128, 2.0))
"""(callers, answers that the budget pays for, for each of them): the same budget for both."""
KINDS = (bodies.short, bodies.agent)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench-governor BENCH_ARGS=...", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, one load, few rounds: about 4 minutes")
    parser.add_argument("--only", choices=("overshoot", "cost"), help="one half")
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], help="default: 1,2,3 (quick: 1)")
    parser.add_argument("--modes", type=lambda text: text.split(","), default=list(MODES), help=f"default: {','.join(MODES)}")
    parser.add_argument("--event-ms", type=int, default=20, help="between two events of 16 tokens (default 20: 800 tokens/s)")
    parser.add_argument("--rounds", type=int, help="of the CPU measurement (default 20, quick 6)")
    parser.add_argument("--seconds", type=int, default=1, help="of each load of the CPU measurement")
    parser.add_argument("--gateway-cpu", type=int, default=0, help="the core of the gateway, where its CPU is measured")
    parser.add_argument("--load-cpu", type=int, default=1, help="the core of the load and its stand-in there")
    parser.add_argument("--home", type=Path, default=OUT, help="the disk on which the ledgers are measured (default: bench/out)")
    parser.add_argument("--keep", action="store_true", help="keep the ledgers, configurations and logs of the CPU measurement")
    options = parser.parse_args()
    options.seeds = options.seeds or ([1] if options.quick else [1, 2, 3])
    options.rounds = options.rounds or (6 if options.quick else 20)
    return options


def overshoot(options: argparse.Namespace) -> list[Outcome]:
    """Every mode, load and seed."""
    pace, found = Pace(first_ms=100, event_ms=options.event_ms), []
    options.home.mkdir(parents=True, exist_ok=True)
    for mode in options.modes:
        with house(mode, options.home) as place:
            for callers, answers in LOADS[: 1 if options.quick else None]:
                for seed in options.seeds:
                    outcome = place.run(callers, answers, seed, pace)
                    found.append(outcome)
                    print(f"{mode}, {callers} callers, seed {seed}: {outcome.tally.seconds:.0f} s", flush=True)
                    for odd in outcome.tally.odd[:3]:
                        print(f"  odd: {odd}")
    return found


def overshoot_table(outcomes: Sequence[Outcome]) -> str:
    """Medians over the seeds."""
    head = "mode, callers, overshoot %, usable %, answers, of them cut short, 402, 429, given up, requests, seconds".split(", ")
    lines = [row(head), row(["---"] * len(head))]
    for mode, callers in dict.fromkeys((outcome.mode, outcome.callers) for outcome in outcomes):
        some = [outcome for outcome in outcomes if (outcome.mode, outcome.callers) == (mode, callers)]
        counts = ("served", "shortened", "refused", "waited", "given_up", "requests")
        middle = [statistics.median(getattr(outcome.tally, name) for outcome in some) for name in counts]
        lines.append(
            row(
                [
                    mode,
                    callers,
                    f"{median_of(some, 'overshoot_pct'):.2f}",
                    f"{median_of(some, 'usable_pct'):.2f}",
                    *(f"{value:g}" for value in middle),
                    f"{statistics.median(outcome.tally.seconds for outcome in some):.0f}",
                ]
            )
        )
    return "\n".join(lines)


def median_of(outcomes: Sequence[Outcome], name: str) -> float:
    return statistics.median(getattr(outcome, name) for outcome in outcomes)


def overshoot_figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Medians by mode, of the first load under the plain names."""
    figures: dict[str, Any] = {}
    for callers in dict.fromkeys(outcome.callers for outcome in outcomes):
        suffix = "" if callers == LOADS[0][0] else f"_{callers}"
        for mode in dict.fromkeys(outcome.mode for outcome in outcomes):
            some = [outcome for outcome in outcomes if (outcome.mode, outcome.callers) == (mode, callers)]
            for name in ("overshoot_pct", "usable_pct"):
                figures[f"{mode}_{name}{suffix}"] = round(median_of(some, name), 3)
            figures[f"{mode}_overshoot_pct_worst{suffix}"] = round(max(outcome.overshoot_pct for outcome in some), 3)
    return figures


def cost(options: argparse.Namespace) -> Samples:
    """CPU samples of all loads and setups."""
    tools = native.build()
    os.sched_setaffinity(0, {options.load_cpu})
    with laboratory(options, tools) as lab:
        campaign = Campaign(lab, tuple(kind() for kind in KINDS), options.seconds, quiet_wait_s=5 if options.quick else 30)
        return campaign.run(options.rounds)


def cost_table(samples: Samples) -> str:
    """CPU per request by load and setup, and what governing adds."""
    head = "request, connections, setup, CPU µs: least (median), more than without limits, answers/s, others' cores".split(", ")
    lines = [row(head), row(["---"] * len(head))]
    for (kind, connections, setup), some in samples.items():
        cpu, added = sorted(sample.cpu_us for sample in some), ""
        if any(one.name == setup and one.base for one in SETUPS):
            more = more_us(samples, kind, connections, setup)
            added = f"{more.least:+.0f} ({more.median:+.0f})"
        lines.append(
            row(
                [
                    kind,
                    connections,
                    setup,
                    f"{cpu[0]:.0f} ({statistics.median(cpu):.0f})",
                    added,
                    f"{statistics.median(sample.rate for sample in some):,.0f}",
                    f"{statistics.median(sample.other_cores for sample in some):.2f}",
                ]
            )
        )
    return "\n".join(lines)


def cost_figures(samples: Samples) -> dict[str, Any]:
    """`governing_cpu_us` is of the gateway benchmark's short request at 16 connections."""
    figures: dict[str, Any] = {}
    for kind, connections in product((make.__name__ for make in KINDS), CONNECTIONS):
        suffix = ("" if kind == "short" else f"_{kind}") + ("" if connections == 16 else f"_c{connections}")
        for setup in SETUPS:
            inferred = "" if setup.names_runs else "_inferred"
            if setup.base:
                more = more_us(samples, kind, connections, setup.name)
                figures[f"governing{inferred}_cpu_us{suffix}"] = round(more.least, 1)
                figures[f"governing{inferred}_cpu_us{suffix}_median"] = round(more.median, 1)
            else:
                cpu = min(sample.cpu_us for sample in samples[kind, connections, setup.name])
                figures[f"ungoverned{inferred}_cpu_us{suffix}"] = round(cpu, 1)
    figures["others_cores_median"] = round(statistics.median(s.other_cores for some in samples.values() for s in some), 3)
    return figures


def row(cells: Sequence[object]) -> str:
    """A line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def problems_of(outcomes: Sequence[Outcome], samples: Samples, figures: dict[str, Any]) -> list[str]:
    """What a reader must know before trusting the figures."""
    found = []
    for outcome in outcomes:
        where = f"{outcome.mode}, {outcome.callers} callers, seed {outcome.seed}"
        if outcome.tally.unfinished:
            found.append(f"{where}: {outcome.tally.unfinished} callers were not refused when time was up")
        if outcome.tally.broken:
            found.append(f"{where}: {outcome.tally.broken} answers broke")
    if bad := sum(sample.bad for some in samples.values() for sample in some):
        found.append(f"{bad} bad answers where the CPU was measured")
    if figures.get("others_cores_median", 0) > 0.2:
        found.append(f"others used {figures['others_cores_median']} cores meanwhile: CPU per request is higher, and differs more")
    return found


def main() -> None:
    """Measure and print."""
    options = arguments()
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))  # an exception, so that what was started is ended too
    outcomes = overshoot(options) if options.only != "cost" else []
    samples = cost(options) if options.only != "overshoot" else {}
    figures = {
        **dict.fromkeys(
            (
                *("strict_overshoot_pct", "strict_usable_pct", "packed_overshoot_pct", "packed_usable_pct"),
                *("after_overshoot_pct", "governing_cpu_us"),
            )
        ),
        **overshoot_figures(outcomes),
        **(cost_figures(samples) if samples else {}),
    }
    problems = problems_of(outcomes, samples, figures)
    print()
    if outcomes:
        print(f"{overshoot_table(outcomes)}\n")
    if samples:
        print(f"{cost_table(samples)}\n")
    for problem in problems:
        print(f"Beware: {problem}")
    about = {
        "problems": problems,
        "lengths": drawn(0)[0],
        "seeds": options.seeds,
        "machine": machine.facts(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began),
        "command": f"make bench-governor{f' BENCH_ARGS={shlex.quote(shlex.join(sys.argv[1:]))}' if sys.argv[1:] else ''}",
    }
    print(json.dumps(figures | about), flush=True)
    if any(outcome.tally.unfinished or outcome.tally.broken for outcome in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    main()
