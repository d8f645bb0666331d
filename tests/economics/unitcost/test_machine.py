"""This machine: kept, read again, a part beside the others; and what it is and how fast, measured in a moment."""

import stat
from pathlib import Path

import msgspec
import pytest

from jevons.economics.unitcost import machine
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.economics.unitcost.hardware import part, parts
from jevons.economics.unitcost.machine import Machine, Processor, Product, Stated, Stream


def product(kind: str, tokens: int, threads: int, gflops: float, *, blas: bool = False) -> Product:
    return Product(
        engine="blas" if blas else "ggml", type=kind, tokens=tokens, threads=threads, rows=2048, columns=2048, packed="CPU",
        gflops=gflops, gflops_low=gflops * 0.9, gflops_high=gflops * 1.1, weights_gb_s=1.0,
    )  # fmt: skip


def stream(threads: int, gb_s: float) -> Stream:
    return Stream(
        pattern="read", place="memory", threads=threads, array_bytes=2**28, gb_s=gb_s, gb_s_low=gb_s * 0.9, gb_s_high=gb_s * 1.1
    )


FOUND = Machine(
    measured_at="2026-11-22T18:00:00Z", quick=False, load=0.2, seconds=30.0,
    processor=Processor(name="AMD EPYC", cores=2, flags=("avx512f",), last_cache_bytes=2**25, memory_bytes=25_000_000_000),
    streams=(stream(1, 25.0), stream(2, 34.0)),
    products=(
        product("f32", 2048, 2, 190.0, blas=True), product("f32", 512, 2, 66.0), product("q8_0", 1, 1, 42.0),
        product("q8_0", 512, 2, 157.0), product("bf16", 512, 2, 133.0), product("q4_K", 512, 2, 130.0),
    ),
    watts=None, missing=("power: no counters",), stated=Stated(watts=65, machine_usd=800), versions={"numpy": "2"},
)  # fmt: skip


def test_it_is_kept_for_its_owner_only_and_read_again(tmp_path: Path) -> None:
    assert machine.load(tmp_path) is None
    file = FOUND.save(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert machine.measured(tmp_path) == FOUND


def test_it_is_a_part_once_it_is_measured(tmp_path: Path) -> None:
    with pytest.raises(UnknownFact, match="run: jevons hw measure"):
        part("this-machine", tmp_path)
    FOUND.save(tmp_path)
    here = part("this machine", tmp_path)
    assert len(parts(tmp_path)) == len(parts()) + 1
    assert (here.f32_tflops, here.bf16_tflops, here.int8_tops) == pytest.approx((0.190, 0.133, 0.157))
    assert (here.bandwidth(), here.memory()) == (34e9, 25e9)
    assert here.fp8_tflops is None
    assert here.price_typical_usd_h == pytest.approx(65 / 1000 * 0.15 + 800 / (4 * 8760))
    assert here.allin_kw == 0.065
    assert "measured here on 2026-11-22" in here.source("bandwidth_gb_s")
    assert here.source("price_typical_usd_h").startswith("stated: 65 W")
    assert here.source("allin_kw").startswith("stated")


def test_what_its_owner_knows_better_is_put_over_it(tmp_path: Path) -> None:
    FOUND.save(tmp_path)
    (tmp_path / "hardware.toml").write_text('[[part]]\nname = "this-machine"\nprice_typical_usd_h = 0.02\n')
    assert part("here", tmp_path).price_typical_usd_h == 0.02
    assert part("here", tmp_path).bandwidth() == 34e9
    (tmp_path / "machine.json").unlink()
    unmeasured = part("here", tmp_path)
    assert (unmeasured.price_typical_usd_h, unmeasured.kind) == (0.02, "cpu")
    assert "not measured yet" in unmeasured.note


def test_rates_by_type_tokens_and_threads() -> None:
    assert FOUND.threads == 2
    assert FOUND.stream().gb_s == 34.0
    assert FOUND.stream(threads=1).gb_s == 25.0
    assert FOUND.product("Q8_0", 1, 1).gflops == 42.0
    assert FOUND.product("f32", 512).engine == "ggml"
    assert FOUND.product("f32", 2048).engine == "blas"
    assert FOUND.peak("f32") == 190.0
    assert FOUND.peak("iq2_xs") is None
    with pytest.raises(UnknownFact, match=r"iq2_xs weights with 1 tokens and 2 threads .* q8_0 x 512\); run: jevons hw measure"):
        FOUND.product("iq2_xs")
    with pytest.raises(UnknownFact, match="read bandwidth of this machine's l3 with 2 threads was not measured"):
        FOUND.stream(place="l3")


def test_nothing_measured_and_damaged_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(UnknownFact, match="not measured yet; run: jevons hw measure"):
        machine.measured(tmp_path)
    (tmp_path / "machine.json").write_text('{"version": 1')
    with pytest.raises(UnitCostError, match=r"machine\.json cannot be used .* run: jevons hw measure"):
        machine.load(tmp_path)
    msgspec.structs.replace(FOUND, version=99).save(tmp_path)
    with pytest.raises(UnitCostError, match="of version 99"):
        machine.load(tmp_path)


def test_without_anything_measured_the_part_says_unknown() -> None:
    bare = msgspec.structs.replace(FOUND, streams=(), products=())
    assert bare.threads == 2
    with pytest.raises(UnknownFact, match="memory bandwidth of this-machine is not known"):
        bare.part().bandwidth()
    with pytest.raises(UnknownFact, match="f32 throughput"):
        bare.part().flops("f32")
