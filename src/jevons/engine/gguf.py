"""The first facts of a GGUF file, read from its header without loading it.

Comes in: a path. Goes out: scalar metadata (strings, numbers, booleans), arrays skipped. Does not know: tensors, vocabularies.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from pathlib import Path
from typing import BinaryIO

MAGIC = b"GGUF"
VERSIONS = (2, 3)
PAIRS_MAX = 10_000
ITEMS_MAX = 100_000
STRING_BYTES_MAX = 2**24
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9

Scalar = str | int | float | bool


class NotGguf(ValueError):
    """The file is not a GGUF file that can be read; the message says why."""


def header(path: Path) -> dict[str, Scalar]:
    """Scalar metadata before the vocabulary, which writers put after the general and the architecture's facts.

    Raises NotGguf, OSError.
    """
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise NotGguf(f"{path} is not a GGUF file (it does not start with the letters GGUF)")
        version = _number(file, "<I")
        if version not in VERSIONS:
            raise NotGguf(f"{path} is GGUF version {version}; versions 2 and 3 can be read")
        _number(file, "<Q")  # tensors
        pairs = _number(file, "<Q")
        if pairs > PAIRS_MAX:
            raise NotGguf(f"{path} claims {pairs} facts in its header; it is damaged")
        facts: dict[str, Scalar] = {}
        for _ in range(int(pairs)):
            key = _string(file)
            if key.startswith("tokenizer."):
                break
            value = _value(file, int(_number(file, "<I")))
            if value is not None:
                facts[key] = value
        return facts


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
