"""What `jevons hw calibrate` found, as it stands in JEVONS_HOME/local_rates.json.

Comes in: a folder. Goes out: `Calibration`. Does not know: how anything was measured.
"""

from pathlib import Path

import msgspec

from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.economics.unitcost.local import Rates

FILE = "local_rates.json"


class Point(msgspec.Struct, frozen=True):
    """One whole step of the calibration."""

    new: int
    """Tokens of each conversation: 1 = decoding."""
    batch: int
    kept: int
    predicted_s: float
    """By the operations alone."""
    observed_s: float


class Calibration(msgspec.Struct, frozen=True):
    rates: Rates
    model: str
    """The file whose whole steps were observed."""
    processor: str
    measured: str
    """UTC, "2026-11-22T19:02Z"."""
    points: list[Point]
    restore_element_s: float
    """To put one element of a kept token's keys and values back from memory."""
    load: float | None = None
    """Processes that wanted to run when it began; None = not known."""


def load(home: Path) -> Calibration | None:
    """None if this machine was never calibrated. Raises UnitCostError for a file that cannot be read."""
    file = home / FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=Calibration)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise UnitCostError(f"{file} cannot be read ({error}); run: jevons hw calibrate") from error


def calibration(home: Path) -> Calibration:
    """Raises UnknownFact if there is none."""
    found = load(home)
    if found is None:
        raise UnknownFact("what the local engine's operations take on this machine is not known; run: jevons hw calibrate")
    return found
