"""The squared error of every way to store a matrix, on six real ones in f32: ggml's types by ggml itself, our blocks, TurboQuant.

The matrices are MiniLM's widest (rows of 1,536), because K types need rows of whole 256s. Prints a table, the fewest bits last.
"""

import ctypes
import sys
from collections.abc import Iterator

import gguf
import numpy as np

from bench.weights import minilm
from bench.weights.minilm import Array
from jevons.engine.native.package import BASE, NativeError, find
from jevons.quant.blocks import BITS, Format, by_range, by_search
from jevons.quant.ggml import TYPES
from jevons.quant.turboquant import TurboQuant

Row = tuple[float, str, Array]
"""Bits per weight, what it is, the weights that are left."""


def main() -> None:
    weights = minilm.load(minilm.FOLDER)
    w = np.concatenate([weights[f"encoder.layer.{layer}.output.dense.weight"] for layer in range(6)])
    energy = float(np.square(w).sum())
    print(f"{w.shape[0]:,} x {w.shape[1]:,} weights: Σ(ŵ - w)² / Σw²\n\n{'':44}{'bits per weight':>16}{'error':>11}{'dB':>8}")
    for bits, name, left in sorted([*by_ggml(w), *by_blocks(w), *by_turboquant(w)], key=lambda row: -row[0]):
        error = float(np.square(left - w).sum()) / energy
        print(f"{name:44}{bits:>16.4f}{error:>11.3e}{-10 * np.log10(error):>8.1f}")
    print()


def by_ggml(w: Array) -> Iterator[Row]:
    """ggml's own quantiser, without an importance matrix; our decoder, held against that of its Python package."""
    try:
        library = ctypes.CDLL(str(find() / BASE))
    except NativeError as error:
        print(f"without ggml's types: {error}", file=sys.stderr)
        return
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    for name, of in TYPES.items():
        kind = gguf.GGMLQuantizationType[name]
        data = np.empty(w.size // of.weights * of.layout.itemsize, np.uint8)
        rows, columns = ctypes.c_int64(w.shape[0]), ctypes.c_int64(w.shape[1])
        source, target = ctypes.c_void_p(w.ctypes.data), ctypes.c_void_p(data.ctypes.data)
        written = library.ggml_quantize_chunk(kind.value, source, target, ctypes.c_int64(0), rows, columns, None)
        left = of.decode(data)
        assert written == data.nbytes
        assert left.tobytes() == gguf.dequantize(data, kind).tobytes()
        yield of.bits_per_weight, f"ggml {name}", left.reshape(w.shape)


def by_blocks(w: Array) -> Iterator[Row]:
    for bits in BITS:
        for block, affine in ((32, True), (32, False), (64, True), (128, True)):
            form = Format(bits, block, affine)
            what = f"{bits} bits, blocks of {block}, {'affine' if affine else 'symmetric'}"
            yield form.bits_per_weight, f"{what}, min/max", by_range(w, form).decode()
            yield form.bits_per_weight, f"{what}, search", by_search(w, form).decode()


def by_turboquant(w: Array) -> Iterator[Row]:
    for bits in BITS:
        quantiser = TurboQuant(w.shape[1], bits, scale="mse")
        yield quantiser.bits_per_element, f"{bits} bits, TurboQuant", quantiser.decode(quantiser.encode(w))


if __name__ == "__main__":
    main()
