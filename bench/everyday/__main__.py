"""Three everyday tasks: the packaged local model, a large model, and the cascade of both; prints tables and, as its last line, one JSON object.

Everything goes through the real gateway and is charged by it. The small model is the real one, on this machine's CPU. The large one is a stand-in that
knows the right answers and errs as often as --errs says: its quality is given, its price that of the model it is called after. Each row is asked of
both; thresholds come from calibration rows, and are judged on others. At last the cascade itself runs, with one of these thresholds as its promise.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from bench.everyday.asking import Asked, Door
from bench.everyday.large import ERRS, says, script
from bench.everyday.live import run_live
from bench.everyday.points import Answered, Point, alone, calibration_error, point, promised, ranking, shares
from bench.everyday.tasks import MissingError, Row, Task, good, load, quality
from bench.gateway import machine
from jevons.core.ask import Dialect
from jevons.embed import Embedder, MissingEmbedderError
from jevons.engine.models import find_model
from jevons.policy.cascade import confidence
from jevons.wire.logprobs import tokens_of
from tests.provider import Provider
from tests.running import Jevons, upstream

ROWS = {"summaries": (40, 40), "json": (40, 40), "intents_8": (100, 120), "intents_77": (30, 40)}
"""Calibration and test rows of each task."""
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
ALPHAS = (0.05, 0.1, 0.2)
DELTA = 0.1
LARGE = "gpt-5.2"
ENGINE = {"threads": 2, "slots": 1, "context_tokens": 8_192}


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--scale", type=float, default=1.0, help="times the usual number of rows")
    options.add_argument("--tasks", default=",".join(ROWS))
    options.add_argument("--errs", type=float, default=ERRS, help="share of the large model's answers that are wrong")
    options.add_argument("--seed", type=int, default=7)
    options.add_argument(
        "--schema", action="store_true", help="JSON under its schema: always of that shape, and ten times slower"
    )
    given = options.parse_args()
    began = time.monotonic()
    model = find_model()
    if model is None:
        sys.exit("bench-everyday: the local model is not installed: make test installs it")
    try:
        tasks = [task for task in load(given.seed, schema=given.schema) if task.name in given.tasks.split(",")]
        embedder = Embedder()
    except (MissingError, MissingEmbedderError) as error:
        sys.exit(f"bench-everyday: {error}")
    figures: dict[str, Any] = {"bench": "everyday", "large": LARGE, "large_errs_pct": 100 * given.errs, "small": model.title}
    print(
        f"small: {model.title} ({model.label}); large: a stand-in priced as {LARGE}, right in {1 - given.errs:.0%} of the rows: given, not measured"
    )
    with TemporaryDirectory(prefix="jevons-bench-") as folder, Provider() as provider:
        table = upstream("large", provider.openai_url, models=(LARGE,), provider="openai")
        answered: dict[str, tuple[list[Row], list[Answered], list[Answered]]] = {}
        with Jevons(Path(folder, "both"), table, engine=ENGINE) as jevons:
            door = Door(jevons.url, jevons.key("bench"))
            for task in tasks:
                first, rest = (max(8, round(n * given.scale)) for n in ROWS[task.name])
                rows = task.rows[: first + rest]
                found = ask_both(task, rows, door, embedder, given)
                answered[task.name] = (rows[first:], found[:first], found[first:])
                figures[task.name] = report(task, found[:first], found[first:])
        figures["live"] = run_live(Path(folder, "live"), table, ENGINE, LARGE, answered, given, embedder)
    print(f"\n{time.monotonic() - began:.0f} s")
    figures["machine"] = machine.facts()
    print(json.dumps(figures))


def ask_both(task: Task, rows: Sequence[Row], door: Door, embedder: Embedder, given: argparse.Namespace) -> list[Answered]:
    """Every row, of the small model and of the large one."""
    labels = sorted({row.right for row in task.rows})
    door.warm("local", rows[0].body)
    found = []
    for number, row in enumerate(rows):
        small = door.ask("local", row.body | {"logprobs": True, "top_logprobs": 2})
        large = door.ask(LARGE, row.body, script(row, says(row, labels, given.seed, given.errs)))
        found.append(answered_of(row, small, large, embedder))
        if not (number + 1) % 20:
            print(f"  {task.name}: {number + 1} of {len(rows)}, {small.seconds:.1f} s", file=sys.stderr, flush=True)
    return found


def answered_of(row: Row, small: Asked, large: Asked, embedder: Embedder) -> Answered:
    return Answered(
        small.nusd,
        large.nusd,
        quality(row, small.text, embedder),
        quality(row, large.text, embedder),
        good(row, small.text, embedder),
        good(row, large.text, embedder),
        confidence(tokens_of(Dialect.CHAT, small.body)),
        small.seconds,
    )


def report(task: Task, calibration: Sequence[Answered], rows: Sequence[Answered]) -> dict[str, Any]:
    """One task's table, and its figures."""
    small, large = alone(rows)
    points = [
        point(f"{share:.0%} accepted", threshold, calibration, rows)
        for share, threshold in zip(SHARES, shares(calibration, SHARES), strict=True)
    ]
    limits = {alpha: promised(calibration, alpha, DELTA) for alpha in ALPHAS}
    kept = [point(f"harm <= {alpha:.0%}", limit, calibration, rows) for alpha, limit in limits.items() if limit is not None]
    print(f"\n{task.title}: {len(calibration)} rows to calibrate, {len(rows)} judged")
    print(f"{'':<22}{'$ / 1,000':>11}{'quality':>9}{'good %':>8}{'accepted %':>12}{'harm %':>8}{'coin':>8}   quality - coin's")
    for one in (small, large, *points, *kept):
        print(line(one))
    for alpha, limit in limits.items():
        if limit is None:
            print(f"harm <= {alpha:.0%}: no promise ({len(calibration)} rows do not show it)")
    order = ranking(rows)
    seconds = fmean(row.small_s for row in rows)
    error = calibration_error(calibration, rows)
    said = "none" if order is None else f"{order:.2f}"
    print(f"its confidence tells good from bad answers: AUROC {said}; calibrated, off by {error:.2f}; {seconds:.1f} s an answer")
    return {
        "rows": len(rows),
        "small": figures_of(small),
        "large": figures_of(large),
        "cascade": [figures_of(one) for one in points],
        "promised": [figures_of(one) for one in kept],
        "beats_coin": sum(one.low > 0 for one in points),
        "below_coin": sum(one.high < 0 for one in points),
        "auroc": None if order is None else round(order, 3),
        "calibration_error": round(error, 3),
        "small_s": round(seconds, 2),
    }


def line(one: Point) -> str:
    cost = f"{one.nusd / 1e6:>11.4f}"
    shared = f"{one.name:<22}{cost}{one.quality:>9.3f}{100 * one.good:>8.1f}{100 * one.accepted:>12.1f}{100 * one.harm:>8.1f}"
    if one.threshold is None:
        return shared
    word = "beats it" if one.low > 0 else "worse" if one.high < 0 else "not told apart"
    costs = "" if one.paid else "; costs more than the large one alone"
    return f"{shared}{one.mixture:>8.3f}   {one.quality - one.mixture:+.3f} ({one.low:+.3f} to {one.high:+.3f}): {word}{costs}"


def figures_of(one: Point) -> dict[str, Any]:
    return {
        "name": one.name,
        "usd_per_1000": round(one.nusd / 1e6, 5),
        "quality": round(one.quality, 4),
        "good_pct": round(100 * one.good, 1),
        "accepted_pct": round(100 * one.accepted, 1),
        "harm_pct": round(100 * one.harm, 1),
        "coin_quality": round(one.mixture, 4),
        "gain": [round(one.quality - one.mixture, 4), round(one.low, 4), round(one.high, 4)],
    }


if __name__ == "__main__":
    main()
