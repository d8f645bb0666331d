"""A cause that somebody planted is named: the largest effect is the cause's, and its largest segment says where.

Two at once: the two largest effects are theirs, in any order, each with a largest segment that says where. tests/economics/planting.py has the
causes, the noise around them and what counts as naming; a failure prints the table of all causes. 60 ledgers here; `make bench-planted` has 200.
"""

import os
from pathlib import Path

import pytest

from tests.economics.judging import PAIRS, Verdict, judge_all, table
from tests.economics.planting import CAUSES

LEDGERS = int(os.environ.get("JEVONS_PLANTED", "60"))
OF_TWO = LEDGERS * 3 * len(PAIRS) // 200
"""200 with one cause go with three for each pair."""


def share(verdicts: list[Verdict], method: str) -> float:
    return sum(getattr(verdict, method) for verdict in verdicts) / len(verdicts)


@pytest.mark.timeout(900)
def test_one_cause(tmp_path: Path) -> None:
    causes = [(cause,) for cause in CAUSES]
    verdicts = judge_all(((seed, causes[seed % len(causes)]) for seed in range(LEDGERS)), tmp_path)
    print(table(verdicts))
    assert share(verdicts, "by_lmdi") >= 0.95
    assert share(verdicts, "by_shapley") >= 0.95


@pytest.mark.timeout(900)
def test_two_causes_at_once(tmp_path: Path) -> None:
    verdicts = judge_all(((seed, PAIRS[seed % len(PAIRS)]) for seed in range(OF_TWO)), tmp_path)
    print(table(verdicts))
    assert share(verdicts, "by_lmdi") >= 0.85
    assert share(verdicts, "by_shapley") >= 0.85
