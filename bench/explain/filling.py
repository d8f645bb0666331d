"""Fills a ledger with as many entries as are asked for: of the real schema, consistent to the last sum, written in bulk.

    python -m bench.explain.filling HOME ENTRIES DAYS

Comes in: an empty home folder, a number of entries, a number of days, a seed. Goes out: the ledger in it. What the gateway would have written one
by one is written by whole days here: a task is drawn, SQL makes its calls of it, and sums are made of the calls. Does not know: who asks what of it.
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import apsw

from jevons.ledger.ops import Key, KeyCreated, KeySettings
from jevons.ledger.rollup import COSTS, DAY_MS, HOUR_MS, MEASURES, MINUTE_MS, MINUTES_KEPT
from jevons.ledger.sqlite import SqliteStore

FIRST_DAY = 20_700
KEYS = 24
TEAMS = 8
AGENTS = ("claude-code", "codex", "opencode", "nightly-review")
CALLS_OF_A_TASK = 12
LOOSE = 0.1
"""Share of calls outside any run."""


class Rate(NamedTuple):
    """A model under one of its tariffs: nano-USD for a token of input, cache read, cache write, output."""

    upstream: str
    target: str
    tariff: str
    input: int
    cache_read: int
    cache_write: int
    output: int
    tier: str


RATES = (
    Rate("anthropic", "claude-opus-4-5", "", 5_000, 500, 6_250, 25_000, "frontier"),
    Rate("anthropic", "claude-sonnet-4-5", "", 3_000, 300, 3_750, 15_000, "frontier"),
    Rate("anthropic", "claude-sonnet-4-5", ">200000", 6_000, 600, 7_500, 22_500, "frontier"),
    Rate("anthropic", "claude-haiku-4-5", "", 1_000, 100, 1_250, 5_000, "commodity"),
    Rate("openai", "gpt-5.1", "", 1_250, 125, 1_250, 10_000, "frontier"),
    Rate("openai", "gpt-5.1", "service_tier=flex", 625, 62, 625, 5_000, "frontier"),
    Rate("openai", "gpt-5-mini", "", 250, 25, 250, 2_000, "commodity"),
    Rate("google", "gemini-2.5-pro", "", 1_250, 125, 1_250, 10_000, "frontier"),
    Rate("google", "gemini-2.5-flash", "", 300, 30, 300, 2_500, "commodity"),
    Rate("x-ai", "grok-4", "", 3_000, 750, 3_000, 15_000, "frontier"),
    Rate("deepseek", "deepseek-chat", "", 280, 28, 280, 420, "commodity"),
    Rate("mistral", "mistral-medium-3.1", "", 400, 400, 400, 2_000, "commodity"),
)

_TASKS = """
CREATE TEMP TABLE task (first INTEGER, calls INTEGER, key_id INTEGER, agent TEXT, run_id TEXT, rate INTEGER, input INTEGER, grows INTEGER,
                        cached INTEGER, output INTEGER);
CREATE TEMP TABLE rate (id INTEGER PRIMARY KEY, upstream TEXT, target TEXT, tariff TEXT, input INTEGER, cache_read INTEGER, cache_write INTEGER,
                        output INTEGER, tier TEXT);
CREATE TEMP TABLE n (n INTEGER PRIMARY KEY);
CREATE TEMP TABLE call AS SELECT id, key_id, agent, run_id, model, target, upstream, tariff, tier, input, cache_read, cache_write_5m, output,
    billed_nusd AS input_nusd, billed_nusd AS cache_read_nusd, billed_nusd AS cache_write_5m_nusd, billed_nusd AS output_nusd
    FROM entries WHERE 0;
"""
_CALLS = """
INSERT INTO call
SELECT (:day_ms + (first + n) * :apart_ms) << 18, key_id, agent, run_id, target, target, upstream, tariff, tier, fresh, kept, wrote, made,
       fresh * input, kept * cache_read, wrote * cache_write, made * output
FROM (
    SELECT task.first, n.n, task.key_id, task.agent, task.run_id, rate.*,
           (task.input + n.n * task.grows) * (100 - task.cached) / 100 AS fresh, (task.input + n.n * task.grows) * task.cached / 100 AS kept,
           iif(task.cached > 0, task.grows / 4, 0) AS wrote, 1 + task.output * (3 + (n.n * 7 + task.input) % 5) / 5 AS made
    FROM task JOIN n ON n.n < task.calls JOIN rate ON rate.id = task.rate
)
"""
_ENTRIES = """
INSERT INTO entries (id, key_id, run_id, dialect, model, target, upstream, stream, outcome, status, input, cache_read, cache_write_5m,
    cache_write_1h, output, reasoning, lines, list_nusd, billed_nusd, held_nusd, overrun_nusd, estimate, input_bound, price_book, price_row,
    chain, messages, finish, settled_ms, first_byte_ms, agent, terms, held_order, posted_order, source, requests, unknown, tariff, tier)
SELECT id, key_id, run_id, 'chat', model, target, upstream, 1, 'ok', 200, input, cache_read, cache_write_5m, 0, output, 0,
    printf('[["input",%d,%d,1],["cache_read",%d,%d,1],["cache_write_5m",%d,%d,1],["output",%d,%d,1]]', input, input_nusd, cache_read,
        cache_read_nusd, cache_write_5m, cache_write_5m_nusd, output, output_nusd),
    input_nusd + cache_read_nusd + cache_write_5m_nusd + output_nusd, input_nusd + cache_read_nusd + cache_write_5m_nusd + output_nusd,
    2 * (input_nusd + cache_read_nusd + cache_write_5m_nusd + output_nusd), 0, '', 'exact', 'bench', upstream || '/' || target, x'00', 2, 'stop',
    (id >> 18) + 4000, 600, agent, x'', 0, 0, '', 1, '', tariff, tier
FROM call
"""
_COST = "input_nusd + cache_read_nusd + cache_write_5m_nusd + output_nusd"
_SUMS = f"count(*), count(*), sum(input), sum(cache_read), sum(cache_write_5m), 0, sum(output), 0, sum({_COST}), sum({_COST}), 0"
"""Of a call: the columns `MEASURES`."""
_OF_DAYS = f"{_SUMS}, sum(run_id IS NULL), sum(input_nusd), sum(cache_read_nusd), sum(cache_write_5m_nusd), 0, sum(output_nusd)"


def fill(home: Path, entries: int, days: int, seed: int = 1) -> Path:
    """Makes the ledger. What `jevons doctor` adds up, adds up."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "ledger.db"
    store = SqliteStore(path, synchronous="OFF")
    store.apply(
        [
            KeyCreated(
                Key(n, f"key-{n}", bytes([n]) * 32, "", FIRST_DAY * DAY_MS, settings=KeySettings(team=f"team-{n % TEAMS + 1}"))
            )
            for n in range(1, KEYS + 1)
        ]
    )
    store.close()
    rng = random.Random(seed)
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "OFF")
    db.pragma("synchronous", "OFF")
    db.pragma("cache_size", -512 * 1024)
    db.pragma("temp_store", "MEMORY")
    db.execute(_TASKS)
    db.executemany("INSERT INTO rate VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [(place, *rate) for place, rate in enumerate(RATES)])
    db.executemany("INSERT INTO n VALUES (?)", [(n,) for n in range(4 * CALLS_OF_A_TASK)])
    crews = [(key_id, agent) for key_id in range(1, KEYS + 1) for agent in AGENTS]
    for place in range(days):
        wanted = entries * (place + 1) // days - entries * place // days
        _write_day(db, FIRST_DAY + place, wanted, list(_tasks(rng, crews, wanted, place)), FIRST_DAY + days)
    db.execute(
        "UPDATE accounts SET posted_nusd = (SELECT sum(billed_nusd) FROM rollup_day WHERE rollup_day.key_id = accounts.key_id)"
    )
    db.execute("DROP TABLE temp.call")
    db.execute("ANALYZE")
    db.pragma("journal_mode", "WAL")
    db.close()
    return path


def _tasks(rng: random.Random, crews: list[tuple[int, str]], calls: int, place: int) -> Iterator[tuple[object, ...]]:
    """Tasks with so many calls in all; models come and go and contexts grow as days pass."""
    first = number = 0
    weights = [1 + abs((place * 3 + 17 * rate) % 90 - 45) / 15 for rate in range(len(RATES))]
    while first < calls:
        number += 1
        key_id, agent = rng.choice(crews)
        loose = rng.random() < LOOSE
        n = 1 if loose else min(calls - first, 4 * CALLS_OF_A_TASK - 1, 1 + int(rng.expovariate(1 / CALLS_OF_A_TASK)))
        run = None if loose else f"{place:03d}-{number:06d}"
        size = int(rng.lognormvariate(8.5, 0.8) * (1 + place / 100))
        cached = rng.choice((0, 40, 70, 85, 90))
        rate = rng.choices(range(len(RATES)), weights)[0]
        yield first, n, key_id, agent, run, rate, size, rng.randint(200, 2_000), cached, int(rng.lognormvariate(6, 0.7))
        first += n


def _write_day(db: apsw.Connection, day: int, calls: int, tasks: list[tuple[object, ...]], after: int) -> None:
    db.execute("BEGIN")
    db.execute("DELETE FROM task")
    db.execute("DELETE FROM call")
    db.executemany("INSERT INTO task VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", tasks)
    db.execute(_CALLS, {"day_ms": day * DAY_MS, "apart_ms": DAY_MS // max(1, calls)})
    db.execute(_ENTRIES)
    who = "key_id, agent, upstream, target"
    if (after - day - 1) * DAY_MS // MINUTE_MS <= MINUTES_KEPT:  # they reach back from the last call of all
        db.execute(
            f"INSERT INTO rollup_minute (minute, {who}, {_names()}) SELECT (id >> 18) / {MINUTE_MS}, {who}, {_SUMS} FROM call GROUP BY 1, {who}"
        )
    db.execute(
        f"INSERT INTO rollup_hour (hour, {who}, {_names()}) SELECT (id >> 18) / {HOUR_MS}, {who}, {_SUMS} FROM call GROUP BY 1, {who}"
    )
    db.execute(
        f"INSERT INTO rollup_day (day, {who}, tariff, {_names('loose', *COSTS)}) SELECT {day}, {who}, tariff, {_OF_DAYS} FROM call GROUP BY {who}, tariff"
    )
    db.execute(
        f"INSERT INTO runs (key_id, run_id, parent_run_id, agent, source, first_ms, last_ms, {_names()})"
        f" SELECT key_id, run_id, NULL, agent, 'x-jevons-run-id', min(id >> 18), max(id >> 18), {_SUMS} FROM call WHERE run_id IS NOT NULL"
        " GROUP BY key_id, run_id"
    )
    db.execute("COMMIT")


def _names(*more: str) -> str:
    return ", ".join((*MEASURES, *more))


def told(home: Path) -> dict[str, object]:
    """How large it has become."""
    path = home / "ledger.db"
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    counts = {table: db.execute(f"SELECT count(*) FROM {table}").get for table in ("rollup_day", "runs")}
    entries = db.execute("SELECT sum(entries) FROM rollup_day").get
    db.close()
    return {"entries": entries, **counts, "ledger_mib": round(path.stat().st_size / 2**20)}


if __name__ == "__main__":
    fill(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
