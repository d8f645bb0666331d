"""Both attributions once more, from the literature and by brute force, and the bill's own tree of factors from its entries: the slow way.

Comes in: a product before and after; or a ledger file and two spans of days. Goes out: effects, as exact fractions (Shapley) or floats with the
textbook's formula (LMDI-I). Shares no code with what it judges: it reads entries, where that reads sums.

LMDI-I: B. W. Ang, "The LMDI approach to decomposition analysis: a practical guide", Energy Policy 33 (2005), eq. 5. Zeros: the eight cases of
B. W. Ang, F. Q. Zhang, K.-H. Choi, "Factorizing changes in energy and environmental indicators through decomposition", Energy 23 (1998),
table 2, as B. W. Ang and N. Liu take them up, "Handling zero values in the logarithmic mean Divisia index decomposition approach", Energy
Policy 35 (2007). Where several factors become zero at once, the outermost takes all. Shapley: L. S. Shapley, "A value for n-person games" (1953).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import permutations
from math import factorial, log, prod
from pathlib import Path

import apsw
import msgspec

from jevons.meter.lineages import lineage_of

FACTORS = (
    "volume",
    "mix",
    "depth",
    "tier",
    "lineage",
    "substitution",
    "tariff",
    "context",
    "output",
    "cache",
    "price",
    "discount",
)
"""Outermost first. Input has no `output`, output no `context` and no `cache`, fees none of the three and no `price`."""


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


Cell = Mapping[str, Fraction]
"""Factor -> its value."""
Frame = dict[tuple[str, ...], Cell]


def bill_of(path: Path, first: int, after: int, billed: bool = True) -> Frame:
    """The bill of a span of days as a sum of products: one cell for each (team, agent, tier, line, model, tariff, kind of money)."""
    calls: dict[tuple[str, ...], int] = defaultdict(int)
    counts: dict[tuple[str, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    costs: dict[tuple[str, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    paid: dict[tuple[str, ...], int] = defaultdict(int)
    tasks: dict[tuple[str, ...], set[object]] = defaultdict(set)
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    for settings, agent, upstream, target, tariff, entry_id, run_id, requests, lines, billed_nusd in db.execute(
        "SELECT settings, agent, upstream, target, tariff, entries.id, run_id, requests, lines, billed_nusd FROM entries JOIN keys"
        " ON keys.id = key_id WHERE (entries.id >> 18) / 86400000 >= ? AND (entries.id >> 18) / 86400000 < ?",
        (first, after),
    ):
        lineage = lineage_of(upstream, target)
        group = (msgspec.json.decode(settings).get("team", ""), agent)
        leaf = (*group, lineage.tier, f"{lineage.vendor}/{lineage.line}", target, f"{upstream} {tariff}".strip())
        calls[leaf] += requests
        paid[leaf] += billed_nusd
        tasks[group].add(run_id or entry_id)
        for kind, count, nusd, _ in msgspec.json.decode(lines):
            counts[leaf][kind] += count
            costs[leaf][kind] += nusd
    db.close()
    return _cells(calls, counts, costs, paid if billed else None, {group: len(found) for group, found in tasks.items()})


def _cells(
    calls: Mapping[tuple[str, ...], int],
    counts: Mapping[tuple[str, ...], Mapping[str, int]],
    costs: Mapping[tuple[str, ...], Mapping[str, int]],
    paid: Mapping[tuple[str, ...], int] | None,
    tasks: Mapping[tuple[str, ...], int],
) -> Frame:
    under: dict[tuple[str, ...], int] = defaultdict(int)
    """Calls below each node of the tree team, agent, tier, line, model, tariff."""
    for leaf, n in calls.items():
        for depth in range(2, len(leaf) + 1):
            under[leaf[:depth]] += n
    cells: Frame = {}
    for leaf, n in calls.items():
        inputs = sum(count for kind, count in counts[leaf].items() if kind != "output")
        shared = {
            "volume": Fraction(sum(tasks.values())),
            "mix": Fraction(tasks[leaf[:2]], sum(tasks.values())),
            "depth": Fraction(under[leaf[:2]], tasks[leaf[:2]]),
            **{
                effect: Fraction(under[leaf[: depth + 1]], under[leaf[:depth]])
                for depth, effect in enumerate(("tier", "lineage", "substitution", "tariff"), 2)
            },
            "discount": Fraction(1) if paid is None else Fraction(paid[leaf], sum(costs[leaf].values())),
        }
        for kind, count in counts[leaf].items():
            price = Fraction(costs[leaf][kind], count)
            if kind == "output":
                cells[*leaf, kind] = {**shared, "output": Fraction(count, n), "price": price}
            else:
                cells[*leaf, kind] = {**shared, "context": Fraction(inputs, n), "cache": Fraction(count, inputs), "price": price}
    return cells


def effects_of(before: Frame, after: Frame) -> tuple[dict[str, float], dict[str, Fraction]]:
    """(LMDI-I, Shapley) of a whole bill: the sum over its cells. Every cell has to be there before and after."""
    assert before.keys() == after.keys()
    by_lmdi: dict[str, float] = defaultdict(float)
    by_shapley: dict[str, Fraction] = defaultdict(Fraction)
    for place, cell in before.items():
        names = [name for name in FACTORS if name in cell]
        old, new = [cell[name] for name in names], [after[place][name] for name in names]
        for name, effect in zip(names, lmdi([float(x) for x in old], [float(x) for x in new]), strict=True):
            by_lmdi[name] += effect
        for name, exact in zip(names, shapley_by_subsets(old, new), strict=True):
            by_shapley[name] += exact
    return dict(by_lmdi), dict(by_shapley)
