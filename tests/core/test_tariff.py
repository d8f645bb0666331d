"""Which of a model's rates a row of the price book stands for."""

import pytest

from jevons.core.price import Price, PriceTier, tariff_of

PLAIN = (PriceTier(-1, {"input": 1}),)
LONG = (PriceTier(-1, {"input": 1}), PriceTier(200_000, {"input": 2}))


@pytest.mark.parametrize(
    ("row", "tariff"),
    [
        ("openai/gpt-4o", ""),
        ("anthropic/claude-sonnet-4-5@2025-09-29", ""),
        ("anthropic/claude-3-opus@20240229", ""),
        ("deepseek/deepseek-chat@16:30-00:30Z", "16:30-00:30Z"),
        ("deepseek/deepseek-chat@2025-02-0916:30-00:30Z", "16:30-00:30Z"),
        ("openai/gpt-5?service_tier=flex", "service_tier=flex"),
        ("openai/gpt-5@2025-08-07?processing=batch?speed=fast+prices.toml#2", "processing=batch,speed=fast"),
        ("openai/gpt-5+prices.toml#1", ""),
        ("free", ""),
        ("", ""),
    ],
)
def test_the_label_of_a_row_says_its_tariff(row: str, tariff: str) -> None:
    assert tariff_of(Price(row, "", 1, PLAIN), 300_000) == tariff


def test_a_long_input_is_a_tariff_of_its_own() -> None:
    row = Price("openai/gpt-5?service_tier=flex", "", 1, LONG)
    assert tariff_of(row, 200_000) == "service_tier=flex"
    assert tariff_of(row, 200_001) == "service_tier=flex,>200000"
    assert tariff_of(Price("openai/gpt-5", "", 1, LONG), 200_001) == ">200000"
