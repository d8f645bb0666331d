"""Every quantisation of one model on the packaged sample: loss, task, speed, memory, and what is chosen under a bound. A table, then one JSON object.

    python -m bench.quants [--model FILE] [--traffic FILE] [--types Q8_0,Q4_0] [--kld-max 0.05] [--quick]

The packaged model's weights are quantised already (Q4_1, its token embedding Q8_0): each figure of it is "re-quantised". Reference and candidates run in
the same library with the same threads; speeds are of rounds that go around. What was measured is kept in bench/out/quants: a run that was stopped goes on.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from bench.gateway import machine
from jevons.cli import models_shown
from jevons.engine.weights.catalogue import PACKAGED, Catalogue, sha256_of
from jevons.engine.weights.choose import KLD_MAX, Bound, Mix, Row, cheapest
from jevons.engine.weights.measure import Sizes
from jevons.engine.weights.quantise import CANDIDATES, LIBRARY, file_type
from jevons.engine.weights.traffic import read_traffic
from jevons.engine.weights.trial import Trial, Wanted
from jevons.ledger.home import Home

FOLDER = Path(__file__).parents[1] / "out" / "quants"
MIX = Mix(1155, 211, "mean lengths of Azure's public conversation trace of 2023")
QUICK = Sizes(tokens=3_400, questions=24, rounds=2, threads=1)
QUICK_TYPES = ("Q8_0", "Q4_K_M", "Q4_0", "Q2_K")
BOUNDS = (0.005, 0.02, 0.05, 0.2)
"""Nats per token at which the choice is shown beside the one that was asked for."""
FIGURES = (
    "ppl", "kld_mean", "kld_upper", "kld_p99", "top1_agreement", "task_score", "task_loss", "task_loss_upper", "prefill_tok_s",
    "decode_tok_s", "rss_mib", "size_bytes", "bits_per_weight", "seconds_per_1000", "passes",
)  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--model", type=Path, help="a GGUF file; default: the packaged one")
    options.add_argument("--traffic", type=Path, help="default: the packaged sample")
    options.add_argument("--types", default="")
    options.add_argument("--kld-max", type=float, default=KLD_MAX)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--quick", action="store_true", help="four types, fewer tokens and rounds")
    options.add_argument("--again", action="store_true", help="measure also what was measured before")
    asked = options.parse_args()
    types = (
        tuple(file_type(name) for name in asked.types.split(",")) if asked.types else QUICK_TYPES if asked.quick else CANDIDATES
    )
    sizes = QUICK if asked.quick else Sizes(threads=asked.threads)
    FOLDER.mkdir(parents=True, exist_ok=True)
    catalogue = Catalogue(Home(FOLDER).path)
    name = PACKAGED
    if asked.model:  # its digest is in its name: a file that was made anew is another model
        name = catalogue.add(asked.model, f"{asked.model.stem}-{sha256_of(asked.model)[:6]}").name
    wanted = Wanted(types, Bound(asked.kld_max), MIX, "seconds", sizes, asked.again)
    traffic = read_traffic(asked.traffic)
    choice = Trial(catalogue, catalogue.find(name), print).run(wanted, traffic)
    document = models_shown.chosen_document(name, traffic, wanted, choice)
    models_shown.chosen(document)
    at = {f"{bound:g}": chosen_at(choice.rows, bound) for bound in sorted({*BOUNDS, asked.kld_max})}
    print("Chosen at a KLD of at most " + "; ".join(f"{bound}: {label}" for bound, label in at.items()) + ".")
    print(json.dumps(figures(document, at)))


def chosen_at(rows: Sequence[Row], bound: float) -> str:
    """The cheapest by seconds whose KLD holds another bound, from the same measurements."""
    held = [structs.replace(row, passes=row.reference or (row.kld_upper is not None and row.kld_upper <= bound)) for row in rows]
    return cheapest(held, "seconds").label


def figures(document: dict[str, Any], at: dict[str, str]) -> dict[str, Any]:
    """The last line: figures of each type, what is chosen, and what it was measured on."""
    rows = [{**row, "ppl": row["perplexity"]} for row in document["rows"]]
    return {
        "bench": "quants",
        "model": document["model"],
        "requantised": document["requantised"],
        "types": {row["label"]: {name: short(row[name]) for name in FIGURES} for row in rows},
        "kld_max": document["bound"]["kld_max"],
        "chosen": document["chosen_label"],
        "none_passes": document["none_passes"],
        "chosen_at_kld": at,
        "mix": document["mix"],
        "sizes": document["sizes"],
        "traffic": document["traffic"]["source"],
        "library": LIBRARY,
        "machine": machine.facts(),
    }


def short(value: float | None) -> float | None:
    """Five significant digits; integers and truth as they are."""
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
