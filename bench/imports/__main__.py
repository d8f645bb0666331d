"""Imports a million rows of a LiteLLM spend log with `jevons import`: how fast, in how much memory, and what a kill costs; prints a table for
people and, as its last line, one JSON object.

The rows are generated, with usage objects as LiteLLM writes them. Measured are whole processes, start included. The baseline is a process that
only reads the lines and decodes their JSON.
"""

import argparse
import datetime
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from bench.gateway import machine
from bench.gateway.__main__ import OUT
from jevons.ledger.bill import check
from jevons.meter.genai import ensure_book

MODELS = (("gpt-4o", "openai"), ("gpt-4o-mini", "openai"), ("claude-sonnet-4-5", "anthropic"), ("gpt-5.1", "openai"))
KEYS, TEAMS, SESSIONS = 40, 8, 20_000
BASELINE = "import sys, msgspec; decode = msgspec.json.Decoder().decode\nfor line in open(sys.argv[1], 'rb'): decode(line)"


class Done(NamedTuple):
    """One process, from its start to its end."""

    seconds: float
    cpu_s: float
    peak_mib: float
    report: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-import BENCH_ARGS=...", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--out", type=Path, default=OUT / "imports", help="the disk on which file and ledgers lie (default: bench/out/imports)"
    )
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    try:
        file = options.out / "spend.jsonl"
        expected = generate(file, options.rows)
        report(options.rows, file, expected, options.out)
    finally:
        shutil.rmtree(options.out, ignore_errors=True)


def generate(file: Path, rows: int) -> tuple[int, int]:
    """Write the log; (sum of spend in nano-USD, sum of all tokens)."""
    chance, spent, tokens = random.Random(1865), 0, 0
    start = datetime.datetime(2026, 10, 1, tzinfo=datetime.UTC).timestamp()
    with file.open("w") as out:
        for number in range(rows):
            model, provider = chance.choice(MODELS)
            prompt, made = chance.randrange(200, 40_000), chance.randrange(1, 2_000)
            cached = prompt * chance.randrange(0, 90) // 100
            nusd = chance.randrange(1_000, 400_000) * 1_000
            key = number % KEYS
            at = datetime.datetime.fromtimestamp(start + number * 2.5, datetime.UTC).isoformat()
            usage = {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
            usage |= {"prompt_tokens_details": {"cached_tokens": cached, "text_tokens": prompt - cached}}
            row = {
                "request_id": f"chatcmpl-{number:012d}", "call_type": "acompletion", "api_key": f"{key:064x}", "spend": nusd / 1e9,
                "total_tokens": prompt + made, "prompt_tokens": prompt, "completion_tokens": made, "startTime": at, "endTime": at,
                "model": model, "model_group": model, "custom_llm_provider": provider, "api_base": "https://api.example/v1", "user": "",
                "metadata": {"user_api_key_alias": f"key-{key}", "user_api_key_team_alias": f"team-{key % TEAMS}", "status": "success",
                             "usage_object": usage},
                "cache_hit": "False", "request_tags": ["User-Agent: bench"], "session_id": f"session-{number % SESSIONS}", "status": "success",
            }  # fmt: skip
            out.write(json.dumps(row) + "\n")
            spent, tokens = spent + nusd, tokens + prompt + made
    return spent, tokens


def run(home: Path, file: Path) -> Done:
    """One `jevons import`."""
    return process(["-m", "jevons", "import", "litellm", str(file), "--json"], home)


def process(arguments: list[str], home: Path) -> Done:
    begun = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], env=environ(home), stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        said = running.stdout.read()
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with status {running.returncode}")
    seconds = time.perf_counter() - begun
    return Done(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, json.loads(said) if said else {})


def killed(home: Path, file: Path, rows: int) -> int:
    """An import that is killed when about half is in the ledger; how much is."""
    running = subprocess.Popen(
        [sys.executable, "-m", "jevons", "import", "litellm", str(file), "--json"], env=environ(home), stdout=subprocess.DEVNULL
    )
    while running.poll() is None and entries(home)[0] < rows // 2:
        time.sleep(0.2)
    running.send_signal(signal.SIGKILL)
    running.wait()
    return entries(home)[0]


def environ(home: Path) -> dict[str, str]:
    return {**os.environ, "JEVONS_HOME": str(home), "PYTHONPATH": "src"}


def entries(home: Path) -> tuple[int, int, int]:
    """(rows, sum billed, sum of tokens) in a ledger; zeros while it is being made."""
    try:
        db = apsw.Connection(str(home / "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY)
        found: tuple[int, int, int] = db.execute(
            "SELECT coalesce(sum(entries), 0), coalesce(sum(billed_nusd), 0),"
            " coalesce(sum(input + cache_read + cache_write_5m + cache_write_1h + output), 0) FROM rollup_day"
        ).fetchone()
        db.close()
        return found
    except apsw.Error:
        return 0, 0, 0


def report(rows: int, file: Path, expected: tuple[int, int], out: Path) -> None:
    homes = [out / name for name in ("whole", "killed")]
    for home in homes:
        home.mkdir(mode=0o700)
        ensure_book(home)
    size_mib = file.stat().st_size / 2**20
    print(f"{rows:,} rows, {size_mib:,.0f} MiB of JSON lines", flush=True)
    decoded = process(["-c", BASELINE, str(file)], out)
    fresh = run(homes[0], file)
    other = file.with_name("again.jsonl")
    file.rename(other)
    again = run(homes[0], other)
    before = killed(homes[1], other, rows)
    rest = run(homes[1], other)
    wrong = [what for home in homes for what in check(home / "ledger.db")]
    sums = {home.name: entries(home) for home in homes}
    wrong += [f"{name}: {found} are not {(rows, *expected)}" for name, found in sums.items() if found != (rows, *expected)]
    ledger_mib = (homes[0] / "ledger.db").stat().st_size / 2**20
    print("\n| process | rows | seconds | rows/s | CPU s | peak MiB |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    for what, done, count in (
        ("decode the JSON and nothing else", decoded, rows),
        ("import", fresh, rows),
        ("the same rows from a file of another name", again, rows),
        (f"after a kill at {before:,} rows: the rest", rest, rest.report["rows"]),
    ):
        print(
            f"| {what} | {count:,} | {done.seconds:.1f} | {count / done.seconds:,.0f} | {done.cpu_s:.1f} | {done.peak_mib:.0f} |"
        )
    print(f"\nLedger: {ledger_mib:,.0f} MiB. " + ("Every sum is that of the file; no row twice, none lost." if not wrong else ""))
    for what in wrong:
        print(f"WRONG: {what}")
    figures = {
        "rows": rows,
        "file_mib": round(size_mib),
        "rows_per_s": round(rows / fresh.seconds),
        "cpu_s": round(fresh.cpu_s, 1),
        "peak_mib": round(fresh.peak_mib),
        "again_rows_per_s": round(rows / again.seconds),
        "decode_rows_per_s": round(rows / decoded.seconds),
        "killed_at_rows": before,
        "resumed_rows": rest.report["rows"],
        "resumed_doubles": rest.report["known"],
        "resumed_peak_mib": round(rest.peak_mib),
        "ledger_mib": round(ledger_mib),
        "wrong": wrong,
        "machine": machine.facts(),
    }
    print(json.dumps(figures))
    if wrong or rest.report["known"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
