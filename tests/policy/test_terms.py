"""What a call was decided by comes back from its few bytes; an unknown version, or nothing, is nothing."""

import msgspec
import pytest

from jevons.core.price import Price, PriceTier
from jevons.policy.degrade import Turn
from jevons.policy.govern import Terms
from jevons.policy.terms import (
    VERSION,
    Asked,
    Sort,
    decode,
    encode,
    facts_of,
    terms_of,
    turn_number,
    with_answered,
    with_growth,
    with_warm,
)

PLAIN = Price("openai/m", "book", 1, (PriceTier(-1, {"input": 2, "output": 10}),))
BY_REQUEST = Price("openai/m", "book", 1, (PriceTier(-1, {"input": 2, "output": 10, "requests": 7}),))
FULL = Asked(
    provider="anthropic",
    context=(("service_tier", "flex"),),
    input_tokens=120_000,
    noted=90,
    output_max=64_000,
    output_cap=32_000,
    choices=2,
    thinking_budget=4_000,
    default_output_tokens=500,
    units=(("web_searches", 3),),
    billed=False,
    packing=700,
    followable=True,
    size_tokens=130_000,
    turn=2,
    conversation=4_000_000_000,
    facts=(1_200, 600, 2, 3, 310),
    loops=(1, 2, 3),
    told_cap=31_000,
)


@pytest.mark.parametrize("asked", [Asked(), FULL, Asked(sort=Sort.DOOR, fixed_nusd=10**12)])
def test_it_comes_back(asked: Asked) -> None:
    assert decode(encode(asked)) == asked


def test_it_is_small() -> None:
    """Most calls have neither units nor a context of their own."""
    assert len(encode(msgspec.structs.replace(FULL, context=(), units=(), billed=True))) < 100


@pytest.mark.parametrize("terms", [b"", b"\x00", b"\x91\xa1x", encode(Asked(version=VERSION + 1))])
def test_what_is_not_known_is_nothing(terms: bytes) -> None:
    assert decode(terms) is None
    assert with_growth(terms, 5, 100) == with_answered(terms, {"service_tier": "flex"}) == terms


def test_an_older_row_has_fewer_members() -> None:
    assert decode(msgspec.msgpack.encode([VERSION, Sort.CALL, "openai"])) == Asked(provider="openai")


def test_what_was_warm_is_added() -> None:
    assert decode(with_warm(encode(FULL), 1_800)) == msgspec.structs.replace(FULL, warm_tokens=1_800)
    assert with_warm(b"", 1_800) == b"", "nothing was recorded"


def test_growth_is_added_at_its_place() -> None:
    found = decode(with_growth(with_growth(encode(FULL), 5, 100), 9, 50))
    assert found is not None
    assert found.grown == ((5, 100), (9, 50))


def test_what_the_answer_told_is_added_if_it_is_news() -> None:
    same = encode(FULL)
    assert with_answered(same, {"service_tier": "flex"}) is same
    found = decode(with_answered(same, {}))
    assert found is not None
    assert found.answered == ()


@pytest.mark.parametrize("turn", [None, *Turn])
def test_where_the_conversation_stood(turn: Turn | None) -> None:
    assert Asked(turn=turn_number(turn)).stands is turn


def test_facts() -> None:
    """The note to the agent is no context of its own; without a run, and where nobody looked, there is nothing."""
    facts = facts_of(FULL)
    assert (facts.context_tokens, facts.thinking_budget) == (119_910, 4_000)
    assert (facts.seconds, facts.own_seconds, facts.depth, facts.ordinal, facts.growth_pct) == (1_200, 600, 2, 3, 310)
    assert (facts.repeats, facts.identical, facts.stalled_tokens) == (1, 2, 3)
    bare = facts_of(Asked(input_tokens=5))
    assert (bare.context_tokens, bare.seconds, bare.depth, bare.repeats) == (5, 0, 1, 0)


def test_terms() -> None:
    """A request that the provider bills as such is a unit more; a count of tokens weighs nothing."""
    found = terms_of(FULL, PLAIN, step=True, cap_max=100, expected_output=700)
    assert found == Terms(PLAIN, 120_000, 64_000, 32_000, 2, 4_000, 500, (("web_searches", 3),), False, True, 1, 100, 700)
    assert terms_of(FULL, BY_REQUEST, step=False).units == (("requests", 1), ("web_searches", 3))
    assert terms_of(Asked(sort=Sort.COUNT), PLAIN, step=True) == Terms(PLAIN, 0, 0, billed=False, step=False, calls=0)
