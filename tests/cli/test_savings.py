"""`jevons savings` as a command: lines that sum, whose saving it is, and what to turn on where there is none."""

import re
from itertools import chain
from pathlib import Path

import pytest

from jevons.cache.settings import CacheSettings
from jevons.config import load
from jevons.core.entry import Outcome, first_id_of_ms
from jevons.core.saving import Saving, SavingKind
from jevons.core.usage import Usage
from jevons.ledger.ops import KeyCreated, Opened, Posted
from jevons.ledger.sqlite import SqliteStore
from tests.cli.conftest import Run
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key


def entered(home: Path, *calls: tuple[int, int, tuple[Saving, ...]]) -> None:
    """A ledger with calls: (list cost, billed, savings)."""
    home.mkdir(mode=0o700, exist_ok=True)
    store = SqliteStore(home / "ledger.db")
    store.apply([KeyCreated(make_key(1))])
    for n, (nusd, billed, lines) in enumerate(calls):
        hold = make_hold(first_id_of_ms(NOON_MS + n))
        hit = {"outcome": Outcome.CACHED, "usage": Usage(), "lines": ()} if not nusd else {}
        store.apply([Opened(hold), Posted(make_entry(hold, nusd, savings=lines, billed_nusd=billed, **hit))])
    store.close()


def test_baseline_less_each_kind_is_the_list_cost(jevons: Run, home: Path) -> None:
    entered(
        home,
        (2_000_000_000, 2_000_000_000, (Saving(SavingKind.PROMPT_CLIENT, 5_000_000_000, 900),)),
        (0, 0, (Saving(SavingKind.ANSWER_EXACT, 3_000_000_000, 800, estimated=True),)),
        (1_000_000_000, 0, (Saving(SavingKind.CHECK, -1_000_000_000, -70),)),
    )
    said = jevons("savings").out
    figures = [" ".join(line.split()) for line in said.splitlines()]
    assert figures[1] == "Baseline: as it was asked for 3 $10.00"
    assert "- the provider's cache, as the client marked it 1 900 $5.00 50.0%" in figures
    assert "- answers to the very same request ~ 1 800 $3.00 30.0%" in figures
    assert "+ asking again, to check cached answers 1 -70 $1.00 -10.0%" in figures
    assert "= list cost $3.00" in figures
    assert "Saved: $7.00, 70.0% of the baseline, net of checks. $5.00 of it without Jevons as well" in said
    assert "Estimated: $3.00." in said and "Billed: $2.00." in said and "Recorded since" not in said
    found = jevons("savings", "--json").json
    assert [one["kind"] for one in found["kinds"]] == ["prompt_client", "answer_exact", "check"]
    assert (found["baseline_nusd"], found["saved_nusd"], found["list_nusd"]) == (10**10, 7 * 10**9, 3 * 10**9)
    by_key = " ".join(jevons("savings", "--by", "key").out.split())
    assert "key-1 3 $10.00 $7.00 -$1.00 $3.00 70.0% all 3 $10.00 $7.00 -$1.00 $3.00 70.0%" in by_key


def test_where_nothing_was_saved_it_says_what_to_turn_on(jevons: Run, home: Path) -> None:
    entered(home, (1_000, 1_000, ()))
    said = jevons("savings").out
    assert "Nothing was saved" in said
    offered = re.findall(r"^  (\[cache\.\w+\]) +(\w+ = (?:\[.*?\]|\S+))", said, re.MULTILINE)
    config = home / "jevons.toml"
    config.write_text("\n".join(chain(*offered)))
    assert len(offered) == len(CacheSettings.__struct_fields__) and load(config).cache != CacheSettings()
    assert jevons("savings", "--json").json["kinds"] == []
    assert jevons("savings", "--by", "moon").status == 2


@pytest.mark.parametrize("command", ["savings", "bill"])
def test_what_was_never_there_is_no_empty_table(jevons: Run, home: Path, command: str) -> None:
    entered(home, (1_000, 1_000, ()))
    unknown = jevons(command, "--key", "key-2")
    assert unknown.status == 2 and "There is no key 'key-2'. Did you mean key-1?" in unknown.err and not unknown.out
    assert "jevons keys list" in jevons(command, "--key", "nosuch").err
    assert jevons(command, "--key", "key-1").status == 0
    turned = jevons(command, "--from", "2026-12-01", "--to", "2026-11-01")
    assert turned.status == 2 and "--from must lie before --to" in turned.err


def test_keys_without_a_team_are_named_so(jevons: Run, home: Path) -> None:
    entered(home, (1_000, 1_000, (Saving(SavingKind.TRIM, 500, 9),)))
    said = jevons("savings", "--by", "team").out
    assert "(no team)" in said and "not told" not in said
