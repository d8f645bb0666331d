"""One run of `jevons models choose`: candidates are made, measured, one is chosen and kept, the others go.

Comes in: a catalogue, the source, what is wanted. Goes out: a `Choice`. Candidates lie in `models/candidates/` meanwhile; when a run is
stopped they stay, and the next one takes them up. Does not know: how it is shown.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from jevons.engine.weights.catalogue import Catalogue, Known, Made
from jevons.engine.weights.choose import Bound, By, Mix, Row, cheapest, rows
from jevons.engine.weights.contents import Contents
from jevons.engine.weights.measure import Measures, Sizes, Subject
from jevons.engine.weights.quantise import LIBRARY, need_room, write
from jevons.engine.weights.traffic import Traffic


class Wanted(msgspec.Struct, frozen=True):
    """What is asked of a run."""

    types: tuple[str, ...]
    bound: Bound
    mix: Mix
    by: By
    sizes: Sizes
    again: bool = False
    keep: bool = False
    """Keep every candidate in the catalogue, not only the chosen one."""


class Choice(msgspec.Struct, frozen=True):
    rows: tuple[Row, ...]
    """The source first."""
    chosen: str
    """Name in the catalogue: of a new file, or of the source where it is the cheapest itself, or no candidate passes."""
    label: str
    none_passes: bool
    """No candidate but the source."""


class Trial:
    """Of one source."""

    def __init__(self, catalogue: Catalogue, source: Known, say: Callable[[str], None]) -> None:
        """Raises CatalogueError, gguf.NotGguf: the source cannot be read."""
        self._catalogue = catalogue
        self._source = source
        self._say = say
        self._contents = Contents(source.model().path)
        self._folder = catalogue.folder / "candidates"

    def run(self, wanted: Wanted, traffic: Traffic) -> Choice:
        """Raises CatalogueError (no room, or a name is taken), NativeError (the source cannot be measured), OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for kind in wanted.types:
            if not self._catalogue.made_of(self._source, kind):
                self._catalogue.claim(self._name(kind))  # not only when all is measured
        missing = [kind for kind in wanted.types if not self._place(kind).is_file()]
        need_room(self._folder, self._contents.parameters, missing)
        source = Subject(self._source.name, "", self._source.sha256, lambda: self._source.path)
        candidates = [
            Subject(kind, kind, f"{kind} of {self._source.sha256} by {LIBRARY}", _maker(self._make, kind))
            for kind in wanted.types
        ]
        measured = Measures(self._catalogue.folder, self._say).of(source, candidates, traffic, wanted.sizes, again=wanted.again)
        found = rows(measured, wanted.bound, wanted.mix, requantised=self._contents.quantised)
        best = cheapest(found, wanted.by)
        chosen = self._source.name if best.reference else self._keep(best.label).name
        for kind in wanted.types:
            if wanted.keep and self._place(kind).is_file():
                self._keep(kind)
            self._place(kind).unlink(missing_ok=True)
        return Choice(tuple(found), chosen, best.label, not any(row.passes for row in found[1:]))

    def _place(self, kind: str) -> Path:
        """Of a file in waiting. Named by its source's digest: what another run left of the same source is the same file."""
        return self._folder / f"{self._source.sha256[:16]}.{kind}.gguf"

    def _make(self, kind: str) -> Path:
        if kept := self._catalogue.made_of(self._source, kind):
            return kept.path
        place = self._place(kind)
        if not place.is_file():
            self._say(f"making {kind}")
            write(self._source, kind, place)
        return place

    def _keep(self, kind: str) -> Known:
        """Into the catalogue."""
        if kept := self._catalogue.made_of(self._source, kind):
            return kept
        place = self._make(kind)
        target = self._catalogue.claim(self._name(kind))
        place.replace(target)
        made = Made(self._source.name, self._source.sha256, kind, LIBRARY, self._contents.quantised)
        return self._catalogue.add(target, self._name(kind), made)

    def _name(self, kind: str) -> str:
        return f"{self._source.name}.{kind}"


def _maker(make: Callable[[str], Path], kind: str) -> Callable[[], Path]:
    return lambda: make(kind)
