"""The choice, on planted measurements: the bound is held by the limit, the cost decides, and nothing passes unmeasured."""

from jevons.engine.weights.choose import Bound, Mix, Row, cheapest, rows
from jevons.engine.weights.contents import File
from jevons.engine.weights.measure import Measured
from jevons.engine.weights.probe import Quality, Speed, TextLoss

BOUND = Bound(0.05)
MIX = Mix(900, 100, "planted")
TEXTS = 40


def measured(
    label: str, kld: float, right: int, size: int, decode: float, *, spread: float = 0.2, texts: int = TEXTS
) -> Measured:
    """Texts lose `kld` a token in the mean, every second more and every other less by `spread` of it; `right` of 100 answers are right."""
    losses = tuple(TextLoss(100, 100 * kld * (1 + spread * (-1) ** n), 200.0, 90) for n in range(texts))
    answers = (True,) * right + (False,) * (100 - right)
    speeds = (Speed(500, decode / 2, 200), Speed(1000, decode, 210), Speed(900, decode * 0.9, 210))
    return Measured(label, File(size, 8 * size / 1e6, {"Q8_0": 1.0}, ""), Quality(losses, 9 * kld, answers), speeds)


SOURCE = measured("source", 0, 60, 400, 10)


def table(*candidates: Measured, bound: Bound = BOUND) -> dict[str, Row]:
    found = rows([SOURCE, *candidates], bound, MIX, requantised=False)
    return {row.label: row for row in found}


def test_the_limit_holds_the_bound_not_the_mean() -> None:
    found = table(measured("sure", 0.045, 60, 100, 40), measured("unsure", 0.045, 60, 100, 40, spread=0.9))
    assert found["sure"].passes and found["sure"].kld_upper is not None and 0.045 < found["sure"].kld_upper < 0.05
    assert not found["unsure"].passes and found["unsure"].kld_mean is not None and found["unsure"].kld_mean < 0.05
    assert "more than 0.05" in found["unsure"].why_not


def test_few_texts_bound_nothing() -> None:
    found = table(measured("few", 0.0001, 60, 100, 40, texts=19))
    assert not found["few"].passes and found["few"].kld_upper is None and "too little" in found["few"].why_not


def test_a_task_bound_counts_the_doubt_of_its_questions() -> None:
    same, worse = measured("same", 9, 60, 100, 40), measured("worse", 9, 57, 100, 40)
    found = table(same, worse, bound=Bound(None, 0.05))
    assert found["same"].passes, "a bound that is not asked for is none"
    assert found["worse"].task_loss == 0.03 and not found["worse"].passes


def test_the_cheapest_by_seconds_and_by_bytes() -> None:
    found = list(table(measured("small", 0.01, 60, 100, 20), measured("quick", 0.01, 60, 200, 40), measured("bad", 0.1, 60, 50, 80)).values())  # fmt: skip
    assert cheapest(found, "seconds").label == "quick"
    assert cheapest(found, "bytes").label == "small"
    assert found[2].seconds_per_1000 == 900 / 1000 + 100 / 40, "of the fastest round"


def test_the_source_is_left_where_nothing_passes_or_nothing_is_cheaper() -> None:
    found = list(table(measured("bad", 0.1, 60, 100, 40)).values())
    assert cheapest(found, "seconds").reference
    found = list(table(measured("slow", 0.001, 60, 500, 5)).values())
    assert found[1].passes and cheapest(found, "seconds").reference


def test_what_could_not_be_measured_says_why() -> None:
    found = table(Measured("broken", None, None, (), "it ended (SIGABRT)"))
    assert (found["broken"].passes, found["broken"].why_not, found["broken"].perplexity) == (False, "it ended (SIGABRT)", None)
