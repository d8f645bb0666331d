"""Time to the first token of a conversation's second turn, through the gateway: cold, kept, and parked in four ways.

    cold        the same prompt under another tenant's key: nothing can be reused
    kept        nobody took the slot meanwhile
    parked      other conversations took every slot between the turns; the state comes back from memory, lossless or compressed,
                or, after a restart of everything, from the disk

Each turn's answer is asked for at temperature 0, and the answer from a lossless park must be that of a conversation which never left its slot.
Same engine, model, threads and flags throughout. Prints a table, and as its last line one JSON object.
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
from typing import Any, NamedTuple

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
    equal: list[bool] = []
    with TemporaryDirectory(prefix="jevons-bench-") as folder:
        for name, budget in (("lossless", 0.0), ("compressed", chosen.kld_max)):
            with running(Path(folder) / name, chosen.threads, budget) as (jevons, keys):
                for size in chosen.sizes:
                    for number in range(chosen.rounds if size == min(chosen.sizes) else 1):
                        turns(jevons, keys, name, size, number, found, equal, min(chosen.sizes))
                        print(f"{name} {size} round {number}", file=sys.stderr, flush=True)
                parks[name] = park(jevons)
    report(chosen, found, parks, all(equal))


class Keys(NamedTuple):
    """Of three organisations."""

    bench: str
    other: str
    cold: str


def turns(
    jevons: Jevons,
    keys: Keys,
    name: str,
    size: int,
    number: int,
    found: dict[tuple[str, int], list[Stream]],
    equal: list[bool],
    smallest: int,
) -> None:
    """One conversation in every way that this configuration has."""

    def note(way: str, stream: Stream) -> None:
        found.setdefault((way, size), []).append(stream)

    first = body(f"{name} {number}", size)
    answer = ask(jevons, keys.bench, first)

    def turn(question: str) -> dict[str, Any]:
        """The second turn: each way asks another question of the same length, so that none has been computed before."""
        return {**first, "messages": [*first["messages"], said(answer), {"role": "user", "content": question}]}

    kept = ask(jevons, keys.bench, turn("And then? Be brief."))
    displace(jevons, keys.bench, f"{name} {size} {number} a")
    parked = ask(jevons, keys.bench, turn("Why so? Be brief."))
    note(f"{name}_ram", parked)
    time.sleep(4)  # rests in its slot until the engine parks what is idle
    jevons.stop()
    jevons.start()
    note(f"{name}_disk", ask(jevons, keys.bench, turn("Who did? Be brief.")))
    if name == "lossless":
        note("kept", kept)
        note("cold", ask(jevons, keys.cold, turn("And then? Be brief.")))
        if size == smallest:  # the same conversation by another organisation, which never leaves its slot
            assert said(ask(jevons, keys.other, first)) == said(answer)
            equal.append(ask(jevons, keys.other, turn("Why so? Be brief.")).text == parked.text)


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
def running(home: Path, threads: int, kld_max: float) -> Iterator[tuple[Jevons, Keys]]:
    """A gateway and its keys."""
    settings = {"ram_mib": 2_048, "disk_gib": 4, "kld_max": kld_max}
    section = {"threads": threads, "slots": SLOTS, "context_tokens": CONTEXT, "park": settings}
    with Jevons(home, engine=section) as jevons:
        yield jevons, Keys(jevons.key("bench"), jevons.key("other", org="other"), jevons.key("cold", org="cold"))


def report(
    chosen: argparse.Namespace, found: dict[tuple[str, int], list[Stream]], parks: dict[str, dict[str, Any]], same: bool
) -> None:
    print(f"{'TTFT of turn 2, ms':24}" + "".join(f"{size:>10,}" for size in chosen.sizes) + "   tokens")
    for way in WAYS:
        print(f"{way:24}" + "".join(f"{_ms(found[way, size]):>10,.0f}" for size in chosen.sizes))
    print("answers from the lossless park and of a conversation that never left its slot:", "equal" if same else "DIFFERENT")
    size = min(chosen.sizes)
    figures: dict[str, Any] = {f"ttft_{way}_ms": round(_ms(found[way, size]), 1) for way in WAYS}
    figures |= {f"ttft_{way}_ms_{size}": round(_ms(found[way, size]), 1) for way in WAYS for size in chosen.sizes}
    print(
        json.dumps(
            {
                "bench": "park",
                **figures,
                "lossless_equal": same,
                "bytes_per_token": parks["compressed"]["engine"]["bytes_per_token"],
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
