"""A hit by similarity as the gateway takes it, but for its entry: among a million answers of one context, and what the million take in memory.

In: vectors that are stored, and texts that are asked. Out: milliseconds from a parsed request to its answer, and bytes of memory an entry. The steps are
the gateway's own: the question, its context and literals, embedding, search, decision, the kept answer. Answers are short: bench-answers measures what
they take.
"""

import gc
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.similar.ways import Floats
from jevons.cache.exact import ExactAnswers, Kept
from jevons.cache.settings import SemanticCacheSettings
from jevons.cache.similar import Near, Place
from jevons.core.ask import Caller, Dialect
from jevons.core.chain import Chain
from jevons.core.usage import Usage
from jevons.embed import Embedder
from jevons.gateway.answers import Wanted
from jevons.gateway.passage import Passage
from jevons.gateway.similar import Looked, SimilarRequests
from jevons.policy.answers import Wish
from jevons.policy.route import Target
from jevons.policy.rules import Who
from jevons.policy.semantic import Proof
from jevons.quant.scan import Code
from jevons.wire.parse import parse
from jevons.wire.question import Question

LIFE_S = 10**6
BODY = b'{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":"In a week."},"finish_reason":"stop"}]}'


def measured(path: Path, texts: Sequence[str]) -> dict[str, float]:
    """All vectors of the file `path` in one context; then `texts` are asked in it, each of them once. Until enough is learnt, none is a hit."""
    stored: Floats = np.load(path, mmap_mode="r")
    settings = SemanticCacheSettings(enabled=True, delta=0.1, ram_mib=1 << 20, max_entries=1 << 30)
    similar, exact = SimilarRequests(settings, LIFE_S, Embedder()), ExactAnswers(1 << 40, LIFE_S)
    keys = [os.urandom(16) for _ in stored]
    answer = Kept(BODY, Usage(20, output=10), int(time.time() * 1000))
    for key in keys:
        exact.keep("org", key, answer)
    place = _in_one_place(similar, exact, texts[0])
    gc.collect()
    before = _own()
    for number, (key, vector) in enumerate(zip(keys, stored, strict=True)):
        similar._store.add(place, similar._coder.encode(vector), key, number, Proof(0.5, 0.01 * number))
    gc.collect()
    taken = (_own() - before) / len(stored)
    return {"bytes_per_entry": round(taken, 1)} | _asked(similar, exact, texts, answer)


def _in_one_place(similar: SimilarRequests, exact: ExactAnswers, text: str) -> Place:
    """Every question belongs to the first one's context from now on; its own is made out all the same, for the time it takes."""
    first = _wanted(text, 0)
    similar.look(first, exact)
    assert isinstance(first.similar, Looked)
    place, make = first.similar.place, similar._place

    def the_same(wanted: Wanted, question: Question) -> Place:
        make(wanted, question)
        return place

    similar._place = the_same  # type: ignore[method-assign]
    return place


def _asked(similar: SimilarRequests, exact: ExactAnswers, texts: Sequence[str], answer: Kept) -> dict[str, float]:
    hits: list[float] = []
    searches: list[float] = []
    search = similar._store.nearest

    def timed(place: Place, code: Code) -> list[Near]:
        began = time.perf_counter()
        near = search(place, code)
        searches.append(time.perf_counter() - began)
        return near

    similar._store.nearest = timed  # type: ignore[method-assign]
    for number, text in enumerate(texts):
        wanted = _wanted(text, number)
        began = time.perf_counter()
        found = similar.look(wanted, exact)
        if found is not None:
            hits.append(time.perf_counter() - began)
        else:
            exact.keep("org", wanted.key, answer)
            similar.keep(wanted, answer, exact)
    p50, p99 = np.percentile(hits, [50, 99]) * 1e3
    return {
        "hits": len(hits),
        "hit_p50_ms": round(float(p50), 4),
        "hit_p99_ms": round(float(p99), 4),
        "hit_search_p50_ms": round(float(np.median(searches) * 1e3), 4),
    }


def _wanted(text: str, number: int) -> Wanted:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    passage = Passage(Caller(1, "k", "org"), Who("org", "", 1, "k", ""), number << 8, Chain((), ()))
    wish = Wish(chosen=True, similar=True)
    return Wanted(parse(Dialect.CHAT, body), passage, Target("u", "m", Dialect.CHAT), wish, number.to_bytes(16), 0, (), b"")


def _own() -> int:
    """Bytes of this process in memory, but for those that lie in files."""
    pages = Path("/proc/self/statm").read_text().split()
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
