"""What was changed in a message: told from where it changed, and from what stands there now."""

import json

import pytest

from jevons.core.marks import Mark
from jevons.policy.volatile import Edit, Value, edit_of
from tests.policy.remembering import marked, raw

RULES = "Be polite and brief. Never promise a refund. " * 20


def edit(there: object, here: object) -> Edit:
    return edit_of(marked(there), marked(here), raw(here))


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        ("It is 2026-11-22 10:07.", "It is 2026-11-22 10:08.", Value.CLOCK),
        ("The date is 20261122 now.", "The date is 20261123 now.", Value.CLOCK),
        ("Seconds: 1763800001", "Seconds: 1763800002", Value.CLOCK),
        ("Step 1 of 5c1763800001aef0", "Step 2 of 5c1763800001aef0", Value.COUNTER),
        ("Today is Sunday, November 22.", "Today is Monday, November 23.", Value.CLOCK),
        ("Session 3f2a91bc-77aa-4b8e-9c1d-0123456789ab", "Session 9e1b04dd-1c2d-4e5f-8a9b-ba9876543210", Value.RANDOM_ID),
        ("nonce=kT9x2LmQ7p", "nonce=Zw31bnR0aY", Value.RANDOM_ID),
        ("Order 48210937", "Order 59310112", Value.RANDOM_ID),
        ("You have 12 steps left.", "You have 11 steps left.", Value.COUNTER),
        ("See https://x.com/a.png?sig=aaTq&w=1 please", "See https://x.com/a.png?sig=zR0b&w=1 please", Value.SIGNED_URL),
        ("See https://x.com/a.png?Expires=1763800 please", "See https://x.com/a.png?Expires=1763899 please", Value.SIGNED_URL),
        ("Speak French.", "Speak Dutch.", Value.WORDS),
    ],
)
def test_what_changed_in_a_system_prompt(before: str, after: str, value: Value) -> None:
    found = edit(f"Hello. {before} {RULES}", f"Hello. {after} {RULES}")
    assert found.value is value and found.kin
    assert 0 < found.ahead < 60 and found.behind > len(RULES) - 20


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("https://x" + "?se" * 5_000, Value.COUNTER),
        ("https://" * 2_000, Value.COUNTER),
        ("https://x" + "?sig" * 4_000 + "=", Value.SIGNED_URL),
        ("a-" * 8_000, Value.COUNTER),
        ("-" * 16_000, Value.COUNTER),
        ("a" * 16_000, Value.COUNTER),
        ("a-" * 8_000 + "1", Value.RANDOM_ID),
        ("word " * 50_000 + "at 10:07", Value.COUNTER),
    ],
)
def test_a_hostile_text_is_looked_at_in_its_length(text: str, value: Value) -> None:
    """A pattern that goes back and forth over one of these would take a quarter of an hour; and only the beginning is looked at."""
    before, after = ({"role": "user", "content": f"Job {n} {text} of it\nSame line.\nAnd this."} for n in (1, 2))
    assert edit(before, after).value is value


def test_many_words_are_an_edit_whatever_they_say() -> None:
    found = edit("One. " + RULES, "One on 2026-11-22 at 10:07, and on and on: " + "more of it, " * 10 + RULES)
    assert found.value is Value.WORDS and found.kin


def test_another_text_is_another_message() -> None:
    found = edit({"role": "user", "content": "What is it?"}, {"role": "user", "content": "Where were you on 2026-11-22?"})
    assert found.value is Value.WORDS and not found.kin


def test_a_message_in_one_line_is_told_by_its_digits_and_its_shape() -> None:
    clock = edit({"role": "user", "content": "at 10:07"}, {"role": "user", "content": "at 10:08"})
    nonce = edit({"role": "user", "content": "id a81f6e9d03"}, {"role": "user", "content": "id 0c4d2b7e9a"})
    assert (clock.value, clock.kin, clock.behind) == (Value.CLOCK, True, 0)
    assert (nonce.value, nonce.kin, nonce.behind) == (Value.RANDOM_ID, True, 0)


def test_a_message_of_which_nothing_is_known() -> None:
    text = json.dumps({"role": "user", "content": "x"}).encode()
    unknown = Mark(b"d", "user", len(text), b"d")
    assert edit_of(unknown, marked(text, "user"), text) == Edit(Value.WORDS, kin=False, ahead=0, behind=0)


def test_tools_are_kin_if_half_of_them_stayed() -> None:
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in "abcd"]
    assert edit(tools, tools[::-1]).kin
    assert edit(tools, tools[:3]).kin
    assert not edit(tools, [{"name": name} for name in "efgh"]).kin
    assert edit(tools, tools[::-1]).behind > edit(tools, [*tools[:2], *tools[:1:-1]]).behind > 0
