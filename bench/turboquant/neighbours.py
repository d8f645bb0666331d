"""The paper's experiment with nearest neighbours (Section 4.4): how often the best vector by inner product is among the k best by codes.

In: a collection of vectors. Out, for each way of encoding it: recall@1@k, bytes a vector, and CPU seconds of learning and encoding on one
thread. Product quantisation and RaBitQ are those of faiss. Queries are left as they are, but for RaBitQ's, which have 8 bits. Nothing is ranked anew."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.turboquant.texts import PARTS, Collection, MissingError
from jevons.quant.qjl import TurboQuantProd
from jevons.quant.turboquant import ScaleName, TurboQuant

Floats = NDArray[np.float32]
KS = (1, 2, 4, 8, 16, 32, 64)
LEARNED_FROM = 16_384
"""Vectors that faiss learns from: 64 for each of product quantisation's 256 centroids, whose k-means takes minutes with all."""
AT_ONCE = 200
"""Queries whose scores are held at a time."""


@dataclass(frozen=True)
class Found:
    """What came of one way."""

    way: str
    bytes_per_vector: int
    learning_s: float
    encoding_s: float
    recall: dict[int, float]


@dataclass(frozen=True)
class Way:
    """`learn` takes the base and returns what encodes it; that returns scores of queries, or the numbers of the 64 best for them."""

    name: str
    bytes_per_vector: int
    learn: Callable[[Floats], Callable[[Floats], Callable[[Floats], NDArray[np.generic]]]]


def measured(collection: Collection, bits: int) -> Iterator[Found]:
    """Every way at this many bits a coordinate."""
    best = np.concatenate([np.argmax(part @ collection.base.T, axis=1) for part in _parts(collection.queries)])
    for way in ways(collection.base.shape[1], bits):
        began = time.process_time()
        encode = way.learn(collection.base)
        learned = time.process_time()
        search = encode(collection.base)
        encoded = time.process_time()
        ranks = np.concatenate([_ranks(search(part), best[i : i + len(part)]) for i, part in _numbered(collection.queries)])
        recall = {k: float(np.mean(ranks < k)) for k in KS}
        yield Found(way.name, way.bytes_per_vector, learned - began, encoded - learned, recall)


def ways(dim: int, bits: int) -> Iterator[Way]:
    """TurboQuant's first, which learn nothing."""
    scales: tuple[tuple[str, ScaleName], ...] = (("TurboQuant mse, S = ‖x‖ (paper)", "mse"), ("TurboQuant, EDEN scale", "eden"))
    for name, scale in scales:
        yield _turbo(name, TurboQuant(dim, bits, scale=scale))
    yield _turbo("TurboQuant prod (paper)", TurboQuantProd(dim, bits))
    yield _turbo("TurboQuant, EDEN, mean taken off", TurboQuant(dim, bits), centred=True)
    yield from _faiss(dim, bits)


def _turbo(name: str, quantiser: TurboQuant | TurboQuantProd, centred: bool = False) -> Way:
    def learn(base: Floats) -> Callable[[Floats], Callable[[Floats], NDArray[np.generic]]]:
        # ⟨q, x⟩ = ⟨q, µ⟩ + ⟨q, x − µ⟩, and the first is the same for every x: it decides nothing, and its bits are saved
        mean = base.mean(axis=0) if centred else np.zeros(base.shape[1], np.float32)

        def encode(vectors: Floats) -> Callable[[Floats], NDArray[np.generic]]:
            codes = quantiser.encode(vectors - mean if centred else vectors)
            return lambda queries: quantiser.inner_products(codes, queries)  # type: ignore[arg-type]

        return encode

    return Way(name, quantiser.bytes_per_vector, learn)


def _faiss(dim: int, bits: int) -> Iterator[Way]:
    if not (PARTS / "faiss").is_dir():
        raise MissingError(f"{PARTS} has no faiss: `make bench-turboquant` installs it")
    if str(PARTS) not in sys.path:
        sys.path.append(str(PARTS))
    import faiss  # noqa: PLC0415  in a folder of its own, not in our environment

    faiss.omp_set_num_threads(1)
    kept: list[object] = []

    def product() -> object:
        return faiss.IndexPQ(dim, dim * bits // 8, 8, faiss.METRIC_INNER_PRODUCT)

    def rabitq() -> object:
        index = faiss.IndexRaBitQ(dim, faiss.METRIC_INNER_PRODUCT, bits)
        index.qb = 8  # the query in 8 bits: in full it finds the same and takes fifty times as long
        rotation = faiss.RandomRotationMatrix(dim, dim)
        rotation.init(1865)
        kept.append((rotation, index))  # the library holds pointers only
        return faiss.IndexPreTransform(rotation, index)

    for name, make, size in (
        (f"product quantisation ({8 // bits} coordinates to a byte)", product, dim * bits // 8),
        ("RaBitQ, mean taken off", rabitq, faiss.IndexRaBitQ(dim, faiss.METRIC_INNER_PRODUCT, bits).code_size),
    ):
        yield Way(name, size, _learn_faiss(make))


def _learn_faiss(make: Callable[[], object]) -> Callable[[Floats], Callable[[Floats], Callable[[Floats], NDArray[np.generic]]]]:
    def learn(base: Floats) -> Callable[[Floats], Callable[[Floats], NDArray[np.generic]]]:
        index = make()
        index.train(base[np.random.default_rng(1865).permutation(len(base))[:LEARNED_FROM]])  # type: ignore[attr-defined]

        def encode(vectors: Floats) -> Callable[[Floats], NDArray[np.generic]]:
            index.add(vectors)  # type: ignore[attr-defined]
            return lambda queries: index.search(queries, KS[-1])[1]  # type: ignore[attr-defined]

        return encode

    return learn


def _ranks(found: NDArray[np.generic], best: NDArray[np.intp]) -> NDArray[np.intp]:
    """How many were put before the best one; KS[-1] and more mean that it was not found."""
    if found.dtype == np.int64:  # the numbers of the best, in order
        hit = found == best[:, None]
        return np.where(hit.any(axis=1), hit.argmax(axis=1), KS[-1])
    own = np.take_along_axis(found, best[:, None], axis=1)
    return np.asarray((found > own).sum(axis=1))


def _parts(queries: Floats) -> Iterator[Floats]:
    return (part for _, part in _numbered(queries))


def _numbered(queries: Floats) -> Iterator[tuple[int, Floats]]:
    return ((i, queries[i : i + AT_ONCE]) for i in range(0, len(queries), AT_ONCE))
