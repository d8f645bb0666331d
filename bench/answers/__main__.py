"""Fills the answer cache with a million answers and asks it: in the store, and over HTTP through a real gateway that has them all.

Answers are chat completions as OpenAI writes them, of 20 to 400 words (log-normal, median 75; about 1.1 KB of JSON), of 5,000 texts, each time under
another id. The store is filled once; each gateway is a fork of this process and shares it. Over HTTP one client asks on one connection, one request
after the other, so each hit waits for a sync of the ledger of its own; with `synchronous = OFF` it is the same without the sync. The first time that a
question is asked (a miss, answered at once by a stand-in provider) is the baseline of the same run. Prints a table and, as its last line, one JSON object.
"""

import argparse
import gc
import itertools
import json
import os
import random
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

import jevons.gateway.answers
from bench.gateway import machine
from jevons.cache.exact import ExactAnswers, Kept
from jevons.config import Config, EngineSection, LedgerSection
from jevons.core.ask import Dialect
from jevons.core.limits import ANSWER_ENTRY_BYTES
from jevons.core.usage import Usage
from jevons.gateway.settings import UpstreamSettings
from jevons.ledger.home import Home
from jevons.policy.answers import key_of
from jevons.policy.route import Target
from jevons.serve import serve
from jevons.wire.parse import parse
from tests.provider import Provider

ENTRIES = 1_000_000
ORGS = 20
LOOKUPS = 200_000
TEXTS = 5_000
QUESTIONS = 500
ROUNDS = 6
PROMPT_WORDS = 300
SEED = 1865
BYTES_MAX = 64 * 2**30
TTL_S = 30 * 86_400
START_TIMEOUT_S = 60


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--entries", type=int, default=ENTRIES)
    options.add_argument("--questions", type=int, default=QUESTIONS)
    chosen = options.parse_args()
    chance = random.Random(SEED)
    words = " ".join(page.read_text(encoding="utf-8") for page in sorted(Path("docs").glob("*.md"))).split()
    store, filled = fill(chosen.entries, chance, words)
    found = filled | looked_up(store, chance) | keyed(chance, words)
    jevons.gateway.answers.ExactAnswers = lambda bytes_max, ttl_s: store  # type: ignore[misc, assignment]
    questions = [question(chance, words, number) for number in range(chosen.questions)]
    with Provider() as provider, TemporaryDirectory(prefix="jevons-bench-") as folder:
        for mode, name in (("FULL", "http"), ("OFF", "http_without_sync")):
            found |= {f"{name}_{what}": ms for what, ms in asked(Path(folder) / mode, mode, provider, questions).items()}
    show(found)


def answers(chance: random.Random, words: Sequence[str]) -> Iterator[bytes]:
    """Chat completions as OpenAI writes them, for ever: of some thousand texts, each time under another id."""
    texts = []
    for _ in range(TEXTS):
        count = max(20, min(400, int(chance.lognormvariate(4.3, 0.6))))
        start = chance.randrange(len(words) - count)
        text = " ".join(words[start : start + count // 2] + chance.sample(words, count - count // 2))
        texts.append((json.dumps(text), count))
    for number in itertools.count():
        text, count = texts[number % TEXTS]
        yield (
            f'{{"id":"chatcmpl-{chance.getrandbits(128):032x}","object":"chat.completion","created":{1790000000 + number},'
            f'"model":"gpt-4o-mini-2024-07-18","choices":[{{"index":0,"message":{{"role":"assistant","content":{text},"refusal":null,'
            f'"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{count * 4},"completion_tokens":{count},'
            f'"total_tokens":{count * 5},"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":'
            '{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},'
            '"service_tier":"default","system_fingerprint":"fp_44709d6fcb"}'
        ).encode()


def key(number: int) -> bytes:
    return blake2b(number.to_bytes(8), digest_size=16).digest()


def fill(entries: int, chance: random.Random, words: Sequence[str]) -> tuple[ExactAnswers, dict[str, Any]]:
    """The store, and what it takes."""
    store, total, now_ms = ExactAnswers(BYTES_MAX, TTL_S), 0, int(time.time() * 1000)
    made = answers(chance, words)
    next(made)  # its texts are not the store's
    gc.collect()
    before_mib, began_s = machine.rss_mib([os.getpid()]), time.monotonic()
    for number, body in enumerate(itertools.islice(made, entries)):
        total += len(body)
        store.keep(f"org-{number % ORGS}", key(number), Kept(body, Usage(input=len(body), output=99), now_ms))
        if number % 200_000 == 199_999:
            print(f"{number + 1:,} answers kept, {time.monotonic() - began_s:.0f} s", flush=True)
    gc.collect()
    used = (machine.rss_mib([os.getpid()]) - before_mib) * 2**20
    packed = store.bytes - entries * ANSWER_ENTRY_BYTES
    return store, {
        "entries": entries,
        "answer_bytes": total // entries,
        "packed_bytes": packed // entries,
        "bytes_beyond_packed": int((used - packed) / entries),
        "bytes_per_million_mib": used / entries * 1e6 / 2**20,
    }


def looked_up(store: ExactAnswers, chance: random.Random) -> dict[str, Any]:
    """Microseconds of one lookup of an answer that is there, and of one that is not."""
    numbers, now_ms = [chance.randrange(len(store)) for _ in range(LOOKUPS)], int(time.time() * 1000)
    places = [(f"org-{number % ORGS}", key(number)) for number in numbers]
    there = timed([partial(store.find, org, name, now_ms) for org, name in places])
    absent = timed([partial(store.find, org, name[::-1], now_ms) for org, name in places])
    return {"hit_p50_us": at(there, 0.5), "hit_p99_us": at(there, 0.99), "absent_p50_us": at(absent, 0.5)}


def keyed(chance: random.Random, words: Sequence[str]) -> dict[str, Any]:
    """Microseconds to the key of a parsed request."""
    asks = [parse(Dialect.CHAT, question(chance, words, number)) for number in range(QUESTIONS)]
    target = Target("openai", "gpt-4o-mini", Dialect.CHAT)
    times = timed([partial(key_of, bytes(32), "org", target, ask, (), b"") for ask in asks])
    return {"key_p50_us": at(times, 0.5), "request_bytes": sum(len(ask.body) for ask in asks) // len(asks)}


def timed(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Microseconds of each."""
    times = []
    for call in calls:
        began_ns = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - began_ns) / 1e3)
    return sorted(times)


def at(times: Sequence[float], share: float) -> float:
    return times[int(share * len(times))]


def question(chance: random.Random, words: Sequence[str], number: int) -> bytes:
    """A request of about 2 KB that nobody else makes."""
    text = f"Question {number}: " + " ".join(chance.sample(words, PROMPT_WORDS))
    messages = [
        {"role": "system", "content": "You are a helpful assistant. Answer in one sentence."},
        {"role": "user", "content": text},
    ]
    return json.dumps({"model": "gpt-4o-mini", "temperature": 0, "max_tokens": 200, "messages": messages}).encode()


def asked(home: Path, synchronous: Any, provider: Provider, questions: Sequence[bytes]) -> dict[str, float]:
    """Milliseconds of a whole answer over HTTP: the first time each question is asked, and the times after."""
    table = UpstreamSettings(name="openai", base_url=provider.openai_url, key="sk-key", provider="openai", retries=0)
    config = Config(
        port=0, upstreams=(table,), engine=EngineSection(enabled=False), ledger=LedgerSection(synchronous=synchronous)
    )
    place = Home(home)
    child = os.fork()
    if not child:
        try:
            serve(config, place, greet=False)
        finally:
            os._exit(0)
    try:
        return _asked(place, questions)
    finally:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


def _asked(home: Home, questions: Sequence[bytes]) -> dict[str, float]:
    address, secret = reached(home)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {secret}\r\nx-jevons-cache: exact\r\n"
    requests = [
        f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body for body in questions
    ]
    with socket.create_connection(address) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        misses = timed([partial(one, wire, request, b"miss") for request in requests])
        hits = timed([partial(one, wire, request, b"hit") for request in requests * ROUNDS])
    return {"miss_p50_ms": at(misses, 0.5) / 1e3, "hit_p50_ms": at(hits, 0.5) / 1e3, "hit_p99_ms": at(hits, 0.99) / 1e3}


def reached(home: Home) -> tuple[tuple[str, int], str]:
    """((host, port), a key's secret) of the gateway, once it serves."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            address: str = msgspec.json.decode(home.address.read_bytes())["address"]
            headers = {"authorization": f"Bearer {home.admin_token()}", "content-type": "application/json"}
            made = urllib.request.Request(f"{address}/jevons/v1/admin/keys", b'{"name":"bench"}', headers)
            with urllib.request.urlopen(made) as answered:
                secret: str = json.load(answered)["key"]
        except OSError:  # it is starting
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            host, _, port = address.removeprefix("http://").partition(":")
            return (host, int(port)), secret


def one(wire: socket.socket, request: bytes, word: bytes) -> None:
    """Ask, and read the whole answer; it must be of that kind."""
    wire.sendall(request)
    data = wire.recv(65536)
    while (border := data.find(b"\r\n\r\n")) < 0:
        data += wire.recv(65536)
    head = data[:border].lower()
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(data) < border + 4 + length:
        data += wire.recv(65536)
    assert head.startswith(b"http/1.1 200") and b"x-jevons-cache: " + word in head, data[:500]


def show(found: dict[str, Any]) -> None:
    for name, what in (
        ("entries", "answers kept"),
        ("answer_bytes", "bytes of an answer"),
        ("packed_bytes", "  of these kept, compressed"),
        ("bytes_beyond_packed", "bytes of memory beyond these, an answer"),
        ("bytes_per_million_mib", "MiB of memory for a million"),
        ("hit_p50_us", "us to find one in the store, median"),
        ("hit_p99_us", "  99 of 100"),
        ("absent_p50_us", "us to find that there is none"),
        ("request_bytes", "bytes of a request"),
        ("key_p50_us", "us to its key, median"),
        ("http_hit_p50_ms", "ms of a hit over HTTP, entry synced, median"),
        ("http_hit_p99_ms", "  99 of 100"),
        ("http_miss_p50_ms", "ms of a miss, its provider answering at once"),
        ("http_without_sync_hit_p50_ms", "ms of a hit, entry written and not synced"),
        ("http_without_sync_miss_p50_ms", "ms of a miss, the same"),
    ):
        value = found[name]
        print(f"{what:46}{value:>14,.0f}" if value >= 100 or isinstance(value, int) else f"{what:46}{value:>14,.2f}")
    figures = {
        "bench": "answers",
        "exact_hit_p50_us": round(found["hit_p50_us"], 1),
        "exact_hit_p99_us": round(found["hit_p99_us"], 1),
        "exact_hit_http_p50_ms": round(found["http_hit_p50_ms"], 3),
        "exact_hit_http_without_sync_p50_ms": round(found["http_without_sync_hit_p50_ms"], 3),
        "exact_miss_http_p50_ms": round(found["http_miss_p50_ms"], 3),
        "exact_bytes_per_million_mib": round(found["bytes_per_million_mib"]),
        "exact_bytes_beyond_answer": found["bytes_beyond_packed"],
        "entries": found["entries"],
        "machine": machine.facts(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
