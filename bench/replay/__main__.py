"""Records traffic through real accounts, then replays it under its own policy; prints a table and, as its last line, one JSON object.

The ledgers are written by the very code that serves (decide, take, post), with calls under way at once. Seconds are of CPU, so that others on the
machine count little; replay has one thread. It must come to the same
money, to the nano-dollar, or there is no figure. `rows_per_s` is what reading the same rows alone comes to, in the same run.
"""

import argparse
import asyncio
import gc
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apsw

from bench.gateway import machine
from jevons.core.limits import GC_ALLOCATIONS
from jevons.meter.pricebook import PriceBook, open_book
from jevons.policy.rules import Limit
from jevons.replay.eras import Policy
from jevons.replay.rows import calls
from jevons.replay.run import Recordings
from tests.replay.recorder import START_MS, Recorder, Request

REQUESTS = 100_000
KEYS, RUNS_OF_KEY, CALLS_OF_RUN = 20, 250, 20
GAP_MS = 40
BATCH = 2_000
SEED = 1865
ROUNDS = 3
RICH = 10_000_000
SIX_LEVELS = (
    Limit("org-month", scope="org", usd=RICH, per="month"),
    Limit("org-rate", scope="org", tokens=10**12, per="1h"),
    Limit("team-day", scope="team", usd=RICH, per="day", timezone="Europe/Zurich"),
    Limit("team-week", scope="team", list_usd=RICH, per="week"),
    Limit("key-day", scope="key", usd=RICH, per="24h"),
    Limit("key-burst", scope="key", concurrent=10_000),
    Limit("agent-hour", scope="agent", output_tokens=10**12, per="hour"),
    Limit("run-cost", scope="run", usd=RICH),
    Limit("run-context", scope="run", context_tokens=10**9),
    Limit("child-steps", scope="child", steps=10**9),
)
"""Six levels and ten rules, none in the way: a refused call would be less work."""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--requests", type=int, default=REQUESTS)
    requests = options.parse_args().requests
    gc.freeze()  # as the command does
    gc.set_threshold(GC_ALLOCATIONS, 20, 20)
    with TemporaryDirectory(prefix="jevons-bench-") as folder:
        book = open_book(Path(folder))
        plain = measure(Path(folder) / "plain", book, (), requests)
        full = measure(Path(folder) / "full", book, SIX_LEVELS, requests)
    print(f"{'':28}{'one level':>14}{'six levels, ten rules':>24}")
    for name, what in (
        ("requests", "requests"),
        ("requests_per_s", "replayed a second"),
        ("rows_per_s", "rows read a second"),
        ("billed_nusd", "billed, nano-USD"),
    ):
        print(f"{what:28}{plain[name]:>14,}{full[name]:>24,}")
    print("Both come to the ledger's own money: every entry, every account, to the nano-dollar.")
    figures = {
        "bench": "replay",
        "requests_per_s_plain": plain["requests_per_s"],
        "requests_per_s_full": full["requests_per_s"],
        "rows_per_s": plain["rows_per_s"],
        "requests": requests,
        "machine": machine.facts(),
    }
    print(json.dumps(figures))


def measure(home: Path, book: PriceBook, limits: Sequence[Limit], requests: int) -> dict[str, Any]:
    """Record, replay as it was, compare."""
    home.mkdir()
    asyncio.run(record(home, book, limits, requests))
    ledger = home / "ledger.db"
    recordings = Recordings(home, ledger, book=book)
    best = min(replay_s(recordings) for _ in range(ROUNDS))
    check(recordings, ledger)
    with recordings.reading() as db:
        began = time.process_time()
        rows = sum(1 for _ in calls(db, 0, START_MS * 2))
        reading_s = time.process_time() - began
        billed = db.execute("SELECT sum(billed_nusd) FROM entries").get
    assert rows == requests
    return {
        "requests": requests,
        "requests_per_s": round(requests / best),
        "rows_per_s": round(requests / reading_s),
        "billed_nusd": billed,
    }


def replay_s(recordings: Recordings) -> float:
    began = time.process_time()
    recordings.replay(Policy("as it was", recorded=True))
    return time.process_time() - began


def check(recordings: Recordings, ledger: Path) -> None:
    """Every entry's held, list and billed money, and every key's account."""
    db = apsw.Connection(str(ledger), flags=apsw.SQLITE_OPEN_READONLY)
    money = {entry: tuple(rest) for entry, *rest in db.execute("SELECT id, held_nusd, list_nusd, billed_nusd FROM entries")}
    with recordings.world(Policy("as it was", recorded=True), stops=True) as world:
        found = {}
        world.on_post = lambda held, settled: found.update(
            {held.call.id: (held.amounts[0], settled.list_nusd, settled.billed_nusd)}
        )
        recordings.run(world)
        accounts = {key_id: total.posted for key_id, total in world.totals.items()}
    assert found == money, "the replay is not the ledger"
    assert accounts == dict(db.execute("SELECT key_id, posted_nusd FROM accounts")), "the accounts are not the ledger's"
    db.close()


async def record(home: Path, book: PriceBook, limits: Sequence[Limit], requests: int) -> None:
    """Keys with runs, a third of which other runs started; some sixty calls are under way at any moment."""
    chance = random.Random(SEED)
    recorder = Recorder(home, book, limits)
    for number in range(1, KEYS + 1):
        await recorder.key(number, RICH * 10**9, team=f"team-{number % 4}")
    for n in range(requests):
        assert recorder.ask(request(chance, n))
        if n % BATCH == 0:
            await recorder.written()
    recorder.close()


def request(chance: random.Random, n: int) -> Request:
    run = n // (KEYS * CALLS_OF_RUN) % RUNS_OF_KEY
    own, parent = f"run-{run}", None
    if chance.random() < 1 / 3:
        own, parent = f"run-{run}-child", f"run-{run}"
    tokens = chance.randint(500, 60_000)
    cached = chance.randint(0, tokens - 100)
    return Request(
        key_id=1 + n % KEYS,
        run=own,
        parent=parent,
        agent=("claude-code", "codex", "")[n % 3],
        model=("gpt-4o", "gpt-4o-mini", "gpt-4.1")[n % 3],
        input_tokens=tokens,
        output_cap=chance.choice((None, 4096, 16_000)),
        used_input=tokens - cached,
        used_cached=cached,
        used_output=chance.randint(10, 3000),
        takes_ms=chance.randint(200, 5000),
        at_ms=START_MS + n * GAP_MS,
    )


if __name__ == "__main__":
    main()
