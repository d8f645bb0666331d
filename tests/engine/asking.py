"""Plain HTTP to a running engine, for tests."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

READY_S = 60.0
"""How long a test waits for an engine on a loaded machine; alone it takes one second."""


class Asker:
    """Asks one running engine; remembers its address and key as they are now."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.address = urlsplit(base_url).netloc
        self.headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}

    @contextmanager
    def open(self, method: str, path: str, body: object = None) -> Iterator[HTTPResponse]:
        with closing(HTTPConnection(self.address, timeout=90)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), self.headers)
            with closing(connection.getresponse()) as answer:
                yield answer

    def post(self, path: str, body: object) -> tuple[int, Any]:
        with self.open("POST", path, body) as answer:
            return answer.status, json.loads(answer.read())

    def post_raw(self, path: str, body: bytes) -> tuple[int, bytes]:
        with closing(HTTPConnection(self.address, timeout=90)) as connection:
            connection.request("POST", path, body, self.headers)
            with closing(connection.getresponse()) as answer:
                return answer.status, answer.read()

    def get(self, path: str) -> tuple[int, str]:
        with self.open("GET", path) as answer:
            return answer.status, answer.read().decode()

    def events(self, path: str, body: object) -> list[Any]:
        """The data of every event of a stream; "[DONE]" as it is."""
        with self.open("POST", path, body) as answer:
            return list(data_of(answer))


def data_of(answer: HTTPResponse) -> Iterator[Any]:
    for line in answer:
        if line.startswith(b"data: "):
            text = line.removeprefix(b"data: ").strip()
            yield text.decode() if text == b"[DONE]" else json.loads(text)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
