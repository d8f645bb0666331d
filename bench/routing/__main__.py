"""Learned routes on RouteLLM's rows: how much of the way from Mixtral to GPT-4 is kept at how many calls of GPT-4, what can be promised, at what cost.

Every figure of a learned route is of questions that had no part in anything: kinds, settings, mixture and thresholds are chosen inside the other
folds. Prints tables and, as its last line, one JSON object. Definitions, as in RouteLLM (arXiv 2406.18665): of the difference between the models'
accuracies, the share that is recovered when a share of the questions goes to GPT-4, those first that are believed to need it; APGR = its mean over all
shares; CPT50, CPT80 = share of calls that recovers 50, 80 per cent. Harm: GPT-4 is right and Mixtral is wrong."""

import argparse
import json
import sys
import time

import numpy as np

from bench.gateway import machine
from bench.routing.curve import Curve, curve, saved_at_equal
from bench.routing.decision import decision
from bench.routing.elsewhere import elsewhere
from bench.routing.joins import joins
from bench.routing.outer import Outer, judged, outer
from bench.routing.promised import Promised, promised
from bench.routing.sets import Asked, MissingError, load
from jevons.embed import MissingEmbedderError

FOLDS, QUICK_FOLDS = 5, 2
TABLE = {
    "prompt length only": ((0.586, 0.359, 0.689), (0.601, 0.362, 0.657)),
    "subject + token means, 5-fold": ((0.690, 0.256, 0.548), (0.606, 0.359, 0.644)),
    "RouteLLM, best of each column": ((0.603, 0.354, 0.703), None),
}
"""APGR, CPT50, CPT80 on MMLU and on GSM8K, as published or measured before. RouteLLM had fewer labels of these sets: not like for like."""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--quick", action="store_true", help="every fourth question, two folds: to see that it runs")
    quick = options.parse_args().quick
    began = time.monotonic()
    try:
        mmlu, gsm = load()
    except (MissingError, MissingEmbedderError) as error:
        sys.exit(f"bench-routing: {error}")
    if quick:
        mmlu, gsm = (one.take(np.arange(0, len(one), 4)) for one in (mmlu, gsm))
    folds = QUICK_FOLDS if quick else FOLDS
    say(f"MMLU {len(mmlu):,} questions, GSM8K {len(gsm):,}; {folds} outer folds")
    runs: dict[str, tuple[Asked, Outer]] = {}
    for name, asked in (("MMLU", mmlu), ("MMLU without its subjects", mmlu.without_task()), ("GSM8K", gsm)):
        runs[name] = asked, outer(asked, folds, say)
    curves = {name: baselines(asked) | {"learned": curve(judged(found), asked)} for name, (asked, found) in runs.items()}
    show_curves(curves)
    promises = {name: promised(asked, found) for name, (asked, found) in runs.items()}
    show_promises(promises)
    figures = headline(runs, curves, promises)
    figures["elsewhere"] = elsewhere(mmlu, gsm, say)
    figures["joining"] = joins(mmlu, say)
    figures |= decision(mmlu, say)
    print(f"\n{time.monotonic() - began:.0f} s.")
    figures["machine"] = machine.facts()
    print(json.dumps(figures))


def baselines(asked: Asked) -> dict[str, Curve]:
    lengths = np.array([float(one.features.question_chars) for one in asked.requests])
    chance = [curve(np.random.default_rng(seed).random(len(asked)), asked) for seed in range(20)]
    return {
        "random": Curve(*np.mean([list(one) for one in chance], axis=0).tolist()),
        "prompt length only": curve(lengths, asked),
    }


def show_curves(curves: dict[str, dict[str, Curve]]) -> None:
    for name, rows in curves.items():
        print(f"\n{name:<42} APGR   CPT50   CPT80   GPT-4 calls for its accuracy")
        for kind, one in rows.items():
            print(f"  {kind:<40} {one.apgr:.3f}  {one.cpt50:.3f}   {one.cpt80:.3f}   {one.whole:.3f}")
        for kind, (mmlu, gsm) in TABLE.items():
            if stated := gsm if name == "GSM8K" else mmlu:
                print(f"  {kind + ' (stated)':<40} {stated[0]:.3f}  {stated[1]:.3f}   {stated[2]:.3f}")


def show_promises(promises: dict[str, Promised]) -> None:
    print("\nPromised: of what goes to Mixtral, at most 10 % is harmed, with confidence 90 %. In per cent.")
    print(f"  {'':<28} covered  harm there  folds promised  most that could be   resamples: covered  broken    p")
    for name, one in promises.items():
        print(
            f"  {name:<28} {one.coverage_pct:6.1f}   {one.harm_pct:8.2f}  {one.folds:>14}  {one.oracle_pct:18.1f}"
            f"   {one.resampled_pct:17.1f}   {one.broken_pct:5.1f}  {one.p_value:.3f}"
        )


def headline(
    runs: dict[str, tuple[Asked, Outer]], curves: dict[str, dict[str, Curve]], promises: dict[str, Promised]
) -> dict[str, object]:
    figures: dict[str, object] = {"bench": "routing"}
    subject, plain, gsm = (curves[name]["learned"] for name in runs)
    asked, found = runs["MMLU"]
    saved = saved_at_equal(asked, found)
    print(f"\nMMLU, cost saved against GPT-4 for everything: {saved.told}")
    figures |= {
        "coverage_pct_alpha10_mmlu": promises["MMLU"].coverage_pct,
        "coverage_pct_alpha10_mmlu_without_subject": promises["MMLU without its subjects"].coverage_pct,
        "harm_pct_alpha10_mmlu": promises["MMLU"].harm_pct,
        "violation_p_value": promises["MMLU"].p_value,
        "saved_pct_at_matched_quality_mmlu": saved.pct,
        "saved_pct_at_matched_quality_mmlu_without_subject": saved_at_equal(*runs["MMLU without its subjects"]).pct,
        "apgr_mmlu": round(subject.apgr, 4),
        "apgr_mmlu_without_subject": round(plain.apgr, 4),
        "apgr_gsm8k": round(gsm.apgr, 4),
        "cpt50_mmlu": round(subject.cpt50, 4),
        "cpt50_mmlu_without_subject": round(plain.cpt50, 4),
        "coverage_pct_alpha10_gsm8k": promises["GSM8K"].coverage_pct,
        "chosen": {name: found.kinds for name, (_, found) in runs.items()},
        "baselines": {
            name: {kind: round(one.apgr, 4) for kind, one in rows.items() if kind != "learned"} for name, rows in curves.items()
        },
        "stated": {kind: {"mmlu": mmlu[0], "gsm8k": gsm[0] if gsm else None} for kind, (mmlu, gsm) in TABLE.items()},
    }
    return figures


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
