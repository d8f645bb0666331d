"""Which requests may be asked of another model too, and what that may cost whom."""

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jevons.core.ask import Dialect
from jevons.policy.accounts import Account
from jevons.policy.amounts import bound
from jevons.policy.rules import Limit, rules_of
from jevons.policy.sampling import Allowance, comparable, has_room
from jevons.policy.windows import Period
from jevons.wire.parse import parse

SAY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi."}]}
WANT: dict[str, Any] = {"model": "m", "input": "Hi.", "store": False}
ONE = bound(10, 10, 4, 2, step=True)


@pytest.mark.parametrize(
    ("dialect", "body", "may"),
    [
        (Dialect.CHAT, SAY, True),
        (Dialect.CHAT, SAY | {"tools": [{"type": "function", "function": {"name": "mcp__github__get"}}]}, True),
        (Dialect.CHAT, SAY | {"n": 2}, False),
        (Dialect.CHAT, SAY | {"web_search_options": {}}, False),
        (Dialect.MESSAGES, SAY | {"max_tokens": 9}, True),
        (Dialect.MESSAGES, SAY | {"max_tokens": 9, "mcp_servers": [{"url": "https://example.org"}]}, False),
        (Dialect.RESPONSES, WANT, True),
        (Dialect.RESPONSES, WANT | {"store": True}, False),
        (Dialect.RESPONSES, WANT | {"previous_response_id": "resp_1"}, False),
        (Dialect.RESPONSES, WANT | {"conversation": "conv_1"}, False),
        (Dialect.RESPONSES, WANT | {"tools": [{"type": "mcp", "server_url": "https://example.org"}]}, False),
        (Dialect.EMBEDDINGS, {"model": "m", "input": "Hi."}, False),
    ],
)
def test_only_what_leaves_nothing_but_an_answer(dialect: Dialect, body: dict[str, Any], may: bool) -> None:
    assert comparable(parse(dialect, json.dumps(body).encode())) is may


def account(posted: int = 0, held: int = 0, **limit: Any) -> Account:
    (made,) = rules_of(Limit("a", **limit))
    found = Account(made, "key:a", Period(0, 0), made.limit)
    found.restore(0, posted, held)
    return found


@pytest.mark.parametrize(
    ("posted", "held", "limit", "room"),
    [
        (0, 0, {"usd": "0.0000001"}, True),
        (70, 0, {"usd": "0.0000001"}, True),
        (71, 0, {"usd": "0.0000001"}, False),
        (0, 71, {"usd": "0.0000001"}, False),
        (0, 71, {"usd": "0.0000001", "mode": "observe"}, False),
        (0, 0, {"steps": 1}, False),
        (0, 0, {"steps": 2}, True),
        (0, 0, {"concurrent": 1}, False),
        (0, 0, {"concurrent": 5}, True),
        (39, 0, {"usd": "0.0000001", "approve": "0.00000005"}, True),
        (40, 0, {"usd": "0.0000001", "approve": "0.00000005"}, False),
    ],
)
def test_a_sample_leaves_its_caller_a_fifth_of_every_limit(posted: int, held: int, limit: dict[str, Any], room: bool) -> None:
    assert has_room([account(posted, held, **limit)], ONE) is room


def test_whoever_has_no_limit_has_room() -> None:
    assert has_room([], ONE)
    free = account(10**12, usd="1")
    free.set_limit(None)
    assert has_room([free], ONE)


def test_a_day_is_over_and_another_begins() -> None:
    purse = Allowance(100)
    purse.restore(3, 60)
    assert not purse.hold(3, 41) and purse.hold(3, 40) and not purse.hold(3, 0), "nothing is left of it"
    purse.settle(40, 30)
    assert purse.left_nusd(3) == 10
    assert purse.hold(4, 100) and not purse.hold(4, 1)
    purse.settle(100, 130)
    assert purse.left_nusd(4) == 0 and purse.left_nusd(3) == 0 and purse.left_nusd(5) == 100


class Spending(RuleBasedStateMachine):
    """Calls that never come to more than they hold, whatever their order, over days."""

    def __init__(self) -> None:
        super().__init__()
        self.purse, self.day, self.open, self.spent = Allowance(100), 1, list[int](), 0

    @rule(nusd=st.integers(0, 60))
    def begin(self, nusd: int) -> None:
        if self.purse.hold(self.day, nusd):
            self.open.append(nusd)

    @rule(share=st.floats(0, 1))
    def end(self, share: float) -> None:
        if self.open:
            held = self.open.pop()
            self.purse.settle(held, int(held * share))
            self.spent += int(held * share)

    @rule()
    def tomorrow(self) -> None:
        self.day += 1
        assert self.purse.left_nusd(self.day) == 100 - sum(self.open)
        self.spent = 0

    @invariant()
    def never_more_than_the_limit(self) -> None:
        assert self.spent == self.purse.spent_nusd and self.spent + sum(self.open) <= 100


TestSpending = Spending.TestCase
TestSpending.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
