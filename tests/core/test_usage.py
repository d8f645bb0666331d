"""Counts are disjoint and never negative."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.usage import INPUT_MODALITIES, TOKEN_KINDS, Usage

counts = st.integers(0, 2**40)
others = st.lists(st.tuples(st.sampled_from([*sorted(INPUT_MODALITIES), "output_audio", "web_searches"]), counts), max_size=4)


@given(st.fixed_dictionaries(dict.fromkeys(TOKEN_KINDS, counts)), others)
def test_counts_name_every_kind_once_and_leave_out_zeros(tokens: dict[str, int], other: list[tuple[str, int]]) -> None:
    usage = Usage(**tokens, other=tuple(other))
    assert usage.counts() == [(k, tokens[k]) for k in TOKEN_KINDS if tokens[k]] + [pair for pair in other if pair[1]]
    modalities = sum(n for kind, n in other if kind in INPUT_MODALITIES)
    assert usage.input_total == sum(tokens.values()) - tokens["output"] + modalities


@pytest.mark.parametrize("kind", [*TOKEN_KINDS, "reasoning"])
def test_a_negative_count_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="negative token count"):
        Usage(**{kind: -1})


def test_a_negative_count_of_a_rare_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="negative token count"):
        Usage(other=(("web_searches", 2), ("input_audio", -1)))


def test_reasoning_is_part_of_output() -> None:
    assert Usage(output=5, reasoning=5).counts() == [("output", 5)]
    with pytest.raises(ValueError, match="more reasoning than output"):
        Usage(output=5, reasoning=6)
