"""What this machine is, and its memory and BLAS, measured in a moment: the figures are of the right order, not exact."""

from pathlib import Path

import pytest

np = pytest.importorskip("numpy")

from jevons.economics.unitcost import probe  # noqa: E402
from jevons.economics.unitcost.machine import Processor  # noqa: E402

CPUINFO = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) 6980P\nflags\t\t: fpu avx2 avx512f amx_bf16 amx_int8 sse\n"


def test_the_processor_as_linux_tells_it(tmp_path: Path) -> None:
    cache = tmp_path / "sys/devices/system/cpu/cpu0/cache"
    for index, (level, size) in enumerate([("1", "48K"), ("2", "2048K"), ("3", "516096K")]):
        (cache / f"index{index}").mkdir(parents=True)
        (cache / f"index{index}/level").write_text(level + "\n")
        (cache / f"index{index}/size").write_text(size + "\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(CPUINFO)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       1000000 kB\nMemFree: 1 kB\n")
    found = probe.processor(tmp_path)
    assert found.name == "Intel(R) Xeon(R) 6980P"
    assert found.flags == ("avx2", "avx512f", "amx_int8", "amx_bf16")
    assert (found.last_cache_bytes, found.memory_bytes) == (516096 * 1024, 1_024_000_000)
    assert found.cores >= 1


def test_where_nothing_is_told_it_is_unknown(tmp_path: Path) -> None:
    found = probe.processor(tmp_path)
    assert found.name
    assert (found.flags, found.last_cache_bytes, found.memory_bytes) == ((), None, None)
    assert probe.array_bytes("l3", found) is None
    assert probe.array_bytes("memory", found) == probe.LEAST_BYTES


def test_arrays_are_far_beyond_the_cache_but_leave_memory() -> None:
    def of(cache: int, memory: int) -> Processor:
        return Processor(name="x", cores=1, flags=(), last_cache_bytes=cache, memory_bytes=memory)

    assert probe.array_bytes("memory", of(64 << 20, 1 << 36)) == 512 << 20
    assert probe.array_bytes("memory", of(1 << 30, 1 << 36)) == probe.MOST_BYTES
    assert probe.array_bytes("memory", of(64 << 20, 1 << 30)) == 256 << 20
    assert probe.array_bytes("l3", of(64 << 20, 1 << 36)) == 16 << 20


@pytest.mark.parametrize("pattern", ["read", "triad"])
def test_streams_move_bytes(pattern: probe.Pattern) -> None:
    found = probe.stream(pattern, "l3", 2, 4 << 20, 0.01)
    assert 0 < found.gb_s_low <= found.gb_s <= found.gb_s_high
    assert (found.pattern, found.place, found.threads, found.array_bytes) == (pattern, "l3", 2, 4 << 20)


def test_the_triad_computes() -> None:
    """Every element, over more chunks than one and a rest."""
    work = probe._triad(24 * (2 * probe.CHUNK + 5))
    work()
    assert work.__closure__
    arrays = [cell.cell_contents for cell in work.__closure__ if isinstance(cell.cell_contents, np.ndarray)]
    assert sorted({float(value) for array in arrays for value in array}) == [1.0, 2.0, 7.0]


def test_blas_multiplies_and_its_threads_are_an_environment() -> None:
    found = probe.blas(1, 64, 0.01)
    assert (found.type, found.engine, found.rows, found.threads) == ("f32", "blas", 64, 1)
    assert 0 < found.gflops_low <= found.gflops <= found.gflops_high
    assert found.gflops / found.weights_gb_s == pytest.approx(2 * 64**3 / (64 * 64 * 4))
    assert probe.blas_threads(2)["OPENBLAS_NUM_THREADS"] == "2"
