"""What the prompt caches do: every row fits models of the price book, and what is written wrong is said with its row."""

import time
from typing import Any

import pytest

from jevons.core.cache_rules import Style, rates
from jevons.core.price import charge, worst_case
from jevons.core.usage import Usage
from jevons.meter.pricebook import PriceBook
from jevons.meter.prompt_rules import NO_CACHE, BadRules, Row, prompt_cache, prompt_rules, read_rows, rows

PRICED_ELSEWHERE = ("audio", "image", "realtime", "tts", "live", "embed", "discovery", "research", "robotics", "safeguard")
"""Models with a cheaper rate for reads that no conversation is held with."""


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_every_row_decides_for_models_of_the_price_book(row: Row, book: PriceBook) -> None:
    models = [model.id for model in book.models(row.provider)]
    assert any(prompt_cache(row.provider, model).name == row.name for model in models)
    assert row.source


@pytest.mark.parametrize(("provider", "model", "name", "min_tokens"), [
    ("anthropic", "claude-opus-5-5", "Claude 5 (Opus, Fable, Mythos) and later", 512),
    ("anthropic", "claude-opus-4-7", "Claude Opus 4.7", 2048),
    ("anthropic", "claude-opus-4-5-20251101", "Claude Opus 4.5 and 4.6, Haiku 4.5 and later", 4096),
    ("anthropic", "claude-haiku-4-5", "Claude Opus 4.5 and 4.6, Haiku 4.5 and later", 4096),
    ("anthropic", "claude-3-5-haiku-latest", "Claude Haiku 3 and 3.5", 2048),
    ("anthropic", "claude-sonnet-4-5-20250929", "Claude, all others", 1024),
    ("anthropic", "anthropic/Claude-Sonnet-5", "Claude, all others", 1024),
    ("openai", "gpt-5.6-luna", "GPT-5.6 and later", 1024),
    ("openai", "gpt-6.1-sol", "GPT-5.6 and later", 1024),
    ("openai", "gpt-5.5", "OpenAI, GPT-4o to GPT-5.5", 1024),
    ("openai", "gpt-4o-mini", "OpenAI, GPT-4o to GPT-5.5", 1024),
    ("openai", "gpt-5.4-pro", "OpenAI models that read no cache", 0),
    ("azure", "o4-mini", "Azure OpenAI", 1024),
    ("google", "gemini-3.1-pro-preview", "Gemini 3 and later", 4096),
    ("deepseek", "deepseek-v4-pro", "DeepSeek", 64),
])  # fmt: skip
def test_names_find_their_row(provider: str, model: str, name: str, min_tokens: int) -> None:
    found = prompt_cache(provider, model)
    assert (found.name, found.rules.min_tokens) == (name, min_tokens)


def test_what_no_row_names_has_no_cache() -> None:
    assert prompt_cache("my-own-host", "gpt-4o") is NO_CACHE
    assert prompt_rules("local", "local").style is Style.NONE


def test_a_model_with_a_rate_for_reads_has_a_row_that_caches(book: PriceBook) -> None:
    """Of the providers that the file knows: no model is forgotten."""
    now_ms = int(time.time() * 1000)
    for provider in ("anthropic", "openai", "deepseek", "x-ai", "mistral", "moonshotai", "groq"):
        for model in book.models(provider):
            price = book.price(provider, model.id, now_ms)
            nums = price.tiers[0].nums if price is not None else {}
            if nums.get("cache_read", 0) < nums.get("input", 0) and not any(word in model.id for word in PRICED_ELSEWHERE):
                assert prompt_rules(provider, model.id).style is not Style.NONE, f"{provider}/{model.id}"


def test_every_lifetime_has_a_rate_in_the_price_book(book: PriceBook) -> None:
    now_ms = int(time.time() * 1000)
    for row in rows():
        for model in book.models(row.provider):
            rules, price = prompt_rules(row.provider, model.id), book.price(row.provider, model.id, now_ms)
            if rules.style is not Style.NONE and price is not None and "input" in price.tiers[0].nums:
                assert rates(rules, price, 1000) is not None, f"{row.provider}/{model.id}"


GOOD = """
[[row]]
name = "ours"
provider = "p"
match = ["m*"]
style = "explicit"
marker = "cache_control"
ttls = [["5m", 300, "cache_write_5m"]]
breakpoints_max = 4
source = "a page"
"""


def test_a_row_becomes_rules() -> None:
    [(row, cache)] = read_rows(GOOD)
    assert (row.provider, cache.marker) == ("p", "cache_control")
    assert [ttl.seconds for ttl in cache.rules.ttls] == [300]


@pytest.mark.parametrize(("wrong", "instead", "said"), [
    ('match = ["m*"]', "match = []", "fits no model"),
    ('match = ["m*"]', 'match = ["M*"]', "capitals"),
    ('ttls = [["5m", 300, "cache_write_5m"]]', "", "ttls must be given"),
    ('marker = "cache_control"', "", "marker belongs to style explicit"),
    ("breakpoints_max = 4", "", "breakpoints_max belongs"),
    ("300", "0", "whole seconds"),
    ('"cache_write_5m"', '"output"', "Invalid enum value"),
    ('style = "explicit"', 'style = "sometimes"', "Invalid enum value"),
    ('source = "a page"', "", "missing required field `source`"),
    ("breakpoints_max = 4", "breakpoints_max = 4\nhidden = 1", "unknown field `hidden`"),
    ("breakpoints_max = 4", "breakpoints_max = 4\nstep_tokens = 0", "step_tokens 0"),
    ("[[row]]", "[[row]", "not valid TOML"),
])  # fmt: skip
def test_a_wrong_row_is_said_with_its_number_and_name(wrong: str, instead: str, said: str) -> None:
    with pytest.raises(BadRules, match=r"prompt_cache\.toml") as error:
        read_rows(GOOD.replace(wrong, instead))
    assert said in str(error.value)
    assert "TOML" in said or "row 1 ('ours')" in str(error.value)


@pytest.mark.parametrize(("more", "said"), [
    ('style = "automatic"', "by_itself"),
    ('style = "automatic"\nby_itself = true\nttls = [["5m", 300, "cache_write_5m"]]', "no write can be chosen"),
])  # fmt: skip
def test_what_caches_by_itself_takes_no_choice(more: str, said: str) -> None:
    ttls = "" if "ttls" in more else 'ttls = [["5m", 300, "input"]]\n'
    with pytest.raises(BadRules, match=said):
        read_rows(f'[[row]]\nname = "n"\nprovider = "p"\nmatch = ["m"]\nsource = "s"\n{ttls}{more}\n')


def test_no_marks_make_a_post_above_its_hold(book: PriceBook) -> None:
    """However a prompt is marked, its tokens are plain, read, or written for one of the model's lifetimes: the hold covers the dearest."""
    now_ms = int(time.time() * 1000)
    for provider, model in {(row.provider, model.id) for row in rows() for model in book.models(row.provider)}:
        rules, price = prompt_rules(provider, model), book.dearest(provider, model, now_ms)
        if rules.style is Style.NONE or price is None or "output" not in price.tiers[0].nums:
            continue
        kinds = ["input", "cache_read", *(ttl.kind for ttl in rules.ttls)]
        for tokens in (1_000, 200_001, 272_001):
            held = worst_case(price, tokens, 500)
            for most in kinds:
                counts: Any = {"input": 7} | {most: tokens - 7}
                usage = Usage(**counts, output=500)
                assert charge(usage, price).nusd <= held, f"{provider}/{model}, {tokens} tokens as {most}"
