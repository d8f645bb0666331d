"""Builds the park of one engine from its order. Does not know: slots, HTTP."""

import importlib
import logging
import secrets
from hashlib import file_digest
from pathlib import Path

from jevons.engine.park.codec import Codec, Lossless
from jevons.engine.park.disk import Disk
from jevons.engine.park.park import Park
from jevons.engine.park.states import Layout
from jevons.engine.park.store import Store
from jevons.engine.settings import ParkSettings, ServeOrder

log = logging.getLogger("jevons.engine")


def open_park(order: ServeOrder, transit: Path, library: str) -> Park:
    """`library`: name and version of what computes the states, as part of every block's key."""
    settings = order.park
    secret = bytes.fromhex(settings.secret) or secrets.token_bytes(32)
    disk = None
    if settings.disk_bytes:
        tags = frozenset(bytes.fromhex(tag) for tag in settings.disk_tags)
        disk = Disk(Path(settings.disk_folder), secret, tags, settings.retention_s)
    with Path(order.model).open("rb") as file:
        model = file_digest(file, "sha256").digest()
    store = Store(settings.ram_bytes, disk, settings.disk_bytes)
    return Park(store, transit, secret, (model, library.encode()), lambda layout: _codec(settings, model.hex(), layout))


def _codec(settings: ParkSettings, model: str, layout: Layout) -> Codec:
    """What the operator's budget asks for; lossless without one, or where it cannot be kept."""
    if not (settings.kld_max or settings.bytes_per_token_max):
        return Lossless(layout)
    try:
        codec: Codec = importlib.import_module("jevons.engine.park.budget").compressed(settings, model, layout)  # needs numba
    except (ImportError, OSError, ValueError) as error:
        log.warning("conversations are parked as they are, not compressed: %s", error)
        return Lossless(layout)
    return codec
