"""Parts and this machine for people, and as documents. What is shown is what --json prints; "unknown" is what nobody published."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from rich.text import Text

from jevons.cli.tables import console, plain, whole
from jevons.economics.unitcost.errors import UnknownFact
from jevons.economics.unitcost.hardware import sources
from jevons.economics.unitcost.machine import NAME, Machine, Product
from jevons.economics.unitcost.part import FIGURES, Part

UNKNOWN = "unknown"
PRECISIONS = ("f32", "bf16", "fp8", "fp4", "int8")
COLUMNS = (
    "part", "kind", "f32", "16 bit", "fp8", "fp4", "int8", "GB", "GB/s", "link GB/s", "W", "all-in kW", "rent $/h", "owning $/h",
    "FLOP/byte", "$ per PFLOP/s-h", "$ per TB/s-h",
)  # fmt: skip
"""Throughputs in TFLOP/s; the last three are of 16 bit at the typical rent."""
QUIET_SHARE = 0.25
"""Of the cores: with more at work when it begins, a measurement is told to be one of a busy machine."""
DISPUTED = ("part", "figure", "we use", "others say", "who")


def number(value: float | None) -> str:
    """At most four digits, no exponent."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def known(figure: Callable[[], float]) -> float | None:
    """What can be worked out, else None."""
    try:
        return figure()
    except UnknownFact:
        return None


def _dollars(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _spread(*values: float | None) -> str:
    return " – ".join(_dollars(value) for value in values if value is not None) or UNKNOWN


def cells(part: Part) -> list[str]:
    """A row of the catalogue, under `COLUMNS`."""
    rates = (part.f32_tflops, part.bf16_tflops, part.fp8_tflops, part.fp4_tflops, part.int8_tops)
    sizes = (part.memory_gb, part.bandwidth_gb_s, part.link_gb_s, part.tdp_w, part.allin_kw)
    ridge = known(partial(part.ridge, "bf16"))
    return [
        part.name + (" (announced)" if part.status == "announced" else ""),
        part.kind,
        *map(number, (*rates, *sizes)),
        _spread(*part.hourly()),
        _spread(part.tco_hyperscaler_usd_h, part.tco_neocloud_usd_h),
        UNKNOWN if ridge is None else f"{ridge:,.0f}",
        _dollars(known(partial(part.usd_per_pflop_hour, "bf16"))),
        _dollars(known(part.usd_per_tb_s_hour)),
    ]


def disputed(found: Sequence[Part]) -> list[list[str]]:
    """Rows of what sources disagree on, under `DISPUTED`."""
    return [
        [
            part.name,
            f"{FIGURES[d.figure].words}, {FIGURES[d.figure].unit}",
            number(getattr(part, d.figure)),
            number(d.value),
            d.source,
        ]
        for part in found
        for d in part.disputes
    ]


def parts(found: Sequence[Part]) -> None:
    table = plain(*COLUMNS, title="Dense TFLOP/s of one part; the last three columns are of 16 bit, at the typical rent")
    for part in found:
        table.add_row(*cells(part))
    whole(table)
    console.print(
        "jevons hw show PART: every figure with its source. Your own figures: hardware.toml in JEVONS_HOME.", soft_wrap=True
    )


def markdown(found: Sequence[Part]) -> str:
    """The tables of docs/hardware.md."""
    return "\n".join(_table(COLUMNS, [cells(part) for part in found])) + "\n\n" + "\n".join(_table(DISPUTED, disputed(found)))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)]


def derived(part: Part) -> dict[str, Any]:
    """What is worked out from a part's figures: null where one of them is unknown; money in nano-dollars."""
    return {
        "ridge_flop_per_byte": {kind: known(partial(part.ridge, kind)) for kind in PRECISIONS},
        "pflop_hour_nusd": {kind: _nusd(known(partial(part.usd_per_pflop_hour, kind))) for kind in PRECISIONS},
        "tb_s_hour_nusd": _nusd(known(part.usd_per_tb_s_hour)),
    }


def _nusd(value: float | None) -> int | None:
    return None if value is None else round(value * 1e9)


def part(found: Part) -> None:
    words = sources()
    status = "available" if found.status == "available" else f"announced ({found.announced}): promised, measured by nobody"
    console.print(f"[bold]{found.name}[/]  {found.vendor}, {found.kind}, {status}; confidence {found.confidence}", soft_wrap=True)
    table = plain("figure", "value", "unit", "source", title=None)
    for column in (2, 3):
        table.columns[column].justify = "left"
    for name, figure in FIGURES.items():
        value = getattr(found, name)
        table.add_row(
            figure.words, number(value), "" if value is None else figure.unit, "" if value is None else found.source(name)
        )
    for dispute in found.disputes:
        table.add_row(
            f"  {FIGURES[dispute.figure].words}, by others", number(dispute.value), FIGURES[dispute.figure].unit, dispute.source
        )
    for kind in PRECISIONS:
        if (ridge := known(partial(found.ridge, kind))) is not None:
            table.add_row(f"bound by memory below, {kind}", f"{ridge:,.0f}", "FLOP/byte", "throughput ÷ bandwidth")
    whole(table)
    if found.note:
        console.print(Text(f"Note: {found.note}."), soft_wrap=True)
    for code in dict.fromkeys(code for text in found.sources.values() for code in _codes(text) if code in words):
        console.print(Text(f"{code}: {words[code]}"), soft_wrap=True)


def _codes(text: str) -> list[str]:
    return [code.strip() for code in text.partition(":")[0].split(",")]


def document(found: Machine | None) -> dict[str, Any]:
    """The machine as a document; only `measured` false if it was not."""
    if found is None:
        return {"measured": False, "machine": None, "part": None}
    return {"measured": True, "machine": msgspec.to_builtins(found), "part": found.part().as_dict()}


def machine(found: Machine | None) -> None:
    if found is None:
        console.print(
            "This machine was not measured yet: jevons hw measure (half a minute). jevons hw list shows other parts.",
            soft_wrap=True,
        )
        return
    here = found.processor
    cache = UNKNOWN if here.last_cache_bytes is None else f"{here.last_cache_bytes / 2**20:.0f} MiB"
    memory = UNKNOWN if here.memory_bytes is None else f"{here.memory_bytes / 1e9:.1f} GB"
    console.print(f"[bold]{NAME}[/]  {here.name}, {here.cores} cores, last cache {cache}, memory {memory}", soft_wrap=True)
    console.print(f"Instructions: {' '.join(here.flags) or UNKNOWN}", soft_wrap=True)
    load = "" if found.load is None else f"; {found.load:.1f} processes wanted to run when it began"
    console.print(
        f"Measured {found.measured_at}{', quickly' if found.quick else ''}, in {found.seconds:.0f} s{load}", soft_wrap=True
    )
    table = plain("GB/s", "threads", "median", "half of the rounds", title="\nMemory")
    for s in found.streams:
        place = "memory" if s.place == "memory" else "last cache"
        table.add_row(f"{place}, {s.pattern}", f"{s.threads}", f"{s.gb_s:.1f}", f"{s.gb_s_low:.1f} – {s.gb_s_high:.1f}")
    whole(table)
    back_end = found.versions.get("back end", UNKNOWN)
    table = plain(
        "weights",
        "tokens",
        "threads",
        "GFLOP/s",
        "half of the rounds",
        "GB/s of weights",
        "held as",
        title=f"\nMatrix products; ggml's back end: {back_end}",
    )
    for p in found.products:
        table.add_row(*_product(p))
    whole(table)
    _priced(found)
    for line in found.missing:
        console.print(Text(f"Not measured: {line}"), soft_wrap=True)
    if found.load is not None and found.load > QUIET_SHARE * here.cores:
        console.print(
            "Others were at work: threads waited for them, and figures are lower than the machine's. Measure again when it is quiet.",
            soft_wrap=True,
        )


def _product(p: Product) -> list[str]:
    rate = [f"{p.gflops:.1f}", f"{p.gflops_low:.1f} – {p.gflops_high:.1f}", f"{p.weights_gb_s:.1f}"]
    return [p.type, f"{p.tokens}", f"{p.threads}", *rate, p.packed]


def _priced(found: Machine) -> None:
    watts = UNKNOWN if found.watts is None else f"{found.watts:.1f} W of the processor alone"
    console.print(f"\nPower measured: {watts}", soft_wrap=True)
    console.print(f"Price stated: ${found.stated.usd_per_hour:.4f} an hour = {found.stated}", soft_wrap=True)
