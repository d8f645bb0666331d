"""How well `blend.forecast` forecasts real usage, beside AutoETS and AutoTheta of statsforecast: tables, and as the last line one JSON object.

    JEVONS_DATA=DIR python -m bench.forecast [--series FILE]

Rolling origin (runs.py) over real series (usage.py). The headline is of held-out series: no constant of the product was fitted on them. The ratio
of two methods is that of their mean losses, a loss being the weighted interval score over the past's mean absolute step; beside it stands the
geometric mean over series of each one's ratio. A baseline is the better of two: fitted on the values, or on their logarithms.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from bench.forecast.runs import ETS, METHODS, OURS, THETA, Judged, run
from bench.forecast.usage import MissingError, given, load
from bench.gateway import machine
from jevons.economics.forecast.blend import LEVELS

DRAWS = 2_000
"""Of series with replacement, for the interval of a ratio."""


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.forecast")
    options.add_argument("--series", type=Path, help="your own series instead: a CSV of name, value, season (may be empty)")
    chosen = options.parse_args()
    began = time.monotonic()
    try:
        usages = given(chosen.series) if chosen.series else load()
    except (MissingError, OSError, KeyError, ValueError) as error:
        sys.exit(f"bench-forecast: {error}")
    found: list[Judged] = []
    for number, rows in enumerate(run(usages), 1):
        found += rows
        if number % 10 == 0:
            print(f"  {number} of {len(usages)} series, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    if not found:
        sys.exit("bench-forecast: no series has a past of 8 points and something after it")
    held_out = [row for row in found if row.held_out]
    table("Held-out series", held_out)
    if any(not row.held_out for row in found):
        table("All series", found)
    groups = {
        f"{group}, held out": [row for row in held_out if row.group == group] for group in sorted({row.group for row in held_out})
    }
    by_group("Held out, by group", groups)
    parts = {"bill": ": bill", "tokens": ": tokens", "requests": ": requests"}
    weekly = [row for row in held_out if row.group == "openrouter"]
    if weekly:
        of = {f"openrouter, {name}": [row for row in weekly if row.name.endswith(end)] for name, end in parts.items()}
        by_group("OpenRouter's weeks", of | {"openrouter, total": [row for row in weekly if row.name.startswith("all")]})
    steps = {"1 step": (1, 1), "2 to 3 steps": (2, 3), "4 steps and more": (4, 99)}
    by_group(
        "Held out, by steps ahead",
        {name: [row for row in held_out if low <= row.step <= high] for name, (low, high) in steps.items()},
    )
    figures = {
        "bench": "forecast",
        **headline(held_out),
        "all": headline(found),
        "groups": {name: headline(rows) for name, rows in groups.items()},
    }
    figures |= {"statsforecast": version("statsforecast"), "seconds": round(time.monotonic() - began), "machine": machine.facts()}
    print(json.dumps(figures))


def losses(rows: Iterable[Judged], method: str) -> dict[str, list[float]]:
    """By series."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.method == method:
            found[f"{row.group} {row.name}"].append(row.loss)
    return found


def mean(of: dict[str, list[float]]) -> float:
    return float(np.mean([loss for series in of.values() for loss in series]))


def better(rows: Sequence[Judged], method: str) -> dict[str, list[float]]:
    """The baseline on these rows: fitted on the values or on the logarithms, whichever lost less on them."""
    return min((losses(rows, method), losses(rows, f"{method} of logarithms")), key=mean)


def geometric(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> float:
    """Of each series' ratio; one that either method met exactly says nothing of a ratio."""
    pairs = [(np.mean(ours[name]), np.mean(theirs[name])) for name in ours]
    return float(np.exp(np.mean([np.log(own / other) for own, other in pairs if own > 0 and other > 0])))


def interval(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> list[float]:
    """95 % of the ratio of mean losses, over series drawn with replacement: points of one series do not vary on their own."""
    random = np.random.default_rng(1865)
    sums = np.array([[sum(ours[name]), sum(theirs[name])] for name in ours])
    drawn = sums[random.integers(0, len(sums), (DRAWS, len(sums)))].sum(1)
    return [round(float(value), 3) for value in np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))]


def covered(rows: Iterable[Judged], method: str, level: int) -> float:
    return 100 * float(np.mean([row.held[LEVELS.index(level)] for row in rows if row.method == method]))


def headline(rows: Sequence[Judged]) -> dict[str, object]:
    ours, ets, theta = losses(rows, OURS), better(rows, ETS), better(rows, THETA)
    return {
        "points": sum(map(len, ours.values())),
        "series": len(ours),
        "wis_ratio_vs_autoets": round(mean(ours) / mean(ets), 3),
        "wis_ratio_vs_autotheta": round(mean(ours) / mean(theta), 3),
        "wis_ratio_vs_autoets_95": interval(ours, ets),
        "wis_ratio_vs_autotheta_95": interval(ours, theta),
        "geometric_vs_autoets": round(geometric(ours, ets), 3),
        "geometric_vs_autotheta": round(geometric(ours, theta), 3),
        **{f"coverage{level}_pct": round(covered(rows, OURS, level), 1) for level in LEVELS},
    }


def table(title: str, rows: Sequence[Judged]) -> None:
    ours = losses(rows, OURS)
    print(f"\n{title}: {sum(map(len, ours.values())):,} points of {len(ours)} series")
    print(f"{'':<28}{'loss':>8}{'ours/it':>9}{'by series':>11}   truth within 50 / 80 / 95 %")
    for method in METHODS:
        its = losses(rows, method)
        shares = " / ".join(f"{covered(rows, method, level):.0f}" for level in LEVELS)
        print(f"{method:<28}{mean(its):>8.3f}{mean(ours) / mean(its):>9.3f}{geometric(ours, its):>11.3f}   {shares}")


def by_group(title: str, groups: dict[str, list[Judged]]) -> None:
    print(f"\n{title:<34}{'points':>7}{'vs AutoETS':>12}{'vs AutoTheta':>14}   by series     within 50 / 80 / 95 %")
    for name, rows in groups.items():
        if rows:
            found = headline(rows)
            shares = " / ".join(f"{found[f'coverage{level}_pct']:.0f}" for level in LEVELS)
            by_series = f"{found['geometric_vs_autoets']:.3f} {found['geometric_vs_autotheta']:.3f}"
            print(
                f"{name:<34}{found['points']:>7}{found['wis_ratio_vs_autoets']:>12}{found['wis_ratio_vs_autotheta']:>14}   {by_series}   {shares}"
            )


if __name__ == "__main__":
    main()
