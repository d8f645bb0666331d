"""What tests of the governor over real sockets share: limits and kills of the operator, calls under way in threads, agents' turns."""

import http.client
import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from tests.gateway.asking import PATHS, TIMEOUT_S, Gateway, Got, Key, connection, marker

MODELS = {"chat": "gpt-4o", "messages": "claude-sonnet-4-5", "responses": "gpt-4o"}
"""One that shows all its output, for each dialect."""
FIRST_WORD = {"chat": b'"content":"one', "messages": b'"text":"one', "responses": b'"delta":"one'}
LONG = {"reply": " ".join(["one", *["more"] * 299]), "chunks": 300, "delay_ms": 50}
"""An answer of 15 seconds."""


def limit(gateway: Gateway, key: Key | None = None, name: str = "", **members: Any) -> str:
    """A limit set while serving, for one key unless `members` say otherwise. Returns its name."""
    name = name or f"limit-{uuid.uuid4().hex[:8]}"
    got = gateway.admin("PUT", f"/limits/{name}", ({"key": key.name} if key else {}) | members)
    assert got.status == 200, got.body
    return name


def account(gateway: Gateway, name: str, subject: str = "") -> dict[str, Any]:
    """A limit's one account (of that subject), as the operator sees it."""
    found = gateway.admin("GET", f"/limits/{name}").json["accounts"]
    [one] = [one for one in found if subject in ("", one["subject"])]
    return dict(one)


@contextmanager
def killed(gateway: Gateway, subject: str, reason: str = "") -> Iterator[float]:
    """Stopped within the block. Gives the instant (time.monotonic) at which the admin API had answered."""
    got = gateway.admin("POST", "/kills", {"subject": subject, "reason": reason})
    answered_s = time.monotonic()
    assert got.status == 200, got.body
    try:
        yield answered_s
    finally:
        assert gateway.admin("DELETE", f"/kills/{got.json['id']}").status == 200


class Call:
    """A call under way in a thread: what came of it so far, and when it ended."""

    def __init__(self, gateway: Gateway, key: Key, door: str, body: dict[str, Any], **headers: str) -> None:
        self._heard = b""
        self._changed = threading.Condition()
        self._got: Got | None = None
        self._ended_s = 0.0
        self._ask = (gateway, PATHS.get(door, door), json.dumps(body).encode(), gateway.headers(key, **headers))
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.join(TIMEOUT_S)

    def heard(self, word: bytes) -> None:
        """Wait until the client has heard it."""
        with self._changed:
            assert self._changed.wait_for(lambda: word in self._heard or self._got is not None, TIMEOUT_S)
            assert word in self._heard, self._got

    @property
    def seen(self) -> bytes:
        """What came so far of the body."""
        with self._changed:
            return self._heard

    @property
    def under_way(self) -> bool:
        with self._changed:
            return self._got is None

    def end(self) -> tuple[Got, float]:
        """(all that came, the instant at which it ended)."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._got is not None, TIMEOUT_S)
            assert self._got is not None
            return self._got, self._ended_s

    def _run(self) -> None:
        gateway, path, body, headers = self._ask
        with connection(gateway.url) as wire:
            wire.request("POST", path, body, headers)
            answer = wire.getresponse()
            whole = self._read(answer)
            ended_s = time.monotonic()
        head = {name.lower(): value for name, value in answer.getheaders()}
        with self._changed:
            self._got, self._ended_s = Got(answer.status, head, self._heard, whole), ended_s
            self._changed.notify_all()

    def _read(self, answer: http.client.HTTPResponse) -> bool:
        """To the end; False if it was cut."""
        while True:
            try:
                data = answer.read1()
            except (http.client.IncompleteRead, ConnectionError):
                return False
            if not data:
                return True
            with self._changed:
                self._heard += data
                self._changed.notify_all()


def error_in(got: Got, door: str) -> dict[str, Any]:
    """The error with which an answer ended: its body's, or the last event's in its dialect."""
    if got.headers["content-type"] == "application/json":
        return got.error
    name, data = got.events[-1]
    said: dict[str, Any] = json.loads(data)
    if door == "responses":
        assert name == said["type"] == "error", got.events[-1]
        return said
    assert name == ("error" if door == "messages" else "")
    return dict(said["error"])


def wait_until(done: Any) -> None:
    """Until `done()` is true: what the other side does is asked for, not waited for."""
    deadline = time.monotonic() + TIMEOUT_S
    while not done():
        assert time.monotonic() < deadline, done
        time.sleep(0.005)


def run_id() -> str:
    return f"run-{marker()[:12]}"


class Talk:
    """A conversation of an agent as its next request repeats it, in any dialect."""

    def __init__(self, door: str, opening: str = "Find it.") -> None:
        self.door = door
        self._items: list[dict[str, Any]] = []
        self.user(opening)

    def user(self, text: str) -> Self:
        self._items.append({"role": "user", "content": text})
        return self

    def assistant(self, text: str) -> Self:
        self._items.append({"role": "assistant", "content": text})
        return self

    def tool(self, name: str, arguments: dict[str, Any], result: str) -> Self:
        """The model called it, and this came back."""
        number = f"call_{len(self._items)}"
        if self.door == "responses":
            self._items += [
                {"type": "function_call", "call_id": number, "name": name, "arguments": json.dumps(arguments)},
                {"type": "function_call_output", "call_id": number, "output": result},
            ]
        elif self.door == "messages":
            called = {"type": "tool_use", "id": number, "name": name, "input": arguments}
            returned = {"type": "tool_result", "tool_use_id": number, "content": result}
            self._items += [{"role": "assistant", "content": [called]}, {"role": "user", "content": [returned]}]
        else:
            called = {"id": number, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            self._items += [
                {"role": "assistant", "content": None, "tool_calls": [called]},
                {"role": "tool", "tool_call_id": number, "content": result},
            ]
        return self

    def body(self, model: str = "", **members: Any) -> dict[str, Any]:
        """The request that it makes now."""
        caps = {"max_output_tokens": 100} if self.door == "responses" else {"max_tokens": 100}
        said = {"input" if self.door == "responses" else "messages": list(self._items)}
        return {"model": model or MODELS[self.door], **said, **caps, **members}
