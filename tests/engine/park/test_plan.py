"""Budgets become bits: the frontier is the best there is by its sums, and a stated divergence or size is kept."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.engine.park.plan import AS_IS, CODE_BITS, Sensitivities, frontier, known, plan_for, tensor_bytes
from jevons.engine.park.states import Layout, Tensor

WIDTH = 192
LOSS = st.floats(1e-6, 1.0)


def layout_of(tensors: int) -> Layout:
    return Layout(1, (Tensor(1, 2 * WIDTH),) * tensors)


def sensitivities(kld: list[float], whole: tuple[tuple[float, float], ...] = ((1e-3, 2e-3), (0.1, 0.1))) -> Sensitivities:
    return Sensitivities("00" * 32, 64, 3, tuple(kld), whole)


@settings(max_examples=25)
@given(st.lists(LOSS, min_size=2, max_size=3))
def test_no_plan_is_better_than_the_frontiers_of_its_size(kld: list[float]) -> None:
    """Held against all plans there are."""
    layout, found = layout_of(len(kld)), sensitivities(kld)
    choices = list(itertools.product((*CODE_BITS, AS_IS), repeat=len(kld)))
    everything = [
        (sum(tensor_bytes(WIDTH, 64, bits) for bits in choice), sum(found.of(place, bits) for place, bits in enumerate(choice)))
        for choice in choices
    ]
    for plan, size, total in frontier(layout, found):
        assert size == pytest.approx(plan.bytes_per_token(layout))
        assert total == pytest.approx(sum(found.of(place, bits) for place, bits in enumerate(plan.bits)), abs=1e-9)
        assert total <= min(loss for other, loss in everything if other <= size + 1e-9) + 1e-9


def test_more_bits_go_where_coding_costs_more() -> None:
    plan = plan_for(layout_of(4), sensitivities([0.2, 0.003, 0.01, 0.0005]), bytes_per_token=320)
    assert plan.bits[0] > plan.bits[2] > plan.bits[3]
    assert plan.bytes_per_token(layout_of(4)) <= 320


@given(st.floats(1e-6, 2.0))
def test_a_stated_divergence_is_expected_to_be_kept_by_the_smallest_plan(kld_max: float) -> None:
    layout, found = layout_of(2), sensitivities([0.2, 0.03])
    plan = plan_for(layout, found, kld_max=kld_max)
    plans = list(frontier(layout, found))
    place = [other for other, _, _ in plans].index(plan)
    assert found.expected(plans[place][2]) <= kld_max
    assert place == 0 or found.expected(plans[place - 1][2]) > kld_max


def test_what_sums_are_off_by_is_part_of_what_is_expected() -> None:
    found = sensitivities([0.2, 0.03], whole=((0.01, 0.02), (0.1, 0.1)))
    assert [found.expected(total) for total in (0.0, 0.001, 0.01, 0.1, 1.0)] == pytest.approx([0, 0.002, 0.02, 0.1, 1.0])


def test_a_budget_below_the_fewest_bits_is_refused_with_the_least_there_is() -> None:
    with pytest.raises(ValueError, match="at the least"):
        plan_for(layout_of(2), sensitivities([0.2, 0.03]), bytes_per_token=20)


def test_a_layout_with_other_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="layers"):
        plan_for(layout_of(4), sensitivities([0.2, 0.03]), kld_max=0.1)


def test_sensitivities_are_read_as_they_were_written() -> None:
    found = sensitivities([0.25, 1e-5])
    assert Sensitivities.read(found.text) == found
    for text in ("", "kld = 3", found.text.replace("head", "tail"), "not toml"):
        with pytest.raises(ValueError, match=r".+"):
            Sensitivities.read(text)


def test_the_packaged_model_is_known_and_its_keys_get_more_bits() -> None:
    found = known("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
    assert found is not None
    plan = plan_for(layout_of(60), found, bytes_per_token=4.25 * 11_520 / 8)
    assert sum(plan.bits[:30]) > sum(plan.bits[30:])
    assert plan_for(layout_of(60), found, kld_max=0.02).bytes_per_token(layout_of(60)) < plan.bytes_per_token(layout_of(60))
    assert known("00" * 32) is None
