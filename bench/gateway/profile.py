"""Where the gateway's time goes under load: python -m bench.gateway.profile [--tool py-spy|perf] [--load json|stream|large] ...

Starts one gateway as the benchmark does, loads it, samples it meanwhile, and prints the functions with the most samples. The
stacks are kept in bench/out (py-spy: one stack a line with its count, as flame graph tools read them). py-spy sees Python
functions, and only while they hold the interpreter's lock; perf sees the interpreter, the client's native code and the kernel, by
thread. Figures of a gateway that is being profiled are no measurements."""

import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from bench.gateway import native
from bench.gateway.__main__ import OUT, laboratory
from bench.gateway.loads import PROMPT_BYTES_LARGE, Load, Loader
from bench.gateway.systems import VARIANTS

SHOWN = 40
LINE_NUMBER = re.compile(r":\d+\)$")
PY_SPY_HZ, PERF_HZ = 400, 997


def command(tool: str, pid: int, seconds: float, stacks: Path) -> list[str]:
    """The profiler's command line."""
    if tool == "perf":
        return [
            "perf",
            "record",
            "-q",
            "-g",
            "-e",
            "cpu-clock",
            "-F",
            str(PERF_HZ),
            "-p",
            str(pid),
            "-o",
            str(stacks),
            "--",
            "sleep",
            str(seconds),
        ]
    path = shutil.which("py-spy") or str(Path(sys.executable).with_name("py-spy"))
    shape = [
        "--format",
        "raw",
        "--rate",
        str(PY_SPY_HZ),
        "--duration",
        str(round(seconds)),
        "--threads",
        "--gil",
        "--nonblocking",
    ]
    return [path, "record", "--pid", str(pid), *shape, "--output", str(stacks)]


def show_stacks(stacks: Path) -> None:
    """Samples by function: in itself, and with all it calls; py-spy's collapsed stacks."""
    own: collections.Counter[str] = collections.Counter()
    whole: collections.Counter[str] = collections.Counter()
    threads: collections.Counter[str] = collections.Counter()
    for line in stacks.read_text().splitlines():
        path, _, count = line.rpartition(" ")
        frames = [LINE_NUMBER.sub(")", frame) for frame in path.split(";")]
        threads[frames[0]] += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames[1:]):
            whole[frame] += int(count)
    total = max(1, sum(own.values()))
    for title, counter in (("by thread", threads), ("in the function itself", own), ("with what it calls", whole)):
        print(f"\n{title}:")
        for name, samples in counter.most_common(SHOWN):
            print(f"{samples / total:7.1%}  {name}")


def show_perf(stacks: Path) -> None:
    """Samples by library, then by symbol."""
    for key in ("comm", "comm,dso", "dso,symbol"):
        flags = ["--stdio", "--no-children", "-g", "none", "--percent-limit", "0.7", "--sort", key]
        print(
            subprocess.run(["perf", "report", "-q", "-i", str(stacks), *flags], capture_output=True, text=True, check=True).stdout
        )


def main() -> None:
    """Profile one load."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", choices=("py-spy", "perf"), default="py-spy")
    parser.add_argument("--load", choices=("json", "stream", "large"), default="json")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--variant", choices=tuple(VARIANTS), default="gateway")
    parser.add_argument("--gateway-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--home", type=Path, default=OUT)
    parser.set_defaults(keep=False)
    options = parser.parse_args()
    tools = native.build()
    os.sched_setaffinity(0, {options.load_cpu})
    variant = VARIANTS[options.variant]
    stacks = OUT / f"profile-{options.load}.{'perf' if options.tool == 'perf' else 'stacks'}"
    load = Load(
        f"profile_{options.load}",
        options.connections,
        options.seconds + 2,
        stream_events=50 if options.load == "stream" else 0,
        prompt_bytes=PROMPT_BYTES_LARGE if options.load == "large" else 0,
    )
    with laboratory(options, tools) as lab:
        upstream = lab.standin("standin", options.load_cpu, tls=variant.tls)
        upstream.start()
        system = lab.gateway(variant, upstream)
        system.start()
        loader = Loader(tools, options.load_cpu, lab.directory, ramp_s=0)
        loader.run(Load("warm", 16, 1), system.port, system.key)
        loading = threading.Thread(target=loader.run, args=(load, system.port, system.key))
        loading.start()
        done = subprocess.run(
            command(options.tool, system.pids()[0], options.seconds, stacks), capture_output=True, text=True, check=False
        )
        loading.join()
    if done.returncode:
        sys.exit(f"{options.tool} ended with {done.returncode} (pip install py-spy; it may need root): {done.stderr[-600:]}")
    (show_perf if options.tool == "perf" else show_stacks)(stacks)
    print(f"stacks: {stacks}")


if __name__ == "__main__":
    main()
