"""`jevons park measure`: what one model loses by compressing its keys and values, written where the engine looks for it. Needs numpy and numba."""

from hashlib import file_digest
from pathlib import Path

from jevons.config import load
from jevons.engine.models import find_model
from jevons.engine.native.apart import apart
from jevons.engine.native.package import NativeError
from jevons.engine.park import sensitivity
from jevons.engine.park.budget import plan_file
from jevons.engine.park.states import Unparkable
from jevons.engine.settings import PLANS_FOLDER
from jevons.engine.weights.traffic import TrafficError, read_traffic
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home, write_private

TEXTS = 6
"""Each is read through another rotation; what is measured of more changes little, and takes twenty seconds each."""
CHARACTERS = 6_000
"""About what 576 tokens take in any tokenizer; short conversations are joined."""


def measure(home: Home, traffic: Path | None, model: Path | None, threads: int) -> str:
    """What to say. Raises LedgerError, ImportError."""
    path = model or served(home)
    try:
        texts = _long([text.plain for text in read_traffic(traffic).texts])
        found = apart(sensitivity.measure, path, texts, threads=threads)
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        target = plan_file(digest, home.path / PLANS_FOLDER)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(target, found.text)
    except (NativeError, TrafficError, Unparkable, ValueError, OSError) as error:
        raise LedgerError(f"{path.name} cannot be measured: {error}") from None
    lines = [f"a sum of {total:.4f} measured {kld:.4f} nats a token" for total, kld in found.whole]
    return f"{path.name}, {len(texts)} texts: {'; '.join(lines)}.\nWritten to {target}; restart the gateway to use it."


def served(home: Home) -> Path:
    section = load(home.config if home.config.exists() else None).engine
    if section.model:
        return Path(section.model).expanduser()
    packaged = find_model()
    if packaged is None:
        raise LedgerError("There is no model to measure: name one with --model.")
    return packaged.path


def _long(texts: list[str]) -> list[str]:
    """Texts of CHARACTERS at least, at most TEXTS of them. What is left over is dropped."""
    long: list[str] = []
    part = ""
    for text in texts:
        part = f"{part}\n\n{text}" if part else text
        if len(part) >= CHARACTERS:
            long.append(part)
            part = ""
    return long[:TEXTS]
