"""A library that is not the one we bind must be refused, whatever it would have answered."""

import ctypes
import importlib.util
from ctypes import Structure
from pathlib import Path

import pytest

from jevons.engine.native import canary, package
from jevons.engine.native.layout import DEFAULTS, ContextParams, ModelParams, QuantizeParams
from jevons.engine.native.library import BASE_FUNCTIONS, LLAMA_FUNCTIONS, Library, declare
from jevons.engine.native.package import NativeError

DEFAULTS_OF = {
    ModelParams: "llama_model_default_params",
    ContextParams: "llama_context_default_params",
    QuantizeParams: "llama_model_quantize_default_params",
}


def shifted(structure: type[Structure], at: int) -> type[Structure]:
    """The same structure as a header of another version would have it: one field more, or one less."""
    fields = list(structure._fields_)
    more = [*fields[:at], ("added", ctypes.c_int32), *fields[at:]]
    return type(structure.__name__, (Structure,), {"_fields_": more})


@pytest.mark.parametrize("structure", DEFAULTS_OF)
def test_a_field_more_is_noticed_wherever_it_stands(library: Library, structure: type[Structure]) -> None:
    again = ctypes.CDLL(library.llama._name)  # functions of its own: the session's keep their types
    function = getattr(again, DEFAULTS_OF[structure])
    names = [field[0] for field in structure._fields_]
    for at in range(len(names)):
        function.restype = shifted(structure, at)
        expected = DEFAULTS[structure]
        read = {name: getattr(function(), name) for name in names}
        if read == expected:  # into padding, or among fields that are all zero: nothing that we read has moved
            moved = [getattr(function.restype, name).offset - getattr(structure, name).offset for name in names]
            assert all(not step or not expected[name] for name, step in zip(names, moved, strict=True))
            continue
        with pytest.raises(NativeError, match="our layout is not the library's"):
            canary.defaults(function(), expected)


def test_a_server_of_another_version_is_not_taken_for_the_library(library: Library, parts: None) -> None:
    spec = importlib.util.find_spec("xllamacpp")
    assert spec
    assert spec.origin
    other = ctypes.CDLL(str(next(Path(spec.origin).parent.glob("xllamacpp*.so"))))
    with pytest.raises(NativeError, match="it is not the library that Jevons binds"):
        declare(other, LLAMA_FUNCTIONS)
    declare(other, BASE_FUNCTIONS)
    other.llama_version.restype = ctypes.c_char_p
    with pytest.raises(NativeError, match=r"says it is llama 0\.4\.1-dev"):
        canary.versions(other, other)
    canary.same_operations(other, library.base)


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NativeError, match="cannot be read"):
        package.check(tmp_path, [package.BASE])
    (tmp_path / package.BASE).write_bytes(b"\x7fELF")
    with pytest.raises(NativeError, match="is not the file of @node-llama-cpp"):
        package.check(tmp_path, [package.BASE])
