"""A recorded hour of conversations through the very shelf and policy that the engine parks with; prints tables and, as its last line, one
JSON object.

Hit rate: blocks found, from a prompt's first on without a gap, ÷ blocks of all prompts. Everything is learnt on the way, from nothing. All
is deterministic; what depends on the machine is `decisions_s` alone.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import mean
from typing import Any

from bench.gateway import machine
from bench.park_trace.traces import Request, agents, mooncake, some
from bench.park_trace.walk import clairvoyant, lru, walk
from jevons.engine.park import shelf
from jevons.policy import park
from jevons.policy.park import Learnt, Lru, Prefill

CAPACITIES = (5_000, 10_000, 19_100, 38_200)
CODEC = 16 / 4.25
"""What compressing makes of a GiB: f16 against the codec's bits per element, norms included."""
MODELS = (("SmolLM2-135M", 23_040, 3_500), ("Llama-3.1-8B", 131_072, 30_600))
"""Name, bytes of keys and values per token in f16, and where attention costs as much as the weights: parameters ÷ (2 · layers · width)."""
GIBS = (64, 256)
DRAWS, SHARE = 5, 0.7
SEED = 1865
AGENT_CAPACITIES = (125, 250, 500)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--codec", type=float, default=CODEC, help="how many times smaller a compressed block is")
    options.add_argument("--draws", type=int, default=DRAWS, help=f"how many draws of {SHARE:.0%} of the conversations")
    options.add_argument("--sensitivity", action="store_true", help="also change each constant of the policy")
    chosen = options.parse_args()
    requests = mooncake()
    figures = capacities(requests)
    figures |= compressed(requests, chosen.codec)
    figures |= per_gib(figures, requests[0].block_tokens)
    figures |= seconds(requests)
    figures |= drawn(requests, chosen.draws)
    if chosen.sensitivity:
        sensitivity(requests)
    agent_runs()
    print(json.dumps({"bench": "park-trace", **figures, "machine": machine.facts()}))


def capacities(requests: Sequence[Request]) -> dict[str, Any]:
    """The four against each other, at several capacities."""
    figures: dict[str, Any] = {}
    print(f"{'blocks':>10}{'LRU':>9}{'LRU, whole':>12}{'ours':>9}{'gain':>9}{'1st half':>10}{'2nd half':>10}{'clairvoyant':>13}")
    for capacity in CAPACITIES:
        old, best = lru(requests, capacity), clairvoyant(requests, capacity)
        whole, ours = walk(requests, capacity, Lru()), walk(requests, capacity, Learnt())
        gain = ours.rate / old.rate - 1
        print(
            f"{capacity:>10,}{old.rate:>9.2%}{whole.rate:>12.2%}{ours.rate:>9.2%}{gain:>+9.1%}"
            f"{ours.halves[0]:>10.2%}{ours.halves[1]:>10.2%}{best.rate:>13.2%}",
            flush=True,
        )
        name = f"{capacity // 1_000}k"
        figures |= {f"hit_lru_{name}": round(old.rate, 4), f"hit_ours_{name}": round(ours.rate, 4)}
        figures |= {f"hit_lru_whole_{name}": round(whole.rate, 4), f"hit_clairvoyant_{name}": round(best.rate, 4)}
        figures |= {f"gain_{name}_pct": round(100 * gain, 1)}
        if capacity == 10_000:
            figures |= {"halves_ours_10k": _rounded(ours.halves), "halves_lru_whole_10k": _rounded(whole.halves)}
            figures["decisions_s"] = round(sum(len(request.keys) for request in requests) / ours.cpu_s)
    infinite = lru(requests, sum(len(request.keys) for request in requests)).rate
    print(f"{'infinite':>10}{infinite:>9.2%}   (LRU, whole: blocks that are not full are not parked, as in ours)")
    return figures | {"hit_infinite": round(infinite, 4)}


def compressed(requests: Sequence[Request], codec: float) -> dict[str, Any]:
    """The same memory, with f16 blocks and with compressed ones."""
    many = round(10_000 * codec)
    old, ours = lru(requests, many).rate, walk(requests, many, Learnt()).rate
    print(f"\nThe memory of 10,000 f16 blocks, compressed {codec:.2f} times ({many:,} blocks): LRU {old:.2%}, ours {ours:.2%}")
    print(
        f"{'model':14}{'GiB':>6}{'blocks':>9}{'LRU':>9}{'ours':>9}{'compressed':>12}{'LRU':>9}{'ours':>9}{'points per GiB, in this order':>34}"
    )
    for model, token_bytes, _ in MODELS:
        for gib in GIBS:
            count = int(gib * 2**30 / (token_bytes * requests[0].block_tokens))
            rates = []
            for capacity in (count, int(count * codec)):
                rates += [lru(requests, capacity).rate, walk(requests, capacity, Learnt()).rate]
            each = " ".join(f"{100 * rate / gib:.3f}" for rate in rates)
            print(
                f"{model:14}{gib:>6}{count:>9,}{rates[0]:>9.2%}{rates[1]:>9.2%}{int(count * codec):>12,}{rates[2]:>9.2%}{rates[3]:>9.2%}{each:>34}",
                flush=True,
            )
    return {"codec": round(codec, 3), "hit_lru_compressed_10k": round(old, 4), "hit_compressed_10k": round(ours, 4)}


def per_gib(figures: dict[str, Any], block_tokens: int) -> dict[str, Any]:
    """Points of hit rate per GiB, in the memory that 10,000 f16 blocks take."""
    found: dict[str, Any] = {}
    for model, token_bytes, _ in MODELS:
        gib = 10_000 * block_tokens * token_bytes / 2**30
        name = _short(model)
        found[f"gib_10k_{name}"] = round(gib, 1)
        for rate in ("hit_lru_10k", "hit_ours_10k", "hit_lru_compressed_10k", "hit_compressed_10k"):
            found[f"{rate.replace('hit', 'points_per_gib')}_{name}"] = round(100 * figures[rate] / gib, 4)
    return found


def seconds(requests: Sequence[Request]) -> dict[str, Any]:
    """What the engine goes by: not blocks found but prefill saved, in which a long conversation counts for more."""
    figures: dict[str, Any] = {}
    print(f"\n{'prefill saved, 10,000 blocks':30}{'LRU':>9}{'ours, by blocks':>18}{'ours, by seconds':>18}")
    for model, _, even in MODELS:
        counted = Prefill(1.0, even)
        old = lru(requests, 10_000, counted)
        by_blocks = walk(requests, 10_000, Learnt(), counted=counted)
        by_seconds = walk(requests, 10_000, Learnt(), counted, counted)
        print(f"{model:30}{old.saved:>9.2%}{by_blocks.saved:>18.2%}{by_seconds.saved:>18.2%}", flush=True)
        name = _short(model)
        figures |= {f"saved_lru_{name}_10k": round(old.saved, 4), f"saved_ours_{name}_10k": round(by_seconds.saved, 4)}
    return figures


def drawn(requests: Sequence[Request], draws: int) -> dict[str, Any]:
    """Is it luck? Some of the conversations only, in as much less memory."""
    gains = []
    print(f"\n{f'{SHARE:.0%} of the conversations':30}{'LRU':>9}{'ours':>9}{'gain':>9}")
    for seed in range(SEED, SEED + draws):
        part = some(requests, SHARE, seed)
        old, ours = lru(part, int(10_000 * SHARE)).rate, walk(part, int(10_000 * SHARE), Learnt()).rate
        gains.append(100 * (ours / old - 1))
        print(f"{f'draw {seed}':30}{old:>9.2%}{ours:>9.2%}{ours / old - 1:>+9.1%}", flush=True)
    return {"gain_draws_pct": [round(gain, 1) for gain in gains], "gain_draws_mean_pct": round(mean(gains), 1)} if gains else {}


def sensitivity(requests: Sequence[Request]) -> None:
    """Each constant changed alone, at 10,000 blocks."""
    print(f"\n{'one constant changed':44}{'ours, 10,000 blocks':>20}")
    changes: list[tuple[Any, str, Any]] = [
        (park, "PRIOR_P", 0.01),
        (park, "PRIOR_P", 0.05),
        (park, "PRIOR_PATHS", 4.0),
        (park, "PRIOR_PATHS", 16.0),
        (park, "PATHS_MAX", 256.0),
        (park, "PATHS_MAX", 1e9),
        (park, "RATIO_BINS", 4),
        (park, "RATIO_BINS", 16),
        (park, "NEWS_PATHS", 64.0),
        (shelf, "BRANCHES_SHARED", 2),
        (shelf, "BRANCHES_SHARED", 6),
        (shelf, "REMEMBERED_PER_HELD", 1),
        (shelf, "REMEMBERED_PER_HELD", 8),
        (park, "TURN_EDGES", (0,)),
        (park, "TURN_EDGES", (0, 1, 2, 3, 4, 6, 9)),
        (park, "LENGTH_EDGES", (0,)),
        (park, "LENGTH_EDGES", (0, 4_096, 16_384, 65_536)),
        (park, "GROWTH_EDGES", (0,)),
        (park, "GROWTH_EDGES", (0, 1, 2_048, 8_192)),
    ]
    print(f"{'as it is':44}{walk(requests, 10_000, Learnt()).rate:>20.2%}", flush=True)
    for module, name, value in changes:
        with _changed(module, name, value):
            print(f"{f'{name} = {value}':44}{walk(requests, 10_000, Learnt()).rate:>20.2%}", flush=True)


def agent_runs() -> None:
    """Recorded agents: every call goes on, so that there is little to learn but when a run has ended."""
    requests = agents(SEED)
    print(
        f"\n{f'{len(requests):,} calls of 200 agents, blocks of 256':40}{'LRU':>9}{'LRU, whole':>12}{'ours':>9}{'clairvoyant':>13}"
    )
    for capacity in AGENT_CAPACITIES:
        old, whole, ours, best = (
            lru(requests, capacity),
            walk(requests, capacity, Lru()),
            walk(requests, capacity, Learnt()),
            clairvoyant(requests, capacity),
        )
        print(f"{capacity:>40,}{old.rate:>9.2%}{whole.rate:>12.2%}{ours.rate:>9.2%}{best.rate:>13.2%}", flush=True)


@contextmanager
def _changed(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _short(model: str) -> str:
    return model.split("-", maxsplit=1)[0].lower()


def _rounded(halves: tuple[float, float]) -> list[float]:
    return [round(half, 4) for half in halves]


if __name__ == "__main__":
    main()
