"""Two versions of the gateway, loaded in turns: python -m bench.gateway.compare CHECKOUT [--load json|agent|large|stream] [--pairs N] ...

CHECKOUT is another version's working tree. Both are started as the benchmark starts one, each with a ledger of its own, and loaded one after the
other, in the other order each time, so that whatever else the machine does strikes both. Prints the CPU of a request for each, the median ratio of
the pairs and their range, and as its last line one JSON object."""

import argparse
import json
import os
import statistics
from dataclasses import replace
from pathlib import Path

from bench.gateway import machine, native
from bench.gateway.__main__ import OUT, laboratory
from bench.gateway.loads import AGENT_TOOLS, PROMPT_BYTES_LARGE, Load, Loader
from bench.gateway.systems import REPOSITORY, VARIANTS, Laboratory, System

WARM_S = 2.0


def loads(connections: int, seconds: float) -> dict[str, Load]:
    """What may be compared."""
    plain = Load("json", connections, seconds)
    return {
        "json": plain,
        "agent": replace(plain, name="agent", tools=AGENT_TOOLS),
        "large": replace(plain, name="large", prompt_bytes=PROMPT_BYTES_LARGE),
        "stream": replace(plain, name="stream", stream_events=50),
    }


def start(lab: Laboratory, name: str, tree: Path, upstream: System) -> System:
    """The version that stands in a working tree."""
    os.environ["PYTHONPATH"] = os.pathsep.join((str(tree / "src"), str(tree)))
    system = lab.gateway(replace(VARIANTS["gateway"], name=name), upstream)
    system.start()
    system.check(Load("check", 1, 0).body())
    return system


def cpu_us(loader: Loader, load: Load, system: System) -> float:
    """Of one request. Raises RuntimeError for bad answers."""
    before = machine.cpu_s(system.pids())
    said = loader.run(load, system.port, system.key)
    if said["bad"]:
        raise RuntimeError(f"{system.name} gave {said['bad']:.0f} bad answers")
    return (machine.cpu_s(system.pids()) - before) / said["answered"] * 1e6


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="the version before")
    parser.add_argument("--load", choices=tuple(loads(1, 1)), default="json")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--gateway-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--home", type=Path, default=OUT)
    parser.set_defaults(keep=False)
    options = parser.parse_args()
    tools = native.build()
    os.sched_setaffinity(0, {options.load_cpu})
    load = loads(options.connections, options.seconds)[options.load]
    with laboratory(options, tools) as lab:
        upstream = lab.standin("standin", options.load_cpu)
        upstream.start()
        systems = [start(lab, "before", options.checkout.resolve(), upstream), start(lab, "after", REPOSITORY, upstream)]
        loader = Loader(tools, options.load_cpu, lab.directory, ramp_s=0)
        for system in systems:
            loader.run(replace(load, seconds=WARM_S), system.port, system.key)
        pairs: list[tuple[float, float]] = []
        for number in range(options.pairs):
            order = systems if number % 2 else systems[::-1]
            taken = {system.name: cpu_us(loader, load, system) for system in order}
            pairs.append((taken["before"], taken["after"]))
    before, after = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratios = sorted(after / before for before, after in pairs)
    ratio = statistics.median(ratios)
    print(f"{load.name}, {load.connections} connections: {before:.0f} us before, {after:.0f} us after;", end=" ")
    print(f"ratio {ratio:.3f} (median of {len(pairs)} pairs, {ratios[0]:.3f} to {ratios[-1]:.3f})")
    figures = {"load": load.name, "cpu_us_before": round(before), "cpu_us_after": round(after), "ratio": round(ratio, 3)}
    print(json.dumps(figures | {"pairs": len(pairs), "machine": machine.facts()}))


if __name__ == "__main__":
    main()
