"""llama.cpp's own quantiser: one GGUF file to another with fewer bits.

Comes in: a file, a type's name. Goes out: the new file, complete or not at all. Does not know: whether it is still good (engine/weights).
"""

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from jevons.engine.gguf import header
from jevons.engine.native.apart import apart
from jevons.engine.native.layout import FILE_TYPES, TYPES, Importance
from jevons.engine.native.library import Library, open_library
from jevons.engine.native.model import Model
from jevons.engine.native.package import NativeError

NEED_IMPORTANCE = ("IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S", "IQ3_XXS", "Q2_K_S")
"""The quantiser refuses these without an importance matrix."""


class Quantised(msgspec.Struct, frozen=True):
    """What `quantise` made."""

    path: Path
    type_name: str
    size_bytes: int
    requantised: bool
    """The source was quantised already: its loss is in the result too, and figures from it must say so."""


def quantise(
    source: Path,
    target: Path,
    type_name: str,
    *,
    threads: int = 1,
    pure: bool = False,
    requantise: bool = False,
    output_type: str | None = None,
    embedding_type: str | None = None,
    importance: Mapping[str, NDArray[np.float32]] | None = None,
) -> Quantised:
    """Write `source` as `type_name` (a key of layout.FILE_TYPES) to `target`, in a process of its own.

    `pure`: every weight in that type, without llama.cpp's mixture of better types for some. `requantise`: accept a source that is
    quantised already. `output_type`, `embedding_type`: ggml types ("q8_0") of the output and the embedding matrix instead of the mixture's.
    `importance`: {weight's name: float32[columns (× experts)]}. Raises NativeError, gguf.NotGguf, OSError, ValueError; `target` is then as it was.
    """
    if type_name not in FILE_TYPES:
        raise ValueError(f"there is no type {type_name!r}; there are {', '.join(FILE_TYPES)}")
    for kind in (output_type, embedding_type):
        if kind is not None and kind not in TYPES:
            raise ValueError(f"there is no tensor type {kind!r}; there are {', '.join(name for name in TYPES if name != '-')}")
    header(source)  # a file that is none is told before anything is written
    if target.resolve() == source.resolve():
        raise ValueError(f"{source} would be overwritten by its own quantised form")
    if type_name in NEED_IMPORTANCE and not importance:
        raise ValueError(f"{type_name} needs an importance matrix: without one the result is noise")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        quantised_already = apart(
            _quantise, source, part, type_name, threads, pure, requantise, output_type, embedding_type, dict(importance or {})
        )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return Quantised(target, type_name, target.stat().st_size, quantised_already)


def _quantise(
    source: Path,
    target: Path,
    type_name: str,
    threads: int,
    pure: bool,
    requantise: bool,
    output_type: str | None,
    embedding_type: str | None,
    importance: dict[str, NDArray[np.float32]],
) -> bool:
    """The work itself; whether the source was quantised already."""
    library = open_library()
    params = library.llama.llama_model_quantize_default_params()
    params.nthread = threads
    params.ftype = FILE_TYPES[type_name]
    params.pure = pure
    params.allow_requantize = requantise
    if output_type is not None:
        params.output_tensor_type = TYPES.index(output_type)
    if embedding_type is not None:
        params.token_embedding_type = TYPES.index(embedding_type)
    rows = {name: np.ascontiguousarray(values, np.float32) for name, values in importance.items()}
    if rows:
        table = (Importance * (len(rows) + 1))()
        for entry, (name, values) in zip(table, rows.items(), strict=False):
            entry.name, entry.size = name.encode(), values.size
            entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        params.imatrix = ctypes.cast(table, ctypes.c_void_p).value
    library.last_words()
    status = library.llama.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params))
    if status:
        raise NativeError(f"{source} cannot be quantised to {type_name}: {library.last_words()}")
    written = _file_type(library, target)
    if written != FILE_TYPES[type_name]:
        raise NativeError(f"the quantiser wrote type {written} where {FILE_TYPES[type_name]} ({type_name}) was asked for")
    return _file_type(library, source) not in (FILE_TYPES["F32"], FILE_TYPES["F16"], FILE_TYPES["BF16"])


def _file_type(library: Library, path: Path) -> int:
    """What the file says it is mostly made of; files that do not say are f32."""
    with Model(library, path, vocabulary_only=True) as model:
        return int(model.metadata.get("general.file_type", FILE_TYPES["F32"]))
