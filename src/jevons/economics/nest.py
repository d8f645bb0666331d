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
from jevons.economics.decompose import Cell, log_mean, share_out
from jevons.economics.frames import BILLED_NUSD, CALLS, INPUT, INPUT_NUSD, LIST_NUSD, Cost, Frame, Group, Sums

VOLUME, MIX, DEPTH = "volume", "mix", "depth"
LEVELS = ("tier", "lineage", "substitution", "tariff")
"""What a shift of shares at each level is called, and the step where one child took another's place."""
LIKE = ("substitution", "tariff")
"""Levels whose children do the same work: only their prices step."""
CONTEXT, OUTPUT, CACHE, PRICE, FEES, DISCOUNT = "context", "output", "cache", "price", "fees", "discount"
ENTRY, EXIT = "entry", "exit"
PARTS = (0, 1, 2)
"""Input, output, fees: their sizes are in different units, and each has shares of its own."""
FEE = PARTS[-1]
SIZES = (CONTEXT, OUTPUT, FEES)
"""What a change of each one's size per call is called."""
KINDS = len(TOKEN_KINDS)
KINDS_OF = (TOKEN_KINDS[:-1], TOKEN_KINDS[-1:], (FEES,))
NAMED_MAX = 2
"""Names on each side of an arrow; more are counted."""


class Place(NamedTuple):
    """Where a part of an effect comes from."""

    labels: tuple[str, ...]
    """Of the group."""
    tier: str
    line: str
    model: str
    tariff: str


Found = dict[Place, dict[tuple[str, str], list[float]]]
"""Place -> (effect, kind of token where the effect is of one) -> [by LMDI, by Shapley]."""
Names = Sequence[tuple[str, float]]
"""What something is called, in portions that sum to 1."""
Naming = Callable[[Group, str, str], Names]
"""(group, tier, line) -> what a shift of the line's share is called: it may be an entry or an exit."""
_Factor = tuple[Names, float]
"""What it is called, and by how much it was multiplied."""


class Use(NamedTuple):
    """What a leaf, or a pool of leaves, used and cost on one side."""

    calls: int
    tokens: tuple[int, ...]
    """By kind."""
    listed: tuple[int, ...]
    """List cost by kind; a charge without tokens of its kind is a fee."""
    paid: tuple[float, ...]
    """The cost that is explained, by kind: list or billed."""
    sizes: tuple[int, ...]
    """By part: input tokens, output tokens, list cost of fees."""
    nusd: tuple[float, ...]
    """What each part cost."""


class _Side(NamedTuple):
    """A leaf, or a pool, in both frames; None = not there."""

    path: tuple[str, str, str, str]
    before: Use | None
    after: Use | None
    sums: dict[tuple[str, str], list[float]]
    """Where its effects are added up."""


class _Branch:
    """Leaves of a branch, with the sizes and costs of one part in both frames."""

    __slots__ = ("cost0", "cost1", "sides", "size0", "size1")

    def __init__(self) -> None:
        self.sides: list[_Side] = []
        self.size0 = self.size1 = 0
        self.cost0 = self.cost1 = 0.0

    def add(self, side: _Side, part: int) -> None:
        self.sides.append(side)
        if side.before is not None:
            self.size0 += side.before.sizes[part]
            self.cost0 += side.before.nusd[part]
        if side.after is not None:
            self.size1 += side.after.sizes[part]
            self.cost1 += side.after.nusd[part]


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
                uses = self._use(before.leaves.get(leaf)), self._use(after.leaves.get(leaf))
                if uses != (None, None):
                    sides[leaf.group].append(self._side(leaf.group, leaf[1:], *uses))
        sides = {group: of for group, of in sides.items() if of}
        tasks0, tasks1 = (sum(frame.tasks.get(group, 0) for group in sides) for frame in (before, after))
        wholes = [_branch((side for of in sides.values() for side in of), part) for part in PARTS]
        mean = sum(log_mean(whole.cost1, whole.cost0) for whole in wholes)
        for group, of in sides.items():
            here, there = before.tasks.get(group, 0), after.tasks.get(group, 0)
            if not tasks0 or not tasks1:
                self._whole([(VOLUME, 1.0)], of, PARTS)
                continue
            calls0 = sum(side.before.calls for side in of if side.before is not None)
            calls1 = sum(side.after.calls for side in of if side.after is not None)
            if not here or not there or not calls0 or not calls1:
                self._whole([(MIX, 1.0)], of, PARTS)
            else:
                mix = there / tasks1 / (here / tasks0)
                depth = calls1 / there / (calls0 / here)
                common: list[_Factor] = [([(VOLUME, 1.0)], tasks1 / tasks0), ([(MIX, 1.0)], mix), ([(DEPTH, 1.0)], depth)]
                for part in PARTS:
                    self._part(group, _branch(of, part), part, common, calls1 / calls0)
            self._shift([(MIX, 1.0)], of, PARTS, -mean * (there / tasks1 - here / tasks0))

    def _part(self, group: Group, branch: _Branch, part: int, common: list[_Factor], calls: float) -> None:
        """Input, output or fees of a group. `calls`: by how much its calls grew."""
        names = [(SIZES[part], 1.0)]
        if branch.size0 and branch.size1:
            self._children(group, branch, 0, part, [*common, (names, branch.size1 / branch.size0 / calls)])
        else:
            self._whole(names, branch.sides, (part,))

    def _children(self, group: Group, branch: _Branch, level: int, part: int, above: list[_Factor]) -> None:
        """The children at `level` of a branch that is there in both frames. `above`: the factors down to it."""
        children: dict[str, _Branch] = {}
        for side in branch.sides:
            child = children.get(side.path[level])
            if child is None:
                child = children[side.path[level]] = _Branch()
            child.add(side, part)
        mean = log_mean(branch.cost1, branch.cost0)
        gone = [child for child in children.values() if child.size0 and not child.size1]
        came = [child for child in children.values() if child.size1 and not child.size0]
        for child in children.values():
            if child.size0 and child.size1:
                self._child(group, child, branch, level, part, mean, above)
        if gone and came:
            pair = self._pooled(group, gone, came, level)
            pool = _branch([pair], part)
            names: Names = [(FEES if part == FEE else LEVELS[level], 1.0)]
            self._shift(names, [pair], (part,), -mean * _moved(pool, branch))
            self._pair(pair, part, [*above, (names, _grown(pool, branch))], LEVELS[level])
            return
        for child in gone or came:
            names = self._names(group, child.sides[0], level, part)
            self._whole(names, child.sides, (part,))
            self._shift(names, child.sides, (part,), -mean * _moved(child, branch))

    def _child(
        self, group: Group, child: _Branch, branch: _Branch, level: int, part: int, mean: float, above: list[_Factor]
    ) -> None:
        names = self._names(group, child.sides[0], level, part)
        factors = [*above, (names, _grown(child, branch))]
        self._shift(names, child.sides, (part,), -mean * _moved(child, branch))
        if level + 1 < len(LEVELS):
            self._children(group, child, level + 1, part, factors)
        else:
            self._pair(child.sides[0], part, factors)

    def _pair(self, side: _Side, part: int, above: list[_Factor], pool: str = "") -> None:
        """One leaf in both frames, or one pool of the level of that name: each kind of token of the part, or its fees."""
        assert side.before is not None and side.after is not None
        cells: list[Cell] = []
        called: list[tuple[str, list[str]]] = []
        for kind, here, there in zip(KINDS_OF[part], _cells(side.before, part), _cells(side.after, part), strict=True):
            if here[0] and there[0]:
                steps = [(effect, b / a) for (effect, a), (_, b) in zip(here[1], there[1], strict=True) if a != b]
                cells.append(Cell(here[0], there[0], [ratio for _, ratio in steps]))
                called.append((kind, [_called(effect, pool) for effect, _ in steps]))
            elif here[0] or there[0]:
                missing = there[1] if here[0] else here[1]
                effect = next((effect for effect, value in missing if not value), PRICE)
                self._add(side, _called(effect, pool), there[0] - here[0], kind=kind)
        if not cells:
            return
        moved = [(names, ratio) for names, ratio in above if ratio != 1]
        shared, own = share_out([ratio for _, ratio in moved], cells)
        for (names, _), effects in zip(moved, shared, strict=True):
            for name, portion in names:
                self._add(side, name, effects.lmdi * portion, effects.shapley * portion)
        for (kind, names_of), of_cell in zip(called, own, strict=True):
            for name, effects in zip(names_of, of_cell, strict=True):
                self._add(side, name, *effects, kind=kind)

    def _side(self, group: Group, path: tuple[str, str, str, str], before: Use | None, after: Use | None) -> _Side:
        place = Place(group.labels, *path)
        sums = self._found.get(place)
        if sums is None:
            sums = self._found[place] = {}
        return _Side(path, before, after, sums)

    def _use(self, sums: Sums | None) -> Use | None:
        if sums is None:
            return None
        tokens = tuple(sums[INPUT : INPUT + KINDS])
        listed = tuple([nusd if n else 0 for n, nusd in zip(tokens, sums[INPUT_NUSD : INPUT_NUSD + KINDS], strict=True)])
        share = 1.0
        if self._billed:
            share = sums[BILLED_NUSD] / sums[LIST_NUSD] if sums[LIST_NUSD] else 0.0
        paid = tuple([nusd * share for nusd in listed])
        fees = sums[LIST_NUSD] - sum(listed)
        return Use(
            sums[CALLS], tokens, listed, paid, (sum(tokens[:-1]), tokens[-1], fees), (sum(paid[:-1]), paid[-1], fees * share)
        )

    def _pooled(self, group: Group, gone: list[_Branch], came: list[_Branch], level: int) -> _Side:
        """What left a branch and what came into it, as one: its path says both."""
        before = [(side.path, side.before) for child in gone for side in child.sides if side.before is not None]
        after = [(side.path, side.after) for child in came for side in child.sides if side.after is not None]
        path = [*before[0][0][:level]]
        for place in range(level, len(LEVELS)):
            left, right = (_joined(path[place] for path, _ in sides) for sides in (before, after))
            path.append(left if left == right else f"{left} → {right}")
        uses = [_added([use for _, use in sides]) for sides in (before, after)]
        return self._side(group, (path[0], path[1], path[2], path[3]), *uses)

    def _whole(self, names: Names, sides: Iterable[_Side], parts: Sequence[int]) -> None:
        """All that changed at these leaves."""
        for side in sides:
            change = _nusd(side.after, parts) - _nusd(side.before, parts)
            for name, portion in names:
                self._add(side, name, change * portion)

    def _shift(self, names: Names, sides: Sequence[_Side], parts: Sequence[int], nusd: float) -> None:
        """Told against the mean of the branch: spread over the leaves by what they cost."""
        if not nusd:
            return
        costs = [_nusd(side.before, parts) + _nusd(side.after, parts) for side in sides]
        whole = sum(costs)
        for side, cost in zip(sides, costs, strict=True):
            part = nusd * cost / whole if whole else nusd / len(sides)
            for name, portion in names:
                self._add(side, name, part * portion)

    def _add(self, side: _Side, effect: str, by_lmdi: float, by_shapley: float | None = None, *, kind: str = "") -> None:
        key = (effect, kind if effect == PRICE else "")
        sums = side.sums.get(key)
        if sums is None:
            sums = side.sums[key] = [0.0, 0.0]
        sums[0] += self._times * by_lmdi
        sums[1] += self._times * (by_lmdi if by_shapley is None else by_shapley)

    def _names(self, group: Group, child: _Side, level: int, part: int) -> Names:
        """What a shift of this child's share is called."""
        if part == FEE:
            return [(FEES, 1.0)]
        if LEVELS[level] != "lineage":
            return [(LEVELS[level], 1.0)]
        return self._naming(group, child.path[0], child.path[1])


_CellOf = tuple[float, list[tuple[str, float]]]
"""What one kind of token cost, and its own factors from the outermost in."""


def _cells(use: Use, part: int) -> list[_CellOf]:
    if part == FEE:
        share = use.nusd[part] / use.sizes[part] if use.sizes[part] else 0.0
        return [(use.nusd[part], [(DISCOUNT, share)])]
    cells: list[_CellOf] = []
    for place in range(KINDS - 1) if part == 0 else (KINDS - 1,):
        tokens, listed, paid = use.tokens[place], use.listed[place], use.paid[place]
        factors = [(PRICE, listed / tokens if tokens else 0.0), (DISCOUNT, paid / listed if listed else 0.0)]
        cells.append((paid, [(CACHE, tokens / use.sizes[part]), *factors] if part == 0 else factors))
    return cells


def _called(effect: str, pool: str) -> str:
    """What a step of a leaf's own factor is called where one took another's place in a pool of this level."""
    if not pool or effect == DISCOUNT:
        return effect
    return pool if effect == PRICE or pool not in LIKE else effect


def _branch(sides: Iterable[_Side], part: int) -> _Branch:
    branch = _Branch()
    for side in sides:
        branch.add(side, part)
    return branch


def _grown(child: _Branch, branch: _Branch) -> float:
    """By how much the child's share of its branch was multiplied."""
    return child.size1 / branch.size1 / (child.size0 / branch.size0)


def _moved(child: _Branch, branch: _Branch) -> float:
    """By how much it rose."""
    return child.size1 / branch.size1 - child.size0 / branch.size0


def _nusd(use: Use | None, parts: Sequence[int]) -> float:
    if use is None:
        return 0.0
    return use.nusd[parts[0]] if len(parts) == 1 else sum(use.nusd)


def _added(uses: Sequence[Use]) -> Use:
    """All of them as one."""
    calls = sum(use.calls for use in uses)
    lists = [
        tuple([sum(column) for column in zip(*values, strict=True)]) for values in zip(*(use[1:] for use in uses), strict=True)
    ]
    return Use(calls, lists[0], lists[1], lists[2], lists[3], lists[4])


def _joined(names: Iterable[str]) -> str:
    each = list(dict.fromkeys(names))
    return ", ".join(each) if len(each) <= NAMED_MAX else f"{each[0]} and {len(each) - 1} more"
