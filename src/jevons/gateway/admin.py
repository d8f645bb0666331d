"""The admin API: its own token, loopback included; request keys never work here. No CORS, so no page of another site can read it.

Under /jevons/v1/admin: keys, limits, runs, kills, approvals, the audit log, imports, adjustments, caches, upstreams, backup. The approval page
(approvals.py) stands beside it. Bodies and answers are JSON; a mistake is {"error"} with 400, or 404 where the path names what is not there.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jevons.core.entry import parse_request_text
from jevons.core.limits import IMPORT_BATCH_BYTES_MAX
from jevons.gateway.approvals import ApprovalPage
from jevons.ledger import admin, audit, importing, runs, standing
from jevons.ledger.bill import accounts
from jevons.ledger.errors import LedgerError, LedgerUnavailable, Unknown
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import Imported, KeySettings, StudentPut
from jevons.policy.rules import Limit
from jevons.wire.body import BAD_JSON

PREFIX = "/jevons/v1/admin"
ROWS_DEFAULT = 100
ROWS_MAX = 10_000
"""Rows of one answer: a few megabytes. Whoever wants all reads the ledger file."""


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    limit_nusd: int | None = None
    settings: KeySettings = KeySettings()


class NewKeyLimit(msgspec.Struct, forbid_unknown_fields=True):
    limit_nusd: int | None


class NewKill(msgspec.Struct, forbid_unknown_fields=True):
    subject: str
    reason: str = ""


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    approve: bool


class NewSources(msgspec.Struct, forbid_unknown_fields=True):
    sources: list[importing.Whose]


class NewAdjustment(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    nusd: int
    reason: str
    request: str | None = None


class NewBackup(msgspec.Struct, forbid_unknown_fields=True):
    path: str


class LocalEngine(Protocol):
    """What operators ask of the local engine."""

    async def status(self) -> object:
        """What it says of itself."""

    async def forget(self, tag: bytes | None) -> bool:
        """Forget the conversations of a tenant, or all. Whether it could be told."""


class Caches(Protocol):
    """What operators ask of the answers that are kept here."""

    def status(self) -> dict[str, object]:
        """Counts since the start."""

    def erase(self, org: str | None) -> tuple[int, int]:
        """Forget what is kept of an organisation, or all. Returns how many answers there were, and how many questions by their meaning."""


class Upstreams(Protocol):
    """What operators ask of those who answer."""

    def status(self) -> list[dict[str, Any]]:
        """How each model of an upstream stands, under each credential."""


class Students(Protocol):
    """What operators tell of students."""

    async def reload(self) -> None:
        """Look again which there are, and which of them serve."""


class NewErasure(msgspec.Struct, forbid_unknown_fields=True):
    org: str | None = None


class NewStudents(msgspec.Struct, forbid_unknown_fields=True):
    puts: list[StudentPut]


class NewForget(msgspec.Struct, forbid_unknown_fields=True):
    tag: str


class AdminApi:
    """Handlers over the running ledger."""

    def __init__(
        self,
        ledger: Ledger,
        token: str,
        caches: Caches,
        engine: LocalEngine | None = None,
        upstreams: Upstreams | None = None,
        students: Students | None = None,
    ) -> None:
        self._caches = caches
        self._upstreams = upstreams
        self._ledger = ledger
        self._token = token
        self._engine = engine
        self._students = students

    def application(self) -> Starlette:
        """All of it, with the approval page."""
        doors = (
            ("POST", "/keys", self._create_key),
            ("GET", "/keys", self._list_keys),
            ("PATCH", "/keys/{name}", self._change_key),
            ("DELETE", "/keys/{name}", self._revoke_key),
            ("PUT", "/keys/{name}/limit", self._set_key_limit),
            ("GET", "/limits", self._list_limits),
            ("GET", "/limits/{name}", self._show_limit),
            ("PUT", "/limits/{name}", self._put_limit),
            ("DELETE", "/limits/{name}", self._remove_limit),
            ("POST", "/kills", self._kill),
            ("GET", "/kills", self._list_kills),
            ("DELETE", "/kills/{id:int}", self._lift),
            ("GET", "/approvals", self._list_approvals),
            ("POST", "/approvals/{id}", self._decide),
            ("GET", "/runs", self._list_runs),
            ("GET", "/runs/{key}/{run:path}", self._show_run),
            ("GET", "/audit", self._list_audit),
            ("GET", "/audit/head", self._audit_head),
            ("POST", "/imports/keys", self._import_keys),
            ("POST", "/imports", self._import),
            ("POST", "/adjustments", self._adjust),
            ("POST", "/backup", self._back_up),
            ("GET", "/cache", self._show_caches),
            ("POST", "/cache/clear", self._clear_caches),
            ("GET", "/upstreams", self._show_upstreams),
            ("GET", "/engine", self._show_engine),
            ("POST", "/engine/forget", self._forget),
            ("PUT", "/students", self._put_students),
        )
        routes = [Route(PREFIX + path, self._guarded(handle), methods=[method]) for method, path, handle in doors]
        page = ApprovalPage(self._ledger, self._token)
        return Starlette(routes=[*routes, *page.routes()], exception_handlers={HTTPException: _no_such_door})

    def _guarded(self, handle: Callable[[Request], Awaitable[object]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token.encode()):
                return _error(
                    "The admin API needs its own token: `Authorization: Bearer` with the content of JEVONS_HOME/admin.token.", 401
                )
            try:
                return _json(await handle(request))
            except LedgerUnavailable as error:
                return _error(str(error), 503)
            except Unknown as error:
                return _error(str(error), 404 if request.path_params else 400)
            except (LedgerError, *BAD_JSON) as error:
                return _error(str(error), 400)

        return guarded

    async def _create_key(self, request: Request) -> object:
        new = msgspec.json.decode(await request.body(), type=NewKey)
        key, secret = await admin.create_key(self._ledger, new.name, new.limit_nusd, new.settings, _now_ms())
        return {"id": key.id, "key": secret}

    async def _list_keys(self, request: Request) -> object:
        return {"keys": await asyncio.to_thread(accounts, self._ledger.path)}

    async def _change_key(self, request: Request) -> object:
        changes = msgspec.json.decode(await request.body(), type=admin.KeyChanges)
        settings = await admin.change_key(self._ledger, request.path_params["name"], changes, _now_ms())
        return {"key": request.path_params["name"], "settings": settings}

    async def _revoke_key(self, request: Request) -> object:
        await admin.revoke_key(self._ledger, request.path_params["name"], _now_ms())
        return {"revoked": request.path_params["name"]}

    async def _set_key_limit(self, request: Request) -> object:
        new = msgspec.json.decode(await request.body(), type=NewKeyLimit)
        await admin.set_limit(self._ledger, request.path_params["name"], new.limit_nusd, _now_ms())
        return {"key": request.path_params["name"], "limit_nusd": new.limit_nusd}

    async def _show_engine(self, request: Request) -> object:
        return {"engine": await self._engine.status() if self._engine is not None else None}

    async def _show_caches(self, request: Request) -> object:
        return self._caches.status()

    async def _show_upstreams(self, request: Request) -> object:
        return {"circuits": self._upstreams.status() if self._upstreams is not None else []}

    async def _clear_caches(self, request: Request) -> object:
        answers, questions = self._caches.erase(msgspec.json.decode(await request.body(), type=NewErasure).org)
        return {"forgotten": answers, "questions": questions}

    async def _forget(self, request: Request) -> object:
        asked = msgspec.json.decode(await request.body(), type=NewForget)
        try:
            tag = bytes.fromhex(asked.tag)
        except ValueError:
            raise LedgerError("`tag` is an organisation's tag in hex, or empty for all.") from None
        return {"forgotten": self._engine is not None and await self._engine.forget(tag or None)}

    async def _put_students(self, request: Request) -> object:
        """States of students as the operator wants them: in the ledger, then with those who ask them."""
        puts = msgspec.json.decode(await request.body(), type=NewStudents).puts
        await asyncio.gather(*(self._ledger.writer.submit(put) for put in puts))
        if self._students is not None:
            await self._students.reload()
        return {"students": len(puts), "serving": self._students is not None}

    async def _list_limits(self, request: Request) -> object:
        return await standing.limits(self._ledger, _now_ms(), _count(request, "accounts"))

    async def _show_limit(self, request: Request) -> object:
        return await standing.limit(self._ledger, request.path_params["name"], _now_ms(), _count(request, "accounts"))

    async def _put_limit(self, request: Request) -> object:
        """The body has the members of a [[limits]] table; its name is the path's."""
        name = request.path_params["name"]
        members: dict[str, Any] = msgspec.json.decode(await request.body(), type=dict[str, Any])
        if members.setdefault("name", name) != name:
            raise LedgerError(f"The body names the limit {members['name']!r}, the path {name!r}. Limits keep their names.")
        limit = msgspec.convert(members, Limit)
        await admin.put_limit(self._ledger, limit, _now_ms())
        return {"limit": limit}

    async def _remove_limit(self, request: Request) -> object:
        await admin.remove_limit(self._ledger, request.path_params["name"], _now_ms())
        return {"removed": request.path_params["name"]}

    async def _kill(self, request: Request) -> object:
        new = msgspec.json.decode(await request.body(), type=NewKill)
        made, open_calls = await admin.kill(self._ledger, new.subject, new.reason, _now_ms())
        return standing.kill(made, open_calls)

    async def _list_kills(self, request: Request) -> object:
        return {"kills": standing.kills(self._ledger)}

    async def _lift(self, request: Request) -> object:
        await admin.lift(self._ledger, request.path_params["id"], _now_ms())
        return {"lifted": request.path_params["id"]}

    async def _list_approvals(self, request: Request) -> object:
        return {"approvals": standing.approvals(self._ledger, _now_ms(), _count(request, "limit"))}

    async def _decide(self, request: Request) -> object:
        answer = msgspec.json.decode(await request.body(), type=Answer)
        decided = await admin.decide(self._ledger, request.path_params["id"], answer.approve, _now_ms())
        return standing.approval(decided, _now_ms())

    async def _list_runs(self, request: Request) -> object:
        only: dict[str, Any] = {name: request.query_params.get(name) for name in ("key", "agent")}
        only |= {"since_ms": _number(request, "since_ms", 0, 2**62), "limit": _count(request, "limit")}
        return {"runs": await asyncio.to_thread(runs.runs, self._ledger.path, **only)}

    async def _show_run(self, request: Request) -> object:
        key, run = request.path_params["key"], request.path_params["run"]
        return await asyncio.to_thread(runs.run, self._ledger.path, run, key)

    async def _list_audit(self, request: Request) -> object:
        count, action = _count(request, "limit"), request.query_params.get("action")
        return {"rows": await asyncio.to_thread(audit.rows, self._ledger.path, count, action)}

    async def _audit_head(self, request: Request) -> object:
        head = await asyncio.to_thread(admin.audit_head, self._ledger.path)
        return {"rows": head.seq, "anchor": str(head)}

    async def _import_keys(self, request: Request) -> object:
        wanted = msgspec.json.decode(await request.body(), type=NewSources)
        return {"ids": await importing.ensure_keys(self._ledger, wanted.sources, _now_ms())}

    async def _import(self, request: Request) -> object:
        """Rows of another's log, as MessagePack: `jevons import` makes them."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > IMPORT_BATCH_BYTES_MAX:
                raise LedgerError(f"A batch of imported rows has at most {IMPORT_BATCH_BYTES_MAX:,} bytes.")
        batch = await asyncio.to_thread(msgspec.msgpack.decode, body, type=Imported)
        return {"fresh": await importing.take_in(self._ledger, batch, _now_ms())}

    async def _adjust(self, request: Request) -> object:
        new = msgspec.json.decode(await request.body(), type=NewAdjustment)
        entry_id = parse_request_text(new.request) if new.request else None
        if new.request and entry_id is None:
            raise LedgerError(f"{new.request!r} is not a request id; it looks like req_ and 15 digits or letters a to f.")
        await admin.adjust(self._ledger, new.key, new.nusd, new.reason, _now_ms(), entry_id)
        return {"key": new.key, "nusd": new.nusd}

    async def _back_up(self, request: Request) -> object:
        target = Path(msgspec.json.decode(await request.body(), type=NewBackup).path)
        if not target.is_absolute():
            raise LedgerError("A backup needs an absolute path.")
        await admin.back_up(self._ledger, target)
        return {"backup": str(target)}


def _count(request: Request, name: str) -> int:
    """How many rows are wanted."""
    return _number(request, name, ROWS_DEFAULT, ROWS_MAX)


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdecimal() or len(text) > 19 or int(text) > most:
        raise LedgerError(f"{name}={text!r} is not a whole number from 0 to {most:,}.")
    return int(text)


async def _no_such_door(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _error(f"{request.method} {request.url.path} is not part of the admin API; see docs/doors.md.", status)


def _error(message: str, status: int) -> Response:
    return _json({"error": message}, status)


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, {"x-content-type-options": "nosniff"}, media_type="application/json")


def _now_ms() -> int:
    return int(time.time() * 1000)
