"""Parts of what was saved sum to the whole, by whatever it is parted, and the whole is net of checks."""

import itertools
import random
from pathlib import Path

import pytest

from jevons.core.entry import first_id_of_ms
from jevons.core.saving import Saving, SavingKind
from jevons.economics.savings import WAYS, By, savings
from jevons.ledger.bill import bill
from jevons.ledger.ops import KeyCreated, KeySettings, Op, Opened, Posted
from jevons.ledger.rollup import DAY_MS
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key

DAYS = 6
WAYS_TO_SAVE = [kind for kind in SavingKind if kind not in (SavingKind.CHECK, SavingKind.SHADOW)]
TEAMS = (KeySettings(team="search"), KeySettings(team="search", org="acme"), KeySettings())


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Six days of three keys with lines of every kind, on some days with more checks than hits; the first day has none at all."""
    path, rng, made = tmp_path / "ledger.db", random.Random(6), list[Op]()
    store = SqliteStore(path)
    store.apply([KeyCreated(make_key(number, settings=settings)) for number, settings in enumerate(TEAMS, 1)])
    for n in range(200):
        at_ms = NOON_MS + n % DAYS * DAY_MS + n
        hold = make_hold(
            first_id_of_ms(at_ms), key_id=rng.choice((1, 2, 3)), agent=rng.choice(("", "codex")), target=rng.choice("ab")
        )
        nusd = rng.randrange(1, 10**9)
        lines = [
            Saving(kind, rng.randrange(-(10**8), 10**9), rng.randrange(5_000), rng.random() < 0.5)
            for kind in rng.sample(WAYS_TO_SAVE, rng.randrange(3))
        ]
        if n % 5 == 0:
            lines = [Saving(SavingKind.SHADOW if n % 3 == 0 else SavingKind.CHECK, -nusd, -100)]
        made += [Opened(hold), Posted(make_entry(hold, nusd, savings=tuple(lines) if n % DAYS else (), billed_nusd=nusd // 2))]
    store.apply(made)
    store.close()
    return path


@pytest.mark.parametrize("by", WAYS)
def test_parts_sum_to_the_whole(saved: Path, by: By) -> None:
    found, spent = savings(saved, by=by), bill(saved)
    assert (found.list_nusd, found.billed_nusd, found.entries) == (spent["list_nusd"], spent["total_nusd"], 200)
    assert found.baseline_nusd - found.saved_nusd == found.list_nusd
    assert sum(one.nusd for one in found.kinds) == found.saved_nusd
    assert [one.kind for one in found.kinds] == list(SavingKind)
    assert found.checks_nusd == next(one.nusd for one in found.kinds if one.kind == "check") < 0
    assert found.ours_nusd == found.saved_nusd - sum(
        one.nusd for one in found.kinds if one.kind in ("prompt_client", "prompt_automatic")
    )
    assert sum(one.estimated_nusd for one in found.kinds) == found.estimated_nusd
    if by == "kind":
        assert found.rows == []
        return
    for name in (
        "entries",
        "list_nusd",
        "billed_nusd",
        "saved_nusd",
        "estimated_nusd",
        "ours_nusd",
        "checks_nusd",
        "baseline_nusd",
    ):
        assert sum(getattr(row, name) for row in found.rows) == getattr(found, name), name
    assert all(row.baseline_nusd - row.saved_nusd == row.list_nusd for row in found.rows)


def test_rows_say_whose_they_are(saved: Path) -> None:
    assert {row.label for row in savings(saved, by="team").rows} == {"search", "acme/search", ""}
    assert {row.label for row in savings(saved, by="model").rows} == {"openai/a", "openai/b"}
    days = [row.label for row in savings(saved, by="day").rows]
    assert days == sorted(days) and len(days) == DAYS
    by_key = [row.saved_nusd for row in savings(saved, by="key").rows]
    assert by_key == sorted(by_key, reverse=True)


def test_periods_and_keys_are_parts_too(saved: Path) -> None:
    whole = savings(saved)
    cuts = [0, NOON_MS + DAY_MS, NOON_MS + 3 * DAY_MS, None]
    parts = [savings(saved, since_ms=a or 0, until_ms=b and b // DAY_MS * DAY_MS) for a, b in itertools.pairwise(cuts)]
    assert sum(part.saved_nusd for part in parts) == whole.saved_nusd
    assert sum(part.baseline_nusd for part in parts) == whole.baseline_nusd
    assert sum(savings(saved, key=f"key-{n}").saved_nusd for n in (1, 2, 3)) == whole.saved_nusd
    assert sum(savings(saved, agent=agent).saved_nusd for agent in ("", "codex")) == whole.saved_nusd
    assert savings(saved, model="a").saved_nusd + savings(saved, model="openai/b*").saved_nusd == whole.saved_nusd
    assert savings(saved, key="nobody").kinds == savings(saved, agent="nobody").kinds == savings(saved, model="z*").kinds == []


def test_what_was_spent_before_savings_were_recorded_is_said(saved: Path) -> None:
    assert savings(saved).recorded_since == "2026-09-22"
    assert savings(saved, since_ms=NOON_MS + DAY_MS).recorded_since is None
