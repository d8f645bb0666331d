"""What is chosen is better than nothing known, is judged on what it has not seen, and takes in a new model from few probes."""

import numpy as np
import pytest

from jevons.core.features import Features
from jevons.learn.joining import join
from jevons.learn.mixed import Mix, Mixed
from jevons.learn.select import candidates, choose, log_loss, nested, splits
from tests.learn.routed import DIMENSIONS, examples


@pytest.mark.parametrize("reads", [True, False])
def test_it_knows_more_than_shares(reads: bool) -> None:
    _, given, _ = examples(300, reads=reads)
    tried = candidates(reads)
    assert {one.kind for one in tried} == ({"logistic", "clusters", "nearest", "kernel"} if reads else {"logistic", "clusters"})
    chances, folds = np.zeros_like(given.good), []
    for seen, test, chosen in nested(given, np.arange(300), 2, tried, 3):
        chances[test] = chosen.probabilities(given.rows.take(test))
        folds.append(set(test.tolist()))
        assert not set(seen.tolist()) & folds[-1] and chosen.unseen.shape == (len(seen), 2)
        assert set(chosen.losses) == {f"{one.kind} {one.setting:g}" for one in tried} | {"mixture"}
    assert sorted(place for fold in folds for place in fold) == list(range(300))
    shares = np.broadcast_to(given.good.mean(0), given.good.shape).astype(np.float32)
    assert log_loss(chances, given.good, given.weights) < log_loss(shares, given.good, given.weights) - 0.08


def test_noise_teaches_little() -> None:
    """Labels that nothing tells: what is chosen says each model's share, not more."""
    _, given, _ = examples(300, reads=True)
    noise = given._replace(good=np.random.default_rng(5).permutation(given.good))
    chosen = choose(noise, np.arange(300), 2, candidates(reads=True))
    assert chosen.unseen[:, 0].std() < 0.12
    assert abs(chosen.unseen[:, 0].mean() - noise.good[:, 0].mean()) < 0.05


def test_one_question_is_never_on_both_sides() -> None:
    groups = np.array([0, 1, 2, 0, 1, 3, 4, 0])
    for train, test in splits(groups, 3):
        assert not set(groups[train]) & set(groups[test])
    assert len(list(splits(np.array([7, 7, 8]), 5))) == 2


def test_a_predictor_on_one_request() -> None:
    by, given, asked = examples(300, reads=True)
    chosen = choose(given, np.arange(300), 2, candidates(reads=True))
    made = Mixed(("small", "large"), by, chosen.heads, chosen.mix)
    one = asked[0]
    assert made.scores(*one) == pytest.approx(made.batch(by.rows([one]))[0].tolist())
    assert made.needs_vector and made.scores(one.features, None) == () == made.scores(
        Features(), np.ones(DIMENSIONS + 1, np.float32)
    )
    with pytest.raises(ValueError, match="other models"):
        Mixed(("small",), by, chosen.heads, chosen.mix)


def test_a_new_model_joins_from_few_probes() -> None:
    """It fails where the small one fails: sixty probes tell it better than their share does."""
    by, given, _ = examples(400, reads=True)
    chosen = choose(given, np.arange(400), 2, candidates(reads=True))
    known = Mixed(("small", "large"), by, chosen.heads, chosen.mix)
    _, probes, asked = examples(60, reads=True, seed=2)
    made = join(known, "new", by.rows(asked), probes.good[:, 0], probes.weights)
    _, fresh, later = examples(300, reads=True, seed=3)
    chances = made.batch(by.rows(later))
    assert made.models == ("small", "large", "new") and chances[:, :2] == pytest.approx(known.batch(by.rows(later)))
    truth = fresh.good[:, :1]
    assert (
        log_loss(chances[:, 2:], truth, fresh.weights)
        < log_loss(np.full_like(truth, probes.good[:, 0].mean()), truth, fresh.weights) - 0.1
    )
    with pytest.raises(ValueError, match="known already"):
        join(made, "new", by.rows(asked), probes.good[:, 0], probes.weights)


def test_a_mixture_of_nothing_is_its_intercept() -> None:
    assert Mix(np.zeros((4, 1), np.float32), np.array([2.0], np.float32))(np.ones((3, 4), np.float32)).tolist() == [[2.0]] * 3
