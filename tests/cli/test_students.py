"""`jevons students` and `jevons capture` as commands: from captured examples to a student that serves, one step back, and consent withdrawn."""

import sys
from pathlib import Path

import msgspec
import pytest

from jevons.core.features import Features
from jevons.core.label import Label
from jevons.ledger.capture import FILE, SECRET, Captured, Example
from jevons.ledger.home import Home, write_private
from jevons.ledger.ops import KeyCreated, KeySettings, Labelled
from jevons.ledger.sqlite import SqliteStore
from tests.cli.conftest import Done, Run
from tests.distil.made import examples
from tests.distil.test_classes import entered_now
from tests.learn.asked import intents
from tests.ledger.making import make_key
from tests.running import Jevons

TRAIN = ("students", "train", "intents")


def captured(home: Path, made: list[Example]) -> None:
    held = Captured(home / FILE, Home(home).secret(SECRET))
    held.put(made)
    held.close()


@pytest.fixture
def ready(home: Path) -> Path:
    """A ledger with the keys key-1 and key-2, and captured examples of both; key-1 opted in."""
    store = SqliteStore(Home(home).ledger)
    store.apply([KeyCreated(make_key(1)), KeyCreated(make_key(2)), KeyCreated(make_key(3, settings=KeySettings(org="acme")))])
    store.close()
    write_private(home / "jevons.toml", '[capture]\nkeys = ["key-1"]\norgs = ["acme"]\n')
    captured(home, examples(intents(260)))
    others = [msgspec.structs.replace(one, key_id=2) for one in examples(intents(40, seed=7), first=300)]
    captured(home, others)
    return home


def files(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "students").iterdir())


def events(done: Done) -> list[str]:
    assert done.status == 0, done.err
    return [line.split(" (")[0] for line in done.out.splitlines()]


def test_a_student_s_life(jevons: Run, ready: Path) -> None:
    """Made, made again, let answer, one step back, taken away."""
    first = jevons(*TRAIN, "--alpha", "0.1", "--delta", "0.1").out
    assert "Made intents@1 in" in first and "classifier, 5 answers to choose from" in first and "taught by gpt-4o" in first
    again = jevons(*TRAIN, "--alpha", "0.1", "--delta", "0.1", "--json").json
    assert (again["version"], again["state"], again["org"], again["card"]["parent"]) == (2, "shadow", "default", 1)
    assert again["card"]["scope"] == {"templates": ["t1"], "task": ""} and again["card"]["provenance"]["read"] == 300
    assert files(ready) == ["intents@1.student", "intents@2.student"]
    assert events(jevons("students", "serve", "intents@1")) == ["intents@1: serving"]
    assert events(jevons("students", "serve", "intents")) == ["intents@2: serving", "intents@1: trained"]
    assert events(jevons("students", "rollback", "intents")) == ["intents@2: trained", "intents@1: serving"]
    assert events(jevons("students", "serve", "intents@2", "--shadow")) == ["intents@2: shadow"]
    listed = [(row["version"], row["state"]) for row in jevons("students", "list", "--json").json["students"]]
    assert listed == [(1, "serving"), (2, "shadow")]
    shown = jevons("students", "show", "intents").out
    assert "intents@1  serving: rolled back from version 2" in shown and "follows version 1" in shown
    assert events(jevons("students", "withdraw", "intents@2")) == ["intents@2: withdrawn"]
    assert files(ready) == ["intents@1.student"]
    table = " ".join(jevons("students", "list").out.split())
    assert "intents@1 serving classifier default" in table and "intents@2 withdrawn" in table
    found = jevons("students", "loop", "--json").json["students"]
    assert [(one["name"], one["versions"], one["saved_nusd"], one["break_even_ms"]) for one in found] == [("intents", 2, 0, None)]
    assert found[0]["training_nusd"] > 0 and "not foreseen" in jevons("students", "loop", "intents").out


def test_complaints_and_the_task_decide_what_is_trained_on(jevons: Run, ready: Path) -> None:
    made = examples(intents(260))
    store = SqliteStore(ready / "ledger.db")
    bad = [
        Label(one.request, 1, "default", "easy", one.model, "", False, True, "feedback", 1.0, None, True, 0, Features())
        for one in made[:5]
    ]
    store.apply([Labelled(label) for label in bad])
    store.close()
    card = jevons(*TRAIN, "--json").json["card"]
    assert card["provenance"]["dropped"]["complaint"] == 5 and card["provenance"]["read"] == 300
    missing = jevons(*TRAIN, "--task", "invoices")
    assert missing.status == 1 and "0 examples can be used" in missing.err


def test_a_student_has_one_teacher(jevons: Run, ready: Path) -> None:
    """A small model's shown answers are none of the large one's."""
    small = [msgspec.structs.replace(one, model="gpt-4o-mini", answer="no") for one in examples(intents(210, seed=5), first=600)]
    captured(ready, small)
    of = jevons(*TRAIN, "--json").json["card"]["provenance"]
    assert (of["teachers"], of["read"], of["dropped"]["of another model"]) == (["gpt-4o"], 510, 210)
    assert "210 of another model" in jevons("students", "show", "intents").out
    other = jevons(*TRAIN, "--teacher", "gpt-5")
    assert other.status == 1 and "0 examples can be used" in other.err and "510 of another model" in other.err
    entered_now(ready / "ledger.db", template="t1")
    assert jevons("students", "classes", "--json").json["groups"][0]["examples"] == 300


def test_what_cannot_be_made_is_said(jevons: Run, ready: Path) -> None:
    for arguments, said in (
        (("students", "train", "a/b"), "cannot be a student's name"),
        ((*TRAIN, "--org", "acme"), "Nothing is captured of organisation 'acme' with template None"),
        ((*TRAIN, "--template", "zz"), "Captured: t1: 300 examples."),
        (("students", "serve", "nobody"), "There is no student 'nobody'. Students: none."),
        (("students", "serve", "nobody@x"), "write NAME or NAME@VERSION"),
        (("students", "show", "nobody"), "There is no student"),
    ):
        done = jevons(*arguments)
        assert done.status in (1, 2) and said in done.err and "Traceback" not in done.err
    captured(ready, examples(intents(3), template="", first=900))
    several = jevons(*TRAIN)
    assert several.status == 1 and "name one with --template. Captured: t1: 300 examples, (none): 3 examples." in several.err
    few = jevons(*TRAIN, "--template", "")
    assert few.status == 1 and "3 examples can be used, and 200 are the least" in few.err
    assert jevons(*TRAIN, "--template", "t").status == 0
    assert jevons(*TRAIN, "--json").json["version"] == 2  # of the same kind
    other = jevons(*TRAIN, "--org", "acme", "--template", "t1")
    assert other.status == 1 and "taken by a student of another organisation" in other.err


def test_without_anything_it_says_what_to_do(jevons: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No students yet" in jevons("students", "list").out and "No students yet" in jevons("students", "loop").out
    assert "No routed request was seen" in jevons("students", "classes").out
    SqliteStore(Home(home).ledger).close()
    assert "Nobody is captured" in jevons("capture", "status").out and "No key opted in" in jevons("capture", "consent").out
    assert "No students yet" in jevons("students", "list").out and "No students yet" in jevons("students", "loop").out
    assert "No routed request was seen" in jevons("students", "classes").out
    assert "name its keys under [capture]" in jevons(*TRAIN).err
    assert jevons("capture", "erase", "--org", "acme", "--json").json == {"examples": 0, "students": [], "routers": []}
    captured(home, examples(intents(200)))
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert "Install all that it needs with:" in jevons(*TRAIN).err


def test_what_is_kept_and_who_agreed(jevons: Run, ready: Path) -> None:
    found = jevons("capture", "status", "--json").json
    assert found["on"] and [(one["key"], one["examples"]) for one in found["held"]] == [("key-1", 260), ("key-2", 40)]
    assert "key-1" in jevons("capture", "status").out
    agreed = jevons("capture", "consent", "--json").json["keys"]
    assert [(one["key"], one["opted_in"], one["examples"]) for one in agreed] == [
        ("key-1", True, 260),
        ("key-2", False, 40),
        ("key-3", True, 0),
    ]
    assert "key-2 did not opt in, or withdrew: jevons capture erase --key key-2" in jevons("capture", "consent").out


def test_consent_withdrawn_finds_examples_and_the_students_that_hold_them(jevons: Run, ready: Path) -> None:
    jevons(*TRAIN)
    captured(ready, examples(intents(210, seed=3), template="t2", first=1_000))
    jevons("students", "train", "others", "--template", "t2")  # of key-1's alone
    marked = jevons(
        "capture", "erase", "--request", "req_" + f"{examples(intents(1))[0].request >> 4:015x}", "--keep-students", "--json"
    ).json
    assert marked["examples"] == 1
    assert [(one["name"], one["state"]) for one in marked["students"]] == [("intents", "shadow")]
    assert "to be made anew: 1 captured example erased" in jevons("students", "show", "intents").out
    said = jevons("capture", "erase", "--key", "key-2").out
    assert said.splitlines() == ["Erased 40 examples.", "intents@1: withdrawn (40 captured examples erased)."]
    assert files(ready) == ["others@1.student"]
    gone = jevons("capture", "erase", "--org", "default", "--json").json
    assert gone["examples"] == 259 + 210 and [(one["name"], one["state"]) for one in gone["students"]] == [
        ("others", "withdrawn")
    ]
    assert files(ready) == [] and jevons("capture", "status", "--json").json["held"] == []


def test_an_erasure_names_one_thing(jevons: Run, ready: Path) -> None:
    for arguments, said in (
        ((), "Name one of --org, --key, --request."),
        (("--org", "a", "--key", "key-1"), "Name one of"),
        (("--org", "a", "--keep-students"), "they are withdrawn"),
        (("--request", "nonsense"), "is not a request id"),
        (("--key", "kye-1"), "Did you mean"),
    ):
        done = jevons("capture", "erase", *arguments)
        assert done.status == 2 and said in done.err


def test_a_gateway_that_serves_writes_it(jevons: Run, ready: Path) -> None:
    with Jevons(ready):
        made = jevons(*TRAIN, "--json").json
        assert (made["version"], made["state"]) == (1, "shadow")
        assert events(jevons("students", "serve", "intents")) == ["intents@1: serving"]
        assert jevons("capture", "erase", "--key", "key-1", "--json").json["students"][0]["state"] == "withdrawn"
    assert [row["state"] for row in jevons("students", "list", "--json").json["students"]] == ["withdrawn"]


def test_classes_for_people(jevons: Run, ready: Path) -> None:
    """What it says of a ledger with routed requests and of their captured examples."""
    entered_now(ready / "ledger.db", template="t1")
    said = " ".join(jevons("students", "classes").out.split())
    assert "t1" in said and "classifier" in said and "questions alike in meaning" in said and "took no route" in said
    found = jevons("students", "classes", "--days", "1", "--json").json
    assert found["groups"][0]["examples"] == 300 and found["unread"] == 1
