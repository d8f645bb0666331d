"""Routed requests under other routes: decided again from what was recorded of them, priced where they would have gone. Sums by hand."""

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jevons.core.ask import Dialect
from jevons.core.features import Features
from jevons.core.label import Label
from jevons.core.routed import Option, Role, Routed, Stage
from jevons.ledger.ops import Labelled
from jevons.meter.pricebook import PriceBook
from jevons.policy.access import Access
from jevons.policy.objective import Why, decide
from jevons.policy.route import Offer, Table
from jevons.policy.routes import Route
from jevons.replay.eras import Policy, Routes, Stated, Supplier
from jevons.replay.markdown import assumptions
from jevons.replay.report import document
from jevons.replay.run import Recordings
from tests.replay.recorder import START_MS, Recorder, Request

SMALL_NUSD, LARGE_NUSD = 900 * 150 + 100 * 600, 900 * 2_500 + 100 * 10_000
"""gpt-4o-mini and gpt-4o: 900 tokens in, 100 out."""
TABLE = Table((Offer("openai", ("gpt-4o", "gpt-4o-mini", "gpt-4.1*"), frozenset({Dialect.CHAT})),))
IN_USE = Route(
    "easy", ("gpt-4o-mini", "gpt-4o"), choose="learned", alpha=0.1, delta=0.1, stage=Stage.SHARE, share=0.5, sample=0.5
)
LARGE = Option("gpt-4o", "openai", "gpt-4o", cost_nusd=LARGE_NUSD)


def small(score: float | None, threshold: float | None = 0.8) -> Option:
    return Option("gpt-4o-mini", "openai", "gpt-4o-mini", score, threshold, SMALL_NUSD)


def call(score: float | None = 0.9, draw: float = 0.2, route: Route = IN_USE, run: str | None = None, **features: Any) -> Request:
    """A request as the gateway would have routed it."""
    options = (small(score), LARGE)
    made = decide(options, choose=route.choose, stage=route.stage, share=route.share, draw=draw)
    routed = Routed(route.name, made.why, made.chosen, route.stage, draw, options, Features(**features), made.cascade)
    return Request(model=options[made.chosen].target, asked="auto", routed=routed, run=run)


def second(role: Role, draw: float = 0.1) -> Request:
    """A shadow of such a request, or the judge of one."""
    return call(draw=draw)._replace(model="gpt-4o", role=role)


def tried_cascade(score: float, shown: bool, role: Role = Role.ANSWER) -> Request:
    """One attempt of a cascade: the small one's, or after it the large one's."""
    routed = Routed("easy", Why.CASCADE, 0, Stage.FULL, 0.1, (small(score), LARGE), cascade=True)
    return Request(model="gpt-4o-mini" if shown or role is Role.CASCADE else "gpt-4o", asked="auto", routed=routed, role=role)


Record = Callable[..., Recordings]


@pytest.fixture
def record(tmp_path: Path, book: PriceBook) -> Record:
    """A ledger of these requests, ten seconds apart, and of labels."""

    homes = count()

    def made(*requests: Request, labels: tuple[Label, ...] = ()) -> Recordings:
        home = tmp_path / str(next(homes))
        home.mkdir()

        async def scene() -> None:
            recorder = Recorder(home, book)
            await recorder.key(1)
            for n, request in enumerate(requests):
                assert recorder.ask(request._replace(at_ms=START_MS + n * 10_000))
            for label in labels:
                recorder.ledger.writer.submit(Labelled(label))
            await recorder.written()
            recorder.close()

        asyncio.run(scene())
        return Recordings(home, home / "ledger.db", book=book)

    return made


def under(*routes: Route, access: tuple[Access, ...] = (), in_use: tuple[Route, ...] = (IN_USE,), **members: Any) -> Policy:
    stated = Stated(access=access)
    return Policy(
        "tried", stated=stated, table=TABLE, suppliers={"openai": Supplier("openai")}, routes=Routes(routes, in_use), **members
    )


def came_to(recordings: Recordings, policy: Policy) -> dict[str, Any]:
    [found] = document(recordings, [recordings.replay(policy)])["policies"]
    return dict(found)


def changed(**members: Any) -> Route:
    return msgspec.structs.replace(IN_USE, **members)


MIXED = (call(), call(draw=0.7), call(score=0.5), call(score=None), second(Role.SHADOW), second(Role.JUDGE, draw=0.4))


@pytest.mark.parametrize("policy", [Policy("as it was", recorded=True, table=TABLE), under(IN_USE)])
def test_the_same_routes_come_to_the_bill(record: Record, policy: Policy) -> None:
    """As recorded, and decided again by the same routes."""
    found = came_to(record(*MIXED), policy)
    assert found["cost_nusd"] == SMALL_NUSD + 5 * LARGE_NUSD
    assert (found["change_nusd"], found["moved"], found["spared"], found["not_replayed"]) == (0, [], 0, {})


def test_more_of_them_go_elsewhere_when_all_may(record: Record) -> None:
    found = came_to(record(*MIXED), under(changed(stage=Stage.FULL)))
    assert found["change_nusd"] == SMALL_NUSD - LARGE_NUSD
    [moved] = found["moved"]
    assert (moved["from"], moved["to"], moved["calls"]) == ("gpt-4o", "gpt-4o-mini", 1)
    assert moved["low_nusd"] < moved["cost_nusd"] < moved["high_nusd"], "its answers may be of another length"


def test_a_route_that_only_watches_leaves_all_to_the_reference(record: Record) -> None:
    found = came_to(record(*MIXED), under(changed(stage=Stage.OBSERVE)))
    assert found["cost_nusd"] == 4 * LARGE_NUSD
    assert (found["spared"], found["spared_nusd"]) == (2, 2 * LARGE_NUSD), "and asks nobody for labels"


def test_a_share_and_a_sample_are_those_of_the_draw(record: Record) -> None:
    found = came_to(record(*MIXED), under(changed(share=0.1)))
    assert found["cost_nusd"] == 6 * LARGE_NUSD
    found = came_to(record(*MIXED), under(changed(sample=0.0)))
    assert (found["cost_nusd"], found["spared"]) == (SMALL_NUSD + 3 * LARGE_NUSD, 2)


def test_the_first_of_a_list_and_no_route_at_all(record: Record) -> None:
    first = Route("plain", ("gone", "gpt-4.1-mini", "gpt-4o"))
    found = came_to(record(*MIXED), under(first))
    assert {(row["to"], row["calls"]) for row in found["moved"]} == {("gpt-4.1-mini", 1), ("gpt-4.1-mini", 3)}
    assert found["spared"] == 2
    found = came_to(record(*MIXED), under(changed(models=("gpt-4o",))))
    assert (found["refused"], found["limits"][0]["limit"]) == (4, "no upstream answers to the model")
    asked = MIXED[0]._replace(asked="gpt-4o")
    assert came_to(record(asked), under(changed(keys=("another",))))["cost_nusd"] == LARGE_NUSD, "by its name"


FREE = "deepseek/deepseek-r1:free"


@pytest.mark.parametrize("billed", [False, True])
def test_whether_a_call_is_billed_is_the_upstreams_where_it_goes(record: Record, billed: bool) -> None:
    """Recorded where it was billed: what a free variant lists at is its paid twin's, where nothing is billed; elsewhere it has no price."""
    elsewhere = Table((*TABLE.offers, Offer("trial", (FREE,), frozenset({Dialect.CHAT}))))
    suppliers = {"openai": Supplier("openai"), "trial": Supplier("openrouter", billed=billed)}
    policy = msgspec.structs.replace(under(Route("free", (FREE, "gpt-4o"))), table=elsewhere, suppliers=suppliers)
    found = came_to(record(call()), policy)
    assert (found["refused"], found["cost_nusd"]) == (int(billed), 0)


def test_conditions_are_held_against_the_features_of_the_time(record: Record) -> None:
    recordings = record(call(language="es"), call(language="en"))
    found = came_to(recordings, under(changed(languages=("es",)), changed(name="rest", to=("gpt-4o",), choose="first")))
    assert found["cost_nusd"] == SMALL_NUSD + LARGE_NUSD


def test_an_open_turn_goes_on_with_the_model_that_it_has_here(record: Record) -> None:
    turn = call(run="r", score=0.5)
    assert turn.routed is not None
    goes_on = turn._replace(routed=msgspec.structs.replace(turn.routed, why=Why.TURN, chosen=1))
    alone = goes_on._replace(run=None)
    found = came_to(record(turn, goes_on, alone), under(Route("plain", ("gpt-4o-mini",))))
    assert found["cost_nusd"] == 2 * SMALL_NUSD + LARGE_NUSD
    assert found["not_replayed"] == {"unknown_routes": 1}


def test_other_terms_have_thresholds_with_hindsight(record: Record) -> None:
    """All labels together promise 10 % from .55 on; the record knew .8."""
    labels = tuple(
        Label(
            n << 4, 1, "default", "easy", "gpt-4o-mini", "gpt-4o", good=n % 100 < 45, harm=n % 100 >= 45, grader="same", weight=1.0,
            score=1 - n % 100 / 100, shown=False, at_ms=START_MS + n, features=Features(),
        )
        for n in range(600)
    )  # fmt: skip
    recordings = record(call(score=0.6), call(score=0.2), labels=labels)
    found = came_to(recordings, under(changed(alpha=0.2)))
    assert found["cost_nusd"] == SMALL_NUSD + LARGE_NUSD
    assert found["not_replayed"] == {"thresholds_with_hindsight": 1}
    assert any("hindsight" in said for said in assumptions(document(recordings, [recordings.replay(under(changed(alpha=0.2)))])))
    assert came_to(recordings, under(changed(name="other", alpha=0.2)))["cost_nusd"] == 2 * LARGE_NUSD, (
        "nobody judged for that one"
    )


def test_what_nothing_is_known_of_stays_where_it_was(record: Record) -> None:
    recordings = record(call(), *[second(Role.SHADOW)] * 2)
    found = came_to(recordings, under(changed(to=("gpt-4o-mini", "gpt-4.1"))))
    assert (found["change_nusd"], found["not_replayed"]) == (0, {"unknown_routes": 1})
    assert (found := came_to(record(*MIXED), under(changed(choose="cascade"))))["change_nusd"] == 0
    assert found["not_replayed"] == {"unknown_routes": 3}, "how sure its answer would have been is not on record"


def test_what_no_route_decided_is_not_decided_by_another(record: Record) -> None:
    by_header = call()
    assert by_header.routed is not None
    named = by_header._replace(routed=msgspec.structs.replace(by_header.routed, why=Why.HEADER))
    found = came_to(record(named), under(changed(stage=Stage.OBSERVE)))
    assert (found["change_nusd"], found["not_replayed"]) == (0, {})


CASCADE = changed(choose="cascade", stage=Stage.FULL)
SURE, UNSURE = (
    (tried_cascade(0.9, shown=True),),
    (tried_cascade(0.5, shown=False, role=Role.CASCADE), tried_cascade(0.5, shown=False)),
)


@pytest.mark.parametrize(
    ("route", "cost_nusd", "spared"),
    [
        (CASCADE, 2 * SMALL_NUSD + LARGE_NUSD, 0),
        (msgspec.structs.replace(CASCADE, stage=Stage.OBSERVE), 2 * LARGE_NUSD, 1),
        (Route("easy", ("gpt-4o-mini", "gpt-4o")), 2 * SMALL_NUSD, 1),
        (Route("easy", ("gpt-4o-mini", "gpt-4o"), models=("others",)), 0, 1),
    ],
)
def test_a_cascade_is_one_or_is_not(record: Record, route: Route, cost_nusd: int, spared: int) -> None:
    found = came_to(record(*SURE, *UNSURE), under(route, in_use=(CASCADE,)))
    assert (found["cost_nusd"], found["spared"]) == (cost_nusd, spared)


def test_a_cascade_on_other_terms_shows_other_answers(record: Record) -> None:
    """With these labels nothing is sure below .95; or, where little is asked, everything is."""
    labels = tuple(
        Label(
            n << 4, 1, "default", "easy", "gpt-4o-mini", "gpt-4o", good=n % 5 > 0, harm=n % 5 == 0, grader="same", weight=1.0,
            score=0.97 if n % 5 else 0.4, shown=False, at_ms=START_MS + n, features=Features(),
        )
        for n in range(600)
    )  # fmt: skip
    strict = came_to(
        record(*SURE, *UNSURE, labels=labels), under(msgspec.structs.replace(CASCADE, alpha=0.05), in_use=(CASCADE,))
    )
    assert strict["cost_nusd"] == SMALL_NUSD + 2 * LARGE_NUSD
    easy = came_to(record(*SURE, *UNSURE, labels=labels), under(msgspec.structs.replace(CASCADE, alpha=0.3), in_use=(CASCADE,)))
    assert (easy["cost_nusd"], easy["spared"]) == (2 * SMALL_NUSD, 1)


def test_who_stood_in_for_one_that_failed_stays(record: Record) -> None:
    stood_in = call()._replace(model="gpt-4o", role=Role.FAILOVER)
    assert came_to(record(stood_in), under(changed(stage=Stage.FULL)))["change_nusd"] == 0


def test_fences_judge_the_model_that_a_route_chose(record: Record) -> None:
    """A key that may use both models and no other name; and one that may not use the small one."""
    both = Access("both", key="key-1", models_allow=("gpt-4o*",))
    found = came_to(record(*MIXED), Policy("fenced", stated=Stated(access=(both,)), table=TABLE))
    assert (found["refused"], found["change_nusd"]) == (0, 0)
    large = Access("large", key="key-1", models_deny=("*-mini",))
    assert came_to(record(*MIXED), under(IN_USE, access=(large,)))["refused"] == 1


def test_a_student_goes_by_its_name_without_its_version(record: Record, book: PriceBook) -> None:
    student = Option("student/easy@3", "openai", "gpt-4o-mini", 0.9, 0.8, SMALL_NUSD)
    routed = Routed("easy", Why.OUTSIDE_SHARE, 1, Stage.SHARE, 0.9, (student, LARGE))
    route = changed(to=("student/easy", "gpt-4o"))
    recordings = record(Request(asked="auto", routed=routed))
    full = msgspec.structs.replace(route, stage=Stage.FULL)
    assert came_to(recordings, under(full, in_use=(route,)))["cost_nusd"] == SMALL_NUSD
