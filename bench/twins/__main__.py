"""Measures the mixture against its dense twin; prints tables for people and, as its last line, one JSON object.

Comes in: the stored weights (or those of `make train-twins`), held-out pages, a native library. Goes out: loss by language, tokens a second,
experts and bytes by batch, what experts tell of the language; a picture. Does not know: training.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np

from bench.gateway import machine
from bench.twins import batches, text, wide
from bench.twins.loss import loss
from bench.twins.picture import picture
from jevons.cli.experts import show_comparison
from jevons.engine.experts.load import expected_coverage
from jevons.engine.experts.reading import Comparison, compare
from jevons.engine.experts.routing import DENSE, STORED
from jevons.engine.experts.sizes import Sizes, sizes
from jevons.engine.native.library import Library, open_library
from jevons.engine.native.model import Model

LANGUAGES = {"en": "English", "es": "Spanish"}
MIXES = ("both", "en", "es")
Figures = dict[str, object]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-twins BENCH_ARGS=...", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("bench/out/twins"), help="folder of make train-twins; text is fetched into it"
    )
    parser.add_argument(
        "--kind", choices=("stored", "f32", "f16", "q8_0"), default="stored", help="weights: those in Jevons, or of --work"
    )
    parser.add_argument("--pages", type=int, default=1000, help="held-out pages at most (default: all, 139)")
    parser.add_argument("--rounds", type=int, default=5, help="of every timing (default 5)")
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument("--svg", type=Path, help="write the picture of experts by batch")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    asked.work.mkdir(parents=True, exist_ok=True)
    pages = text.held_out(asked.work)[: asked.pages]
    moe, dense = (
        (STORED, DENSE) if asked.kind == "stored" else (asked.work / f"{twin}-{asked.kind}.gguf" for twin in ("moe", "dense"))
    )
    library = open_library()
    facts: Figures = {"machine": machine.facts(), "command": " ".join(sys.argv), "weights": asked.kind, "pages": len(pages)}
    with Model(library, moe) as mixture, Model(library, dense) as twin:
        facts |= parameters(sizes(moe), sizes(dense))
        facts |= losses(mixture, twin, pages)
        ids = {language: starts(mixture, pages, language) for language in LANGUAGES}
        met = coverage(mixture, ids)
        facts |= met
        facts |= bytes_read(sizes(moe), sizes(dense), met)
        facts |= trained_speed(mixture, twin, ids["en"] + ids["es"], asked.rounds)
    facts |= wide_speed(library, asked.rounds)
    facts |= told(compare(moe, [page.en for page in pages], [page.es for page in pages], asked.permutations))
    if asked.svg:
        asked.svg.write_text(picture(met["coverage"], batches.BATCHES), "utf-8")
    print(json.dumps(facts, ensure_ascii=False))


def parameters(moe: Sizes, dense: Sizes) -> Figures:
    print(
        f"mixture: {moe.parameters:,} parameters, {moe.active_parameters:,} active; dense twin: {dense.parameters:,}\n",
        flush=True,
    )
    return {
        "moe_parameters": moe.parameters,
        "moe_active_parameters": moe.active_parameters,
        "dense_parameters": dense.parameters,
    }


def losses(moe: Model, dense: Model, pages: list[text.Pair]) -> Figures:
    """Bits per byte of pages that neither has seen."""
    print(f"{'held-out loss':16}{'mixture':>10}{'dense':>10}  dense - mixture, 95 % over pages (bits per byte)")
    facts: Figures = {}
    for language, name in LANGUAGES.items():
        one, other = loss(moe, pages, language), loss(dense, pages, language)
        gain, low, high = other.less(one)
        print(
            f"{name:16}{one.bits_per_byte:10.4f}{other.bits_per_byte:10.4f}  {gain:+.4f} ({low:+.4f} … {high:+.4f})", flush=True
        )
        facts |= {f"bpb_{language}_moe": round(one.bits_per_byte, 4), f"bpb_{language}_dense": round(other.bits_per_byte, 4)}
        facts |= {f"bpb_{language}_gain": [round(gain, 4), round(low, 4), round(high, 4)]}
        facts |= {
            f"perplexity_{language}_moe": round(one.perplexity, 2),
            f"perplexity_{language}_dense": round(other.perplexity, 2),
        }
    return facts


def starts(model: Model, pages: list[text.Pair], language: str) -> list[np.typing.NDArray[np.int32]]:
    """The first tokens of every page that has enough of them."""
    found = [model.tokens(getattr(page, language))[: batches.LENGTH] for page in pages]
    return [ids for ids in found if len(ids) == batches.LENGTH]


def coverage(moe: Model, ids: dict[str, list[np.typing.NDArray[np.int32]]]) -> dict[str, dict[str, list[float]]]:
    """Share of a layer's experts that a step meets, in the mean over layers: by batch, for mixed texts and for one language."""
    count = min(map(len, ids.values())) // 32 * 32
    mixed = [one for pair in zip(ids["en"][: count // 2], ids["es"][count // 2 : count], strict=True) for one in pair]
    sets = {"both": mixed, "en": ids["en"][:count], "es": ids["es"][:count]}
    shares = batches.picked(moe, mixed)
    predicted = [expected_coverage(moe.experts, moe.experts_used, batch) for batch in batches.BATCHES]
    uneven = [float((1 - (1 - shares) ** batch).mean()) for batch in batches.BATCHES]
    found = {
        mix: [float(batches.met(moe, batches.groups(sets[mix], batch)).mean()) / moe.experts for batch in batches.BATCHES]
        for mix in MIXES
    }
    rows = {"predicted": predicted, "predicted_uneven": uneven, **found}
    names = {
        "predicted": "1-(1-k/E)^B",
        "predicted_uneven": "by each expert's share",
        "both": "measured, both languages",
        "en": "measured, English",
        "es": "measured, Spanish",
    }
    print(f"\n{'experts met, batch':26}" + "".join(f"{batch:>8}" for batch in batches.BATCHES))
    for key, values in rows.items():
        print(f"{names[key]:26}" + "".join(f"{value:8.1%}" for value in values), flush=True)
    return {"coverage": {key: [round(value, 4) for value in values] for key, values in rows.items()}}


def bytes_read(moe: Sizes, dense: Sizes, met: dict[str, dict[str, list[float]]]) -> Figures:
    """Weights that one token of a batch makes the processor read, in KB: what sparsity saves, and what a batch takes back."""
    found = {
        f"bytes_per_token_{key}": [
            round(moe.bytes_read(share * moe.experts) / batch)
            for share, batch in zip(met["coverage"][key], batches.BATCHES, strict=True)
        ]
        for key in ("predicted", "both")
    }
    found["bytes_per_token_dense"] = [round(dense.bytes_read(0) / batch) for batch in batches.BATCHES]
    whole = moe.bytes_read(moe.experts)
    found["bytes_per_token_all_experts"] = [round(whole / batch) for batch in batches.BATCHES]
    print(f"\n{'weights read, KB a token':26}" + "".join(f"{batch:>8}" for batch in batches.BATCHES))
    for key, values in found.items():
        print(f"{key.removeprefix('bytes_per_token_'):26}" + "".join(f"{value / 1000:8,.0f}" for value in values), flush=True)
    return dict(found)


def trained_speed(moe: Model, dense: Model, texts: list[np.typing.NDArray[np.int32]], rounds: int) -> Figures:
    """Both twins in turn, on one thread. They fit into the processor's cache."""
    return speeds("trained twins", moe, dense, [np.stack(texts[:batch]) for batch in batches.BATCHES], rounds)[0]


def wide_speed(library: Library, rounds: int) -> Figures:
    """Twins that do not fit, with random weights: does the batch cost what the bytes say?"""
    random = np.random.default_rng(5)
    steps = [random.integers(wide.VOCABULARY, size=(batch, batches.LENGTH)).astype(np.int32) for batch in batches.BATCHES]
    with tempfile.TemporaryDirectory() as folder:
        moe, dense = Path(folder, "moe.gguf"), Path(folder, "dense.gguf")
        wide.write(moe, mixture=True)
        wide.write(dense, mixture=False)
        read, less = sizes(moe), sizes(dense)
        with Model(library, moe) as mixture, Model(library, dense) as twin:
            facts, taken = speeds("wide twins, random weights", mixture, twin, steps, rounds)
            met = [float(batches.met(mixture, [texts]).mean()) for texts in steps]
    moved = [read.bytes_read(distinct) for distinct in met]
    times = [one / other for one, other in zip(taken["moe"], taken["dense"], strict=True)]
    ratio = [one / less.bytes_read(0) for one in moved]
    print(f"{'mixture : dense, time':26}" + "".join(f"{value:8.2f}" for value in times))
    print(f"{'mixture : dense, bytes':26}" + "".join(f"{value:8.2f}" for value in ratio), flush=True)
    return {f"wide_{key}": value for key, value in facts.items()} | {
        "wide_experts_met": [round(one / wide.EXPERTS, 4) for one in met],
        "wide_time_ratio": [round(one, 3) for one in times],
        "wide_bytes_ratio": [round(one, 3) for one in ratio],
        "wide_gb_s": {"moe": _rates(moved, taken["moe"]), "dense": _rates([less.bytes_read(0)] * len(moved), taken["dense"])},
    }


def _rates(moved: list[float], seconds: list[float]) -> list[float]:
    """GB of weights a second."""
    return [round(one / taken / 1e9, 2) for one, taken in zip(moved, seconds, strict=True)]


def speeds(
    title: str, moe: Model, dense: Model, steps: list[np.typing.NDArray[np.int32]], rounds: int
) -> tuple[Figures, dict[str, list[float]]]:
    """Tokens a second of both, in turn, by batch; and seconds of a step."""
    print(f"\n{f'tok/s, {title}':40}" + "".join(f"{batch:>8}" for batch in batches.BATCHES))
    samples: dict[str, list[list[float]]] = {"moe": [[] for _ in steps], "dense": [[] for _ in steps]}
    for _ in range(rounds):
        for place, texts in enumerate(steps):
            for name, model in (("moe", moe), ("dense", dense)):
                samples[name][place].append(batches.seconds(model, texts))
    taken = {name: [median(rows) for rows in of] for name, of in samples.items()}
    rates = {name: [len(texts) / seconds for texts, seconds in zip(steps, of, strict=True)] for name, of in taken.items()}
    for name, values in rates.items():
        print(f"{name:40}" + "".join(f"{value:8,.0f}" for value in values), flush=True)
    return {f"tok_s_{name}": [round(value, 1) for value in values] for name, values in rates.items()}, taken


def told(found: Comparison) -> Figures:
    """What an expert tells of the language, as `jevons experts --compare` shows it."""
    print()
    show_comparison(found)
    layers = [
        asdict(layer.language)
        | {"layer": layer.layer, "given_token_bits": layer.language_given_token.bits}
        | {"expert_bits": layer.expert_bits, "token_bits": layer.token_bits, "second_share": layer.second_share}
        for layer in found.layers
    ]
    return {"language": layers, "language_together": asdict(found.together), "language_by_token": asdict(found.token)}


if __name__ == "__main__":
    main()
