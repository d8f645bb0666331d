"""Learned routes on RouteLLM's rows: how much of the way from Mixtral to GPT-4 is kept at how many calls of GPT-4, what can be promised, at what cost.

Every figure of a learned route is of questions that had no part in anything: kinds, settings, mixture and thresholds are chosen inside the other
folds. Prints tables and, as its last line, one JSON object. Definitions, as in RouteLLM (arXiv 2406.18665): of the difference between the models'
accuracies, the share that is recovered when a share of the questions goes to GPT-4, those first that are believed to need it; APGR = its mean over all
shares; CPT50, CPT80 = share of calls that recovers 50, 80 per cent. Harm: GPT-4 is right and Mixtral is wrong."""

import argparse
import json
import sys
import time
from typing import NamedTuple

import numpy as np

from bench.gateway import machine
from bench.routing.curve import Curve, curve, saved_at_equal
from bench.routing.decision import decision
from bench.routing.elsewhere import elsewhere
from bench.routing.joins import joins
from bench.routing.outer import Outer, judged, outer
from bench.routing.promised import ALPHA, DELTA, Promised, promised
from bench.routing.sets import Asked, MissingError, load
from jevons.embed import MissingEmbedderError

FOLDS, QUICK_FOLDS = 5, 2
TABLE = {
    "prompt length only": ((0.586, 0.359, 0.689), (0.601, 0.362, 0.657)),
    "subject + token means, 5-fold": ((0.690, 0.256, 0.548), (0.606, 0.359, 0.644)),
    "RouteLLM, best of each column": ((0.603, 0.354, 0.703), None),
}
"""APGR, CPT50, CPT80 on MMLU and on GSM8K, as published or measured before. RouteLLM had fewer labels of these sets: not like for like."""


PARTS = ("subjects", "plain", "gsm8k", "elsewhere", "joining", "decision")


class Run(NamedTuple):
    """One set, judged."""

    asked: Asked
    found: Outer
    curves: dict[str, Curve]
    promised: Promised


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--quick", action="store_true", help="every fourth question, two folds: to see that it runs")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="only these")
    given = options.parse_args()
    began = time.monotonic()
    try:
        mmlu, gsm = load()
    except (MissingError, MissingEmbedderError) as error:
        sys.exit(f"bench-routing: {error}")
    if given.quick:
        mmlu, gsm = (one.take(np.arange(0, len(one), 4)) for one in (mmlu, gsm))
    folds = QUICK_FOLDS if given.quick else FOLDS
    say(f"MMLU {len(mmlu):,} questions, GSM8K {len(gsm):,}; {folds} outer folds")
    sets = {"subjects": ("MMLU", mmlu), "plain": ("MMLU without its subjects", mmlu.without_task()), "gsm8k": ("GSM8K", gsm)}
    figures: dict[str, object] = {"bench": "routing"}
    for part, (name, asked) in sets.items():
        if part in given.parts:
            figures |= headline(part, run(name, asked, folds))
    figures["stated"] = {kind: {"mmlu": mmlu[0], "gsm8k": gsm[0] if gsm else None} for kind, (mmlu, gsm) in TABLE.items()}
    if "elsewhere" in given.parts:
        figures["elsewhere"] = elsewhere(mmlu, gsm, say)
    if "joining" in given.parts:
        figures["joining"] = joins(mmlu, say)
    if "decision" in given.parts:
        figures |= decision(mmlu, say)
    print(f"\n{time.monotonic() - began:.0f} s.")
    figures["machine"] = machine.facts()
    print(json.dumps(figures))


def run(name: str, asked: Asked, folds: int) -> Run:
    say(name)
    found = outer(asked, folds, say)
    curves = baselines(asked) | {"learned": curve(judged(found), asked)}
    show_curves(name, curves)
    kept = promised(asked, found)
    show_promise(kept)
    return Run(asked, found, curves, kept)


def baselines(asked: Asked) -> dict[str, Curve]:
    lengths = np.array([float(one.features.question_chars) for one in asked.requests])
    chance = [curve(np.random.default_rng(seed).random(len(asked)), asked) for seed in range(20)]
    return {
        "random": Curve(*np.mean([list(one) for one in chance], axis=0).tolist()),
        "prompt length only": curve(lengths, asked),
    }


def show_curves(name: str, rows: dict[str, Curve]) -> None:
    print(f"\n{name:<42} APGR   CPT50   CPT80   GPT-4 calls for its accuracy")
    for kind, one in rows.items():
        print(f"  {kind:<40} {one.apgr:.3f}  {one.cpt50:.3f}   {one.cpt80:.3f}   {one.whole:.3f}")
    for kind, (mmlu, gsm) in TABLE.items():
        if stated := gsm if name == "GSM8K" else mmlu:
            print(f"  {kind + ' (stated)':<40} {stated[0]:.3f}  {stated[1]:.3f}   {stated[2]:.3f}")


def show_promise(one: Promised) -> None:
    print(
        f"  Harm <= {ALPHA:.0%}, confidence {1 - DELTA:.0%}: covers {one.coverage_pct} % of the questions, harm among them {one.harm_pct} %, a promise in"
        f" {one.folds} folds. Whoever knew all could cover {one.oracle_pct} %.\n  On resamples: covers {one.resampled_pct} %,"
        f" broken in {one.broken_pct} % of them (p {one.p_value}).",
        flush=True,
    )


def headline(part: str, one: Run) -> dict[str, object]:
    end = {"subjects": "mmlu", "plain": "mmlu_without_subject", "gsm8k": "gsm8k"}[part]
    learned, saved = one.curves["learned"], saved_at_equal(one.asked, one.found)
    print(f"  Cost saved against GPT-4 for everything: {saved.told}", flush=True)
    figures: dict[str, object] = {
        f"coverage_pct_alpha10_{end}": one.promised.coverage_pct,
        f"harm_pct_alpha10_{end}": one.promised.harm_pct,
        f"saved_pct_at_matched_quality_{end}": saved.pct,
        f"apgr_{end}": round(learned.apgr, 4),
        f"cpt50_{end}": round(learned.cpt50, 4),
        f"cpt80_{end}": round(learned.cpt80, 4),
        f"chosen_{end}": one.found.kinds,
        f"apgr_baselines_{end}": {kind: round(row.apgr, 4) for kind, row in one.curves.items() if kind != "learned"},
    }
    if part == "subjects":
        figures["violation_p_value"] = one.promised.p_value
    else:
        figures[f"violation_p_value_{end}"] = one.promised.p_value
    return figures


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
