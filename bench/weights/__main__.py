"""Weights in fewer bits, and what a task makes of them: the f32 MiniLM, quantised in several ways, sorts banking questions into 77 intents.

Prints a table and, as its last line, one JSON object. The subject was never quantised before, so that the figures say what the bits cost; those
of a file that holds 4-bit weights to begin with could not. The head is trained once, on f32 embeddings, as a service does that swaps its model
for a smaller one; and anew on the quantised model's embeddings, where said.
"""

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.gateway import machine
from bench.weights import minilm
from bench.weights.head import Array, Classes, Head, intervals, trained
from jevons.quant.blocks import Format, by_range, by_search
from jevons.quant.turboquant import TurboQuant

ROOT = Path(__file__).parents[2]
TOKENS_MAX = 128
"""tokenizer.json's own truncation."""
WATCHED = 256
"""Training texts that say how important a column is."""

WEIGHTED = "weighted search"
"""Columns count by the mean square of what multiplies them."""

Quantise = Callable[[str, Array], tuple[Array, int]]
"""A matrix by its name -> what is left of it, and its bytes."""


@dataclass(frozen=True)
class Way:
    """One way of storing the matrices."""

    name: str
    title: str
    quantise: Quantise
    retrain: bool = False


@dataclass
class Result:
    """What came of it. The squared error is relative: Σ(ŵ - w)² / Σw²."""

    way: Way
    bits_per_weight: float
    megabytes: float
    mse: float
    cosine: float
    cosine_p1: float
    right: NDArray[np.bool_]
    retrained: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Task:
    """Texts as token ids, and their classes."""

    train: list[list[int]]
    train_classes: Classes
    test: list[list[int]]
    test_classes: Classes


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--quick", action="store_true", help="a quarter of the texts, blocks of 32, nothing retrained")
    quick = options.parse_args().quick
    weights = minilm.load(minilm.FOLDER)
    task = read(quick)
    began = time.monotonic()
    f32 = minilm.embed(weights, task.train)
    head = trained(f32, task.train_classes)
    test = minilm.embed(weights, task.test)
    print(
        f"{len(task.train):,} and {len(task.test):,} texts, embedded in f32 in {time.monotonic() - began:.0f} s", file=sys.stderr
    )
    results = [exact(weights, head, test, task)]
    for way in ways(importance(weights, task), quick):
        began = time.monotonic()
        results.append(measure(way, weights, head, test, task))
        print(f"{way.title}: {results[-1].right.mean():.3f} in {time.monotonic() - began:.0f} s", file=sys.stderr)
    report(results, task)


def read(quick: bool) -> Task:
    """banking77 in token ids. Exits with a message if the parts or the data are not there."""
    folder = Path(os.environ.get("JEVONS_DATA", ROOT.parent / "shared" / "data")) / "intents"
    if not (folder / "banking77_train.csv").exists():
        sys.exit(f"{folder} has no banking77_train.csv. Name the data folder: JEVONS_DATA=…")
    sys.path.insert(0, str(minilm.PARTS))
    from tokenizers import Tokenizer  # noqa: PLC0415  it is in the folder of the parts, not in our environment

    tokenizer = Tokenizer.from_file(str(minilm.FOLDER / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS_MAX)
    names: dict[str, int] = {}
    found = []
    for part in ("train", "test"):
        with (folder / f"banking77_{part}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))[:: 4 if quick else 1]  # sorted by class: every fourth has all of them
        found.append([list(text.ids) for text in tokenizer.encode_batch([row["text"] for row in rows])])
        found.append(np.array([names.setdefault(row["category"], len(names)) for row in rows]))
    return Task(*found)


def importance(weights: minilm.Weights, task: Task) -> dict[str, Array]:
    """Mean square of what multiplies each column of each matrix, over some training texts; nothing multiplies a table that is looked up."""
    sums: dict[str, Array] = {}
    rows: dict[str, int] = {}

    def watch(name: str, x: Array) -> None:
        sums[name] = sums.get(name, np.zeros(x.shape[1], np.float32)) + np.square(x).sum(axis=0)
        rows[name] = rows.get(name, 0) + len(x)

    minilm.embed(weights, task.train[:: max(1, len(task.train) // WATCHED)], watch)
    return {name: total / rows[name] for name, total in sums.items()}


def ways(matters: dict[str, Array], quick: bool) -> list[Way]:
    """Every way that is measured, the finest first."""

    def blocks(
        name: str,
        bits: int,
        block: int = 32,
        how: str = "min/max",
        matters: Mapping[str, Array] | None = None,
        retrain: bool = False,
    ) -> Way:
        form = Format(bits, block)

        def quantise(matrix: str, w: Array) -> tuple[Array, int]:
            found = by_range(w, form) if matters is None else by_search(w, form, matters.get(matrix))
            return found.decode(), found.nbytes

        return Way(name, f"{bits} bits, blocks of {block}, {how}", quantise, retrain)

    found = [blocks("b8", 8)]
    for bits in (4, 3, 2):
        found += [blocks(f"b{bits}", bits)]
        if bits == 2:
            found += [blocks("b2_search", 2, how="search", matters={})]
        found += [blocks(f"b{bits}_weighted", bits, 32, WEIGHTED, matters, retrain=not quick)]
        if bits != 3 and not quick:
            found += [blocks(f"b{bits}_block64_weighted", bits, 64, WEIGHTED, matters)]
        found += [turbo(bits)]
    return found


def turbo(bits: int) -> Way:
    """Rows rotated, every coordinate by one codebook, one length for a row; the scale of least error, for a product is no mean of many."""

    def quantise(matrix: str, w: Array) -> tuple[Array, int]:
        quantiser = TurboQuant(w.shape[1], bits, scale="mse")
        codes = quantiser.encode(w)
        return quantiser.decode(codes), len(w) * quantiser.bytes_per_vector

    return Way(f"turbo{bits}", f"{bits} bits, TurboQuant, rotated rows", quantise)


def exact(weights: minilm.Weights, head: Head, test: Array, task: Task) -> Result:
    way = Way("f32", "f32", lambda name, w: (w, w.nbytes))
    right = head.classes(test) == task.test_classes
    return Result(way, 32, used_bytes(weights) / 1e6, 0, 1, 1, right, right)


def used_bytes(weights: minilm.Weights) -> int:
    """Of all that embedding needs: the pooler is not used."""
    return sum(w.nbytes for name, w in weights.items() if not name.startswith("pooler."))


def measure(way: Way, weights: minilm.Weights, head: Head, f32: Array, task: Task) -> Result:
    """Quantise, embed the test texts, compare with f32; embed the training texts too and train anew if the way says so."""
    changed = dict(weights)
    stored = numbers = 0
    error = energy = 0.0
    for name in minilm.matrices(weights):
        w = weights[name]
        changed[name], size = way.quantise(name, w)
        stored, numbers = stored + size, numbers + w.size
        error, energy = error + float(np.square(changed[name] - w).sum()), energy + float(np.square(w).sum())
    test = minilm.embed(changed, task.test)
    cosines = (test * f32).sum(axis=1)
    retrained = None
    if way.retrain:
        retrained = trained(minilm.embed(changed, task.train), task.train_classes).classes(test) == task.test_classes
    return Result(
        way,
        bits_per_weight=stored * 8 / numbers,
        megabytes=(used_bytes(weights) - numbers * 4 + stored) / 1e6,
        mse=error / energy,
        cosine=float(cosines.mean()),
        cosine_p1=float(np.percentile(cosines, 1)),
        right=head.classes(test) == task.test_classes,
        retrained=retrained,
    )


def report(results: list[Result], task: Task) -> None:
    own, against = intervals(np.array([result.right for result in results]))
    anew = [result for result in results if result.retrained is not None]
    _, against_anew = intervals(np.array([result.retrained for result in anew]))
    differences = {result.way.name: ends for result, ends in zip(anew, against_anew, strict=True)}
    print(f"accuracy in percent; in brackets the 95 % interval of its difference from f32 on the same {len(task.test):,} texts\n")
    print(f"{'':36}{'bits/w':>8}{'MB':>7}{'error':>10}{'cosine':>8}{'1st %':>8}{'head of f32':>24}{'head retrained':>24}")
    figures: dict[str, object] = {"bench": "weights", "texts_train": len(task.train), "texts_test": len(task.test)}
    for result, ends, apart in zip(results, own, against, strict=True):
        name = result.way.name
        accuracy = float(result.right.mean() * 100)
        cells = [f"{accuracy:.2f} [{apart[0]:+.2f}, {apart[1]:+.2f}]", ""]
        figures |= {
            f"accuracy_{name}": round(accuracy, 2),
            f"accuracy_{name}_interval": [round(float(end), 2) for end in ends],
            f"difference_{name}_interval": [round(float(end), 2) for end in apart],
            f"bits_per_weight_{name}": round(result.bits_per_weight, 3),
            f"megabytes_{name}": round(result.megabytes, 1),
            f"mse_{name}": float(f"{result.mse:.4g}"),
            f"cosine_{name}": round(result.cosine, 4),
        }
        if result.retrained is not None:
            again, apart = float(result.retrained.mean() * 100), differences[name]
            cells[1] = f"{again:.2f} [{apart[0]:+.2f}, {apart[1]:+.2f}]"
            figures |= {
                f"accuracy_{name}_retrained": round(again, 2),
                f"difference_{name}_retrained_interval": [round(float(end), 2) for end in apart],
            }
        print(
            f"{result.way.title:36}{result.bits_per_weight:>8.3f}{result.megabytes:>7.1f}{result.mse:>10.2e}"
            f"{result.cosine:>8.4f}{result.cosine_p1:>8.4f}{cells[0]:>24}{cells[1]:>24}"
        )
    errors = {result.way.name: result.mse for result in results}
    figures |= {f"mse_ratio_b{bits}_weighted": round(errors[f"b{bits}_weighted"] / errors[f"b{bits}"], 3) for bits in (4, 3, 2)}
    print(json.dumps(figures | {"machine": machine.facts()}))


if __name__ == "__main__":
    main()
