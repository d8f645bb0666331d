"""Measures TurboQuant beside its theory, its paper and its rivals; prints tables and, as its last line, one JSON object.

Parts: `theory` (distortion, inner products, sparse vectors, outlier channels), `speed`, `neighbours` (real embeddings; needs the data folder and what
`make bench-turboquant` installs). One thread throughout.
"""

import argparse
import json
import sys
import time
from typing import Any

import numpy as np

from bench.gateway import machine
from bench.turboquant import neighbours, picture, speed, synthetic, texts
from jevons.quant.codebooks import codebook, mse_lower_bound, mse_upper_bound, normal_mse
from jevons.quant.outliers import OutlierTurboQuant, outlier_channels
from jevons.quant.qjl import TurboQuantProd
from jevons.quant.turboquant import RotationName, ScaleName, TurboQuant

PARTS = ("theory", "speed", "neighbours")
PAPER_MSE = {1: 0.36, 2: 0.117, 3: 0.03, 4: 0.009}
"""Section 3.1."""
PAPER_PROD = {2: 0.56, 3: 0.18, 4: 0.047}
"""Section 3.2, times d."""
BEFORE = {
    "prod": (0.566, 0.182, 0.051),
    "mse": (0.255, 0.048, 0.0112),
    "norm": (0.144, 0.033, 0.0086),
    "eden": (0.117, 0.031, 0.0083),
}
"""At 2, 3 and 4 bits, d = 128, cosine .29: measured earlier by another implementation, on 3,000 Gaussian vectors."""
NAMES = {"prod": "prod (paper)", "mse": "mse, S = ‖x‖ (paper)", "norm": "S = ‖x‖/‖c‖", "eden": "S = ‖x‖²/⟨Πx, c⟩ (EDEN, default)"}
COSINE = 0.29


def main() -> None:
    options = argparse.ArgumentParser(prog="make bench-turboquant BENCH_ARGS=...", description=__doc__)
    options.add_argument("--parts", default=",".join(PARTS), help="some of theory,speed,neighbours (default: all)")
    options.add_argument("--quick", action="store_true", help="an eighth of the random vectors; one collection of embeddings")
    options.add_argument("--svg", metavar="FILE", help="draw distortion against bits, with the bounds (needs the part theory)")
    chosen = options.parse_args()
    parts = chosen.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        options.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    figures: dict[str, Any] = {"bench": "turboquant"}
    began = time.monotonic()
    if "theory" in parts:
        figures |= theory(chosen.quick)
        if chosen.svg:
            picture.write(chosen.svg, figures["mse_d128"])
    if "speed" in parts:
        figures |= speeds()
    if "neighbours" in parts:
        figures |= collections(chosen.quick)
    figures["minutes"] = round((time.monotonic() - began) / 60, 1)
    print(json.dumps(figures | {"machine": machine.facts()}))


def theory(quick: bool) -> dict[str, Any]:
    """Everything that random vectors show."""
    return (
        distortion(synthetic.DRAWN // (8 if quick else 1)) | inner_products(40_000 // (8 if quick else 1)) | sparse() | outliers()
    )


def distortion(drawn: int) -> dict[str, Any]:
    print("Squared error of unit vectors, S = ‖x‖: measured with both rotations, and the best quantiser of the exact density\n")
    print(
        f"{'bits':>4}{'d':>6}{'theory':>10}{'hadamard':>10}{'dense':>10}{'off by':>9}{'d = ∞':>9}{'paper':>8}{'4⁻ᵇ':>9}{'√3π/2·4⁻ᵇ':>11}"
    )
    worst, at_128 = 0.0, {}
    for bits in synthetic.BITS:
        for dim in synthetic.DIMS:
            found = synthetic.distortions(dim, bits, drawn)
            off = max(abs(found[name] / found["theory"] - 1) for name in ("hadamard", "dense"))
            worst = max(worst, off)
            if dim == 128:
                at_128[bits] = found["hadamard"]
            print(
                f"{bits:>4}{dim:>6}{found['theory']:>10.5f}{found['hadamard']:>10.5f}{found['dense']:>10.5f}{off:>9.2%}"
                f"{normal_mse(bits):>9.4f}{PAPER_MSE[bits]:>8}{mse_lower_bound(bits):>9.4f}{mse_upper_bound(bits):>11.4f}"
            )
            note(f"distortion {bits} bits, d = {dim}")
    last = {bits: synthetic.distortions(1536, bits, drawn)["hadamard"] for bits in synthetic.BITS}
    figures: dict[str, Any] = {f"mse_b{bits}": round(value, 5) for bits, value in last.items()}
    return figures | {
        "mse_d128": {bits: round(value, 5) for bits, value in at_128.items()},
        "mse_worst_off_theory": round(worst, 5),
    }


def inner_products(count: int) -> dict[str, Any]:
    print(
        f"\nd·E(⟨q, x̂⟩ − ⟨q, x⟩)² at d = 128, cosine {COSINE}; in brackets an earlier measurement; the paper on prod: .56 .18 .047\n"
    )
    print(f"{'':36}{'2 bits':>17}{'3 bits':>17}{'4 bits':>17}{'bias':>9}{'stored, 2 bits':>16}")
    figures: dict[str, Any] = {}
    for make, name in NAMES.items():
        found = {bits: synthetic.products(make, 128, bits, COSINE, count) for bits in (2, 3, 4)}
        cells = "".join(
            f"{found[bits].error:>9.4f} ({before:.4g})".rjust(17) for bits, before in zip(found, BEFORE[make], strict=True)
        )
        print(f"{name:36}{cells}{found[2].bias or 0:>+9.1%}{synthetic.quantiser_of(make, 128, 2).bits_per_element:>16.3f}")
        figures |= {f"ip_b{bits}_{make}_times_d": round(one.error, 4) for bits, one in found.items()}
        note(f"inner products, {make}")
    eden = {bits: eden_error(128, bits, COSINE) for bits in (2, 3, 4)}
    print(f"{'EDEN in theory':36}" + "".join(f"{eden[bits]:>9.4f}{'':8}" for bits in eden))
    figures["ip_b2_eden_theory"] = round(eden[2], 4)
    print("\nThe same at 2 bits for other cosines between query and vector\n")
    cosines = (0.0, 0.29, 0.6, 0.9)
    print(f"{'':36}" + "".join(f"{cosine:>9}" for cosine in cosines))
    for make, name in NAMES.items():
        print(f"{name:36}" + "".join(f"{synthetic.products(make, 128, 2, cosine, count).error:>9.3f}" for cosine in cosines))
    return figures


def eden_error(dim: int, bits: int, cosine: float) -> float:
    """What EDEN's scale comes to: ⟨x̂, x⟩ = 1, so that the error is at right angles to x, evenly in the other d − 1 directions, and its
    square is ‖c‖²/⟨y, c⟩² − 1 = 1/(1 − D) − 1 for a codebook whose centroids are means of their cells, with squared error D."""
    mse = codebook(dim, bits).mse
    return dim / (dim - 1) * (1 - cosine**2) * mse / (1 - mse)


def sparse() -> dict[str, Any]:
    print(
        "\nSquared error of sparse vectors at d = 128, 2 bits, over 16 rotations; the theory says .1160 for S = ‖x‖, .1312 for EDEN's."
    )
    print("Bias: the squared length of the mean error over 400 rotations\n")
    print(f"{'':>10}{'S = ‖x‖':^30}{'EDEN':^30}{'EDEN, bias':^20}")
    print(f"{'not zero':>10}" + 2 * f"{'hadamard':>10}{'hadamard2':>10}{'dense':>10}" + f"{'hadamard':>10}{'hadamard2':>10}")
    rotations: tuple[RotationName, ...] = ("hadamard", "hadamard2", "dense")
    scales: tuple[ScaleName, ...] = ("mse", "eden")
    figures = {}
    for nonzero in (1, 2, 3, 4, 8, 16, 32, 128):
        found = [synthetic.sparse(128, nonzero, 2, rotation, scale) for scale in scales for rotation in rotations]
        found += [synthetic.sparse_bias(128, nonzero, 2, rotation) for rotation in rotations[:2]]
        print(f"{nonzero:>10}" + "".join(f"{value:>10.4f}" for value in found))
        figures[nonzero] = [round(value, 4) for value in found]
    note("sparse vectors")
    return {"sparse_b2_d128": figures}


def outliers() -> dict[str, Any]:
    print("\nSquared error when 16 of 128 channels are ten times as loud: one bit more for outlier channels\n")
    x = synthetic.loud_channels(128, 16, 10.0)
    for bits in (2, 2.25, 2.5, 3, 3.5, 4):
        if bits == int(bits):
            plain = TurboQuant(128, int(bits), scale="mse")
            error, stored = synthetic.distortion(plain, x), plain.bits_per_element
        else:
            split = OutlierTurboQuant(128, bits, outlier_channels(x, bits), scale="mse")
            error = float(np.square(split.decode(split.encode(x)) - x).sum() / np.square(x).sum())
            stored = split.bits_per_element
        print(f"{bits:>6} bits, stored {stored:.3f}: {error:.5f}")
    note("outlier channels")
    return {}


def speeds() -> dict[str, Any]:
    print("\nVectors a second on one thread, EDEN scale: encoded / decoded, millions\n")
    columns: tuple[tuple[RotationName, int], ...] = (("hadamard", 2), ("hadamard", 4), ("hadamard2", 4), ("dense", 4))
    print(f"{'d':>6}" + "".join(f"{f'{rotation}, {bits} bits':>24}" for rotation, bits in columns))
    figures: dict[str, Any] = {}
    for dim in synthetic.DIMS:
        cells = []
        for rotation, bits in columns:
            encoded, decoded = speed.rates(dim, bits, rotation)
            cells.append(f"{encoded / 1e6:.3f} / {decoded / 1e6:.3f}".rjust(24))
            if (dim, rotation, bits) == (128, "hadamard", 4):
                figures |= {"encode_vectors_s_d128_b4": round(encoded), "decode_vectors_s_d128_b4": round(decoded)}
        print(f"{dim:>6}" + "".join(cells))
        note(f"speed, d = {dim}")
    prod = speed.encoding_rate(TurboQuantProd(128, 4), 128)
    print(f"\nprod, d = 128, 4 bits: {prod / 1e6:.3f} million encoded (its Gaussian matrix has no fast form)")
    hundred_thousand = 100_000 / speed.rates(1536, 4)[0]
    print(f"100,000 vectors of 1,536 dimensions at 4 bits: {hundred_thousand:.2f} s of one thread (the paper: .0013 s of a GPU)")
    return figures | {"encode_100k_d1536_b4_s": round(hundred_thousand, 3)}


def collections(quick: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for key, load in (("wordllama", texts.wordllama), ("minilm", texts.sentences)):
        if quick and figures:
            break
        try:
            collection = load()
            note(f"{collection.name}: embedded")
            figures[key] = recalls(collection)
        except texts.MissingError as missing:
            print(f"\nNot measured: {missing}", file=sys.stderr)
    return {"neighbours": figures}


def recalls(collection: texts.Collection) -> dict[str, Any]:
    dim = collection.base.shape[1]
    print(f"\n{collection.name}: recall@1@k of {len(collection.queries):,} queries among {len(collection.base):,} texts")
    figures: dict[str, Any] = {"base": len(collection.base)}
    for bits in (2, 4):  # as in the paper; product quantisation has no 3, whose bytes do not divide the dimensions
        plain = TurboQuant(dim, bits, scale="mse")
        print(
            f"\n{bits} bits a coordinate; squared error {synthetic.distortion(plain, collection.base):.4f}, in theory {plain.codebook.mse:.4f}\n"
        )
        print(f"{'':50}{'bytes':>6}" + "".join(f"{f'k = {k}':>8}" for k in neighbours.KS) + f"{'learn s':>9}{'encode s':>9}")
        for found in neighbours.measured(collection, bits):
            cells = "".join(f"{found.recall[k]:>8.3f}" for k in neighbours.KS)
            print(f"{found.way:50}{found.bytes_per_vector:>6}{cells}{found.learning_s:>9.2f}{found.encoding_s:>9.2f}")
            figures[f"b{bits} {found.way}"] = {
                "recall_1": round(found.recall[1], 4),
                "recall_8": round(found.recall[8], 4),
                "bytes": found.bytes_per_vector,
                "learn_s": round(found.learning_s, 3),
                "encode_s": round(found.encoding_s, 3),
            }
            note(f"{collection.name}, {bits} bits, {found.way}")
    return figures


def note(done: str) -> None:
    print(done, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
