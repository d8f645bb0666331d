"""Students in a large model's place: three streams through a real gateway, beside a cache of the nearest answer and OCaTS; prints tables and, as its last
line, one JSON object.

banking77 and clinc150 (an intent of 77, of 150), addresses (JSON out of a line). The teacher is the right answer, but for a share of wrong ones; a
local answer counts as wrong where the teacher would have said something else, so that these wrong ones count against students too. Every stream begins
with nothing: the first answers are captured, a student is trained of them by `jevons students train`, compared with its teacher, and answers where its
promise of alpha holds. Further orders of the same streams go through the same policy in this process; so do the rivals and what goes wrong.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.gateway import machine
from bench.students import faults, live, orders
from bench.students.loop import DELTA, SAMPLE, Told
from bench.students.orders import ALPHA, GRADERS, RIVALS, embedding
from bench.students.sets import NOISE, MissingError, load
from jevons.distil.train import agrees
from jevons.embed import Embedder, MissingEmbedderError
from jevons.policy.promise import at_most

REQUESTS, SEEDS = 4_000, 2


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--requests", type=int, default=REQUESTS, help="of each stream")
    options.add_argument(
        "--seeds", type=int, default=SEEDS, help="orders of each stream, the first of them through the gateway too"
    )
    options.add_argument("--noise", type=float, default=NOISE, help="share of the teacher's answers that are wrong")
    options.add_argument("--sets", nargs="+", default=["banking77", "clinc150", "addresses"])
    options.add_argument("--without", nargs="+", default=[], choices=["gateway", "rivals", "faults"])
    given = options.parse_args()
    try:
        load()
        Embedder()
    except (MissingError, MissingEmbedderError) as error:
        sys.exit(f"bench-students: {error}")
    began = time.monotonic()
    figures: dict[str, Any] = {"bench": "students", "alpha": ALPHA, "delta": DELTA, "noise": given.noise, "sample": SAMPLE}
    if "gateway" not in given.without:
        figures |= gateway(given.sets, given.requests, given.noise)
    figures |= in_process(given.sets, given.requests, given.noise, given.seeds, rivals="rivals" not in given.without)
    if "faults" not in given.without:
        figures["faults"] = wrong(given.noise)
    print(f"\n{time.monotonic() - began:.0f} s.")
    figures["machine"] = machine.facts()
    print(json.dumps(figures))


def gateway(sets: Sequence[str], requests: int, noise: float) -> dict[str, Any]:
    """One order of each stream through a real gateway."""
    tasks, per_set, all_told = load(), {}, []
    print(
        f"\nThrough a real gateway, alpha {ALPHA:.0%}, {noise:.0%} of the teacher's answers are wrong, {SAMPLE:.0%} of the local answers are checked"
    )
    with TemporaryDirectory(prefix="jevons-bench-") as folder:
        for name in sets:
            rows = tasks[name].stream(0, requests, noise)
            found = live.run(tasks[name], rows, Path(folder), ALPHA, GRADERS.get(name, "exact"), agrees, _say)
            over_time(name, found)
            told = shares([found.told])
            del told["asked_pct"]  # samples are calls of their own here: `saved_pct` has what they cost
            per_set[name] = told | {
                "train_s": [one.seconds for one in found.trained],
                "saved_pct": round(
                    100 * (1 - sum(one.nusd for one in found.windows) / (found.teacher_nusd * len(found.told))), 1
                ),
                "ledger_findings": found.unbalanced,
                "erased_examples": found.erased["examples"],
                "students_that_held_them": [f"{one['name']}@{one['version']}" for one in found.erased["students"]],
                "seconds": round(found.seconds),
            }
            all_told.append(found.told)
    whole = shares(all_told)
    return {
        "local_share_pct_alpha5": whole["late_pct"],
        "local_share_overall_pct": whole["local_pct"],
        "disagreement_pct": whole["disagreement_pct"],
        "train_s": max([seconds for one in per_set.values() for seconds in one["train_s"]], default=0.0),
        "gateway": per_set,
    }


def over_time(name: str, found: live.Live) -> None:
    print(f"\n{name:<14}{'local %':>9}{'differ %':>10}{'$ per 100':>12}{'teacher alone':>15}")
    per = max(1, len(found.windows) // 8)
    for begin in range(0, len(found.windows), per):
        some = found.windows[begin : begin + per]
        requests, local = sum(one.requests for one in some), sum(one.local for one in some)
        differs = f"{100 * sum(one.differs for one in some) / local:.1f}" if local else "-"
        usd = sum(one.nusd for one in some) / requests / 1e7
        until = sum(one.requests for one in found.windows[: begin + per])
        print(f"  to {until:>8,}{100 * local / requests:>10.0f}{differs:>10}{usd:>12.4f}{found.teacher_nusd / 1e7:>15.4f}")


def in_process(sets: Sequence[str], requests: int, noise: float, seeds: int, *, rivals: bool) -> dict[str, Any]:
    """Each order of each stream; the rivals on the first."""
    jobs = [(name, "student", seed) for name in sets for seed in range(seeds)]
    jobs += [(name, rule, 0) for name in sets for rule in RIVALS] if rivals else []
    found: dict[tuple[str, str], list[list[Told]]] = {}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for (name, rule, seed), told in zip(jobs, pool.map(orders.run, [(*job, requests, noise) for job in jobs]), strict=True):
            found.setdefault((name, rule), []).append(told)
            _say(f"  {name}, {rule}, order {seed}: {shares([told])}")
    print(f"\nIn this process, {seeds} orders of {requests:,} requests (rivals: the first). Late = the second half.")
    print(f"{'':<14}{'':<12}{'local %':>9}{'late %':>9}{'differ %':>10}{'asked %':>9}")
    for (name, rule), runs in found.items():
        whole = shares(runs)
        print(
            f"{name:<14}{rule:<12}{whole['local_pct']:>9}{whole['late_pct']:>9}{whole['disagreement_pct']:>10}{whole['asked_pct']:>9}"
        )
    streams = [shares([told]) for (_, rule), runs in found.items() for told in runs if rule == "student"]
    served = [one for one in streams if one["local_pct"]]
    above = sum(one["disagreement_pct"] > 100 * ALPHA for one in served)
    chance = 1 - at_most(above - 1, len(served), DELTA) if above else 1.0
    print(
        f"{above} of {len(served)} streams that were served differ in more than {ALPHA:.0%}; {DELTA:.0%} may: p = {chance:.2f} (binomial, one-sided)"
    )
    figures: dict[str, Any] = {
        "streams": len(streams),
        "streams_served": len(served),
        "streams_above_alpha": above,
        "violation_p_value": round(chance, 3),
        "in_process": {f"{name} {rule}": shares(runs) for (name, rule), runs in found.items()},
    }
    for rule in RIVALS if rivals else ():
        figures[f"{rule}_share_pct"] = shares([told for (_, which), runs in found.items() if which == rule for told in runs])[
            "late_pct"
        ]
    return figures


def shares(runs: Sequence[Sequence[Told]]) -> dict[str, float]:
    """In percent of the requests, late = of the second half of each run; disagreement and mistakes of the local answers."""
    told = [one for run in runs for one in run]
    late = [one for run in runs for one in run[len(run) // 2 :]]
    local = [one for one in told if one.local]
    return {
        "local_pct": round(100 * len(local) / len(told), 1),
        "late_pct": round(100 * sum(one.local for one in late) / len(late), 1),
        "disagreement_pct": round(100 * sum(one.differs for one in local) / max(1, len(local)), 2),
        "wrong_pct": round(100 * sum(one.wrong for one in local) / max(1, len(local)), 2),
        "asked_pct": round(100 * sum(one.asked for one in told) / len(told), 1),
    }


def wrong(noise: float) -> dict[str, Any]:
    """What goes wrong, with students that serve most of their requests."""
    tasks, embed = load(), embedding()
    clinc = tasks["clinc150"]
    drifted = faults.drift(clinc, embed, agrees, ALPHA, 5_000, 3_000, noise)
    poisoned = faults.poison(clinc, embed, agrees, ALPHA, 6_000, noise)
    strange = faults.empty(clinc, embed, agrees, ALPHA, 5_000, noise)
    print("\nWhat goes wrong (clinc150, in this process)")
    print(
        f"  a third of the classes change their meaning: demoted after {drifted.requests_until_demoted} requests, {drifted.samples_until_demoted} of them"
        f" samples; {drifted.differed} of {drifted.served} local answers differed until then; local {drifted.local_before_pct:.0f} % before,"
        f" {drifted.local_after_pct:.0f} % of the last thousand"
    )
    print(
        f"  a teacher wrong in one class {poisoned.poisoned} times in a row: {poisoned.found} examples set aside; of that class {poisoned.served_pct:.0f} %"
        f" local afterwards, {poisoned.wrong_pct:.1f} % of these wrong; {poisoned.others_wrong_pct:.1f} % of the others"
    )
    print(
        f"  a class without examples: {strange.local_pct:.0f} % of its {strange.asked} requests local, {strange.known_local_pct:.0f} % of the others"
    )
    return {"drift": drifted._asdict(), "poison": poisoned._asdict(), "empty_class": strange._asdict()}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
