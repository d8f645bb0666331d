"""The builds that this machine could run, as values.

Goes out: `Build`s, the built-in one first. Does not know: how fast they are (measure.py), which is taken (choice.py).
"""

import importlib.metadata
import importlib.util
import shutil
from pathlib import Path
from typing import Literal

import msgspec

from jevons.engine.native import package
from jevons.engine.native.library import variant_scores
from jevons.engine.native.package import NativeError

BUILT_IN = "built-in"
PROGRAM = "llama-server"
SERVER = "xllamacpp"
MIXES_WITH = "2026.9.11063"
"""The one version of xllamacpp whose ggml was held against the package's: back ends of API version 2, and the same numbers for every
operation and type (canary.same_operations). Another version is not mixed."""
OLDEST = "haswell"
"""What the built-in back end is compiled for (AVX2). Variants that ggml ranks below it cannot be faster, and are not measured."""


class Build(msgspec.Struct, frozen=True):
    """One way to compute."""

    name: str
    kind: Literal["built-in", "exchanged", "program"]
    what: str
    version: str
    licence: str
    where: Path
    """Folder of its files; the program itself for a program."""


def server_version() -> str:
    """Of the installed server; empty if it is not installed."""
    try:
        return importlib.metadata.version(SERVER)
    except importlib.metadata.PackageNotFoundError:
        return ""


def built_in() -> Build:
    """Raises NativeError if the server is not installed."""
    spec = importlib.util.find_spec(SERVER)
    if spec is None or spec.origin is None:
        raise NativeError("the local engine is not installed; `jevons serve` installs it, or see jevons doctor")
    what = "ggml inside the server's wheel, compiled for AVX2"
    return Build(BUILT_IN, "built-in", what, server_version(), "MIT", Path(spec.origin).parent)


def exchanged() -> list[Build]:
    """The variants of the installed package that this processor runs, most promising first. Raises NativeError: none can be used, and why."""
    folder = package.find()
    if server_version() != MIXES_WITH:
        raise NativeError(
            f"the back ends of {package.NAME} {package.VERSION} go with {SERVER} {MIXES_WITH}; installed is {server_version() or 'none'}"
        )
    return [
        Build(
            variant, "exchanged", f"{package.NAME}, {package.VARIANT.format(variant)}", package.VERSION, package.LICENCE, folder
        )
        for variant in worth_measuring(variant_scores(folder))
    ]


def worth_measuring(scores: dict[str, int]) -> list[str]:
    """Variants that may beat an AVX2 build; on a processor without AVX2, all. In the order in which they should be tried while there
    is time: the best rank, then the one without AVX-512 (some processors lower their clock for it), then the others by rank.
    """
    least = scores.get(OLDEST, 0)
    first, *others = [variant for variant, score in scores.items() if score >= least]
    return [first, *sorted(others, key=lambda variant: variant != OLDEST)]


def program() -> Build | None:
    """A `llama-server` on the PATH. It is measured, and never run for you (docs/engine.md says why, and how to use it)."""
    found = shutil.which(PROGRAM)
    return Build(PROGRAM, "program", f"{PROGRAM} on the PATH", "", "MIT", Path(found)) if found else None
