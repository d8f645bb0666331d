"""Was what somebody planted named? Each ledger is written, explained, judged and removed; the verdicts are counted by cause.

Comes in: seeds and causes. Goes out: verdicts, and a table of them. Does not know: how much is enough.
"""

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations, permutations
from pathlib import Path
from typing import NamedTuple

from jevons.economics.explain import Effect, explain
from jevons.economics.frames import Span
from tests.economics.planting import CAUSES, Planted, plant

PAIRS = tuple(pair for pair in combinations(CAUSES, 2) if pair != ("tariff", "long_context"))
"""Two causes at once. A tariff and a longer context are one effect, and one effect has one largest segment."""
COLUMNS = ("lmdi_nusd", "shapley_nusd")


class Verdict(NamedTuple):
    """`by_lmdi`, `by_shapley`: as many effects lead as there are causes, each names one of them. `nearly`: by LMDI, with one more effect."""

    seed: int
    causes: tuple[str, ...]
    by_lmdi: bool
    by_shapley: bool
    nearly: bool
    largest: str
    """The effect that leads, by LMDI."""


def leading(effects: Sequence[Effect], column: str, count: int) -> list[Effect]:
    """The largest ones, whatever their sign."""
    return sorted(effects, key=lambda effect: -abs(getattr(effect, column)))[:count]


def named(planted: Sequence[Planted], effects: Sequence[Effect], column: str) -> bool:
    """Has each cause an effect of its own among these, whose largest segment says where it is?"""

    def says(cause: Planted, effect: Effect) -> bool:
        largest = max(effect.segments, key=lambda segment: abs(getattr(segment, column)))
        return cause.named_by(effect.name, largest.labels)

    return any(all(map(says, planted, some)) for some in permutations(effects, len(planted)))


def judge(seed: int, causes: Sequence[str], folder: Path) -> Verdict:
    """Writes a ledger into the folder, and removes it."""
    ledger = plant(seed, folder, *causes)
    found = explain(ledger.path, Span(*ledger.window), Span(*ledger.base))
    for file in folder.glob(f"{ledger.path.name}*"):
        file.unlink()
    for column in COLUMNS:
        assert sum(getattr(effect, column) for effect in found.effects) == found.change_nusd
    verdicts = [named(ledger.planted, leading(found.effects, column, len(causes)), column) for column in COLUMNS]
    nearly = named(ledger.planted, leading(found.effects, COLUMNS[0], len(causes) + 1), COLUMNS[0])
    return Verdict(seed, tuple(causes), verdicts[0], verdicts[1], nearly, found.effects[0].name)


def judge_all(cases: Iterable[tuple[int, Sequence[str]]], folder: Path) -> list[Verdict]:
    """In as many processes as there are cores."""
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        return [future.result() for future in [pool.submit(judge, seed, causes, folder) for seed, causes in cases]]


def table(verdicts: Sequence[Verdict]) -> str:
    """For people: of how many ledgers of each cause it was named, and which effect led where it was not."""
    lines = []
    for causes in dict.fromkeys(verdict.causes for verdict in verdicts):
        some = [verdict for verdict in verdicts if verdict.causes == causes]
        missed = [verdict for verdict in some if not verdict.by_lmdi]
        led = ", ".join(f"{effect} {n}" for effect, n in Counter(verdict.largest for verdict in missed).most_common())
        seeds = f" (led by {led}; seeds {', '.join(str(verdict.seed) for verdict in missed)})" if missed else ""
        lines.append(f"{' + '.join(causes)}: {len(some) - len(missed)} of {len(some)}{seeds}")
    counts = [sum(verdict.by_lmdi for verdict in verdicts), sum(verdict.by_shapley for verdict in verdicts)]
    nearly = sum(verdict.nearly for verdict in verdicts)
    lines.append(f"all: by LMDI {counts[0]}, by Shapley {counts[1]}, with one more effect {nearly}, of {len(verdicts)}")
    return "\n".join(lines)
