"""What this machine is, and how fast its memory and its BLAS are: measured with the standard library and numpy alone.

Goes out: a `Processor`, `Stream`s, a `Product` of f32. Does not know: the engine's kernels, which multiply weights as they are stored
(engine/native/rates.py), nor where any of it is kept (`machine`).
"""

import ctypes
import os
import platform
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

import numpy as np

from jevons.economics.unitcost.machine import Pattern, Place, Processor, Product, Stream

FLAGS = (
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "avx_vnni",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
)
"""As /proc/cpuinfo calls them, and then those of Arm."""
ARM_FLAGS = ("asimddp", "i8mm", "bf16", "sve", "sve2", "sme")

BEYOND_CACHE = 8
"""Arrays are as many times as large as the last cache, so that little of them is found there."""
LEAST_BYTES, MOST_BYTES = 256 << 20, 2 << 30
"""Of all arrays together: where the cache is unknown, and where it is huge (memory itself is the limit then: a quarter of it at most)."""
CACHE_SHARE = 0.25
"""Of the last cache: others live in it too."""
CHUNK = 16384
"""Doubles of one step of the triad: three such chunks stay in a core's own cache between the product and the sum."""
LEAST_ROUNDS, MOST_ROUNDS = 5, 200
CACHE_SWEEPS = 16
"""How often a round in the cache goes over its array: one pass would be over before all threads run."""


class Spread(NamedTuple):
    """Seconds of the rounds: median, first and third quartile."""

    median: float
    low: float
    high: float


def processor(root: Path = Path("/")) -> Processor:
    """This machine's. `root`: where /proc and /sys are."""
    info = _read(root / "proc/cpuinfo")
    name = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    said = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", info, re.MULTILINE)
    has = set(said.group(1).split()) if said else set()
    memory = re.search(r"^MemTotal:\s+(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE)
    return Processor(
        name=name.group(1).strip() if name else platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        flags=tuple(flag for flag in (*FLAGS, *ARM_FLAGS) if flag in has),
        last_cache_bytes=_last_cache(root / "sys/devices/system/cpu/cpu0/cache"),
        memory_bytes=int(memory.group(1)) * 1024 if memory else None,
    )


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _last_cache(folder: Path) -> int | None:
    found: dict[int, int] = {}
    for index in folder.glob("index*"):
        level, size = _read(index / "level").strip(), re.fullmatch(r"(\d+)K", _read(index / "size").strip())
        if level.isdigit() and size:
            found[int(level)] = max(found.get(int(level), 0), int(size.group(1)) * 1024)
    return found[max(found)] if found else None


def array_bytes(place: Place, here: Processor) -> int | None:
    """How large the arrays of all threads are together; None for a cache whose size is not known."""
    if place == "l3":
        return None if here.last_cache_bytes is None else int(here.last_cache_bytes * CACHE_SHARE)
    wanted = min(max(LEAST_BYTES, BEYOND_CACHE * (here.last_cache_bytes or 0)), MOST_BYTES)
    return wanted if here.memory_bytes is None else min(wanted, here.memory_bytes // 4)


def stream(pattern: Pattern, place: Place, threads: int, total: int, seconds: float) -> Stream:
    """Bandwidth with `threads` threads, each with its part of `total` bytes, for about `seconds`."""
    sweeps = CACHE_SWEEPS if place == "l3" else 1
    make = _reader if pattern == "read" else _triad
    works = [make(total // threads) for _ in range(threads)]

    def sweep(work: Callable[[], object]) -> None:
        for _ in range(sweeps):
            work()

    with ThreadPoolExecutor(threads) as pool:
        spent = rounds(lambda: list(pool.map(sweep, works)), seconds)
    moved = total * sweeps / 1e9
    return Stream(
        pattern=pattern, place=place, threads=threads, array_bytes=total,
        gb_s=moved / spent.median, gb_s_low=moved / spent.high, gb_s_high=moved / spent.low,
    )  # fmt: skip


def _reader(size: int) -> Callable[[], object]:
    """Reads an array once: the C library looks for a byte that is not in it, with the widest loads there are, and without Python's lock."""
    libc = ctypes.CDLL(None)
    libc.memchr.restype, libc.memchr.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    array = ctypes.create_string_buffer(size)
    ctypes.memset(array, 1, size)  # pages that nobody wrote are all one page of zeros
    return lambda: libc.memchr(array, 0, size)


def _triad(size: int) -> Callable[[], object]:
    """a = b + s c over three arrays that are together `size` bytes, in chunks that stay in the core's own cache."""
    count = max(1, size // 24)
    a, b, c = np.zeros(count), np.full(count, 1.0), np.full(count, 2.0)

    def work() -> None:
        for start in range(0, count, CHUNK):
            into, end = a[start : start + CHUNK], start + CHUNK
            np.multiply(c[start:end], 3.0, out=into)
            np.add(into, b[start:end], out=into)

    return work


def blas(threads: int, size: int, seconds: float) -> Product:
    """f32 products of two square matrices by numpy's BLAS. Its number of threads is set before numpy is loaded: run it in a process
    whose environment has `blas_threads(threads)`.
    """
    chance = np.random.default_rng(8)
    one, other = (chance.standard_normal((size, size), np.float32) for _ in range(2))
    into = np.empty_like(one)
    spent = rounds(lambda: np.matmul(one, other, out=into), seconds)
    operations = 2 * size**3 / 1e9
    return Product(
        engine="blas", type="f32", tokens=size, threads=threads, rows=size, columns=size, packed="BLAS",
        gflops=operations / spent.median, gflops_low=operations / spent.high, gflops_high=operations / spent.low,
        weights_gb_s=one.nbytes / spent.median / 1e9,
    )  # fmt: skip


def blas_threads(threads: int) -> dict[str, str]:
    """Environment variables that the BLAS libraries in use look at: OpenBLAS, MKL, OpenMP builds, Accelerate."""
    names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    return dict.fromkeys(names, str(threads))


def rounds(work: Callable[[], object], seconds: float) -> Spread:
    """How long one `work` takes: rounds for about `seconds`, after one that warms up."""
    work()
    spent: list[float] = []
    while len(spent) < LEAST_ROUNDS or (sum(spent) < seconds and len(spent) < MOST_ROUNDS):
        begun = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begun)
    low, middle, high = quantiles(spent, n=4, method="inclusive")
    return Spread(middle, low, high)
