"""Smaller files of a known model: made by llama.cpp's quantiser, into `models/`.

Comes in: a known model, a file type. Goes out: a file in the catalogue, labelled with its source.
Does not know: whether the result is still good (`measure`, `choose`).
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from jevons.engine.native import package
from jevons.engine.native.layout import FILE_TYPES
from jevons.engine.native.quantise import NEED_IMPORTANCE
from jevons.engine.native.quantise import quantise as quantise_file
from jevons.engine.settings import usable_cores
from jevons.engine.weights.catalogue import Catalogue, CatalogueError, Known, Made
from jevons.engine.weights.contents import WHOLE, Contents

LIBRARY = f"{package.NAME} {package.VERSION} (llama.cpp {package.COMMIT})"
"""What made a file, and what measured it."""
REFUSED = (*NEED_IMPORTANCE, "IQ3_XS")
"""Not made without an importance matrix; IQ3_XS has IQ3_XXS in its mixture."""
MADE = tuple(name for name in FILE_TYPES if name not in REFUSED)
"""File types that can be asked for."""
CANDIDATES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "IQ4_XS", "Q3_K_M", "Q2_K")
"""What `jevons models choose` tries unless told otherwise: the usual recipe of each step in size."""


def file_type(name: str) -> str:
    """The type of this name, in any case of letters. Raises CatalogueError."""
    if name.upper() in REFUSED:
        raise CatalogueError(
            f"{name.upper()} needs an importance matrix, which Jevons does not make; there are: {', '.join(MADE)}"
        )
    if name.upper() not in MADE:
        raise CatalogueError(f"there is no file type {name!r}; there are: {', '.join(MADE)}")
    return name.upper()


def quantise(catalogue: Catalogue, source: Known, kind: str) -> Known:
    """Make the file, or find that it was made before. Raises CatalogueError, NativeError, OSError."""
    if known := catalogue.made_of(source, kind):
        return known
    name = f"{source.name}.{kind}"
    catalogue.folder.mkdir(mode=0o700, exist_ok=True)
    target = catalogue.claim(name)
    made = write(source, kind, target)
    return catalogue.add(target, name, made)


def write(source: Known, kind: str, target: Path) -> Made:
    """The file itself, complete or not at all, readable by its owner. Raises CatalogueError, NativeError, OSError."""
    requantised = Contents(source.model().path).quantised
    quantise_file(source.path, target, kind, threads=usable_cores(), requantise=requantised)
    target.chmod(0o600)
    return Made(source.name, source.sha256, kind, LIBRARY, requantised)


def need_room(folder: Path, parameters: int, kinds: Sequence[str]) -> None:
    """Raises CatalogueError unless files of these types fit on the disk together, generously counted."""
    wanted = sum(parameters * (4 if kind in WHOLE else 1.1) for kind in kinds)
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise CatalogueError(
            f"{len(kinds)} files of {parameters / 1e9:.2f} billion parameters may take {wanted / 2**30:.1f} GiB and {folder} has "
            f"{free / 2**30:.1f} GiB left; name fewer types with --types, or make room"
        )
