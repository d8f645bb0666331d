"""What routing did, from entries and labels: parts sum to the whole, money is net, harm has an interval."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from jevons.core.entry import Outcome, first_id_of_ms
from jevons.core.features import Features
from jevons.core.interval import wilson
from jevons.core.label import Label
from jevons.core.routed import Option, Role, Routed
from jevons.core.saving import Saving, SavingKind
from jevons.economics.routing import WAYS, By, routing
from jevons.ledger.ops import KeyCreated, Labelled, Op, Opened, Posted
from jevons.ledger.rollup import DAY_MS
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key

SMALL, LARGE = (
    Option("small", "openai", "small-1", 0.9, 0.8, 100),
    Option("large", "openai", "large-1", cost_nusd=900, warm_nusd=40),
)
MONEY = ("saved_nusd", "cascade_nusd", "shadow_nusd", "forfeited_nusd", "net_nusd")


class Book:
    """A ledger of routed requests."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ops: list[Op] = [KeyCreated(make_key(1))]
        self._n = 0

    def request(self, why: str, *tries: tuple[str, Role, str, int], day: int = 0, route: str = "mail", ok: bool = True) -> int:
        """`tries`: (target, role, kind of its saving or "", nano-USD of it)."""
        self._n += 1
        first = first_id_of_ms(NOON_MS + day * DAY_MS + self._n)
        routed = Routed(route, why, 0, "full", 0.5, (SMALL, LARGE))
        for attempt, (target, role, kind, nusd) in enumerate(tries):
            hold = make_hold(first + attempt, target=target)
            savings = (Saving(SavingKind(kind), nusd, 0, True),) if kind else ()
            last = attempt == len(tries) - 1
            entry = make_entry(
                hold, 500, role=role, routed=routed, savings=savings, outcome=Outcome.OK if ok and last else Outcome.ERROR
            )
            self._ops += [Opened(hold), Posted(entry)]
        return first

    def label(self, request: int, *, harm: bool, weight: float = 1.0, **changes: Any) -> None:
        label = Label(
            request, 1, "default", "mail", "small", "large", good=not harm, harm=harm, grader="same", weight=weight, score=0.9, shown=True,
            at_ms=NOON_MS, features=Features(),
        )  # fmt: skip
        self._ops.append(Labelled(msgspec.structs.replace(label, **changes)))

    def write(self) -> Path:
        store = SqliteStore(self.path)
        store.apply(self._ops)
        store.close()
        return self.path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    book = Book(tmp_path / "ledger.db")
    for n in range(10):
        away = book.request("cheaper", ("small-1", Role.ANSWER, "route", 700), day=n % 2)
        book.label(away, harm=n == 0, weight=20.0)
    book.request("observed", ("large-1", Role.ANSWER, "prompt_client", 70))
    book.request("not-good-enough", ("large-1", Role.ANSWER, "", 0))
    book.request("cascade", ("small-1", Role.CASCADE, "route", -60), ("large-1", Role.ANSWER, "", 0), day=1)
    book.request("cheaper", ("small-1", Role.ANSWER, "", 0), ("large-1", Role.FAILOVER, "", 0))
    book.request("cheaper", ("small-1", Role.ANSWER, "", 0), ("small-1", Role.RETRY, "", 0), ok=False)
    shadow = book.request("observed", ("small-1", Role.SHADOW, "shadow", -500))
    book.request("observed", ("judge-1", Role.JUDGE, "shadow", -30))
    book.request("first", ("mini-1", Role.ANSWER, "student", 11), route="other")
    named = book.request("header", ("mini-1", Role.ANSWER, "", 0), route="")  # by a header: no route's
    book.label(named, harm=True, route="")
    book.label(shadow, harm=True, shown=False)
    book.label(shadow, harm=True, reference="")
    book.label(shadow, harm=True, at_ms=NOON_MS + 9 * DAY_MS, model="late")
    return book.write()


def test_what_went_elsewhere_what_it_saved_and_what_it_cost(path: Path) -> None:
    found = routing(path, until_ms=NOON_MS + 5 * DAY_MS, route="mail")
    assert (found.requests, found.routed) == (15, 11), (
        "a failover to the reference is no routed answer, a failed try elsewhere is"
    )
    assert (found.weighed, found.covered) == (15, 14)
    assert {name: getattr(found, name) for name in MONEY} == {
        "saved_nusd": 7_000,
        "cascade_nusd": -60,
        "shadow_nusd": -530,
        "forfeited_nusd": -440,
        "net_nusd": 5_970,
    }
    assert found.whys == {"cheaper": 12, "observed": 1, "not-good-enough": 1, "cascade": 1}
    assert found.harm == pytest.approx((0.1, *wilson(1, 10)))
    told = found.document()
    assert (told["routed_pct"], told["coverage_pct"]) == (pytest.approx(100 * 11 / 15), pytest.approx(100 * 14 / 15))
    assert told["harm_low_pct"] < 9.99 < told["harm_pct"] < 10.01 < told["harm_high_pct"]
    assert msgspec.json.decode(msgspec.json.encode(told)) == told


@pytest.mark.parametrize("by", WAYS)
def test_parts_sum_to_the_whole(path: Path, by: By) -> None:
    found = routing(path, by=by)
    assert found.requests == 16
    for name in ("requests", "routed", "weighed", "covered", "judged", "weight", "harmed", *MONEY):
        assert sum(getattr(row, name) for row in found.rows) == getattr(found, name), name
    labels = [row.label for row in found.rows]
    if by == "route":
        assert labels == ["mail", "other"]
    if by == "model":
        assert set(labels) == {"small", "large", "judge-1", "mini-1", "late"}
    if by == "day":
        assert labels == sorted(labels)
        assert len(labels) == 3


def test_labels_weigh_as_many_requests_as_they_stand_for(tmp_path: Path) -> None:
    book = Book(tmp_path / "ledger.db")
    for n in range(40):
        book.label(n << 4, harm=n == 0, weight=20.0 if n == 0 else 1.0)
    found = routing(book.write()).harm
    assert found is not None
    assert found[0] == pytest.approx(20 / 59)
    assert found[2] - found[1] > 0.5, "one label that stands for a third is worth few"


def test_nothing_routed_is_nothing(tmp_path: Path) -> None:
    found = routing(Book(tmp_path / "ledger.db").write())
    assert found.document() == {
        **dict.fromkeys(("requests", "routed", "weighed", "covered", "judged", *MONEY), 0),
        **dict.fromkeys(("routed_pct", "coverage_pct"), 0.0),
        **dict.fromkeys(("harm_pct", "harm_low_pct", "harm_high_pct")),
        "label": "",
        "rows": [],
        "whys": {},
    }
