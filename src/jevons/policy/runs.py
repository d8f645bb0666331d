"""The tree of runs: which run a call belongs to, who started it, how deep and how wide it grew.

Comes in: claims (labels that clients send, or that were inferred), instants, what the ledger knows of a run. Goes out: `Run` nodes.
Labels are namespaced by key and are never authority: a run can be denied by what it did, it is never granted more.
Does not know: headers, the disk.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from jevons.core.limits import RUN_DEPTH_MAX
from jevons.policy.loops import Trail


class Record(NamedTuple):
    """What the ledger knows of a run."""

    parent: str | None
    first_ms: int | None
    """None = it has no calls of its own yet: a budget, or children, is all that is known."""
    children: int
    budget_nusd: int | None


class Run:
    """One run under one key."""

    __slots__ = (
        "budget_nusd",
        "children",
        "context_tokens",
        "degraded",
        "depth",
        "first_ms",
        "key_id",
        "known",
        "label",
        "lineage",
        "ordinal",
        "parent",
        "trail",
    )

    def __init__(self, key_id: int, label: str, parent: "Run | None", first_ms: int) -> None:
        self.key_id = key_id
        self.label = label
        self.parent = parent
        self.lineage: tuple[Run, ...] = (*parent.lineage, self) if parent is not None else (self,)
        """From the root to this run."""
        self.depth = len(self.lineage)
        """1 = started by no run."""
        self.first_ms = first_ms
        self.children = 0
        """Runs that this one started itself."""
        self.ordinal = 0
        """Which child of its parent it is; 0 for a root, and for one that was admitted before."""
        self.budget_nusd: int | None = None
        """What its own calls have tightened its budget to."""
        self.degraded: dict[int | str, str] = {}
        """Turn -> the cheaper model that it goes on with."""
        self.context_tokens = 0
        """Input tokens of its first call in this process; 0 before it."""
        self.trail = Trail()
        self.known = False
        """The ledger may have entries of it from before."""

    @property
    def root(self) -> "Run":
        return self.lineage[0]


class TooDeep(Exception):
    """A run below RUN_DEPTH_MAX others."""


class Runs:
    """The runs in memory, the latest used last. What is let go is found again in the ledger."""

    def __init__(self, recall: Callable[[int, str], Record | None]) -> None:
        """`recall(key_id, label)` asks the ledger."""
        self._recall = recall
        self._runs: OrderedDict[tuple[int, str], Run] = OrderedDict()

    def __len__(self) -> int:
        return len(self._runs)

    def enter(self, key_id: int, label: str, parent: str | None, now_ms: int, *, new: bool = False) -> Run:
        """The run of this label. A run's parent is what its first call said; later claims do not move it. Raises TooDeep.

        `new`: the label was just made; nobody can know of the run.
        """
        run = self._runs.get((key_id, label))
        if run is not None:
            self._runs.move_to_end((key_id, label))
            return run
        absent, above = self._line(key_id, label, parent, new)
        if len(absent) + (above.depth if above is not None else 0) > RUN_DEPTH_MAX:
            raise TooDeep
        for label, record in reversed(absent):
            run = Run(key_id, label, above, now_ms)
            if record is not None:
                run.children, run.budget_nusd, run.known = record.children, record.budget_nusd, True
            if record is not None and record.first_ms is not None:
                run.first_ms = record.first_ms
            elif above is not None:
                above.children += 1
                run.ordinal = above.children
            self._runs[key_id, label] = above = run
        assert above is not None
        return above

    def _line(self, key_id: int, label: str, parent: str | None, new: bool) -> tuple[list[tuple[str, Record | None]], Run | None]:
        """The run and those above it that are not in memory, innermost first, with their records; and the run above all these."""
        absent: list[tuple[str, Record | None]] = []
        while len(absent) <= RUN_DEPTH_MAX:
            record = None if new and not absent else self._recall(key_id, label)
            if record is not None and _called(record):
                parent = record.parent
            absent.append((label, record))
            if parent is None:
                break
            if (above := self._runs.get((key_id, parent))) is not None:
                return absent, above
            if any(parent == below for below, _ in absent):
                # A circle. What was only claimed gives way to what is on record, and the run stands alone.
                return (absent[:1] if parent == absent[0][0] and not _called(absent[0][1]) else absent), None
            label, parent = parent, None
        return absent, None

    def forget(self, keep: int, open_runs: set[tuple[int, str]]) -> None:
        """Let go the runs that were used longest ago, down to about `keep`; those with open calls stay, and whatever is above one that stays."""
        for run in self._runs.values():  # also those let go: a request between two attempts may still have them in hand
            run.known = True
        old = list(self._runs.values())[: max(0, len(self._runs) - keep)]
        if old:
            gone = {(run.key_id, run.label) for run in old} - open_runs
            staying = [run for key, run in self._runs.items() if key not in gone]
            for key in gone - {(run.key_id, above.label) for run in staying for above in run.lineage}:
                del self._runs[key]


def _called(record: Record | None) -> bool:
    return record is not None and record.first_ms is not None
