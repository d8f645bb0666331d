"""What an attempt is charged, however it ended: docs/ledger.md, "Estimates", row by row."""

import pytest

from jevons.core.entry import Estimate, Hold
from jevons.core.limits import IN_FLIGHT_OUTPUT_TOKENS
from jevons.core.price import HELD, Line, Price, PriceTier
from jevons.core.usage import Usage
from jevons.policy.settle import NOTHING, Ending, Settled, settle, settle_killed

PRICE = Price("p/m@1", "book", 1, (PriceTier(-1, {"input": 2, "cache_read": 1, "output": 10}),))
HOLD = Hold(
    id=1,
    key_id=1,
    run_id=None,
    dialect="chat",
    model="m",
    target="m",
    upstream="u",
    stream=True,
    held_nusd=2 * 100 + 10 * 500,
    list_held_nusd=2 * 100 + 10 * 500,
    input_tokens=100,
    input_bound="exact",
    output_tokens=500,
    price_book="book",
    price_row="p/m@1",
    chain=b"",
    messages=1,
)
WHOLE = 5_200
ALL_HELD = Usage(input=100, output=500)
"""The tokens that go with a whole hold: leaving early dodges no limit on tokens."""
ALLOWANCE = IN_FLIGHT_OUTPUT_TOKENS

ROWS = [
    # name, ending, usage, cost, why it is an estimate
    ("held, never sent", Ending(sent=False), Usage(), 0, ""),
    ("no connection", Ending(sent=False, visible=True, seen_output=0), Usage(), 0, ""),
    ("error answer", Ending(sent=True, status=500), Usage(), 0, ""),
    ("rate limited", Ending(sent=True, status=429, visible=True, seen_output=0), Usage(), 0, ""),
    ("redirect", Ending(sent=True, status=302), Usage(), 0, ""),
    (
        "error answer with usage: the provider says that it bills",
        Ending(sent=True, status=500, usage=Usage(input=90)),
        Usage(input=90),
        180,
        "",
    ),
    (
        "finished with final usage",
        Ending(sent=True, status=200, usage=Usage(input=80, cache_read=20, output=7), complete=True),
        Usage(input=80, cache_read=20, output=7),
        250,
        "",
    ),
    (
        "cancelled after the final usage",
        Ending(sent=True, status=200, usage=Usage(input=80, output=7), visible=True, seen_output=3),
        Usage(input=80, output=7),
        230,
        "",
    ),
    (
        "client gone mid-stream, all output visible",
        Ending(sent=True, status=200, visible=True, seen_output=30),
        Usage(input=100, output=30 + ALLOWANCE),
        200 + 10 * (30 + ALLOWANCE),
        "seen",
    ),
    (
        "client gone mid-stream, the provider had said what the input was",
        Ending(
            sent=True,
            status=200,
            visible=True,
            seen_output=30,
            input_usage=Usage(input=10, cache_read=60, output=1),
        ),
        Usage(input=10, cache_read=60, output=30 + ALLOWANCE),
        20 + 60 + 10 * (30 + ALLOWANCE),
        "seen",
    ),
    (
        "client gone before the first byte, all output visible",
        Ending(sent=True, visible=True, seen_output=0),
        Usage(input=100, output=ALLOWANCE),
        200 + 10 * ALLOWANCE,
        "seen",
    ),
    (
        "timed out close to the cap: the allowance ends at the cap",
        Ending(sent=True, status=200, visible=True, seen_output=490),
        Usage(input=100, output=500),
        WHOLE,
        "seen",
    ),
    (
        "more was seen than the cap allows: what was seen counts",
        Ending(sent=True, status=200, visible=True, seen_output=600),
        Usage(input=100, output=600),
        200 + 6_000,
        "seen",
    ),
    (
        "finished without usage, all output visible: nothing is in flight",
        Ending(sent=True, status=200, visible=True, seen_output=30, complete=True),
        Usage(input=100, output=30),
        500,
        "seen",
    ),
    (
        "stream broken off by the provider",
        Ending(sent=True, status=200, visible=True, seen_output=5),
        Usage(input=100, output=5 + ALLOWANCE),
        200 + 10 * (5 + ALLOWANCE),
        "seen",
    ),
    (
        "cancelled, the model may reason unseen",
        Ending(sent=True, status=200, visible=False, seen_output=30),
        ALL_HELD,
        WHOLE,
        "hold",
    ),
    ("cancelled, not streamed", Ending(sent=True, visible=True, seen_output=None), ALL_HELD, WHOLE, "hold"),
    ("timed out, not streamed", Ending(sent=True, visible=True, seen_output=None), ALL_HELD, WHOLE, "hold"),
    (
        "finished without usage, not streamed",
        Ending(sent=True, status=200, visible=True, complete=True),
        ALL_HELD,
        WHOLE,
        "hold",
    ),
    (
        "usage of a kind without a price: unknown is not free",
        Ending(sent=True, status=200, usage=Usage(input=1, other=(("web_searches", 3),)), complete=True),
        Usage(input=1, other=(("web_searches", 3),)),
        WHOLE,
        "unpriced",
    ),
    (
        "usage above the hold: the provider billed it",
        Ending(sent=True, status=200, usage=Usage(input=100, output=501), complete=True),
        Usage(input=100, output=501),
        WHOLE + 10,
        "",
    ),
]


@pytest.mark.parametrize(("ending", "usage", "nusd", "estimate"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_charge_of_an_ending(ending: Ending, usage: Usage, nusd: int, estimate: str) -> None:
    settled = settle(HOLD, PRICE, ending)
    assert (settled.usage, settled.list_nusd, settled.billed_nusd, settled.estimate) == (usage, nusd, nusd, Estimate(estimate))
    assert sum(line.nusd for line in settled.lines) == nusd


@pytest.mark.parametrize("ending", [row[1] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_subscription_bills_nothing_and_keeps_the_list_cost(ending: Ending) -> None:
    billed, covered = settle(HOLD, PRICE, ending), settle(HOLD, PRICE, ending, billed=False)
    assert covered == Settled(billed.usage, billed.lines, billed.list_nusd, 0, billed.estimate, billed.tariff)


def test_a_fee_for_each_call_is_due_although_the_client_left() -> None:
    price = Price("p/m@1", "book", 1, (PriceTier(-1, {"input": 2, "output": 10, "requests": 1_000}),))
    left = Ending(sent=True, status=200, visible=True, seen_output=1, complete=True)
    settled = settle(HOLD, price, left)
    assert (settled.billed_nusd, settled.estimate) == (200 + 10 + 1_000, Estimate.SEEN)
    assert settled.lines[-1] == Line("requests", 1, 1_000, 1_000)


def test_our_own_death_charges_the_whole_hold_once_and_nothing_under_a_subscription() -> None:
    assert settle_killed(HOLD) == Settled(ALL_HELD, (Line("hold", 1, WHOLE, 0),), WHOLE, WHOLE, Estimate.HOLD, HELD)
    covered = Hold(**{name: getattr(HOLD, name) for name in HOLD.__struct_fields__} | {"held_nusd": 0})
    assert settle_killed(covered) == Settled(ALL_HELD, (Line("hold", 1, WHOLE, 0),), WHOLE, 0, Estimate.HOLD, HELD)


def test_nothing_is_nothing() -> None:
    assert Settled(Usage(), (), 0, 0, Estimate.NONE) == NOTHING
