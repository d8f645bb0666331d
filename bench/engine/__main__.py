"""Tokens per second behind the gateway against the same engine bare: same build, threads, flags and prompts, round by round in turn.

Bare is llama.cpp's server on its own port, asked by the same client; behind the gateway the request is held, given a slot, metered and posted.
Both sides run their engine all the time; one side is asked while the other rests.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench.engine.streams import Door
from bench.gateway import machine
from jevons.engine.models import find_model
from jevons.engine.settings import Report, ServeOrder, default_threads, usable_cores
from tests.running import ROOT, Jevons

SLOTS, CONTEXT = 4, 4_096
KEY = "bare"


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--tokens", type=int, default=200, help="output tokens of each stream")
    chosen = options.parse_args()
    threads = default_threads(usable_cores())
    with TemporaryDirectory(prefix="jevons-bench-") as folder, bare(threads) as there, gateway(Path(folder), threads) as here:
        rates = {(name, streams): [] for name in ("bare", "gateway") for streams in (1, 4)}
        for number in range(chosen.rounds + 1):
            for streams in (1, 4):
                order = ("bare", "gateway") if number % 2 else ("gateway", "bare")
                for name in order:
                    rate = measure(there if name == "bare" else here, streams, chosen.tokens, number)
                    if number:  # the first round warms both
                        rates[name, streams].append(rate)
            print(f"round {number} of {chosen.rounds}", file=sys.stderr, flush=True)
    figures: dict[str, Any] = {"bench": "engine"}
    print(f"{'tokens/s, median':22}{'bare':>10}{'gateway':>10}{'ratio':>10}")
    for streams in (1, 4):
        alone, behind = rates["bare", streams], rates["gateway", streams]
        ratio = statistics.median(b / a for a, b in zip(alone, behind, strict=True))
        label = f"{streams} stream" + "s" * (streams > 1)
        print(f"{label:22}{statistics.median(alone):>10.1f}{statistics.median(behind):>10.1f}{ratio:>10.3f}")
        figures |= {
            f"ratio_{streams}": round(ratio, 4),
            f"bare_tok_s_{streams}": round(statistics.median(alone), 1),
            f"gateway_tok_s_{streams}": round(statistics.median(behind), 1),
        }
    print(json.dumps({**figures, "threads": threads, "rounds": chosen.rounds, "machine": machine.facts()}))


def measure(door: Door, streams: int, tokens: int, number: int) -> float:
    """Output tokens per second of all streams together, from sending to the last token."""
    bodies = [
        {
            "model": "local",
            "messages": [{"role": "user", "content": f"Round {number}, story {place}: tell of a steam engine."}],
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
        }
        for place in range(streams)
    ]
    answers = door.ask_all(bodies)
    return sum(answer.output_tokens for answer in answers) / max(answer.last_s for answer in answers)


@contextlib.contextmanager
def bare(threads: int) -> Iterator[Door]:
    model = find_model()
    assert model is not None, "the local model is not installed: make test installs it"
    order = ServeOrder(str(model.path), "local", threads, SLOTS, CONTEXT, KEY)
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.engine.bare"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"},
    )
    assert process.stdin and process.stdout
    try:
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        process.stdin.flush()
        report = msgspec.json.decode(process.stdout.readline(), type=Report)
        yield Door(f"http://127.0.0.1:{report.port}", KEY)
    finally:
        process.stdin.close()
        process.wait(timeout=20)


@contextlib.contextmanager
def gateway(home: Path, threads: int, **engine: Any) -> Iterator[Door]:
    section = {"threads": threads, "slots": SLOTS, "context_tokens": CONTEXT, **engine}
    with Jevons(home, engine=section) as jevons:
        yield Door(jevons.url, jevons.key("bench"))


if __name__ == "__main__":
    main()
