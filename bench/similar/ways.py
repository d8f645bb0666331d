"""Ways to find the nearest of stored vectors: ours, and those of faiss and usearch. All take vectors one by one, as a cache gets them.

In: unit vectors. Out: a `Way` that adds, finds and says what it takes. One thread, but where graphs are built (both libraries: all cores).
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.turboquant.texts import PARTS, MissingError
from jevons.quant.scan import Coder, Flat

Floats = NDArray[np.float32]
LIBRARY = Path(__file__).parents[2] / "bench" / "out" / "similar"
DEGREE = 16
"""Neighbours of a vector in a graph: what both libraries take if nothing is said (usearch) or shown (faiss's wiki: HNSW16 to 64)."""
SINGLY = 2_000
"""Vectors that are added one by one, for the time that one takes."""


@dataclass(frozen=True)
class Way:
    """A store with vectors in it."""

    name: str
    find: Callable[[Floats], tuple[int, float]]
    """A question f32[256] -> the number of the nearest and its cosine."""
    nbytes: int
    add_us: float
    """Processor time of one more vector, its coding included, when all others are there."""
    forgets: str


def packed(stored: Floats) -> Way:
    """Our own: jevons.quant.scan."""
    coder = Coder(stored.shape[1])
    flat = Flat(coder)
    for vector in stored[:-SINGLY]:
        flat.add(coder.encode(vector))
    began = time.process_time()
    for vector in stored[-SINGLY:]:
        flat.add(coder.encode(vector))
    add_us = (time.process_time() - began) / min(SINGLY, len(stored)) * 1e6
    return Way("packed scan (ours)", lambda question: flat.nearest(coder.encode(question), 8)[0], flat.nbytes, add_us, "at once")


def faiss_flat(stored: Floats) -> Way:
    """faiss: a flat scan over 4-bit scalar codes, 128 bytes a vector, which learns each coordinate's range."""
    faiss = _faiss()
    index = faiss.IndexScalarQuantizer(stored.shape[1], faiss.ScalarQuantizer.QT_4bit, faiss.METRIC_INNER_PRODUCT)
    index.train(stored[: 1 << 14])
    return _of_faiss(faiss, "faiss, flat, 4-bit codes", index, stored, "moves all that come after")


def faiss_graph(stored: Floats) -> Way:
    """faiss: HNSW over 8-bit scalar codes."""
    faiss = _faiss()
    index = faiss.IndexHNSWSQ(stored.shape[1], faiss.ScalarQuantizer.QT_8bit, DEGREE, faiss.METRIC_INNER_PRODUCT)
    index.train(stored[: 1 << 14])
    return _of_faiss(faiss, "faiss, HNSW, 8-bit codes", index, stored, "not at all")


def usearch_graph(stored: Floats) -> Way:
    """usearch: HNSW over 8-bit codes."""
    _on_path(LIBRARY, "usearch")
    from usearch.index import Index  # type: ignore[import-not-found]  # noqa: PLC0415  in a folder of its own

    index = Index(ndim=stored.shape[1], metric="ip", dtype="i8", connectivity=DEGREE)
    first = max(len(stored) - SINGLY, 0)
    index.add(np.arange(first), stored[:first], threads=os.cpu_count() or 1)
    began = time.process_time()
    for number in range(first, len(stored)):
        index.add(number, stored[number])
    add_us = (time.process_time() - began) / (len(stored) - first) * 1e6

    def find(question: Floats) -> tuple[int, float]:
        found = index.search(question, 8)
        return int(found.keys[0]), 1 - float(found.distances[0])

    return Way("usearch, HNSW, 8-bit codes", find, index.memory_usage, add_us, "marks, and takes the place again")


def _of_faiss(faiss: Any, name: str, index: Any, stored: Floats, forgets: str) -> Way:
    first = max(len(stored) - SINGLY, 0)
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    index.add(stored[:first])
    faiss.omp_set_num_threads(1)
    began = time.process_time()
    for number in range(first, len(stored)):
        index.add(stored[number : number + 1])
    add_us = (time.process_time() - began) / (len(stored) - first) * 1e6

    def find(question: Floats) -> tuple[int, float]:
        products, numbers = index.search(question[None], 8)
        return int(numbers[0, 0]), float(products[0, 0])

    return Way(name, find, len(faiss.serialize_index(index)), add_us, forgets)


def _faiss() -> Any:
    _on_path(PARTS, "faiss")
    import faiss  # type: ignore[import-not-found]  # noqa: PLC0415  in a folder of its own

    return faiss


def _on_path(folder: Path, name: str) -> None:
    if not (folder / name).is_dir():
        raise MissingError(f"{folder} has no {name}: `make bench-similar` installs it")
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


WAYS: dict[str, Callable[[Floats], Way]] = {
    "packed": packed,
    "faiss-flat": faiss_flat,
    "faiss-graph": faiss_graph,
    "usearch-graph": usearch_graph,
}
