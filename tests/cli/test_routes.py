"""`jevons routes` as a command: what stands, what was done, why."""

import tomllib
from pathlib import Path

import pytest

from jevons.cli.routes import WORDS
from jevons.core.entry import first_id_of_ms, request_text
from jevons.core.features import Features
from jevons.core.label import Label
from jevons.core.routed import Option, Role, Routed
from jevons.core.saving import Saving, SavingKind
from jevons.gateway.promises import KIND, LOOKS, Promises
from jevons.learn.place import FOLDER, path_of
from jevons.ledger.ops import KeyCreated, Labelled, Learnt, Op, Opened, Posted, StudentPut
from jevons.ledger.routing import learnt
from jevons.ledger.sqlite import SqliteStore
from jevons.policy.objective import Why
from jevons.policy.routes import Route
from tests.cli.conftest import Run
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key

CONFIG = """
[[routes]]
name = "mail"
to = ["small", "large"]
choose = "learned"
alpha = 0.1
stage = "full"

[[routes]]
name = "new"
to = ["small", "large"]
choose = "learned"

[[routes]]
name = "rest"
to = ["large"]
"""
SMALL = Option("small", "openai", "small-1", 0.93, 0.9, 100_000_000, 250)
LARGE = Option("large", "openai", "large-1", None, None, 900_000_000, warm_nusd=40_000_000)
FIRST = first_id_of_ms(NOON_MS)


def predicted(home: Path) -> None:
    """Its predictor is there."""
    path = path_of(home / FOLDER, "acme", "mail")
    path.parent.mkdir(parents=True)
    path.touch()


@pytest.fixture
def routed(home: Path) -> Path:
    """A route with a promise, one of its requests that went elsewhere, and its shadow; and a request that no route took."""
    home.mkdir(mode=0o700)
    (home / "jevons.toml").write_text(CONFIG)
    ops: list[Op] = [KeyCreated(make_key(1))]
    made = list[Learnt]()
    promises = Promises((Route("mail", ("small", "large"), choose="learned", alpha=0.1, stage="full"),), made.append)  # type: ignore[arg-type]
    for n in range(LOOKS[0]):
        label = Label(
            n << 4, 1, "acme", "mail", "small", "large", good=True, harm=False, grader="same", weight=20.0, score=0.9 + n / 10_000, shown=n < 20,
            at_ms=NOON_MS + n, features=Features(),
        )  # fmt: skip
        promises.learn(label)
        ops.append(Labelled(label))
    ops += made[-1:]
    routed = Routed("mail", Why.CHEAPER, 0, "full", 0.25, (SMALL, LARGE))
    for entry_id, target, role, said, saving in (
        (FIRST, "small-1", Role.ANSWER, routed, Saving(SavingKind.ROUTE, 700_000_000, 0)),
        (FIRST + 16, "large-1", Role.SHADOW, routed, Saving(SavingKind.SHADOW, -300_000_000, 0)),
        (FIRST + 32, "large-1", Role.ANSWER, None, None),
    ):
        hold = make_hold(entry_id, target=target)
        entry = make_entry(hold, 300_000_000, role=role, routed=said, savings=(saving,) if saving else ())
        ops += [Opened(hold), Posted(entry)]
    store = SqliteStore(home / "ledger.db")
    store.apply(ops)
    store.close()
    return home


def test_what_stands_of_each_route(jevons: Run, routed: Path) -> None:
    predicted(routed)
    said = jevons("routes")
    assert said.status == 0
    words = " ".join(said.out.split())
    assert "mail acme share small 0.900 100.0%" in words
    assert "of 10% (95%)" in words
    assert f"{LOOKS[0]} (look at {LOOKS[1]})" in words
    assert "mail, acme: share since 2026-" in words
    assert "small: 200 labels." in words
    assert "new up to observe small > large no label yet" in words
    mail, new, rest = jevons("routes", "--json").json["routes"]
    assert mail["orgs"][0]["stage"] == "share"
    (small,) = mail["orgs"][0]["models"]
    assert small["threshold"] == pytest.approx(0.9)
    assert small["bound_pct"] < 10
    assert (small["labels"], small["next_look"], small["judged_since"]) == (LOOKS[0], LOOKS[1], 0)
    assert new["orgs"] == rest["orgs"] == []


def test_what_routing_did(jevons: Run, routed: Path) -> None:
    said = " ".join(jevons("routes", "report").out.split())
    assert "mail 1 100.0% 100.0% 0.0% (0.0-16.1) of 20" in said
    assert "$0.7000 -$0.3000 $0.0000 -$0.0400 $0.3600" in said.replace("$0 ", "$0.0000 ") or "$0.36" in said
    assert f"1 {WORDS[Why.CHEAPER]}" in said
    found = jevons("routes", "report", "--by", "model", "--json").json
    assert found["net_nusd"] == 360_000_000
    assert {row["label"] for row in found["rows"]} == {"small", "large"}
    assert jevons("routes", "report", "--from", "2027-01-01").out.startswith("No route took a request")
    assert jevons("routes", "report", "--route", "rest", "--json").json["requests"] == 0
    assert jevons("routes", "report", "--from", "2026-02-01", "--to", "2026-01-01").status == 2


def test_why_a_request_went_where_it_went(jevons: Run, routed: Path) -> None:
    request = request_text(FIRST)
    said = " ".join(jevons("routes", "explain", request).out.split())
    assert f"{request}: asked for asked, route mail, stage full, draw 0.2500" in said
    assert f"cheaper: {WORDS[Why.CHEAPER]}." in said
    assert "chosen small openai/small-1 0.930 0.900" in said
    assert "250 ms" in said
    assert "large (reference) openai/large-1" in said
    assert "answer: openai/small-1, ok" in said
    found = jevons("routes", "explain", request, "--json").json
    assert [option["model"] for option in found["options"]] == ["small", "large"]
    assert (found["why"], found["chosen"], found["attempts"][0]["target"]) == ("cheaper", 0, "small-1")
    assert "shadow: openai/large-1" in jevons("routes", "explain", request_text(FIRST + 16)).out


def test_what_cannot_be_explained_is_said(jevons: Run, routed: Path) -> None:
    assert jevons("routes", "explain", "moon").status == 2
    missing = jevons("routes", "explain", request_text(FIRST + 1600))
    assert (missing.status, "There is no entry" in missing.err) == (1, True)
    plain = jevons("routes", "explain", request_text(FIRST + 32))
    assert (plain.status, "by its name alone" in plain.err) == (1, True)


def test_without_routes_it_says_how_to_make_one(jevons: Run, home: Path) -> None:
    assert 'stage = "observe"' in jevons("routes").out
    assert jevons("routes", "--json").json == {"routes": []}


def test_its_example_is_toml(jevons: Run, home: Path) -> None:
    lines = [line for line in jevons("routes").out.splitlines() if line.startswith("  ")]
    assert tomllib.loads("\n".join(lines))["routes"][0]["to"] == ["a-small-model", "a-large-model"]


def test_a_route_with_labels_and_no_predictor_says_what_to_do(jevons: Run, routed: Path) -> None:
    """And what was promised of its scores does not stand."""
    told = f"mail, acme: {LOOKS[0]} labelled requests and no predictor; train it: jevons routes train mail --org acme"
    words = " ".join(jevons("routes").out.split())
    assert told in words and "mail acme share small no promise" in words and "small: no predictor scores it." in words
    assert told in jevons("routes", "report").out and told not in jevons("routes", "report", "--route", "rest").out
    assert jevons("routes", "report", "--json").json["untrained"] == [{"route": "mail", "org": "acme", "labelled": LOOKS[0]}]
    predicted(routed)
    assert "labelled requests" not in jevons("routes").out + jevons("routes", "report").out


def test_a_withdrawn_student_promises_nothing(jevons: Run, routed: Path) -> None:
    (routed / "jevons.toml").write_text(CONFIG.replace('to = ["small", "large"]', 'to = ["student/s", "large"]', 1))
    store = SqliteStore(routed / "ledger.db")
    name, state = next(iter(learnt(routed / "ledger.db", KIND).items()))
    store.apply(
        [
            Learnt(KIND, name, state.replace('"small"', '"student/s@1"'), NOON_MS),
            StudentPut("s", 1, "acme", "withdrawn", "{}", "4 captured examples erased", NOON_MS),
        ]
    )
    store.close()
    words = " ".join(jevons("routes").out.split())
    assert "mail acme share student/s@1 no promise" in words and "withdrawn: 4 captured examples erased." in words


def test_every_reason_has_words() -> None:
    assert set(WORDS) == set(Why)
