"""Many callers at once, and money for some of them: exactly those are served, whatever the number of levels, and the provider says so too."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from jevons.core.limits import OUTPUT_TOKENS_DEFAULT
from jevons.ledger.bill import check
from tests.gateway.asking import Gateway, Key, body_of, marker
from tests.gateway.governing import account, limit
from tests.gateway.test_budget import hold_of
from tests.provider import Provider
from tests.running import Jevons, upstream

CALLERS = 256
MONEY_FOR = 100
CALL_NUSD = 1_000_000
"""One tenth of a cent, by the request: what is held is what is billed."""
PRICE = """
[[price]]
provider = "openai"
model = "gpt-fixed"
input = "0"
output = "0"
units = { requests = "0.001" }
"""


@pytest.fixture(scope="module")
def fixed(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway at which a call of gpt-fixed costs CALL_NUSD."""
    home = tmp_path_factory.mktemp("fixed") / "home"
    home.mkdir(mode=0o700)
    (home / "prices.toml").write_text(PRICE)
    with Jevons(home, upstream("openai", standin.openai_url, models=("gpt-*",), retries=0)) as jevons:
        yield Gateway(jevons, standin)
        assert check(jevons.ledger) == []


def limited(gateway: Gateway, levels: int, nusd: int) -> tuple[Key, dict[str, str], list[str]]:
    """(key, headers of its calls, limits) with so many accounts on the path of which each has that much money."""
    org, usd = f"org-{marker()[:8]}", f"{nusd / 10**9:.9f}"
    key = gateway.key(nusd, org=org, team="t")
    members: list[dict[str, Any]] = [
        {"scope": "org", "org": org},
        {"scope": "team", "org": org},
        {"scope": "agent", "org": org},
        {"scope": "run", "org": org},
        {"scope": "child", "org": org},
    ]
    names = [limit(gateway, usd=usd, **one) for one in members[: levels - 1]]
    return key, {"x-jevons-agent": "a", "x-jevons-run-id": "r", "x-jevons-parent-run-id": "root"}, names


@pytest.mark.parametrize("levels", [1, 4, 6])
@pytest.mark.parametrize("stream", [False, True])
def test_exactly_as_many_are_served_as_there_is_money_for(fixed: Gateway, levels: int, stream: bool) -> None:
    key, headers, names = limited(fixed, levels, MONEY_FOR * CALL_NUSD)
    mark = marker()
    body = body_of("chat", "gpt-fixed", stream, marker=mark)
    with ThreadPoolExecutor(CALLERS) as pool:
        answers = list(pool.map(lambda _: fixed.post("chat", key, body, **headers), range(CALLERS)))
    statuses = Counter(got.status for got in answers)
    assert statuses[200] == MONEY_FOR
    assert set(statuses) <= {200, 402, 429}
    assert all(got.whole for got in answers)
    journal = fixed.provider.attempts(mark)
    assert len(journal) == len([attempt for attempt in journal if attempt.bill is not None]) == MONEY_FOR
    total = fixed.account(key)
    assert (total["posted_nusd"], total["held_nusd"], total["overrun_nusd"]) == (MONEY_FOR * CALL_NUSD, 0, 0)
    for name in names:
        one = account(fixed, name)
        assert (one["posted_nusd"], one["held_nusd"], one["overrun_nusd"]) == (MONEY_FOR * CALL_NUSD, 0, 0), name
    assert fixed.post("chat", key, body, **headers).status == 402


def test_limits_that_change_under_many_calls(fixed: Gateway) -> None:
    """Set, raised, lowered, removed while calls come and go: at the end every account says what was billed, and nothing is held."""
    key, headers, names = limited(fixed, 4, 10**12)
    kept, changed = limit(fixed, key, scope="run", usd=100), limit(fixed, key, steps=10**6)
    body = body_of("chat", "gpt-fixed", True, reply="one two three", delay_ms=5)
    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(fixed.post, "chat", key, body, **headers) for _ in range(200)]
        step = 0
        while not all(answer.done() for answer in answers):
            step += 1
            limit(fixed, key, changed, **({"steps": 10**6 + step} if step % 3 else {"usd": 1000, "per": "5m"}))
            if step % 4 == 0:
                assert fixed.admin("DELETE", f"/limits/{changed}").status == 200
                limit(fixed, key, changed, steps=10**6)
    assert {answer.result().status for answer in answers} == {200}
    limit(fixed, key, changed, scope="agent", usd=1000)
    assert fixed.post("chat", key, body, **headers).status == 200
    for name in [*names, kept, changed]:
        one = account(fixed, name)
        assert (one["posted_nusd"], one["held_nusd"], one["overrun_nusd"]) == (201 * CALL_NUSD, 0, 0), name
    assert step > 3


@pytest.mark.parametrize("levels", [1, 6])
def test_sixteen_uncapped_calls_with_money_for_sixteen(gateway: Gateway, levels: int) -> None:
    """At once, each held at the default cap. None waits for another, none is cut."""
    body = body_of("chat", "gpt-4o", cap=None, reply="one two", first_delay_ms=300)
    one = hold_of(gateway, {**body, "max_tokens": OUTPUT_TOKENS_DEFAULT})
    key, headers, _ = limited(gateway, levels, 16 * one)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: gateway.post("chat", key, body, **headers), range(16)))
    assert [got.status for got in answers] == [200] * 16
    assert {got.headers["x-jevons-output-cap"] for got in answers} == {str(OUTPUT_TOKENS_DEFAULT)}
    assert {entry["held_nusd"] for entry in gateway.entries(key)} == {one}
