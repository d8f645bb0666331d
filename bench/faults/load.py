"""Callers on loopback: each asks again as soon as it is answered, every other time for a stream; what each answer was, and how long it took.

Comes in: a gateway's address, a key, a model name. Goes out: answers in the order of their begin. Does not know: what is behind the gateway.
"""

import http.client
import json
import threading
import time
import uuid
from typing import NamedTuple
from urllib.parse import urlsplit

TIMEOUT_S = 60


class Answered(NamedTuple):
    """One call as its client saw it."""

    mark: str
    """Stands in its prompt: by it the provider's books are found."""
    stream: bool
    good: bool
    """A whole answer with its text."""
    status: int
    seconds: float
    first_s: float
    """To the first byte of the body."""
    request: str


def run(url: str, key: str, model: str, calls: int, callers: int) -> list[Answered]:
    """So many calls in all."""
    left, lock, found = [calls], threading.Lock(), list[Answered]()

    def caller() -> None:
        while True:
            with lock:
                if not left[0]:
                    return
                left[0] -= 1
                stream = left[0] % 2 == 0
            answered = call(url, key, model, stream=stream)
            with lock:
                found.append(answered)

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def call(url: str, key: str, model: str, *, stream: bool) -> Answered:
    """One call on a connection of its own."""
    mark = uuid.uuid4().hex
    body = {"model": model, "max_tokens": 100, "stream": stream, "messages": [{"role": "user", "content": f"Say {mark}."}]}
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=TIMEOUT_S)
    begun = time.perf_counter()
    status, request, first_s, data, whole = 0, "", 0.0, b"", False
    try:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        status, request = answer.status, answer.headers.get("x-jevons-request-id", "")
        data = answer.read1(65_536)
        first_s = time.perf_counter() - begun
        data += answer.read()
        whole = True
    except (http.client.HTTPException, OSError):
        pass
    finally:
        connection.close()
    good = (
        whole
        and status == 200
        and (data.rstrip().endswith(b"data: [DONE]") and b'"error"' not in data if stream else _is_answer(data))
    )
    return Answered(mark, stream, good, status, time.perf_counter() - begun, first_s, request)


def _is_answer(data: bytes) -> bool:
    try:
        return bool(json.loads(data)["choices"][0]["message"]["content"])
    except (ValueError, KeyError, IndexError, TypeError):
        return False
