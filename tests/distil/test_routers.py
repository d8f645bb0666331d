"""From labels to a predictor on disk and back: features alone, with what was captured, a model that joins, and what cannot be used."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from jevons.core.label import Label
from jevons.distil.routers import Untrainable, joined, train
from jevons.learn import place, saved
from jevons.learn.rows import Floats
from jevons.ledger.capture import Captured, Example
from jevons.ledger.errors import LedgerError
from tests.learn.routed import DIMENSIONS, requests
from tests.ledger.making import NOON_MS

SECRET = bytes(32)


def labels(n: int, *, reads: bool, seed: int = 0, models: tuple[str, ...] = ("small", "mini"), after_ms: int = 0) -> list[Label]:
    asked, good = requests(n, reads=reads, seed=seed)
    return [
        Label(
            (NOON_MS + after_ms + row) << 18, 1, "acme", "easy", model, "large", good=bool(good[row, place]), harm=not good[row, place],
            grader="same", weight=20.0, score=None, shown=False, at_ms=NOON_MS + after_ms + row, features=asked[row].features,
        )
        for row in range(n) for place, model in enumerate(models)
    ]  # fmt: skip


def captured(n: int, *, seed: int = 0, after_ms: int = 0) -> list[Example]:
    asked, _ = requests(n, reads=True, seed=seed)
    return [
        Example(
            "acme",
            1,
            (NOON_MS + after_ms + row) << 18,
            NOON_MS + row,
            "t",
            "large",
            one.question,
            "yes",
            one.features,
            id=row + 1,
        )
        for row, one in enumerate(asked)
    ]


def embed(text: str) -> Floats:
    vector = np.zeros(DIMENSIONS, np.float32)
    vector["prove" in text] = 1
    return vector


def test_features_alone(tmp_path: Path) -> None:
    made = train(labels(300, reads=False), [], None, "acme", "easy", NOON_MS + 10_000)
    assert made.card.models == ("mini", "small") and made.card.labels == 300 and not made.predictor.needs_vector
    assert made.card.log_loss < made.card.log_loss_before - 0.08
    path = saved.save(tmp_path, made, None)
    assert path.stat().st_mode & 0o777 == 0o600 and not saved.sealed(path)
    back = saved.load(tmp_path, "acme", "easy")
    assert back.card == made.card and back.version == str(NOON_MS + 10_000)
    asked, good = requests(200, reads=False, seed=1)
    scores = np.array([back.predictor.scores(one.features, None) for one in asked])
    assert scores[:, 1][good[:, 0] > 0].mean() > scores[:, 1][good[:, 0] < 1].mean() + 0.3
    judged = back.unseen.judged(1)
    assert len(judged) == 300 and judged[0].weight == 20.0
    assert judged[0].score == made.unseen.scores[0, 1] and judged[0].harm == labels(1, reads=False)[0].harm


def test_what_was_captured_is_read_and_sealed(tmp_path: Path) -> None:
    made = train(labels(220, reads=True), captured(220), embed, "acme", "easy", NOON_MS)
    assert made.predictor.needs_vector and made.card.examples == tuple(range(1, 221))
    hard, easy = (
        made.predictor.scores(labels(1, reads=True)[0].features, embed(text), text)[1] for text in ("prove it", "say it")
    )
    assert hard < 0.5 < easy
    held = Captured(tmp_path / "captured.db", SECRET)
    sealer = held.sealer("acme", make=True)
    path = saved.save(tmp_path, made, sealer)
    assert saved.sealed(path) and b"columns" not in path.read_bytes()
    assert saved.load(tmp_path, "acme", "easy", sealer).card == made.card
    with pytest.raises(LedgerError, match="key to open it"):
        saved.load(tmp_path, "acme", "easy")
    with pytest.raises(LedgerError, match="key was erased"):
        saved.load(tmp_path, "acme", "easy", held.sealer("other", make=True))
    other = msgspec.structs.replace(made, card=msgspec.structs.replace(made.card, route="other", examples=(7,)))
    saved.save(tmp_path, other, sealer)
    saved.save(tmp_path, train(labels(200, reads=False), [], None, "acme", "bare", NOON_MS), None)
    assert saved.forget(tmp_path, [8, 9], held.sealer) == [("acme", "easy")] and not path.exists()
    held.erase(org="acme")
    assert saved.forget(tmp_path, [], held.sealer) == [("acme", "other")]
    assert saved.load(tmp_path, "acme", "bare").card.examples == ()
    held.close()


def test_few_questions_are_not_read() -> None:
    assert not train(labels(220, reads=True), captured(100), embed, "acme", "easy", NOON_MS).predictor.needs_vector


@pytest.mark.parametrize("reads", [True, False])
def test_a_model_joins_from_what_came_since(reads: bool) -> None:
    known = train(labels(220, reads=reads), captured(220) if reads else [], embed, "acme", "easy", NOON_MS + 10_000)
    late = labels(80, reads=reads, seed=4, models=("new",), after_ms=20_000)
    made = joined(known, "new", late, captured(80, seed=4, after_ms=20_000), embed, NOON_MS + 40_000)
    assert made.card.models == ("mini", "small", "new") and made.card.labels == 300
    assert len(made.unseen.judged(0)) == 220 and len(made.unseen.judged(2)) == 80
    gone = [one.score for one in made.unseen.judged(2) if one.harm]
    assert np.mean(gone) < np.mean([one.score for one in made.unseen.judged(2) if not one.harm]) - 0.2
    with pytest.raises(Untrainable, match="new has 40 labels since the predictor was trained; 50 are the least"):
        joined(known, "new", late[:40], captured(40, seed=4, after_ms=20_000), embed, NOON_MS)


def test_too_few_labels_are_said() -> None:
    with pytest.raises(Untrainable, match="150 labelled requests of organisation 'acme'; 200 are the least"):
        train(labels(150, reads=False), [], None, "acme", "easy", NOON_MS)


def test_feedback_and_students_are_left_out() -> None:
    usual = labels(220, reads=False)
    others = [
        msgspec.structs.replace(one, **change)
        for one in labels(100, reads=False, seed=9, after_ms=9_000)
        for change in ({"grader": "feedback"}, {"model": "student/intents@1"})
    ]
    assert train([*usual, *others], [], None, "acme", "easy", NOON_MS).card.models == ("mini", "small")
    assert train([*usual, *others], [], None, "acme", "easy", NOON_MS).card.labels == 220


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="has no predictor for organisation 'acme'"):
        saved.load(tmp_path, "acme", "easy")
    made = train(labels(200, reads=False), [], None, "acme", "easy", NOON_MS)
    path = saved.save(tmp_path, made, None)
    for raw in (path.read_bytes()[:-200], b"PK\x03\x04", b"PK"):
        path.write_bytes(raw)
        with pytest.raises(LedgerError, match=r"cannot be used: not a predictor.*jevons routes train easy"):
            saved.load(tmp_path, "acme", "easy")
    other = place.path_of(tmp_path, "acme", "other")
    saved.save(tmp_path, made, None).rename(other)
    with pytest.raises(LedgerError, match="another route's"):
        saved.load(tmp_path, "acme", "other")
