"""Where a request left its conversation's prefix, why, and what that cost; and what only looks like it."""

import json
from typing import Any

import msgspec
import pytest

from jevons.core.cache_rules import CacheRules, Style, Ttl
from jevons.core.marks import Mark
from jevons.core.price import Price, PriceTier
from jevons.core.saving import Break
from jevons.core.usage import Usage
from jevons.policy.breaks import (
    Cause,
    Circumstances,
    Difference,
    Request,
    assumed,
    begins_with,
    broke,
    compare,
    goes_on,
    lost_tokens,
)
from tests.policy.remembering import Messages, marked, raw, request, said

TOOLS = [{"name": name, "description": f"{name} of the customer"} for name in ("book", "cancel", "think")]
SYSTEM = "It is 10:07 on Sunday. " + "Be polite. " * 100
TURNS = [said("user" if n % 2 == 0 else "assistant", f"{n}: {'and so on ' * 30}") for n in range(5)]
OLD: Messages = [TOOLS, SYSTEM, *TURNS]
NEXT = [said("assistant", "Yes."), said("user", "Go on.")]

AUTOMATIC = CacheRules(Style.AUTOMATIC, (Ttl("memory", 300, "input"),), min_tokens=1024, by_itself=True)
MARKED = CacheRules(
    Style.EXPLICIT, (Ttl("5m", 300, "cache_write_5m"), Ttl("1h", 3600, "cache_write_1h")), 1024, breakpoints_max=4
)
RATES = {"input": 2000, "cache_read": 200, "cache_write_5m": 2500, "cache_write_1h": 4000, "output": 8000}
PRICE = Price("anthropic/x", "", 1, (PriceTier(-1, RATES),))


def told(rules: CacheRules = AUTOMATIC, gap_ms: int = 1000, marked: bool = False) -> Circumstances:
    return Circumstances(rules, gap_ms, 300_000, marked)


def differs(new: Messages, old: Messages = OLD, changed: dict[str, Any] | None = None, **kept: Any) -> Difference | None:
    messages = [raw(one) for one in new]
    return compare(request(old, **kept), request(new, **(kept | (changed or {}))), messages)


def place(found: Difference | None) -> tuple[str, int, str] | None:
    return found and (found.cause, found.position, found.role)


def test_what_goes_on_does_not_differ() -> None:
    assert differs([*OLD, *NEXT]) is None
    assert differs(OLD) is None
    assert begins_with(request([*OLD, *NEXT]), request(OLD)) and not begins_with(request(OLD[:-1]), request(OLD))


@pytest.mark.parametrize(
    ("new", "found"),
    [
        ([TOOLS, SYSTEM.replace("10:07", "10:08"), *TURNS], ("clock", 1, "system")),
        ([TOOLS[::-1], SYSTEM, *TURNS], ("tools_order", 0, "tools")),
        ([TOOLS[:2], SYSTEM, *TURNS], ("tools_set", 0, "tools")),
        ([SYSTEM, *TURNS], ("tools_set", 0, "system")),
        ([[*TOOLS[:2], {**TOOLS[2], "description": "thinks"}], SYSTEM, *TURNS], ("tool_schema", 0, "tools")),
        ([[dict(reversed(tool.items())) for tool in TOOLS], SYSTEM, *TURNS], ("json", 0, "tools")),
        ([TOOLS, SYSTEM, said("user", "no"), *TURNS[1:]], ("edited", 2, "user")),
        ([TOOLS, SYSTEM, *TURNS[2:]], ("dropped", 2, "user")),
        ([TOOLS, SYSTEM, said("user", "In short: yes"), *TURNS[3:]], ("summarised", 2, "user")),
        ([TOOLS, SYSTEM, said("user", "Retrieved: x"), *TURNS], ("inserted", 2, "user")),
        ([TOOLS, SYSTEM, said("user", "a"), said("assistant", "b"), said("user", "c"), *TURNS[1:]], ("inserted", 2, "user")),
        ([TOOLS, SYSTEM, said("user", "a"), said("assistant", "b"), *TURNS[2:]], ("edited", 2, "user")),
    ],
)  # fmt: skip
def test_causes(new: Messages, found: tuple[str, int, str]) -> None:
    difference = differs([*new, *NEXT])
    assert place(difference) == found
    assert difference is not None and difference.lost > 0


def test_marks_moved() -> None:
    block = {"role": "user", "content": [{"type": "text", "text": TURNS[2]["content"], "cache_control": {"type": "ephemeral"}}]}
    found = differs([*OLD[:4], block, *OLD[5:], *NEXT])
    assert place(found) == ("markers", 4, "user")
    assert found is not None and found.before == sum(len(raw(one)) for one in OLD[:4])


def test_what_differs_first_counts_and_what_is_behind_is_lost() -> None:
    found = differs([TOOLS, SYSTEM, said("user", "no"), *TURNS[1:], *NEXT])
    assert found is not None
    assert found.before >= len(raw(TOOLS)) + len(raw(SYSTEM)) and found.lost == sum(len(raw(one)) for one in TURNS[1:])


@pytest.mark.parametrize(
    "new",
    [
        OLD[:5],  # asked again from further back
        [*OLD[:-1], said("user", "Something else altogether")],  # a fork at its end
        [TOOLS, "You find flights.", said("user", "Which ones?")],  # another agent
        [TOOLS, SYSTEM, said("user", "A parallel question")],
        [[{"name": "search"}], "You are another one.", TURNS[0]],  # the same question to another agent
        [TOOLS[:2], SYSTEM, TURNS[0]],  # the same opening question, with fewer tools
    ],
)
def test_what_only_looks_like_it(new: Messages) -> None:
    assert differs(new) is None


def test_another_question_above_the_same_document_is_another_conversation() -> None:
    """Nothing of it was sent before to be changed: it is asked behind the same examples, and not answered."""
    document = "\nRules for everybody concerned." * 100
    old, new = ([*OLD[:-1], said("user", question + document)] for question in ("Where is it?", "Who came late?"))
    assert differs(new, old) is None
    answered = differs([*new, *NEXT], old)
    assert place(answered) == ("edited", len(OLD) - 1, "user"), "here the same one went on"


def test_the_only_message_has_a_clock_and_so_have_those_behind() -> None:
    old = [SYSTEM, said("user", "at 10:07 " + "x " * 50), said("assistant", "at 10:07"), said("user", "10:07 it was")]
    new = [SYSTEM, *(json.loads(json.dumps(one).replace("10:07", "10:09")) for one in old[1:]), said("assistant", "ok")]
    found = differs(new, old)
    assert place(found) == ("clock", 1, "user")
    assert found is not None and found.lost == sum(len(raw(one)) for one in new[2:4])


def test_a_conversation_of_one_question_is_known_by_its_answer() -> None:
    old = [TOOLS, SYSTEM, TURNS[0]]
    new = [TOOLS, SYSTEM, said("user", "Retrieved: x"), TURNS[0], *NEXT]
    assert place(differs(new, old)) == ("inserted", 2, "user")
    assert differs([*new[:4], said("user", "More.")], old) is None


def test_what_a_cache_is_keyed_by() -> None:
    more = [*OLD, *NEXT]
    whole = sum(len(raw(one)) for one in OLD)
    other = ("openai", "gpt-4o-mini")
    assert differs(more, changed={"target": other}) == Difference(0, "model", Cause.MODEL, 0, whole)
    assert place(differs(more, changed={"target": other, "ours": ("gpt-4o-mini",)})) == ("gateway", 0, "model")
    assert place(differs(more, changed={"parameters": (("tool_choice", 1),)})) == ("parameters", 0, "tool_choice")
    assert place(differs(more, parameters=(("thinking", 1),), changed={"parameters": ()})) == ("parameters", 0, "thinking")
    kept = (("speed", 1), ("thinking", 1))
    assert place(differs(more, parameters=kept, changed={"parameters": (kept[0], ("thinking", 2))})) == (
        "parameters",
        0,
        "thinking",
    )
    assert goes_on(request(OLD), request(more, target=other)) == Difference(0, "model", Cause.MODEL, 0, whole)
    assert goes_on(request(OLD), request(more)) is None
    edited = differs([TOOLS, SYSTEM.replace("10:07", "10:08"), *TURNS, *NEXT], changed={"target": other})
    assert edited is not None and (edited.cause, edited.before) == (Cause.MODEL, 0) and whole > edited.lost > 0


def test_tools_that_we_took_out() -> None:
    found = differs([TOOLS[:2], SYSTEM, *TURNS, *NEXT], changed={"ours": ("think",)})
    assert place(found) == ("gateway", 0, "tools")


def test_a_message_too_long_to_be_looked_into() -> None:
    old, new = request(OLD), request([*OLD, *NEXT])
    unknown = Mark(b"another digest..", "user", 10**6, b"another digest..")
    changed = msgspec.structs.replace(new, marks=(*new.marks[:2], unknown, *new.marks[3:]))
    assert place(compare(old, changed, [raw(one) for one in (*OLD, *NEXT)])) == ("edited", 2, "user")


def sized(old_bytes: int, new_bytes: int, **more: Any) -> tuple[Request, Request]:
    """Two requests by their sizes alone, of three messages and of five."""
    one = marked(said("user", "x"))
    return Request((one,) * 3, old_bytes, **more), Request((one,) * 5, new_bytes, **more)


CLOCK = Difference(1, "system", Cause.CLOCK, 2000, 7000)


def test_a_loss_is_priced_at_what_it_cost_above_reading() -> None:
    old, new = sized(9000, 10_000)
    read = broke(CLOCK, old, new, Usage(input=3500, cache_read=500), PRICE, told())
    assert read == Break(1, "system", "clock", 2800, 2800 * 1800)
    written = broke(
        CLOCK, old, new, Usage(input=500, cache_write_5m=2000, cache_write_1h=500, cache_read=1000), PRICE, told(MARKED)
    )
    assert written == Break(1, "system", "clock", 2600, 500 * 3800 + 2000 * 2300 + 100 * 1800)


def test_what_was_read_is_not_lost() -> None:
    old, new = sized(9000, 10_000)
    assert broke(CLOCK, old, new, Usage(input=500, cache_read=3500), PRICE, told()) is None
    part = broke(CLOCK, old, new, Usage(input=2000, cache_read=2000), PRICE, told())
    assert part is not None and part.lost_tokens == 3600 - 2000
    assert not lost_tokens(CLOCK, old, new, Usage(input=10, cache_read=0))


def test_a_price_without_a_rate_for_reading_prices_nothing() -> None:
    old, new = sized(9000, 10_000)
    price = Price("x", "", 1, (PriceTier(-1, {"input": 1}),))
    assert broke(CLOCK, old, new, Usage(input=4000), price, told()) is None


@pytest.mark.parametrize(
    ("found", "usage", "circumstances", "cause"),
    [
        (None, Usage(input=4000), told(), Cause.MISSED),
        (None, Usage(input=4000), told(gap_ms=301_000), Cause.EXPIRED),
        (CLOCK, Usage(input=4000), told(gap_ms=301_000), Cause.EXPIRED),
        (None, Usage(input=4000), told(MARKED), Cause.UNMARKED),
        (CLOCK, Usage(input=4000), told(MARKED), Cause.UNMARKED),
        (CLOCK, Usage(input=4000), told(MARKED, marked=True), Cause.CLOCK),
        (None, Usage(input=1000), told(), Cause.SHORT),
        (CLOCK, Usage(input=1000), told(), None),
        (None, Usage(input=500), told(), None),
        (None, Usage(input=2000, cache_read=2000), told(), None),
    ],
)
def test_why(found: Difference | None, usage: Usage, circumstances: Circumstances, cause: Cause | None) -> None:
    old, new = sized(9000, 10_000)
    said = broke(found, old, new, usage, PRICE, circumstances)
    assert (said and said.cause) == cause
    if said is not None and cause is not Cause.CLOCK:
        assert (said.position, said.role) == (3, ""), "nothing differs: what is new begins here"


def test_a_note_of_ours_that_the_next_request_does_not_repeat() -> None:
    old, new = sized(9000, 10_000, noted=True)
    found = broke(None, old, new, Usage(input=4000), PRICE, told())
    assert found is not None and found.cause == Cause.GATEWAY


def test_what_a_provider_reads_by_its_rules() -> None:
    old, new = sized(9000, 10_000)
    assert assumed(None, old, new, 4000, told()) == Usage(input=400, cache_read=3600)
    assert assumed(CLOCK, old, new, 8000, told()) == Usage(input=6400, cache_read=1600)
    assert assumed(CLOCK, old, new, 4000, told()) == Usage(input=4000), "shorter than the shortest that is cached"
    assert assumed(None, old, new, 4000, told(gap_ms=301_000)) == Usage(input=4000)
    assert assumed(None, old, new, 4000, told(MARKED)) == Usage(input=4000)
    assert assumed(None, old, new, 4000, told(MARKED, marked=True)) == Usage(cache_read=3600, cache_write_5m=400)
