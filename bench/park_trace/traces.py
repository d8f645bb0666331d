"""Requests of others, as blocks: Mooncake's conversations, and recorded agents whose calls are laid into time here.

Comes in: the data folder. Goes out: requests in order of time. It does not know what is kept of them."""

import json
import os
import random
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MOONCAKE = "traces/mooncake_conversation_trace.jsonl"
AGENTS = "agents/tau_bench_gpt4o_airline.json"
AGENT_BLOCK_TOKENS = 256
CHARS_PER_TOKEN = 4
AGENTS_START_S, TOOL_S, USER_S = 2.0, 4.0, 30.0
"""Recorded agents have no times: one begins every so many seconds on average, a tool and a person take so long on average; all exponential."""


@dataclass(frozen=True)
class Request:
    """A prompt, cut in blocks of `block_tokens`; the last may be short."""

    at_s: float
    keys: tuple[bytes, ...]
    tokens: int
    block_tokens: int


def mooncake() -> list[Request]:
    """12,031 requests of an hour to Kimi [kvcache-ai/Mooncake, Apache-2.0; FAST '25]; times are rounded to 3 s there."""
    with _open(MOONCAKE) as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Request(row["timestamp"] / 1_000, tuple(each.to_bytes(4, "big") for each in row["hash_ids"]), row["input_length"], 512)
        for row in rows
    ]


def agents(seed: int) -> list[Request]:
    """200 runs of an agent [sierra-research/tau-bench, MIT]: each call sends all that was said before. Tokens are a quarter of the letters."""
    with _open(AGENTS) as file:
        runs = json.load(file)
    chance = random.Random(seed)
    requests: list[Request] = []
    start_s = 0.0
    for run in runs:
        start_s += chance.expovariate(1 / AGENTS_START_S)
        requests += _calls(run["traj"], start_s, chance)
    return sorted(requests, key=lambda request: request.at_s)


def _calls(turns: Sequence[dict[str, Any]], at_s: float, chance: random.Random) -> Iterator[Request]:
    said = ""
    for turn in turns:
        if turn["role"] == "assistant":
            yield Request(at_s, tuple(_keys(said)), len(said) // CHARS_PER_TOKEN, AGENT_BLOCK_TOKENS)
        else:
            at_s += chance.expovariate(1 / (TOOL_S if turn["role"] == "tool" else USER_S))
        said += json.dumps(turn, sort_keys=True)


def _keys(said: str) -> Iterator[bytes]:
    width, key = AGENT_BLOCK_TOKENS * CHARS_PER_TOKEN, 0
    for start in range(0, len(said), width):
        part = said[start : start + width]
        key = zlib.crc32(part.encode(), key)
        yield key.to_bytes(4, "big") + len(part).to_bytes(2, "big")


def some(requests: Sequence[Request], share: float, seed: int) -> list[Request]:
    """Of a share of the conversations (by their second block; the first is common to all) all requests."""

    def drawn(request: Request) -> bool:
        return zlib.crc32(request.keys[:2][-1], seed) < share * 2**32

    return [request for request in requests if drawn(request)]


def _open(name: str) -> Any:
    path = Path(os.environ.get("JEVONS_DATA", ROOT.parent / "shared" / "data")) / name
    if not path.exists():
        sys.exit(f"{path} is not there. Name the data folder: JEVONS_DATA=…")
    return path.open()
