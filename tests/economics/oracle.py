"""Both attributions once more, from the literature and by brute force, and the bill's own tree of factors from its entries: the slow way.

Comes in: a product before and after; or a ledger file and two spans of days. Goes out: effects, as exact fractions (Shapley) or floats with the
textbook's formula (LMDI-I). Shares no code with what it judges, but for the names of lines: it reads entries, where that reads sums.

LMDI-I: B. W. Ang, "The LMDI approach to decomposition analysis: a practical guide", Energy Policy 33 (2005), eq. 5. Zeros: the eight cases of
B. W. Ang, F. Q. Zhang, K.-H. Choi, "Factorizing changes in energy and environmental indicators through decomposition", Energy 23 (1998),
table 2, as B. W. Ang and N. Liu take them up, "Handling zero values in the logarithmic mean Divisia index decomposition approach", Energy
Policy 35 (2007). Where several factors become zero at once, the outermost takes all. Shapley: L. S. Shapley, "A value for n-person games" (1953).
"""

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations
from math import factorial, log, prod
from pathlib import Path

import apsw
import msgspec

from jevons.meter.lineages import lineage_of

FACTORS = "volume mix depth context output fees tier lineage substitution tariff cache price discount".split()
"""Outermost first. Work is tasks, calls a task and, in a group, input tokens, output tokens and fees a call: three trees, each with shares of its
own. Only input has a share of the kind, and fees have no price."""


def lmdi(before: Sequence[float], after: Sequence[float]) -> list[float]:
    """The effect of each factor of one product on its change."""
    v0, v1 = prod(before), prod(after)
    if v0 > 0 and v1 > 0:
        mean = v1 if v1 == v0 else (v1 - v0) / log(v1 / v0)
        return [mean * log(x1 / x0) for x0, x1 in zip(before, after, strict=True)]
    effects = [0.0] * len(before)
    if v0 != v1:
        gone = before if v0 == 0 else after
        effects[list(gone).index(0)] = v1 - v0
    return effects


def shapley_by_orders(before: Sequence[Fraction], after: Sequence[Fraction]) -> list[Fraction]:
    """The mean, over all orders in which the factors could have changed, of what each adds: n! orders."""
    effects = [Fraction(0)] * len(before)
    for order in permutations(range(len(before))):
        now = list(before)
        for place in order:
            was = prod(now)
            now[place] = after[place]
            effects[place] += prod(now) - was
    return [effect / factorial(len(before)) for effect in effects]


def shapley_by_subsets(before: Sequence[Fraction], after: Sequence[Fraction]) -> list[Fraction]:
    """The same from what each subset of changed factors is worth: 2 to the n products, in whole numbers over one denominator."""
    n = len(before)
    unit = prod(x0.denominator * x1.denominator for x0, x1 in zip(before, after, strict=True))
    unchanged = [x0.numerator * x1.denominator for x0, x1 in zip(before, after, strict=True)]
    changed = [x1.numerator * x0.denominator for x0, x1 in zip(before, after, strict=True)]
    worth = [1]
    for x0, x1 in zip(unchanged, changed, strict=True):
        worth = [value * x0 for value in worth] + [value * x1 for value in worth]
    weights = [factorial(size) * factorial(n - size - 1) for size in range(n)]
    effects = []
    for place in range(n):
        bit = 1 << place
        gained = sum(
            weights[subset.bit_count()] * (worth[subset | bit] - worth[subset]) for subset in range(1 << n) if not subset & bit
        )
        effects.append(Fraction(gained, unit * factorial(n)))
    return effects


Place = tuple[str, ...]
"""team, agent, tier, line, model, tariff; then a kind of token, or "fees"."""
LEVELS = ("tier", "lineage", "substitution", "tariff")
TOKENS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
LOOSE_SHARE_MAX = Fraction(1, 5)
"""Where the share of calls outside runs differs by more, runs are no measure of work: each call is a task."""
PART_OF = {"output": "output", "fees": "fees"}
"""Kind -> the part that it is of; all others are context."""


class Table:
    """What the entries of a span of days say: calls, tasks, tokens and costs by place."""

    def __init__(self, path: Path, first: int, after: int) -> None:
        self.calls: dict[Place, int] = defaultdict(int)
        self.counts: dict[Place, int] = defaultdict(int)
        self.costs: dict[Place, int] = defaultdict(int)
        self.listed: dict[Place, int] = defaultdict(int)
        self.billed: dict[Place, int] = defaultdict(int)
        self.tasks: dict[Place, int] = defaultdict(int)
        """Runs, and calls outside any run."""
        self.loose: dict[Place, int] = defaultdict(int)
        runs: set[tuple[Place, str]] = set()
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        for settings, agent, upstream, target, tariff, run_id, requests, lines, billed_nusd in db.execute(
            "SELECT settings, agent, upstream, target, tariff, run_id, requests, lines, billed_nusd FROM entries"
            " JOIN keys ON keys.id = key_id WHERE (entries.id >> 18) / 86400000 >= ? AND (entries.id >> 18) / 86400000 < ?",
            (first, after),
        ):
            lineage = lineage_of(upstream, target)
            group = (msgspec.json.decode(settings).get("team", ""), agent)
            leaf = (*group, lineage.tier, f"{lineage.vendor}/{lineage.line}", target, f"{upstream} {tariff}".strip())
            self.calls[leaf] += requests
            self.billed[leaf] += billed_nusd
            self.loose[group] += 0 if run_id else requests
            if (group, run_id) not in runs:
                self.tasks[group] += 1 if run_id else requests
                runs.update([(group, run_id)] if run_id else [])
            for kind, count, nusd, _ in msgspec.json.decode(lines):
                place = (*leaf, kind if kind in TOKENS else "fees")
                self.counts[place] += count
                self.costs[place] += nusd
                self.listed[leaf] += nusd
        db.close()

    def calls_of(self, group: Place) -> int:
        return sum(n for leaf, n in self.calls.items() if leaf[:2] == group)

    def sizes(self) -> dict[Place, int]:
        """How much of each part (context, output, fees) is below each place, with the part as the first of it: tokens, or nano-dollars of fees."""
        found: dict[Place, int] = defaultdict(int)
        for (*path, kind), count in self.counts.items():
            part, amount = PART_OF.get(kind, "context"), self.costs[*path, kind] if kind == "fees" else count
            for depth in range(2, len(path) + 1):
                found[part, *path[:depth]] += amount
        return found

    def cells(self, groups: set[Place]) -> dict[Place, dict[str, Fraction]]:
        """The bill of these groups as a sum of products: each cell's factors by name."""
        sizes, everything = self.sizes(), sum(self.tasks[group] for group in groups)
        found = {}
        for (*path, kind), nusd in self.costs.items():
            leaf, group, part = tuple(path), tuple(path[:2]), PART_OF.get(kind, "context")
            if group not in groups or not nusd:
                continue
            count = self.counts[*leaf, kind]
            found[*leaf, kind] = {
                "volume": Fraction(everything),
                "mix": Fraction(self.tasks[group], everything),
                "depth": Fraction(self.calls_of(group), self.tasks[group]),
                part: Fraction(sizes[part, *group], self.calls_of(group)),
                **{
                    name: Fraction(sizes[part, *leaf[:deep]], sizes[part, *leaf[: deep - 1]])
                    for deep, name in enumerate(LEVELS, 3)
                },
                **({"cache": Fraction(count, sizes[part, *leaf])} if part == "context" else {}),
                **({"price": Fraction(nusd, count)} if part != "fees" else {}),
                "discount": Fraction(self.billed[leaf], self.listed[leaf]),
            }
        return found


def effects_of(path: Path, base: tuple[int, int], window: tuple[int, int]) -> tuple[dict[str, float], dict[str, Fraction]]:
    """(LMDI-I, Shapley) of the whole bill, without anything between the two spans.

    What is there on one side only goes to the outermost factor that is zero: the group (entry, exit), what a group needs for a call, the share
    of the tier, line, model or tariff, or the kind of token. (Shapley too: the factors within have no value on the side where it is missing.)
    """
    old, new = Table(path, *base), Table(path, *window)
    groups = set(old.tasks) & set(new.tasks)
    for group in groups:
        here, there = (Fraction(table.loose[group], table.calls_of(group)) for table in (old, new))
        if abs(here - there) > LOOSE_SHARE_MAX:
            old.tasks[group], new.tasks[group] = old.calls_of(group), new.calls_of(group)
    by_lmdi: dict[str, float] = defaultdict(float)
    by_shapley: dict[str, Fraction] = defaultdict(Fraction)

    def whole(effect: str, nusd: Fraction) -> None:
        by_lmdi[effect] += float(nusd)
        by_shapley[effect] += nusd

    for table, effect, sign in ((old, "exit", -1), (new, "entry", 1)):
        for leaf, nusd in table.billed.items():
            if leaf[:2] not in groups:
                whole(effect, Fraction(sign * nusd))
    before, after = old.cells(groups), new.cells(groups)
    for place in before.keys() | after.keys():
        if place not in before or place not in after:
            cell, missing, sign = (before[place], new, -1) if place in before else (after[place], old, 1)
            whole(_outermost(place, missing), sign * prod(cell.values()))
            continue
        names = [name for name in FACTORS if name in before[place]]
        here, there = ([cells[place][name] for name in names] for cells in (before, after))
        called = [_called(name, place) for name in names]
        for name, effect in zip(called, lmdi([float(x) for x in here], [float(x) for x in there]), strict=True):
            by_lmdi[name] += effect
        for name, exact in zip(called, shapley_by_subsets(here, there), strict=True):
            by_shapley[name] += exact
    return dict(by_lmdi), dict(by_shapley)


def _called(factor: str, place: Place) -> str:
    """Which models have the fees is a matter of fees."""
    return "fees" if place[-1] == "fees" and factor in LEVELS else factor


def _outermost(place: Place, missing: Table) -> str:
    """The first factor on the way to a place that is zero in the table where it is missing."""
    part, sizes = PART_OF.get(place[-1], "context"), missing.sizes()
    zero = (name for deep, name in enumerate((part, *LEVELS), 2) if not sizes.get((part, *place[:deep])))
    return _called(next(zero, "cache"), place)
