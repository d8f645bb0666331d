"""The engine's log: its last lines in memory, and a file of bounded size. No prompts: the child logs errors only."""

import os
from collections import deque
from pathlib import Path

from jevons.core.limits import ENGINE_LOG_BYTES_MAX, ENGINE_LOG_LINES_KEPT


class EngineLog:
    """Lines come in as bytes. Without a path only the last ones are kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: deque[str] = deque(maxlen=ENGINE_LOG_LINES_KEPT)

    def add(self, line: bytes) -> None:
        self._lines.append(line.decode("utf-8", "replace").rstrip())
        if self._path is None:
            return
        try:
            self._write(self._path, line)
        except OSError as error:  # a full disk must not end the engine; say it once and go on in memory
            self._path = None
            self._lines.append(f"engine.log is not written any more: {error}")

    def _write(self, path: Path, line: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            full = os.fstat(descriptor).st_size + len(line) > ENGINE_LOG_BYTES_MAX
            if not full:
                os.write(descriptor, line)
        finally:
            os.close(descriptor)
        if full:
            path.replace(path.with_name(path.name + ".1"))
            self._write(path, line[:ENGINE_LOG_BYTES_MAX])

    def clear(self) -> None:
        """Forget the lines in memory: a new process starts."""
        self._lines.clear()

    def errors(self) -> str:
        """What the engine said was wrong: its first lines of level E without time stamps, else its last line; may be empty."""
        wrong = [line.split(" E ", 1)[1] for line in self._lines if " E " in line]
        return " · ".join(" ".join(line.split()) for line in (wrong or list(self._lines)[-1:])[:3])
