"""What is known of one part that makes tokens: what it can compute, move, hold and draw, and what an hour of it costs.

Comes in: figures with their sources (`hardware` reads the catalogue, `machine` measures this one). Goes out: `Part`, in SI units for
those who compute. A figure that nobody published is None; whoever needs it gets UnknownFact, which says how to give it.
Does not know: files, models, what a token costs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from jevons.economics.unitcost.errors import UnknownFact

FILE = "hardware.toml"
"""The name of our data file, and of the user's own."""

Kind = Literal["gpu", "consumer gpu", "soc", "tpu", "asic", "wafer", "cpu"]
Status = Literal["available", "announced"]
Confidence = Literal["high", "medium", "low"]
Group = Literal["spec", "power", "price", "tco"]
"""Figures that mostly have one source in common."""

GIGA, TERA, PETA = 1e9, 1e12, 1e15
ALLIN_PUE = 1.2
"""Power of the building over power of its computers, as all-in power is taken to be counted with; its sources do not say. An assumption."""


class Figure(NamedTuple):
    """What one figure of a part is."""

    words: str
    unit: str
    group: Group


FIGURES: dict[str, Figure] = {
    "f32_tflops": Figure("f32 throughput", "TFLOP/s", "spec"),
    "bf16_tflops": Figure("16-bit throughput", "TFLOP/s", "spec"),
    "fp8_tflops": Figure("fp8 throughput", "TFLOP/s", "spec"),
    "fp4_tflops": Figure("fp4 throughput", "TFLOP/s", "spec"),
    "int8_tops": Figure("int8 throughput", "TOP/s", "spec"),
    "memory_gb": Figure("memory", "GB", "spec"),
    "bandwidth_gb_s": Figure("memory bandwidth", "GB/s", "spec"),
    "link_gb_s": Figure("link bandwidth to its neighbours, one way", "GB/s", "spec"),
    "tdp_w": Figure("rated power", "W", "power"),
    "measured_w": Figure("power measured under load", "W", "power"),
    "allin_kw": Figure("all-in power (its share of server, network and cooling)", "kW", "power"),
    "price_low_usd_h": Figure("lowest rent", "$/h", "price"),
    "price_typical_usd_h": Figure("typical rent", "$/h", "price"),
    "price_high_usd_h": Figure("highest rent", "$/h", "price"),
    "purchase_usd": Figure("purchase price", "$", "price"),
    "tco_hyperscaler_usd_h": Figure("cost of owning it as a hyperscaler", "$/h", "tco"),
    "tco_neocloud_usd_h": Figure("cost of owning it as a smaller cloud", "$/h", "tco"),
}
"""Throughputs are dense and of one part. GB are 10^9 bytes."""

THROUGHPUT = {
    **dict.fromkeys(("f32", "fp32"), "f32_tflops"),
    **dict.fromkeys(("bf16", "f16", "fp16"), "bf16_tflops"),
    "fp8": "fp8_tflops",
    "fp4": "fp4_tflops",
    "int8": "int8_tops",
}
"""What is computed in -> the figure that is its rate."""


class Quotes(NamedTuple):
    """Rent of one part in dollars an hour, as quoted; mixed dates and sellers, so a spread and no market price."""

    low: float | None
    typical: float | None
    high: float | None


class Dispute(NamedTuple):
    """What another source says of a figure."""

    figure: str
    value: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """One accelerator or processor. None is unknown; see `FIGURES` for words and units."""

    name: str
    vendor: str
    kind: Kind
    status: Status = "available"
    announced: str = ""
    """When and where it was announced, for what cannot be bought yet."""
    aliases: tuple[str, ...] = ()
    f32_tflops: float | None = None
    bf16_tflops: float | None = None
    fp8_tflops: float | None = None
    fp4_tflops: float | None = None
    int8_tops: float | None = None
    memory_gb: float | None = None
    bandwidth_gb_s: float | None = None
    link_gb_s: float | None = None
    tdp_w: float | None = None
    measured_w: float | None = None
    allin_kw: float | None = None
    price_low_usd_h: float | None = None
    price_typical_usd_h: float | None = None
    price_high_usd_h: float | None = None
    purchase_usd: float | None = None
    tco_hyperscaler_usd_h: float | None = None
    tco_neocloud_usd_h: float | None = None
    disputes: tuple[Dispute, ...] = ()
    confidence: Confidence = "medium"
    note: str = ""
    sources: Mapping[str, str]
    """Group or single figure -> where it comes from."""

    def figure(self, name: str) -> float:
        """A figure by its name in `FIGURES`. Raises UnknownFact where it is not known."""
        value: float | None = getattr(self, name)
        if value is None:
            words, unit, _ = FIGURES[name]
            raise UnknownFact(
                f"the {words} of {self.name} is not known ({name}). If you know it, write it into {FILE} in JEVONS_HOME:\n"
                f'[[part]]\nname = "{self.name}"\n{name} = …  # {unit}\nsource = "where you have it from"'
            )
        return value

    def source(self, figure: str) -> str:
        """Where a figure comes from."""
        return self.sources.get(figure) or self.sources.get(FIGURES[figure].group, "")

    def flops(self, precision: str) -> float:
        """FLOP/s (for int8: operations a second) of dense matrix products in `precision`: f32, bf16 or f16, fp8, fp4, int8.
        Raises UnknownFact where it is not known: whether it can compute in that precision is not for us to assume.
        """
        if precision not in THROUGHPUT:
            raise UnknownFact(f"parts have no throughput in {precision!r}; there are {', '.join(THROUGHPUT)}")
        return self.figure(THROUGHPUT[precision]) * TERA

    def bandwidth(self) -> float:
        """Bytes a second from and to its memory. Raises UnknownFact."""
        return self.figure("bandwidth_gb_s") * GIGA

    def memory(self) -> float:
        """Bytes of its memory. Raises UnknownFact."""
        return self.figure("memory_gb") * GIGA

    def link(self) -> float:
        """Bytes a second to its neighbours, one way. Raises UnknownFact."""
        return self.figure("link_gb_s") * GIGA

    @property
    def computers_kw(self) -> float | None:
        """Its share of server and network, before cooling: all-in power over `ALLIN_PUE`. None where all-in power is not known."""
        return None if self.allin_kw is None else self.allin_kw / ALLIN_PUE

    @property
    def computers_over_device(self) -> float | None:
        """Power of its share of server and network over its own rated power; None where one of them is not known."""
        return None if self.computers_kw is None or not self.tdp_w else self.computers_kw * 1000 / self.tdp_w

    def ridge(self, precision: str) -> float:
        """FLOP per byte from which on computing and not memory is the limit (Williams et al. 2009). Raises UnknownFact."""
        return self.flops(precision) / self.bandwidth()

    def hourly(self) -> Quotes:
        """What an hour of it is quoted at."""
        return Quotes(self.price_low_usd_h, self.price_typical_usd_h, self.price_high_usd_h)

    def usd_per_pflop_hour(self, precision: str) -> float:
        """Dollars for an hour of 10^15 FLOP/s at the typical rent. Raises UnknownFact."""
        return self.figure("price_typical_usd_h") / (self.flops(precision) / PETA)

    def usd_per_tb_s_hour(self) -> float:
        """Dollars for an hour of 10^12 bytes a second at the typical rent. Raises UnknownFact."""
        return self.figure("price_typical_usd_h") / (self.bandwidth() / TERA)

    def as_dict(self) -> dict[str, object]:
        """For --json: stable keys; money in nano-dollars; null is unknown."""
        document: dict[str, object] = {
            key: getattr(self, key) for key in ("name", "vendor", "kind", "status", "announced", "confidence", "note")
        }
        for figure in FIGURES:
            value = getattr(self, figure)
            if "_usd" in figure:
                document[figure.replace("_usd", "_nusd")] = None if value is None else round(value * GIGA)
            else:
                document[figure] = value
        document["disputes"] = [dispute._asdict() for dispute in self.disputes]
        document["sources"] = dict(self.sources)
        return document
