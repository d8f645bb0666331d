"""Labelled questions of the data folder as streams: two questions of one intent have the same right answer.

Comes in: the data folder. Goes out: unit vectors, labels and texts in an arrival order drawn by a seed. A part of the rows was used when the
constants of policy/semantic.py were chosen: it is left out of every stream."""

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jevons.embed import Embedder

ROOT = Path(__file__).parents[2]
CHOSEN_ON, CHOSEN_SEED = 3 / 8, 12345
"""Share of each set's rows that constants were chosen on, and the seed that drew them."""


class MissingError(Exception):
    """What is not there, and how it is brought."""


@dataclass(frozen=True)
class Stream:
    """Questions in the order of their arrival: unit vectors f32[n, 256], labels, texts."""

    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: NDArray[np.int64]) -> "Stream":
        return Stream(self.vectors[rows], self.labels[rows], [self.texts[row] for row in rows])

    def then(self, other: "Stream") -> "Stream":
        return Stream(
            np.concatenate([self.vectors, other.vectors]), np.concatenate([self.labels, other.labels]), self.texts + other.texts
        )


def load() -> tuple[dict[str, Stream], Stream]:
    """The sets without the rows that constants were chosen on, and CLINC's questions that are out of its scope: each a label of its own."""
    folder = Path(os.environ.get("JEVONS_DATA", ROOT.parent / "shared" / "data")) / "intents"
    if not folder.is_dir():
        raise MissingError(f"{folder} is not there. Name the data folder: JEVONS_DATA=…")
    embedder = Embedder()
    clinc = json.loads((folder / "clinc150_data_full.json").read_text(encoding="utf-8"))
    rows = {
        "Banking77": list(_banking(folder)),
        "CLINC150": [(text, label) for part in ("train", "val", "test") for text, label in clinc[part]],
    }
    sets = {name: _held_out(_stream(embedder, pairs)) for name, pairs in rows.items()}
    strange = [text for part in ("oos_train", "oos_val", "oos_test") for text, _ in clinc[part]]
    return sets, _stream(embedder, [(text, f"out of scope {number}") for number, text in enumerate(strange)], 100_000)


def resample(stream: Stream, seed: int, most: int) -> tuple[Stream, Stream]:
    """Two streams without a common row: one to choose thresholds on, one to be judged on; `most` rows each at most."""
    order = np.random.default_rng(seed).permutation(len(stream))
    half = min(most, len(stream) // 2)
    return stream.take(order[:half]), stream.take(order[half : 2 * half])


def _banking(folder: Path) -> Iterator[tuple[str, str]]:
    for part in ("train", "test"):
        with (folder / f"banking77_{part}.csv").open(encoding="utf-8", newline="") as file:
            yield from ((row["text"], row["category"]) for row in csv.DictReader(file))


def _stream(embedder: Embedder, pairs: list[tuple[str, str]], first_label: int = 0) -> Stream:
    names = {label: first_label + number for number, label in enumerate(sorted({label for _, label in pairs}))}
    return Stream(
        np.stack([embedder.vector(text) for text, _ in pairs]),
        np.array([names[label] for _, label in pairs]),
        [text for text, _ in pairs],
    )


def _held_out(stream: Stream) -> Stream:
    order = np.random.default_rng(CHOSEN_SEED).permutation(len(stream))
    return stream.take(order[int(len(stream) * CHOSEN_ON) :])
