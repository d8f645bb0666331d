"""What the engine's operations and steps take, on the real library; no test says how much."""

import time

import pytest

np = pytest.importorskip("numpy")

from jevons.engine.experts.routing import DENSE, STORED  # noqa: E402
from jevons.engine.native.library import Library  # noqa: E402
from jevons.engine.rates import calibrate, kernels, steps  # noqa: E402
from jevons.engine.rates.clock import clock  # noqa: E402


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less of everything: what is asked here is not how fast it is."""
    for name, value in (
        ("WEIGHTS_BYTES", 2**20),
        ("MATRIX", 2**16),
        ("KEPT", 256),
        ("ROWS", (1, 8, 64)),
        ("EXPERT_ROWS", (1, 4)),
    ):
        monkeypatch.setattr(kernels, name, value)
    monkeypatch.setattr(calibrate, "COMMON", ("Q4_0",))
    monkeypatch.setattr(calibrate, "ROUNDS", 2)


def test_every_operation_has_its_time(library: Library) -> None:
    with kernels.Bench(library, ["q4_0", "Q6_K"], 1, expert_types=["q8_0"]) as bench:
        for _ in range(3):
            bench.round()
        found = bench.figures()
    assert (found.threads, found.variant, found.rounds) == (1, library.variant, 3)
    assert {
        kind: {width: [rows for rows, _ in line] for width, line in lines.items()} for kind, lines in found.products.items()
    } == {
        "q4_0": {512: [1, 8, 64], 2048: [1, 8, 64]},
        "Q6_K": {512: [1, 8, 64], 2048: [1, 8, 64]},
    }
    assert [rows for rows, _ in found.expert_products["q8_0"][1024]] == [1, 4]
    assert all(seconds > 0 for lines in found.products.values() for line in lines.values() for _, seconds in line)
    assert set(found.attention) == {64, 128}
    assert all(len(looks) == 3 and min(looks) >= 0 for looks in found.attention.values())
    assert set(found.small) == set(kernels.SMALL)


def test_looks_and_reading_are_told_apart() -> None:
    """One query, eight, and a tile: 3 s a look and 6 s to read a KV head's token for three heads; 2 s a look in tiles."""
    assert kernels._looks(3 + 2, 8 * 3 + 2, 64 * 2 + 2) == (3, 2, 6)
    assert kernels._looks(3, 8 * 3, 64) == (3, 1, 0)


def test_a_calibration_has_all_that_a_prediction_needs(library: Library) -> None:
    found = calibrate.calibrate(STORED, 1, variant=library.variant)
    assert set(found.kernels.products) == {"Q4_0", "F32", "Q8_0"}  # the common ones here, and the file's
    assert found.kernels.rounds == 2
    assert set(found.kernels.expert_products) == {"Q8_0"}
    assert [(point.new, point.batch, point.kept) for point in found.points] == [(1, 1, 128), (1, 4, 128), (256, 1, 128)]
    assert min(found.tiny_s, found.mixture_s, found.restore_token_s, *(point.seconds for point in found.points)) > 0
    assert found.points[1].tok_s == pytest.approx(4 / found.points[1].seconds)


def test_steps_leave_conversations_as_long_as_they_say(library: Library) -> None:
    with steps.opened(DENSE, 1, sequences=3, context_tokens=128, library=library) as model:
        state = model.fill(40)
        assert [model.context.length(sequence) for sequence in range(3)] == [40, 40, 40]
        assert model.decode(2, 32, count=4) > 0
        assert [model.context.length(sequence) for sequence in range(3)] == [37, 37, 40]  # one step is not counted
        assert model.prefill(16, 24) > 0
        assert model.context.length() == 40
        assert model.fill(40, state) == state
        assert model.restore(state) > 0


def test_the_clock_of_one_thread_does_not_count_what_others_took() -> None:
    assert (clock(1), clock(2)) == (time.process_time, time.perf_counter)
