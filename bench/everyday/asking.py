"""One client of the gateway, one question at a time: the answer's text, what it cost, how long it took."""

import json
import time
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

TIMEOUT_S, START_S = 600, 120


class NotReadyError(RuntimeError):
    """The local model is starting."""


class Asked(NamedTuple):
    """An answer."""

    text: str
    body: bytes
    nusd: int
    """As the gateway charged it."""
    seconds: float
    headers: dict[str, str]


class Door(NamedTuple):
    """Where to ask, and as whom."""

    url: str
    key: str

    def warm(self, model: str, body: dict[str, Any]) -> None:
        """Ask until the model is loaded: what all prompts have in common is computed once, and then lies in its slot. Raises RuntimeError."""
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.ask(model, body)
                return
            except NotReadyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def ask(self, model: str, body: dict[str, Any], script: str = "") -> Asked:
        """Raises RuntimeError for an error. `script`: what the stand-in is to say, which no model is shown."""
        wire = HTTPConnection(urlsplit(self.url).netloc, timeout=TIMEOUT_S)
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        since = time.perf_counter()
        wire.request(
            "POST",
            "/v1/chat/completions",
            json.dumps({"model": model, **body}),
            headers | ({"x-stand-in-script": script} if script else {}),
        )
        answer = wire.getresponse()
        data = answer.read()
        wire.close()
        if answer.status == 503:
            raise NotReadyError(f"{model}: {data[:500]!r}")
        if answer.status != 200:
            raise RuntimeError(f"{model}: {answer.status}: {data[:500]!r}")
        told = {name.lower(): value for name, value in answer.getheaders()}
        text = json.loads(data)["choices"][0]["message"]["content"] or ""
        return Asked(text, data, int(told["x-jevons-cost-nusd"]), time.perf_counter() - since, told)
