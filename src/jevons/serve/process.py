"""The serving process, from its lock to its end: what is built, in which order, and what is closed again.

Order matters: the lock, then the ledger with every open hold of a crash settled, then the port. Nothing is served before.
"""

import asyncio
import gc
import os
import time

import msgspec
import uvloop

from jevons.config import Config
from jevons.core.limits import GC_ALLOCATIONS, NOTES_EVERY_S
from jevons.dashboard.pages import Pages
from jevons.dashboard.session import SECRET
from jevons.gateway.answers import Answers
from jevons.gateway.governor import Governor
from jevons.ledger import admin
from jevons.ledger.capture import Captured
from jevons.ledger.home import Home, HomeLock, write_private
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import KeySettings
from jevons.ledger.recovery import settle_open_holds
from jevons.ledger.sqlite import SqliteStore
from jevons.meter.tokens import preload
from jevons.serve.app import app_of
from jevons.serve.learning import captured_of, learning_of
from jevons.serve.local import engine_of
from jevons.serve.meaning import embedder_of, similar_of
from jevons.serve.port import STOPS, listen, run, shown
from jevons.welcome import Welcome


def serve(config: Config, home: Home, *, greet: bool = True) -> None:
    """Serve until SIGINT or SIGTERM. `greet`: say how to use it. Raises LedgerError, ConfigError, BadOverride, BrokenBook: all for the operator."""
    with HomeLock(home):
        uvloop.run(_serve(config, home, greet=greet))


async def _serve(config: Config, home: Home, *, greet: bool) -> None:
    sock = listen(config)
    early = asyncio.Event()  # a signal while it starts ends what was started, in order
    for number in STOPS:
        asyncio.get_running_loop().add_signal_handler(number, early.set)
    store = SqliteStore(home.ledger, audit_key=home.secret("audit"), synchronous=config.ledger.synchronous, backups=home.backups)
    settled = settle_open_holds(store, _now_ms())
    ledger = Ledger(store, home.ledger, asyncio.get_running_loop(), limits=config.limits, durable=config.ledger.enabled)
    welcome = Welcome(config, home)
    captured: Captured | None = None
    engine = engine_of(config, home, welcome.engine_changed) if config.engine.enabled else None
    try:
        address = f"http://{shown(config.host)}:{sock.getsockname()[1]}"
        governor = Governor(ledger, home.secret("installation"), config.governor, config.access)
        governor.address = config.governor.public_url or address
        governor.recall(_now_ms())
        pages = Pages(ledger, home.path, home.secret(SECRET), home.admin_token(), config.engine.model)
        if greet and config.cache.semantic.enabled:
            welcome.preparing()
        embedder = await embedder_of(config)
        answers = Answers(config.cache.answers, await similar_of(config, embedder))
        captured = captured_of(config, home)
        learning = await learning_of(config, home, ledger, embedder, captured)
        app = app_of(config, home, ledger, engine, governor, pages, answers, learning)
        keeping_up = await learning.start()
        notes = asyncio.create_task(_flush_notes(governor))
        first_key = ""
        if all(key.settings.source for key in ledger.keys.values()):  # those of imports are nobody's to call with
            _, first_key = await admin.create_key(ledger, "default", None, KeySettings(), _now_ms())
        sock.listen()  # whoever learns the address now may connect at once, and waits for the rest
        write_private(home.address, msgspec.json.encode({"pid": os.getpid(), "address": address}).decode())
        if engine is not None:
            await engine.start()
        preload("o200k_base")  # in a thread: the first count of a vocabulary would wait a tenth of a second for it
        if greet:
            welcome.show(address, first_key, settled)
        gc.freeze()  # what was built to start with stays; collections look only at what requests leave behind,
        gc.set_threshold(GC_ALLOCATIONS, 20, 20)  # and seldom: a request makes hundreds of objects, next to none in cycles
        if not early.is_set():
            await run(app, sock, pages.live.close)
        await answers.checks.close()
        for listener in app.listeners:
            await listener.close()
        notes.cancel()
        if keeping_up is not None:
            keeping_up.cancel()
        governor.flush_notes(_now_ms())
    finally:
        home.address.unlink(missing_ok=True)
        if engine is not None:
            await engine.stop()
        ledger.close()
        if captured is not None:
            captured.close()


async def _flush_notes(governor: Governor) -> None:
    """Once a minute what was counted of denials goes to the audit log."""
    while True:
        await asyncio.sleep(NOTES_EVERY_S)
        governor.flush_notes(_now_ms())


def _now_ms() -> int:
    return int(time.time() * 1000)
