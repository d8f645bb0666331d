"""One step from a frame to the next, taken apart: who, how deep, how many tokens, which model, at which price.

The cost of one kind of token at one leaf is a product, market → group → tier → line → model → tariff:

    tasks · share of the group · calls per task · input tokens per call
        · share of the tier in them · of the line · of the model · of the tariff · share of the kind there · price · what is billed of it

(output: its tokens per call, their shares, price; fees: cost per call, its shares). Work is measured in tokens and in the group, whoever
does it; shares say which models did it. `decompose` shares out the change of each product; equal factors are added up.

Names change faster than work. What is there on one side only is compared with what took its place in the same branch, if anything did: within
a line or a model the step of the price is then `substitution` or `tariff`; across lines or tiers the step of the whole cost of a token is `lineage`
or `tier`. What nothing replaced goes, whole, to its share (the outermost factor that becomes zero; those within it have no value on that side, and
keep that of the other).

Shares are told against their branch: a share that rises at the branch's mean cost changes nothing. That is a shift among siblings of
L(V1, V0) · Δs, which sums to zero. Does not know: days, money's rounding, words.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from jevons.core.usage import TOKEN_KINDS
from jevons.economics.decompose import lmdi, log_mean, shapley
from jevons.economics.frames import BILLED_NUSD, CALLS, INPUT, INPUT_NUSD, LIST_NUSD, OUTPUT_NUSD, Cost, Frame, Group, Sums
from jevons.economics.frames import OUTPUT as OUTPUT_TOKENS

VOLUME, MIX, DEPTH = "volume", "mix", "depth"
LEVELS = ("tier", "lineage", "substitution", "tariff")
"""What a shift of shares at each level is called, and the step where one child took another's place."""
LIKE = ("substitution", "tariff")
"""Levels whose children do the same work: only their prices step."""
CONTEXT, OUTPUT, CACHE, PRICE, FEES, DISCOUNT = "context", "output", "cache", "price", "fees", "discount"
ENTRY, EXIT = "entry", "exit"
PARTS = (0, 1, 2)
"""Input, output, fees: their sizes are in different units, and each has shares of its own."""
SIZES = (CONTEXT, OUTPUT, FEES)
"""What a change of each one's size per call is called."""
KINDS = len(TOKEN_KINDS)
KINDS_OF = (TOKEN_KINDS[:-1], TOKEN_KINDS[-1:], (FEES,))
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


class _Use(NamedTuple):
    """What a leaf, or a pool of leaves, used and cost on one side."""

    sums: Sums
    sizes: tuple[int, int, int]
    """Input tokens, output tokens, list cost of fees."""
    nusd: tuple[float, float, float]
    """What each of these cost."""


class _Side(NamedTuple):
    """A leaf, or what is pooled, in both frames; None = not there."""

    path: tuple[str, str, str, str]
    before: _Use | None
    after: _Use | None


class Step:
    """From one frame to the next, for groups that stay. Adds to `found`."""

    def __init__(self, cost: Cost, naming: Naming, found: Found) -> None:
        self._billed = cost == "billed"
        self._naming = naming
        self._found = found
        self._times = 1

    def take(self, before: Frame, after: Frame, groups: Iterable[Group], times: int = 1) -> None:
        """All that changed in these groups, whose work is counted in the same way; `times`: how often the step counts."""
        self._times = times
        sides: dict[Group, list[_Side]] = {group: [] for group in groups}
        for leaf in {**before.leaves, **after.leaves}:
            if leaf.group in sides:
                side = _Side(leaf[1:], self._use(before.leaves.get(leaf)), self._use(after.leaves.get(leaf)))
                if side.before is not None or side.after is not None:
                    sides[leaf.group].append(side)
        sides = {group: of for group, of in sides.items() if of}
        tasks0, tasks1 = (sum(frame.tasks.get(group, 0) for group in sides) for frame in (before, after))
        every = [side for of in sides.values() for side in of]
        mean = sum(_mean(every, part) for part in PARTS)
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
                common: list[_Factor] = [([(VOLUME, 1.0)], tasks1 / tasks0), ([(MIX, 1.0)], mix), ([(DEPTH, 1.0)], depth)]
                for part in PARTS:
                    self._part(group, of, part, common, calls1 / calls0)
            self._shift([(MIX, 1.0)], group, of, PARTS, -mean * (there / tasks1 - here / tasks0))

    def _part(self, group: Group, sides: list[_Side], part: int, common: list[_Factor], calls: float) -> None:
        """Input, output or fees of a group. `calls`: by how much its calls grew."""
        size0, size1 = _sizes(sides, part)
        names = [(SIZES[part], 1.0)]
        if size0 and size1:
            self._branch(group, sides, 0, part, [*common, (names, size1 / size0 / calls)])
        else:
            self._whole(names, group, sides, (part,))

    def _branch(self, group: Group, sides: list[_Side], level: int, part: int, above: list[_Factor]) -> None:
        """The children at `level` of a branch that is there in both frames. `above`: the factors down to it."""
        size0, size1 = _sizes(sides, part)
        mean = _mean(sides, part)
        gone: list[list[_Side]] = []
        came: list[list[_Side]] = []
        for of in _children(sides, level):
            here, there = _sizes(of, part)
            if here and there:
                names = self._names(group, of[0], level, part)
                factors = [*above, (names, there / size1 / (here / size0))]
                self._shift(names, group, of, (part,), -mean * (there / size1 - here / size0))
                if level + 1 < len(LEVELS):
                    self._branch(group, of, level + 1, part, factors)
                else:
                    self._pair(group, of[0], part, factors)
            elif here or there:
                (gone if here else came).append(of)
        if gone and came:
            pair = self._pooled(gone, came, level)
            here, there = _sizes([pair], part)
            names = [(FEES if part == PARTS[-1] else LEVELS[level], 1.0)]
            self._shift(names, group, [pair], (part,), -mean * (there / size1 - here / size0))
            self._pair(group, pair, part, [*above, (names, there / size1 / (here / size0))], LEVELS[level])
            return
        for of in gone or came:
            here, there = _sizes(of, part)
            names = self._names(group, of[0], level, part)
            self._whole(names, group, of, (part,))
            self._shift(names, group, of, (part,), -mean * (there / size1 - here / size0))

    def _pair(self, group: Group, side: _Side, part: int, above: list[_Factor], pool: str = "") -> None:
        """One leaf in both frames, or one pool of the level of that name: each kind of token of the part, or its fees."""
        assert side.before is not None and side.after is not None
        kinds = KINDS_OF[part]
        for kind, here, there in zip(kinds, self._cells(side.before, part), self._cells(side.after, part), strict=True):
            if here.nusd and there.nusd:
                steps = zip(here.factors, there.factors, strict=True)
                own: list[_Factor] = [([(_called(effect, pool), 1.0)], b / a) for (effect, a), (_, b) in steps]
                self._share_out(group, side, kind, here.nusd, there.nusd, [*above, *own])
            elif here.nusd or there.nusd:
                missing = there if here.nusd else here
                effect = next((effect for effect, value in missing.factors if not value), PRICE)
                self._add(_called(effect, pool), group, side, kind, there.nusd - here.nusd)

    def _cells(self, use: _Use, part: int) -> "list[_Cell]":
        """What each kind of the part cost, with its own factors from the outermost in."""
        share = self._share(use.sums)
        if part == PARTS[-1]:
            return [_Cell(use.nusd[part], ((DISCOUNT, share),))]
        first, count = (INPUT, KINDS - 1) if part == 0 else (OUTPUT_TOKENS, 1)
        cells = []
        for place in range(first, first + count):
            tokens = use.sums[place]
            nusd = use.sums[place - INPUT + INPUT_NUSD] if tokens else 0
            price = (PRICE, nusd / tokens if tokens else 0.0)
            kind = ((CACHE, tokens / use.sizes[part]),) if part == 0 else ()
            cells.append(_Cell(nusd * share, (*kind, price, (DISCOUNT, share))))
        return cells

    def _use(self, sums: Sums | None) -> _Use | None:
        if sums is None or not sums[CALLS]:
            return None
        share = self._share(sums)
        read = sum(nusd for tokens, nusd in zip(sums[INPUT:OUTPUT_TOKENS], sums[INPUT_NUSD:OUTPUT_NUSD], strict=True) if tokens)
        written = sums[OUTPUT_NUSD] if sums[OUTPUT_TOKENS] else 0
        fees = sums[LIST_NUSD] - read - written  # a charge without tokens of its kind is one too
        return _Use(
            sums, (sum(sums[INPUT:OUTPUT_TOKENS]), sums[OUTPUT_TOKENS], fees), (read * share, written * share, fees * share)
        )

    def _share(self, sums: Sums) -> float:
        """What is billed of the list price."""
        if not self._billed:
            return 1.0
        return sums[BILLED_NUSD] / sums[LIST_NUSD] if sums[LIST_NUSD] else 0.0

    def _pooled(self, gone: list[list[_Side]], came: list[list[_Side]], level: int) -> _Side:
        """What left a branch and what came into it, as one: its path says both."""
        before = [side for of in gone for side in of if side.before is not None]
        after = [side for of in came for side in of if side.after is not None]
        path = [*before[0].path[:level]]
        for place in range(level, len(LEVELS)):
            left, right = (_joined(side.path[place] for side in sides) for sides in (before, after))
            path.append(left if left == right else f"{left} → {right}")
        uses = (_added(side.before for side in before), _added(side.after for side in after))
        return _Side((path[0], path[1], path[2], path[3]), self._use(uses[0]), self._use(uses[1]))

    def _share_out(self, group: Group, side: _Side, kind: str, here: float, there: float, factors: list[_Factor]) -> None:
        moved = [(names, ratio) for names, ratio in factors if ratio != 1]
        ratios = [ratio for _, ratio in moved]
        for (names, _), by_lmdi, by_shapley in zip(moved, lmdi(here, there, ratios), shapley(here, ratios), strict=True):
            for name, weight in names:
                self._add(name, group, side, kind, by_lmdi * weight, by_shapley * weight)

    def _whole(self, names: Names, group: Group, sides: Iterable[_Side], parts: Sequence[int] = (0, 1, 2)) -> None:
        """All that changed at these leaves."""
        for side in sides:
            change = _nusd(side.after, parts) - _nusd(side.before, parts)
            for name, weight in names:
                self._add(name, group, side, "", change * weight)

    def _shift(self, names: Names, group: Group, sides: Sequence[_Side], parts: Sequence[int], nusd: float) -> None:
        """Told against the mean of the branch: spread over the leaves by what they cost."""
        costs = [_nusd(side.before, parts) + _nusd(side.after, parts) for side in sides]
        whole = sum(costs)
        for side, cost in zip(sides, costs, strict=True):
            portion = nusd * cost / whole if whole else nusd / len(sides)
            for name, weight in names:
                self._add(name, group, side, "", portion * weight)

    def _add(self, effect: str, group: Group, side: _Side, kind: str, by_lmdi: float, by_shapley: float | None = None) -> None:
        part = Part(effect, group.labels, *side.path, kind if effect == PRICE else "")
        sums = self._found.get(part)
        if sums is None:
            sums = self._found[part] = [0.0, 0.0]
        sums[0] += self._times * by_lmdi
        sums[1] += self._times * (by_lmdi if by_shapley is None else by_shapley)

    def _names(self, group: Group, child: _Side, level: int, part: int) -> Names:
        """What a shift of this child's share is called."""
        if part == PARTS[-1]:
            return [(FEES, 1.0)]
        if LEVELS[level] != "lineage":
            return [(LEVELS[level], 1.0)]
        return self._naming(group, child.path[0], child.path[1])


class _Cell(NamedTuple):
    nusd: float
    factors: tuple[tuple[str, float], ...]


def _called(effect: str, pool: str) -> str:
    """What a step of a leaf's own factor is called where one took another's place in a pool of this level."""
    if not pool or effect == DISCOUNT:
        return effect
    return pool if effect == PRICE or pool not in LIKE else effect


def _mean(sides: Iterable[_Side], part: int) -> float:
    values = [(_nusd(side.after, (part,)), _nusd(side.before, (part,))) for side in sides]
    return log_mean(sum(after for after, _ in values), sum(before for _, before in values))


def _nusd(use: _Use | None, parts: Sequence[int]) -> float:
    return sum(use.nusd[part] for part in parts) if use is not None else 0.0


def _calls(sides: Iterable[_Side]) -> tuple[int, int]:
    here = there = 0
    for side in sides:
        here += side.before.sums[CALLS] if side.before is not None else 0
        there += side.after.sums[CALLS] if side.after is not None else 0
    return here, there


def _sizes(sides: Iterable[_Side], part: int) -> tuple[int, int]:
    here = there = 0
    for side in sides:
        here += side.before.sizes[part] if side.before is not None else 0
        there += side.after.sizes[part] if side.after is not None else 0
    return here, there


def _children(sides: Iterable[_Side], level: int) -> list[list[_Side]]:
    found: dict[str, list[_Side]] = {}
    for side in sides:
        found.setdefault(side.path[level], []).append(side)
    return list(found.values())


def _added(each: Iterable[_Use | None]) -> Sums:
    return [sum(column) for column in zip(*(use.sums for use in each if use is not None), strict=True)]


def _joined(names: Iterable[str]) -> str:
    each = list(dict.fromkeys(names))
    return ", ".join(each) if len(each) <= NAMED_MAX else f"{each[0]} and {len(each) - 1} more"
