"""One step from a frame to the next, taken apart: who, how deep, which model, how many tokens, at which price.

The cost of one kind of token at one leaf is a product, market → tier → line → model → tariff:

    tasks · share of the group · calls per task · share of the tier · of the line in it · of the model · of the tariff
        · input tokens per call · share of the kind · price · what is billed of the list price

(output: tokens per call · price; fees: cost per call). `decompose` shares out the change of each product; equal factors are added up.

Names change faster than work. What is there on one side only is compared with what took its place in the same branch, if anything did: within
a line or a model the step of the price is then `substitution` or `tariff`; across lines or tiers the step of the whole cost of a call is `lineage`
or `tier`, since unlike models are not given the same calls. What nothing replaced goes, whole, to its share (the outermost factor that becomes zero;
those within it have no value on that side, and keep that of the other).

Shares are told against their branch: a share that rises at the branch's mean cost changes nothing. That is a shift among siblings of
L(V1, V0) · Δs, which sums to zero. Does not know: days, money's rounding, words.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from jevons.core.usage import TOKEN_KINDS
from jevons.economics.decompose import lmdi, log_mean, shapley
from jevons.economics.frames import BILLED_NUSD, CALLS, INPUT, INPUT_NUSD, LIST_NUSD, Cost, Frame, Group, Sums

VOLUME, MIX, DEPTH = "volume", "mix", "depth"
LEVELS = ("tier", "lineage", "substitution", "tariff")
"""What a shift of shares at each level is called, and the step where one child took another's place."""
LIKE = ("substitution", "tariff")
"""Levels whose children do the same work: only their prices step."""
CONTEXT, OUTPUT, CACHE, PRICE, FEES, DISCOUNT = "context", "output", "cache", "price", "fees", "discount"
ENTRY, EXIT = "entry", "exit"
KINDS = len(TOKEN_KINDS)
NAMED_MAX = 2
"""Names on each side of an arrow; more are counted."""


class Part(NamedTuple):
    """Where a part of an effect comes from."""

    effect: str
    labels: tuple[str, ...]
    """Of the group."""
    tier: str
    line: str
    model: str
    tariff: str
    kind: str
    """Of token, where the effect is of one."""


Found = dict[Part, list[float]]
"""Part -> [by LMDI, by Shapley]."""
Naming = Callable[[Group, str, str], "Names"]
"""(group, tier, line) -> what a shift of the line's share is called, in parts that sum to 1: it may be an entry or an exit."""


Names = Sequence[tuple[str, float]]
_Factor = tuple[Names, float]
"""What it is called, and by how much it was multiplied."""


class _Side(NamedTuple):
    """A leaf, or what is pooled, in both frames; None = not there."""

    path: tuple[str, str, str, str]
    before: Sums | None
    after: Sums | None


class Step:
    """From one frame to the next, for groups that stay. Adds to `found`."""

    def __init__(self, cost: Cost, naming: Naming, found: Found) -> None:
        self._billed = cost == "billed"
        self._value = BILLED_NUSD if self._billed else LIST_NUSD
        self._naming = naming
        self._found = found

    def take(self, before: Frame, after: Frame, groups: Iterable[Group]) -> None:
        """All that changed in these groups, whose work is counted in the same way."""
        sides: dict[Group, list[_Side]] = {group: [] for group in groups}
        for leaf in {**before.leaves, **after.leaves}:
            if leaf.group in sides:
                side = _Side(leaf[1:], _present(before.leaves.get(leaf)), _present(after.leaves.get(leaf)))
                if side.before is not None or side.after is not None:
                    sides[leaf.group].append(side)
        sides = {group: of for group, of in sides.items() if of}
        tasks0, tasks1 = (sum(frame.tasks.get(group, 0) for group in sides) for frame in (before, after))
        mean = self._mean(side for of in sides.values() for side in of)
        for group, of in sides.items():
            here, there = before.tasks.get(group, 0), after.tasks.get(group, 0)
            if not tasks0 or not tasks1:
                self._whole([(VOLUME, 1.0)], group, of)
                continue
            if not here or not there:
                self._whole([(MIX, 1.0)], group, of)
            else:
                calls0, calls1 = _calls(of)
                mix = there / tasks1 / (here / tasks0)
                depth = calls1 / there / (calls0 / here)
                self._branch(group, of, 0, [([(VOLUME, 1.0)], tasks1 / tasks0), ([(MIX, 1.0)], mix), ([(DEPTH, 1.0)], depth)])
            self._shift([(MIX, 1.0)], group, of, -mean * (there / tasks1 - here / tasks0))

    def _branch(self, group: Group, sides: list[_Side], level: int, above: list[_Factor]) -> None:
        """The children at `level` of a branch that is there in both frames. `above`: the factors down to it."""
        calls0, calls1 = _calls(sides)
        mean = self._mean(sides)
        gone: list[list[_Side]] = []
        came: list[list[_Side]] = []
        for of in _children(sides, level):
            here, there = _calls(of)
            if here and there:
                names = self._names(group, of[0], level)
                factors = [*above, (names, there / calls1 / (here / calls0))]
                self._shift(names, group, of, -mean * (there / calls1 - here / calls0))
                if level + 1 < len(LEVELS):
                    self._branch(group, of, level + 1, factors)
                else:
                    self._pair(group, of[0], factors)
            else:
                (gone if here else came).append(of)
        if gone and came:
            pair = _pooled(gone, came, level)
            here, there = _calls([pair])
            names = [(LEVELS[level], 1.0)]
            self._shift(names, group, [pair], -mean * (there / calls1 - here / calls0))
            self._pair(group, pair, [*above, (names, there / calls1 / (here / calls0))], LEVELS[level])
            return
        for of in gone or came:
            here, there = _calls(of)
            names = self._names(group, of[0], level)
            self._whole(names, group, of)
            self._shift(names, group, of, -mean * (there / calls1 - here / calls0))

    def _pair(self, group: Group, side: _Side, above: list[_Factor], pool: str = "") -> None:
        """One leaf in both frames, or one pool of the level of that name: each kind of token, and the fees."""
        assert side.before is not None and side.after is not None
        cells = zip(_cells(side.before, self._billed), _cells(side.after, self._billed), strict=True)
        for kind, (here, there) in zip((*TOKEN_KINDS, FEES), cells, strict=True):
            if here.nusd and there.nusd:
                steps = zip(here.factors, there.factors, strict=True)
                own: list[_Factor] = [([(_called(effect, pool), 1.0)], b / a) for (effect, a), (_, b) in steps]
                self._share_out(group, side, kind, here.nusd, there.nusd, [*above, *own])
            elif here.nusd or there.nusd:
                missing = there if here.nusd else here
                effect = next((effect for effect, value in missing.factors if not value), PRICE)
                self._add(_called(effect, pool), group, side, kind, there.nusd - here.nusd)

    def _share_out(self, group: Group, side: _Side, kind: str, here: float, there: float, factors: list[_Factor]) -> None:
        moved = [(names, ratio) for names, ratio in factors if ratio != 1]
        ratios = [ratio for _, ratio in moved]
        for (names, _), by_lmdi, by_shapley in zip(moved, lmdi(here, there, ratios), shapley(here, ratios), strict=True):
            for name, weight in names:
                self._add(name, group, side, kind, by_lmdi * weight, by_shapley * weight)

    def _whole(self, names: Names, group: Group, sides: Iterable[_Side]) -> None:
        """All that changed at these leaves."""
        for side in sides:
            change = self._nusd(side.after) - self._nusd(side.before)
            for name, weight in names:
                self._add(name, group, side, "", change * weight)

    def _shift(self, names: Names, group: Group, sides: Sequence[_Side], nusd: float) -> None:
        """Told against the mean of the branch: spread over the leaves by what they cost."""
        costs = [self._nusd(side.before) + self._nusd(side.after) for side in sides]
        whole = sum(costs)
        for side, cost in zip(sides, costs, strict=True):
            part = nusd * cost / whole if whole else nusd / len(sides)
            for name, weight in names:
                self._add(name, group, side, "", part * weight)

    def _add(self, effect: str, group: Group, side: _Side, kind: str, by_lmdi: float, by_shapley: float | None = None) -> None:
        part = Part(effect, group.labels, *side.path, kind if effect == PRICE else "")
        sums = self._found.get(part)
        if sums is None:
            sums = self._found[part] = [0.0, 0.0]
        sums[0] += by_lmdi
        sums[1] += by_lmdi if by_shapley is None else by_shapley

    def _names(self, group: Group, child: _Side, level: int) -> Names:
        """What a shift of this child's share is called."""
        if LEVELS[level] != "lineage":
            return [(LEVELS[level], 1.0)]
        return self._naming(group, child.path[0], child.path[1])

    def _mean(self, sides: Iterable[_Side]) -> float:
        values = [(self._nusd(side.after), self._nusd(side.before)) for side in sides]
        return log_mean(sum(after for after, _ in values), sum(before for _, before in values))

    def _nusd(self, sums: Sums | None) -> int:
        return sums[self._value] if sums is not None else 0


class _Cell(NamedTuple):
    """What one kind of token cost, and its own factors from the outermost in."""

    nusd: float
    factors: tuple[tuple[str, float], ...]


def _cells(sums: Sums, billed: bool) -> list[_Cell]:
    """Input kinds, output, fees."""
    calls, listed = sums[CALLS], sums[LIST_NUSD]
    share = (sums[BILLED_NUSD] / listed if listed else 0.0) if billed else 1.0
    read = sum(sums[INPUT : INPUT + KINDS - 1])
    cells = []
    fees = listed
    for place in range(KINDS):
        tokens, nusd = sums[INPUT + place], sums[INPUT_NUSD + place]
        if not tokens:
            nusd = 0  # a charge without tokens of its kind is a fee
        fees -= nusd
        price = (PRICE, nusd / tokens if tokens else 0.0)
        size = (
            [(CONTEXT, read / calls), (CACHE, tokens / read if read else 0.0)]
            if place < KINDS - 1
            else [(OUTPUT, tokens / calls)]
        )
        cells.append(_Cell(nusd * share, (*size, price, (DISCOUNT, share))))
    cells.append(_Cell(fees * share, ((FEES, fees / calls), (DISCOUNT, share))))
    return cells


def _called(effect: str, pool: str) -> str:
    """What a step of a leaf's own factor is called where one took another's place in a pool of this level."""
    if not pool or effect == DISCOUNT:
        return effect
    return pool if effect == PRICE or pool not in LIKE else effect


def _present(sums: Sums | None) -> Sums | None:
    return sums if sums is not None and sums[CALLS] else None


def _calls(sides: Iterable[_Side]) -> tuple[int, int]:
    here = there = 0
    for side in sides:
        here += side.before[CALLS] if side.before is not None else 0
        there += side.after[CALLS] if side.after is not None else 0
    return here, there


def _children(sides: Iterable[_Side], level: int) -> list[list[_Side]]:
    found: dict[str, list[_Side]] = {}
    for side in sides:
        found.setdefault(side.path[level], []).append(side)
    return list(found.values())


def _pooled(gone: list[list[_Side]], came: list[list[_Side]], level: int) -> _Side:
    """What left a branch and what came into it, as one: its path says both."""
    before = [side for of in gone for side in of]
    after = [side for of in came for side in of]
    path = [*before[0].path[:level]]
    for place in range(level, len(LEVELS)):
        left, right = (_joined(side.path[place] for side in sides) for sides in (before, after))
        path.append(left if left == right else f"{left} → {right}")
    sums = (_added(side.before for side in before), _added(side.after for side in after))
    return _Side((path[0], path[1], path[2], path[3]), sums[0], sums[1])


def _added(each: Iterable[Sums | None]) -> Sums:
    return [sum(column) for column in zip(*(sums for sums in each if sums is not None), strict=True)]


def _joined(names: Iterable[str]) -> str:
    each = list(dict.fromkeys(names))
    return ", ".join(each) if len(each) <= NAMED_MAX else f"{each[0]} and {len(each) - 1} more"
