"""The catalogue: every figure has a source, names are found as people write them, what is unknown is said to who can give it."""

from pathlib import Path

import pytest

from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.economics.unitcost.hardware import find, part, parts, plain, sources
from jevons.economics.unitcost.part import FIGURES, Part

MEASURED = {
    "NVIDIA H100-SXM-80GB": "H100-SXM-80GB",
    "NVIDIA H100 (ML.ENERGY)": "H100-SXM-80GB",
    "NVIDIA H200-SXM-141GB": "H200-SXM-141GB",
    "NVIDIA B200-SXM-180GB": "B200-SXM-180GB",
    "NVIDIA B200-SXM-180GB (preview)": "B200-SXM-180GB",
    "NVIDIA GB200": "GB200-NVL72 (per GPU)",
    "NVIDIA GH200-144GB": "GH200-144GB",
    "NVIDIA H800": "H800-SXM-80GB",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": "RTX-PRO-6000-Blackwell-Server",
    "amd instinct mi300x": "MI300X",
    "AMD Instinct MI325X 256GB HBM3E": "MI325X",
    "NVIDIA GB300-288GB_aarch64": "GB300-NVL72 (per GPU)",
    "NVIDIA B300-SXM-270GB": "B300-SXM",
    "NVIDIA GH200 Grace Hopper Superchip 144GB": "GH200-144GB",
    "INTEL(R) XEON(R) 6787P": "Xeon 6787P",
    "Google TPU v6e": "TPU v6e (Trillium)",
    "2-vCPU x86 server (AMX-capable Xeon)": "2-vCPU x86 server (AMX-capable Xeon)",
}
"""As published tables of measurements and people write them."""


@pytest.mark.parametrize(("written", "name"), MEASURED.items())
def test_names_as_they_are_written(written: str, name: str) -> None:
    assert part(written).name == name


@pytest.mark.parametrize("found", parts(), ids=lambda found: found.name)
def test_every_figure_has_a_source_that_is_explained(found: Part) -> None:
    known = [figure for figure in FIGURES if getattr(found, figure) is not None]
    assert known
    said = [found.source(figure) for figure in known] + [dispute.source for dispute in found.disputes]
    codes = {code.strip() for text in said for code in text.partition(":")[0].split(",")}
    assert codes <= sources().keys(), codes - sources().keys()
    assert found.sources.keys() <= {*FIGURES, "spec", "power", "price", "tco"}
    assert all(getattr(found, dispute.figure) not in (None, dispute.value) for dispute in found.disputes)
    assert (found.status == "announced") == bool(found.announced)


@pytest.mark.parametrize("found", parts(), ids=lambda found: found.name)
def test_figures_are_of_the_order_that_parts_have(found: Part) -> None:
    """A digit too many, a sparse rate, bits for bytes: what such tables suffer from."""
    if found.bf16_tflops and found.fp8_tflops:
        assert 0.99 <= found.fp8_tflops / found.bf16_tflops <= 4
    if found.fp4_tflops and found.fp8_tflops:
        assert 1 <= found.fp4_tflops / found.fp8_tflops <= 4
    if found.bf16_tflops and found.f32_tflops:
        assert found.f32_tflops < found.bf16_tflops
    if found.bf16_tflops and found.bandwidth_gb_s:
        assert 1 < found.ridge("bf16") < 1000
    quotes = [price for price in found.hourly() if price is not None]
    assert quotes == sorted(quotes)
    assert found.tdp_w is None or found.allin_kw is None or 1 < found.allin_kw * 1000 / found.tdp_w < 3


def test_units() -> None:
    h100 = part("H100")
    assert h100.flops("bf16") == h100.flops("f16") == 989e12
    assert h100.bandwidth() == 3.35e12
    assert h100.memory() == 80e9
    assert h100.link() == 450e9
    assert h100.ridge("fp8") == pytest.approx(590.7, abs=0.1)
    assert h100.hourly() == (1.90, 2.50, 6.88)
    assert h100.usd_per_pflop_hour("bf16") == pytest.approx(2.528, abs=0.001)
    assert h100.usd_per_tb_s_hour() == pytest.approx(0.746, abs=0.001)
    document = h100.as_dict()
    assert document["price_typical_nusd_h"] == 2_500_000_000
    assert document["fp4_tflops"] is None


def test_what_is_unknown_is_said_with_how_to_give_it() -> None:
    rubin = part("Rubin")
    assert rubin.status == "announced"
    with pytest.raises(UnknownFact, match=r"(?s)16-bit throughput of Rubin.*bf16_tflops.*hardware\.toml.*name = \"Rubin VR200"):
        rubin.flops("bf16")
    with pytest.raises(UnknownFact, match="typical rent of Rubin"):
        rubin.usd_per_tb_s_hour()
    with pytest.raises(UnknownFact, match="no throughput in 'int4'; there are f32"):
        rubin.flops("int4")


def test_a_part_of_another_size_is_another_part() -> None:
    with pytest.raises(UnknownFact, match="no part 'MI300X 64GB'"):
        part("MI300X 64GB")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownFact, match=r"no part 'H1000'; nearest: H100-SXM-80GB, [^,]+, [^,.]+\. `jevons hw list`"):
        part("H1000")
    with pytest.raises(UnknownFact, match="nearest:"):
        part("???")
    assert plain("NVIDIA  Tesla-V100 (SXM2)") == "v100"


@pytest.mark.parametrize("name", ["this-machine", "This machine", "here"])
def test_this_machine_before_it_was_measured(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownFact, match="not measured yet; run: jevons hw measure"):
        part(name, tmp_path)


def test_a_file_of_the_users_own_overrides_and_adds(tmp_path: Path) -> None:
    (tmp_path / "hardware.toml").write_text(
        '[[part]]\nname = "b200"\nbandwidth_gb_s = 7700\nprice_typical_usd_h = 3\nsource = "our contract"\n'
        '[[part]]\nname = "Abacus 3"\naliases = ["abacus"]\nvendor = "us"\nkind = "cpu"\nbandwidth_gb_s = 1\n'
    )
    mine, theirs = part("B200", tmp_path), part("B200")
    assert (mine.bandwidth_gb_s, mine.price_typical_usd_h, mine.tdp_w) == (7700, 3, theirs.tdp_w)
    assert (mine.source("bandwidth_gb_s"), mine.source("tdp_w")) == ("our contract", theirs.source("tdp_w"))
    assert mine.name == theirs.name
    added = find("ABACUS", parts(tmp_path))
    assert (added.bandwidth(), added.source("bandwidth_gb_s")) == (1e9, "stated in your hardware.toml")
    assert len(parts(tmp_path)) == len(parts()) + 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[part]]\nname = ", "is not TOML"),
        ("[part]\nname = 1", "two brackets"),
        ("speed = 1", "unknown key 'speed'"),
        ('[[part]]\nname = "x"\nvendor = "x"\nkind = "gpu"\naliases = ["H100"]', "would be both"),
        ("[[part]]\nbandwidth_gb_s = 1", "name is missing"),
        ('[[part]]\nname = "new"\nvendor = "x"', "kind = None; it may be gpu, consumer gpu"),
        ('[[part]]\nname = "new"\nkind = "gpu"', "vendor is missing"),
        ('[[part]]\nname = "H100-SXM-80GB"\nbandwith_gb_s = 1', "did you mean 'bandwidth_gb_s'"),
        ('[[part]]\nname = "H100-SXM-80GB"\ntdp_w = "700"', "not a positive number of W; leave out what is unknown"),
        ('[[part]]\nname = "H100-SXM-80GB"\ntdp_w = 0', "not a positive number"),
        ('[[part]]\nname = "H100-SXM-80GB"\ntdp_w = inf', "not a positive number"),
        ('[[part]]\nname = "H100-SXM-80GB"\nstatus = "soon"', "it may be available, announced"),
        ('[[part]]\nname = "H100-SXM-80GB"\naliases = "H1"', "write aliases ="),
        ('[[part]]\nname = "H100-SXM-80GB"\ndisputes = [{ figure = "tdp_w" }]', "write disputes ="),
        ('[[part]]\nname = "H100-SXM-80GB"\nsource = 1', "write source ="),
        ('[[part]]\nname = "H100-SXM-80GB"\nsources = "x"', "write source ="),
        ('[[part]]\nname = "H100-SXM-80GB"\ndisputes = [{ figure = "speed", value = 1, source = "x" }]', "write disputes ="),
        ('[[part]]\nname = "H100-SXM-80GB"\ndisputes = 3', "write disputes ="),
    ],
)  # fmt: skip
def test_a_bad_file_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "hardware.toml").write_text(text)
    with pytest.raises(UnitCostError) as error:
        parts(tmp_path)
    assert said in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "hardware.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UnitCostError, match="cannot be read"):
        parts(tmp_path)
