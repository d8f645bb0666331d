"""The admin API: its own token, on loopback too; keys, limits, corrections, backups of a ledger that is being written."""

import json
from pathlib import Path
from typing import Any

import pytest

from jevons.ledger.bill import check
from tests.gateway.asking import Gateway, Key, ask, body_of

DOORS: list[tuple[str, str, Any]] = [
    ("GET", "/keys", None),
    ("POST", "/keys", {"name": "stolen"}),
    ("DELETE", "/keys/default", None),
    ("PUT", "/keys/default/limit", {"limit_nusd": None}),
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
    ("PUT", "/keys/nobody/limit", {"limit_nusd": 1}, "no key"),
    ("DELETE", "/keys/nobody", None, "no key"),
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


def test_a_body_that_is_no_json(gateway: Gateway) -> None:
    token = (gateway.jevons.home / "admin.token").read_text().strip()
    got = ask(gateway.url, "POST", "/jevons/v1/admin/keys", b"{", {"authorization": f"Bearer {token}"})
    assert got.status == 400
    assert gateway.admin("PATCH", "/keys").status == 405
    assert gateway.admin("GET", "/nothing").status == 404


def test_a_backup_while_calls_are_made(gateway: Gateway, key: Key, tmp_path: Path) -> None:
    gateway.post("chat", key, body_of("chat", "gpt-4o"))
    target = tmp_path / "copy.db"
    assert gateway.admin("POST", "/backup", {"path": str(target)}).json == {"backup": str(target)}
    assert check(target) == []
    assert target.stat().st_mode & 0o077 == 0
