"""A predictor on disk: numbers and JSON, no code. One file for each organisation and route, JEVONS_HOME/routers/ORG/ROUTE.router.

Comes in: a predictor with its card. Goes out: the file, and back. One that was made of what people wrote is sealed under its organisation's
key, which is erased with what was captured: then nobody can open it. Does not know: who asks it.
"""

import io
import math
import os
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import msgspec
import numpy as np

from jevons.learn import clusters, kernel, knn, logistic
from jevons.learn.matrix import Columns
from jevons.learn.mixed import Mix, Mixed
from jevons.learn.place import path_of
from jevons.learn.predictor import Head
from jevons.learn.rows import Floats
from jevons.ledger.capture import OrgSealer
from jevons.ledger.errors import LedgerError
from jevons.ledger.schema import sync_folder
from jevons.ledger.sealing import Refused
from jevons.policy.promise import Judged

_KINDS = {one.kind: one for one in (logistic.Logistic, knn.Nearest, clusters.Clusters, kernel.Kernel)}
_ZIP = b"PK"


class Card(msgspec.Struct, frozen=True):
    """Where it comes from and what it is worth."""

    org: str
    route: str
    models: tuple[str, ...]
    kind: str
    """Of its head, or `mixture`."""
    labels: int
    trained_ms: int
    log_loss: float
    """Nested cross-validation, in nats."""
    log_loss_before: float
    """Of one who knows only each model's share: what was learnt is the difference."""
    tried: dict[str, float] = {}
    """Kind and setting -> log-loss of the inner cross-validation."""
    examples: tuple[int, ...] = ()
    """Captured examples that it was made of, by id."""


class Unseen(NamedTuple):
    """What predictors trained without them said of the labels' requests: a promise begins with these."""

    scores: Floats
    """f32[n, m]"""
    good: Floats
    """f32[n, m]: 1 no harm, 0 harm, NaN nobody judged."""
    weights: Floats
    """f32[n]"""

    def judged(self, model: int) -> list[Judged]:
        """Of the model in this place."""
        rows = zip(self.scores[:, model].tolist(), self.good[:, model].tolist(), self.weights.tolist(), strict=True)
        return [Judged(score, good < 0.5, weight) for score, good, weight in rows if not math.isnan(good)]


class Saved(msgspec.Struct, frozen=True):
    card: Card
    predictor: Mixed
    unseen: Unseen

    @property
    def version(self) -> str:
        return str(self.card.trained_ms)


class _About(msgspec.Struct, frozen=True):
    card: Card
    columns: Columns
    heads: tuple[str, ...]


def save(folder: Path, saved: Saved, sealer: OrgSealer | None) -> Path:
    """Written whole or not at all; readable by its owner only. One that reads content needs a sealer."""
    card = saved.card
    packed = pack(saved)
    if saved.predictor.needs_vector:
        assert sealer is not None
        packed = sealer.seal(_bound(card.org, card.route), packed)
    path = path_of(folder, card.org, card.route)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with open(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as out:
        out.write(packed)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
    sync_folder(path.parent)
    return path


def sealed(path: Path) -> bool:
    """Does it take the organisation's key to open? Raises FileNotFoundError."""
    with path.open("rb") as file:
        return file.read(len(_ZIP)) != _ZIP


def load(folder: Path, org: str, route: str, sealer: OrgSealer | None = None) -> Saved:
    """Raises LedgerError, in words: no such file, damaged, another's, or sealed and no sealer is given."""
    path = path_of(folder, org, route)
    again = f"Train it anew: jevons routes train {route} --org {org}"
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise LedgerError(f"Route {route!r} has no predictor for organisation {org!r} ({path} is not there). {again}") from None
    try:
        if not raw.startswith(_ZIP):
            if sealer is None:
                raise LedgerError(f"{path} was made of captured examples: it takes their organisation's key to open it.")
            raw = sealer.open(_bound(org, route), raw)
        found = unpack(raw)
        if (found.card.org, found.card.route) != (org, route):
            raise ValueError("another route's")
    except Refused:
        raise LedgerError(f"{path} cannot be opened: it was changed, or its organisation's key was erased. {again}") from None
    except ValueError as error:
        raise LedgerError(f"{path} cannot be used: {error}. {again}") from None
    return found


def forget(folder: Path, gone: Collection[int], sealer: Callable[[str], OrgSealer]) -> list[tuple[str, str]]:
    """Remove those that were made of any of these captured examples, and those whose organisation's key is erased. Returns (organisation, route) of each."""
    found = []
    for path in sorted(folder.glob("*/*.router")):
        org, route = unquote(path.parent.name), unquote(path.stem)
        try:
            held = sealed(path) and not set(gone).isdisjoint(load(folder, org, route, sealer(org)).card.examples)
        except LedgerError:
            held = True
        if held:
            path.unlink()
            found.append((org, route))
    return found


def pack(saved: Saved) -> bytes:
    """An .npz file: arrays, and what they are as JSON."""
    heads = saved.predictor.heads
    about = _About(saved.card, saved.predictor.columns, tuple(head.kind for head in heads))
    arrays: dict[str, Any] = {
        f"{place}.{name}": array for place, head in enumerate(heads) for name, array in head.arrays().items()
    }
    arrays |= {"mix.weights": saved.predictor.mix.weights, "mix.intercepts": saved.predictor.mix.intercepts}
    arrays |= {f"unseen.{name}": array for name, array in saved.unseen._asdict().items()}
    arrays["about"] = np.frombuffer(msgspec.json.encode(about), np.uint8)
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def unpack(raw: bytes) -> Saved:
    """Raises ValueError for what is no predictor."""
    if not zipfile.is_zipfile(io.BytesIO(raw)):
        raise ValueError("not a predictor, or cut short")
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = msgspec.json.decode(arrays.pop("about").tobytes(), type=_About)
        heads: list[Head] = []
        for place, kind in enumerate(about.heads):
            mine = f"{place}."
            heads.append(
                _KINDS[kind](**{name.removeprefix(mine): array for name, array in arrays.items() if name.startswith(mine)})
            )
        mix = Mix(arrays["mix.weights"], arrays["mix.intercepts"])
        unseen = Unseen(*(arrays[f"unseen.{name}"] for name in Unseen._fields))
    except (OSError, EOFError, KeyError, TypeError, IndexError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise ValueError(f"not a predictor ({error})") from None
    if any(array.dtype.kind == "f" and np.isinf(array).any() for array in arrays.values()):
        raise ValueError("numbers that are not finite")
    if not unseen.scores.shape == unseen.good.shape == (len(unseen.weights), len(about.card.models)):
        raise ValueError("labels of other models")
    return Saved(about.card, Mixed(about.card.models, about.columns, heads, mix), unseen)


def _bound(org: str, route: str) -> bytes:
    """What the file is sealed to, so that a renamed one is refused."""
    return f"router {quote(org, safe='')} {quote(route, safe='')}".encode()
