"""Requests of others, as paths: Mooncake's conversations, recorded agents laid into time here, and Azure's requests, of which none repeats another.

Comes in: the data folder. Goes out: requests in order of time. It does not know caches and prices."""

import csv
import json
import math
import os
import random
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path as File
from typing import Any, TextIO

from bench.park_trace import traces as blocks
from jevons.policy.arrivals import By
from jevons.policy.provider_cache import Path

AGENTS = "agents/tau_bench_gpt4o_airline.json"
AZURE = ("traces/azure_llm_2023_conv.csv", "traces/azure_llm_2023_code.csv")
CHARS_PER_TOKEN = 4
START_S, DAY_S, DAYS = 60.0, 86_400.0, 5
"""200 runs begin every so many seconds on average, on so many days; what was said on one day is new on the next, but for the system prompt."""


@dataclass(frozen=True)
class Request:
    """`path` is what a cache can keep of it; all `tokens` are billed."""

    at_s: float
    path: Path
    tokens: int
    by: By = By.PERSON
    opening: int = 0


Draw = Callable[[random.Random], float]
"""Seconds until the next call."""


def exponential(mean_s: float) -> Draw:
    return lambda chance: chance.expovariate(1 / mean_s)


def lognormal(median_s: float, sigma: float) -> Draw:
    return lambda chance: median_s * math.exp(chance.gauss(0.0, sigma))


def mixed(*parts: tuple[float, Draw]) -> Draw:
    shares, draws = zip(*parts, strict=True)
    return lambda chance: chance.choices(draws, shares)[0](chance)


GAPS: dict[str, tuple[Draw, Draw]] = {
    "seconds": (exponential(4), exponential(30)),
    "minutes": (exponential(4), lognormal(240, 1.0)),
    "mixed": (
        mixed((0.9, exponential(5)), (0.1, lognormal(600, 0.7))),
        mixed((0.5, exponential(60)), (0.35, lognormal(900, 0.8)), (0.15, lognormal(10_800, 0.7))),
    ),
}
"""How long a tool takes, and a person. Seconds: a program is the person. Minutes: a person thinks for four (median; one in 150 for an
hour). Mixed: one tool in ten is slow (a build: ten minutes); people answer at once, after a quarter of an hour, or after three hours."""


def mooncake() -> list[Request]:
    """An hour of Kimi. Messages are not known there: a mark may stand behind any whole block of 512 tokens, and no look-back is counted."""
    found = []
    for each in blocks.mooncake():
        whole = each.tokens // each.block_tokens
        ends = tuple(range(each.block_tokens, (whole + 1) * each.block_tokens, each.block_tokens))
        found.append(Request(each.at_s, Path(each.keys[:whole], ends, (1,) * whole), each.tokens))
    return found


def agents(gaps: str, seed: int) -> list[Request]:
    """200 runs of an agent on each day: a call sends all that was said before. Tokens are a quarter of the letters; tools are not recorded."""
    with _open(AGENTS) as file:
        runs = json.load(file)
    chance = random.Random(seed)
    requests: list[Request] = []
    for day in range(DAYS):
        start_s = day * DAY_S
        for run in runs:
            start_s += chance.expovariate(1 / START_S)
            requests += _calls(run["traj"], day, start_s, *GAPS[gaps], chance)
    return sorted(requests, key=lambda request: request.at_s)


def _calls(
    said: Sequence[dict[str, Any]], day: int, at_s: float, tool: Draw, person: Draw, chance: random.Random
) -> Iterator[Request]:
    links: tuple[bytes, ...] = ()
    ends: tuple[int, ...] = ()
    link, tokens, by = 0, 0, By.PERSON
    for message in said:
        if message["role"] == "assistant":
            yield Request(at_s, Path(links, ends), tokens, by, 1)
        elif message["role"] != "system":
            by = By.TOOL if message["role"] == "tool" else By.PERSON
            at_s += (tool if by is By.TOOL else person)(chance)
        text = json.dumps(message, sort_keys=True).encode()
        tokens += len(text) // CHARS_PER_TOKEN
        link = zlib.crc32(text, link + day if len(links) == 1 else link)
        links = (*links, link.to_bytes(4, "big") + tokens.to_bytes(4, "big"))
        ends = (*ends, tokens)


def azure() -> list[Request]:
    """Two services of an hour, one after the other. Nothing is known of their texts: each prompt stands for itself."""
    found: list[Request] = []
    for name in AZURE:
        start_s = found[-1].at_s if found else 0.0
        with _open(name) as file:
            rows = [(datetime.fromisoformat(row["TIMESTAMP"][:26]), int(row["ContextTokens"])) for row in csv.DictReader(file)]
        for at, tokens in rows:
            path = Path((len(found).to_bytes(4, "big"),), (tokens,))
            found.append(Request(start_s + (at - rows[0][0]).total_seconds(), path, tokens))
    return found


def _open(name: str) -> TextIO:
    file = File(os.environ.get("JEVONS_DATA", blocks.ROOT.parent / "shared" / "data")) / name
    if not file.exists():
        sys.exit(f"{file} is not there. Name the data folder: JEVONS_DATA=…")
    return file.open()
