"""Operator's writes: through the admin API of the process that serves, else straight to the ledger under the same lock."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from jevons.core.entry import parse_request_text
from jevons.gateway.admin import PREFIX
from jevons.ledger import admin
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home, HomeLock
from jevons.ledger.ledger import Ledger, settle_open_holds
from jevons.ledger.ops import KeySettings
from jevons.ledger.sqlite import SqliteStore

ADMIN_TIMEOUT_S = 60
"""A backup of a large ledger takes a while."""


class Operator:
    """Every method does its work durably or raises LedgerError."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def create_key(self, name: str, limit_nusd: int | None, settings: KeySettings) -> dict[str, Any]:
        """{"id", "key"}"""

        async def directly(ledger: Ledger) -> dict[str, Any]:
            key, secret = await admin.create_key(ledger, name, limit_nusd, settings, _now_ms())
            return {"id": key.id, "key": secret}

        made: dict[str, Any] = self._do("POST", "/keys", {"name": name, "limit_nusd": limit_nusd, "settings": settings}, directly)
        return made

    def revoke_key(self, name: str) -> None:
        self._do("DELETE", f"/keys/{quote(name, safe='')}", None, lambda ledger: admin.revoke_key(ledger, name, _now_ms()))

    def set_limit(self, name: str, limit_nusd: int | None) -> None:
        self._do(
            "PUT",
            f"/keys/{quote(name, safe='')}/limit",
            {"limit_nusd": limit_nusd},
            lambda ledger: admin.set_limit(ledger, name, limit_nusd),
        )

    def adjust(self, name: str, nusd: int, reason: str, request: str | None) -> None:
        entry_id = parse_request_text(request) if request else None
        body = {"key": name, "nusd": nusd, "reason": reason, "request": request}
        self._do("POST", "/adjustments", body, lambda ledger: admin.adjust(ledger, name, nusd, reason, _now_ms(), entry_id))

    def back_up(self, target: Path) -> None:
        self._do("POST", "/backup", {"path": str(target)}, lambda ledger: admin.back_up(ledger, target))

    def _do(self, method: str, path: str, body: object, directly: Callable[[Ledger], Awaitable[Any]]) -> Any:
        try:
            with HomeLock(self._home):
                return asyncio.run(self._directly(directly))
        except LedgerError:
            if not self._home.address.exists():
                raise
        return self._through_server(method, path, body)

    async def _directly(self, work: Callable[[Ledger], Awaitable[Any]]) -> Any:
        store = SqliteStore(self._home.ledger, backups=self._home.backups)
        settle_open_holds(store, _now_ms())
        ledger = Ledger(store, self._home.ledger, asyncio.get_running_loop())
        try:
            return await work(ledger)
        finally:
            ledger.close()

    def _through_server(self, method: str, path: str, body: object) -> Any:
        address = msgspec.json.decode(self._home.address.read_bytes())["address"]
        request = urllib.request.Request(
            f"{address}{PREFIX}{path}",
            data=msgspec.json.encode(body) if body is not None else None,
            method=method,
            headers={"authorization": f"Bearer {self._home.admin_token()}", "content-type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: no proxy of the environment
        try:
            with opener.open(request, timeout=ADMIN_TIMEOUT_S) as answer:
                return msgspec.json.decode(answer.read())
        except urllib.error.HTTPError as error:
            raise LedgerError(_reason(error)) from None
        except OSError as error:
            raise LedgerError(f"The serving process at {address} does not answer ({error}).") from None


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(msgspec.json.decode(error.read())["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"the serving process answered {error.code}"


def _now_ms() -> int:
    return int(time.time() * 1000)
