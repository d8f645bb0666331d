"""Labelled questions in arrival order through the semantic cache's decision and its rivals; prints tables and, as its last line, one JSON object.

Every stream starts with an empty cache and nothing learnt. Fixed thresholds are chosen on a stream of the same set and length that shares no
row with the one they are judged on; ours sees no such stream. Error = wrong answers served, of all requests; a hit = an answer that no model
call was made for, so that checks are none. A bound holds if so many wrong answers, over all seeds together, are not improbable under it
(binomial, one-sided, 95 %; rows that several seeds draw are counted as if they were different).
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from bench.gateway import machine
from bench.semantic.runs import Outcome, ours, per_entry, static, surprise, turned
from bench.semantic.sets import MissingError, Stream, load, resample
from jevons.embed import MissingEmbedderError
from jevons.policy.semantic import BANKED, CHECKED, MOST_WRONG

SEEDS, MOST = 5, 5_000
QUICK_SEEDS, QUICK_MOST = 2, 2_000
DELTAS = (0.01, 0.02, 0.05)
SHOWN = 0.02
"""The delta of the comparisons."""
THRESHOLDS = np.round(np.arange(0.5, 1.0, 0.01), 2)
LEVEL = 0.05


class Pooled(NamedTuple):
    """One rule on one set, all seeds together; in percent of the requests."""

    hit: float
    error: float
    checks: float
    probability: float
    """Of so many wrong answers or more, if the bound just held."""

    @property
    def valid(self) -> bool:
        return self.probability >= LEVEL


class Judged(NamedTuple):
    """Everything at one delta on one set."""

    ours: Pooled
    static: dict[str, Pooled]
    """By how the threshold was chosen."""
    oracle: Pooled
    """Chosen on the very stream it is judged on."""

    @property
    def best(self) -> Pooled:
        """The best static threshold that is valid; none valid = one that serves nothing."""
        return max([rule for rule in self.static.values() if rule.valid], default=Pooled(0.0, 0.0, 0.0, 1.0))


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--quick", action="store_true", help=f"{QUICK_SEEDS} seeds, {QUICK_MOST} requests")
    options.add_argument("--seeds", type=int)
    options.add_argument("--first-seed", type=int, default=0)
    given = options.parse_args()
    count = given.seeds or (QUICK_SEEDS if given.quick else SEEDS)
    seeds, most = range(given.first_seed, given.first_seed + count), QUICK_MOST if given.quick else MOST
    began = time.monotonic()
    try:
        sets, strange = load()
    except (MissingError, MissingEmbedderError) as error:
        sys.exit(f"bench-semantic: {error}")
    figures: dict[str, object] = {"bench": "semantic"}
    per_set: dict[str, dict[float, Judged]] = {}
    for name, rows in sets.items():
        pairs = [resample(rows, seed, most) for seed in seeds]
        _say(f"{name}: {len(rows):,} rows, {len(pairs)} seeds of {len(pairs[0][1]):,} requests")
        per_set[name] = judge(pairs, seeds)
        show(name, per_set[name])
        figures[name] = aside(name, [stream for _, stream in pairs], seeds)
    figures["stress"] = stress(sets, strange, seeds, most)
    headline(figures, per_set)
    print(f"\n{time.monotonic() - began:.0f} s, one thread.")
    figures["machine"] = machine.facts()
    print(json.dumps(figures))


def judge(pairs: Sequence[tuple[Stream, Stream]], seeds: Sequence[int]) -> dict[float, Judged]:
    """Ours and fixed thresholds at each delta."""
    calibrated, judged = [], []
    for number, (calibration, stream) in enumerate(pairs):
        _say(f"  fixed thresholds, seed {number + 1} of {len(pairs)}")
        calibrated.append(static(calibration, THRESHOLDS))
        judged.append(static(stream, THRESHOLDS))
    found = {}
    for delta in DELTAS:
        _say(f"  ours at {delta:.0%}")

        def chosen(allowed: Callable[[Outcome], bool], on: list[list[Outcome]]) -> list[Outcome]:
            return [sweep[_lowest(choice, allowed)] for sweep, choice in zip(judged, on, strict=True)]

        def keeps(outcome: Outcome, delta: float = delta) -> bool:
            return outcome.wrong <= delta * outcome.requests

        def surely(outcome: Outcome, delta: float = delta) -> bool:
            return 1 - surprise(outcome.wrong + 1, outcome.requests, delta) <= LEVEL

        found[delta] = Judged(
            pooled([ours(stream, delta, seed) for seed, (_, stream) in zip(seeds, pairs, strict=True)], delta),
            {
                "lowest that kept it": pooled(chosen(keeps, calibrated), delta),
                "lowest that kept it at 95 %": pooled(chosen(surely, calibrated), delta),
            },
            pooled(chosen(keeps, judged), delta),
        )
    return found


def _lowest(outcomes: list[Outcome], allowed: Callable[[Outcome], bool]) -> int:
    """The lowest threshold from which on every one is allowed; the highest if none is."""
    number = len(outcomes) - 1
    while number and allowed(outcomes[number - 1]):
        number -= 1
    return number


def pooled(outcomes: Sequence[Outcome], delta: float) -> Pooled:
    requests, wrong = sum(outcome.requests for outcome in outcomes), sum(outcome.wrong for outcome in outcomes)
    share = 100 / requests
    return Pooled(
        share * sum(outcome.hits for outcome in outcomes),
        share * wrong,
        share * sum(outcome.checks for outcome in outcomes),
        surprise(wrong, requests, delta),
    )


def show(name: str, judged: dict[float, Judged]) -> None:
    print(f"\n{name:<44}{'hits %':>9}{'error %':>9}{'checks %':>10}   bound of error")
    for delta, at in judged.items():
        rules = {
            "ours": at.ours,
            **{f"static, {how}": rule for how, rule in at.static.items()},
            "static, chosen afterwards (not a rule)": at.oracle,
        }
        for what, rule in rules.items():
            bound = f"{delta:.0%} {'holds' if rule.valid else 'BROKEN'} (p = {rule.probability:.2f})"
            print(f"{what:<44}{rule.hit:9.1f}{rule.error:9.2f}{rule.checks:10.2f}   {bound}")


def aside(name: str, streams: Sequence[Stream], seeds: Sequence[int]) -> dict[str, object]:
    """At SHOWN: the learning curve, vCache's rule, and ours behind the rules of the gateway."""
    _say("  vCache's rule, and the gateway's rules")
    runs = [ours(stream, SHOWN, seed) for seed, stream in zip(seeds, streams, strict=True)]
    curve = [round(fmean(part), 1) for part in zip(*(run.curve() for run in runs), strict=True)]
    entries = pooled([per_entry(stream, SHOWN, seed) for seed, stream in zip(seeds, streams, strict=True)], SHOWN)
    ruled = pooled([ours(stream, SHOWN, seed, rules=True) for seed, stream in zip(seeds, streams, strict=True)], SHOWN)
    print(f"{'each entry alone, in the manner of vCache':<44}{entries.hit:9.1f}{entries.error:9.2f}{'':10}   {SHOWN:.0%}")
    print(
        f"{'ours behind the rules for time, persons, …':<44}{ruled.hit:9.1f}{ruled.error:9.2f}{ruled.checks:10.2f}   {SHOWN:.0%}"
    )
    print(f"served in each eighth of the stream at {SHOWN:.0%}: {' '.join(f'{part:.0f}' for part in curve)} %")
    alarms = sum(len(run.demoted) for run in runs)
    print(f"false alarms of the watch: {alarms} in {sum(run.requests for run in runs):,} requests")
    return {
        "curve_pct": curve,
        "per_entry_hit_pct": round(entries.hit, 1),
        "per_entry_error_pct": round(entries.error, 2),
        "ruled_hit_pct": round(ruled.hit, 1),
        "ruled_error_pct": round(ruled.error, 2),
        "false_alarms": alarms,
    }


def stress(sets: dict[str, Stream], strange: Stream, seeds: Sequence[int], most: int) -> dict[str, object]:
    """At SHOWN: questions that have no like mixed in, and labels whose meaning changes half-way."""
    _say("stress: out of scope, changed meanings")
    print(f"\n{'stress at ' + format(SHOWN, '.0%'):<44}{'hits %':>9}{'error %':>9}{'checks %':>10}")
    found: dict[str, object] = {}
    mixed = []
    for seed in seeds:
        both = resample(sets["CLINC150"], seed, most)[1].then(strange)
        mixed.append(ours(both.take(np.random.default_rng(seed).permutation(len(both))), SHOWN, seed))
    at = pooled(mixed, SHOWN)
    print(f"{'CLINC150 with 1,200 questions out of scope':<44}{at.hit:9.1f}{at.error:9.2f}{at.checks:10.2f}")
    found["out_of_scope_error_pct"] = round(at.error, 2)
    for name, rows in sets.items():
        for share in (1.0, 0.3):
            runs = [ours(turned(resample(rows, seed, most)[1], share, seed), SHOWN, seed) for seed in seeds]
            at = pooled(runs, SHOWN)
            half = runs[0].requests // 2
            noticed = [next((number - half for number in run.demoted if number >= half), half) for run in runs]
            wrong = [
                sum(half <= number <= half + late for number in run.wrong_at) for run, late in zip(runs, noticed, strict=True)
            ]
            what = f"{name}: {share:.0%} of meanings change half-way"
            print(
                f"{what:<44}{at.hit:9.1f}{at.error:9.2f}{at.checks:10.2f}   noticed after {sorted(noticed)} requests, {sorted(wrong)} wrong"
            )
            found[f"{name} {share:.0%}"] = {"error_pct": round(at.error, 2), "noticed_after": noticed, "wrong_meanwhile": wrong}
    return found


def headline(figures: dict[str, object], per_set: dict[str, dict[float, Judged]]) -> None:
    """Errors are those of the worse set, hits the mean of the sets."""
    for delta in DELTAS:
        figures[f"observed_error_pct_delta{delta * 100:.0f}"] = round(max(at[delta].ours.error for at in per_set.values()), 2)
    at_shown = [at[SHOWN] for at in per_set.values()]
    figures |= {
        "hit_pct_delta2": round(fmean(at.ours.hit for at in at_shown), 1),
        "static_valid_hit_pct_delta2": round(fmean(at.best.hit for at in at_shown), 1),
        "static_afterwards_hit_pct_delta2": round(fmean(at.oracle.hit for at in at_shown), 1),
        "checks_pct_delta2": round(fmean(at.ours.checks for at in at_shown), 2),
        "bounds_hold": all(judged.ours.valid and judged.ours.hit > 0 for at in per_set.values() for judged in at.values()),
        "sets": {
            name: {
                f"{delta:.0%}": {
                    "hit_pct": round(judged.ours.hit, 1),
                    "error_pct": round(judged.ours.error, 2),
                    "static_valid_hit_pct": round(judged.best.hit, 1),
                }
                for delta, judged in at.items()
            }
            for name, at in per_set.items()
        },
    }
    print(
        f"\nBoth sets at {SHOWN:.0%} (mean): {figures['hit_pct_delta2']} % served, best valid static threshold "
        f"{figures['static_valid_hit_pct_delta2']} %. Constants: {CHECKED:.0%} of hits checked, at most {MOST_WRONG} wrong, {BANKED} requests banked."
    )


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
