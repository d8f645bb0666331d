"""Labels from another source, then 300 local ones: does the promise still hold, and what does it cover?

A predictor is trained on one set's labels alone. The promise is made of its scores and 300 labels of the other set, and held against all of that
set's other questions; again and again, with other labels drawn."""

from collections.abc import Callable

import numpy as np

from bench.routing.promised import ALPHA, DELTA
from bench.routing.sets import MODELS, Asked
from bench.routing.validity import p_value
from jevons.learn.matrix import columns
from jevons.learn.select import candidates, choose
from jevons.policy.promise import Judged, certify

LOCAL, DRAWS = 300, 200
DOMAIN = (
    "professional_medicine",
    "clinical_knowledge",
    "college_medicine",
    "anatomy",
    "medical_genetics",
    "virology",
    "nutrition",
)


def elsewhere(mmlu: Asked, gsm: Asked, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    inside = np.isin([one.features.task for one in mmlu.requests], DOMAIN)
    plain = mmlu.without_task()
    pairs = {
        "MMLU to GSM8K": (plain, gsm),
        "GSM8K to MMLU": (gsm, plain),
        "MMLU without medicine to medicine": (plain.take(np.flatnonzero(~inside)), plain.take(np.flatnonzero(inside))),
    }
    print(f"\nLabels from elsewhere, and {LOCAL} local ones, {DRAWS} draws. In per cent.")
    print(f"  {'':<36} harm of all  promised  covered  broken    p")
    found = {}
    for name, (source, local) in pairs.items():
        say(f"  {name}")
        found[name] = one = _drawn(_scores(source, local), local.harm)
        print(
            f"  {name:<36} {100 * local.harm.mean():11.1f}  {one['promised_pct']:8.1f}  {one['coverage_pct']:7.1f}  {one['broken_pct']:6.1f}"
            f"  {one['p_value']:.3f}{'  no promise' if not one['promised_pct'] else ''}"
        )
    return found


def _scores(source: Asked, local: Asked) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    by = columns(source.requests)
    chosen = choose(source.examples(by), source.groups, MODELS, candidates(reads=True))
    return chosen.probabilities(by.rows(local.requests))[:, 0].astype(np.float64)


def _drawn(
    scores: np.ndarray[tuple[int], np.dtype[np.float64]], harm: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> dict[str, float]:
    chance = np.random.default_rng(0)
    promised = broken = 0
    covered = 0.0
    for _ in range(DRAWS):
        order = chance.permutation(len(scores))
        labels, fresh = order[:LOCAL], order[LOCAL:]
        made = certify([Judged(float(scores[row]), bool(harm[row])) for row in labels], ALPHA, DELTA)
        if made is None:
            continue
        promised += 1
        sent = fresh[scores[fresh] >= made.threshold]
        covered += len(sent) / len(fresh) / DRAWS
        broken += len(sent) > 0 and harm[sent].mean() > ALPHA
    return {
        "promised_pct": round(100 * promised / DRAWS, 1),
        "coverage_pct": round(100 * covered, 1),
        "broken_pct": round(100 * broken / DRAWS, 1),
        "p_value": round(p_value(int(broken), DRAWS, DELTA), 4),
    }
