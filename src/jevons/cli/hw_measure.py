"""Measures this machine for `jevons hw measure`: `probe` (memory, cache, BLAS) joined with the engine's kernels, and told as it goes."""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import click
import numpy as np

from jevons import __version__
from jevons.cli.hw_shown import waiting
from jevons.economics.unitcost import probe
from jevons.economics.unitcost.machine import Machine, Pattern, Place, Processor, Product, Stated, Stream
from jevons.engine.levers.energy import read_counters
from jevons.engine.native import package, rates
from jevons.engine.native.apart import apart
from jevons.engine.native.package import NativeError

PATTERNS: tuple[Pattern, ...] = ("read", "triad")
PLACES: tuple[Place, ...] = ("memory", "l3")


class Sizes(NamedTuple):
    """How long, and what."""

    types: tuple[str, ...]
    tokens: tuple[int, ...]
    stream_s: float
    product_s: float
    blas_s: float
    blas_size: int
    weights_bytes: int


FULL = Sizes(rates.DEFAULT_TYPES, (1, 8, 512), 0.6, 0.3, 1.0, 2048, rates.MEMORY_BYTES)
QUICK = Sizes(("bf16", "q8_0", "q4_K"), (1, 512), 0.2, 0.1, 0.2, 1024, rates.MEMORY_BYTES)


def measured(threads: int | None, quick: bool, stated: Stated) -> Machine:
    """With one thread and with `threads` (None = all cores). What cannot be measured is in `missing`, with what to do."""
    sizes, here, begun, load = QUICK if quick else FULL, probe.processor(), time.monotonic(), waiting()
    counts = tuple(dict.fromkeys((1, threads or here.cores)))
    missing: list[str] = []
    streams = tuple(_streams(here, counts, sizes, missing))
    products = [_blas(count, sizes) for count in counts]
    versions = {"jevons": __version__, "python": platform.python_version(), "numpy": np.__version__}
    watts = None
    try:
        package.find()
        found = [rate for kind in sizes.types for rate in _products(kind, counts, sizes)]
        products += map(_product, found)
        versions |= {"ggml": f"{package.GGML_VERSION} {package.COMMIT}", "back_end": found[0].variant}
        watts = _watts(counts[-1], sizes)
    except NativeError as error:
        missing.append(f"products of stored weights: {error}")
    if watts is None:
        missing.append("power: the processor's counters (RAPL) cannot be read here; state it with --watts")
    return Machine(
        measured_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), quick=quick, load=load, seconds=time.monotonic() - begun,
        processor=here, streams=streams, products=tuple(products), watts=watts, missing=tuple(missing), stated=stated, versions=versions,
    )  # fmt: skip


def _tell(what: str) -> None:
    click.echo(f"{what} …", err=True)


def _streams(here: Processor, counts: tuple[int, ...], sizes: Sizes, missing: list[str]) -> Iterator[Stream]:
    for place in PLACES:
        total = probe.array_bytes(place, here)
        if total is None:
            missing.append("the last cache: its size is not known here")
            continue
        _tell(f"{'memory' if place == 'memory' else 'last cache'}, {total / 1e6:,.0f} MB")
        for count in counts:
            for pattern in PATTERNS:
                yield probe.stream(pattern, place, count, total, sizes.stream_s)


def _blas(threads: int, sizes: Sizes) -> Product:
    _tell(f"f32 products by BLAS, {threads} thread{'s' * (threads > 1)}")
    with _environment(probe.blas_threads(threads)):
        return apart(probe.blas, threads, sizes.blas_size, sizes.blas_s)


def _products(kind: str, counts: tuple[int, ...], sizes: Sizes) -> list[rates.Rate]:
    _tell(f"{kind} products by the engine's kernels")
    return apart(rates.measure, (kind,), sizes.tokens, counts, weights_bytes=sizes.weights_bytes, seconds=sizes.product_s)


def _product(rate: rates.Rate) -> Product:
    return Product(
        engine="ggml", type=rate.type, tokens=rate.tokens, threads=rate.threads, rows=rate.rows, columns=rate.columns,
        packed=rate.packed, gflops=rate.gflops, gflops_low=rate.gflops_low, gflops_high=rate.gflops_high,
        weights_gb_s=rate.weights_gb_s,
    )  # fmt: skip


def _watts(threads: int, sizes: Sizes) -> float | None:
    if not read_counters():
        return None
    _tell("power while it multiplies")
    return apart(rates.watts, "q8_0", max(sizes.tokens), threads)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """For the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
