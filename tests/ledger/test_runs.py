"""Runs read as trees: who started whom, what each cost, what they cost together."""

from pathlib import Path

import pytest

from jevons.core.entry import Outcome, first_id_of_ms
from jevons.core.limits import RUN_DEPTH_MAX
from jevons.ledger import runs as log
from jevons.ledger.errors import LedgerError, Unknown
from jevons.ledger.ops import Began, KeyCreated, Opened, Posted
from jevons.ledger.runs import run, runs
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key, request_ids


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Two keys with a run "main" each; alice's started two others, one of which started a third; one call is open."""
    path = tmp_path / "ledger.db"
    store = SqliteStore(path, synchronous="OFF")
    following = request_ids()
    store.apply([KeyCreated(make_key(1)), KeyCreated(make_key(2))])
    for key_id, label, parent, nusd, changes in (
        (1, "main", None, 100, {"agent": "codex", "run_source": "thread-id"}),
        (1, "left", "main", 10, {"run_source": "inferred"}),
        (1, "right", "main", 20, {}),
        (1, "deep", "left", 1, {}),
        (2, "main", None, 7, {"agent": "aider"}),
        (1, "deep", "left", 1, {}),
    ):
        hold = make_hold(following(), 50, key_id=key_id, run_id=label, parent_run_id=parent, **changes)
        store.apply([Opened(hold), Posted(make_entry(hold, nusd))])
    store.apply([Opened(make_hold(following(), 50, key_id=1, run_id="right", parent_run_id="main"))])
    retry = make_hold(first_id_of_ms(NOON_MS + 60_000) + 1, 50, key_id=1, run_id="right", parent_run_id="main")
    store.apply([Opened(retry), Posted(make_entry(retry, 3, outcome=Outcome.ERROR))])
    store.close()
    return path


def test_trees_the_latest_first(ledger: Path) -> None:
    found = runs(ledger)
    assert [(one["key"], one["run_id"], one["depth"]) for one in found] == [
        ("key-1", "main", 1),
        ("key-1", "left", 2),
        ("key-1", "deep", 3),
        ("key-1", "right", 2),
        ("key-2", "main", 1),
    ]
    main, left, deep, right, other = found
    assert [one["billed_nusd"] for one in found] == [100, 10, 2, 23, 7]
    assert [one["tree_billed_nusd"] for one in found] == [135, 12, 2, 23, 7]
    assert (main["steps"], main["tree_steps"], main["entries"], right["entries"], right["steps"]) == (1, 5, 1, 2, 1)
    assert (main["children"], left["children"], deep["children"]) == (2, 1, 0)
    assert [one["inferred"] for one in found] == [False, True, False, False, False]
    assert (main["agent"], main["source"], other["agent"]) == ("codex", "thread-id", "aider")
    assert (right["open_calls"], main["open_calls"], main["tree_open_calls"]) == (1, 0, 1)
    assert (main["input_tokens"], main["tree_input_tokens"], main["tree_output_tokens"]) == (16, 96, 30)


def test_only_some(ledger: Path) -> None:
    assert {one["key"] for one in runs(ledger, key="key-2")} == {"key-2"}
    assert [one["run_id"] for one in runs(ledger, agent="codex")] == ["main", "left", "deep", "right"]
    assert [one["run_id"] for one in runs(ledger, limit=1)] == ["main", "left", "deep", "right"]
    assert runs(ledger, since_ms=NOON_MS + 60_001) == []


def test_one_run_with_its_calls(ledger: Path) -> None:
    found = run(ledger, "right")
    assert (found["key"], found["parent_run_id"], found["runs"]) == ("key-1", "main", [])
    assert [(call["attempt"], call["billed_nusd"], call["outcome"]) for call in found["calls"]] == [
        (0, 20, "ok"),
        (1, 3, "error"),
    ]
    assert found["calls"][0]["admitted_ms"] == NOON_MS + 3
    assert [one["run_id"] for one in run(ledger, "left")["runs"]] == ["deep"]


def test_a_run_that_is_not_there_or_is_there_twice(ledger: Path) -> None:
    with pytest.raises(Unknown, match="no run 'gone'"):
        run(ledger, "gone")
    with pytest.raises(Unknown, match="of key 'key-2'"):
        run(ledger, "left", "key-2")
    with pytest.raises(LedgerError, match=r"Several keys have a run 'main': key-1, key-2.*--key"):
        run(ledger, "main")
    assert run(ledger, "main", "key-2")["billed_nusd"] == 7


def test_a_parent_that_never_called_is_no_root(tmp_path: Path) -> None:
    """Its child stands at the top."""
    store = SqliteStore(tmp_path / "ledger.db", synchronous="OFF")
    hold = make_hold(first_id_of_ms(NOON_MS), 50, run_id="child", parent_run_id="absent")
    store.apply([KeyCreated(make_key(1)), Opened(hold), Posted(make_entry(hold, 5))])
    store.close()
    assert [(one["run_id"], one["depth"]) for one in runs(tmp_path / "ledger.db")] == [("child", 1)]


def chain_of(path: Path, parents: dict[str, str | None]) -> None:
    """A call of ten nano-USD in each run."""
    store = SqliteStore(path, synchronous="OFF")
    following = request_ids()
    store.apply([KeyCreated(make_key(1))])
    for label, parent in parents.items():
        hold = make_hold(following(), 50, run_id=label, parent_run_id=parent)
        store.apply([Opened(hold), Posted(make_entry(hold, 10))])
    store.close()


def test_a_run_that_only_those_it_started_have_named_is_their_root(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    chain_of(path, {"child": "root"})
    store = SqliteStore(path)
    store.apply([Began(1, "root", None, "", "", NOON_MS)])
    store.close()
    root, child = runs(path)
    assert (root["run_id"], root["entries"], root["tree_billed_nusd"], root["children"]) == ("root", 0, 10, 1)
    assert (child["run_id"], child["depth"]) == ("child", 2)


def test_of_a_tree_too_large_to_show_the_sum_is_that_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "TREE_RUNS_MAX", 10)
    path = tmp_path / "ledger.db"
    chain_of(path, {"root": None, **{f"run-{number}": "root" for number in range(30)}})
    found = runs(path)
    assert len(found) == 10
    assert (found[0]["children"], found[0]["tree_billed_nusd"], found[0]["tree_steps"]) == (30, 310, 31)
    assert (found[1]["children"], found[1]["tree_billed_nusd"]) == (0, 10)


def test_runs_that_started_one_another_as_deep_as_may_be_are_one_tree(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    chain_of(path, {f"run-{n}": f"run-{n - 1}" if n else None for n in range(RUN_DEPTH_MAX)})
    found = runs(path, limit=1)
    assert [one["depth"] for one in found] == list(range(1, RUN_DEPTH_MAX + 1))
    assert found[0]["tree_billed_nusd"] == 10 * RUN_DEPTH_MAX
