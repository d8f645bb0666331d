"""prices.toml: what each entry does to a price, and what a wrong entry says."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest

from jevons.core.money import NUSD_PER_USD
from jevons.core.price import Price, UnpricedKind, charge
from jevons.core.usage import Usage
from jevons.meter.overrides import BadOverride, load_overrides, override_line, parse_overrides, price_files
from jevons.meter.pricebook import PriceBook


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOON = ms("2026-11-21T12:00")
CONTEXT: Mapping[str, str] = {}
Priced = Callable[..., Price]


@pytest.fixture
def priced(book_path: Path) -> Priced:
    def resolve(text: str, model: str = "openai/gpt-4o", at_ms: int = NOON, context: Mapping[str, str] = CONTEXT) -> Price:
        provider, _, name = model.partition("/")
        price = PriceBook.load(book_path, parse_overrides(text, "prices.toml")).price(provider, name, at_ms, context)
        assert price is not None
        return price

    return resolve


def cost(price: Price, **counts: int) -> int:
    return charge(Usage(**counts), price).nusd


def entry(body: str, head: str = 'provider = "openai"\nmodel = "gpt-4o"') -> str:
    return f"[[price]]\n{head}\n{body}\n"


def test_rates_replace_what_they_state_and_leave_the_rest(priced: Priced) -> None:
    price = priced(entry('input = "2"'))
    assert cost(price, input=1_000) == 2_000_000
    assert cost(price, cache_read=1_000, output=1_000) == 1_250_000 + 10_000_000  # the book's
    assert price.row == "openai/gpt-4o+prices.toml#1"


@pytest.mark.parametrize("written", ['"0.0000001"', "0.0000001", "1e-7", '"$0.0000001"', '"1E-7"'])
def test_numbers_are_read_exactly(priced: Priced, written: str) -> None:
    price = priced(entry(f"input = {written}"))
    assert Fraction(price.tiers[0].nums["input"], price.den) == Fraction(1, 10_000)
    assert cost(price, input=5_000) == 0  # half a nano-dollar, to the even
    assert cost(price, input=15_000) == 2


def test_every_token_kind_and_unit_can_be_stated(priced: Priced) -> None:
    body = """
        input = 1
        cache_read = 2
        cache_write_5m = 3
        cache_write_1h = 4
        output = 5
        reasoning = 6
        input_audio = 7
        cache_audio_read = 8
        output_image = 9
        units = { web_searches = "0.01", input_document_pages = 0.002, requests = "0.001" }
    """
    price = priced(entry(body, 'provider = "acme"\nmodel = "new"'), "acme/new")
    usage = Usage(
        *(1_000, 1_000, 1_000, 1_000, 2_000, 1_000),
        other=(
            ("input_audio", 1_000),
            ("cache_audio_read", 1_000),
            ("output_image", 1_000),
            ("web_searches", 1),
            ("requests", 1),
        ),
    )
    # tokens: 1,000 x (1 + 2 + … + 9) x 1,000; a search 10,000,000; a request 1,000,000
    assert charge(usage, price).nusd == 45_000_000 + 10_000_000 + 1_000_000
    assert charge(Usage(other=(("input_annotated_document_pages", 1),)), price).nusd == 2_000_000  # a page of a kind


def test_tiers(priced: Priced) -> None:
    text = entry(
        'input = "1"\noutput = "4"\n[[price.tier]]\nabove = 100\ninput = "2"\n[[price.tier]]\nabove = 1_000\ninput = "3"'
    )
    price = priced(text)
    assert [cost(price, input=n, output=1) for n in (100, 101, 1_000, 1_001)] == [104_000, 206_000, 2_004_000, 3_007_000]


def test_a_flat_rate_replaces_all_tiers_of_its_kind(priced: Priced) -> None:
    price = priced(entry('input = "1"', 'model = "gemini-3.1-pro-preview"'), "google/gemini-3.1-pro-preview")
    assert cost(price, input=200_001) == 200_001_000
    assert cost(price, input=200_001, output=1) == 200_001_000 + 18_000


def test_a_discount_applies_to_everything_beneath(priced: Priced) -> None:
    text = entry('discount = "15%"', 'provider = "openai"')
    price = priced(text)
    # 2,500 x 0.85 = 2,125 · 10,000 x 0.85 = 8,500 · searches 10,000,000 x 0.85
    assert cost(price, input=1, output=1) == 2_125 + 8_500
    assert charge(Usage(other=(("web_searches", 1),)), price).nusd == 8_500_000
    assert cost(priced(text, context={"service_tier": "priority"}), input=1_000) == 3_612_500
    assert cost(priced(entry('input = "2"') + text), input=1) == 1_700
    assert cost(priced(text + entry('input = "2"')), input=1) == 2_000  # later entries win
    assert cost(priced(text + text), input=1_000) == 1_806_250  # 2,500 x 0.85 x 0.85 x 1,000
    assert cost(priced(entry('discount = "33.3 %"')), output=1) == 6_670


def test_free_is_stated(priced: Priced, book_path: Path) -> None:
    price = priced(entry("free = true", 'provider = "openai"\nmodel = "gpt-99"'), "openai/gpt-99")
    usage = Usage(1, 2, 3, 4, 5, 5, other=(("web_searches", 6), ("output_audio", 7), ("audio_seconds", 8)))
    assert charge(usage, price).nusd == 0
    discounted = PriceBook.load(book_path, parse_overrides(entry('discount = "99%"', 'model = "gpt-99"'), "prices.toml"))
    assert discounted.price("openai", "gpt-99", NOON) is None  # a share of the unknown is unknown


def test_dates_and_hours(priced: Priced) -> None:
    text = entry('from = 2026-11-10\nuntil = 2026-11-20T06:30:00+05:30\nhours = "16:30-00:30"\ninput = "1"')
    at = {
        "2026-11-09T23:59:59.999": 2_500,  # the day before
        "2026-11-10T00:00": 1_000,
        "2026-11-10T00:29:59.999": 1_000,
        "2026-11-10T00:30": 2_500,
        "2026-11-15T16:29:59.999": 2_500,
        "2026-11-15T16:30": 1_000,
        "2026-11-16T00:00": 1_000,
        "2026-11-20T00:29:59.999": 1_000,
        "2026-11-20T00:30": 2_500,
        "2026-11-20T17:00": 2_500,  # over since 01:00
    }
    assert {instant: cost(priced(text, at_ms=ms(instant)), input=1) for instant in at} == at
    local = entry('from = 2026-11-10T12:00:00\ninput = "1"')  # without an offset it is UTC
    assert [cost(priced(local, at_ms=ms("2026-11-10T12:00") + d), input=1) for d in (-1, 0)] == [2_500, 1_000]


def test_context(priced: Priced) -> None:
    text = entry('when = { service_tier = "flex", region = "eu" }\ninput = "1"')
    assert cost(priced(text, context={"service_tier": "flex"}), input=1) == 2_500
    assert cost(priced(text, context={"service_tier": "flex", "region": "eu"}), input=1) == 1_000


def test_names_and_patterns(priced: Priced) -> None:
    def of(head: str, model: str) -> int:
        return cost(priced(entry('input = "1"\noutput = "1"', head), model), input=1)

    assert of('model = "gpt-4o*"', "openai/gpt-4o-mini") == 1_000
    assert of('model = "gpt-4o"', "openai/gpt-4o-2024-08-06") == 1_000  # the id in the book
    assert of('model = "GPT-4o-2024-08-06"', "openai/gpt-4o-2024-08-06") == 1_000  # the name as asked
    assert of('model = "gpt-4o-2024-08-06"', "openai/gpt-4o") == 2_500
    assert of('provider = "azure"', "azure/gpt-4o") == 1_000
    assert of('provider = "openai"', "azure/gpt-4o") == 1_000  # azure resells OpenAI's row
    assert of('provider = "google"', "vertex/gemini-2.5-pro") == 1_000  # vertex means google
    assert of('provider = "az*"', "openai/gpt-4o") == 2_500
    assert of("", "openai/gpt-4o") == 1_000
    assert of('model = "composer-2.5[fast=true]"', "cursor/composer-2.5[fast=true]") == 1_000  # looks like a pattern


def test_the_users_file_comes_after_the_packaged_one(tmp_path: Path, book_path: Path) -> None:
    packaged = load_overrides(price_files())
    assert [o.source for o in packaged] == ["local_prices.toml#1", "local_prices.toml#2"]
    assert load_overrides(price_files(tmp_path)) == packaged
    (tmp_path / "prices.toml").write_text('[[price]]\nprovider = "local"\nmodel = "*"\ninput = "0.1"\n')
    both = load_overrides(price_files(tmp_path))
    assert [o.source for o in both] == ["local_prices.toml#1", "local_prices.toml#2", "prices.toml#1"]
    price = PriceBook.load(book_path, both).price("local", "smollm2", NOON)
    assert price is not None
    assert cost(price, input=1_000, output=1_000) == 100_000 + 515_000
    (tmp_path / "prices.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadOverride, match=r"prices\.toml cannot be read"):
        load_overrides(price_files(tmp_path))


def test_the_local_rate_follows_from_its_assumptions() -> None:
    """The formula in data/local_prices.toml, with the numbers of its own comment."""
    text = Path(load_overrides.__code__.co_filename).with_name("data").joinpath("local_prices.toml").read_text("utf-8")
    stated = {}
    for line in text.splitlines():
        words = line.removeprefix("#").split()
        if len(words) > 1 and words[0].replace("_", "").isalpha() and words[1].replace(".", "").isdigit():
            stated[words[0]] = Fraction(words[1])
    second = stated["watts"] / 1000 * stated["usd_per_kwh"] / 3600
    second += stated["machine_usd"] / (stated["years"] * 31_536_000 * stated["utilisation"])
    local, student = load_overrides(price_files())
    assert abs(student.rates["requests"][0][1] / (second * stated["student_ms"] / 1000 * NUSD_PER_USD) - 1) < Fraction(1, 400)
    for kind in ("input", "output", "cache_read"):
        exact = second * 10**6 / stated[f"{kind}_per_s"]
        rate = local.rates[kind][0][1] / 1_000  # nano-dollars per token -> dollars per million
        assert abs(rate / exact - 1) < Fraction(1, 400), kind


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[price]\n", r"prices\.toml is not TOML"),
        ("price = 3", r"write \[\[price\]\] with two brackets"),
        ("[price]\ninput = 1", r"write \[\[price\]\] with two brackets"),
        ("prices = 3", r"unknown key 'prices'"),
        (entry('inputs = "2"'), r"\[\[price\]\] number 1 \(openai/gpt-4o\): unknown key 'inputs'; did you mean 'input'"),
        (entry('zzzz = "2"'), r"unknown key 'zzzz'; it may be: provider, model"),
        (entry("units = { web_search = 1 }"), "did you mean 'web_searches'"),
        (entry("units = 1"), r"write units = \{ web_searches"),
        (entry(""), "state exactly one of"),
        (entry("free = false"), "state exactly one of"),
        (entry('free = true\ninput = "1"'), "state exactly one of"),
        (entry('discount = "5%"\ninput = "1"'), "state exactly one of"),
        (entry("free = 1"), "write free = true"),
        (entry('input = "?"'), r"input = '\?' is not a price; write dollars such as input = \"2\.50\""),
        (entry("input = -1"), "is not a price"),
        (entry("input = true"), "is not a price"),
        (entry("input = inf"), "is not a price"),
        (entry("input = [1]"), "is not a price"),
        (entry('input = "1e999999"'), "is not a price"),
        (entry('input = "1e-999999"'), "is not a price"),
        (entry('discount = "15"'), r"write a percentage between 0 and 100"),
        (entry('discount = "100%"'), r"write a percentage between 0 and 100"),
        (entry('discount = "x%"'), "discount = 'x' is not a price"),
        (entry("discount = 0.15"), "discount = Decimal"),
        (entry('from = "2026-01-01"\ninput = 1'), "from = '2026-01-01' is not a date; write from = 2026-01-01, without quotes"),
        (entry("until = 12:00:00\ninput = 1"), "is not a date"),
        (entry("from = 2026-01-02\nuntil = 2026-01-02\ninput = 1"), "until must be later than from"),
        (entry('hours = "9-17"\ninput = 1'), "write two different times of the UTC day"),
        (entry('hours = "09:00-09:00"\ninput = 1'), "write two different times"),
        (entry('hours = "24:00-09:00"\ninput = 1'), "write two different times"),
        (entry("hours = 9\ninput = 1"), "write two different times"),
        (entry("when = { service_tier = 1 }\ninput = 1"), "write when ="),
        (entry('when = "flex"\ninput = 1'), "write when ="),
        (entry("tier = 1\ninput = 1"), r"write a tier as a table of its own: \[\[price\.tier\]\]"),
        (entry("input = 1\n[[price.tier]]\ninput = 2"), "a tier needs above = a number of input tokens"),
        (entry("input = 1\n[[price.tier]]\nabove = true"), "it has True"),
        (entry("input = 1\n[[price.tier]]\nabove = 5\n[[price.tier]]\nabove = 5"), "larger than the tier before; it has 5"),
        (entry("input = 1\n[[price.tier]]\nabove = 5\noutput = 2"), "output has a rate above 5 tokens but none below"),
        (entry("input = 1\n[[price.tier]]\nabove = 5\nunits = 2"), "unknown key 'units'"),
        (entry("input = 1", "provider = 3"), "provider = 3 is not a name"),
        (entry("input = 1", 'model = " "'), "is not a name"),
        (entry("input = 1") + entry("input = -1", ""), r"prices\.toml, \[\[price\]\] number 2: input"),
    ],
)
def test_a_wrong_entry_says_where_and_what_to_write(text: str, says: str) -> None:
    with pytest.raises(BadOverride, match=says):
        parse_overrides(text, "prices.toml")


def test_the_line_to_paste_is_an_entry_once_filled_in(priced: Priced) -> None:
    line = override_line("acme", 'odd "name" [1]')
    assert line.splitlines()[:3] == ["[[price]]", 'provider = "acme"', 'model = "odd \\"name\\" [1]"']
    with pytest.raises(BadOverride, match=r"input = '\?' is not a price"):
        parse_overrides(line, "prices.toml")
    assert cost(priced(line.replace("?", "1"), 'acme/odd "name" [1]'), input=1, output=1) == 2_000
    kinds = ("input_audio", "web_searches", "requests")
    line = override_line("openai", "gpt-4o", kinds)
    assert 'units = { web_searches = "?", requests = "?" }' in line
    assert 'input = "?"' not in line
    with pytest.raises(UnpricedKind):
        charge(Usage(other=(("requests", 1),)), priced(entry('input = "1"')))
    price = priced(line.replace("?", "1"))
    assert charge(Usage(other=tuple((kind, 1) for kind in kinds)), price).nusd == 1_000 + 2 * 10**9
    assert cost(price, input=1) == 2_500
