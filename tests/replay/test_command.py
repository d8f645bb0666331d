"""`jevons replay`: a table, JSON or Markdown; a policy file that cannot be used is told with its place."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from jevons.cli.main import commands
from jevons.config import ConfigError
from jevons.core.entry import Outcome, first_id_of_ms
from jevons.core.routed import Option, Routed
from jevons.core.saving import Saving, SavingKind
from jevons.core.usage import Usage
from jevons.ledger.ops import Opened, Posted
from jevons.ledger.sqlite import SqliteStore
from jevons.meter.pricebook import open_book
from jevons.policy.terms import Asked, Sort, encode
from tests.ledger.making import make_entry, make_hold
from tests.replay.recorder import START_MS, Recorder, Request

CALL_NUSD = 900 * 2_500 + 100 * 10_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four calls of a run, a day apart from one of another."""
    home = tmp_path_factory.mktemp("home")

    async def scene() -> None:
        recorder = Recorder(home, open_book(home))
        await recorder.key(1)
        for n in range(4):
            recorder.ask(Request(run="night|ly", agent="codex", at_ms=START_MS + n * 10_000))
        recorder.ask(Request(at_ms=START_MS + 86_400_000))
        recorder.close()

    asyncio.run(scene())
    return home


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "new.toml"
    file.write_text('[[limits]]\nname = "sessions"\nscope = "run"\nsteps = 1\n')
    return file


def jevons(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(commands, ["replay", *arguments], env={"JEVONS_HOME": str(home)})


def document(home: Path, *arguments: str) -> dict[str, Any]:
    done = jevons(home, *arguments, "--json")
    assert done.exit_code == 0, done
    return dict(json.loads(done.output))


def test_as_json(home: Path, policy: Path) -> None:
    """The policy as it was comes first, then those of the files, each with what it comes to."""
    found = document(home, "--policy", str(policy), "--policy", str(policy))
    assert [one["name"] for one in found["policies"]] == ["as it was", str(policy), str(policy)]
    assert [one["cost_nusd"] for one in found["policies"]] == [5 * CALL_NUSD, 2 * CALL_NUSD, 2 * CALL_NUSD]
    assert found["policies"][1]["change_nusd"] == -3 * CALL_NUSD
    assert found["recorded"]["billed_nusd"] == 5 * CALL_NUSD


def test_of_some_days(home: Path, policy: Path) -> None:
    assert [one["cost_nusd"] for one in document(home, "--from", "2026-09-22", "--policy", str(policy))["policies"]] == [
        CALL_NUSD
    ] * 2
    assert document(home, "--to", "2026-09-22")["policies"][0]["calls"] == 4


def test_as_a_table(home: Path, policy: Path) -> None:
    shown = jevons(home, "--policy", str(policy)).output
    assert re.search(r"the bill +\$0\.0163", shown) and re.search(r"as it was +\$0\.0163 +the same +0", shown)
    assert re.search(r"new\.toml +\$0\.0065 +-\$0\.0097 \(-60\.0%\) +1 +2 ", shown)
    assert re.search(r"sessions +1 +2 +\$0\.0097 +run night\|ly of key-1 +2026-09-21", shown)


def test_as_markdown(home: Path, policy: Path) -> None:
    """To be pasted: what a client called its run is no markup there."""
    shown = jevons(home, "--policy", str(policy), "--markdown").output
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert len(rows) == 5 and {line.count("|") for line in rows} == {8}
    assert f"| {policy} | $0.0065 |  | -$0.0097 (-60.0%) | 1 | 2 | 0 |" in rows
    assert (
        "**sessions** refuses 1 request, and 2 more do not come then: $0.0097 (first run night?ly of key-1 on 2026-09-21)"
        in shown
    )
    assert "answer cache" not in shown


def test_what_a_cache_answered_is_answered_again(home: Path, policy: Path, tmp_path: Path) -> None:
    """It took no hold, it is no step, and no policy changes it."""
    copy = shutil.copytree(home, tmp_path / "copy")
    store = SqliteStore(copy / "ledger.db")
    hold = make_hold(first_id_of_ms(START_MS + 5_000), 0, run_id="night|ly", agent="codex", terms=encode(Asked(sort=Sort.HERE)))
    hit = Saving(SavingKind.ANSWER_EXACT, CALL_NUSD, 1_000, estimated=True)
    entry = make_entry(hold, 0, outcome=Outcome.CACHED, usage=Usage(), lines=(), status=0, savings=(hit,))
    store.apply([Opened(hold), Posted(entry)])
    store.close()
    found, before = (document(folder, "--policy", str(policy)) for folder in (copy, home))
    assert (found["recorded"]["cache_hits"], before["recorded"]["cache_hits"]) == (1, 0)
    for name in ("cost_nusd", "refused", "unmade"):
        assert [one[name] for one in found["policies"]] == [one[name] for one in before["policies"]]
    assert "1 calls were answered from the answer cache" in jevons(copy, "--policy", str(policy), "--markdown").output


def test_a_file_that_says_more_from_a_day_on(home: Path, policy: Path) -> None:
    with policy.open("a") as file:
        file.write('\n[[changes]]\nat = 2026-09-21\nremove = ["sessions"]\n')
    found = document(home, "--policy", str(policy))["policies"][1]
    assert found["refused"] == 0
    policy.write_text('[[changes]]\nat = 2026-09-01T00:00:00\n[[changes.limits]]\nname = "one"\nsteps = 1\n')
    assert document(home, "--policy", str(policy))["policies"][1]["calls"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("limits = 5", "Expected `array`"),
        ('[[limits]]\nname = "a"\n', "limit 'a': it limits nothing"),
        ('[[changes]]\nremove = ["a"]\n', "each change says from when on"),
        ('[[changes]]\nat = "soon"\n', "each change says from when on"),
        ('[[changes]]\nat = 2026-09-01\n[[changes.limits]]\nname = "a"\n', "limit 'a': it limits nothing"),
        ("[[changes]]\nat = 2026-09-01\nlimits = 5\n", "Expected `array`"),
        ("changes = 5\n", "`[[changes]]`"),
        ("nonsense", "is not valid TOML"),
        (
            '[[upstreams]]\nname = "a"\nbase_url = "http://x"\n[[models]]\nname = "m"\nupstream = "b"\ntarget = "t"\n',
            "names the upstream 'b'",
        ),
    ],
)
def test_a_policy_that_cannot_be_used(home: Path, policy: Path, text: str, said: str) -> None:
    policy.write_text(text)
    done = jevons(home, "--policy", str(policy))
    assert isinstance(done.exception, ConfigError) and said in str(done.exception), done.exception


def test_a_file_that_is_not_there_and_a_home_without_a_ledger(home: Path, tmp_path: Path) -> None:
    assert "cannot be read" in str(jevons(home, "--policy", str(tmp_path / "none.toml")).exception)
    assert "There is no ledger" in str(jevons(tmp_path).exception)


def test_routes_of_a_file_decide_again_what_was_routed(tmp_path: Path) -> None:
    """Two requests of a route that only watches; the file lets it go all the way."""
    home = tmp_path / "home"
    home.mkdir()
    options = (
        Option("gpt-4o-mini", "openai", "gpt-4o-mini", 0.9, 0.8, 1),
        Option("gpt-4o", "openai", "gpt-4o", cost_nusd=2),
    )
    routed = Routed("easy", "observed", 1, "observe", 0.5, options)

    async def scene() -> None:
        recorder = Recorder(home, open_book(home))
        await recorder.key(1)
        for n in range(2):
            recorder.ask(Request(asked="auto", routed=routed, at_ms=START_MS + n * 10_000))
        recorder.close()

    asyncio.run(scene())
    upstream = '[[upstreams]]\nname = "openai"\nkey = "sk-x"\nmodels = ["gpt-*"]\n'
    route = '[[routes]]\nname = "easy"\nto = ["gpt-4o-mini", "gpt-4o"]\nchoose = "learned"\n'
    (home / "jevons.toml").write_text(upstream + route)
    file = tmp_path / "new.toml"
    file.write_text(upstream + route + 'stage = "full"\n')
    as_it_was, watched, full = document(home, "--policy", str(home / "jevons.toml"), "--policy", str(file))["policies"]
    assert as_it_was["cost_nusd"] == watched["cost_nusd"] == 2 * CALL_NUSD
    assert full["cost_nusd"] == 2 * (900 * 150 + 100 * 600)
    assert [(row["from"], row["to"], row["calls"]) for row in full["moved"]] == [("gpt-4o", "gpt-4o-mini", 2)]
