"""Five levers from one way of serving to another: all corners by physics, factors that multiply, dollars that sum, what cannot be is named."""

import json
from dataclasses import replace
from math import prod
from xml.etree import ElementTree

import pytest

from jevons.economics.shapley import subsets
from jevons.economics.unitcost.efficiency import shipped
from jevons.economics.unitcost.errors import DoesNotFit, UnitCostError, UnknownFact
from jevons.economics.unitcost.hardware import part, parts
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.placing import Model, place
from jevons.economics.unitcost.serving import Load
from jevons.economics.unitcost.synergy import (
    BATCH,
    FROM,
    HARDWARE,
    LEVERS,
    PRECISION,
    SPARSITY,
    TO,
    Synergy,
    Task,
    end_of,
    picture,
    quality,
    scores,
    synergy,
)
from jevons.economics.unitcost.synergy_picture import LEGEND, spread, times
from jevons.economics.unitcost.weights import cache_precision, precision


def between(start: str, end: str, task: Task | None = None, cached: float = 0.8, batch: int = 8) -> Synergy:
    among = parts()
    return synergy(end_of(start, among, 0.0, batch), end_of(end, among, cached, None), task or Task(), shipped())


@pytest.fixture(scope="module")
def found() -> Synergy:
    return between(FROM, TO)


def test_every_corner_is_priced_by_what_it_takes_of_both_ends(found: Synergy) -> None:
    assert list(found.corners) == subsets(LEVERS)
    for levers, corner in found.corners.items():
        assert corner.placed.on.part.name == ("B200-SXM-180GB" if HARDWARE in levers else "A100-SXM-80GB")
        assert corner.placed.model.arch.name == ("gpt-oss-120b" if SPARSITY in levers else "llama-3.1-70b")
        assert corner.placed.model.precision.name == ("nvfp4" if PRECISION in levers else "bf16")
        assert corner.placed.speed.user_tok_s >= found.task.floor_tok_s
        assert corner.placed.load.prompt + corner.placed.load.cached == found.task.prompt
        assert BATCH in levers or corner.placed.speed.batch == 8
        hourly = (found.end if HARDWARE in levers else found.start).hourly.usd.mid
        assert corner.nusd == pytest.approx(hourly / 3600 / 0.7 / corner.placed.speed.device_tok_s * 1e15, rel=1e-6)


def test_each_model_has_its_own_bits(found: Synergy) -> None:
    """gpt-oss keeps attention in 16 bits; a dense model quantised in 4 does not."""
    dense, mixture = (found.corners[frozenset(levers)].placed.model for levers in ((PRECISION,), (PRECISION, SPARSITY)))
    assert (dense.precision.bits["dense"], mixture.precision.bits["attention"]) == (4.5, 16)


def test_factors_multiply_to_the_whole_and_dollars_sum_to_the_fall(found: Synergy) -> None:
    whole = found.cost() / found.cost(*LEVERS)
    assert found.whole.mid == pytest.approx(whole) and whole > 10
    assert prod(factor.mid for factor in found.factors.values()) == pytest.approx(whole)
    document = found.document()
    assert prod(row["own_factor"] for row in document["levers"]) * prod(
        row["factor"] for row in document["pairs"]
    ) == pytest.approx(whole)
    assert sum(found.shares_nusd.values()) == found.cost() - found.cost(*LEVERS)
    assert all(factor.low <= factor.mid <= factor.high for factor in (found.whole, *found.factors.values()))
    assert all(cost.low < cost.mid < cost.high for cost in found.costs)
    assert (found.costs[0].mid, found.costs[1].mid) == (found.cost(), found.cost(*LEVERS))


def test_what_is_the_same_at_both_ends_has_no_width() -> None:
    alike = between(FROM, FROM)
    assert all(alike.factors[lever] == (1.0, 1.0, 1.0) for lever in (HARDWARE, PRECISION, SPARSITY))
    assert alike.factors[BATCH].low > 1
    assert quality(*alike.models) == "One model at both ends: what fewer bits lose of its quality is in docs/quantisation.md."


def test_a_part_without_neighbours_is_too_slow_before_its_link_is_missing() -> None:
    alone, model = replace(part("H100-SXM-80GB"), link_gb_s=None), known("llama-3.1-8b")
    asked = Model(model, precision("bf16", model), cache_precision("bf16")), alone, Load(prompt=100, output=100)
    assert place(*asked, shipped(), 20.0).on.devices == 1
    with pytest.raises(UnitCostError, match="cannot be met"):
        place(*asked, shipped(), 2_000.0)
    large = known("llama-3.1-70b")
    with pytest.raises(UnknownFact, match="link bandwidth"):
        place(Model(large, precision("bf16", large), cache_precision("bf16")), alone, asked[2], shipped(), 20.0)


def test_a_mixture_of_experts_pays_by_being_batched(found: Synergy) -> None:
    """Few requests choose different experts and read nearly as much; many share them."""
    pairs = found.split.pairs
    assert min(pairs, key=lambda pair: pairs[pair]) == (SPARSITY, BATCH)


def test_the_same_draws_again(found: Synergy) -> None:
    assert json.dumps(between(FROM, TO).document()) == json.dumps(found.document())


def test_nothing_changes_nothing() -> None:
    still = synergy(*[end_of(FROM, parts(), 0.5, 16)] * 2, Task(2_048, 256, 5.0), shipped())
    assert set(still.shares_nusd.values()) == {0}
    assert all(factor.mid == 1 for factor in still.factors.values())
    assert ElementTree.fromstring(picture(still)) is not None


def test_what_a_part_cannot_multiply_in_is_read_narrow_and_multiplied_wide() -> None:
    """4 bits on an A100: half-precision products, a quarter of the reading."""
    arch, a100, load = known("llama-3.1-70b"), part("A100-SXM-80GB"), Load(prompt=2_048, output=256, batch=8.0)
    wide, narrow = (
        place(Model(arch, precision(bits, arch), cache_precision("bf16")), a100, load, shipped(), 0.0, (8,)).speed
        for bits in ("bf16", "nvfp4")
    )
    assert narrow.prefill_tok_s == pytest.approx(wide.prefill_tok_s, rel=0.15)
    assert narrow.decode_tok_s > 1.3 * wide.decode_tok_s


@pytest.mark.parametrize(
    ("start", "task", "kind", "says"),
    [
        ("deepseek-v3:bf16:A100-SXM-80GB", Task(), DoesNotFit, "none of the levers pulled.*weights take"),
        (FROM, Task(floor_tok_s=2_000.0), UnitCostError, "2000 tokens/s for each user cannot be met"),
    ],
)
def test_a_corner_that_cannot_be_is_named(start: str, task: Task, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=f"(?s)^With .*{says}"):
        between(start, TO, task)


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("llama-3.1-70b:A100", UnitCostError, "write MODEL:PRECISION:PART"),
        ("llama-3.1-70b:bf16:A100-SXM-80GB:cheap", UnitCostError, "no price of an hour"),
        ("llama-3.1-70b:bf16:A100-SXM-80GB:0", UnitCostError, "low ≤ typical"),
        ("llama-3.1-70b:bf16:A101", UnknownFact, "no part"),
        ("llama-9:bf16:A100-SXM-80GB", UnknownFact, "llama-9"),
        ("llama-3.1-70b:bf17:A100-SXM-80GB", UnknownFact, "bf17"),
        ("llama-3.1-70b:bf16:Rubin VR200-NVL72", UnknownFact, "no rent"),
    ],
)
def test_a_way_that_is_not_understood_says_how_to_write_it(text: str, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        end_of(text, parts(), 0.0, None)
    assert end_of("llama-3.1-70b:bf16:A100-SXM-80GB:1.5", parts(), 0.0, 8).hourly.usd.mid == 1.5


def test_quality_is_told_where_both_have_a_score() -> None:
    assert scores("llama-3.1-70b", "gpt-oss-120b")["GPQA Diamond"] == {"llama-3.1-70b": 0.4419, "gpt-oss-120b": 0.7576}
    assert "GPQA Diamond 0.442 and 0.758" in quality("llama-3.1-70b", "gpt-oss-120b")
    assert "no benchmark has scores of both" in quality("llama-3.1-70b", "nobody")


def test_the_picture_says_what_the_figures_say(found: Synergy) -> None:
    svg = ElementTree.fromstring(picture(found))
    text = " ".join("".join(element.itertext()) for element in svg.iter() if element.tag.endswith(("text", "desc")))
    for lever in LEVERS:
        assert times(found.split.values[lever]) in text and times(found.split.own[lever]) in text
    assert all(times(value) in text for value in found.split.pairs.values())
    assert "Quality is not held equal" in text
    assert LEGEND in text and spread(1.5, 20.0) == "1.50 to 20.0" and spread(0.5, 2.5) == "× 2.00 to ÷ 2.50"
    assert (times(-0.6931471805599453), times(0.0953101798043249), times(-6.0)) == ("÷ 2.00", "× 1.10", "÷ 403")
