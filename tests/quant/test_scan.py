import numpy as np
import pytest

from jevons.quant.scan import CLOSE, FINE, Coder, Flat

DIM = 64
CODER = Coder(DIM, seed=5)


def directions(count: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def filled(vectors: np.ndarray) -> Flat:
    flat = Flat(CODER)
    for number, vector in enumerate(vectors):
        assert flat.add(CODER.encode(vector)) == number
    return flat


def test_the_nearest_is_found_with_its_cosine_and_those_after_it() -> None:
    vectors = directions(5_000)
    flat = filled(vectors)
    asked = directions(40, seed=1) * 0.25 + vectors[:40]  # cosine .97
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    for i, question in enumerate(asked):
        found = flat.nearest(CODER.encode(question), 8)
        cosines = vectors @ question
        assert found[0][0] == i
        assert [cosine for _, cosine in found] == sorted([cosine for _, cosine in found], reverse=True)
        assert len({number for number, _ in found}) == 8
        assert all(abs(cosine - cosines[number]) < 0.06 for number, cosine in found)  # 4 bits: 0.0083/64, five deviations


def test_few_are_all_given_and_none_is_none() -> None:
    flat = Flat(CODER)
    question = CODER.encode(directions(1)[0])
    assert flat.nearest(question, 8) == []
    flat.add(question)
    assert flat.nearest(question, 8) == [(0, pytest.approx(1, abs=0.01))]
    assert flat.nearest(question, 0) == []


def test_the_last_takes_the_number_of_one_that_is_removed() -> None:
    vectors = directions(20)
    flat, numbers = filled(vectors), list(range(20))
    chance = np.random.default_rng(3)
    while numbers:
        gone = int(chance.integers(len(numbers)))
        assert flat.remove(gone) == len(numbers) - 1
        numbers[gone] = numbers[-1]
        numbers.pop()
        assert len(flat) == len(numbers)
        for number, of in enumerate(numbers):
            assert flat.nearest(CODER.encode(vectors[of]))[0][0] == number
    assert flat.nbytes == 0
    with pytest.raises(IndexError, match="no vector 0 of 0"):
        flat.remove(0)


def test_thousands_of_one_vector_hide_no_nearer_one() -> None:
    """More are equally far than may go on to the next step."""
    a, b = directions(2)
    many, nearer = CODER.encode(a), CODER.encode(b)
    flat = Flat(CODER)
    for _ in range(6 * CLOSE):
        flat.add(many)
    number = flat.add(nearer)
    assert flat.nearest(nearer)[0][0] == number
    found = flat.nearest(many, FINE)
    assert len({number for number, _ in found}) == FINE
    assert {round(cosine, 6) for _, cosine in found} == {round(found[0][1], 6)}


def test_more_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jevons.quant.scan.CHUNK", 32)
    vectors = directions(100)
    flat = filled(vectors)
    assert [flat.nearest(CODER.encode(vector))[0][0] for vector in vectors] == list(range(100))
    for gone in (99, 40, 0, 96):
        flat.remove(gone)
    assert {flat.nearest(CODER.encode(vectors[98]))[0][0], flat.nearest(CODER.encode(vectors[97]))[0][0]} == {0, 40}
    assert len(flat) == 96


def test_what_cannot_be_coded_is_said() -> None:
    with pytest.raises(ValueError, match="words of 64; 100 dimensions"):
        Coder(100)
    with pytest.raises(ValueError, match="NaN"):
        CODER.encode(np.full(DIM, np.nan))
