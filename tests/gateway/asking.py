"""One running gateway with a stand-in provider behind it, as tests use them: keys, questions, what the ledger and the provider wrote down."""

import gzip
import http.client
import json
import re
import time
import uuid
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jevons.core.entry import parse_request_text
from jevons.core.price import charge
from jevons.core.usage import Usage
from jevons.ledger.bill import accounts, reading, request_entries
from jevons.ledger.home import Home
from jevons.meter.pricebook import PriceBook, open_book, with_request_unit
from jevons.wire.sse import events
from tests.provider import Attempt, Bill, Provider
from tests.running import Jevons

TIMEOUT_S = 60
PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "count_tokens": "/v1/messages/count_tokens",
}


@dataclass(frozen=True)
class Got:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool
    """The HTTP body ended as its framing says; False if the connection was cut."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[tuple[str, bytes]]:
        """(name, data) of each event; comments are passed over."""
        return [(name, data) for name, data, _ in events(self.body) if data]

    @property
    def request(self) -> str:
        return self.headers["x-jevons-request-id"]

    @property
    def error(self) -> dict[str, Any]:
        """The error object, whichever dialect."""
        found: dict[str, Any] = self.json["error"]
        return found


@dataclass(frozen=True)
class Key:
    id: int
    name: str
    secret: str


def prompt(text: str = "Say hello.", **script: Any) -> str:
    """A user's text with a script for the stand-in."""
    return f"{text} @@{json.dumps(script)}" if script else text


def body_of(door: str, model: str, stream: bool = False, cap: int | None = 100, text: str = "", **script: Any) -> dict[str, Any]:
    """A small request of any dialect, the script in its text."""
    said = text or prompt(**script)
    if door == "embeddings":
        return {"model": model, "input": said}
    body: dict[str, Any] = {"model": model}
    body |= {"input": said} if door == "responses" else {"messages": [{"role": "user", "content": said}]}
    if door == "count_tokens":
        return body
    if stream:
        body["stream"] = True
    if cap is not None:
        body["max_output_tokens" if door == "responses" else "max_tokens"] = cap
    return body


@contextmanager
def connection(url: str) -> Iterator[http.client.HTTPConnection]:
    made = http.client.HTTPConnection(url.partition("://")[2], timeout=TIMEOUT_S)
    try:
        yield made
    finally:
        made.close()


def ask(url: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Got:
    """One request on a connection of its own."""
    with connection(url) as wire:
        wire.request(method, path, body, headers or {})
        answer = wire.getresponse()
        try:
            data, whole = answer.read(), True
        except http.client.IncompleteRead as error:
            data, whole = error.partial, False
        except ConnectionError:
            data, whole = b"", False
        return Got(answer.status, {name.lower(): value for name, value in answer.getheaders()}, data, whole)


class Journal:
    """The stand-in's journal, read on from where the last look ended: it grows to many megabytes."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._offset = 0
        self._marked: dict[str, list[str]] = {}
        self._lines: dict[str, dict[str, dict[str, Any]]] = {}

    def attempts(self, marker: str) -> list[Attempt]:
        self._read_on()
        return [self._attempt(request) for request in self._marked.get(marker, ())]

    def _read_on(self) -> None:
        with self._provider.journal_path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            record = json.loads(line)
            self._lines.setdefault(record["id"], {})[record["line"]] = record
            if record["line"] == "received":
                for marker in [record["marker"]] if record["marker"] else markers_in(record):
                    self._marked.setdefault(marker, []).append(record["id"])

    def _attempt(self, request: str) -> Attempt:
        lines = self._lines[request]
        billed = lines.get("billed")
        bill, usage = (Bill(**billed["bill"]), billed["usage"]) if billed else (None, None)
        return Attempt(request, lines["received"], bill, usage, lines.get("ended"))


def markers_in(received: dict[str, Any]) -> list[str]:
    """The stand-in reads no scripts in texts to embed."""
    return (
        re.findall(r"\b[0-9a-f]{32}\b", b64decode(received["body"] or "").decode(errors="replace"))
        if received["door"] == "embeddings"
        else []
    )


@dataclass
class Gateway:
    """A gateway under test and the stand-in behind it."""

    jevons: Jevons
    provider: Provider
    journal: "Journal" = field(init=False)
    _book: PriceBook = field(init=False)

    def __post_init__(self) -> None:
        self.journal = Journal(self.provider)
        self._book = open_book(self.jevons.home)

    @property
    def url(self) -> str:
        return self.jevons.url

    def admin(self, method: str, path: str, body: object = None, token: str | None = None) -> Got:
        """The admin API, with its token."""
        token = Home(self.jevons.home).admin_token() if token is None else token
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        return ask(self.url, method, "/jevons/v1/admin" + path, data, headers)

    def key(self, limit_nusd: int | None = None, **settings: Any) -> Key:
        """A new key with a name of its own."""
        name = f"key-{uuid.uuid4().hex[:8]}"
        got = self.admin("POST", "/keys", {"name": name, "limit_nusd": limit_nusd, "settings": settings})
        assert got.status == 200, got.body
        return Key(got.json["id"], name, got.json["key"])

    def post(self, path: str, key: Key | None, body: object, **headers: str) -> Got:
        """POST; `path` may be a dialect's name, a header's name is written with _ for -."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return ask(self.url, "POST", PATHS.get(path, path), data, self.headers(key, **headers))

    def get(self, path: str, key: Key | None = None, **headers: str) -> Got:
        return ask(self.url, "GET", path, None, self.headers(key, **headers))

    def headers(self, key: Key | None, **headers: str) -> dict[str, str]:
        own = {"content-type": "application/json"} | ({"authorization": f"Bearer {key.secret}"} if key else {})
        return own | {name.replace("_", "-"): value for name, value in headers.items()}

    def entries_of(self, got: Got) -> list[dict[str, Any]]:
        """All attempts of one answered request. Its end waited for their posts, unless it broke."""
        first = parse_request_text(got.request)
        assert first is not None
        return request_entries(self.jevons.ledger, first, 16)

    def entry_of(self, got: Got) -> dict[str, Any]:
        [entry] = self.entries_of(got)
        return entry

    def ids(self, key: Key) -> list[int]:
        """Entries of a key by id, oldest first."""
        with reading(self.jevons.ledger) as db:
            return [row[0] for row in db.execute("SELECT id FROM entries WHERE key_id = ? ORDER BY id", (key.id,))]

    def entries(self, key: Key) -> list[dict[str, Any]]:
        return [request_entries(self.jevons.ledger, entry_id, 1)[0] for entry_id in self.ids(key)]

    def settled(self, key: Key, count: int) -> list[dict[str, Any]]:
        """A key's entries, once there are `count` and it has no open hold: the client may be gone before that."""
        deadline = time.monotonic() + TIMEOUT_S
        while len(self.ids(key)) < count or self.account(key)["held_nusd"]:
            assert time.monotonic() < deadline, f"{len(self.ids(key))} of {count} entries, {self.account(key)}"
            time.sleep(0.01)
        return self.entries(key)

    def account(self, key: Key) -> dict[str, Any]:
        return next(one for one in accounts(self.jevons.ledger) if one["id"] == key.id)

    def attempts(self, marker: str) -> list[Attempt]:
        """What the stand-in received with this marker, in order. It reads no scripts in texts to embed."""
        return self.journal.attempts(marker)

    def attempt(self, marker: str) -> Attempt:
        """The one request with this marker, once the stand-in has done with it."""
        deadline = time.monotonic() + TIMEOUT_S
        while not (found := self.attempts(marker)) or found[0].ended is None:
            assert time.monotonic() < deadline, f"the stand-in is not done with {marker}: {found}"
            time.sleep(0.01)
        assert len(found) == 1
        return found[0]

    def cost_nusd(self, provider: str, model: str, bill: Bill | None) -> int:
        """What the stand-in's bill comes to at list price."""
        if bill is None:
            return 0
        price = self._book.price(provider, model, int(time.time() * 1000))
        assert price is not None
        searches = (("web_searches", bill.searches),) if bill.searches else ()
        usage = Usage(
            bill.input, bill.cache_read, bill.cache_write_5m, bill.cache_write_1h, bill.output, bill.reasoning, searches
        )
        return charge(with_request_unit(usage, price), price).nusd


def marker() -> str:
    """A name by which one test's requests are found in the stand-in's journal."""
    return uuid.uuid4().hex


def zipped(body: object) -> bytes:
    return gzip.compress(json.dumps(body).encode())
