"""What a GGUF file says of itself, read without loading it.

Comes in: a path. Goes out: scalar metadata (strings, numbers, booleans; arrays skipped), and which tensors it has, of which shape
and type, and where. Does not know: vocabularies, weights.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAGIC = b"GGUF"
VERSIONS = (2, 3)
PAIRS_MAX = 10_000
ITEMS_MAX = 4_000_000
"""Of one list: the largest vocabularies have 262,144 tokens and twice as many merges."""
TENSORS_MAX = 200_000
DIMENSIONS_MAX = 8
ALIGNMENT = 32
"""Of every tensor's data, in bytes, unless the fact `general.alignment` says otherwise."""
STRING_BYTES_MAX = 2**24
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9

Scalar = str | int | float | bool

BLOCKS = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2), 28: ("F64", 1, 8),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
"""ggml's tensor types: number -> (name, weights in a block, bytes of a block). From ggml-common.h and gguf-py's constants.py (0.19)."""


class NotGguf(ValueError):
    """The file is not a GGUF file that can be read; the message says why."""


class Tensor(NamedTuple):
    """One tensor of a file."""

    name: str
    shape: tuple[int, ...]
    """As ggml counts: the first is a row's width, along which weights are quantised in blocks."""
    type: str
    """ggml's name: "Q4_1", "F32"."""
    size_bytes: int
    begins_at: int
    """Byte of the file where its data begin."""

    @property
    def parameters(self) -> int:
        return math.prod(self.shape)


def header(path: Path) -> dict[str, Scalar]:
    """Scalar metadata before the vocabulary, which writers put after the general and the architecture's facts.

    Raises NotGguf, OSError.
    """
    with _opened(path) as file:
        _, pairs = _begin(file)
        facts: dict[str, Scalar] = {}
        for _ in range(pairs):
            key = _string(file)
            if key.startswith("tokenizer."):
                break
            value = _value(file, int(_number(file, "<I")))
            if value is not None:
                facts[key] = value
        return facts


def tensors(path: Path) -> tuple[Tensor, ...]:
    """Every tensor of the file, in its order; the data of each lie inside the file.

    Reads past the vocabulary: 0.1 s for 49,152 tokens. Raises NotGguf, OSError.
    """
    with _opened(path) as file:
        count, pairs = _begin(file)
        if count > TENSORS_MAX:
            raise NotGguf(f"it claims {count} tensors; it is damaged")
        alignment = ALIGNMENT
        for _ in range(pairs):
            key, value = _string(file), _value(file, int(_number(file, "<I")))
            if key == "general.alignment" and isinstance(value, int) and value > 0:
                alignment = value
        found = [_tensor(file) for _ in range(count)]
        data = -(-file.tell() // alignment) * alignment
        size = os.fstat(file.fileno()).st_size
        for tensor in found:
            if data + tensor.begins_at + tensor.size_bytes > size:
                raise NotGguf(f"it ends before the data of the tensor {tensor.name!r} do; it was cut short, or is damaged")
        return tuple([tensor._replace(begins_at=data + tensor.begins_at) for tensor in found])


def whole(facts: Mapping[str, Scalar], key: str) -> int:
    """A fact that counts something; 0 if the file does not say. Raises NotGguf for what cannot be a count."""
    value = facts.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise NotGguf(f"its fact {key} is {value!r}, which is no count; the file is damaged")
    return value


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file; what is wrong inside is said with its path."""
    try:
        with path.open("rb") as file:
            yield file
    except NotGguf as error:
        raise NotGguf(f"{path} cannot be used: {error}") from None


def _begin(file: BinaryIO) -> tuple[int, int]:
    """Numbers of tensors and of facts."""
    if file.read(4) != MAGIC:
        raise NotGguf("it is not a GGUF file (it does not start with the letters GGUF)")
    version = _number(file, "<I")
    if version not in VERSIONS:
        raise NotGguf(f"it is GGUF version {version}; versions 2 and 3 can be read")
    count, pairs = int(_number(file, "<Q")), int(_number(file, "<Q"))
    if pairs > PAIRS_MAX:
        raise NotGguf(f"it claims {pairs} facts in its header; it is damaged")
    return count, pairs


def _tensor(file: BinaryIO) -> Tensor:
    name = _string(file)
    dimensions = int(_number(file, "<I"))
    if dimensions > DIMENSIONS_MAX:
        raise NotGguf(f"the tensor {name!r} claims {dimensions} dimensions; the file is damaged")
    shape = tuple([int(_number(file, "<Q")) for _ in range(dimensions)])
    kind = int(_number(file, "<I"))
    begins_at = int(_number(file, "<Q"))  # counted from the first tensor's data, which only the end of this list tells
    if kind not in BLOCKS:
        raise NotGguf(f"the tensor {name!r} has the unknown type {kind}; a newer program wrote the file, or it is damaged")
    label, weights, size = BLOCKS[kind]
    return Tensor(name, shape, label, math.prod(shape) // weights * size, begins_at)


def _value(file: BinaryIO, kind: int) -> Scalar | None:
    if kind == STRING:
        return _string(file)
    if kind in SCALARS:
        return _number(file, SCALARS[kind])
    if kind != ARRAY:
        raise NotGguf(f"a fact in the header has the unknown type {kind}; the file is damaged")
    item_kind, count = int(_number(file, "<I")), int(_number(file, "<Q"))
    if count > ITEMS_MAX:
        raise NotGguf(f"a list in the header claims {count} items; the file is damaged")
    if item_kind in SCALARS:
        file.seek(count * struct.calcsize(SCALARS[item_kind]), 1)
        return None
    if item_kind == ARRAY:  # ggml refuses it too
        raise NotGguf("a list in the header holds lists; the file is damaged")
    for _ in range(count):
        _value(file, item_kind)
    return None


def _number(file: BinaryIO, code: str) -> int | float | bool:
    size = struct.calcsize(code)
    data = file.read(size)
    if len(data) < size:
        raise NotGguf("the file ends inside its header; it was cut short")
    value: int | float | bool = struct.unpack(code, data)[0]
    return value


def _string(file: BinaryIO) -> str:
    size = int(_number(file, "<Q"))
    if size > STRING_BYTES_MAX:
        raise NotGguf("a text in the header is longer than 16 MiB; the file is damaged")
    data = file.read(size)
    if len(data) < size:
        raise NotGguf("the file ends inside its header; it was cut short")
    return data.decode("utf-8", "replace")
