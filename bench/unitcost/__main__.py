"""Throughput and energy of models that the fit has not seen, DeepSeek's own figures, the local engine; tables, and a last line of JSON.

Rows: JEVONS_DATA/measured_throughput.csv. In each of five splits, seeds 0 to 4, half of the models are fitted and the rows of the other half
are predicted, all of a model's rows on one side. DeepSeek's two rows are in no fit. "calibrated": of a system with four rows or more, three
are known, chosen by predicted speed: the slowest, the middle, the fastest; the others are judged. Beside: the plain roofline on the same
rows, at the same batch; each part left out in turn; twenty more splits. The local engine is measured by bench.unitcost.local.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np

from bench.gateway import machine
from bench.unitcost import local
from jevons.economics.unitcost import deepseek
from jevons.economics.unitcost.check import Verdict, median_ape, verdicts
from jevons.economics.unitcost.efficiency import Efficiencies
from jevons.economics.unitcost.errors import UnitCostError
from jevons.economics.unitcost.fit import Rows, fitted, stacked
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.measured import Point, material, points, rows
from jevons.economics.unitcost.serving import best_batch, serve
from jevons.economics.unitcost.weights import cache_precision, precision

ROOT = Path(__file__).parents[2]
FILE = "measured_throughput.csv"
SPLITS, MORE = 5, 20
SPEC, CALIBRATED, JOULES, DEEPSEEK = 20.0, 10.0, 25.0, 30.0
"""Targets in percent."""


class Judged(NamedTuple):
    """One split; medians of absolute errors in percent."""

    spec: float
    calibrated: float | None
    joules: float | None
    plain: float
    rows: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.unitcost", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("JEVONS_DATA", ROOT.parent / "shared" / "data")))
    parser.add_argument("--no-local", action="store_true", help="leave out the local engine, which takes minutes")
    local.add_arguments(parser)
    options = parser.parse_args()
    try:
        text = (options.data / FILE).read_text("utf-8")
    except OSError:
        sys.exit(f"{options.data / FILE} is not there. Name the data folder: JEVONS_DATA=…")
    try:
        found, unjudged = points(rows(text))
        stack = stacked(material(found))
    except UnitCostError as error:
        sys.exit(str(error))
    kept = len(stack.points)
    print(f"{kept} rows of {len({point.model for point in stack.points})} models; {len(found) - kept} of a maker's own in no fit; not judged:")
    for row in unjudged:
        print(f"  {row.id}: {row.reason}")
    figures = splits(stack) | left_out(stack) | published(fitted(stack))
    if not options.no_local:
        print("\nThe local engine:", flush=True)
        figures |= local.run(options)
    print(json.dumps({**figures, "machine": machine.facts(), "command": " ".join(["python -m bench.unitcost", *sys.argv[1:]])}))


def splits(stack: Rows) -> dict[str, object]:
    """Half of the models fitted, the other half predicted."""
    judged, every = [], []
    print(f"\n{'split':>5} {'rows':>5} {'spec':>7} {'calibrated':>11} {'joules':>7} {'plain':>7}   models that were predicted")
    for seed in range(SPLITS):
        known_rows, unseen = halves(stack.points, seed)
        found = verdicts(stack.of(unseen), fitted(stack.of(known_rows)))
        judged.append(_judged(found))
        every += found
        one = judged[-1]
        models = ", ".join(sorted({stack.points[row].model for row in unseen}))
        print(
            f"{seed:5} {one.rows:5} {one.spec:7.1f} {one.calibrated or 0:11.1f} {one.joules or 0:7.1f} {one.plain:7.1f}   {models}",
            flush=True,
        )
    more = [
        _judged(verdicts(stack.of(unseen), fitted(stack.of(known_rows), spread=False))).spec
        for known_rows, unseen in _more(stack.points)
    ]
    print(f"{MORE} more splits: mean {fmean(more):.1f} %, worst {max(more):.1f} %")
    _groups(every)
    return {
        "median_ape_spec_pct": round(fmean(one.spec for one in judged), 2),
        "median_ape_calibrated_pct": _mean(one.calibrated for one in judged),
        "median_ape_joules_pct": _mean(one.joules for one in judged),
        "plain_roofline_ape_pct": round(fmean(one.plain for one in judged), 2),
        "targets_pct": {"spec": SPEC, "calibrated": CALIBRATED, "joules": JOULES},
        "spec_by_split_pct": [one.spec for one in judged],
        "spec_more_splits_pct": {"splits": MORE, "mean": round(fmean(more), 2), "worst": max(more)},
    }


def _more(found: Sequence[Point]) -> Iterator[tuple[list[int], list[int]]]:
    return (halves(found, seed) for seed in range(SPLITS, SPLITS + MORE))


def halves(found: Sequence[Point], seed: int) -> tuple[list[int], list[int]]:
    """Places of the rows that are fitted and of those that are predicted; of an odd number of models one more is fitted."""
    order = [str(model) for model in np.random.default_rng(seed).permutation(sorted({point.model for point in found}))]
    chosen = set(order[: (len(order) + 1) // 2])
    return (
        [place for place, point in enumerate(found) if point.model in chosen],
        [place for place, point in enumerate(found) if point.model not in chosen],
    )


def _judged(found: Sequence[Verdict]) -> Judged:
    return Judged(
        median_ape(one.error for one in found) or 0.0,
        median_ape(one.calibrated_error for one in found),
        median_ape(one.joules_error for one in found),
        median_ape(one.plain_error for one in found) or 0.0,
        len(found),
    )


def _mean(values: Iterator[float | None]) -> float | None:
    known_values = [value for value in values if value is not None]
    return round(fmean(known_values), 2) if known_values else None


GROUPS: dict[str, Callable[[Point], str]] = {
    "framework": lambda point: point.framework,
    "part": lambda point: point.on.part.name,
    "weights": lambda point: point.precision.name,
    "model": lambda point: point.model,
}


def _groups(every: Sequence[Verdict]) -> None:
    """All splits together: a row is counted as often as it was predicted."""
    for name, group in GROUPS.items():
        print(f"\n{name:38} {'rows':>5} {'median error, %':>16} {'inside 90 %':>12}")
        for key in sorted({group(one.point) for one in every}):
            members = [one for one in every if group(one.point) == key]
            inside = fmean(one.low <= one.point.tok_s <= one.high for one in members)
            print(f"{key:38} {len(members):5} {median_ape(one.error for one in members):16.1f} {inside:12.0%}")


def left_out(stack: Rows) -> dict[str, object]:
    """Each part predicted from rows of all others."""
    print(f"\n{'part left out of the fit':38} {'rows':>5} {'median error, %':>16}")
    found = {}
    for name in sorted({point.on.part.name for point in stack.points}):
        unseen = [place for place, point in enumerate(stack.points) if point.on.part.name == name]
        rest = [place for place, point in enumerate(stack.points) if point.on.part.name != name]
        found[name] = median_ape(one.error for one in verdicts(stack.of(unseen), fitted(stack.of(rest), spread=False)))
        print(f"{name:38} {len(unseen):5} {found[name]:16.1f}", flush=True)
    return {"unseen_part_ape_pct": found}


def published(efficiencies: Efficiencies) -> dict[str, object]:
    """DeepSeek's speeds of a node, predicted, and its account."""
    arch, kv = known("deepseek-r1"), cache_precision("bf16")
    weights = precision("fp8", arch)
    on, load = deepseek.prefilling()
    reading = (
        serve(arch, weights, kv, on, load, efficiencies).prefill_tok_s / (1 - deepseek.CACHED_SHARE) * deepseek.DEVICES_A_NODE
    )
    on, load = deepseek.decoding()
    answering = best_batch(arch, weights, kv, on, load, efficiencies, deepseek.USER_TOK_S)
    writing = answering.device_tok_s * deepseek.DEVICES_A_NODE
    errors = [100 * (reading / deepseek.NODE_INPUT_TOK_S - 1), 100 * (writing / deepseek.NODE_OUTPUT_TOK_S - 1)]
    account = deepseek.account()
    print(
        f"\nDeepSeek, a node of 8 H800: input {reading:,.0f} tok/s ({errors[0]:+.0f} %), output {writing:,.0f} ({errors[1]:+.0f} %)"
    )
    print(
        f"its account: {account.node_hours:,.0f} node-hours, ${account.usd:,.0f} a day, ${account.input_usd_m:.3f}/M in, ${account.output_usd_m:.3f}/M out"
    )
    return {
        "deepseek_input_error_pct": round(errors[0], 1),
        "deepseek_output_error_pct": round(errors[1], 1),
        "deepseek_node_hours": round(account.node_hours, 1),
        "deepseek_target_pct": DEEPSEEK,
    }


if __name__ == "__main__":
    main()
