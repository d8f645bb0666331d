"""The admin API: its own token, on loopback too; keys, limits, kills, answers, corrections, backups of a ledger that is being written."""

import http.client
import json
import time
from pathlib import Path
from typing import Any

import pytest

from jevons.ledger import audit
from jevons.ledger.bill import check
from jevons.ledger.home import Home
from tests.gateway.asking import Gateway, Key, ask, body_of, marker
from tests.gateway.operating import asking_limit, begun

DOORS: list[tuple[str, str, Any]] = [
    ("GET", "/keys", None),
    ("POST", "/keys", {"name": "stolen"}),
    ("PATCH", "/keys/default", {"team": "thieves"}),
    ("DELETE", "/keys/default", None),
    ("PUT", "/keys/default/limit", {"limit_nusd": None}),
    ("GET", "/limits", None),
    ("GET", "/limits/loops", None),
    ("PUT", "/limits/stolen", {"usd": 1}),
    ("DELETE", "/limits/loops", None),
    ("GET", "/kills", None),
    ("POST", "/kills", {"subject": "everything"}),
    ("DELETE", "/kills/1", None),
    ("GET", "/approvals", None),
    ("POST", "/approvals/apr_1", {"approve": True}),
    ("GET", "/runs", None),
    ("GET", "/runs/default/r", None),
    ("GET", "/audit", None),
    ("GET", "/audit/head", None),
    ("POST", "/imports/keys", {"sources": [{"source": "stolen"}]}),
    ("POST", "/imports", {"rows": []}),
    ("POST", "/adjustments", {"key": "default", "nusd": -1, "reason": "x"}),
    ("POST", "/backup", {"path": "/dev/null/stolen.db"}),
]


@pytest.mark.parametrize(("method", "path", "body"), DOORS, ids=[f"{door[0]} {door[1]}" for door in DOORS])
def test_only_its_own_token_opens_it(gateway: Gateway, any_key: Key, method: str, path: str, body: Any) -> None:
    """No request key, no other place for the token, no key in the path."""
    token = (gateway.jevons.home / "admin.token").read_text().strip()
    for wrong in (any_key.secret, token[:-1], token + "0", "", "jva-" + "0" * 64):
        assert gateway.admin(method, path, body, token=wrong).status == 401, wrong
    data = None if body is None else json.dumps(body).encode()
    for headers in ({"x-api-key": token}, {"x-jevons-key": token}, {"authorization": f"Basic {token}"}, {}):
        assert ask(gateway.url, method, "/jevons/v1/admin" + path, data, headers).status == 401
    got = ask(gateway.url, method, f"/k/{any_key.secret}/jevons/v1/admin{path}", data, {})
    assert got.status in (401, 404)


def test_no_page_of_another_site_can_read_it(gateway: Gateway) -> None:
    origin = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for path in ("/jevons/v1/admin/keys", "/v1/chat/completions"):
        got = ask(gateway.url, "OPTIONS", path, None, origin)
        assert got.status >= 400
        assert not [name for name in got.headers if name.startswith("access-control")]


def test_a_key_from_its_making_to_its_end(gateway: Gateway) -> None:
    key = gateway.key(10**9, models=["gpt-*"], default_output_tokens=50)
    listed = {one["name"]: one for one in gateway.admin("GET", "/keys").json["keys"]}[key.name]
    assert (listed["limit_nusd"], listed["posted_nusd"], listed["revoked_ms"]) == (10**9, 0, None)
    assert key.secret.startswith(listed["prefix"])
    assert key.secret not in json.dumps(listed)
    got = gateway.post("chat", key, body_of("chat", "gpt-4o", cap=None))
    assert got.headers["x-jevons-output-cap"] == "50"
    assert gateway.admin("PUT", f"/keys/{key.name}/limit", {"limit_nusd": 1}).json == {"key": key.name, "limit_nusd": 1}
    assert gateway.account(key)["overrun_nusd"] == gateway.account(key)["posted_nusd"] - 1
    assert gateway.post("chat", key, body_of("chat", "gpt-4o")).status == 402
    gateway.admin("PUT", f"/keys/{key.name}/limit", {"limit_nusd": None})
    assert gateway.post("chat", key, body_of("chat", "gpt-4o")).status == 200
    assert gateway.admin("DELETE", f"/keys/{key.name}").json == {"revoked": key.name}
    assert gateway.post("chat", key, body_of("chat", "gpt-4o")).status == 401
    assert gateway.admin("POST", "/keys", {"name": key.name}).status == 400


def test_other_settings_for_a_key(gateway: Gateway) -> None:
    """Only what is sent changes."""
    key = gateway.key(models=["gpt-*"], default_output_tokens=50, team="search")
    moved = {"models": ["gpt-*"], "default_output_tokens": 50, "team": "ads", "org": "acme"}
    got = gateway.admin("PATCH", f"/keys/{key.name}", {"team": "ads", "org": "acme"})
    assert got.json == {"key": key.name, "settings": moved}
    assert gateway.account(key)["settings"] == moved
    gateway.admin("PATCH", f"/keys/{key.name}", {"default_output_tokens": None, "models": ["o4-*"], "denial_status": 403})
    refused = gateway.post("chat", key, body_of("chat", "gpt-4o"))
    assert (refused.status, refused.error["code"]) == (403, "model_not_allowed")
    assert gateway.account(key)["settings"] == {"models": ["o4-*"], "team": "ads", "org": "acme", "denial_status": 403}


def test_a_limit_from_its_setting_to_its_removal(gateway: Gateway) -> None:
    """What was spent counts when it is set; what is held is shown beside it."""
    key = gateway.key(org="acme", team=(team := f"team-{marker()[:8]}"))
    billed = gateway.entry_of(gateway.post("chat", key, body_of("chat", "gpt-4o")))["billed_nusd"]
    body = {"scope": "team", "team": team, "usd": 1, "per": "month"}
    assert gateway.admin("PUT", f"/limits/{team}", body).json == {"limit": {"name": team, **body}}
    got = gateway.admin("GET", f"/limits/{team}")
    assert (got.json["where"], got.json["settings"]) == ("ledger", {"name": team, **body})
    [account] = got.json["accounts"]
    assert (account["subject"], account["limit_nusd"], account["posted_nusd"]) == (f"team:acme/{team}", 10**9, billed)
    assert account["window_start_ms"] <= int(time.time() * 1000) < account["window_end_ms"]
    assert gateway.admin("PUT", f"/limits/{team}", {**body, "usd": "0.000000001"}).status == 200
    refused = gateway.post("chat", key, body_of("chat", "gpt-4o"))
    assert (refused.status, refused.error["code"]) == (402, "insufficient_quota")
    [over] = gateway.admin("GET", f"/limits/{team}?accounts=1").json["accounts"]
    assert over["over_nusd"] == over["overrun_nusd"] == billed - 1
    assert gateway.admin("DELETE", f"/limits/{team}").json == {"removed": team}
    assert gateway.post("chat", key, body_of("chat", "gpt-4o")).status == 200
    assert gateway.admin("DELETE", f"/limits/{team}").status == 404


def test_what_open_calls_hold_is_shown(gateway: Gateway) -> None:
    key, name = gateway.key(10**9), f"limit-{marker()[:8]}"
    gateway.admin("PUT", f"/limits/{name}", {"name": name, "key": key.name, "concurrent": 5})
    with begun(gateway, key):
        found = gateway.admin("GET", "/limits").json
        [account] = next(one for one in found["limits"] if one["name"] == name)["accounts"]
        assert (account["measure"], account["limit"], account["held"], account["available"]) == ("concurrent", 5, 1, 4)
        total = next(one for one in found["keys"] if one["subject"] == f"key:{key.name}")
        assert total["held_nusd"] == gateway.account(key)["held_nusd"] > 0
    gateway.admin("DELETE", f"/limits/{name}")


def test_kills(gateway: Gateway) -> None:
    """In force at once, for calls under way too; what is stopped and why stands in the list until it is lifted."""
    key = gateway.key()
    with begun(gateway, key) as answer:
        made = gateway.admin("POST", "/kills", {"subject": f"key:{key.name}", "reason": "a test"}).json
        assert (made["subject"], made["reason"], made["open_calls"]) == (f"key:{key.name}", "a test", 1)
        with pytest.raises(http.client.IncompleteRead) as cut:
            answer.read()
        assert b"a test" in cut.value.partial
    assert made["id"] in [one["id"] for one in gateway.admin("GET", "/kills").json["kills"]]
    refused = gateway.post("chat", key, body_of("chat", "gpt-4o"))
    assert refused.status == 402
    assert "a test" in refused.error["message"]
    assert gateway.admin("DELETE", f"/kills/{made['id']}").json == {"lifted": made["id"]}
    assert gateway.post("chat", key, body_of("chat", "gpt-4o")).status == 200
    again = gateway.admin("DELETE", f"/kills/{made['id']}")
    assert (again.status, "in force" in again.json["error"]) == (404, True)


def test_a_question_and_its_answers(gateway: Gateway) -> None:
    key, name, call = asking_limit(gateway)
    refused = gateway.post("chat", key, call)
    assert refused.status == 402, refused.body
    question = refused.error["jevons"]["approval"]
    asked = next(one for one in gateway.admin("GET", "/approvals").json["approvals"] if one["id"] == question)
    assert (asked["state"], asked["limit_name"], asked["subject"]) == ("pending", name, f"key:{key.name}")
    assert asked["grants_nusd"] > 0
    for approve, state, status in ((False, "denied", 402), (True, "approved", 200)):
        decided = gateway.admin("POST", f"/approvals/{question}", {"approve": approve}).json
        assert (decided["id"], decided["state"]) == (question, state)
        assert gateway.post("chat", key, call).status == status
    gateway.admin("DELETE", f"/limits/{name}")


def test_runs(gateway: Gateway) -> None:
    """A run that another one started stands below it; labels may have slashes."""
    key = gateway.key()
    before_ms = int(time.time() * 1000)
    gateway.post("chat", key, body_of("chat", "gpt-4o"), x_jevons_run_id="r")
    got = gateway.post("chat", key, body_of("chat", "gpt-4o"), x_jevons_run_id="r/1", x_jevons_parent_run_id="r")
    found = gateway.admin("GET", f"/runs?key={key.name}&since_ms={before_ms}").json["runs"]
    assert [(one["run_id"], one["depth"], one["tree_steps"]) for one in found] == [("r", 1, 2), ("r/1", 2, 1)]
    assert gateway.admin("GET", f"/runs?key={key.name}&agent=codex").json == {"runs": []}
    assert gateway.admin("GET", f"/runs?key={key.name}&since_ms={before_ms + 10**9}").json == {"runs": []}
    one = gateway.admin("GET", f"/runs/{key.name}/r/1").json
    assert (one["run_id"], [call["request"] for call in one["calls"]]) == ("r/1", [got.request])


def test_the_audit_log(gateway: Gateway) -> None:
    """Every change is in it, in order, and its head can be kept elsewhere."""
    name = f"limit-{marker()[:8]}"
    before = gateway.admin("GET", "/audit/head").json
    gateway.admin("PUT", f"/limits/{name}", {"steps": 5})
    gateway.admin("DELETE", f"/limits/{name}")
    rows = gateway.admin("GET", "/audit").json["rows"]
    ours = [(row["action"], row["seq"]) for row in rows if row["subject"] == f"limit:{name}"]
    assert [action for action, _ in ours] == ["limit-remove", "limit-set"]
    assert ours[0][1] > ours[1][1] > before["rows"]
    [newest] = gateway.admin("GET", "/audit?action=limit-set&limit=1").json["rows"]
    assert newest["detail"]["limit"] == {"name": name, "steps": 5}
    anchor = audit.parse_anchor(gateway.admin("GET", "/audit/head").json["anchor"])
    assert audit.verify(gateway.jevons.ledger, Home(gateway.jevons.home).secret("audit"), anchor).broken == ""


def test_a_correction(gateway: Gateway, key: Key) -> None:
    got = gateway.post("chat", key, body_of("chat", "gpt-4o"))
    spent = gateway.account(key)["posted_nusd"]
    body = {"key": key.name, "nusd": -spent, "reason": "the provider gave it back", "request": got.request}
    assert gateway.admin("POST", "/adjustments", body).status == 200
    assert gateway.account(key)["posted_nusd"] == 0
    assert gateway.entry_of(got)["billed_nusd"] == spent
    assert check(gateway.jevons.ledger) == []


BAD: list[tuple[str, str, Any, str]] = [
    ("POST", "/keys", {"name": ""}, "cannot name a key"),
    ("POST", "/keys", {"name": "a/b"}, "cannot name a key"),
    ("POST", "/keys", {"name": "default"}, "already"),
    ("POST", "/keys", {"name": "x", "limit_nusd": -1}, "at least 0"),
    ("POST", "/keys", {"name": "x", "limit_nusd": 1.5}, "int"),
    ("POST", "/keys", {"name": "x", "limits": 1}, "limits"),
    ("POST", "/keys", {}, "name"),
    ("PATCH", "/keys/default", {"limit_nusd": 1}, "limit_nusd"),
    ("PATCH", "/keys/default", {"team": "a/b"}, "cannot name a team"),
    ("PATCH", "/keys/default", {"denial_status": 200}, "200"),
    ("PUT", "/limits/x", {"usd": 1, "per": "fortnight"}, "fortnight"),
    ("PUT", "/limits/x", {"usd": 1, "name": "y"}, "'y'"),
    ("PUT", "/limits/x", {"usd": "ten"}, "ten"),
    ("PUT", "/limits/x", {"eur": 1}, "eur"),
    ("PUT", "/limits/x", [], "object"),
    ("PUT", "/limits/x", {}, "limits nothing"),
    ("PUT", "/limits/x_%20", {"usd": 1}, "a name has"),
    ("DELETE", "/limits/loops", None, "built in"),
    ("GET", "/limits?accounts=-1", None, "accounts"),
    ("POST", "/kills", {"subject": "alice"}, "whom to stop"),
    ("POST", "/kills", {"subject": "key:nobody"}, "would stop nobody"),
    ("POST", "/kills", {}, "subject"),
    ("POST", "/approvals/apr_1", {}, "approve"),
    ("GET", "/runs?since_ms=yesterday", None, "since_ms"),
    ("GET", "/audit?limit=many", None, "limit"),
    ("GET", "/audit?limit=10001", None, "10,000"),
    ("POST", "/adjustments", {"key": "nobody", "nusd": 1, "reason": "r"}, "no key"),
    ("POST", "/adjustments", {"key": "default", "nusd": 1, "reason": " "}, "reason"),
    ("POST", "/adjustments", {"key": "default", "nusd": 1, "reason": "r", "request": "nonsense"}, "nonsense"),
    ("POST", "/backup", {"path": "relative.db"}, "absolute"),
    ("POST", "/backup", {"path": "/dev/null/x.db"}, "/dev/null"),
]


@pytest.mark.parametrize(("method", "path", "body", "word"), BAD, ids=[f"{one[1]} {one[3]}" for one in BAD])
def test_mistakes_are_told(gateway: Gateway, method: str, path: str, body: Any, word: str) -> None:
    got = gateway.admin(method, path, body)
    assert got.status == 400, got.body
    assert word in got.json["error"]


ABSENT: list[tuple[str, str, Any, str]] = [
    ("PATCH", "/keys/nobody", {}, "no key"),
    ("PUT", "/keys/nobody/limit", {"limit_nusd": 1}, "no key"),
    ("DELETE", "/keys/nobody", None, "no key"),
    ("GET", "/limits/none", None, "no limit"),
    ("DELETE", "/limits/none", None, "no limit"),
    ("DELETE", "/kills/999999", None, "No kill 999999"),
    ("DELETE", "/kills/first", None, "not part of the admin API"),
    ("POST", "/approvals/none", {"approve": True}, "no question"),
    ("GET", "/runs/default/none", None, "no run"),
    ("GET", "/nothing", None, "not part of the admin API"),
]


@pytest.mark.parametrize(("method", "path", "body", "word"), ABSENT, ids=[f"{one[0]} {one[1]}" for one in ABSENT])
def test_what_is_not_there(gateway: Gateway, method: str, path: str, body: Any, word: str) -> None:
    got = gateway.admin(method, path, body)
    assert got.status == 404, got.body
    assert word in got.json["error"]


def test_a_body_that_is_no_json(gateway: Gateway) -> None:
    token = (gateway.jevons.home / "admin.token").read_text().strip()
    got = ask(gateway.url, "POST", "/jevons/v1/admin/keys", b"{", {"authorization": f"Bearer {token}"})
    assert got.status == 400
    assert gateway.admin("PATCH", "/keys").status == 405
    assert "docs/doors.md" in gateway.admin("PATCH", "/keys").json["error"]


def test_a_backup_while_calls_are_made(gateway: Gateway, key: Key, tmp_path: Path) -> None:
    gateway.post("chat", key, body_of("chat", "gpt-4o"))
    target = tmp_path / "copy.db"
    assert gateway.admin("POST", "/backup", {"path": str(target)}).json == {"backup": str(target)}
    assert check(target) == []
    assert target.stat().st_mode & 0o077 == 0


def test_what_is_no_batch_of_imported_rows_is_refused(gateway: Gateway) -> None:
    """`jevons import` sends them as MessagePack."""
    for body, why in (({"rows": []}, "Expected `object`"), ({"rows": "x" * 17 * 2**20}, "at most 16,777,216 bytes")):
        got = gateway.admin("POST", "/imports", body)
        assert (got.status, why in got.json["error"]) == (400, True), got.body[:200]
    made = gateway.admin("POST", "/imports/keys", {"sources": [{"source": "litellm", "account": "ann"}]})
    again = gateway.admin("POST", "/imports/keys", {"sources": [{"source": "litellm", "account": "ann"}, {"source": "codex"}]})
    assert made.json["ids"] == again.json["ids"][:1] and len(set(again.json["ids"])) == 2
