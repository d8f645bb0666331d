"""Trains the twins and writes them: `make train-twins`, repeatable from the packages and a seed.

Comes in: the package registry, options. Goes out: GGUF files in f32, f16 and Q8_0, the tokenizer, and the log of losses, in one folder.
Both twins are trained at the same time, each on one core: same text, same order, same steps. A run that was stopped goes on at its
last checkpoint. Does not know: llama.cpp.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from bench.twins import text, tokens
from bench.twins.muon import Muon
from bench.twins.net import TWINS, Twin
from bench.twins.write import KINDS, write

SEED = 5
STEPS = 1200
SEQUENCES = 8
RATE = 0.02
"""Of Muon, for the matrices inside the layers."""
RATE_ADAM = 4e-3
"""Of AdamW, for the table, the norms and the routers."""
RATE_WARM_STEPS = 60
CHECKPOINT_STEPS = 50
WORK = Path("bench/out/twins")
# glibc gives large blocks back to the kernel when they are freed, and every step would fault them in anew: a fifth of a step's time.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**32), "MALLOC_TOP_PAD_": str(2**28)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=WORK, help="folder for packages, checkpoints and files (300 MB)")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many; the next call goes on")
    parser.add_argument("--twin", choices=[*TWINS], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.twin:
        train(asked.twin, asked.work, asked.steps, time.monotonic() + 60 * asked.minutes)
        return
    prepare(asked.work)
    command = [sys.executable, "-m", "bench.twins.train", *sys.argv[1:], "--twin"]
    environ = {**os.environ, **ALLOCATOR, "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen([*command, twin], env=environ) for twin in TWINS]
    codes = [one.wait() for one in running]
    if any(codes):
        raise SystemExit("A training ended early; what it had reached at its last checkpoint is kept.")
    if not all((asked.work / f"{twin}-f32.gguf").is_file() for twin in TWINS):
        print("Not at the end yet: the same command goes on.")


def prepare(work: Path) -> None:
    """Tokens of all texts that are trained on, in one row, unless they are there: pages.json, tokenizer.json, tokens.npy."""
    if (work / "tokens.npy").is_file():
        return
    began = time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    pages = text.pages(work)
    print(
        f"{len(pages)} pages in two languages; licences: {', '.join(sorted({one.licence for one in text.MANUALS}))}", flush=True
    )
    trained = [page for page in pages if not page.held_out]
    texts = [part for page in trained for part in (page.en, page.es)]
    tokenizer = tokens.learn(texts)
    tokenizer.save(str(work / "tokenizer.json"))
    np.random.default_rng(SEED).shuffle(texts)
    ids = [part for one in tokenizer.encode_batch(texts) for part in (tokens.END_ID, *one.ids)]
    np.save(work / "tokens.npy", np.array(ids, np.uint16))
    print(f"{sum(map(len, texts)):,} characters, {len(ids):,} tokens; {time.monotonic() - began:.0f} s", flush=True)


def windows(ids: NDArray[np.uint16], length: int, count: int) -> NDArray[np.int64]:
    """`count` windows [count, length + 1]: every epoch starts elsewhere and in another order."""
    random = np.random.default_rng(SEED)
    rows: list[NDArray[np.uint16]] = []
    while len(rows) < count:
        starts = np.arange(random.integers(length), len(ids) - length, length)
        rows += [ids[start : start + length + 1] for start in random.permutation(starts)]
    return np.stack(rows[:count]).astype(np.int64)


def train(name: str, work: Path, steps: int, until: float) -> None:
    torch.manual_seed(SEED)
    torch.set_flush_denormal(True)
    twin = Twin(TWINS[name])
    optimizers = optimizers_of(twin)
    checkpoint, first, spent_s = work / f"{name}.pt", 0, 0.0
    if checkpoint.is_file():
        kept = torch.load(checkpoint, weights_only=True)
        twin.load_state_dict(kept["twin"])
        for optimizer, state in zip(optimizers, kept["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        first, spent_s = kept["step"], kept["cpu_seconds"]
    rows = windows(np.load(work / "tokens.npy"), twin.shape.context, steps * SEQUENCES)
    losses: list[float] = []
    for step in range(first, steps):
        batch = torch.from_numpy(rows[step * SEQUENCES : (step + 1) * SEQUENCES])
        logits, added = twin(batch[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        twin.zero_grad()
        (loss + added).backward()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * pace(step, steps)
            optimizer.step()
        losses.append(float(loss.detach()))
        if (step + 1) % CHECKPOINT_STEPS == 0 or step + 1 == steps:
            said = {
                "twin": name,
                "step": step + 1,
                "loss_nats": round(sum(losses) / len(losses), 4),
                "cpu_seconds": round(spent_s + time.process_time(), 1),
            }
            print(json.dumps(said), flush=True)
            with (work / "losses.jsonl").open("a") as log:
                log.write(json.dumps(said) + "\n")
            losses.clear()
            state = {"twin": twin.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in optimizers]}
            torch.save(state | {"step": step + 1, "cpu_seconds": said["cpu_seconds"]}, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)
            if time.monotonic() > until and step + 1 < steps:
                return
    for kind in KINDS:
        write(twin, tokens.read(work / "tokenizer.json"), name, kind, work / f"{name}-{kind}.gguf")


def optimizers_of(twin: Twin) -> tuple[Muon, torch.optim.AdamW]:
    inside = {
        name
        for name, weight in twin.named_parameters()
        if weight.dim() > 1 and name.startswith("layers.") and "router" not in name
    }
    matrices = [weight for name, weight in twin.named_parameters() if name in inside]
    rest = [weight for name, weight in twin.named_parameters() if name not in inside]
    return Muon(matrices, RATE), torch.optim.AdamW(rest, RATE_ADAM, betas=(0.9, 0.95), weight_decay=0.0, fused=True)


def pace(step: int, steps: int) -> float:
    """Share of the learning rate: up in a line, then down in a line to nothing (arXiv 2405.18392: as good as a cosine, and simpler)."""
    return min((step + 1) / RATE_WARM_STEPS, (steps - step) / max(1, steps - RATE_WARM_STEPS))


if __name__ == "__main__":
    main()
