"""The whole of `jevons forecast` on OpenRouter's weekly sums: cut at one day after the other, and held against the weeks that came.

    JEVONS_DATA=DIR python -m bench.fan

Segments, growth, price steps and floors as the command has them; nothing that came after a cut is seen, prices neither. A table, and as the last
line one JSON object: the share of weeks within the 50, 80 and 95 % bands, of the bill and of tokens, and beside it the same of a forecast
that holds today's level with the scatter of its own weeks (the baseline). It is a market, not an organisation: models enter it that were not there.
Its weeks overlap: cuts a week apart are held against the same threefold rise, so that they are one episode and not so many points.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import apsw
import numpy as np

from bench.gateway import machine
from jevons.core.usage import TOKEN_KINDS
from jevons.economics.forecast.floors import floor, floor_of
from jevons.economics.forecast.price_paths import pace
from jevons.economics.forecast.priors import priors
from jevons.economics.forecast.report import TIERS
from jevons.economics.forecast.segments import WEEK_DAYS, day_of, history
from jevons.economics.forecast.simulate import PATHS, SEED, Array, bill, calendar, draw, tokens

FILE = "openrouter_weekly.csv"
WEEKS_MIN = 8
"""Of history before the first cut: two more than a blend needs."""
BANDS = {50: (0.25, 0.75), 80: (0.1, 0.9), 95: (0.025, 0.975)}


class Week(NamedTuple):
    """One later week: draws of ours and of the baseline, and what came; bill, then tokens."""

    ahead: int
    ours: tuple[Array, Array]
    still: tuple[Array, Array]
    came: tuple[float, float]


def main() -> None:
    source = Path(os.environ.get("JEVONS_DATA", "")) / FILE
    if not source.is_file():
        sys.exit(f"bench-fan: {FILE} is not there; set JEVONS_DATA to the folder that has it")
    with tempfile.TemporaryDirectory(prefix="jevons-fan-") as folder:
        environ = {**os.environ, "JEVONS_HOME": folder}
        weekly = Path(folder) / FILE
        even(source, weekly)
        command = [sys.executable, "-m", "jevons", "import", "trace", str(weekly)]
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
        ledger = Path(folder) / "ledger.db"
        weeks = [week for cut in _cuts(ledger) for week in _after(ledger, cut)]
    found: dict[str, float] = {}
    print(f"{len(weeks)} weeks after the cuts\n{'':10}{'band':>6}{'ours':>8}{'as it is':>10}")
    for place, what in enumerate(("bill", "tokens")):
        for band, (low, high) in BANDS.items():
            ours, still = (
                np.mean([_within(getattr(week, name)[place], week.came[place], low, high) for week in weeks])
                for name in ("ours", "still")
            )
            found |= {
                f"{what}_coverage{band}_pct": round(100 * ours, 1),
                f"{what}_coverage{band}_baseline_pct": round(100 * still, 1),
            }
            print(f"{what:10}{band:>5}%{100 * ours:>7.0f}%{100 * still:>9.0f}%")
    print(json.dumps({"points": len(weeks), **found, "paths": PATHS, "seed": SEED, "machine": machine.facts()}))


def even(source: Path, weekly: Path) -> None:
    """Writes the table with its weeks a whole number of weeks apart.

    They end on Sundays, later on Mondays: as they are, a week of seven days would be empty and the next four weeks of history hold three sums.
    """
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    first = min(date.fromisoformat(row["week_ending"]) for row in rows)
    with weekly.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        for row in rows:
            weeks = round((date.fromisoformat(row["week_ending"]) - first).days / WEEK_DAYS)
            writer.writerow({**row, "week_ending": (first + timedelta(days=WEEK_DAYS * weeks)).isoformat()})


def _within(draws: Array, came: float, low: float, high: float) -> bool:
    least, most = np.quantile(draws, (low, high))
    return bool(least <= came <= most)


def _cuts(ledger: Path) -> list[int]:
    """Days on which a sum is dated, with history enough before and a week after."""
    db = apsw.Connection(str(ledger), flags=apsw.SQLITE_OPEN_READONLY)
    days = [day for (day,) in db.execute("SELECT DISTINCT day FROM rollup_day ORDER BY day")]
    db.close()
    return days[WEEKS_MIN:-1]


def _after(ledger: Path, cut: int) -> Iterator[Week]:
    known, today = priors(), day_of(cut)
    past = history(ledger, today, "list")
    assert past is not None
    db = apsw.Connection(str(ledger), flags=apsw.SQLITE_OPEN_READONLY)
    [(last,)] = db.execute("SELECT max(day) FROM rollup_day")
    paces = {str(tier): pace(tier, known.price[tier], today) for tier in TIERS}
    ahead = calendar(past, last + WEEK_DAYS)
    paths = draw(past, known, paces, dict.fromkeys(past.parts, ()), ahead)
    tiers = {str(tier): floor(known.floor[tier], known.electricity) for tier in TIERS}
    floors = {part.model: floor_of(part.model, part.terms.rates, tiers[part.tier]).rates for part in past.parts}
    entered = [factor * WEEK_DAYS for factor in paths.entered]
    ours = bill(past.parts, paths, floors).sum(axis=0) * entered[0], tokens(past.parts, paths) * entered[1]
    rng = np.random.default_rng(SEED)
    still = tuple(_still(rng, np.array(values[-WEEKS_MIN:], dtype=float)) for values in (past.spent, past.tokens))
    query = f"SELECT sum(list_nusd), sum({' + '.join(TOKEN_KINDS)}) FROM rollup_day WHERE day >= ? AND day < ?"
    for number, (first, after) in enumerate(zip(ahead.borders, ahead.borders[1:], strict=False)):
        [came] = db.execute(query, (first, after))
        if came[0] is not None:
            yield Week(number + 1, (ours[0][:, number], ours[1][:, number]), (still[0], still[1]), came)
    db.close()


def _still(rng: np.random.Generator, weeks: Array) -> Array:
    """Today's level, a lognormal about it."""
    logs = np.log(weeks[weeks > 0])
    found: Array = np.exp(logs[-4:].mean() + logs.std() * rng.standard_normal(PATHS))
    return found


if __name__ == "__main__":
    main()
