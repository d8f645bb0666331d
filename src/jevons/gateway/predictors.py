"""What was learnt of routes, as it lies in JEVONS_HOME/routers: loaded before the first request, and again when `jevons routes train` has written anew.

Comes in: files, then requests. Goes out: how probable it is that each model's answer is good enough. An organisation's file is asked for its own requests
alone. Loaded only where a route learns: it needs numpy. Does not know: how predictors are made (`distil`), which probability is enough (`gateway.promises`).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from jevons.core.limits import PREDICTORS_LOOKED_AT_S
from jevons.gateway.promises import Promises
from jevons.gateway.reading import Seen
from jevons.learn.saved import Saved, load, sealed
from jevons.ledger.capture import OrgSealer
from jevons.ledger.errors import LedgerError
from jevons.policy.routes import Route

log = logging.getLogger("jevons.gateway")


class _File(NamedTuple):
    """A file as it was read; None = it cannot be used, and the log said why."""

    written: tuple[int, int]
    """When (ns), and its bytes: with others it is another file."""
    saved: Saved | None


class Predictors:
    """All of an installation, by organisation and route. Lives on one event loop."""

    def __init__(
        self, routes: Iterable[Route], folder: Path, sealer: Callable[[str], OrgSealer] | None, promises: Promises
    ) -> None:
        """`sealer`: of an organisation, for files that were made of captured examples. Raises LedgerError."""
        self._routes = frozenset(route.name for route in routes if route.choose == "learned")
        self._folder = folder
        self._sealer = sealer
        self._promises = promises
        self._files: dict[tuple[str, str], _File] = {}

    def of(self, org: str, route: str, seen: Seen) -> Mapping[str, float]:
        """As `gateway.candidates.Scores`."""
        file = self._files.get((org, route))
        if file is None or file.saved is None:
            return {}
        predictor = file.saved.predictor
        vector = seen.vector if predictor.needs_vector else None
        return dict(zip(predictor.models, predictor.scores(seen.features, vector, seen.question), strict=False))

    async def reload(self) -> None:
        """Look for files that are new or gone. What a new one says of answers that it was not made of begins its promise."""
        before = self._files
        self._files = await asyncio.to_thread(self._read)
        now_ms = int(time.time() * 1000)
        for (org, route), (written, saved) in self._files.items():
            known = before.get((org, route))
            if saved is None or (known is not None and known.written == written):
                continue
            for place, model in enumerate(saved.card.models):
                self._promises.seed(org, route, model, saved.unseen.judged(place), saved.version, now_ms)
            log.info("route %s of %s chooses by what was learnt from %d labels", route, org, saved.card.labels)

    async def keep_up(self) -> None:
        """For ever: whoever trains a route need not restart."""
        while True:
            await asyncio.sleep(PREDICTORS_LOOKED_AT_S)
            await self.reload()

    def _read(self) -> dict[tuple[str, str], _File]:
        """In a thread: what lies there, each file read once."""
        found: dict[tuple[str, str], _File] = {}
        for path in self._folder.glob("*/*.router"):
            org, route = unquote(path.parent.name), unquote(path.stem)
            if route not in self._routes:
                continue
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            written = stat.st_mtime_ns, stat.st_size
            known = self._files.get((org, route))
            found[org, route] = (
                known if known is not None and known.written == written else self._opened(path, org, route, written)
            )
        return found

    def _opened(self, path: Path, org: str, route: str, written: tuple[int, int]) -> _File:
        try:
            sealer = self._sealer(org) if self._sealer is not None and sealed(path) else None
            return _File(written, load(self._folder, org, route, sealer))
        except (LedgerError, FileNotFoundError) as error:
            log.warning("route %s of %s does not choose by what was learnt: %s", route, org, error)
            return _File(written, None)
