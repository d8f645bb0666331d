"""Why OpenRouter's week cost four times as much after nineteen weeks: its published sums, imported and explained by the commands themselves.

    JEVONS_DATA=DIR python -m bench.explain.openrouter [--svg FILE]

Comes in: openrouter_weekly.csv. Goes out: a table of effects by both methods, what each of them says, and, as the last line, one JSON object; it
fails unless both ends are what the tokens cost at the prices of their week, added up here once more by hand.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FIRST, AFTER = date(2025, 11, 16), date(2026, 4, 5)
"""Twenty weeks from Sunday on; the last row stands at Monday, 30 March."""
NUSD = 10**9


def folder() -> Path:
    found = Path(os.environ.get("JEVONS_DATA", ROOT.parent / "shared" / "data"))
    if not (found / "openrouter_weekly.csv").is_file():
        sys.exit(f"{found} has no openrouter_weekly.csv. Name the data folder: JEVONS_DATA=…")
    return found


def week_costs(path: Path) -> dict[int, Decimal]:
    """Week -> dollars: uncached prompt tokens at the price of input, cached ones at theirs (that of input where there is none), completions."""
    costs: dict[int, Decimal] = defaultdict(Decimal)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            number = {name: Decimal(row[name] or 0) for name in row if name.endswith(("_tokens", "_mtok"))}
            cached_rate = (
                number["cached_input_usd_per_mtok"] if row["cached_input_usd_per_mtok"] else number["input_usd_per_mtok"]
            )
            usd = (
                (number["prompt_tokens"] - number["cached_tokens"]) * number["input_usd_per_mtok"]
                + number["cached_tokens"] * cached_rate
                + number["completion_tokens"] * number["output_usd_per_mtok"]
            ) / 10**6
            costs[(date.fromisoformat(row["week_ending"]) - FIRST) // timedelta(7)] += usd
    return costs


def jevons(home: Path, *words: str) -> str:
    """A command on a scratch ledger."""
    done = subprocess.run(
        [sys.executable, "-m", "jevons", *words], env={**os.environ, "JEVONS_HOME": str(home)}, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"jevons {' '.join(words)}: {done.stderr or done.stdout}")
    return done.stdout


def explained(path: Path, home: Path, svg: Path | None) -> dict[str, Any]:
    jevons(home, "import", "trace", str(path), "--json")
    words = ["explain", "--from", str(FIRST), "--to", str(AFTER), "--every", "week", "--by", "model"]
    if svg:
        jevons(home, *words, "--svg", str(svg))
    found: dict[str, Any] = json.loads(jevons(home, *words, "--json"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.explain.openrouter", description=__doc__)
    parser.add_argument("--svg", type=Path, help="write the waterfall there")
    options = parser.parse_args()
    path = folder() / "openrouter_weekly.csv"
    with tempfile.TemporaryDirectory(prefix="jevons-openrouter-") as home:
        found = explained(path, Path(home), options.svg)
    costs = week_costs(path)
    ends = [costs[0], costs[max(costs)]]
    if [round(end) for end in ends] != [round(found[name] / NUSD) for name in ("base_nusd", "bill_nusd")]:
        sys.exit(f"by hand {ends}, explained {found['base_nusd']} and {found['bill_nusd']}")
    print(f"{found['base']['first']}: ${ends[0]:,.0f}   {found['now']['last']}: ${ends[1]:,.0f}   {found['steps']} steps\n")
    print("| effect | LMDI | Shapley | segments |\n| --- | ---: | ---: | ---: |")
    for effect in found["effects"]:
        print(
            f"| {effect['name']} | {dollars(effect['lmdi_nusd'])} | {dollars(effect['shapley_nusd'])} | {len(effect['segments'])} |"
        )
    print(f"| change | {dollars(found['change_nusd'])} | {dollars(found['change_nusd'])} | |\n")
    for effect in found["effects"]:
        print(f"{effect['name']}: {effect['sentence']}")
    figures = {f"openrouter_{effect['name']}_nusd": effect["lmdi_nusd"] for effect in found["effects"]}
    print(json.dumps({"openrouter_base_nusd": found["base_nusd"], "openrouter_bill_nusd": found["bill_nusd"], **figures}))


def dollars(nusd: int) -> str:
    return f"{'+' if nusd > 0 else '-'}${abs(nusd) / NUSD:,.0f}"


if __name__ == "__main__":
    main()
