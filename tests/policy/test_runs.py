"""The tree of runs: parents fixed at the first claim, no circle whatever is claimed or on record, and what may be forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jevons.core.limits import RUN_DEPTH_MAX
from jevons.policy.runs import Record, Run, Runs, TooDeep

KEY = 1


class Disk:
    """What the ledger would know: a dictionary."""

    def __init__(self, **records: Record) -> None:
        self.records = {(KEY, label): record for label, record in records.items()}
        self.asked: list[str] = []

    def recall(self, key_id: int, label: str) -> Record | None:
        self.asked.append(label)
        return self.records.get((key_id, label))


def tree(**records: Record) -> Runs:
    return Runs(Disk(**records).recall)


def lineage(run: Run) -> list[str]:
    return [above.label for above in run.lineage]


def test_a_run_and_those_it_started() -> None:
    runs = tree()
    root = runs.enter(KEY, "root", None, 100)
    assert (root.parent, root.depth, root.ordinal, root.first_ms, root.root, root.known) == (None, 1, 0, 100, root, False)
    first, second = runs.enter(KEY, "a", "root", 200), runs.enter(KEY, "b", "root", 300)
    grandchild = runs.enter(KEY, "c", "b", 400)
    assert [(run.depth, run.ordinal) for run in (first, second, grandchild)] == [(2, 1), (2, 2), (3, 1)]
    assert (root.children, second.children, first.children) == (2, 1, 0)
    assert lineage(grandchild) == ["root", "b", "c"] and grandchild.parent is second and grandchild.root is root
    assert (first.first_ms, len(runs)) == (200, 4)


def test_what_was_claimed_first_stays() -> None:
    runs = tree()
    child = runs.enter(KEY, "child", "mother", 1)
    assert runs.enter(KEY, "child", "other", 2) is runs.enter(KEY, "child", None, 3) is child
    assert lineage(child) == ["mother", "child"] and len(runs) == 2
    mother = runs.enter(KEY, "mother", "child", 4)
    assert lineage(mother) == ["mother"] and mother is child.parent


def test_a_run_is_not_its_own_parent() -> None:
    assert lineage(tree().enter(KEY, "a", "a", 1)) == ["a"]


def test_keys_do_not_share_runs() -> None:
    runs = tree()
    one, other = runs.enter(1, "a", "p", 1), runs.enter(2, "a", None, 1)
    assert one is not other and other.parent is None and len(runs) == 3


def test_what_the_ledger_knows_is_taken_up_again() -> None:
    disk = Disk(
        child=Record("mother", 50, 2, None),
        mother=Record("root", 40, 3, 700),
        root=Record(None, 30, 1, None),
    )
    runs = Runs(disk.recall)
    child = runs.enter(KEY, "child", "somebody else", 1_000)
    assert lineage(child) == ["root", "mother", "child"]
    assert [(run.first_ms, run.children, run.budget_nusd, run.ordinal) for run in child.lineage] == [
        (30, 1, None, 0),
        (40, 3, 700, 0),
        (50, 2, None, 0),
    ]
    assert all(run.known for run in child.lineage)
    assert disk.asked == ["child", "mother", "root"]
    assert runs.enter(KEY, "new", "mother", 1_001).ordinal == 4  # it counts on
    assert runs.enter(KEY, "mother", None, 1_002) is child.parent
    assert disk.asked == ["child", "mother", "root", "new"]  # who is here is not asked for


def test_a_run_whose_label_was_just_made_is_not_looked_up_but_its_parent_is() -> None:
    disk = Disk(root=Record(None, 30, 1, None))
    assert lineage(Runs(disk.recall).enter(KEY, "auto-1", "root", 1_000, new=True)) == ["root", "auto-1"]
    assert disk.asked == ["root"]


def test_a_run_of_which_only_a_budget_is_known_is_a_new_child_with_that_budget() -> None:
    runs = tree(child=Record(None, None, 0, 700))
    child = runs.enter(KEY, "child", "root", 1_000)
    assert (lineage(child), child.ordinal, child.first_ms, child.budget_nusd) == (["root", "child"], 1, 1_000, 700)


def test_a_run_that_never_called_is_known_by_its_children() -> None:
    runs = tree(child=Record("root", 50, 0, None), root=Record(None, None, 1, None))
    root = runs.enter(KEY, "root", None, 1_000)
    assert root.known and root.children == 1 and root.first_ms == 1_000
    assert runs.enter(KEY, "child", None, 1_001).ordinal == 0  # it is one of those already
    assert runs.enter(KEY, "next", "root", 1_002).ordinal == 2


def test_a_claim_gives_way_to_what_is_on_record() -> None:
    runs = tree(child=Record("mother", 50, 0, None))
    mother = runs.enter(KEY, "mother", "child", 1_000)  # never called so far, and says that its own child started it
    assert lineage(mother) == ["mother"] and mother.ordinal == 0
    assert lineage(runs.enter(KEY, "child", None, 1_001)) == ["mother", "child"]


def test_a_circle_on_record_has_an_end() -> None:
    circle = {"a": Record("b", 1, 1, None), "b": Record("c", 1, 1, None), "c": Record("a", 1, 1, None)}
    assert lineage(tree(**circle).enter(KEY, "a", None, 2)) == ["c", "b", "a"]
    assert lineage(tree(**circle).enter(KEY, "x", "a", 2)) == ["c", "b", "a", "x"]
    assert lineage(tree(a=Record("a", 1, 1, None)).enter(KEY, "a", None, 2)) == ["a"]


def test_how_deep_runs_may_be() -> None:
    runs = tree()
    for depth in range(1, RUN_DEPTH_MAX + 1):
        assert runs.enter(KEY, str(depth), str(depth - 1) if depth > 1 else None, 1).depth == depth
    with pytest.raises(TooDeep):
        runs.enter(KEY, "deepest", str(RUN_DEPTH_MAX), 1)
    assert len(runs) == RUN_DEPTH_MAX
    with pytest.raises(TooDeep):  # nothing remembers the one that was refused
        runs.enter(KEY, "deepest", str(RUN_DEPTH_MAX), 1)


@pytest.mark.parametrize("above", [RUN_DEPTH_MAX - 1, RUN_DEPTH_MAX, 10_000])
def test_how_deep_a_line_on_record_may_be(above: int) -> None:
    runs = Runs(lambda key_id, label: Record(str(int(label) + 1) if int(label) < above else None, 1, 1, None))
    if above < RUN_DEPTH_MAX:
        assert runs.enter(KEY, "0", None, 1).depth == above + 1
    else:
        with pytest.raises(TooDeep):
            runs.enter(KEY, "0", None, 1)
        assert len(runs) == 0


def test_a_line_on_record_may_end_below_one_that_is_here() -> None:
    runs = tree(b=Record("a", 1, 1, None), c=Record("b", 1, 1, None))
    top = runs.enter(KEY, "a", "top", 1)
    assert lineage(runs.enter(KEY, "d", "c", 1)) == ["top", "a", "b", "c", "d"] and top.children == 0


def test_the_latest_stay_and_those_with_open_calls() -> None:
    runs = tree()
    for label in "abcde":
        runs.enter(KEY, label, None, 1)
    runs.enter(KEY, "a", None, 2)  # used again
    runs.forget(2, {(KEY, "c")})
    assert [run.label for run in runs._runs.values()] == ["c", "e", "a"]
    assert all(run.known for run in runs._runs.values())  # what they spent is on disk by now, and counts for accounts made anew
    assert not runs.enter(KEY, "b", None, 3).known


def test_whatever_is_above_a_run_that_stays_stays() -> None:
    runs = tree()
    for label, parent in (("root", None), ("mother", "root"), ("x", None), ("child", "mother"), ("y", None), ("z", None)):
        runs.enter(KEY, label, parent, 1)
    child = runs.enter(KEY, "child", None, 2)
    runs.forget(1, set())
    assert [run.label for run in runs._runs.values()] == ["root", "mother", "child"]
    assert runs.enter(KEY, "root", None, 3) is child.root  # one run is one object: what it is told counts for its children too
    runs.forget(1, {(KEY, "child")})
    assert len(runs) == 3
    runs.forget(0, set())
    assert len(runs) == 0


def test_nothing_is_let_go_below_the_bound() -> None:
    runs = tree()
    runs.enter(KEY, "a", None, 1)
    runs.forget(5, set())
    assert len(runs) == 1 and runs.enter(KEY, "a", None, 1).known


labels = st.sampled_from("abcdefg")
claims = st.none() | labels


class Tree(RuleBasedStateMachine):
    """Any order of claims, restarts and forgetting, over a ledger that keeps what called, with the parent it had."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk()
        self.runs = Runs(self.disk.recall)
        self.parents: dict[str, str | None] = {}
        """As the first call of each said, for those whose row is on disk."""

    @rule(label=labels, parent=claims, called=st.booleans())
    def enter(self, label: str, parent: str | None, called: bool) -> None:
        run = self.runs.enter(KEY, label, parent, 1)
        assert run.label == label and self.runs.enter(KEY, label, None, 2) is run
        if called and label not in self.parents:  # its entry is written with the parent that it has
            self.parents[label] = run.parent.label if run.parent is not None else None
        self.write()

    def write(self) -> None:
        for label in set(self.parents) | set(self.parents.values()) - {None}:
            children = sum(parent == label for parent in self.parents.values())
            called = label in self.parents
            self.disk.records[KEY, label] = Record(self.parents.get(label), 1 if called else None, children, None)

    @rule(keep=st.integers(0, 7), open_runs=st.sets(labels))
    def forget(self, keep: int, open_runs: set[str]) -> None:
        here = {label for _, label in self.runs._runs}
        self.runs.forget(keep, {(KEY, label) for label in open_runs})
        assert open_runs & here <= {label for _, label in self.runs._runs}

    @rule()
    def restart(self) -> None:
        self.runs = Runs(self.disk.recall)

    @invariant()
    def it_is_a_tree(self) -> None:
        for (key_id, label), run in self.runs._runs.items():
            assert (run.key_id, run.label) == (key_id, label)
            line = lineage(run)
            assert line[-1] == label and len(set(line)) == len(line) == run.depth
            assert all(self.runs._runs[key_id, above.label] is above for above in run.lineage)
            assert run.parent is (run.lineage[-2] if run.depth > 1 else None)

    @invariant()
    def what_is_on_record_stays(self) -> None:
        for (_, label), run in self.runs._runs.items():
            if label in self.parents:
                assert (run.parent.label if run.parent is not None else None) == self.parents[label]

    @invariant()
    def no_child_is_left_out(self) -> None:
        for run in self.runs._runs.values():
            assert run.children >= sum(other.parent is run for other in self.runs._runs.values())


TestTree = Tree.TestCase


@given(st.lists(st.tuples(labels, claims), max_size=30), st.dictionaries(labels, claims))
def test_no_circle_whatever_is_claimed_or_on_record(
    claimed: list[tuple[str, str | None]], on_record: dict[str, str | None]
) -> None:
    runs = tree(**{label: Record(parent, 1, 0, None) for label, parent in on_record.items()})
    for label, parent in claimed:
        line = lineage(runs.enter(KEY, label, parent, 1))
        assert line[-1] == label and len(set(line)) == len(line)
