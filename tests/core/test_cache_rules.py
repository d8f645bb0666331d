"""What a prompt cache charges, by the price book's row."""

import pytest

from jevons.core.cache_rules import CacheRates, CacheRules, Style, Ttl, rates
from jevons.core.price import Price, PriceTier

RULES = CacheRules(
    Style.EXPLICIT, (Ttl("5m", 300, "cache_write_5m"), Ttl("1h", 3_600, "cache_write_1h")), min_tokens=1_024, breakpoints_max=4
)
NUMS = {"input": 3_000, "cache_read": 300, "cache_write_5m": 3_750, "cache_write_1h": 6_000, "output": 15_000}


def price(**changed: int) -> Price:
    dear = {kind: 2 * num for kind, num in NUMS.items()}
    return Price("row", "book", 7, (PriceTier(-1, {**NUMS, **changed}), PriceTier(200_000, dear)))


def test_rates_are_those_of_the_requests_size():
    assert rates(RULES, price(), 1_000) == CacheRates(7, 3_000, 300, (3_750, 6_000))
    assert rates(RULES, price(), 200_001) == CacheRates(7, 6_000, 600, (7_500, 12_000))


def test_without_a_rate_there_are_none():
    no_read = Price("row", "book", 1, (PriceTier(-1, {"input": 3_000, "cache_write_5m": 3_750, "cache_write_1h": 6_000}),))
    assert rates(RULES, no_read, 1_000) is None


@pytest.mark.parametrize(
    "broken",
    [
        {"style": Style.EXPLICIT, "breakpoints_max": 4},
        {"style": Style.EXPLICIT, "ttls": RULES.ttls},
        {"style": Style.AUTOMATIC, "ttls": RULES.ttls},
        {"style": Style.EXPLICIT, "ttls": RULES.ttls[::-1], "breakpoints_max": 4},
        {"style": Style.NONE, "step_tokens": 0},
    ],
)
def test_rules_that_no_cache_can_have(broken: dict[str, object]):
    with pytest.raises(AssertionError):
        CacheRules(**broken)  # type: ignore[arg-type]
