"""Starts and stops the stand-in for tests, and reads its journal."""

import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.provider.journal import Attempt, read_attempts

ROOT = Path(__file__).parents[2]
CONTROL_TIMEOUT_S = 30


class Provider:
    """The stand-in as a process of its own, as a context manager. `bodies`: keep request bodies in the journal."""

    def __init__(self, tls: bool = False, bodies: bool = False) -> None:
        self._options = [*(["--tls"] if tls else []), *(["--bodies"] if bodies else [])]
        self.url = ""
        """Base URL without a path: what the anthropic SDK wants."""
        self.port = 0
        self.ca: str | None = None
        """Path of the CA's certificate, with `tls`."""
        self.pid = 0

    @property
    def openai_url(self) -> str:
        """Base URL of the OpenAI API: what the openai SDK wants."""
        return self.url + "/v1"

    @property
    def gemini_url(self) -> str:
        """Base URL of Gemini's OpenAI endpoint."""
        return self.url + "/v1beta/openai"

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="provider-")
        self.journal_path = Path(self._folder.name, "journal.jsonl")
        self.journal_path.touch()
        command = [sys.executable, "-m", "tests.provider", "--journal", str(self.journal_path), *self._options]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the stand-in did not start: exit status {self._process.wait()}")
        started = json.loads(line)
        self.url, self.port, self.ca, self.pid = started["url"], started["port"], started["ca"], started["pid"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self._folder.cleanup()

    def stop(self) -> None:
        """Ends the process; the journal can still be read inside the `with` block."""
        self._process.terminate()
        self._process.wait(timeout=CONTROL_TIMEOUT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def script(self, *behaviours: dict[str, Any]) -> None:
        """Queues scripts for the next POST requests, in order. Raises ValueError if one is not understood."""
        self._control("POST", "/_script", json.dumps(behaviours))

    def attempts(self, marker: str | None = None) -> list[Attempt]:
        """Every request so far (of one marker), once none is under way."""
        if self._process.poll() is None:
            self._control("GET", "/_idle")
        return [attempt for attempt in read_attempts(self.journal_path) if marker is None or attempt.marker == marker]

    def attempts_now(self) -> list[Attempt]:
        """Every request so far, finished or not."""
        return read_attempts(self.journal_path)

    def _control(self, method: str, path: str, body: str | None = None) -> None:
        if self.ca:
            context = ssl.create_default_context(cafile=self.ca)
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=CONTROL_TIMEOUT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=CONTROL_TIMEOUT_S)
        try:
            connection.request(method, path, body, {"connection": "close"})
            response = connection.getresponse()
            if response.status != 200:
                raise ValueError(response.read().decode())
        finally:
            connection.close()
