"""Limits, kills, answers and the audit log by the command line, where nobody serves: straight to the ledger, under its lock."""

import re
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from jevons.cli.governing import LIMIT_OPTIONS
from jevons.ledger import audit
from jevons.ledger.home import Home, HomeLock
from jevons.ledger.ops import Approval
from jevons.ledger.sqlite import SqliteStore
from jevons.policy.rules import Limit
from tests.cli.conftest import Run

ASKED = Approval("apr_1", "session:usd run:agent/r", 0, "Run 'r' has come to $3.", 10**9, 1, 2**42)
LATE = Approval("apr_0", "session:usd run:agent/q", 0, "Run 'q' has come to $3.", 10**9, 0, 1)


@pytest.fixture
def ask(jevons: Run, home: Path) -> None:
    """A ledger with a key, a question that waits and one that is over."""
    jevons("keys", "create", "agent")
    store = SqliteStore(home / "ledger.db", audit_key=bytes.fromhex((home / "audit.secret").read_text().strip()))
    store.apply([LATE, ASKED])
    store.close()


def test_every_member_of_a_limit_has_an_option() -> None:
    assert list(LIMIT_OPTIONS) == [field.name for field in msgspec.structs.fields(Limit) if field.name != "name"]


SET: list[tuple[str, dict[str, Any]]] = [
    ("--scope run --agent claude-code --usd 5 --per run --approve 3", {"scope": "run", "agent": "claude-code", "usd": 5, "per": "run", "approve": 3}),
    ("--usd $0.50 --warn 0.25", {"usd": "$0.50", "warn": "0.25"}),
    ("--scope team --list-usd 500 --per month --timezone Europe/Zurich --mode observe",
     {"scope": "team", "list_usd": 500, "per": "month", "timezone": "Europe/Zurich", "mode": "observe"}),
    ("--usd 5 --degrade-at 0.8 --degrade-to gpt-4o-mini --degrade-to local",
     {"usd": 5, "degrade_at": 0.8, "degrade_to": ["gpt-4o-mini", "local"]}),
    ("--scope child --depth 3 --children 4 --seconds 600 --context-growth 2.5",
     {"scope": "child", "depth": 3, "children": 4, "seconds": 600, "context_growth": 2.5}),
    ("--org acme --team t* --key a --model claude-* --tokens 7 --output-cap 9",
     {"org": "acme", "team": "t*", "key": "a", "model": "claude-*", "tokens": 7, "output_cap": 9}),
    ("--scope run --repeats 5 --warn 2 --approve 3", {"scope": "run", "repeats": 5, "warn": 2, "approve": 3}),
    ("--steps 0", {"steps": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("options", "members"), SET, ids=[one[0] for one in SET])
def test_a_limit_is_set_as_it_is_said(jevons: Run, options: str, members: dict[str, Any]) -> None:
    told = jevons("limits", "set", "mine", *options.split(), "--json")
    assert told.status == 0, told.err
    assert told.json == {"limit": {"name": "mine", **members}}
    found = {one["name"]: one for one in jevons("limits", "--json").json["limits"]}
    assert (found["mine"]["settings"], found["mine"]["where"]) == (told.json["limit"], "ledger")
    assert jevons("limits", "set", "mine", *options.split()).out.startswith("Limit mine is set: each ")
    assert jevons("limits", "remove", "mine").out == "Limit mine is removed.\n"
    assert "mine" not in jevons("limits").out


def test_a_limit_in_words(jevons: Run) -> None:
    jevons(
        "limits",
        "set",
        "a",
        *"--scope run --agent codex --usd 5 --warn 2 --approve 3 --degrade-at 0.8 --degrade-to local".split(),
    )
    jevons("limits", "set", "b", *"--tokens 20000 --steps 7 --per day --timezone Europe/Zurich --mode observe".split())
    jevons("limits", "set", "c", *"--scope run --context-growth 2.5 --concurrent 3 --mode off".split())
    jevons("limits", "set", "d", *"--scope org --usd 1000".split())
    shown = jevons("limits").out
    for line in (
        "a each run, agent codex; usd ≤ $5.00 per run; enforced; warns from $2.00; asks from $3.00; degrades to local from 80% on",
        "b each key; tokens ≤ 20,000 per day (Europe/Zurich) and steps ≤ 7 per day (Europe/Zurich); only observed",
        "c each run; concurrent ≤ 3 and context_growth ≤ 2.5×; off",
        "d each organisation; usd ≤ $1,000.00 in total; enforced",
    ):
        assert f"{line}\n" in shown, shown


def test_limits_of_the_configuration_are_marked_and_left_alone(jevons: Run, home: Path) -> None:
    jevons("keys", "create", "agent", "--limit-usd", "2")
    (home / "jevons.toml").write_text('[[limits]]\nname = "house"\nusd = 9\n')
    found = {one["name"]: one["where"] for one in jevons("limits", "--json").json["limits"]}
    assert found["house"] == "jevons.toml"
    shown = jevons("limits").out
    assert "house (jevons.toml) each key; usd ≤ $9.00 in total; enforced" in shown
    assert re.search(r"key:agent +░{20} +\$0\.00 spent of \$2\.00", shown), shown
    assert "nobody has called under it yet" in shown
    for arguments in (("set", "house", "--usd", "5"), ("remove", "house")):
        told = jevons("limits", *arguments)
        assert (told.status, "stands in jevons.toml" in told.err) == (1, True)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('[[limits]]\nname = "x"\nusd = 5\n[[limits]]\nname = "x"\nusd = 6\n', "$.limits[1]"),
        ('[[limits]]\nname = "x"\nusd = "five"\n', "$.limits[0]"),
        ('[[limits]]\nname = "x"\nusd = 5\nwarn = 6\nmode = "off"\n', "ascend"),
        ('[[limits]]\nname = "x"\neuro = 5\n', "euro"),
        ('[[limits]]\nusd = 5\n', "name"),
    ],
)  # fmt: skip
def test_limits_of_the_configuration_that_make_no_sense(jevons: Run, home: Path, text: str, word: str) -> None:
    """With file and place, whoever reads it."""
    home.mkdir(mode=0o700)
    (home / "jevons.toml").write_text(text)
    for arguments in (("keys", "create", "agent"), ("serve", "--port", "0")):
        told = jevons(*arguments)
        assert told.status == 1
        assert str(home / "jevons.toml") in told.err
        assert word in told.err
        assert len(told.err.strip().splitlines()) == 1


def test_kills(jevons: Run) -> None:
    jevons("keys", "create", "agent")
    assert "Nobody is stopped" in jevons("kill").out
    assert "Stopped: agent:*/codex" in jevons("kill", "agent:*/codex", "--reason", "it repeats itself").out
    made = jevons("kill", "everything", "--json").json
    assert (made["id"], made["subject"], made["reason"], made["open_calls"]) == (2, "everything", "", 0)
    found = jevons("kill", "--json").json["kills"]
    assert [(one["id"], one["subject"], one["reason"]) for one in found] == [
        (1, "agent:*/codex", "it repeats itself"),
        (2, "everything", ""),
    ]
    assert re.search(r"1 +agent:\*/codex .* UTC +it repeats itself", jevons("kill").out)
    assert jevons("kill", "--lift", "1").out == "Kill 1 is lifted.\n"
    assert jevons("kill", "--lift", "2", "--json").json == {"lifted": 2}
    assert jevons("kill", "--json").json == {"kills": []}


def test_answers(jevons: Run, ask: None) -> None:
    [waiting] = jevons("approve", "--json").json["approvals"]
    assert (waiting["id"], waiting["state"], waiting["grants_nusd"]) == ("apr_1", "pending", 10**9)
    shown = jevons("approve").out
    assert "apr_1 waits until" in shown
    assert "Run 'r' has come to $3." in shown
    assert "apr_0" not in shown
    assert jevons("approve", "apr_1", "--deny").out == "Denied. Run 'r' has come to $3.\n"
    assert "No question waits for an answer. 2 questions answered or expired" in jevons("approve").out
    listed = jevons("approve", "--all").out
    assert "apr_1 denied 2" in listed
    assert "apr_0 nobody answered until 1970-01-01 00:00:00 UTC, which is a no" in listed
    assert jevons("approve", "apr_1", "--json").json["state"] == "approved"
    assert [one["state"] for one in jevons("approve", "--all", "--json").json["approvals"]] == ["approved", "expired"]


def test_a_key_s_settings(jevons: Run) -> None:
    jevons("keys", "create", "agent", "--team", "search", "--org", "acme", "--model", "gpt-*")
    assert jevons("keys", "list", "--json").json["keys"][0]["settings"] == {"models": ["gpt-*"], "team": "search", "org": "acme"}
    changed = jevons("keys", "set", "agent", "--team", "ads", "--output-tokens", "50", "--json").json
    assert changed == {
        "key": "agent",
        "settings": {"models": ["gpt-*"], "team": "ads", "org": "acme", "default_output_tokens": 50},
    }
    told = jevons("keys", "set", "agent", "--team", "", "--output-tokens", "0", "--model", "*", "--denial-status", "400")
    assert told.out == "Key agent is changed: models *, denial_status 400, org acme.\n"
    assert jevons("keys", "list", "--json").json["keys"][0]["settings"] == {"models": ["*"], "denial_status": 400, "org": "acme"}
    assert jevons("keys", "set", "agent", "--holds", "packed", "--json").json["settings"]["holds"] == "packed"
    assert "holds" not in jevons("keys", "set", "agent", "--holds", "default", "--json").json["settings"]
    jevons("keys", "create", "packer", "--holds", "packed")
    assert jevons("keys", "list", "--json").json["keys"][1]["settings"] == {"holds": "packed"}
    assert "cannot name a team" in jevons("keys", "create", "other", "--team", "a/b").err


def test_the_audit_log(jevons: Run) -> None:
    jevons("keys", "create", "agent", "--team", "search")
    jevons("limits", "set", "mine", "--usd", "5")
    jevons("kill", "key:agent", "--reason", "a [test]")
    rows = jevons("audit", "--json").json["rows"]
    assert [(row["seq"], row["action"], row["subject"]) for row in rows] == [
        (3, "kill", "key:agent"),
        (2, "limit-set", "limit:mine"),
        (1, "key-create", "key:agent"),
    ]
    shown = jevons("audit").out
    assert re.search(r"3 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC +kill +key:agent +kill=1 reason=a \[test\]\n", shown), shown
    assert [row["seq"] for row in jevons("audit", "--action", "limit-set", "--json").json["rows"]] == [2]
    assert [row["seq"] for row in jevons("audit", "--limit", "1", "--json").json["rows"]] == [3]
    assert "Nothing is logged" in jevons("audit", "--action", "lift").out


def test_an_anchor_shows_what_was_cut_off(jevons: Run, home: Path) -> None:
    """And a row that was changed is named."""
    jevons("keys", "create", "agent")
    jevons("kill", "everything")
    anchor = jevons("audit", "anchor").out.strip()
    assert audit.parse_anchor(anchor).seq == 2
    assert jevons("audit", "anchor", "--json").json == {"rows": 2, "anchor": anchor}
    jevons("kill", "--lift", "1")
    sound = jevons("audit", "verify", "--anchor", anchor)
    assert (sound.status, sound.out) == (0, "3 rows, each as it was written; those up to 2 are the anchored ones.\n")
    assert "Only an anchor shows" in jevons("audit", "verify").out
    forge(home, "DROP TRIGGER audit_is_never_shortened; DELETE FROM audit WHERE seq > 1")
    assert jevons("audit", "verify").status == 0
    cut = jevons("audit", "verify", "--anchor", anchor, "--json")
    assert (cut.status, cut.json["sound"], cut.json["broken"]) == (1, False, "rows after 1 are missing: the anchor names row 2")
    forge(home, "DROP TRIGGER audit_is_never_edited; UPDATE audit SET subject = 'key:nobody' WHERE seq = 1")
    broken = jevons("audit", "verify")
    assert (broken.status, "row 1 is not what was written" in broken.out) == (1, True)
    refused = jevons("audit", "anchor")
    assert (refused.status, refused.out, "row 1" in refused.err) == (1, "", True)


def forge(home: Path, statements: str) -> None:
    db = apsw.Connection(str(home / "ledger.db"))
    db.execute(statements)
    db.close()


def test_a_log_without_its_key_is_not_checked(jevons: Run, home: Path) -> None:
    """A new key would call every row forged."""
    jevons("keys", "create", "agent")
    (home / "audit.secret").unlink()
    for arguments in (("verify",), ("anchor",)):
        told = jevons("audit", *arguments)
        assert told.status == 1
        assert "audit.secret is missing" in told.err
    assert not (home / "audit.secret").exists()


READING = [["limits"], ["kill"], ["approve"], ["audit"], ["audit", "verify"], ["audit", "anchor"]]


@pytest.mark.parametrize("arguments", READING, ids=[" ".join(one) for one in READING])
def test_without_a_ledger(jevons: Run, home: Path, arguments: list[str]) -> None:
    """None is made by looking."""
    told = jevons(*arguments)
    assert told.status == 1
    assert "There is no ledger" in told.err
    assert not (home / "ledger.db").exists()


@pytest.mark.parametrize("arguments", READING, ids=[" ".join(one) for one in READING])
def test_reading_commands(jevons: Run, ask: None, arguments: list[str]) -> None:
    told = jevons(*arguments, "--json")
    assert told.status == 0, told.err
    assert told.out.count("\n") == 1
    assert not re.findall(r'nusd":\s*-?\d+\.\d', told.out), "money is whole nano-dollars"
    shown = jevons(*arguments)
    assert shown.status == 0, shown.err
    assert shown.out.strip()


MISTAKES: list[tuple[list[str], str]] = [
    (["limits", "set", "x"], "limits nothing"),
    (["limits", "set", "x y", "--usd", "1"], "a name has"),
    (["limits", "set", "x", "--usd", "ten"], "ten"),
    (["limits", "set", "x", "--usd", "-1"], "0 or more"),
    (["limits", "set", "x", "--usd", "1", "--approve", "2"], "ascend"),
    (["limits", "set", "x", "--steps", "1.5"], "1.5"),
    (["limits", "set", "x", "--steps", "9", "--warn", "1.5"], "1.5"),
    (["limits", "set", "x", "--usd", "1", "--per", "fortnight"], "fortnight"),
    (["limits", "set", "x", "--usd", "1", "--timezone", "Mars"], "Mars"),
    (["limits", "set", "x", "--usd", "1", "--scope", "world"], "world"),
    (["limits", "set", "x", "--usd", "1", "--degrade-at", "2"], "2"),
    (["limits", "remove", "x"], "no limit 'x'"),
    (["limits", "remove", "loops"], "built in"),
    (["limits", "--accounts", "0"], "0"),
    (["kill", "alice"], "whom to stop"),
    (["kill", "key:alice"], "would stop nobody"),
    (["kill", "--lift", "1"], "No kill 1"),
    (["kill", "everything", "--lift", "1"], "alone"),
    (["kill", "--reason", "x"], "whom to stop"),
    (["approve", "apr_9"], "no question 'apr_9'"),
    (["approve", "--deny"], "which question"),
    (["audit", "verify", "--anchor", "12"], "not an anchor"),
    (["audit", "--limit", "0"], "0"),
    (["keys", "set", "agent"], "what to change"),
    (["keys", "set", "nobody", "--team", "x"], "no key 'nobody'"),
    (["keys", "set", "agent", "--org", ""], "cannot name an organisation"),
]


@pytest.mark.parametrize(("arguments", "word"), MISTAKES, ids=[" ".join(one[0]) for one in MISTAKES])
def test_mistakes_are_told_in_a_line(jevons: Run, arguments: list[str], word: str) -> None:
    jevons("keys", "create", "agent")
    told = jevons(*arguments)
    assert told.status in (1, 2), told.out
    assert told.out == ""
    assert word in told.err
    assert "Traceback" not in told.err
    assert len(told.err.strip().splitlines()) <= (5 if told.status == 2 else 1), told.err


def test_a_home_in_use_by_a_process_that_does_not_serve(jevons: Run, home: Path) -> None:
    """It is being started, or it is another command: its number is told."""
    jevons("keys", "create", "agent")
    with HomeLock(Home(home)):
        told = jevons("limits")
    assert told.status == 1
    assert "in use by process" in told.err


@pytest.mark.parametrize(
    "command",
    "limits,limits set,limits remove,kill,approve,audit,audit verify,audit anchor,keys create,keys set".split(","),
)
def test_help_gives_an_example(jevons: Run, command: str) -> None:
    shown = " ".join(jevons(*command.split(), "--help").out.split())
    assert f"Example: jevons {command}" in shown
