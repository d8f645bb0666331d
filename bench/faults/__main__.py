"""A real gateway before two providers of which one fails, slows, rate-limits, returns garbage or dies: who is answered, how fast, and what is charged.

Each thing that goes wrong is measured twice in one run: with the faulty provider alone, and with the other behind it. Prints a table for people and, as
its last line, one JSON object.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.faults import books, load, scenes
from bench.faults.books import Sums
from bench.faults.load import Answered
from bench.faults.scenes import SCENES, Scene
from bench.gateway import machine
from jevons.ledger.bill import check
from jevons.meter.pricebook import open_book
from tests.provider import Provider
from tests.running import Jevons

TOLD = ("available_alone_pct", "available_pct", "p50_ms", "p99_ms", "added_p50_ms", "added_p99_ms", "difference_nusd")


class Outcome(NamedTuple):
    """One scene."""

    scene: Scene
    alone: list[Answered]
    both: list[Answered]
    sums: Sums
    roles: dict[str, int]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench-faults BENCH_ARGS=...", description=__doc__)
    parser.add_argument("--calls", type=int, default=400, help="with the other behind it (default 400); alone a quarter of them")
    parser.add_argument("--callers", type=int, default=8, help="at once (default 8)")
    names = [scene.name for scene in SCENES]
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, help=f"of {','.join(names)}")
    return parser.parse_args()


def measure(scene: Scene, options: argparse.Namespace) -> Outcome:
    """In a fresh house, so that nothing is known of anybody."""
    with Provider(bodies=True) as first, Provider(bodies=True) as second, tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        config = scenes.upstreams(scene, first.openai_url, second.openai_url)
        with Jevons(home, *config, models=scenes.aliases()) as jevons:
            key = jevons.key("load")
            load.run(jevons.url, key, "second/" + scenes.MODEL, 8, 4)  # whatever is made at the first call is made
            before = {entry["id"] for entry in jevons.entries()}
            both = load.run(jevons.url, key, "with", options.calls, options.callers)
            alone = load.run(jevons.url, key, "without", max(8, options.calls // 4), options.callers)
            entries = [entry for entry in jevons.settled(1) if entry["id"] not in before]
            assert check(jevons.ledger) == []
            book = open_book(home)
        marks = {one.request: one.mark for one in (*both, *alone)}
        marked = set(marks.values())
        journals = {"first": first.attempts(), "second": second.attempts()}
        journals = {who: [one for one in attempts if _is_of(one, marked)] for who, attempts in journals.items()}
        sums = books.compared(book, entries, marks, journals)
    roles = {
        role or "answer": sum(1 for entry in entries if entry["role"] == role)
        for role in sorted({one["role"] for one in entries})
    }
    return Outcome(scene, alone, both, sums, roles)


def _is_of(attempt: Any, marked: set[str]) -> bool:
    return any(found.decode() in marked for found in books.MARK.findall(books.b64decode(attempt.received["body"] or "")))


def available_pct(answers: Sequence[Answered]) -> float:
    return 100 * sum(one.good for one in answers) / len(answers)


def quantile_ms(answers: Sequence[Answered], pct: int) -> float:
    """Of whole calls that were answered well; nothing to say where none was."""
    good = sorted(one.seconds for one in answers if one.good)
    return 1000 * good[min(len(good) - 1, len(good) * pct // 100)] if good else float("nan")


def figures(outcome: Outcome, sound: Outcome) -> dict[str, Any]:
    """For the last line."""
    both, alone, sums = outcome.both, outcome.alone, outcome.sums
    return {
        "available_pct": round(available_pct(both), 2),
        "available_alone_pct": round(available_pct(alone), 2),
        "p50_ms": round(quantile_ms(both, 50), 1),
        "p99_ms": round(quantile_ms(both, 99), 1),
        "added_p50_ms": round(quantile_ms(both, 50) - quantile_ms(sound.both, 50), 1),
        "added_p99_ms": round(quantile_ms(both, 99) - quantile_ms(sound.both, 99), 1),
        "calls": len(both),
        "attempts_by_role": outcome.roles,
        "metered_nusd": sums.metered,
        "difference_nusd": sums.difference,
        "cut_off_nusd": sums.cut,
        "cut_off_billed_nusd": sums.cut_billed,
        "cut_off_attempts": sums.cut_attempts,
        "unmatched_attempts": sums.unmatched,
    }


def table(found: dict[str, dict[str, Any]]) -> str:
    """For people."""
    head = [
        "first provider",
        "answered alone %",
        "with another %",
        "p50 ms",
        "p99 ms",
        "added p50",
        "added p99",
        "ours - billed",
        "cut off: ours / billed",
    ]
    lines = [row(head), row(["---"] * len(head))]
    for name, one in found.items():
        money = f"{one['cut_off_nusd']:,} / {one['cut_off_billed_nusd']:,} ({one['cut_off_attempts']})"
        told = [one[figure] for figure in TOLD]
        lines.append(row([name, *told, money]))
    return "\n".join(lines)


def row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def main() -> None:
    options = arguments()
    outcomes: list[Outcome] = []
    for scene in SCENES:
        if scene.name in options.only or scene.name == "sound":
            begun = time.monotonic()
            outcomes.append(measure(scene, options))
            print(f"{scene.name} ({scene.says}): {time.monotonic() - begun:.0f} s", flush=True)
    found = {one.scene.name: figures(one, outcomes[0]) for one in outcomes}
    print("\n" + table(found) + "\n")
    faulty = [one for name, one in found.items() if name != "sound"] or list(found.values())
    print(
        json.dumps(
            {
                "benchmark": "faults",
                "availability_pct_min": min(one["available_pct"] for one in faulty),
                "availability_pct_mean": round(statistics.mean(one["available_pct"] for one in faulty), 2),
                "availability_alone_pct_mean": round(statistics.mean(one["available_alone_pct"] for one in faulty), 2),
                "added_p50_ms_max": max(one["added_p50_ms"] for one in faulty),
                "added_p99_ms_max": max(one["added_p99_ms"] for one in faulty),
                "difference_nusd": sum(abs(one["difference_nusd"]) for one in found.values()),
                "unmatched_attempts": sum(one["unmatched_attempts"] for one in found.values()),
                "scenes": found,
                "machine": machine.facts(),
            }
        )
    )


if __name__ == "__main__":
    main()
