"""Defaults that depend on the machine, and what is refused."""

import pytest

from jevons.engine.settings import EngineSettings, default_threads, usable_cores


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 2), (8, 7), (64, 8)])
def test_one_core_is_left_to_others(cores: int, threads: int) -> None:
    assert default_threads(cores) == threads


def test_this_machine_has_a_core() -> None:
    assert usable_cores() >= 1


@pytest.mark.parametrize(("slots", "context_tokens", "threads"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_nonsense_is_refused(slots: int, context_tokens: int, threads: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        EngineSettings(slots=slots, context_tokens=context_tokens, threads=threads)
