"""What is remembered of requests that passed, to find breaks: across conversations, at once, bounded, and whatever clients send."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.core.ask import Ask, Dialect
from jevons.core.chain import chain
from jevons.core.price import Price, PriceTier
from jevons.core.saving import Break
from jevons.core.usage import Usage
from jevons.gateway.breaking import Breaks, Sent
from jevons.meter.prompt_rules import prompt_rules
from jevons.wire.parse import parse

SECRET = b"s" * 32
PRICE = Price("openai/gpt-4o", "", 1, (PriceTier(-1, {"input": 2500, "cache_read": 1250}),))
RULES = prompt_rules("openai", "gpt-4o")
RULEBOOK = "Be polite, and never promise a refund. " * 300
UNREAD = Usage(input=3000)


def asked(*messages: Any, **more: Any) -> Ask:
    return parse(Dialect.CHAT, json.dumps({"model": "gpt-4o", "messages": messages, **more}).encode())


def sent(ask: Ask, at_ms: int, run: str = "") -> Sent:
    return Sent(ask, chain(SECRET, ask.messages), (1, run, "agent"), at_ms, ("openai", "gpt-4o"), RULES)


def talk(breaks: Breaks, ask: Ask, at_ms: int, run: str = "", done_ms: int | None = None) -> Break | None:
    return breaks.ended(sent(ask, at_ms, run), at_ms + 10 if done_ms is None else done_ms, UNREAD, PRICE)


def opened(clock: str, question: str) -> Ask:
    return asked({"role": "system", "content": f"It is {clock}. {RULEBOOK}"}, {"role": "user", "content": question})


def test_a_clock_in_what_all_conversations_begin_with() -> None:
    """No run goes on from another, and yet each could read the system prompt of the one before."""
    breaks = Breaks()
    assert talk(breaks, opened("10:07", "How are you?"), 1000, "a") is None
    found = talk(breaks, opened("10:08", "Where is my bag, the green one?"), 2000, "b")
    assert found is not None and (found.cause, found.position, found.role) == ("clock", 0, "system")
    assert talk(breaks, opened("10:08", "And mine, which is much larger and blue?"), 3000, "c") is None, "the same opening"
    other = asked({"role": "system", "content": "You find flights. " * 400}, {"role": "user", "content": "Which?"})
    assert talk(breaks, other, 4000, "d") is None, "another agent"


def test_a_clock_in_the_only_message_of_a_run() -> None:
    breaks, text = Breaks(), "Order, as seen on {}: " + "one bag, " * 300
    system = {"role": "system", "content": "Be brief."}
    first, second = (
        asked(system, {"role": "user", "content": text.format(clock) + "\nShort, please: " * 200}) for clock in ("10:07", "10:08")
    )
    assert talk(breaks, first, 1000, "a") is None
    found = talk(breaks, second, 2000, "a")
    assert found is not None and (found.cause, found.position, found.role) == ("clock", 1, "user")


def test_what_is_under_way_at_once_finds_nothing() -> None:
    breaks = Breaks()
    assert talk(breaks, opened("10:07", "How are you?"), 1000, done_ms=9000) is None
    assert talk(breaks, opened("10:08", "How are you?"), 8999) is None
    assert talk(breaks, opened("10:09", "How are you?"), 9100) is not None


def test_memory_is_bounded_and_what_is_used_stays() -> None:
    breaks = Breaks(bytes_max=200_000)
    for number in range(300):
        history = [{"role": ("user", "assistant")[n % 2], "content": f"{number} said {n}"} for n in range(9)]
        talk(
            breaks, asked({"role": "system", "content": f"Agent {number}. " + RULEBOOK}, *history), 1000 * number, f"run-{number}"
        )
        assert breaks.held_bytes <= 200_000
    changed = asked({"role": "system", "content": "Agent 299, now. " + RULEBOOK}, *history, {"role": "user", "content": "go on"})
    found = talk(breaks, changed, 300_000, "run-299")
    assert found is not None and found.cause == "edited"


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["2026-11-22", "https://x/?sig=1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "type", "content", "name", "function", "url", "cache_control"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@given(st.lists(st.lists(ODD, min_size=1, max_size=4), min_size=2, max_size=4), st.lists(ODD, max_size=3) | st.text(max_size=3))
@settings(max_examples=100, deadline=None)
def test_whatever_is_sent_is_remembered(conversations: list[list[Any]], tools: Any) -> None:
    breaks = Breaks()
    for number, messages in enumerate(conversations):
        turned = tools[::-1] if number % 2 else tools
        ask = asked(*messages, tools=turned)
        breaks.ended(sent(ask, 1000 * number), 1000 * number + 1, Usage(input=10**6), PRICE)
    assert breaks.held_bytes > 0
