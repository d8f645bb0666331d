"""Builds the park of one engine from its order. Does not know: slots, HTTP."""

import importlib
import logging
import secrets
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path

from jevons.core.limits import PARK_GIB_PER_COMPUTE, PARK_PREFILL_S_PER_BYTE
from jevons.engine.park.codec import Codec, Lossless
from jevons.engine.park.disk import Disk, erase
from jevons.engine.park.park import Park
from jevons.engine.park.states import Layout
from jevons.engine.park.store import Store
from jevons.engine.settings import ParkSettings, ServeOrder
from jevons.policy.park import Prefill, holding_price

log = logging.getLogger("jevons.engine")
BUDGET = "jevons.engine.park.budget"
"""Imported only where it is asked for: it needs numba."""


def open_park(order: ServeOrder, transit: Path, library: str) -> Park:
    """`library`: name and version of what computes the states, as part of every block's key."""
    settings = order.park
    secret = bytes.fromhex(settings.secret) or secrets.token_bytes(32)
    disk = None
    if settings.disk_bytes:
        tags = frozenset(bytes.fromhex(tag) for tag in settings.disk_tags)
        disk = Disk(Path(settings.disk_folder), secret, tags, settings.retention_s)
    elif settings.disk_folder:
        with suppress(OSError):
            erase(Path(settings.disk_folder))  # who turns the disk off has nothing left on it
    with Path(order.model).open("rb") as file:
        model = file_digest(file, "sha256").digest()
    if _compresses(settings):
        _warm()
    budget = f"{order.kv_type} {settings.kld_max} {settings.bytes_per_token_max}"
    prefill = Prefill(token_s=Path(order.model).stat().st_size * PARK_PREFILL_S_PER_BYTE)
    store = Store(settings.ram_bytes, disk, settings.disk_bytes, prefill, holding_price(PARK_GIB_PER_COMPUTE, 1.0))
    return Park(
        store, transit, secret, (model, library.encode(), budget.encode()), lambda layout: _codec(settings, model.hex(), layout)
    )


def _compresses(settings: ParkSettings) -> bool:
    return bool(settings.kld_max or settings.bytes_per_token_max)


def _warm() -> None:
    """Load what codes before the engine says that it is ready: a second or two, in which a conversation would wait."""
    try:
        importlib.import_module(BUDGET).warm()
    except (ImportError, RuntimeError):
        return  # said when the codec is asked for


def _codec(settings: ParkSettings, model: str, layout: Layout) -> Codec:
    """What the operator's budget asks for; lossless without one, or where it cannot be kept."""
    if not _compresses(settings):
        return Lossless(layout)
    try:
        codec: Codec = importlib.import_module(BUDGET).compressed(settings, model, layout)
    except (ImportError, OSError, RuntimeError, ValueError) as error:  # RuntimeError: numba has nowhere to keep what it compiled
        log.warning("conversations are parked as they are, not compressed: %s", error)
        return Lossless(layout)
    return codec
