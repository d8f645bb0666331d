"""Operator's writes, and readings of what is held in memory: through the admin API of the process that serves, else straight to the
ledger under the same lock."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from jevons.config import load
from jevons.core.entry import parse_request_text
from jevons.core.limits import IMPORT_BATCH_ROWS, IMPORT_BATCH_ROWS_SERVING
from jevons.gateway.admin import PREFIX
from jevons.ledger import admin, importing, standing
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home, HomeLock
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import Imported, KeySettings, StudentPut
from jevons.ledger.recovery import settle_open_holds
from jevons.ledger.sqlite import SqliteStore
from jevons.policy.rules import Limit

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

    def change_key(self, name: str, changes: admin.KeyChanges) -> dict[str, Any]:
        """All settings of the key, as they are now."""

        async def directly(ledger: Ledger) -> dict[str, Any]:
            return {"settings": msgspec.to_builtins(await admin.change_key(ledger, name, changes, _now_ms()))}

        settings: dict[str, Any] = self._do("PATCH", f"/keys/{_quoted(name)}", changes, directly)["settings"]
        return settings

    def revoke_key(self, name: str) -> None:
        self._do("DELETE", f"/keys/{_quoted(name)}", None, lambda ledger: admin.revoke_key(ledger, name, _now_ms()))

    def set_key_limit(self, name: str, limit_nusd: int | None) -> None:
        body = {"limit_nusd": limit_nusd}
        path = f"/keys/{_quoted(name)}/limit"
        self._do("PUT", path, body, lambda ledger: admin.set_limit(ledger, name, limit_nusd, _now_ms()))

    def limits(self, accounts_max: int) -> dict[str, Any]:
        """Every limit with its accounts (ledger.standing)."""
        path = f"/limits?accounts={accounts_max}"
        found: dict[str, Any] = self._see(path, lambda ledger: standing.limits(ledger, _now_ms(), accounts_max))
        return found

    def put_limit(self, limit: Limit) -> None:
        self._do("PUT", f"/limits/{_quoted(limit.name)}", limit, lambda ledger: admin.put_limit(ledger, limit, _now_ms()))

    def remove_limit(self, name: str) -> None:
        self._do("DELETE", f"/limits/{_quoted(name)}", None, lambda ledger: admin.remove_limit(ledger, name, _now_ms()))

    def engine(self) -> dict[str, Any] | None:
        """What the local engine of the process that serves says of itself; None if nobody serves, or it has none."""
        if not self._home.address.exists():
            return None
        found: dict[str, Any] | None = self._through_server("GET", "/engine", None)["engine"]
        return found

    def forget_parked(self, tag: bytes) -> bool:
        """Tell the engine of the process that serves, if one does. `tag`: empty for all."""
        if not self._home.address.exists():
            return False
        return bool(self._through_server("POST", "/engine/forget", {"tag": tag.hex()})["forgotten"])

    def caches(self) -> dict[str, Any] | None:
        """What the process that serves says of the answers it keeps; None if nobody serves."""
        if not self._home.address.exists():
            return None
        found: dict[str, Any] = self._through_server("GET", "/cache", None)
        return found

    def clear_caches(self, org: str | None) -> dict[str, int] | None:
        """Have the process that serves forget an organisation's answers, or all: how many it had, and questions. None if nobody serves."""
        if not self._home.address.exists():
            return None
        found: dict[str, int] = self._through_server("POST", "/cache/clear", {"org": org})
        return found

    def put_students(self, puts: Sequence[StudentPut]) -> None:
        """States of students, for good; a process that serves heeds them from the next request on."""

        async def directly(ledger: Ledger) -> None:
            await asyncio.gather(*(ledger.writer.submit(put) for put in puts))

        self._do("PUT", "/students", {"puts": puts}, directly)

    def kill(self, subject: str, reason: str) -> dict[str, Any]:
        """The new kill, with the calls under way that it stops."""

        async def directly(ledger: Ledger) -> dict[str, Any]:
            return standing.kill(*await admin.kill(ledger, subject, reason, _now_ms()))

        made: dict[str, Any] = self._do("POST", "/kills", {"subject": subject, "reason": reason}, directly)
        return made

    def kills(self) -> list[dict[str, Any]]:
        async def directly(ledger: Ledger) -> dict[str, Any]:
            return {"kills": standing.kills(ledger)}

        found: list[dict[str, Any]] = self._see("/kills", directly)["kills"]
        return found

    def lift(self, kill_id: int) -> None:
        self._do("DELETE", f"/kills/{kill_id}", None, lambda ledger: admin.lift(ledger, kill_id, _now_ms()))

    def approvals(self, count_max: int) -> list[dict[str, Any]]:
        """Questions, newest first."""

        async def directly(ledger: Ledger) -> dict[str, Any]:
            return {"approvals": standing.approvals(ledger, _now_ms(), count_max)}

        found: list[dict[str, Any]] = self._see(f"/approvals?limit={count_max}", directly)["approvals"]
        return found

    def decide(self, approval_id: str, approved: bool) -> dict[str, Any]:
        """The question as it is answered now."""

        async def directly(ledger: Ledger) -> dict[str, Any]:
            return standing.approval(await admin.decide(ledger, approval_id, approved, _now_ms()), _now_ms())

        decided: dict[str, Any] = self._do("POST", f"/approvals/{_quoted(approval_id)}", {"approve": approved}, directly)
        return decided

    def adjust(self, name: str, nusd: int, reason: str, request: str | None) -> None:
        entry_id = parse_request_text(request) if request else None
        body = {"key": name, "nusd": nusd, "reason": reason, "request": request}
        self._do("POST", "/adjustments", body, lambda ledger: admin.adjust(ledger, name, nusd, reason, _now_ms(), entry_id))

    @contextmanager
    def intake(self) -> Iterator["Intake"]:
        """Where imported rows go: through the serving process, else to the ledger itself, which is this command's until the context ends."""
        with ExitStack() as held:
            try:
                held.enter_context(HomeLock(self._home))
            except LedgerError:
                if not self._home.address.exists():
                    raise
                yield Intake(self._home.ledger, IMPORT_BATCH_ROWS_SERVING, self._import_keys, self._import)
                return
            store = held.enter_context(closing(self._store()))
            settle_open_holds(store, _now_ms())
            importing.make_ready(store)
            yield Intake(
                self._home.ledger,
                IMPORT_BATCH_ROWS,
                lambda wanted: importing.ensure_keys_directly(store, wanted, _now_ms()),
                lambda batch: importing.take_in_directly(store, batch),
            )

    def _import_keys(self, wanted: Sequence[importing.Whose]) -> list[int]:
        ids: list[int] = self._through_server("POST", "/imports/keys", {"sources": wanted})["ids"]
        return ids

    def _import(self, batch: Imported) -> int:
        fresh: int = self._through_server("POST", "/imports", batch, msgspec.msgpack.encode)["fresh"]
        return fresh

    def back_up(self, target: Path) -> None:
        self._do("POST", "/backup", {"path": str(target)}, lambda ledger: admin.back_up(ledger, target))

    def _see(self, path: str, directly: Callable[[Ledger], Awaitable[Any]]) -> Any:
        """A reading: it makes no ledger where there is none. If nobody serves it settles what a crash left open, as any start does."""
        if not self._home.ledger.exists():
            raise LedgerError(f"There is no ledger at {self._home.ledger} yet. `make run` or `jevons serve` makes one.")
        return self._do("GET", path, None, directly)

    def _do(self, method: str, path: str, body: object, directly: Callable[[Ledger], Awaitable[Any]]) -> Any:
        try:
            with HomeLock(self._home):
                return asyncio.run(self._directly(directly))
        except LedgerError:
            if not self._home.address.exists():
                raise
        return self._through_server(method, path, body)

    async def _directly(self, work: Callable[[Ledger], Awaitable[Any]]) -> Any:
        config = load(self._home.config if self._home.config.exists() else None)
        store = self._store()
        settle_open_holds(store, _now_ms())
        ledger = Ledger(store, self._home.ledger, asyncio.get_running_loop(), limits=config.limits)
        try:
            return await work(ledger)
        finally:
            ledger.close()

    def _store(self) -> SqliteStore:
        return SqliteStore(self._home.ledger, audit_key=self._home.secret("audit"), backups=self._home.backups)

    def _through_server(self, method: str, path: str, body: object, encode: Callable[[Any], bytes] = msgspec.json.encode) -> Any:
        address = msgspec.json.decode(self._home.address.read_bytes())["address"]
        request = urllib.request.Request(
            f"{address}{PREFIX}{path}",
            data=encode(body) if body is not None else None,
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


class Intake:
    """The ledger as `jevons.imports` needs it (its `Door`). Readings come from the file, whoever writes it."""

    def __init__(
        self,
        path: Path,
        batch_rows: int,
        keys: Callable[[Sequence[importing.Whose]], list[int]],
        take_in: Callable[[Imported], int],
    ) -> None:
        self.batch_rows, self.keys, self.take_in = batch_rows, keys, take_in
        self.known = partial(importing.known_of, path)
        self.marks = partial(importing.marks, path)
        self.days_with = partial(importing.days_with, path)


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(msgspec.json.decode(error.read())["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"the serving process answered {error.code}"


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _now_ms() -> int:
    return int(time.time() * 1000)
