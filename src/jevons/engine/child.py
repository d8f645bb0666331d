"""One engine process from spawn to end. Does not know: restarts, states, what for.

The child's standard input stays open as long as we live: its end is how the child learns that we are gone.
"""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process

import msgspec

from jevons.core.limits import (
    ENGINE_LINE_BYTES_MAX,
    ENGINE_PROBE_EVERY_S,
    ENGINE_PROBE_TIMEOUT_S,
    ENGINE_PROBES_LOST_MAX,
    ENGINE_START_TIMEOUT_S,
    ENGINE_STOP_GRACE_S,
)
from jevons.engine.log import EngineLog
from jevons.engine.settings import Report, ServeOrder


class ChildFailed(Exception):
    """The process never became ready; the message says why, for people."""


class Child:
    """A running engine process; `spawn` makes it, `stop` must be awaited in the end."""

    def __init__(self, process: Process, log: EngineLog) -> None:
        self._process = process
        self._log = log
        self._drain = asyncio.create_task(self._read_log())
        self.pid = process.pid
        self.port = 0
        self.build = ""

    @classmethod
    async def spawn(cls, order: ServeOrder, log: EngineLog) -> "Child":
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # nothing from the current directory
            "-m",
            "jevons.engine.server",
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=ENGINE_LINE_BYTES_MAX,
            start_new_session=True,  # Ctrl-C in a terminal is for the gateway, which lets open requests finish first
        )
        child = cls(process, log)
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        return child

    async def ready(self) -> None:
        """Wait until it listens; sets `port` and `build`. Raises ChildFailed."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(ENGINE_START_TIMEOUT_S):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise ChildFailed(f"it was not ready after {ENGINE_START_TIMEOUT_S:.0f} s") from None
        if not line:
            raise ChildFailed(await self.ended())
        report = msgspec.json.decode(line, type=Report)
        if report.error:
            await self._process.wait()
            await self._drain
            raise ChildFailed(self._log.errors() or report.error)
        self.port, self.build = report.port, report.build

    async def ended(self) -> str:
        """Wait for its end; how it ended, in words."""
        code = await self._process.wait()
        await self._drain
        how = f"it was killed by signal {-code}" if code < 0 else f"it ended with code {code}"
        said = self._log.errors()
        return f"{how}: {said}" if said else how

    async def hung(self) -> str:
        """Wait until it has stopped answering its health probe (its own HTTP threads, not the model); says so."""
        lost = 0
        while lost < ENGINE_PROBES_LOST_MAX:
            await asyncio.sleep(ENGINE_PROBE_EVERY_S)
            lost = 0 if await self._healthy() else lost + 1
        return f"it did not answer {lost} health probes in a row"

    async def _healthy(self) -> bool:
        try:
            async with asyncio.timeout(ENGINE_PROBE_TIMEOUT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                    return (await reader.readline()).startswith(b"HTTP/1.1 200")
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after a grace. Returns when the process is gone."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(ENGINE_STOP_GRACE_S):
                    await self._process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._drain

    async def _read_log(self) -> None:
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # one line longer than the reader's limit; asyncio has dropped it
                continue
            if not line:
                return
            self._log.add(line)
