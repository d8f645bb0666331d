"""The governor's page says what the code says: whom limits hold for, what they limit, windows, modes, recipes, denials, the audit log."""

import ast
import inspect
import json
import re
import tomllib
from typing import Any, get_args

import msgspec
import pytest

from jevons.config import load
from jevons.core.ask import Dialect
from jevons.gateway import wording
from jevons.ledger import audit, ledger
from jevons.ledger.ops import Approval
from jevons.policy import kills
from jevons.policy.accounts import Account
from jevons.policy.rules import BUILT_IN, COUNTED, OF_A_RUN, Limit, Measure, Mode, Scope, rules_of
from jevons.policy.windows import CALENDAR, FOREVER, ROLLING_MAX_MS, window
from jevons.wire.errors import error_body
from tests.docs.pages import ROOT, blocks, code, inline, read, table

PAGE = "docs/governor.md"
TEXT = " ".join(read(PAGE).split())
RECIPES = table(PAGE, "Recipes")
GATEWAY = [path.read_text(encoding="utf-8") for path in (ROOT / "src/jevons/gateway").glob("*.py")]


def test_every_scope() -> None:
    assert [code(row[0])[0] for row in table(PAGE, "Whom a limit holds for")] == list(Scope)


def test_every_measure() -> None:
    assert [code(row[0])[0] for row in table(PAGE, "What is limited")] == list(Measure)
    assert len(COUNTED) == 10 and "The first ten are counted in accounts" in TEXT
    looked_at = set(Measure) - set(COUNTED)
    assert looked_at - OF_A_RUN == {Measure.CONTEXT, Measure.OUTPUT_CAP}
    assert "all of them but `context_tokens` and `output_cap` are of a run" in TEXT


def test_every_window() -> None:
    *named, rolling = [code(row[0]) for row in table(PAGE, "In which window")]
    assert [name for row in named for name in row] == ["total", "run", *CALENDAR]
    assert all(window(length).rolling_ms for length in rolling)
    assert f"{ROLLING_MAX_MS // 86_400_000} days at most" in TEXT


def test_every_mode() -> None:
    assert [code(row[0])[0] for row in table(PAGE, "Whether it bites")] == list(get_args(Mode))


def test_every_member_of_a_limit() -> None:
    """Those that are no measure stand in the text."""
    named = {text.partition(" = ")[0] for text in inline(PAGE)}
    assert not {field.encode_name for field in msgspec.structs.fields(Limit)} - {"name"} - named


def test_the_built_in_limit() -> None:
    [loops] = BUILT_IN
    assert (loops.name, loops.mode, loops.approve, loops.repeats) == ("loops", "observe", 10, 20)
    assert "repeat themselves 10 times (`jevons audit --action would-ask`) and 20 times (`would-deny`)" in TEXT


@pytest.mark.parametrize("recipe", RECIPES, ids=[row[0] for row in RECIPES])
def test_every_recipe_is_a_limit(recipe: list[str], tmp_path: Any) -> None:
    """Its members are those of a table that a start accepts, or it names a table of the page, or it is a command."""
    written = [text for text in code(recipe[1]) if not text.startswith("jevons ")]
    if recipe[1].startswith("below, "):
        assert set(written) <= {
            limit["name"] for block in blocks(PAGE, "toml") for limit in tomllib.loads(block.text).get("limits", ())
        }
        return
    assert all(" = " in text for text in written)
    if written:
        file = tmp_path / "jevons.toml"
        file.write_text("\n".join(["[[limits]]", 'name = "recipe"', *written]))
        [limit] = load(file, {}).limits
        assert rules_of(limit)
    else:
        assert code(recipe[1])[0].startswith("jevons ")


def test_every_subject_of_a_kill() -> None:
    documented = [code(row[0])[0] for row in table(PAGE, "Stop")]
    assert [subject.partition(":")[0] for subject in documented] == list(kills.KINDS)
    assert all(kills.parse_subject(subject) == subject for subject in documented)


def test_a_denial_is_what_is_said() -> None:
    [shown] = blocks(PAGE, "json")
    sessions = next(limit for block in blocks(PAGE, "toml") for limit in _limits(block.text) if limit.name == "claude-sessions")
    [rule] = rules_of(sessions)
    account = Account(rule, "run:alice/5d1f", FOREVER, rule.limit)
    account.restore(0, 4_980_000_000)
    refusal = wording.short(account, 130_000_000, 0)
    assert (refusal.status, json.loads(shown.text)) == (402, json.loads(error_body(refusal, Dialect.CHAT, "")))


def _limits(text: str) -> list[Limit]:
    return msgspec.convert(tomllib.loads(text).get("limits", ()), list[Limit])


def test_every_reason() -> None:
    said = re.compile(r'"reason"\]?(?::| =) "([a-z_]+)"(?: if .* else "([a-z_]+)")?')
    reasons = {reason for text in GATEWAY for found in said.findall(text) for reason in found if reason}
    assert {code(row[0])[0] for row in table(PAGE, "At the limit")} == reasons


def test_every_action_of_the_audit_log() -> None:
    """Those of changes are written in `ledger.audit`, or noted by the ledger, those of denials by the gateway; an answer's is named by its state."""
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(audit))) if isinstance(node, ast.Call)]
    records = [call.args[1] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Record"]
    changes = {action.value for action in records if isinstance(action, ast.Constant)}
    denials = {action for text in GATEWAY for action in re.findall(r'"(denied|would-[a-z]+)"', text)}
    [state] = [field for field in msgspec.structs.fields(Approval) if field.name == "state"]
    answers = {f"answer-{one}" for one in get_args(state.type) if one != "pending"}
    documented = {action for row in table(PAGE, "The audit log") for action in code(row[0])}
    noted = set(re.findall(r'Noted\(\w+, "([a-z-]+)"', inspect.getsource(ledger)))
    assert noted == {"in-force", "policy"}
    assert documented == changes | denials | answers | noted
