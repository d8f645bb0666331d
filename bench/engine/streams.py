"""Clients that read streams of Chat Completions, each in a thread: when each token came.

Comes in: an address, a key, bodies. Goes out: per stream the seconds of its first and last token, and how many there were.
"""

import json
import threading
import time
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Stream(NamedTuple):
    """One answer: seconds since all were sent, tokens by the server's own count."""

    first_s: float
    last_s: float
    output_tokens: int
    prompt_tokens: int
    cached_tokens: int
    text: str


class Door(NamedTuple):
    """Where to ask, and as whom."""

    url: str
    key: str

    def ask(self, body: dict[str, Any], since: float) -> Stream:
        """One streamed answer. Raises RuntimeError for any other."""
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=600)
        sent = {**body, "stream": True, "stream_options": {"include_usage": True}}
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(sent), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.read()[:500]!r}")
        first, usage, text = 0.0, {}, ""
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            usage = event.get("usage") or usage
            if event["choices"] and (piece := event["choices"][0]["delta"].get("content")):
                first = first or time.perf_counter() - since
                text += piece
                last = time.perf_counter() - since
        connection.close()
        details = usage.get("prompt_tokens_details") or {}
        return Stream(first, last, usage["completion_tokens"], usage["prompt_tokens"], details.get("cached_tokens", 0), text)

    def ask_all(self, bodies: list[dict[str, Any]]) -> list[Stream]:
        """All at once."""
        found: list[Stream | None] = [None] * len(bodies)
        since = time.perf_counter()

        def one(place: int) -> None:
            found[place] = self.ask(bodies[place], since)

        threads = [threading.Thread(target=one, args=(place,)) for place in range(len(bodies))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if missing := found.count(None):
            raise RuntimeError(f"{missing} of {len(bodies)} streams failed; see above")
        return [one for one in found if one is not None]
