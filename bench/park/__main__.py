"""Time to the first token of a conversation's second turn, through the gateway: cold, kept, and parked in four ways.

    cold        the same prompt under another tenant's key: nothing can be reused
    kept        nobody took the slot meanwhile
    parked      other conversations took every slot between the turns; the state comes back from memory, lossless or compressed,
                or, after a restart of everything, from the disk

Each turn's answer is asked for at temperature 0, and the answer from a lossless park must be that of the same engine without one, token for
token. Same engine, model, threads and flags throughout. Prints a table, and as its last line one JSON object.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.engine.streams import Door, Stream
from bench.gateway import machine
from jevons.engine.settings import default_threads, usable_cores
from tests.running import Jevons

SIZES = (1_500, 4_000, 7_500)
CONTEXT = 8_192
SLOTS = 2
KLD_MAX = 0.02
TOKENS = 24
WORDS = "boiler coal engine valve piston steam ledger token price wheel crank iron bridge canal mill furnace gauge rivet".split()
WAYS = ("cold", "kept", "lossless_ram", "lossless_disk", "compressed_ram", "compressed_disk")


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="tokens of the second turn's prompt, about")
    options.add_argument("--rounds", type=int, default=3, help="rounds at the smallest size; the larger ones take one")
    options.add_argument("--threads", type=int, default=default_threads(usable_cores()))
    options.add_argument("--kld-max", type=float, default=KLD_MAX)
    chosen = options.parse_args()
    found: dict[tuple[str, int], list[Stream]] = {}
    parks: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory(prefix="jevons-bench-") as folder:
        for name, budget in (("lossless", 0.0), ("compressed", chosen.kld_max)):
            with running(Path(folder) / name, chosen.threads, budget) as (jevons, key, stranger):
                for size in chosen.sizes:
                    for number in range(chosen.rounds if size == min(chosen.sizes) else 1):
                        turns(jevons, key, stranger, name, size, number, found)
                        print(f"{name} {size} round {number}", file=sys.stderr, flush=True)
                parks[name] = park(jevons)
    report(chosen, found, parks)


def turns(
    jevons: Jevons, key: str, stranger: str, name: str, size: int, number: int, found: dict[tuple[str, int], list[Stream]]
) -> None:
    """One conversation in every way that this configuration has."""

    def note(way: str, stream: Stream) -> None:
        found.setdefault((way, size), []).append(stream)

    first = body(f"{name} {number}", size)
    answer = ask(jevons, key, first)
    second = {**first, "messages": [*first["messages"], said(answer), {"role": "user", "content": "And then? Be brief."}]}
    note("kept", ask(jevons, key, second)) if name == "lossless" else ask(jevons, key, second)
    displace(jevons, key, f"{name} {size} {number} a")
    note(f"{name}_ram", ask(jevons, key, second))
    time.sleep(4)  # rests in its slot until the engine parks what is idle
    jevons.stop()
    jevons.start()
    note(f"{name}_disk", ask(jevons, key, second))
    if name == "lossless":
        note("cold", ask(jevons, stranger, second))


def body(label: str, size: int) -> dict[str, Any]:
    """A request of about so many tokens; every label gives another text from its first word on."""
    words = [WORDS[(place * 7 + len(label) + ord(label[place % len(label)])) % len(WORDS)] for place in range(int(size * 0.72))]
    text = f"Case {label}. " + " ".join(words)
    messages = [{"role": "system", "content": text}, {"role": "user", "content": "Say what this is about."}]
    return {"model": "local", "messages": messages, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True}


def said(answer: Stream) -> dict[str, str]:
    return {"role": "assistant", "content": answer.text}


def ask(jevons: Jevons, key: str, request: dict[str, Any]) -> Stream:
    return Door(jevons.url, key).ask(request, time.perf_counter())


def displace(jevons: Jevons, key: str, label: str) -> None:
    """Take every slot for other conversations, and wait until what they displaced is encoded."""
    Door(jevons.url, key).ask_all([body(f"{label} {place}", 60) for place in range(SLOTS)])
    time.sleep(3)


def park(jevons: Jevons) -> dict[str, Any]:
    """The engine's own account of its park."""
    shown: dict[str, Any] = json.loads(jevons.run("park", "--json"))
    return shown


@contextmanager
def running(home: Path, threads: int, kld_max: float) -> Iterator[tuple[Jevons, str, str]]:
    """A gateway, a key, and a key of another organisation."""
    settings = {"ram_mib": 2_048, "disk_gib": 4, "kld_max": kld_max}
    section = {"threads": threads, "slots": SLOTS, "context_tokens": CONTEXT, "park": settings}
    with Jevons(home, engine=section) as jevons:
        yield jevons, jevons.key("bench"), jevons.key("stranger", org="elsewhere")


def report(chosen: argparse.Namespace, found: dict[tuple[str, int], list[Stream]], parks: dict[str, dict[str, Any]]) -> None:
    print(f"{'TTFT of turn 2, ms':24}" + "".join(f"{size:>10,}" for size in chosen.sizes) + "   tokens")
    for way in WAYS:
        cells = [found.get((way, size)) for size in chosen.sizes]
        times = "".join(f"{_ms(streams):>10,.0f}" if streams else f"{'':>10}" for streams in cells)
        print(f"{way:24}{times}")
    same = all(
        one.text == other.text
        for size in chosen.sizes
        for way in ("lossless_ram", "lossless_disk", "cold")
        for one, other in zip(found.get((way, size), []), found.get(("kept", size), []), strict=True)
    )
    print("answers from the lossless park and without one:", "equal, token for token" if same else "DIFFERENT")
    size = min(chosen.sizes)
    figures = {f"ttft_{way}_ms": round(_ms(found[way, size]), 1) for way in WAYS}
    figures |= {f"ttft_{way}_ms_{size}": round(_ms(found[way, size]), 1) for way in WAYS for size in chosen.sizes}
    print(
        json.dumps(
            {
                "bench": "park",
                **figures,
                "lossless_equal": same,
                "parks": parks,
                "threads": chosen.threads,
                "machine": machine.facts(),
            }
        )
    )


def _ms(streams: list[Stream]) -> float:
    return statistics.median(stream.first_s for stream in streams) * 1e3


if __name__ == "__main__":
    main()
