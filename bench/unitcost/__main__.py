"""Throughput and energy of models that the fit has not seen, DeepSeek's own figures, the local engine; tables, and a last line of JSON.

Rows: JEVONS_DATA/measured_throughput.csv. In each of five splits, seeds 0 to 4, half of the models are fitted and the rows of the other half
are predicted, all of a model's rows on one side. DeepSeek's two rows are in no fit. "calibrated": of a system with four rows or more, three
are known, chosen by predicted speed: the slowest, the middle, the fastest; the others are judged. Beside, on the same rows: splits by families,
so that one architecture under several names is on one side; the plain roofline at the same batch, and with one constant fitted on the same
half; three points chosen by chance, and three points that give one factor; parts, generations and frameworks left out in turn, with the share
inside their intervals; twenty more splits. The local engine is measured by bench.unitcost.local.
"""

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from bench.gateway import machine
from bench.unitcost import local
from jevons.economics.unitcost import deepseek
from jevons.economics.unitcost.check import Check, Verdict, calibrate, median_ape, verdicts
from jevons.economics.unitcost.check_picture import picture
from jevons.economics.unitcost.cycle import plain_s
from jevons.economics.unitcost.efficiency import Efficiencies
from jevons.economics.unitcost.errors import UnitCostError
from jevons.economics.unitcost.fit import KEYS, Rows, errors, fitted, nameless, stacked
from jevons.economics.unitcost.fit import left_out as leaving
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.measured import Point, material, points, rows
from jevons.economics.unitcost.serving import best_batch, serve
from jevons.economics.unitcost.weights import cache_precision, precision

ROOT = Path(__file__).parents[2]
FILE = "measured_throughput.csv"
SPLITS, MORE, BY_FAMILIES = 5, 20, 100
SPEC, CALIBRATED, JOULES, DEEPSEEK = 20.0, 10.0, 25.0, 30.0
"""Targets in percent."""
DRAWS = 10
"""Of three points by chance, in every split."""
FAMILIES = {
    "llama-3.1-70b": "llama 70B", "llama-3.3-70b": "llama 70B", "llama2-70b": "llama 70B", "llama-4-maverick": "llama 4",
    "llama-4-scout": "llama 4", "gpt-oss-20b": "gpt-oss", "gpt-oss-120b": "gpt-oss", "qwen3-8b": "qwen3 dense", "qwen3-14b": "qwen3 dense",
    "qwen3-32b": "qwen3 dense", "qwen3-30b-a3b": "qwen3 mixture", "qwen3-235b-a22b": "qwen3 mixture",
}  # fmt: skip
"""Models that are one architecture under several names or in several sizes; any other is a family of its own."""


class Judged(NamedTuple):
    """One split; medians of absolute errors in percent."""

    spec: float
    calibrated: float | None
    joules: float | None
    plain: float
    one_constant: float
    """The plain roofline, times a constant fitted on the other half."""
    by_chance: list[float]
    """Calibrated by three points that chance chose, every draw."""
    one_factor: float | None
    """Calibrated by the median error of the same three points as `calibrated`, nothing else."""
    rows: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.unitcost", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("JEVONS_DATA", ROOT.parent / "shared" / "data")))
    parser.add_argument("--no-local", action="store_true", help="leave out the local engine, which takes minutes")
    parser.add_argument("--rows-svg", type=Path, help="draw every row as a fit without its family predicts it")
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
    print(
        f"{kept} rows of {len({point.model for point in stack.points})} models; {len(found) - kept} of a maker's own in no fit; not judged:"
    )
    for row in unjudged:
        print(f"  {row.id}: {row.reason}")
    whole = fitted(stack)
    figures = splits(stack) | left_out(stack) | joules_rows(stack) | published(whole)
    if options.rows_svg:
        options.rows_svg.write_text(
            picture(Check(tuple(unseen(stack)), ()), "Each by a fit without its family."), encoding="utf-8"
        )
    if not options.no_local:
        print("\nThe local engine:", flush=True)
        figures |= local.run(options)
    print(json.dumps({**figures, "machine": machine.facts(), "command": " ".join(["python -m bench.unitcost", *sys.argv[1:]])}))


def splits(stack: Rows) -> dict[str, object]:
    """Half of the models fitted, the other half predicted."""
    judged, every = [], []
    print(
        f"\n{'split':>5} {'rows':>5} {'spec':>7} {'calibrated':>11} {'joules':>7} {'plain':>7} {'x constant':>11}   models that were predicted"
    )
    for seed in range(SPLITS):
        known_rows, unseen = halves(stack.points, seed)
        found, one = _split(stack, known_rows, unseen, seed)
        judged.append(one)
        every += found
        models = ", ".join(sorted({stack.points[row].model for row in unseen}))
        print(
            f"{seed:5} {one.rows:5} {one.spec:7.1f} {one.calibrated or 0:11.1f} {one.joules or 0:7.1f} {one.plain:7.1f} "
            f"{one.one_constant:11.1f}   {models}",
            flush=True,
        )
    others = [_predicted(stack, *halves(stack.points, seed)) for seed in range(SPLITS, SPLITS + MORE)]
    more = [median_ape(one.error for one in found) or 0.0 for found in others]
    families = [_spec(stack, *halves(stack.points, seed, _family)) for seed in range(BY_FAMILIES)]
    chance = [value for one in judged for value in one.by_chance]
    inside, inside_more = _inside(every), _inside(one for found in others for one in found)
    print(f"{MORE} more splits: mean {fmean(more):.1f} %, worst {max(more):.1f} %")
    print(f"{BY_FAMILIES} splits by families: mean {fmean(families):.1f} %, worst {max(families):.1f} %")
    print(f"plain roofline times one constant of the other half: {fmean(one.one_constant for one in judged):.1f} %")
    print(f"three points by chance: {fmean(chance):.1f} %, worst of {len(chance)} {max(chance):.1f} %; one factor from three points: "
          f"{_mean(one.one_factor for one in judged)} %")  # fmt: skip
    print(f"inside their 90 %: {inside:.0f} %; of {MORE} more splits {inside_more:.0f} %")
    _groups(every)
    return {
        "median_ape_spec_pct": round(fmean(one.spec for one in judged), 2),
        "median_ape_calibrated_pct": _mean(one.calibrated for one in judged),
        "median_ape_joules_pct": _mean(one.joules for one in judged),
        "plain_roofline_ape_pct": round(fmean(one.plain for one in judged), 2),
        "targets_pct": {"spec": SPEC, "calibrated": CALIBRATED, "joules": JOULES},
        "spec_by_split_pct": [one.spec for one in judged],
        "spec_more_splits_pct": {"splits": MORE, "mean": round(fmean(more), 2), "worst": max(more)},
        "spec_by_families_pct": {"splits": len(families), "mean": round(fmean(families), 2), "worst": max(families)},
        "roofline_one_constant_ape_pct": round(fmean(one.one_constant for one in judged), 2),
        "calibrated_by_chance_pct": {"draws": len(chance), "mean": round(fmean(chance), 2), "worst": max(chance)},
        "calibrated_one_factor_pct": _mean(one.one_factor for one in judged),
        "inside_90_pct": round(inside, 1),
        "inside_90_more_splits_pct": round(inside_more, 1),
    }


def _split(stack: Rows, known_rows: Sequence[int], unseen: Sequence[int], seed: int) -> tuple[list[Verdict], Judged]:
    efficiencies, asked = fitted(stack.of(known_rows)), stack.of(unseen)
    found = verdicts(asked, efficiencies)
    constant = float(np.median(_roofline(stack.of(known_rows))))
    chance = Random(seed)
    drawn = [median_ape(calibrate(asked, efficiencies, lambda rows: chance.sample(rows, 3)).values()) for _ in range(DRAWS)]
    return found, Judged(
        median_ape(one.error for one in found) or 0.0,
        median_ape(one.calibrated_error for one in found),
        median_ape(one.joules_error for one in found),
        median_ape(one.plain_error for one in found) or 0.0,
        median_ape(float(error) - constant for error in _roofline(asked)) or 0.0,
        [value for value in drawn if value is not None],
        median_ape(_one_factor(asked, found)),
        len(found),
    )


def _predicted(stack: Rows, known_rows: Sequence[int], unseen: Sequence[int]) -> list[Verdict]:
    """The rows of one half by the fit of the other."""
    return verdicts(stack.of(unseen), fitted(stack.of(known_rows)))


def _inside(found: Iterable[Verdict]) -> float:
    """Percent inside their 90 % intervals."""
    return 100 * fmean(one.low <= one.point.tok_s <= one.high for one in found)


def _spec(stack: Rows, known_rows: Sequence[int], unseen: Sequence[int]) -> float:
    return median_ape(map(float, errors(stack.of(unseen), fitted(stack.of(known_rows), spread=False)))) or 0.0


def _roofline(asked: Rows) -> Any:
    """ln(plain roofline / measured), row by row."""
    return asked.log_s - np.log(plain_s(asked.steps))


def _one_factor(asked: Rows, found: Sequence[Verdict]) -> Iterator[float]:
    """Errors left of a system's rows when three of them, the same as are known to `calibrate`, give one factor."""
    systems: defaultdict[str, list[int]] = defaultdict(list)
    for row, point in enumerate(asked.points):
        systems[point.system].append(row)
    for members in systems.values():
        if any(found[row].calibrated_error is not None for row in members):
            three = [row for row in members if found[row].calibrated_error is None]
            factor = float(np.median([found[row].error for row in three]))
            yield from (found[row].error - factor for row in members if row not in three)


def unseen(stack: Rows) -> Iterator[Verdict]:
    """Every row, predicted by a fit to all families but its own."""
    for family in sorted({_family(point) for point in stack.points}):
        own = [place for place, point in enumerate(stack.points) if _family(point) == family]
        rest = [place for place in range(len(stack.points)) if place not in own]
        yield from verdicts(stack.of(own), fitted(stack.of(rest)))


def _family(point: Point) -> str:
    return FAMILIES.get(point.model, point.model)


def _model(point: Point) -> str:
    return point.model


def halves(found: Sequence[Point], seed: int, of: Callable[[Point], str] = _model) -> tuple[list[int], list[int]]:
    """Places of the rows that are fitted and of those that are predicted; of an odd number of models (families) one more is fitted."""
    order = [str(name) for name in np.random.default_rng(seed).permutation(sorted({of(point) for point in found}))]
    chosen = set(order[: (len(order) + 1) // 2])
    return (
        [place for place, point in enumerate(found) if of(point) in chosen],
        [place for place, point in enumerate(found) if of(point) not in chosen],
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
    """What no row of the fit has, predicted from rows of all others, intervals by that fit's own leaving out."""
    parts: dict[str, float | None] = {}
    shares: dict[str, float] = {}
    for name in ("part", "generation", "framework"):
        inside: list[bool] = []
        print(f"\n{name + ' left out of the fit':38} {'rows':>5} {'median error, %':>16} {'inside 90 %':>12}")
        for unseen, rest in leaving(stack, name):
            asked = nameless(stack.of(unseen)) if name == "framework" else stack.of(unseen)
            found = verdicts(asked, fitted(stack.of(rest)))
            hits = [one.low <= one.point.tok_s <= one.high for one in found]
            key, error = str(KEYS[name](found[0].point)), median_ape(one.error for one in found)
            print(f"{key:38} {len(unseen):5} {error:16.1f} {fmean(hits):12.0%}", flush=True)
            inside += hits
            if name == "part":
                parts[key] = error
        shares[name] = round(100 * fmean(inside), 1)
    print(f"inside 90 %, all rows: {', '.join(f'{name} left out {share:.0f} %' for name, share in shares.items())}")
    return {"unseen_part_ape_pct": parts, "unseen_inside_90_pct": shares}


def joules_rows(stack: Rows) -> dict[str, object]:
    """What the evidence for joules is of."""
    powered = [point for point in stack.points if point.joules_per_token]
    parts, frameworks = sorted({point.on.part.name for point in powered}), sorted({point.framework for point in powered})
    print(f"\njoules: {len(powered)} rows, of {', '.join(parts)} under {', '.join(frameworks)}")
    return {"joules_evidence": {"rows": len(powered), "parts": parts, "frameworks": frameworks}}


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
