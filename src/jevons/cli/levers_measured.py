"""Runs the measurements of `jevons levers` and puts a price on them. Needs the engine's library, numpy and numba."""

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

from jevons.cli.park_measure import served
from jevons.economics.levers import COMPRESSED, LEVERS, Rates, Workload, corners
from jevons.economics.shapley import shares
from jevons.engine.experts.routing import DENSE, STORED
from jevons.engine.experts.sizes import sizes as sizes_of
from jevons.engine.levers.measure import Measured, Sizes, Weights, measure, weights
from jevons.engine.native.apart import apart
from jevons.engine.native.package import NativeError
from jevons.engine.native.quantise import quantise
from jevons.engine.settings import PLANS_FOLDER
from jevons.engine.weights.traffic import TrafficError, read_traffic
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home

USD_PER_BUSY_S = Fraction(125, 10**8) + Fraction(1000, 4 * 31_536_000) * 4
"""30 W at $0.15 a kWh, and a machine of $1,000 over four years of which it is busy a quarter: as in meter/data/local_prices.toml."""
QUICK = Sizes(prompt=64, decoded=8, batch=4, rounds=1)
FULL = Sizes()


def report(
    home: Home,
    reference: Path | None,
    quantised: Path | None,
    text_file: Path | None,
    turn: str,
    usd_per_hour: str | None,
    watts: float,
    kld_max: float,
    threads: int,
    quick: bool,
) -> dict[str, Any]:
    """The document that --json prints. Raises LedgerError, ImportError."""
    work, price, sizes = _workload(turn), _price(usd_per_hour), QUICK if quick else FULL
    after = quantised or served(home)
    try:
        text = "\n\n".join(text.plain for text in read_traffic(text_file).texts)
        with _reference(reference, after) as before:
            measured = apart(measure, before, after, text, home.path / PLANS_FOLDER, kld_max, threads, sizes)
        twins = [apart(weights, path, text, threads, sizes) for path in (DENSE, STORED)]
    except (NativeError, TrafficError, ValueError, OSError) as error:
        raise LedgerError(f"Nothing was measured: {error}") from None
    return {
        **_priced(measured, work, price, watts),
        "measured": msgspec.to_builtins(measured),
        "requantised": reference is None,
        "mixture": _mixture(twins, work, price),
        "found": found_shares(measured),
    }


def found_shares(measured: Measured) -> dict[str, float]:
    """Shares of blocks found: endless room; room for some as they are; the same room, compressed (economics/data/park_found.toml)."""
    data = tomllib.loads(files("jevons.economics").joinpath("data/park_found.toml").read_text())
    smaller = measured.lossless.bytes_per_token / (measured.compressed or measured.lossless).bytes_per_token
    rooms, shares_found = zip(*data["found"], strict=True)
    lossless, compressed = np.interp(np.log([data["compared"], data["compared"] * smaller]), np.log(rooms), shares_found)
    return {"endless": data["endless"], "lossless": float(lossless), "compressed": float(compressed), "smaller": smaller}


def _priced(measured: Measured, work: Workload, price: Fraction, watts: float) -> dict[str, Any]:
    found = found_shares(measured)
    before, after = measured.reference, measured.quantised
    compressed = measured.compressed or measured.lossless
    rates = Rates(
        {False: before.prefill_tok_s, True: after.prefill_tok_s},
        {
            (False, False): before.decode_tok_s,
            (False, True): before.batch_tok_s,
            (True, False): after.decode_tok_s,
            (True, True): after.batch_tok_s,
        },
        {False: measured.lossless.restore_token_s, True: compressed.restore_token_s},
        {
            False: found["lossless"] / found["endless"],
            True: found["compressed"] / found["endless"],
        },
    )
    costs = corners(rates, work, price)
    parts = shares(lambda levers: costs[levers].nusd_per_million, LEVERS)
    used, tokens = measured.watts if measured.watts is not None else watts, work.prompt + work.output
    return {
        "turn": work._asdict(),
        "nusd_per_busy_hour": round(price * 3600 * 10**9),
        "watts": used,
        "watts_measured": measured.watts is not None,
        "corners": [
            {
                "levers": [lever for lever in LEVERS if lever in corner.levers],
                "nusd_per_million": corner.nusd_per_million,
                "joules_per_token": used * corner.seconds / tokens,
                "tokens_per_s": tokens / corner.seconds,
            }
            for corner in costs.values()
        ],
        "shares_nusd_per_million": parts,
        "kld": {"quantised weights": measured.quantised_kld, COMPRESSED: compressed.kld if measured.compressed else None},
    }


def _mixture(twins: list[Weights], work: Workload, price: Fraction) -> dict[str, Any]:
    """A mixture beside a dense model that computes as much for a token; outside the sum, since what it saves is quality."""
    rows = []
    for one, path in zip(twins, (DENSE, STORED), strict=True):
        size = sizes_of(path)
        seconds = work.prompt / one.prefill_tok_s + work.output / one.decode_tok_s
        nusd = round(Fraction(seconds) * price * 10**15 / (work.prompt + work.output))
        rows.append(
            {
                "file": path.name,
                "parameters": size.parameters,
                "active_parameters": size.active_parameters,
                "decode_tok_s": one.decode_tok_s,
                "prefill_tok_s": one.prefill_tok_s,
                "nusd_per_million": nusd,
            }
        )
    return {"dense": rows[0], "mixture": rows[1]}


@contextmanager
def _reference(given: Path | None, after: Path) -> Iterator[Path]:
    """The weights before: given, or written out as half-precision numbers for the while."""
    if given is not None:
        yield given
        return
    with TemporaryDirectory(prefix="jevons-levers-") as folder:
        target = Path(folder) / f"{after.stem}.F16.gguf"
        quantise(after, target, "F16", requantise=True)
        yield target


def _workload(turn: str) -> Workload:
    try:
        work = Workload(*(int(part) for part in turn.split(":")))
    except (TypeError, ValueError):
        raise LedgerError(
            f"--turn {turn}: expected are three numbers of tokens, PROMPT:REPEATED:OUTPUT, as 1000:800:100."
        ) from None
    if not 0 <= work.repeated <= work.prompt or work.prompt < 1 or work.output < 1:
        raise LedgerError(
            f"--turn {turn}: a prompt and an output have at least one token, and no more is repeated than the prompt has."
        )
    return work


def _price(usd_per_hour: str | None) -> Fraction:
    if usd_per_hour is None:
        return USD_PER_BUSY_S
    try:
        hourly = Fraction(Decimal(usd_per_hour))
    except (InvalidOperation, ValueError):
        raise LedgerError(f"--usd-per-hour {usd_per_hour} is not an amount of dollars.") from None
    if hourly <= 0:
        raise LedgerError("--usd-per-hour must be above 0.")
    return hourly / 3600
