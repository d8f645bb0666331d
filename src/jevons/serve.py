"""Composition root: builds the parts from the configuration and runs them until a stop signal.

Order matters: the lock, then the ledger with every open hold of a crash settled, then the port. Nothing is served before.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvicorn
import uvloop

from jevons.config import Config, ConfigError
from jevons.core.ask import Ask, Caller
from jevons.core.limits import (
    ENGINE_WAIT_S,
    GC_ALLOCATIONS,
    LOCAL_CONTEXT_TOKENS,
    LOCAL_SLOTS,
    NOTES_EVERY_S,
    PROMISE_LABELS_MAX,
    SHUTDOWN_GRACE_S,
    SHUTDOWN_SETTLE_S,
)
from jevons.core.refusal import Kind, Refusal
from jevons.dashboard.pages import Pages
from jevons.dashboard.session import SECRET
from jevons.embed import Embedder, MissingEmbedderError, missing
from jevons.embed.language import Languages
from jevons.engine.front.labels import labels
from jevons.engine.install import install
from jevons.engine.park.sealing import tenant_tag
from jevons.engine.process import Engine, EngineState
from jevons.engine.settings import BUILD_FILE, PARK_FOLDER, PLANS_FOLDER, EngineSettings, ParkSettings
from jevons.gateway.admin import AdminApi
from jevons.gateway.answers import Answers, Similar
from jevons.gateway.app import App
from jevons.gateway.auth_upstream import Bearer
from jevons.gateway.gate import Gate
from jevons.gateway.governor import Governor
from jevons.gateway.health import KIND, Health
from jevons.gateway.labelling import Labelling
from jevons.gateway.metrics import Metrics
from jevons.gateway.prefixes import Prefixes
from jevons.gateway.probes import Probes
from jevons.gateway.promises import KIND as PROMISE
from jevons.gateway.promises import Promises
from jevons.gateway.reading import Reading
from jevons.gateway.routing import Router
from jevons.gateway.settings import UpstreamSettings
from jevons.gateway.showing import Listener
from jevons.gateway.spots import Spots
from jevons.gateway.trimming import Trimmer
from jevons.gateway.unseen import Asides
from jevons.gateway.upstreams import Live, live, table_of
from jevons.ledger import admin
from jevons.ledger.capture import FILE as CAPTURED
from jevons.ledger.capture import SECRET as CAPTURE_SECRET
from jevons.ledger.capture import Captured
from jevons.ledger.home import Home, HomeLock, write_private
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import KeySettings, StudentPut
from jevons.ledger.recovery import settle_open_holds
from jevons.ledger.routing import latest_labels, learnt
from jevons.ledger.routing import students as registered
from jevons.ledger.sqlite import SqliteStore
from jevons.meter.pricebook import open_book
from jevons.meter.tokens import preload
from jevons.policy.promise import Judged
from jevons.policy.route import Table, offered
from jevons.policy.routes import STUDENT, check
from jevons.welcome import Welcome

if TYPE_CHECKING:
    from jevons.gateway.capturing import Capturing
    from jevons.gateway.predictors import Predictors
    from jevons.gateway.students import Students
    from jevons.learn.student import Student, Tried

log = logging.getLogger("jevons")
STOPS = (signal.SIGINT, signal.SIGTERM)


def serve(config: Config, home: Home, *, greet: bool = True) -> None:
    """Serve until SIGINT or SIGTERM. `greet`: say how to use it. Raises LedgerError, ConfigError, BadOverride, BrokenBook: all for the operator."""
    with HomeLock(home):
        uvloop.run(_serve(config, home, greet=greet))


async def _serve(config: Config, home: Home, *, greet: bool) -> None:
    sock = _listen(config)
    early = asyncio.Event()  # a signal while it starts ends what was started, in order
    for number in STOPS:
        asyncio.get_running_loop().add_signal_handler(number, early.set)
    store = SqliteStore(home.ledger, audit_key=home.secret("audit"), synchronous=config.ledger.synchronous, backups=home.backups)
    settled = settle_open_holds(store, _now_ms())
    ledger = Ledger(store, home.ledger, asyncio.get_running_loop(), limits=config.limits, durable=config.ledger.enabled)
    welcome = Welcome(config, home)
    captured: Captured | None = None
    engine = _engine(config, home, welcome.engine_changed) if config.engine.enabled else None
    try:
        address = f"http://{_shown(config.host)}:{sock.getsockname()[1]}"
        governor = Governor(ledger, home.secret("installation"), config.governor, config.access)
        governor.address = config.governor.public_url or address
        governor.recall(_now_ms())
        pages = Pages(ledger, home.path, home.secret(SECRET), home.admin_token(), config.engine.model)
        if greet and config.cache.semantic.enabled:
            welcome.preparing()
        embedder = await _embedder(config)
        answers = Answers(config.cache.answers, await _similar(config, embedder))
        reading = await _reading(config, home, embedder) if config.routes or config.capture.on else None
        promises = _promises(config, home, ledger)
        captured = _captured(config, home)
        students = _students(config, home, ledger, embedder, captured, promises)
        capturing = _capturing(config, ledger, embedder, captured, students, promises, reading)
        predictors = _predictors(config, home, captured, promises)
        app = _app(config, home, ledger, engine, governor, pages, answers, reading, promises, students, predictors, capturing)
        keeping_up: asyncio.Task[None] | None = None
        if predictors is not None:
            await predictors.reload()
            keeping_up = asyncio.create_task(predictors.keep_up())
        if students is not None:
            await students.reload()
        if capturing is not None:
            capturing.start()
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
            await _run(app, sock, pages.live.close)
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


def _app(
    config: Config,
    home: Home,
    ledger: Ledger,
    engine: Engine | None,
    governor: Governor,
    pages: Pages,
    answers: Answers,
    reading: Reading | None,
    promises: Promises | None,
    students: "Students | None",
    predictors: "Predictors | None",
    capturing: "Capturing | None",
) -> App:
    metrics = Metrics(ledger)
    prefixes = Prefixes(config.cache.prompt, home.secret("installation"))
    metrics.add(prefixes)
    gate = Gate(ledger, open_book(home.path), governor, prefixes, metrics.count)
    try:
        lives = {settings.name: live(settings) for settings in config.upstreams}
        settings = list(config.upstreams)
        if engine is not None and "local" not in lives:
            lives["local"] = _local(engine, home.secret("installation"))
            settings.append(lives["local"].settings)
        if students is not None:
            lives[students.live.settings.name] = students.live
            settings.append(students.live.settings)
        table = table_of(settings, list(config.models))
        told = reading.languages.known if reading is not None and reading.languages is not None else frozenset()
        check(config.routes, config.classes, lambda name: offered(table, name) is not None, told)
    except ValueError as error:
        raise ConfigError(f"jevons.toml: {error}.") from None
    health = Health(ledger.writer.submit)
    health.recall(learnt(home.ledger, KIND))
    metrics.add(health)
    Probes(health, lives)
    spots = Spots(gate, lives, health)
    router = Router(table, gate, lives, config.routes, reading, promises)
    router.candidates.students = students
    if capturing is not None:
        metrics.add(capturing)
    router.candidates.scores = predictors
    router.candidates.wait_ms = health.wait_ms
    api = AdminApi(ledger, home.admin_token(), answers, engine, health, students).application()

    def ready() -> str:
        if ledger.writer.failing:
            return f"the ledger cannot be written: {ledger.writer.failing}"
        if engine is not None and set(lives) == {"local"} and engine.state is not EngineState.READY:
            return f"the local model is not ready: {engine.detail}"
        return ""

    trimmer = _trimmer(config, home)
    labelling = _labelling(config, gate, lives, Asides(gate, spots), table, promises, reading, capturing)
    listeners: tuple[Listener, ...] = () if labelling is None else labelling.listeners
    if labelling is not None:
        metrics.add(labelling.shadows)
    return App(
        gate,
        lives,
        table,
        metrics,
        answers,
        spots,
        api,
        pages.application(),
        config.hosts,
        ready,
        router,
        trimmer,
        listeners if capturing is None else (*listeners, capturing),  # last: shadows teach it until they end
        labelling.feedback if labelling is not None else None,
        labelling.cascades if labelling is not None else None,
    )


def _labelling(
    config: Config,
    gate: Gate,
    lives: dict[str, Live],
    asides: Asides,
    table: Table,
    promises: Promises | None,
    reading: Reading | None,
    capturing: "Capturing | None",
) -> Labelling | None:
    """What finds out how good answers are; None where there are no routes."""
    if not config.routes:
        return None
    embedder = reading.embedder if reading is not None else None
    likeness = None if embedder is None else lambda one, other: float(embedder.vector(one) @ embedder.vector(other))
    taught = None if capturing is None else capturing.taught
    try:
        labelling = Labelling(gate, lives, asides, table, config.routes, promises, likeness, taught)
    except ValueError as error:
        raise ConfigError(f"jevons.toml: {error}.") from None
    labelling.recall()
    return labelling


def _promises(config: Config, home: Home, ledger: Ledger) -> Promises | None:
    """What is promised of models that a route chooses by what it learns."""
    learning = [route.name for route in config.routes if route.choose != "first"]
    if not learning:
        return None
    promises = Promises(config.routes, ledger.writer.submit)
    judged = (label for route in learning for label in latest_labels(home.ledger, route, PROMISE_LABELS_MAX))
    promises.recall(learnt(home.ledger, PROMISE), judged)
    return promises


def _captured(config: Config, home: Home) -> Captured | None:
    """The file of captured examples, where somebody opted in, or a route has what is sealed under a key of it: a student, or what it learnt of such
    examples before."""
    sealed = any(model.startswith(STUDENT) for route in config.routes for model in route.to) or (
        any(route.choose == "learned" for route in config.routes) and (home.path / CAPTURED).exists()
    )
    if config.capture.on or sealed:
        return Captured(home.path / CAPTURED, home.secret(CAPTURE_SECRET))
    return None


def _students(
    config: Config, home: Home, ledger: Ledger, embedder: Embedder | None, captured: Captured | None, promises: Promises | None
) -> "Students | None":
    """The students that routes name; their versions are loaded by `reload`."""
    named = {route.name: [model for model in route.to if model.startswith(STUDENT)] for route in config.routes}
    if not any(named.values()) or embedder is None or captured is None or promises is None:
        return None
    from jevons.gateway.students import Ready, Students  # noqa: PLC0415  numpy is for those who name students
    from jevons.learn import student_file  # noqa: PLC0415

    folder = home.path / student_file.FOLDER

    def opened(put: StudentPut) -> tuple["Student", "Sequence[Tried]"]:
        sealer = captured.sealer(put.org)
        return student_file.load(folder, put.name, put.version, sealer), student_file.trial(folder, put.name, put.version, sealer)

    def begun(ready: Ready) -> None:
        trial = [Judged(one.score, one.harm) for one in ready.trial]
        for route, names in named.items():
            if f"{STUDENT}{ready.put.name}" in names:
                promises.seed(ready.put.org, route, ready.model, trial, str(ready.put.version), ready.put.at_ms)

    students = Students(lambda: registered(home.ledger), opened, embedder.vector, ledger.writer.submit, begun)
    promises.on_withdrawn = students.withdrawn
    return students


def _predictors(config: Config, home: Home, captured: Captured | None, promises: Promises | None) -> "Predictors | None":
    """What was learnt of routes; the files are read by `reload`."""
    if promises is None or all(route.choose != "learned" for route in config.routes):
        return None
    from jevons.gateway.predictors import Predictors  # noqa: PLC0415  numpy is for those whose routes learn
    from jevons.learn.place import FOLDER  # noqa: PLC0415

    return Predictors(config.routes, home.path / FOLDER, None if captured is None else captured.sealer, promises)


def _capturing(
    config: Config,
    ledger: Ledger,
    embedder: Embedder | None,
    captured: Captured | None,
    students: "Students | None",
    promises: Promises | None,
    reading: Reading | None,
) -> "Capturing | None":
    """What keeps answers for students, and holds them against what students would have said."""
    if reading is None or (students is None and not config.capture.on):
        return None
    try:
        from jevons.gateway.capturing import Capturing  # noqa: PLC0415  it knows students, and they need numpy
    except ModuleNotFoundError as error:
        raise ConfigError(f"jevons.toml: [capture] names somebody. {missing(error.name or 'numpy')}") from None

    embed = None if embedder is None else embedder.vector
    return Capturing(config.capture, captured, students, promises, config.routes, reading, embed, ledger.writer.submit)


async def _embedder(config: Config) -> Embedder | None:
    """One for the whole process, where anything is compared by meaning. In a thread: it is read from the disk."""
    for wanted, what in (
        (config.cache.semantic.enabled, "[cache.semantic] is enabled"),
        (any(route.classes for route in config.routes), "a route names classes"),
        (any(route.choose != "first" for route in config.routes), "a route learns"),
    ):
        if wanted:
            try:
                return await asyncio.to_thread(Embedder)
            except MissingEmbedderError as error:
                raise ConfigError(f"jevons.toml: {what}. {error}") from None
    return None


async def _similar(config: Config, embedder: Embedder | None) -> Similar | None:
    """What knows the answers to similar requests. In a thread: where its loops are not compiled yet, that takes seconds."""
    settings = config.cache.semantic
    if not settings.enabled or embedder is None:
        return None
    if not config.cache.answers.ram_mib:
        raise ConfigError(
            "jevons.toml: [cache.semantic] gives what [cache.answers] keeps; set ram_mib of [cache.answers] above 0."
        )
    try:
        return await asyncio.to_thread(_load_similar, config, embedder)
    except ModuleNotFoundError as error:
        raise ConfigError(f"jevons.toml: [cache.semantic] is enabled. {missing(error.name or 'numba')}") from None


def _load_similar(config: Config, embedder: Embedder) -> Similar:
    from jevons.gateway.similar import SimilarRequests  # noqa: PLC0415  numpy and numba are for those who enabled it

    return SimilarRequests(config.cache.semantic, config.cache.answers.ttl_s, embedder)


async def _reading(config: Config, home: Home, embedder: Embedder | None) -> Reading:
    """What reads requests for routes. In a thread: the model of languages takes most of a second."""
    languages = classes = None
    if any(route.languages for route in config.routes):
        try:
            languages = await asyncio.to_thread(Languages)
        except MissingEmbedderError as error:
            raise ConfigError(f"jevons.toml: a route names languages. {error}") from None
    if embedder is not None and config.classes:
        from jevons.gateway.classes import Classes  # noqa: PLC0415  numpy is for those who name classes

        classes = await asyncio.to_thread(Classes, config.classes, embedder.vector)
    return Reading(home.secret("installation"), embedder, languages, classes)


def _trimmer(config: Config, home: Home) -> Trimmer | None:
    settings = config.cache.trim
    return Trimmer(settings, home.secret("installation")) if settings.enabled else None


async def _flush_notes(governor: Governor) -> None:
    """Once a minute what was counted of denials goes to the audit log."""
    while True:
        await asyncio.sleep(NOTES_EVERY_S)
        governor.flush_notes(_now_ms())


def _local(engine: Engine, secret: bytes) -> Live:
    """The engine as an upstream: its address and key are new at each of its starts. It learns whose conversation a call goes on."""

    async def address() -> str:
        if not engine.base_url and not await engine.wait_ready(ENGINE_WAIT_S):
            raise Refusal(
                Kind.UNAVAILABLE, 503, f"The local model is not ready: {engine.detail}.", code="engine_not_ready", retry_after_s=2
            )
        return engine.base_url

    def conversation(ask: Ask, caller: Caller) -> list[tuple[str, str]]:
        return labels(secret, caller.org, ask.messages)

    settings = UpstreamSettings(name="local", kind="local", auth="bearer")
    return Live(settings, Bearer(lambda: engine.api_key), address, conversation)


def _engine(config: Config, home: Home, on_change: Callable[[Engine], None]) -> Engine:
    section = config.engine
    settings = EngineSettings(
        model=Path(section.model).expanduser() if section.model else None,
        threads=section.threads or None,
        slots=section.slots or LOCAL_SLOTS,
        context_tokens=section.context_tokens or LOCAL_CONTEXT_TOKENS,
        kv_type=section.kv_type,
        park=_park(config, home),
        builds=home.path / BUILD_FILE,
        log_file=home.path / "engine.log",
    )
    return Engine(settings, install=install, on_change=on_change)


def _park(config: Config, home: Home) -> ParkSettings:
    section, secret = config.engine.park, home.secret("installation")
    return ParkSettings(
        ram_bytes=section.ram_mib * 2**20,
        disk_bytes=section.disk_gib * 2**30,
        disk_folder=str(home.path / PARK_FOLDER),
        disk_tags=tuple([tenant_tag(secret, org).hex() for org in section.disk_orgs]),
        retention_s=section.retention_h * 3600.0,
        kld_max=section.kld_max,
        bytes_per_token_max=section.bytes_per_token_max,
        secret=home.secret("park").hex(),
        plans=str(home.path / PLANS_FOLDER),
    )


async def _run(app: App, sock: socket.socket, stopping: Callable[[], None]) -> None:
    """Serve until a signal. `stopping` is called at the first: what would stay open for ever ends."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a stream that we cut on purpose is no news
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(SHUTDOWN_GRACE_S),
        )
    )
    with_signals = asyncio.get_running_loop()

    def stop(number: int) -> None:
        stopping()
        server.handle_exit(number, None)

    for number in STOPS:
        with_signals.add_signal_handler(number, stop, number)
    await server._serve([sock])
    await _cut_off(server.server_state.tasks)


async def _cut_off(calls: set[asyncio.Task[None]]) -> None:
    """Calls that outlived the grace, or a second signal: each is cancelled and settled before the ledger closes."""
    for call in calls:
        if not call.cancelling():  # once is enough: a second would strike what settles it
            call.cancel()
    if calls:
        await asyncio.wait(calls, timeout=SHUTDOWN_SETTLE_S)


def _listen(config: Config) -> socket.socket:
    """Bind before anything else is started, so that a taken port is said at once."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((config.host, config.port))
    except OSError as error:
        sock.close()
        raise ConfigError(
            f"Cannot listen on {config.host}:{config.port} ({error.strerror}). Set JEVONS_PORT to a free port."
        ) from None
    return sock


def _shown(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)


def _now_ms() -> int:
    return int(time.time() * 1000)
