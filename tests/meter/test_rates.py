"""Filling in, scaling and comparing rates, apart from any book."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from jevons.core.price import charge
from jevons.core.usage import Usage
from jevons.meter.compiled import Unit
from jevons.meter.rates import Rates, dearest_of, filled, ladder, price_of, scaled

UNITS = {
    unit.kind: unit
    for unit in (
        Unit("input", 10**6, ()),
        Unit("output", 10**6, ()),
        Unit("cache_read", 10**6, ("input",)),
        Unit("cache_write", 10**6, ("input",)),
        Unit("cache_write_5m", 10**6, ("cache_write", "input")),
        Unit("cache_write_1h", 10**6, ("cache_write", "input")),
        Unit("input_audio", 10**6, ("input",)),
        Unit("cache_audio_read", 10**6, ("cache_read", "input_audio", "input")),
    )
}


def flat(**usd: str) -> Rates:
    return {kind: ladder(((-1, text),), 10**6) for kind, text in usd.items()}


def test_the_nearest_containing_kind_lends_its_rate() -> None:
    whole = filled(flat(input="1", cache_write="2", cache_write_1h="3"), UNITS)
    assert {kind: steps[0][1] for kind, steps in whole.items()} == {
        "input": 1_000,
        "cache_read": 1_000,
        "cache_write_5m": 2_000,
        "cache_write_1h": 3_000,
        "input_audio": 1_000,
        "cache_audio_read": 1_000,
    }
    assert "output" not in whole  # nothing contains it: unknown, not zero


def test_of_two_equally_near_kinds_the_dearer_lends() -> None:
    """Cached audio where only audio and cache reads have rates: an override may leave it open, and then nobody is undercharged."""
    assert filled(flat(input="1", cache_read="2", input_audio="3"), UNITS)["cache_audio_read"] == ((-1, 3_000),)
    assert filled(flat(input="1", cache_read="4", input_audio="3"), UNITS)["cache_audio_read"] == ((-1, 4_000),)


def test_scaling_is_exact() -> None:
    assert scaled(flat(input="0.1"), Fraction(1, 3))["input"] == ((-1, Fraction(100, 3)),)


decimals = st.decimals(0, 100, places=12).map(str)
ladders = st.tuples(decimals, st.lists(st.tuples(st.integers(0, 50), decimals), max_size=3, unique_by=lambda step: step[0])).map(
    lambda drawn: ladder(((-1, drawn[0]), *sorted(drawn[1])), 10**6)
)
tables = st.fixed_dictionaries({"input": ladders, "output": ladders}, optional={"cache_read": ladders})


@given(table=tables, inputs=st.integers(0, 60), output=st.integers(0, 60))
def test_a_price_charges_what_its_rates_say(table: Rates, inputs: int, output: int) -> None:
    def rate(kind: str) -> Fraction:
        return [r for above, r in table[kind] if inputs > above][-1]

    exact = inputs * rate("input") + output * rate("output")
    charged = charge(Usage(input=inputs, output=output), price_of(table, "row", "book"))
    assert charged.nusd == round(exact)  # Fraction rounds half-even


@given(tables=st.lists(tables, min_size=1, max_size=4), inputs=st.integers(0, 60), output=st.integers(0, 60))
def test_the_dearest_is_no_cheaper_than_any(tables: list[Rates], inputs: int, output: int) -> None:
    prices = [price_of(table, f"row {n}", "book") for n, table in enumerate(tables)]
    dearest = dearest_of(prices)
    usage = Usage(input=inputs, output=output)
    assert charge(usage, dearest).nusd >= max(charge(usage, price).nusd for price in prices)
    assert dearest.row == "row 0"
    assert len(prices) > 1 or dearest is prices[0]
