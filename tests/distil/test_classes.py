"""Task classes that are worth a student: by what the ledger knows, and by captured examples where there are some."""

import time
from pathlib import Path
from typing import Any

import msgspec

from jevons.core.entry import Outcome, first_id_of_ms
from jevons.core.features import Features
from jevons.core.routed import Option, Role, Routed
from jevons.core.usage import Usage
from jevons.distil.classes import report
from jevons.ledger.capture import Example
from jevons.ledger.ops import KeyCreated, Opened, Posted
from jevons.ledger.rollup import DAY_MS
from jevons.ledger.sqlite import SqliteStore
from tests.distil.made import examples
from tests.learn.asked import embed, intents, orders
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key

SHORT, LONG = Usage(input=100, output=5), Usage(input=100, output=900)
OPTIONS = (Option("gpt-4o", "openai", "big"),)
DAYS = 2


def entered(path: Path) -> None:
    store = SqliteStore(path)
    store.apply([KeyCreated(make_key(1))])
    kinds: list[tuple[int, int, Usage, Features | None, dict[str, Any], dict[str, Any]]] = [
        (40, 1_000, SHORT, Features(template="aa"), {"target": "big"}, {}),
        (20, 9_000, LONG, Features(template="bb", schema=True), {"target": "big"}, {}),
        (10, 500, LONG, Features(template="cc", task="chat"), {"target": "big"}, {}),
        (5, 100, SHORT, Features(template="dd", tools=3), {"target": "big"}, {}),
        (3, 700, SHORT, None, {"target": "big"}, {}),
        (9, 5_000, SHORT, Features(template="aa"), {"target": "big"}, {"role": Role.SHADOW}),
        (9, 5_000, SHORT, Features(template="aa"), {"target": "s@1", "upstream": "student"}, {}),
        (9, 5_000, SHORT, Features(template="aa"), {"target": "big"}, {"outcome": Outcome.ERROR}),
    ]
    for kind, (count, nusd, usage, features, holds, entries) in enumerate(kinds):
        for number in range(count):
            at_ms = NOON_MS + kind + number * DAYS * DAY_MS // count
            body = (number % 4 if kind == 2 else number).to_bytes(16, "little")
            hold = make_hold(first_id_of_ms(at_ms), nusd, chain=body, **holds)
            routed = Routed("easy", "only", options=OPTIONS, features=features) if features is not None else None
            store.apply([Opened(hold), Posted(make_entry(hold, nusd, usage=usage, routed=routed, **entries))])
    store.close()


def entered_now(path: Path, template: str) -> None:
    """Ten routed requests of a template, and one that took no route, a moment ago."""
    store = SqliteStore(path)
    for number in range(11):
        hold = make_hold(first_id_of_ms(int(time.time() * 1000) - 1_000 + number), 2_000_000, target="big")
        routed = Routed("easy", "only", options=OPTIONS, features=Features(template=template)) if number else None
        store.apply([Opened(hold), Posted(make_entry(hold, 2_000_000, usage=SHORT, routed=routed))])
    store.close()


def test_by_the_ledger_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    entered(path)
    found = report(path, NOON_MS, NOON_MS + DAYS * DAY_MS, None, None)
    assert (found.unread, found.unread_nusd) == (3, 2_100) and 1.9 < found.days < 2.0
    by = {one.template: one for one in found.groups}
    assert {name: (one.requests, one.nusd, one.rung) for name, one in by.items()} == {
        "aa": (40, 40_000, "classifier"),
        "bb": (20, 180_000, "extractor"),
        "cc": (10, 5_000, "table"),
        "dd": (5, 500, ""),
    }
    assert [one.template for one in found.groups] == ["cc", "bb", "aa", "dd"]  # what is known to be saved, then what is spent
    assert (by["cc"].repeat_share, by["cc"].share, by["cc"].task) == (0.6, 0.6, "chat")
    assert by["cc"].saves_month_nusd == round(by["cc"].month_nusd * 0.6) and 74_000 < by["cc"].month_nusd < 79_000
    assert by["aa"].share is by["aa"].payback_days is by["aa"].saves_month_nusd is None
    assert by["cc"].payback_days is not None and by["cc"].payback_days > 200 / (10 / found.days)


def test_captured_examples_tell_how_much_could_be_taken(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    entered(path)
    held = {"aa": examples(intents(300)), "bb": examples(orders(150)), "cc": examples(intents(30), task="other")}

    def read(org: str, template: str) -> list[Example]:
        return held.get(template, []) if org == "default" else []

    held["aa"] += [msgspec.structs.replace(one, model="small") for one in examples(intents(9), first=900)]  # another row's
    by = {one.template: one for one in report(path, NOON_MS, NOON_MS + DAYS * DAY_MS, read, embed).groups}
    assert {one.model for one in by.values()} == {"gpt-4o"}
    aa, bb, cc = by["aa"], by["bb"], by["cc"]
    assert (aa.rung, aa.examples, bb.rung, bb.examples, cc.examples) == ("classifier", 300, "extractor", 150, 0)
    assert aa.share is not None and aa.share > 0.9 and aa.payback_days is not None and aa.saves_month_nusd is not None
    assert bb.share is not None and bb.share < 0.1  # the nearest order is another one: a table would take nothing
    assert len(aa.clusters) >= 3 and 0.7 < sum(one.share for one in aa.clusters) <= 1
    assert all(one.answers >= 1 and one.request in {example.request for example in held["aa"]} for one in aa.clusters)


def test_an_empty_ledger_has_no_classes(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "ledger.db").close()
    found = report(tmp_path / "ledger.db", 0, NOON_MS, None, None)
    assert (found.groups, found.days, found.unread) == ((), 0.0, 0)
