"""The admin API: its own token, loopback included; request keys never work here. No CORS, so no page of another site can read it.

POST /keys, GET /keys, DELETE /keys/{name}, PUT /keys/{name}/limit, POST /adjustments, POST /backup, under /jevons/v1/admin.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jevons.core.entry import parse_request_text
from jevons.ledger import admin
from jevons.ledger.bill import accounts
from jevons.ledger.errors import LedgerError, LedgerUnavailable
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import KeySettings
from jevons.wire.body import BAD_JSON

PREFIX = "/jevons/v1/admin"


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    limit_nusd: int | None = None
    settings: KeySettings = KeySettings()


class NewLimit(msgspec.Struct, forbid_unknown_fields=True):
    limit_nusd: int | None


class NewAdjustment(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    nusd: int
    reason: str
    request: str | None = None


class NewBackup(msgspec.Struct, forbid_unknown_fields=True):
    path: str


class AdminApi:
    """Handlers over the running ledger."""

    def __init__(self, ledger: Ledger, token: str) -> None:
        self._ledger = ledger
        self._token = token.encode()

    def application(self) -> Starlette:
        routes = [
            Route(f"{PREFIX}/keys", self._guarded(self._create_key), methods=["POST"]),
            Route(f"{PREFIX}/keys", self._guarded(self._list_keys), methods=["GET"]),
            Route(f"{PREFIX}/keys/{{name}}", self._guarded(self._revoke_key), methods=["DELETE"]),
            Route(f"{PREFIX}/keys/{{name}}/limit", self._guarded(self._set_limit), methods=["PUT"]),
            Route(f"{PREFIX}/adjustments", self._guarded(self._adjust), methods=["POST"]),
            Route(f"{PREFIX}/backup", self._guarded(self._back_up), methods=["POST"]),
        ]
        return Starlette(routes=routes)

    def _guarded(self, handle: Callable[[Request], Awaitable[object]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
                return _json(
                    {
                        "error": "The admin API needs its own token: `Authorization: Bearer` with the content of JEVONS_HOME/admin.token."
                    },
                    401,
                )
            try:
                return _json(await handle(request))
            except LedgerUnavailable as error:
                return _json({"error": str(error)}, 503)
            except (LedgerError, *BAD_JSON) as error:
                return _json({"error": str(error)}, 400)

        return guarded

    async def _create_key(self, request: Request) -> object:
        new = msgspec.json.decode(await request.body(), type=NewKey)
        key, secret = await admin.create_key(self._ledger, new.name, new.limit_nusd, new.settings, _now_ms())
        return {"id": key.id, "key": secret}

    async def _list_keys(self, request: Request) -> object:
        return {"keys": await asyncio.to_thread(accounts, self._ledger.path)}

    async def _revoke_key(self, request: Request) -> object:
        await admin.revoke_key(self._ledger, request.path_params["name"], _now_ms())
        return {"revoked": request.path_params["name"]}

    async def _set_limit(self, request: Request) -> object:
        new = msgspec.json.decode(await request.body(), type=NewLimit)
        await admin.set_limit(self._ledger, request.path_params["name"], new.limit_nusd)
        return {"key": request.path_params["name"], "limit_nusd": new.limit_nusd}

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


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def _now_ms() -> int:
    return int(time.time() * 1000)
