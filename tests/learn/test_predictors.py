"""Each kind of predictor tells easy requests from hard ones, copes with what nobody judged, and counts weights as so many requests."""

from collections.abc import Callable

import numpy as np
import pytest

from jevons.core.features import Features
from jevons.learn import clusters, kernel, knn, logistic
from jevons.learn.descent import least
from jevons.learn.matrix import Request, columns
from jevons.learn.predictor import Head, probabilities
from jevons.learn.rows import Examples, Grams, Rows
from tests.learn.routed import examples

KINDS: dict[str, Callable[[Examples], Head]] = {
    "logistic": lambda given: logistic.fit(given, 2.0),
    "nearest": lambda given: knn.fit(given, 60),
    "clusters": lambda given: clusters.fit(given, 10),
    "kernel": lambda given: kernel.fit(given, 5.0),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reads", [True, False])
def test_easy_and_hard_are_told_apart(kind: str, reads: bool) -> None:
    by, given, _ = examples(400, reads=reads)
    head = KINDS[kind](given)
    _, fresh, asked = examples(200, reads=reads, seed=1)
    chances = probabilities(head.logits(by.rows(asked)))
    hard = np.array([one.features.input_tokens >= 200 for one in asked])
    assert chances.shape == (200, 2)
    assert chances[~hard, 0].mean() > 0.8 > 0.45 > chances[hard, 0].mean() > 0.02
    assert abs(chances[:, 1].mean() - 0.9) < 0.06
    assert head.kind == kind and type(head)(**head.arrays()).logits(fresh.rows).shape == (200, 2)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_judged_tells_nothing(kind: str) -> None:
    """A column of gaps is believed as its few labels say; a model that nobody judged is as likely good as not."""
    _, given, _ = examples(200, reads=True)
    good = np.column_stack([given.good[:, 0], np.full(200, np.nan), given.good[:, 1]]).astype(np.float32)
    good[50:, 2] = np.nan
    chances = probabilities(KINDS[kind](Examples(given.rows, good, given.weights)).logits(given.rows))
    assert np.isfinite(chances).all()
    assert chances[:, 1] == pytest.approx(0.5, abs=1e-3)
    assert abs(chances[:, 2].mean() - np.nanmean(good[:, 2])) < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_is_so_many_requests(kind: str) -> None:
    rows = Rows(np.tile(np.eye(2, dtype=np.float32)[:1], (60, 1)))
    good = np.array([[1.0]] * 30 + [[0.0]] * 30, np.float32)
    even, heavy = (KINDS[kind](Examples(rows, good, np.array([first] * 30 + [1.0] * 30, np.float32))) for first in (1.0, 9.0))
    assert probabilities(even.logits(rows))[0, 0] == pytest.approx(0.5, abs=0.02)
    assert probabilities(heavy.logits(rows))[0, 0] > 0.85


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: logistic.Logistic(*(np.zeros(shape, np.float32) for shape in ((2, 1), (2,), (0,), (0,), (0, 1)))),  # type: ignore[arg-type]
        lambda: knn.Nearest(*(np.zeros(shape, np.float32) for shape in ((2, 1), (3, 1), (2,), (1,)))),
        lambda: clusters.Clusters(*(np.zeros(shape, np.float32) for shape in ((2, 1), (3, 1)))),
        lambda: kernel.Kernel(*(np.zeros(shape, np.float32) for shape in ((2, 1), (3, 1), (1,)))),
    ],
)
def test_arrays_that_do_not_fit_are_refused(wrong: Callable[[], Head]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        wrong()


def test_rare_words_have_no_say() -> None:
    by, given, asked = examples(100, reads=True)
    head = logistic.fit(given, 2.0)
    unknown = by.rows([asked[0]._replace(question="wholly otherwise")])
    none = Rows(unknown.dense, Grams(np.array([0, 0]), np.zeros(0, np.int64), np.zeros(0, np.float32)))
    assert head.logits(unknown) == pytest.approx(head.logits(none))


def test_a_row_holds_what_was_frequent_in_training() -> None:
    asked = [Request(Features(input_tokens=n, language=("de", "en")[n % 2], task="rare" if n < 3 else "")) for n in range(40)]
    by = columns(asked)
    assert sorted(by.words) == ["language=de", "language=en"] and by.vector == 0
    far = by.rows([Request(Features(input_tokens=10**9, language="fr"))]).dense[0]
    assert far.shape == (by.width,) and np.abs(far).max() < 1 and not far[-2:].any()


def test_the_least_of_a_narrow_valley() -> None:
    """Rosenbrock's function is not convex and badly scaled; its least value is at (1, 1)."""

    def of(at: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, np.ndarray[tuple[int], np.dtype[np.float64]]]:
        x, y = at
        return float((1 - x) ** 2 + 100 * (y - x * x) ** 2), np.array([2 * (x - 1) - 400 * x * (y - x * x), 200 * (y - x * x)])

    assert least(of, np.array([-1.2, 1.0]), steps=200, close=1e-8) == pytest.approx([1, 1], abs=1e-6)  # type: ignore[arg-type]
    assert (least(of, np.array([1.0, 1.0]), steps=200, close=1e-8) == 1).all()  # type: ignore[arg-type]
