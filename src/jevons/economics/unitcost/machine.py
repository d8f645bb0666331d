"""What was measured of this machine, kept as machine.json in JEVONS_HOME, and the part of the catalogue that it makes.

Comes in: measured values (`jevons hw measure` joins `probe` here with the engine's kernels) and what its owner states of its power and
its price. Goes out: `Machine`, its rates by type, number of tokens and threads, and `Machine.part()`. Does not know: how it is measured.
"""

from pathlib import Path
from typing import Literal, Self

import msgspec

from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.economics.unitcost.part import Part
from jevons.ledger.home import write_private

FILE = "machine.json"
NAME = "this-machine"
"""In the catalogue."""
AGAIN = "run: jevons hw measure"
UNMEASURED = Part(
    name=NAME,
    aliases=("this machine", "here", "local"),
    vendor="this machine",
    kind="cpu",
    note=f"not measured yet; {AGAIN}",
    sources={},
)
"""What its owner may state figures of before it was measured."""
VERSION = 1
HOURS_PER_YEAR = 8760
Place = Literal["memory", "l3"]
Pattern = Literal["read", "triad"]
WATTS_OFF = 1.5
"""How far a stated power may be from the true one, to either side; nobody measured it."""
WATTS_MEASURED_OFF = 1.15
"""The same where the processor counts its own: without memory, fans and the supply's losses."""


class Processor(msgspec.Struct, frozen=True, kw_only=True):
    """What it says that it is."""

    name: str
    cores: int
    """That this process may use; a virtual one may be half of a real one."""
    flags: tuple[str, ...]
    """Of the instruction sets that matter for matrix products."""
    last_cache_bytes: int | None
    memory_bytes: int | None


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes a second to and from memory, or within the last cache: median of the rounds, with their first and third quartile."""

    pattern: Pattern
    """read: every byte once; triad: a = b + s c as in STREAM (McCalpin 1995), two arrays read and one written."""
    place: Place
    threads: int
    array_bytes: int
    """Of all arrays of all threads."""
    gb_s: float
    gb_s_low: float
    gb_s_high: float


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """Matrix products a second: median of the rounds, with their first and third quartile."""

    engine: Literal["blas", "ggml"]
    type: str
    """Of the weights, as ggml calls it; blas knows f32."""
    tokens: int
    """Vectors that are multiplied at once: 1 is decoding one conversation, many is prefill."""
    threads: int
    rows: int
    columns: int
    packed: str
    """How the kernel holds the weights: "CPU" as in the file, else rearranged when loaded."""
    gflops: float
    """10^9 operations a second; a multiplication and an addition are two."""
    gflops_low: float
    gflops_high: float
    weights_gb_s: float
    """10^9 bytes of stored weights used a second."""


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What is not measured: its owner's word, with the assumptions of the local model's price (local_prices.toml) as defaults."""

    watts: float = 30.0
    """Busy, at the wall: processor, memory, fans, power supply."""
    usd_per_kwh: float = 0.15
    machine_usd: float = 1000.0
    years: float = 4.0
    """Until it is replaced."""

    @property
    def usd_per_hour(self) -> float:
        """An hour of the clock, busy: electricity and wear. Idle hours are not in it; utilisation is an input of whoever asks."""
        return self.watts / 1000 * self.usd_per_kwh + self.machine_usd / (self.years * HOURS_PER_YEAR)

    def __str__(self) -> str:
        return (
            f"{self.watts:g} W x ${self.usd_per_kwh:g}/kWh + ${self.machine_usd:g} / ({self.years:g} years x {HOURS_PER_YEAR} h)"
        )


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """See the module."""

    version: int = VERSION
    measured_at: str
    """UTC, ISO 8601."""
    quick: bool
    load: float | None
    """Processes that wanted to run when it began (one-minute average); others slow it down and make it look slower than it is."""
    seconds: float
    processor: Processor
    streams: tuple[Stream, ...]
    products: tuple[Product, ...]
    watts: float | None
    """Of the processor's packages while it multiplied with all threads; None where nobody may read its counters."""
    missing: tuple[str, ...] = ()
    """What could not be measured, and what to do."""
    stated: Stated = Stated()
    versions: dict[str, str]

    @classmethod
    def read(cls, text: bytes) -> Self:
        """Raises msgspec.ValidationError, msgspec.DecodeError."""
        return msgspec.json.decode(text, type=cls)

    def save(self, home: Path) -> Path:
        """Write it into `home`, whole or not at all, for its owner only."""
        write_private(home / FILE, msgspec.json.format(msgspec.json.encode(self), indent=1).decode() + "\n")
        return home / FILE

    @property
    def threads(self) -> int:
        """The most that were measured."""
        return max((stream.threads for stream in self.streams), default=self.processor.cores)

    def stream(self, pattern: Pattern = "read", place: Place = "memory", threads: int | None = None) -> Stream:
        """Threads None: as many as were measured. Raises UnknownFact."""
        wanted = threads or self.threads
        for stream in self.streams:
            if (stream.pattern, stream.place, stream.threads) == (pattern, place, wanted):
                return stream
        raise UnknownFact(f"{pattern} bandwidth of this machine's {place} with {wanted} threads was not measured; {AGAIN}")

    def product(self, type: str, tokens: int = 1, threads: int | None = None) -> Product:  # noqa: A002 - the field's own word
        """By the engine's kernels, else by BLAS. Threads None: as many as were measured. Raises UnknownFact."""
        wanted = threads or self.threads
        found = [p for p in self.products if (p.type.lower(), p.tokens, p.threads) == (type.lower(), tokens, wanted)]
        if not found:
            known = ", ".join(sorted({f"{p.type} x {p.tokens}" for p in self.products})) or "nothing"
            raise UnknownFact(
                f"products of {type} weights with {tokens} tokens and {wanted} threads were not measured on this machine "
                f"(measured: {known}); {AGAIN}"
            )
        return max(found, key=lambda product: product.engine == "ggml")

    def peak(self, type: str) -> float | None:  # noqa: A002
        """10^9 operations a second of the fastest products of that type that were seen; None if none were."""
        return max((p.gflops for p in self.products if p.type.lower() == type.lower()), default=None)

    @property
    def busy_watts(self) -> tuple[float, float]:
        """5 and 95 % of its power while it is busy."""
        watts, off = (self.stated.watts, WATTS_OFF) if self.watts is None else (self.watts, WATTS_MEASURED_OFF)
        return watts / off, watts * off

    def part(self) -> Part:
        """This machine beside the others: its rates are reached, not promised, and its price is stated."""
        when, gb_s = self.measured_at[:10], max((s.gb_s for s in self.streams if s.place == "memory"), default=None)
        measured = f"measured here on {when} (jevons hw measure)"
        said = f"stated: {self.stated}"
        return Part(
            name=NAME,
            aliases=UNMEASURED.aliases,
            vendor=self.processor.name,
            kind="cpu",
            f32_tflops=_tera(self.peak("f32")),
            bf16_tflops=_tera(self.peak("bf16")),
            int8_tops=_tera(self.peak("q8_0")),
            memory_gb=None if self.processor.memory_bytes is None else self.processor.memory_bytes / 1e9,
            bandwidth_gb_s=gb_s,
            measured_w=self.watts,
            allin_kw=self.stated.watts / 1000,
            price_typical_usd_h=self.stated.usd_per_hour,
            purchase_usd=self.stated.machine_usd,
            confidence="high" if not self.quick else "low",
            note=f"{self.processor.cores} cores; throughputs and bandwidth are what was reached, where others' are peaks",
            sources={"spec": measured, "power": measured, "allin_kw": said, "price": said},
        )


def _tera(giga: float | None) -> float | None:
    return None if giga is None else giga / 1000


def load(home: Path) -> Machine | None:
    """What was measured, or None. Raises UnitCostError where the file is damaged or another version's."""
    file = home / FILE
    try:
        machine = Machine.read(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnitCostError(f"{file} cannot be used ({error}); {AGAIN}") from error
    if machine.version != VERSION:
        raise UnitCostError(f"{file} is of version {machine.version}, not {VERSION}; {AGAIN}")
    return machine


def measured(home: Path) -> Machine:
    """What was measured. Raises UnknownFact where nothing was, UnitCostError for a damaged file."""
    machine = load(home)
    if machine is None:
        raise UnknownFact(f"this machine was not measured yet; {AGAIN} (under a minute)")
    return machine
