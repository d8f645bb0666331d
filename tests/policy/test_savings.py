"""Lines of savings sum to the baseline, whatever was used, trimmed, cached or asked of another model."""

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.core.price import Price, PriceTier, UnpricedKind, charge
from jevons.core.saving import Saving, SavingKind
from jevons.core.usage import Usage
from jevons.policy.savings import Markers, check_saving, hit_saving, marked_by, savings_of

RATES = {"input": 30, "cache_read": 3, "cache_write_5m": 37, "cache_write_1h": 60, "output": 150}
OWN = Price("own", "book", 10, (PriceTier(-1, RATES), PriceTier(2_000, {kind: 2 * num for kind, num in RATES.items()})))
DEARER = Price("dearer", "book", 7, (PriceTier(-1, {kind: 5 * num for kind, num in RATES.items()}),))

counts = st.integers(0, 3_000)
rates = st.integers(0, 10_000)
usages = st.builds(
    lambda output, reasoning, **kinds: Usage(output=output, reasoning=min(output, reasoning), **kinds),
    output=counts, reasoning=counts, input=counts, cache_read=counts, cache_write_5m=counts, cache_write_1h=counts,
    other=st.sampled_from([(), (("input_audio", 7), ("cache_audio_read", 90)), (("cache_image_write", 5), ("web_searches", 2))]),
)  # fmt: skip
KINDS = (*RATES, "reasoning", "input_audio", "cache_audio_read", "input_image", "cache_image_write", "web_searches")
tiers = st.dictionaries(st.sampled_from(KINDS), rates, min_size=len(KINDS) - 2)
prices = st.builds(
    lambda den, first, second: Price("p", "b", den, (PriceTier(-1, first), PriceTier(2_000, second))),
    den=st.integers(1, 1_000), first=tiers, second=tiers,
)  # fmt: skip


def total(usage: Usage, price: Price) -> int | None:
    try:
        return charge(usage, price).nusd
    except UnpricedKind:
        return None


@settings(max_examples=150, deadline=None)
@given(usages, prices, st.none() | prices)
def test_lines_and_list_cost_are_the_baseline(usage: Usage, price: Price, asked: Price | None) -> None:
    list_nusd = total(usage, price)
    plain = Usage(
        input=usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h,
        output=usage.output,
        reasoning=usage.reasoning,
        other=tuple((kind.replace("cache", "input").removesuffix("_read").removesuffix("_write"), n) for kind, n in usage.other),
    )
    baseline = total(plain, asked or price)
    if list_nusd is None or baseline is None or total(plain, price) is None:
        return
    lines = savings_of(usage, price, list_nusd, before=() if asked is None else ((SavingKind.ROUTE, asked),))
    assert baseline == list_nusd + sum(line.nusd for line in lines)
    assert [line.kind for line in lines] == [kind for kind in SavingKind if any(line.kind is kind for line in lines)]


@settings(max_examples=150, deadline=None)
@given(usages, st.integers(1, 4_000), st.integers(0, 4_000))
def test_trimmed_tokens_are_taken_as_those_that_were_sent(usage: Usage, trimmed: int, new: int) -> None:
    usage = msgspec.structs.replace(usage, reasoning=0, other=())
    list_nusd = charge(usage, OWN).nusd
    lines = savings_of(usage, OWN, list_nusd, trimmed_tokens=trimmed, trimmed_new_tokens=min(new, trimmed))
    saved = {line.kind: line.nusd for line in lines}
    plain = Usage(input=usage.input_total, output=usage.output)
    assert list_nusd + saved.get(SavingKind.PROMPT_AUTOMATIC, 0) == charge(plain, OWN).nusd
    tier = OWN.tier(usage.input_total + trimmed).nums
    sent = Fraction(usage.input_total * tier["input"] + usage.output * tier["output"], OWN.den)
    whole = charge(plain, OWN).nusd + saved[SavingKind.TRIM]
    assert whole - sent - Fraction(trimmed * tier["cache_read"], OWN.den) >= -1
    assert whole - sent - Fraction(trimmed * tier["cache_write_1h"], OWN.den) <= 1


def test_all_steps_at_once() -> None:
    usage = Usage(input=100, cache_read=300, cache_write_5m=100, output=10)
    lines = savings_of(
        usage, OWN, charge(usage, OWN).nusd, before=((SavingKind.MODEL, DEARER),), markers="planned", trimmed_tokens=50
    )
    as_own = 500 * 3 + 150 + (10 * 30 + 30 * 3 + 10 * 37) // 10  # all plain, and of what was trimmed ten, thirty and ten
    asked = (500 * 150 + 10 * 750 + 10 * 150 + 30 * 15 + 10 * 185) / 7
    assert lines == (
        Saving(SavingKind.MODEL, round(asked) - as_own, 0, estimated=True),
        Saving(SavingKind.TRIM, 76, 50, estimated=True),
        Saving(SavingKind.PROMPT_PLANNED, 300 * 27 // 10 - 70, 300),
    )


def test_a_new_output_cannot_have_been_read() -> None:
    usage = Usage(input=100, cache_read=900)
    old, new = (savings_of(usage, OWN, charge(usage, OWN).nusd, trimmed_tokens=100, trimmed_new_tokens=n)[0] for n in (0, 100))
    assert old == Saving(SavingKind.TRIM, (90 * 3 + 10 * 30) // 10, 100, estimated=True)
    assert new == Saving(SavingKind.TRIM, 300, 100, estimated=True)


def test_what_was_trimmed_may_have_been_a_dearer_tier() -> None:
    usage = Usage(input=1_990, output=10)
    [line] = savings_of(usage, OWN, charge(usage, OWN).nusd, trimmed_tokens=11)
    assert line.nusd == charge(Usage(input=2_001, output=10), OWN).nusd - charge(usage, OWN).nusd > 6_000


def test_nothing_is_cached_in_a_request_that_is_all_output() -> None:
    assert savings_of(Usage(output=5), OWN, 75, trimmed_tokens=3)[0].nusd == 9


@pytest.mark.parametrize(
    ("markers", "kind"),
    [("planned", SavingKind.PROMPT_PLANNED), ("client", SavingKind.PROMPT_CLIENT), ("automatic", SavingKind.PROMPT_AUTOMATIC)],
)
def test_a_cache_line_is_reads_less_the_premium_of_writes(markers: Markers, kind: SavingKind) -> None:
    usage = Usage(input=10, cache_read=100, cache_write_5m=50, output=7)
    assert savings_of(usage, OWN, charge(usage, OWN).nusd, markers=markers) == (Saving(kind, 270 - 35, 100),)


def test_a_write_that_nobody_read_is_a_loss() -> None:
    usage = Usage(cache_write_1h=100)
    assert savings_of(usage, OWN, 600, markers="client") == (Saving(SavingKind.PROMPT_CLIENT, -300, 0),)


def test_a_request_that_nothing_touched_has_no_lines() -> None:
    assert savings_of(Usage(input=10, output=5, other=(("web_searches", 1),)), OWN, 105) == ()
    assert savings_of(Usage(input=10), OWN, 30, before=((SavingKind.MODEL, OWN),)) == ()


def test_a_step_without_a_price_is_left_out() -> None:
    usage = Usage(cache_read=100, output=5)
    no_input = Price("p", "b", 10, (PriceTier(-1, {"cache_read": 3, "output": 150}),))
    assert savings_of(usage, no_input, 105, before=((SavingKind.MODEL, OWN),)) == ()
    assert [
        line.kind for line in savings_of(usage, OWN, 105, before=((SavingKind.MODEL, Price("q", "b", 1, (PriceTier(-1, {}),))),))
    ] == [SavingKind.PROMPT_AUTOMATIC]


def test_an_answer_from_the_cache_saves_what_it_would_cost_today() -> None:
    usage = Usage(input=100, cache_read=50, output=20)
    for kind in (SavingKind.ANSWER_EXACT, SavingKind.ANSWER_SEMANTIC):
        assert hit_saving(usage, OWN, kind) == Saving(kind, 615, 170, estimated=True)
    assert hit_saving(Usage(other=(("pages", 2),)), OWN, SavingKind.ANSWER_EXACT).nusd == 0


def test_a_check_is_what_it_cost() -> None:
    assert check_saving(Usage(input=100, output=20), 600) == Saving(SavingKind.CHECK, -600, -120)


def test_who_bills_the_request_itself_takes_nothing_from_who_does_not() -> None:
    student = Price("student", "b", 1, (PriceTier(-1, {"input": 0, "output": 0, "requests": 33}),))
    plain = Usage(input=10, output=2)
    by_request = msgspec.structs.replace(plain, other=(("requests", 1),))
    [line] = savings_of(by_request, student, 33, before=((SavingKind.STUDENT, OWN),))
    assert line == Saving(SavingKind.STUDENT, charge(plain, OWN).nusd - 33, 0, estimated=True)
    [line] = savings_of(plain, OWN, charge(plain, OWN).nusd, before=((SavingKind.ROUTE, student),))
    assert line.nusd == 33 - charge(plain, OWN).nusd


def test_who_marks() -> None:
    assert [marked_by(model) for model in ("claude-sonnet-4-5", "anthropic/Claude-3", "gpt-5")] == [
        "client",
        "client",
        "automatic",
    ]


def test_a_route_and_a_budget_take_a_step_each() -> None:
    usage = Usage(input=100, output=10)
    between = Price("p", "b", 1, (PriceTier(-1, {"input": 10, "output": 20}),))
    route, model = savings_of(
        usage, OWN, charge(usage, OWN).nusd, before=((SavingKind.ROUTE, DEARER), (SavingKind.MODEL, between))
    )
    assert (route.kind, model.kind) == (SavingKind.ROUTE, SavingKind.MODEL)
    assert route.nusd == charge(usage, DEARER).nusd - charge(usage, between).nusd
    assert model.nusd == charge(usage, between).nusd - charge(usage, OWN).nusd
