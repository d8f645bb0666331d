"""Finding the answer to a similar question: our packed scan beside faiss and usearch. Prints a table and, as its last line, one JSON object.

Real questions as wordllama sees them (256 dimensions), said again in other words until there are enough (texts.py). Searches on one thread.
"""

import argparse
import json
import logging
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.gateway import machine
from bench.similar import hits, texts
from bench.similar.ways import WAYS, Floats, Way

SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUESTIONS = 600
GRAPH_MAX = 100_000
"""Of more vectors a graph takes minutes to build."""
NEAR = 0.8
"""The cosine above which answers are taken to be decided on, for comparing decisions."""


def main() -> None:
    options = argparse.ArgumentParser(prog="make bench-similar BENCH_ARGS=...", description=__doc__)
    options.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of stored answers")
    options.add_argument("--ways", default=",".join(WAYS), help=f"some of {','.join(WAYS)} (graphs of a million take minutes)")
    options.add_argument(
        "--graph-max", type=int, default=GRAPH_MAX, help="the largest graph that is built (a million takes 10 minutes)"
    )
    chosen = options.parse_args()
    sizes = [int(size) for size in chosen.sizes.split(",")]
    began = time.monotonic()
    logging.disable(logging.INFO)  # faiss tells how it was loaded
    note(f"saying {max(sizes):,} questions in other words")
    asked = texts.asked(max(sizes), QUESTIONS)
    print(
        f"Nearest of stored questions: {QUESTIONS} asked, a third nearly the same, a third changed more, a third new. One thread.\n"
    )
    print(
        f"{'stored':>9}  {'way':<28}{'recall@1':>9}{'decision':>9}{'lost':>9}{'bytes':>7}{'p50 ms':>9}{'p99 ms':>9}{'add µs':>8}  forgets"
    )
    figures: dict[str, Any] = {"bench": "similar"}
    for size in sizes:
        exact = nearest(asked.stored[:size], asked.questions)
        for name in chosen.ways.split(","):
            if "graph" not in name or size <= chosen.graph_max:
                way = WAYS[name](asked.stored[:size])
                figures[f"{name.replace('-', '_')}_{size}"] = measured(way, size, asked.questions, *exact)
    del exact
    figures |= whole_hits(asked.stored)
    figures["minutes"] = round((time.monotonic() - began) / 60, 1)
    print(json.dumps(figures | {"machine": machine.facts()}))


def whole_hits(stored: Floats) -> dict[str, Any]:
    """A hit from request to answer, with all stored in one context."""
    note(f"a hit among {len(stored):,}")
    asked = list(dict.fromkeys(texts.questions()))[: 2 * QUESTIONS]
    with TemporaryDirectory() as folder:
        np.save(path := Path(folder, "stored.npy"), stored)
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:  # memory is told best by a process that has done nothing else
            found = apart.submit(hits.measured, path, asked).result()
    print(
        f"\nA hit, from the parsed request to its answer, among {len(stored):,} of one context: p50 {found['hit_p50_ms']:.3f} ms, p99 "
        f"{found['hit_p99_ms']:.3f} ms ({found['hits']} hits), the search {found['hit_search_p50_ms']:.3f} ms of it. Memory: "
        f"{found['bytes_per_entry'] * 1e6 / 2**20:.0f} MiB a million, their answers not counted."
    )
    return {"stored": len(stored)} | found


def nearest(stored: Floats, questions: Floats) -> tuple[Floats, Floats]:
    """Cosines of the nearest by the whole vectors, and the cosine of every question with every stored vector, f32[m, n]."""
    cosines = questions @ stored.T
    return cosines.max(axis=1), cosines


def measured(way: Way, size: int, questions: Floats, best: Floats, cosines: Floats) -> dict[str, float]:
    """One line of the table. Doubles count as found: whichever has the greatest cosine is right."""
    way.find(questions[0])
    times, found, said = [], np.empty(len(questions), np.int64), np.empty(len(questions), np.float32)
    for i, question in enumerate(questions):
        started = time.perf_counter()
        found[i], said[i] = way.find(question)
        times.append(time.perf_counter() - started)
    own = cosines[np.arange(len(questions)), found]
    lost, near = best - own, best >= NEAR
    same = np.where(near, lost < 1e-5, own < NEAR)
    p50, p99 = np.percentile(times, [50, 99]) * 1e3
    line = {
        "recall_at_1": round(float(np.mean(lost < 1e-5)), 4),
        "same_decision": round(float(same.mean()), 4),
        "cosine_lost": round(float(lost[near].mean()), 5),
        "bytes": round(way.nbytes / size, 1),
        "p50_ms": round(float(p50), 4),
        "p99_ms": round(float(p99), 4),
        "add_us": round(way.add_us, 1),
    }
    print(
        f"{size:>9,}  {way.name:<28}{line['recall_at_1']:>9.3f}{line['same_decision']:>9.3f}{line['cosine_lost']:>9.5f}{line['bytes']:>7.0f}"
        f"{p50:>9.3f}{p99:>9.3f}{way.add_us:>8.0f}  {way.forgets}",
        flush=True,
    )
    return line


def note(text: str) -> None:
    print(f"  … {text}", flush=True)


if __name__ == "__main__":
    main()
