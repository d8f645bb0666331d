"""Puts another CPU back end into the server's ggml, in the process that is about to serve.

Comes in: the choice's file. Goes out: one sentence for the log; after it the process computes with the chosen back end, or with the
built-in one if anything is not as it was measured. Does not know: how the choice was made.
"""

import ctypes
import importlib
import os
from ctypes import c_char_p, c_size_t, c_void_p
from pathlib import Path
from typing import Any, NamedTuple

from jevons.engine.builds.build import BUILT_IN, MIXES_WITH, SERVER, server_version
from jevons.engine.builds.choice import Choice, processor
from jevons.engine.native import canary, package
from jevons.engine.native.library import BASE_FUNCTIONS, declare
from jevons.engine.native.package import NativeError

REGISTRY_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "ggml_backend_reg_count": (c_size_t, []),
    "ggml_backend_reg_get": (c_void_p, [c_size_t]),
    "ggml_backend_reg_name": (c_char_p, [c_void_p]),
    "ggml_backend_load": (c_void_p, [c_char_p]),
    "ggml_backend_unload": (None, [c_void_p]),
}


class Applied(NamedTuple):
    """What computes from now on."""

    build: str
    """ "built-in", or a variant's name: part of what parked states depend on."""
    said: str
    """One sentence for the log."""


def look(choice_file: Path | None) -> Applied:
    """What `apply` would do, without doing it."""
    if choice_file is None or not choice_file.exists():
        return Applied(BUILT_IN, f"its {BUILT_IN} back end computes; `jevons engine install` brings others and measures them")
    try:
        choice = Choice.read(choice_file)
        if choice.build == BUILT_IN:
            return Applied(BUILT_IN, f"its {BUILT_IN} back end computes, as measured {choice.measured}: {choice.why}")
        if choice.processor != processor():
            raise NativeError(f"it was measured on another processor ({choice.processor}); run: jevons engine choose")
        prove(package.folder(), choice.build)
    except NativeError as error:
        return Applied(BUILT_IN, f"its {BUILT_IN} back end computes, for the choice in {choice_file} does not hold: {error}")
    return Applied(choice.build, f"{choice.build} of {package.NAME} {package.VERSION} computes: {choice.why} ({choice.measured})")


def apply(choice_file: Path | None) -> Applied:
    """Exchange the back end as chosen, before the server starts. Never raises for a choice that no longer holds: the built-in
    back end stays, and the sentence says why.
    """
    found = look(choice_file)
    if found.build != BUILT_IN:
        try:
            exchange(package.folder(), found.build)
        except (NativeError, OSError, ImportError) as error:
            return Applied(BUILT_IN, f"its {BUILT_IN} back end computes: {error}")
    return found


def prove(folder: Path, variant: str) -> None:
    """That this variant belongs to this server, and is what was pinned. Raises NativeError."""
    if server_version() != MIXES_WITH:
        raise NativeError(f"{SERVER} is {server_version() or 'not installed'}, and the back ends go with {MIXES_WITH}")
    if variant not in package.VARIANTS:
        raise NativeError(f"there is no back end {variant!r}")
    package.check(folder, [package.BASE, package.VARIANT.format(variant)])


def exchange(folder: Path, variant: str) -> None:
    """Raises NativeError, ImportError; the built-in back end is then still in place."""
    prove(folder, variant)
    server = declare(ctypes.CDLL(_compiled()), REGISTRY_FUNCTIONS | BASE_FUNCTIONS)
    base = declare(ctypes.CDLL(str(folder / package.BASE)), BASE_FUNCTIONS)
    canary.same_operations(server, base)
    before = [server.ggml_backend_reg_get(number) for number in range(server.ggml_backend_reg_count())]
    if not server.ggml_backend_load(os.fsencode(folder / package.VARIANT.format(variant))):
        raise NativeError(f"the server refuses {variant}: made for another processor, or for another version of ggml")
    for back_end in before:
        if server.ggml_backend_reg_name(back_end) == b"CPU":
            server.ggml_backend_unload(back_end)


def _compiled() -> str:
    """The server's compiled module, which has ggml inside. Raises ImportError."""
    module = importlib.import_module(SERVER)
    for file in Path(module.__file__ or "").parent.glob(f"{SERVER}*.so"):
        return str(file)
    raise NativeError(f"{SERVER} has no compiled module beside {module.__file__}")
