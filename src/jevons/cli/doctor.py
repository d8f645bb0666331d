"""`jevons doctor`: configuration, upstreams, prices, local model, ledger, disk. Each finding says what is, and what to do about it."""

import os
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from jevons.config import Config, ConfigError, load
from jevons.core.limits import CONNECT_TIMEOUT_S
from jevons.engine.gguf import NotGguf
from jevons.engine.install import install_command, missing
from jevons.engine.models import find_model, read_model
from jevons.gateway.upstreams import live
from jevons.ledger.bill import check
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home
from jevons.meter.compiled import BrokenBook
from jevons.meter.genai import UpdateFailed
from jevons.meter.overrides import BadOverride
from jevons.meter.pricebook import open_book

SYNCS = 50


class Finding(msgspec.Struct, frozen=True):
    """One checked thing."""

    verdict: Literal["good", "note", "bad"]
    subject: str
    text: str

    def as_dict(self) -> dict[str, str]:
        return {"verdict": self.verdict, "subject": self.subject, "text": self.text}


def examine(home: Home) -> list[Finding]:
    """Everything, in the order in which a start would need it."""
    config, first = _configuration(home)
    return [*first, *_upstreams(config), *_prices(home), *_local_model(config), *_park(config), *_ledger(home), *_disk(home)]


def _configuration(home: Home) -> tuple[Config, list[Finding]]:
    if not home.config.exists():
        return Config(), [
            Finding("note", "configuration", f"{home.config} is not there; defaults apply. `jevons init` writes one.")
        ]
    try:
        config = load(home.config)
    except ConfigError as error:
        return Config(), [Finding("bad", "configuration", str(error))]
    return config, [
        Finding(
            "good",
            "configuration",
            f"{home.config}: {count(len(config.upstreams), 'upstream')}, {count(len(config.models), 'model name')} of your own.",
        )
    ]


def _upstreams(config: Config) -> Iterator[Finding]:
    for settings in config.upstreams:
        try:
            live(settings)
            address = urlsplit(settings.base_url or settings.defaults.base_url)
        except ValueError as error:
            yield Finding("bad", f"upstream {settings.name}", str(error))
            continue
        port = address.port or (443 if address.scheme == "https" else 80)
        started = time.perf_counter()
        try:
            socket.create_connection((address.hostname or "", port), timeout=CONNECT_TIMEOUT_S).close()
        except OSError as error:
            yield Finding("bad", f"upstream {settings.name}", f"{address.hostname}:{port} cannot be reached ({error}).")
        else:
            yield Finding(
                "good",
                f"upstream {settings.name}",
                f"{address.hostname}:{port} answers in {(time.perf_counter() - started) * 1000:.0f} ms.",
            )


def _prices(home: Home) -> Iterator[Finding]:
    try:
        book = open_book(home.path)
    except (BrokenBook, BadOverride, UpdateFailed) as error:
        yield Finding("bad", "prices", str(error))
    else:
        models = sum(len(book.models(provider)) for provider in book.providers())
        yield Finding(
            "good",
            "prices",
            f"{book.source}: {count(models, 'model')}, {count(len(book.overrides), 'override')}, book {book.hash}.",
        )


def _local_model(config: Config) -> Iterator[Finding]:
    if not config.engine.enabled:
        yield Finding("note", "local model", "switched off in jevons.toml ([engine] enabled).")
        return
    own = config.engine.model
    try:
        model = read_model(Path(own).expanduser()) if own else find_model()
    except (OSError, NotGguf) as error:
        yield Finding("bad", "local model", f"{error}. Mend `model` under [engine] of jevons.toml.")
        return
    if missing(weights=not own) or model is None:
        yield Finding("note", "local model", f"not installed yet; `jevons serve` does it, or: {install_command()}")
    elif own:
        yield Finding("good", "local model", f"{model.title}, {model.size_bytes / 1e6:.0f} MB.")
    else:
        yield Finding(
            "good", "local model", f"{model.name}, {model.path.stat().st_size / 1e6:.0f} MB, for trying, and for simple tasks."
        )


def _park(config: Config) -> Iterator[Finding]:
    park = config.engine.park
    if config.engine.enabled and (park.kld_max or park.bytes_per_token_max) and not find_spec("numba"):
        yield Finding("note", "park", f"compresses nothing: it needs numba; run: {sys.executable} -m pip install numba")


def _ledger(home: Home) -> Iterator[Finding]:
    if not home.ledger.exists():
        yield Finding("note", "ledger", "there is none yet; the first start makes it.")
        return
    try:
        problems = check(home.ledger)
    except LedgerError as error:
        problems = [str(error)]
    for problem in problems:
        yield Finding("bad", "ledger", f"{problem}. Keep the file; restore a backup from {home.backups} elsewhere and compare.")
    if not problems:
        size = home.ledger.stat().st_size / 2**20
        yield Finding(
            "good", "ledger", f"{home.ledger} ({size:.1f} MiB) is sound: lines sum to entries, entries to accounts and rollups."
        )


def _disk(home: Home) -> Iterator[Finding]:
    times = sync_times_s(home.path)
    middle = statistics.median(times) * 1000
    text = f"a sync takes {middle:.2f} ms (median of {len(times)}); a call waits for two, many calls share one."
    yield Finding(
        "note" if middle > 10 else "good",
        "disk",
        text + (" That is slow: put JEVONS_HOME on a local disk." if middle > 10 else ""),
    )


def count(number: int, name: str) -> str:
    """ "1 call", "2 calls", "1,000 calls"."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def sync_times_s(folder: Path) -> list[float]:
    """How long an fdatasync of a small append takes in this folder, seconds each."""
    file = folder / f"sync-test.{os.getpid()}"
    handle = os.open(file, os.O_CREAT | os.O_WRONLY, 0o600)
    times = []
    try:
        for _ in range(SYNCS):
            os.write(handle, b"x" * 4096)
            started = time.perf_counter()
            os.fdatasync(handle)
            times.append(time.perf_counter() - started)
    finally:
        os.close(handle)
        file.unlink()
    return times
