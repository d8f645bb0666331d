"""Builds the park of one engine from its order. Does not know: slots, HTTP."""

import secrets
from hashlib import file_digest
from pathlib import Path

from jevons.engine.park.codec import Codec, Lossless
from jevons.engine.park.disk import Disk
from jevons.engine.park.park import Park
from jevons.engine.park.states import Layout
from jevons.engine.park.store import Store
from jevons.engine.settings import ParkSettings, ServeOrder


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
    """What the operator's budget asks for; lossless without one."""
    return Lossless(layout)
