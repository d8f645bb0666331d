"""One block of a model file, from its bytes to its weights: what "4 bits" look like.

    python -m jevons.engine.block TENSOR [BLOCK] [--file FILE]

Comes in: a tensor's name, of the packaged model or of a GGUF file. Goes out: the block's fields as they lie in the file, then its groups: scale,
floor, codes, weights. Does not know: what the tensor is for. docs/quantisation.md explains what is shown.
"""

import argparse
import sys
from pathlib import Path

from jevons.engine.gguf import NotGguf, Tensor, tensors
from jevons.engine.install import install_command
from jevons.engine.models import find_model

try:
    from jevons.quant.ggml import TYPES
except ImportError as error:  # of numpy or numba; it says how to get them
    if __name__ != "__main__":
        raise
    sys.exit(str(error))

CODES_IN_A_LINE = 8


def shown(path: Path, name: str, number: int) -> str:
    """The block's text. Raises NotGguf if the file has no such tensor or block, or it cannot be shown; OSError."""
    tensor = next((tensor for tensor in tensors(path) if tensor.name == name), None)
    if tensor is None:
        raise NotGguf(f"{path} has no tensor {name!r}")
    of = TYPES.get(tensor.type)
    if of is None:
        raise NotGguf(f"{name} is {tensor.type}, whose blocks cannot be shown; these can: {', '.join(TYPES)}")
    count = tensor.parameters // of.weights
    if not 0 <= number < count:
        raise NotGguf(f"{name} has blocks 0 to {count - 1}, not {number}")
    with path.open("rb") as file:
        file.seek(tensor.begins_at + number * of.layout.itemsize)
        data = file.read(of.layout.itemsize)
    return "\n".join([*_head(tensor, number, count), *_fields(tensor, data), *_groups(tensor, data)])


def _head(tensor: Tensor, number: int, count: int) -> list[str]:
    of = TYPES[tensor.type]
    shape = " x ".join(map(str, tensor.shape[::-1]))
    return [
        f"{tensor.name}: {shape} weights, {of.name}, {of.bits_per_weight:g} bits per weight, {of.scale_bits:g} of them for scales",
        f"block {number} of {count}: {of.layout.itemsize} bytes for {of.weights} weights",
    ]


def _fields(tensor: Tensor, data: bytes) -> list[str]:
    block = TYPES[tensor.type].read(data)
    names = block.dtype.names or ()
    return [line for name in names for line in _lines(f"  {name:7}", block[name].tobytes().hex(" ").split(), 2 * CODES_IN_A_LINE)]


def _groups(tensor: Tensor, data: bytes) -> list[str]:
    of = TYPES[tensor.type]
    groups = of.groups(of.read(data))
    values = groups.values().reshape(groups.codes.shape)
    lines = []
    for n in range(groups.codes.shape[1]):
        floor = "" if groups.floors is None else f", floor {groups.floors[0, n, 0]:.6g}"
        lines.append(f"group {n}: scale {groups.scales[0, n, 0]:.6g}{floor}")
        lines += _lines("  codes  ", [f"{code:>8}" for code in groups.codes[0, n]], CODES_IN_A_LINE)
        lines += _lines("  weights", [f"{value:>8.4f}" for value in values[0, n]], CODES_IN_A_LINE)
    return lines


def _lines(head: str, words: list[str], width: int) -> list[str]:
    rows = [" ".join(words[n : n + width]) for n in range(0, len(words), width)]
    return [f"{head if n == 0 else ' ' * len(head)} {row}" for n, row in enumerate(rows)]


def main() -> None:
    options = argparse.ArgumentParser(
        prog="python -m jevons.engine.block", description="One block of a model file, from its bytes to its weights."
    )
    options.add_argument("tensor")
    options.add_argument("block", nargs="?", type=int, default=0)
    options.add_argument("--file", type=Path, help="a GGUF file; the packaged model if it is not named")
    given = options.parse_args()
    model = find_model()
    path = given.file or (model.path if model else None)
    if path is None:
        sys.exit(f"The packaged model is not installed: {install_command()}")
    try:
        sys.stdout.write(shown(path, given.tensor, given.block) + "\n")
    except (NotGguf, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
