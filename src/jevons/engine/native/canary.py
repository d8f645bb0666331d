"""Is it the library that we believe it to be? Cheap proofs before anything is trusted, each a NativeError that says what differs.

Comes in: loaded libraries. Does not know: where they lie, how fast they are.
"""

import ctypes
from ctypes import Structure

from jevons.engine.native import layout
from jevons.engine.native.layout import DEFAULTS, ContextParams, ModelParams, QuantizeParams
from jevons.engine.native.package import COMMIT, GGML_VERSION, LLAMA_VERSION, NAME, VERSION, NativeError


def versions(llama: ctypes.CDLL, base: ctypes.CDLL) -> None:
    """The library's own word. Raises NativeError."""
    found = tuple(text.decode() for text in (llama.llama_version(), base.ggml_version(), base.ggml_commit()))
    if found != (LLAMA_VERSION, GGML_VERSION, COMMIT):
        raise NativeError(
            f"the native library says it is llama {found[0]}, ggml {found[1]}, commit {found[2]}; Jevons binds {NAME} {VERSION}: "
            f"{LLAMA_VERSION}, {GGML_VERSION}, {COMMIT}"
        )


def layouts(llama: ctypes.CDLL, base: ctypes.CDLL) -> None:
    """Defaults read through our structures, sizes of tensors, names of types. Raises NativeError."""
    defaults(llama.llama_model_default_params(), DEFAULTS[ModelParams])
    defaults(llama.llama_context_default_params(), DEFAULTS[ContextParams])
    defaults(llama.llama_model_quantize_default_params(), DEFAULTS[QuantizeParams])
    tensor_bytes = base.ggml_tensor_overhead() - layout.OBJECT_BYTES
    if tensor_bytes != ctypes.sizeof(layout.Tensor):
        raise NativeError(
            f"a tensor has {tensor_bytes} bytes in the native library, {ctypes.sizeof(layout.Tensor)} in our layout"
        )
    for number, name in enumerate(layout.TYPES):
        found = (base.ggml_type_name(number) or b"").decode()
        if name not in ("-", found):
            raise NativeError(f"type {number} is {found!r} in the native library, {name!r} in our layout")


def defaults(found: Structure, expected: dict[str, int | float | bool | None]) -> None:
    """Every field of a structure that the library filled with its defaults. Raises NativeError naming the first that differs."""
    for name, value in expected.items():
        read = getattr(found, name)
        if read != value or isinstance(read, bool) != isinstance(value, bool):
            raise NativeError(
                f"{type(found).__name__}.{name} reads {read!r} where the native library's default is {value!r}: "
                "our layout is not the library's, and nothing it says could be trusted"
            )


def same_operations(one: ctypes.CDLL, other: ctypes.CDLL) -> None:
    """Two ggml libraries of which one computes what the other asks for must number everything alike. Raises NativeError.

    Both must be of versions that are known to have this many operations (no count is exported, and none is bounds-checked).
    """
    tables = (
        ("ggml_op_name", layout.OPERATIONS),
        ("ggml_unary_op_name", layout.UNARY_OPERATIONS),
        ("ggml_glu_op_name", layout.GLU_OPERATIONS),
        ("ggml_type_name", len(layout.TYPES)),
        ("ggml_type_size", len(layout.TYPES)),
        ("ggml_blck_size", len(layout.TYPES)),
    )
    for function, count in tables:
        for number in range(count):
            ours, theirs = getattr(one, function)(number), getattr(other, function)(number)
            if ours != theirs:
                raise NativeError(
                    f"{function}({number}) is {ours!r} in one ggml and {theirs!r} in the other: they cannot be mixed"
                )
    if one.ggml_tensor_overhead() != other.ggml_tensor_overhead():
        raise NativeError("tensors differ in size between the two ggml libraries: they cannot be mixed")
