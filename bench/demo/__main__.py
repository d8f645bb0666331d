"""Writes src/jevons/imports/data/demo_traffic.json anew: counts of tokens from recorded traffic, and no text of it.

    JEVONS_DATA=DIR python -m bench.demo

Sources and licences stand in the file itself. The choice is fixed by SEED; without a change of the sources the file stays as it is.
"""

import csv
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from jevons.meter.bpe import count_text

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "src/jevons/imports/data/demo_traffic.json"
SEED = 1865
ENCODING = "o200k_base"
BLOCK_TOKENS = 512  # of Mooncake's hash_ids
MESSAGE_TOKENS = 4  # what surrounds a message in a chat template
ABOUT = {
    "what": "Counts of tokens from recorded traffic, for `jevons demo`. Written by bench/demo; do not edit.",
    "azure_conv": "Input and output tokens of 1,500 requests of the Azure LLM inference trace 2023, conversation (Azure/AzurePublicDataset"
    " @b469a11, Microsoft; CC BY 4.0, https://creativecommons.org/licenses/by/4.0/). Chosen at random.",
    "azure_code": "The same of 1,500 requests of its code trace. Chosen at random.",
    "mooncake": "Input, cached and output tokens of the first 2,000 requests of Mooncake's conversation trace (kvcache-ai/Mooncake @3b5a594;"
    " Apache-2.0). Cached are the leading blocks of 512 tokens that an earlier request had.",
    "tau_airline": "Input and output tokens of each step of 100 agents' tasks in tau-bench's historical trajectories, gpt-4o, airline"
    " (sierra-research/tau-bench @59a200c; MIT). Counted with o200k_base.",
}


def main() -> None:
    folder = Path(os.environ.get("JEVONS_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "traces").exists() or not (folder / "agents").exists():
        sys.exit(f"The traces are not there: {folder} has no traces/ and agents/. Name the data folder: JEVONS_DATA=…")
    rng = random.Random(SEED)
    parts = {
        "azure_conv": azure(folder / "traces/azure_llm_2023_conv.csv", rng),
        "azure_code": azure(folder / "traces/azure_llm_2023_code.csv", rng),
        "mooncake": mooncake(folder / "traces/mooncake_conversation_trace.jsonl"),
        "tau_airline": tau(folder / "agents/tau_bench_gpt4o_airline.json", rng),
    }
    lines = [
        f'"about": {json.dumps(ABOUT, indent=1)}',
        *(f'"{name}": {json.dumps(rows, separators=(",", ":"))}' for name, rows in parts.items()),
    ]
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(
        f"{OUT.relative_to(ROOT)}: {OUT.stat().st_size / 1000:.0f} kB; "
        + ", ".join(f"{len(rows):,} of {name}" for name, rows in parts.items())
    )


def azure(path: Path, rng: random.Random) -> list[list[int]]:
    with path.open(newline="") as file:
        rows = [[int(row["ContextTokens"]), int(row["GeneratedTokens"])] for row in csv.DictReader(file)]
    return rng.sample([row for row in rows if min(row) > 0], 1_500)


def mooncake(path: Path) -> list[list[int]]:
    seen: set[int] = set()
    found = []
    for line in path.read_text().splitlines()[:2_000]:
        row = json.loads(line)
        blocks = row["hash_ids"]
        leading = next((place for place, block in enumerate(blocks) if block not in seen), len(blocks))
        seen.update(blocks)
        found.append([row["input_length"], min(leading * BLOCK_TOKENS, row["input_length"] - 1), row["output_length"]])
    return found


def tau(path: Path, rng: random.Random) -> list[list[list[int]]]:
    tasks = rng.sample(json.loads(path.read_text(encoding="utf-8")), 100)
    return [steps for task in tasks if len(steps := list(of_task(task["traj"]))) > 2]


def of_task(messages: list[dict[str, Any]]) -> Any:
    """(input, output) tokens of each step: all that came before it, and what the agent said and called."""
    before = 0
    for message in messages:
        tokens = MESSAGE_TOKENS + count_text(message.get("content") or "", ENCODING)
        tokens += count_text(json.dumps(message["tool_calls"]), ENCODING) if message.get("tool_calls") else 0
        if message["role"] == "assistant":
            yield [before, tokens]
        before += tokens


if __name__ == "__main__":
    main()
