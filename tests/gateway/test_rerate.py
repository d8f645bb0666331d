"""Calls of a real gateway are charged again: without other terms to the nano-dollar, with others as `core.price` says."""

import msgspec
import pytest

from jevons.core.entry import Estimate, admitted_ms
from jevons.core.price import charge
from jevons.core.usage import Usage
from jevons.economics.rerate import NO_BOOK, WHOLE_HOLD, Books, Rerated, Rerater, RowRerated, Under, rerate
from jevons.meter.pricebook import open_book
from tests.gateway.asking import Gateway, body_of

FOREVER_MS = 2**43
USAGE = {
    "prompt_tokens": 4_000,
    "completion_tokens": 900,
    "total_tokens": 4_900,
    "prompt_tokens_details": {"cached_tokens": 1_000},
}
LONG = {"input_tokens": 150_000, "cache_read_input_tokens": 90_000, "cache_creation_input_tokens": 7, "output_tokens": 50}


@pytest.fixture(scope="module")
def asked(gateway: Gateway) -> list[dict[str, object]]:
    """Calls of every dialect, whole and streamed; with cached input, service tiers, long context, searches; refused ones and a broken one."""
    bodies = [
        ("chat", body_of("chat", "gpt-4o", usage=USAGE)),
        ("chat", body_of("chat", "gpt-4o", stream=True, usage=USAGE)),
        ("chat", body_of("chat", "gemini/gemini-2.5-pro", usage=USAGE)),
        ("chat", body_of("chat", "azure/gpt-4o")),
        ("chat", body_of("chat", "gpt-5-mini", cap=None, reasoning=40) | {"service_tier": "flex"}),
        ("messages", body_of("messages", "claude-sonnet-4-5")),
        ("messages", body_of("messages", "claude-sonnet-4-5", stream=True, usage=LONG)),
        ("messages", body_of("messages", "plan/claude-haiku-4-5")),
        (
            "messages",
            body_of("messages", "claude-sonnet-4-5")
            | {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}]},
        ),
        ("responses", body_of("responses", "gpt-5-mini", reasoning=30)),
        ("embeddings", body_of("embeddings", "text-embedding-3-small", text="a b c d")),
        ("count_tokens", body_of("count_tokens", "claude-sonnet-4-5")),
        ("chat", body_of("chat", "gpt-4o", fault="status", status=500)),
        ("chat", body_of("chat", "dead/o3")),
        ("chat", body_of("chat", "hasty-oa/o3", stream=True, fault="hang_mid_stream")),
    ]
    key = gateway.key(1000 * 10**9)
    for door, body in bodies:
        gateway.post(door, key, body)
    return gateway.entries(key)


def again(gateway: Gateway, under: Under = Under(), *, by: str = "model") -> tuple[Rerated, dict[tuple[str, int], RowRerated]]:  # noqa: B008
    rows: dict[tuple[str, int], RowRerated] = {}
    found = rerate(
        gateway.jevons.ledger,
        Rerater(Books(gateway.jevons.home), under),
        0,
        FOREVER_MS,
        unchanged=under.unchanged,
        by=by,
        on_row=lambda row: rows.__setitem__((row.request, row.attempt), row),
    )
    return found, rows


def test_the_same_prices_give_what_is_on_record(gateway: Gateway, asked: list[dict[str, object]]) -> None:
    """Not only of these calls, but of all that this gateway was ever asked for by tests before."""
    found, rows = again(gateway)
    recorded = gateway.jevons.entries()
    assert {row.name for row in found.aside} <= {WHOLE_HOLD, NO_BOOK}
    assert found.total.entries + sum(row.entries for row in found.aside) == len(recorded)
    assert found.total.list_nusd + sum(row.list_nusd for row in found.aside) == sum(one["list_nusd"] for one in recorded)
    assert found.total.difference_nusd == 0 and not found.largest
    for one in recorded:
        row = rows.get((one["request"], one["id"] & 15))
        if one["estimate"] == Estimate.NONE and one["price_book"]:
            assert row is not None and row.rerated_nusd == one["list_nusd"], one
    mine = [rows[str(one["request"]), 0] for one in asked if (one["request"], 0) in rows]
    assert len(mine) >= 13 and sum(row.rerated_nusd > 0 for row in mine) >= 9


def test_another_model_is_each_call_at_its_price(gateway: Gateway, asked: list[dict[str, object]]) -> None:
    _, rows = again(gateway, Under(models=(("gpt-4o*", "gpt-5-mini"),)))
    book = open_book(gateway.jevons.home)
    replaced = [one for one in asked if one["target"] == "gpt-4o" and one["list_nusd"]]
    assert len(replaced) == 3
    for one in replaced:
        provider = "azure" if one["upstream"] == "azure" else "openai"
        price = book.price(provider, "gpt-5-mini", admitted_ms(int(str(one["id"]))))
        assert price is not None
        usage = Usage(
            *(int(str(one[kind])) for kind in ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning"))
        )
        row = rows[str(one["request"]), 0]
        assert (row.rerated_row, row.rerated_nusd) == (price.row, charge(usage, price).nusd)
        assert 0 < row.rerated_nusd < row.list_nusd


def test_long_context_stays_long_elsewhere(gateway: Gateway, asked: list[dict[str, object]]) -> None:
    [long] = [one for one in asked if one["cache_read"] == LONG["cache_read_input_tokens"]]
    assert long["tariff"] == ">200000"
    _, rows = again(gateway, Under(service_tier="batch"))
    row = rows[str(long["request"]), 0]
    assert "batch" in row.rerated_row and row.rerated_nusd * 2 == pytest.approx(row.list_nusd, abs=2)


def test_groups_sum_to_the_total(gateway: Gateway, asked: list[dict[str, object]]) -> None:
    for by in ("model", "upstream", "tier", "tariff", "org", "team", "key", "agent", "source", "day"):
        found, _ = again(gateway, Under(models=(("*", "gpt-5-mini"),), provider="openai"), by=by)
        for measure in ("entries", "tokens", "list_nusd", "rerated_nusd", "difference_nusd"):
            assert sum(getattr(row, measure) for row in found.rows) == getattr(found.total, measure), (by, measure)
        assert found.total.rerated_nusd - found.total.list_nusd == found.total.difference_nusd != 0
        assert [abs(row.difference_nusd) for row in found.rows] == sorted(
            (abs(row.difference_nusd) for row in found.rows), reverse=True
        )
        assert msgspec.to_builtins(found)["by"] == by
