"""Labels, what is learnt, and students: written once, read back as they were, gone with nothing."""

from pathlib import Path

import msgspec
import pytest

from jevons.core.entry import Outcome, first_id_of_ms
from jevons.core.features import Features
from jevons.core.label import Label
from jevons.core.routed import Option, Role, Routed
from jevons.ledger import routing
from jevons.ledger.ops import KeyCreated, Labelled, Learnt, Opened, Posted, StudentPut
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key
from tests.ledger.test_savings import rows

FEATURES = Features(dialect="chat", input_tokens=40, modalities=("image",), language="es")
LABEL = Label(
    first_id_of_ms(NOON_MS), 1, "acme", "easy", "small", "large", good=False, harm=True, grader="exact", weight=20.0, score=0.75,
    shown=False, at_ms=NOON_MS, features=FEATURES,
)  # fmt: skip


@pytest.fixture
def store(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    store.apply([KeyCreated(make_key(1))])
    return store


def test_labels_come_back_in_order_and_a_second_of_its_kind_is_passed_over(store: SqliteStore, path: Path) -> None:
    later = msgspec.structs.replace(LABEL, org="other", model="mini", score=None, good=True, harm=False, at_ms=NOON_MS + 5)
    store.apply([Labelled(LABEL), Labelled(msgspec.structs.replace(LABEL, good=True)), Labelled(later)])
    assert list(routing.labels(path)) == [LABEL, later]
    assert list(routing.labels(path, org="acme")) == [LABEL]
    assert list(routing.labels(path, route="nothing")) == []
    assert list(routing.labels(path, since_ms=NOON_MS + 1)) == [later]


def test_the_latest_labels_of_each_model(store: SqliteStore, path: Path) -> None:
    made = [
        msgspec.structs.replace(LABEL, request=16 * (10 * n + m), model=model, org=org, at_ms=NOON_MS + n)
        for n in range(4)
        for m, (org, model) in enumerate([("acme", "small"), ("acme", "mini"), ("other", "small")])
    ]
    elsewhere = msgspec.structs.replace(LABEL, request=16 * 99, route="hard")
    store.apply([Labelled(label) for label in [*made, elsewhere]])
    assert list(routing.latest_labels(path, "easy", 2)) == made[6:]
    assert list(routing.latest_labels(path, "easy", 9)) == made
    assert list(routing.latest_labels(path, "hard", 9)) == [elsewhere]


def test_what_is_learnt_is_replaced_by_its_name(store: SqliteStore, path: Path) -> None:
    store.apply(
        [
            Learnt("promise", "easy", "1", NOON_MS),
            Learnt("breaker", "easy", "2", NOON_MS),
            Learnt("promise", "easy", "3", NOON_MS),
        ]
    )
    assert routing.learnt(path, "promise") == {"easy": "3"}
    assert routing.learnt(path, "nothing") == {}


def test_a_student_has_a_state_and_a_history(store: SqliteStore, path: Path) -> None:
    trained = StudentPut("intents", 1, "acme", "trained", "{}", "made of 400 examples", NOON_MS)
    serving = StudentPut("intents", 1, "acme", "serving", '{"alpha":0.05}', "its promise holds", NOON_MS + 9)
    store.apply([trained, serving])
    store.apply([serving])  # the disk came back: it is written again
    assert routing.students(path) == [msgspec.structs.replace(serving, at_ms=NOON_MS)]
    assert routing.students(path, org="other") == []
    assert rows(path, "SELECT state, reason FROM student_events ORDER BY id") == [
        ("trained", "made of 400 examples"),
        ("serving", "its promise holds"),
    ]


def test_an_entry_says_what_it_was_for_and_how_it_was_routed(store: SqliteStore, path: Path) -> None:
    routed = Routed("easy", "promise", options=(Option("small", "local", "local", 0.9, 0.8, 12),), features=FEATURES)
    plain, other = make_hold(first_id_of_ms(NOON_MS)), make_hold(first_id_of_ms(NOON_MS + 1))
    store.apply(
        [Opened(plain), Opened(other), Posted(make_entry(plain, 1)), Posted(make_entry(other, 2, role=Role.HEDGE, routed=routed))]
    )
    assert rows(path, "SELECT role, route, routed_why FROM calls ORDER BY entry_id") == [
        ("", "", ""),
        ("hedge", "easy", "promise"),
    ]
    [(text,)] = rows(path, "SELECT routed FROM entries WHERE routed <> ''")
    assert msgspec.json.decode(text, type=Routed) == routed


def test_one_judgement_is_found_again(store: SqliteStore, path: Path) -> None:
    alone = msgspec.structs.replace(LABEL, reference="", grader="feedback")
    store.apply([Labelled(LABEL), Labelled(alone)])
    assert routing.label_of(path, LABEL.request, "small", "feedback") == alone
    assert routing.label_of(path, LABEL.request, "small", "exact") is None, "that one was held against another's answer"


def test_who_answered(store: SqliteStore, path: Path) -> None:
    """Of all attempts of a request, the one whose answer the client was given."""
    first = first_id_of_ms(NOON_MS)
    routed = Routed("easy", "cheaper", options=(Option("small", "local", "tiny"), Option("large", "openai", "sent")))
    tried = make_hold(first, run_id="r", upstream="local", target="tiny")
    large = make_hold(first + 1, run_id="r")
    late = make_hold(first + 2, run_id="r")
    failed = make_hold(first_id_of_ms(NOON_MS + 1), run_id="r")
    shadow = make_hold(first_id_of_ms(NOON_MS + 2), run_id="r")
    plain = make_hold(first_id_of_ms(NOON_MS + 3), run_id="r")
    posts = [
        make_entry(tried, 1, role=Role.CASCADE, routed=routed),
        make_entry(large, 2, role=Role.HEDGE, routed=routed),
        make_entry(late, 3, role=Role.HEDGE, routed=routed, outcome=Outcome.CANCELLED),
        make_entry(failed, 4, outcome=Outcome.ERROR),
        make_entry(shadow, 5, role=Role.SHADOW, routed=routed),
        make_entry(plain, 6),
    ]
    store.apply([*(Opened(post.hold) for post in posts), *(Posted(post) for post in posts)])
    found = routing.answered(path, first)
    assert found == routing.Answered(first, 1, "r", "asked", "openai", "sent", routed) and found.model == "large"
    assert routing.answered(path, failed.id) is routing.answered(path, shadow.id) is routing.answered(path, 16) is None
    assert found._replace(upstream="azure").model == "large", "the same model elsewhere"
    by_name = routing.answered(path, plain.id)
    assert by_name is not None and by_name.model == "asked"
    assert routing.answered_in_run(path, 1, "r", 9) == [by_name, found]
    assert routing.answered_in_run(path, 1, "r", 1) == [by_name]
    assert routing.answered_in_run(path, 2, "r", 9) == routing.answered_in_run(path, 1, "s", 9) == []


def test_what_samples_have_cost(store: SqliteStore, path: Path) -> None:
    easy, other = Routed("easy", "observed"), Routed("other", "observed")
    made = [
        (NOON_MS - 1, 1, Role.SHADOW, easy),
        (NOON_MS, 2, Role.SHADOW, easy),
        (NOON_MS + 1, 4, Role.JUDGE, easy),
        (NOON_MS + 2, 8, Role.SHADOW, other),
        (NOON_MS + 3, 16, Role.ANSWER, easy),
        (NOON_MS + 4, 32, Role.SHADOW, None),
    ]
    for at_ms, nusd, role, routed in made:
        hold = make_hold(first_id_of_ms(at_ms))
        store.apply([Opened(hold), Posted(make_entry(hold, nusd, role=role, routed=routed))])
    assert routing.sampled_nusd(path, NOON_MS) == {"easy": 6, "other": 8}
