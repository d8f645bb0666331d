"""Promises as they live: made of labels, watched, tightened, withdrawn, and the same after a restart."""

from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from jevons.core.entry import first_id_of_ms
from jevons.core.features import Features
from jevons.core.label import Label
from jevons.core.limits import PROMISE_MODELS_MAX
from jevons.core.routed import Stage
from jevons.gateway import promises
from jevons.gateway.promises import LOOKS, RECENT, Promises, Standing, read
from jevons.ledger import routing
from jevons.ledger.ops import KeyCreated, Labelled, Learnt
from jevons.ledger.sqlite import SqliteStore
from jevons.policy.drift import WINDOW
from jevons.policy.promise import Judged, at_most, spent
from jevons.policy.routes import Route
from tests.ledger.making import make_key

ROUTE = Route("mail", ("small", "large"), choose="learned", alpha=0.1, delta=0.1, stage=Stage.FULL)
NOTHING = Standing(None, Stage.SHADOW)


class Bench:
    """Promises with all that they say, and labels that follow one another."""

    def __init__(self, *routes: Route) -> None:
        self.learnt: list[Learnt] = []
        self.withdrawn: list[tuple[str, str, str, str]] = []
        self.promises = Promises(routes or (ROUTE,), self.learnt.append)
        self.promises.on_withdrawn = lambda *told: self.withdrawn.append(told)
        self.labels: list[Label] = []

    def label(self, *, harm: bool = False, score: float = 0.9, **changes: Any) -> Label:
        number = len(self.labels) + 1
        at_ms = changes.setdefault("at_ms", 1_000 + number)
        plain = Label(
            first_id_of_ms(at_ms), 1, "acme", "mail", "small", "large", good=not harm, harm=harm, grader="same", weight=20.0, score=score,
            shown=False, at_ms=at_ms, features=Features(),
        )  # fmt: skip
        self.labels.append(msgspec.structs.replace(plain, **changes))
        return self.labels[-1]

    def learn(self, n: int, harm_pct: int = 0, **changes: Any) -> None:
        """n labels with harm spread evenly."""
        for i in range(n):
            self.promises.learn(self.label(harm=i * harm_pct % 100 >= 100 - harm_pct, **changes))

    def standing(self, org: str = "acme", model: str = "small", route: Route = ROUTE) -> Standing:
        return self.promises.standing(org, route, model)


def test_nothing_is_promised_before_a_first_look_and_then_the_route_goes_on_step_by_step() -> None:
    bench = Bench()
    assert bench.standing() == NOTHING
    bench.learn(LOOKS[0] - 1)
    assert bench.standing() == NOTHING
    bench.learn(1)
    assert bench.standing() == Standing(0.9, Stage.SHARE, coverage=1.0)
    bench.learn(49, shown=True)
    assert bench.standing().stage is Stage.SHARE
    bench.learn(1, shown=True)
    assert bench.standing() == Standing(0.9, Stage.FULL, coverage=1.0)
    assert not bench.withdrawn


def test_the_operator_has_the_last_word_on_the_stage() -> None:
    observed = msgspec.structs.replace(ROUTE, stage=Stage.OBSERVE)
    bench = Bench(observed)
    bench.learn(LOOKS[0])
    assert bench.standing(route=observed) == Standing(0.9, Stage.OBSERVE, coverage=1.0)


def test_low_scores_that_harm_stay_with_the_reference() -> None:
    bench, random = Bench(), Random(3)
    for _ in range(LOOKS[1]):
        score = random.random()
        bench.promises.learn(bench.label(score=score, harm=score < 0.4))
    threshold, _, coverage = msgspec.structs.astuple(bench.standing())
    assert 0.3 < threshold < 0.5
    assert 0.5 < coverage < 0.7


def test_who_listens_to_withdrawals_is_nobody_s_duty() -> None:
    bench = Bench()
    bench.promises.on_withdrawn = None
    bench.learn(LOOKS[0])
    bench.learn(20, harm_pct=100)
    assert bench.standing() == NOTHING


def test_nobody_else_gains_by_an_organisations_labels() -> None:
    bench = Bench(ROUTE, msgspec.structs.replace(ROUTE, name="other"))
    bench.learn(LOOKS[0])
    assert bench.standing("elsewhere") == NOTHING
    assert bench.standing(model="mini") == Standing(None, Stage.SHARE), "a route goes on as a whole; a threshold is a model's own"
    assert bench.standing(route=msgspec.structs.replace(ROUTE, name="other")) == NOTHING


@pytest.mark.parametrize(
    "changes",
    [
        {"score": None},
        {"reference": "older"},
        {"grader": "feedback", "reference": ""},
        {"grader": "exact"},
        {"model": "large"},
        {"route": "gone"},
    ],
)
def test_what_says_nothing_of_the_promise_does_not_count(changes: dict[str, Any]) -> None:
    bench = Bench()
    bench.learn(LOOKS[0], **changes)
    assert bench.standing() == NOTHING
    assert not bench.learnt


def test_feedback_counts_where_the_operator_says_so() -> None:
    route = msgspec.structs.replace(ROUTE, grader="feedback")
    bench = Bench(route)
    bench.learn(LOOKS[0], grader="feedback", reference="")
    assert bench.standing(route=route).threshold == 0.9


def test_harm_above_alpha_withdraws_the_promise_at_once_and_labels_begin_anew() -> None:
    bench = Bench()
    bench.learn(LOOKS[0])
    bench.learn(50, shown=True)
    assert bench.standing().stage is Stage.FULL
    bench.learn(20, harm_pct=100, shown=True)
    assert bench.standing() == NOTHING
    assert bench.withdrawn == [("acme", "mail", "small", "harm is above alpha")]
    bench.learn(LOOKS[0] - 130)
    assert bench.standing() == NOTHING, "the bad ones are among the latest hundred that are kept"
    bench.learn(LOOKS[1])
    assert bench.standing().threshold == 0.9


def test_more_harm_is_looked_at_with_recent_labels_alone() -> None:
    """There was none of it; now those that score least do harm."""
    bench, random = Bench(), Random(5)
    for _ in range(LOOKS[1]):
        bench.promises.learn(bench.label(score=random.random()))
    before = bench.standing()
    assert before.threshold is not None
    assert before.threshold < 0.1
    for _ in range(100):
        score = random.random()
        bench.promises.learn(bench.label(score=score, harm=score < 0.22))
    after = bench.standing()
    assert after.threshold is not None
    assert after.stage is Stage.SHARE
    assert not bench.withdrawn
    assert before.threshold < after.threshold < 0.2
    assert after.coverage == pytest.approx(1 - after.threshold, abs=0.05)
    known = read({bench.learnt[-1].name: bench.learnt[-1].state})["acme", "mail"].models["small"]
    assert known.reason == "harm has become more: recent labels"
    assert known.seen == RECENT


def test_a_drift_never_lowers_a_threshold() -> None:
    """Recent labels promise more than there was, but they are few: it takes a look at all of them."""
    bench, random = Bench(), Random(3)
    for _ in range(LOOKS[1]):
        score = random.random()
        bench.promises.learn(bench.label(score=score, harm=score < 0.4))
    before = bench.standing()
    bench.learn(RECENT - 100, score=0.2)
    bench.learn(100, harm_pct=17)
    assert bench.standing() == Standing(before.threshold, Stage.SHARE, coverage=100 / RECENT)


def test_where_recent_labels_promise_nothing_more_harm_withdraws() -> None:
    bench = Bench()
    bench.learn(LOOKS[0])
    bench.learn(300, harm_pct=15)
    assert bench.standing() == NOTHING
    assert bench.withdrawn[0][3] == "harm has become more, and recent labels promise nothing"


def test_a_later_look_withdraws_what_has_come_above_alpha() -> None:
    """So slowly that the watch has seen nothing: 66 of 600 were harmed."""
    bench = Bench()
    bench.learn(LOOKS[0], harm_pct=5)
    bench.learn(LOOKS[1] - LOOKS[0] - 1, harm_pct=14)
    assert bench.standing().threshold == 0.9
    bench.learn(1, harm_pct=100)
    assert bench.standing() == NOTHING
    assert bench.withdrawn == [("acme", "mail", "small", "600 labels promise nothing any more")]


def test_a_later_look_with_less_to_go_by_takes_nothing_back() -> None:
    """46 of 600 were harmed: no proof any more, for a second look; and no more than alpha."""
    bench = Bench()
    bench.learn(LOOKS[0], harm_pct=5)
    bench.learn(LOOKS[1] - LOOKS[0], harm_pct=9)
    assert bench.standing() == Standing(0.9, Stage.SHARE, coverage=1.0)
    assert not bench.withdrawn


def test_whoever_has_very_many_labels_keeps_the_latest_and_is_looked_at_again() -> None:
    bench = Bench()
    bench.learn(LOOKS[-1])
    assert bench.standing().threshold == 0.9
    known = read({bench.learnt[-1].name: bench.learnt[-1].state})["acme", "mail"].models["small"]
    assert known.seen == LOOKS[-2]
    bench.learn(LOOKS[-1] - LOOKS[-2], score=0.8)
    assert bench.standing() == Standing(0.8, Stage.SHARE, coverage=1.0)


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ledger.db")
    store.apply([KeyCreated(make_key(1))])
    bench = Bench()
    bench.learn(LOOKS[0] + 65, shown=True)  # the last fifteen have changed nothing that is written at once
    store.apply([*(Labelled(label) for label in bench.labels), *bench.learnt])
    again = Bench()
    again.promises.recall(routing.learnt(tmp_path / "ledger.db", "promise"), routing.labels(tmp_path / "ledger.db"))
    assert again.standing() == bench.standing() == Standing(0.9, Stage.FULL, coverage=1.0)
    again.labels = list(bench.labels)
    for both in (bench, again):
        both.learn(LOOKS[1] - LOOKS[0] - 65, harm_pct=1)
    assert again.standing() == bench.standing()
    assert again.learnt[-1] == bench.learnt[-1]
    lost = Bench()
    lost.promises.recall({}, bench.labels)
    assert lost.learnt[-1].state == bench.learnt[-1].state, "labels alone say it all"
    store.close()


def test_other_terms_are_looked_at_with_the_labels_there_are() -> None:
    bench = Bench()
    bench.learn(LOOKS[1], harm_pct=6)
    assert bench.standing().threshold == 0.9
    states = {bench.learnt[-1].name: bench.learnt[-1].state, '["acme","gone"]': bench.learnt[-1].state}
    for changes, threshold in (
        ({"alpha": 0.2}, 0.9),
        ({"grader": "exact"}, None),
        ({"alpha": 0.01}, None),
        ({"to": ("small", "huge")}, None),
    ):
        route = msgspec.structs.replace(ROUTE, **changes)
        other = Bench(route)
        other.promises.recall(states, bench.labels)
        assert other.standing(route=route).threshold == threshold
        assert len(other.withdrawn) == (threshold is None)


def test_a_new_predictor_brings_its_own_evidence() -> None:
    bench = Bench()
    bench.learn(LOOKS[0])
    brought = [Judged(0.7, i % 50 == 0) for i in range(1_000)]
    bench.promises.seed("acme", "mail", "small", brought, "v1", 5_000)
    assert bench.standing() == Standing(0.7, Stage.SHARE, coverage=1.0)
    assert not bench.withdrawn
    states = {bench.learnt[-1].name: bench.learnt[-1].state}

    again = Bench()
    again.promises.recall(states, [])
    again.promises.seed("acme", "mail", "small", brought, "v1", 5_000)
    assert again.standing() == bench.standing()
    again.learn(LOOKS[2] - 1_000, score=0.2, harm_pct=100, at_ms=6_000)
    assert again.standing() == Standing(0.7, Stage.SHARE, coverage=1_000 / 1_800), "old and new evidence together"

    again.promises.seed("acme", "mail", "small", [Judged(0.7, True)] * 300, "v2", 9_000)
    assert again.standing() == NOTHING
    assert again.withdrawn == [("acme", "mail", "small", "300 labels promise nothing any more")]
    again.promises.seed("acme", "gone", "small", brought, "v1", 9_000)


def test_a_predictor_that_was_trained_earlier_makes_no_label_count_twice() -> None:
    """Trained while labels went on coming: what they say is of the predictor before, also after a restart."""
    bench = Bench()
    bench.learn(LOOKS[0], model="mini")
    bench.learn(LOOKS[0])
    bench.promises.seed("acme", "mail", "small", [Judged(0.7, harm=False)] * 300, "v1", 1_100)
    again = Bench()
    again.promises.recall({bench.learnt[-1].name: bench.learnt[-1].state}, bench.labels)
    assert not again.learnt
    assert (again.standing(), again.standing(model="mini")) == (bench.standing(), bench.standing(model="mini"))


def test_what_a_predictor_brought_is_gone_after_a_drift() -> None:
    bench = Bench()
    brought = [Judged(0.7, harm=False)] * 1_000
    bench.promises.seed("acme", "mail", "small", brought, "v1", 500)
    bench.learn(20, harm_pct=100)
    assert bench.standing() == NOTHING
    bench.promises.seed("acme", "mail", "small", brought, "v1", 500)
    bench.learn(LOOKS[0] - 100)
    assert bench.standing() == NOTHING


def test_the_model_judged_longest_ago_is_forgotten() -> None:
    bench = Bench()
    bench.learn(LOOKS[0])
    for version in range(PROMISE_MODELS_MAX):
        bench.learn(1, model=f"student/mail@{version}")
    assert bench.standing().threshold is None
    assert len(read({bench.learnt[-1].name: bench.learnt[-1].state})["acme", "mail"].models) <= PROMISE_MODELS_MAX


def test_who_was_judged_longest_ago_makes_room_and_keeps_its_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all organisations there are so many labels and no more; a drift is seen all the same."""
    monkeypatch.setattr(promises, "PROMISE_ALL_LABELS_MAX", 2 * LOOKS[0])
    monkeypatch.setattr(promises, "PROMISE_ROOM_EVERY", 1)
    bench = Bench()
    for org in ("first", "second", "third"):
        bench.learn(LOOKS[0], org=org)
    assert [bench.standing(org).threshold for org in ("first", "second", "third")] == [0.9] * 3
    bench.learn(1, org="first")
    bench.learn(200, harm_pct=50, org="first")
    assert bench.standing("first").threshold is None
    held = {name[0]: len(kept) for name, kept in bench.promises._labels.items()}
    assert sum(held.values()) <= 2 * LOOKS[0] and held["second"] == WINDOW and bench.standing("second").threshold == 0.9


def test_looking_again_and_again_finds_nothing_that_is_not_there() -> None:
    """Harm just above alpha whatever the score: in 60 lives of three looks 4.5 false promises are allowed on average, and more than 8 in 3 % of all sixties."""
    random, found = Random(11), 0
    for _ in range(60):
        bench, certified = Bench(), False
        plain = bench.label()
        for n in range(LOOKS[2]):
            harm = random.random() < 0.1001
            bench.promises.learn(
                msgspec.structs.replace(plain, request=n << 4, harm=harm, good=not harm, score=random.random(), at_ms=n)
            )
            certified = certified or (n + 1 in LOOKS and bench.standing().threshold is not None)
        found += certified
    assert found <= 8


def test_each_look_asks_for_more_than_the_one_before() -> None:
    """44 harmed of 600 are a proof for a second look, and not for a third one, which that becomes by a drift."""
    assert spent(0.1, 3) < at_most(44, 600, 0.1) < spent(0.1, 2)
    bench, drifted = Bench(), Bench()
    bench.learn(44, harm_pct=100)
    bench.learn(LOOKS[1] - 44)
    assert bench.standing().threshold == 0.9
    drifted.learn(LOOKS[0])
    drifted.learn(44, harm_pct=100)
    known = read({drifted.learnt[-1].name: drifted.learnt[-1].state})["acme", "mail"].models["small"]
    assert (known.looks, len(drifted.withdrawn)) == (1, 1)
    drifted.learn(LOOKS[1] - 138)
    assert drifted.standing().threshold is None
    drifted.learn(LOOKS[2] - LOOKS[1])
    assert drifted.standing().threshold == 0.9


def test_whatever_weight_was_written_labels_count_alike() -> None:
    """A cascade's tries were drawn by one chance, whether they were shown or not; who labelled them wrote 20 for the first and 1 for the others. From a half on
    2 % are harmed, below 40 %."""
    broken = 0
    for seed in range(4):
        bench, random = Bench(), Random(seed)
        plain = bench.label()
        for n in range(LOOKS[2]):
            score = random.random()
            threshold, stage, _ = msgspec.structs.astuple(bench.standing())
            harm = random.random() < (0.02 if score >= 0.5 else 0.4)
            refused = stage is not Stage.SHADOW and score < threshold
            bench.promises.learn(
                msgspec.structs.replace(plain, harm=harm, good=not harm, score=score, weight=1.0 if refused else 20.0, at_ms=n)
            )
        threshold = bench.standing().threshold
        broken += threshold is not None and threshold < 0.5 and (0.01 + 0.4 * (0.5 - threshold)) / (1 - threshold) > 0.1
    assert not broken


def test_feedback_lowers_no_threshold() -> None:
    """It is given for answers that were shown: what is below is what a predictor brought once, and fewer and fewer of all."""
    route = msgspec.structs.replace(ROUTE, grader="feedback")
    bench = Bench(route)
    brought = [Judged(0.9, harm=False)] * 100 + [Judged(0.5, harm=True)] * 60
    bench.promises.seed("acme", "mail", "small", brought, "v1", 0)
    assert bench.standing(route=route).threshold == 0.9
    bench.learn(LOOKS[2] - 160, grader="feedback", reference="", shown=True)
    assert bench.standing(route=route).threshold == 0.9


def test_an_earlier_requests_label_is_none_of_a_new_predictor() -> None:
    """Feedback comes days later, shadows take minutes: what was believed of these answers, another predictor believed. Nor after a restart."""
    bench = Bench()
    brought = [Judged(0.7, harm=False)] * 20
    bench.promises.seed("acme", "mail", "small", brought, "v2", 50_000)
    late = {"at_ms": 60_000, "request": first_id_of_ms(49_999)}
    bench.learn(LOOKS[0], **late)
    again = Bench()
    again.promises.recall({bench.learnt[-1].name: bench.learnt[-1].state}, bench.labels)
    again.promises.seed("acme", "mail", "small", brought, "v2", 70_000)
    for both in (bench, again):
        both.learn(LOOKS[0] - 21, at_ms=60_000)
        assert both.standing().threshold is None
        both.learn(1, at_ms=60_000)
        assert both.standing() == Standing(0.7, Stage.SHARE, coverage=1.0)


def test_what_a_predictor_brings_is_made_even_first() -> None:
    """Its labels below a half were drawn twenty times as seldom, and all did harm: they are half of all that is asked."""
    bench = Bench()
    brought = [Judged(0.9, harm=False, weight=1.0)] * 2_000 + [Judged(0.4, harm=True, weight=20.0)] * 100
    bench.promises.seed("acme", "mail", "small", brought, "v1", 0)
    assert bench.standing() == Standing(0.9, Stage.SHARE, coverage=0.5)
