"""The local engine as the gateway sees it: a state, an address, a key; and the supervisor that keeps a process behind them.

Comes in: `EngineSettings`, and optionally how to install missing packages. Goes out: `state` and `detail` for people, `base_url`
and `api_key` for requests. A crash, a hang or a long prefill happens in the child; nothing here waits for it but the supervisor.
Does not know: requests, dialects, prices.

    engine = Engine(EngineSettings(log_file=home / "engine.log"))
    await engine.start()                      # returns at once
    if await engine.wait_ready(30): ...       # engine.base_url + "/v1/chat/completions", Authorization: Bearer engine.api_key
    await engine.stop()
"""

import asyncio
import contextlib
import enum
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from jevons.core.limits import (
    ENGINE_CRASHES_MAX,
    ENGINE_PARTS_POLL_S,
    ENGINE_PROBE_TIMEOUT_S,
    ENGINE_RESTART_FIRST_S,
    ENGINE_RESTART_MAX_S,
    ENGINE_RETRY_S,
    ENGINE_STABLE_S,
)
from jevons.engine.child import Child, ChildFailed
from jevons.engine.front.inner import Inner, InnerFailed
from jevons.engine.gguf import NotGguf
from jevons.engine.install import InstallError, Progress, install_command, missing
from jevons.engine.log import EngineLog
from jevons.engine.models import Model, find_model, read_model
from jevons.engine.settings import EngineSettings, ServeOrder, default_threads, usable_cores


class EngineState(enum.StrEnum):
    ABSENT = "absent"
    """Its packages are not installed; they are looked for again every few seconds."""
    INSTALLING = "installing"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    """It ended by itself; the next start is at most seconds away."""
    FAILED = "failed"
    """It ended or would not start several times in a row; tried again every minute."""
    STOPPED = "stopped"
    """`stop` was called, or `start` was not."""


class Installer(Protocol):
    def __call__(self, on_progress: Callable[[Progress], None]) -> Awaitable[object]: ...


def restart_delay_s(failures: int) -> float:
    """Seconds to wait after that many ends in a row (>= 1): doubling to a ceiling, then the slow rhythm of a failed engine."""
    if failures >= ENGINE_CRASHES_MAX:
        return ENGINE_RETRY_S
    return float(min(ENGINE_RESTART_FIRST_S * 2 ** (failures - 1), ENGINE_RESTART_MAX_S))


class Engine:
    """One local engine. All methods belong to one event loop."""

    def __init__(
        self,
        settings: EngineSettings,
        *,
        install: Installer | None = None,
        on_change: Callable[["Engine"], None] | None = None,
    ) -> None:
        """`install` is tried once when packages are missing; `on_change` is called after every change of `state` or `detail`."""
        self.settings = settings
        self.state = EngineState.STOPPED
        self.detail = "not started"
        """What is going on, and what to do about it: one sentence for people."""
        self.model: Model | None = None
        self.api_key = ""
        """Bearer token of the running process, new at every start; empty unless ready."""
        self.pid: int | None = None
        self.restarts = 0
        """Times it ended by itself since `start`."""
        self.progress: Progress | None = None
        """While installing."""
        self.build = ""
        """What computes, in a sentence; of the process that was ready last."""
        self._base_url = ""
        self._install = install
        self._on_change = on_change
        self._log = EngineLog(settings.log_file)
        self._changed = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def base_url(self) -> str:
        """ "http://127.0.0.1:PORT" of the running process; empty unless ready."""
        return self._base_url

    async def start(self) -> None:
        """Begin to supervise; returns at once. A second call does nothing."""
        if self._supervisor is None:
            self._supervisor = asyncio.create_task(self._supervise(), name="jevons-engine")
            self._supervisor.add_done_callback(self._over)

    async def stop(self) -> None:
        """End the process and wait until it is gone. `start` may follow."""
        if self._supervisor is None:
            return
        self._supervisor.cancel()
        await asyncio.gather(self._supervisor, return_exceptions=True)
        self._supervisor = None
        self._become(EngineState.STOPPED, "stopped")

    async def wait_ready(self, timeout_s: float) -> bool:
        """True once it is ready; False when the time is over, or at once where waiting is in vain (absent, failed, stopped)."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.state is not EngineState.READY:
                    vain = self.state in (EngineState.ABSENT, EngineState.FAILED)
                    if vain or self._supervisor is None:
                        return False
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def status(self) -> "Status":
        """How it is, for people and programs; with what its park says of itself, while it is ready."""
        park = await _parked(self._base_url, self.api_key) if self.state is EngineState.READY else None
        model = self.model.title if self.model else ""
        return Status(self.state, self.detail, model, self.build, self.pid, self.restarts, self.settings.slots, park)

    async def forget(self, tag: bytes | None) -> bool:
        """Forget a tenant's conversations, or everybody's, in the slots and in the park. Whether the engine was there to do so."""
        if self.state is not EngineState.READY:
            return False
        return await _ask(self._base_url, self.api_key, "POST", "/jevons/park/forget", (tag or b"").hex().encode()) is not None

    def _over(self, supervisor: asyncio.Task[None]) -> None:
        """A supervisor ends only by `stop`; should it ever fail, the state must not go on claiming anything else."""
        if not supervisor.cancelled() and (error := supervisor.exception()):
            self._become(EngineState.FAILED, f"the supervisor of the local engine failed: {error!r}; restart Jevons")

    def _become(self, state: EngineState, detail: str) -> None:
        self.state, self.detail = state, detail
        if state is not EngineState.READY:
            self._base_url, self.api_key, self.pid = "", "", None
        if state is not EngineState.INSTALLING:
            self.progress = None
        self._changed.set()
        if self._on_change is not None:
            self._on_change(self)

    async def _supervise(self) -> None:
        await self._have_parts()
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            if failures < ENGINE_CRASHES_MAX:
                self._become(EngineState.STARTING, "starting")
            reason, ready_s = await self._run(loop)
            failures = 1 if ready_s >= ENGINE_STABLE_S else failures + 1
            self.restarts += 1
            delay_s = restart_delay_s(failures)
            if failures < ENGINE_CRASHES_MAX:
                self._become(EngineState.RESTARTING, f"the local engine stopped: {reason}; it starts again in {delay_s:g} s")
            else:
                self._become(EngineState.FAILED, self._failure(reason, delay_s))
            await asyncio.sleep(delay_s)

    def _failure(self, reason: str, delay_s: float) -> str:
        log = f" (log: {self.settings.log_file})" if self.settings.log_file else ""
        return f"the local engine keeps failing: {reason}{log}; it is tried again every {delay_s:.0f} s"

    async def _run(self, loop: asyncio.AbstractEventLoop) -> tuple[str, float]:
        """One process from spawn to end: why it ended, and for how many seconds it had been ready."""
        try:
            model = self._find()
        except (OSError, NotGguf) as error:
            return str(error), 0.0
        if model is None:
            return "the model's package has disappeared", 0.0
        self.model = model
        order = ServeOrder(
            model=str(model.path),
            alias=self.settings.alias,
            threads=self.settings.threads or default_threads(usable_cores()),
            slots=self.settings.slots,
            context_tokens=min(self.settings.context_tokens, model.context_tokens or self.settings.context_tokens),
            api_key=secrets.token_urlsafe(32),
            kv_type=self.settings.kv_type,
            park=self.settings.park,
            builds=str(self.settings.builds or ""),
        )
        self._log.clear()
        try:
            child = await _whole(Child.spawn(order, self._log))
        except OSError as error:
            return f"its process cannot be started: {error}", 0.0
        try:
            await child.ready()
            since = loop.time()
            self._base_url, self.api_key, self.pid = f"http://127.0.0.1:{child.port}", order.api_key, child.pid
            self.build = child.build
            self._become(EngineState.READY, f"{model.title} ({model.label or model.source})")
            return await _first(child.ended(), child.hung()), loop.time() - since
        except ChildFailed as error:
            return str(error), 0.0
        finally:
            await child.stop()

    def _find(self) -> Model | None:
        return read_model(self.settings.model) if self.settings.model else find_model()

    def _absent(self) -> list[str]:
        """Packages that are still to be installed."""
        return missing(weights=self.settings.model is None)

    async def _have_parts(self) -> None:
        """Return once engine and weights are installed: by us, or by somebody while we look on."""
        absent = self._absent()
        if not absent:
            return
        why = f"{' and '.join(absent)} not installed; install with: {install_command()}"
        if self._install is not None:
            self._become(EngineState.INSTALLING, "installing the local model")
            try:
                await self._install(self._installing)
            except InstallError as error:
                why = str(error)
        while self._absent():
            if self.state is not EngineState.ABSENT:
                self._become(EngineState.ABSENT, f"no local model: {why}")
            await asyncio.sleep(ENGINE_PARTS_POLL_S)

    def _installing(self, progress: Progress) -> None:
        self.progress = progress
        self._become(EngineState.INSTALLING, f"installing the local model: {progress}")


class Status(msgspec.Struct, frozen=True):
    """An engine at one moment."""

    state: EngineState
    detail: str
    model: str
    build: str
    pid: int | None
    restarts: int
    slots: int
    park: msgspec.Raw | None
    """JSON (park.Stats); None: nothing is parked, or it cannot be asked now."""


async def _parked(base_url: str, api_key: str) -> msgspec.Raw | None:
    body = await _ask(base_url, api_key, "GET", "/jevons/park", b"")
    return msgspec.Raw(body) if body not in (None, b"null") else None


async def _ask(base_url: str, api_key: str, method: str, path: str, body: bytes) -> bytes | None:
    """What the engine's front answers; None if it does not, or says no."""
    answer = None
    try:
        async with asyncio.timeout(ENGINE_PROBE_TIMEOUT_S):
            answer = await Inner(urlsplit(base_url).port or 0, api_key).send(method, path, body)
            said = await answer.body()
    except (InnerFailed, TimeoutError):
        return None
    finally:
        if answer is not None:
            answer.close()
    return said if answer.status == 200 else None


async def _whole(spawning: Coroutine[None, None, Child]) -> Child:
    """A child that is being made is made to its end, also if nobody wants it any more: half a process cannot be stopped."""
    task = asyncio.ensure_future(spawning)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            await (await task).stop()
        raise


async def _first(*outcomes: Awaitable[str]) -> str:
    """Result of whichever ends first; the others are cancelled."""
    tasks = [asyncio.ensure_future(outcome) for outcome in outcomes]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
