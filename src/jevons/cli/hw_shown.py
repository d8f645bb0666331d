"""Parts and this machine for people, and as documents. What is shown is what --json prints; "unknown" is what nobody published."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from rich.text import Text

from jevons.cli.tables import console, fitting, plain, whole
from jevons.economics.unitcost.errors import UnknownFact
from jevons.economics.unitcost.hardware import sources
from jevons.economics.unitcost.machine import NAME, Machine, Product
from jevons.economics.unitcost.part import FIGURES, Part
from jevons.economics.unitcost.quiet import crowded

UNKNOWN = "unknown"
PRECISIONS = ("f32", "bf16", "fp8", "fp4", "int8")
COLUMNS = (
    "part", "kind", "f32", "16 bit", "fp8", "fp4", "int8", "GB", "GB/s", "link GB/s", "W", "all-in kW", "rent $/h", "owning $/h",
    "FLOP/byte", "$ per PFLOP/s-h", "$ per TB/s-h",
)  # fmt: skip
"""Throughputs in TFLOP/s; the last three are of 16 bit at the typical rent."""
SHORT = {"part": 0, "16 bit": 3, "fp8": 4, "GB": 7, "GB/s": 8, "W": 10, "rent $/h": 12}
"""What a terminal has room for -> its place in `COLUMNS`."""
RENTS = {"lowest": "price_low_usd_h", "typical": "price_typical_usd_h", "highest": "price_high_usd_h"}
OWNING = {"hyperscaler": "tco_hyperscaler_usd_h", "smaller cloud": "tco_neocloud_usd_h"}
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


def parts(found: Sequence[Part], every: bool = False) -> None:
    """`every`: all columns, which no terminal has room for; else what one has."""
    chosen = list(range(len(COLUMNS))) if every else list(SHORT.values())
    rest = "; the last three columns are of 16 bit, at the typical rent" if every else ""
    table = plain(*(COLUMNS[at] for at in chosen), title=f"Dense TFLOP/s of one part{rest}")
    for part in found:
        row = cells(part)
        if not every:
            row[0] = part.name.partition(" (")[0] + (" (announced)" if part.status == "announced" else "")
        table.add_row(*(row[at] for at in chosen))
    if every:
        whole(table)
    else:
        fitting(table, "fp8", "W")
    more = "" if every else "All columns: --all. "
    console.print(f"{more}Every figure with its source: jevons hw show PART. Your own figures: hardware.toml in JEVONS_HOME.")


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
    """Figures, then the sources that they are numbered by, then what those sources are."""
    status = "available" if found.status == "available" else f"announced ({found.announced}): promised, measured by nobody"
    console.print(Text.assemble((found.name, "bold"), f"  {found.vendor}, {found.kind}, {status}; confidence {found.confidence}"))
    said: list[str] = []
    table = plain("figure", "value", "unit", "source", title=None)
    for column in (2, 3):
        table.columns[column].justify = "left"
    for words, value, unit, from_ in _figures(found):
        said += [text for text in from_ if text not in said]
        table.add_row(words, value, unit, ", ".join(str(said.index(text) + 1) for text in from_))
    fitting(table)
    listed = plain("", "source", title="\nSources")
    listed.show_header = False
    listed.columns[1].justify = "left"
    for at, text in enumerate(said, 1):
        listed.add_row(str(at), text)
    words_of = sources()
    for code in dict.fromkeys(code for text in found.sources.values() for code in _codes(text) if code in words_of):
        listed.add_row(code, words_of[code])
    console.print(listed)
    if found.note:
        console.print(Text(f"Note: {found.note}."))


def _figures(found: Part) -> Iterator[tuple[str, str, str, list[str]]]:
    """Words, value, unit, sources: the rents in one line, and what owning costs."""
    for name, figure in FIGURES.items():
        if name in (*RENTS.values(), *OWNING.values()):
            if name == "price_low_usd_h":
                stated = "an hour, as stated" if found.name == NAME else ""
                yield _together(found, stated or "rent", RENTS, bare=bool(stated))
            elif name == "tco_hyperscaler_usd_h":
                yield _together(found, "cost of owning it", OWNING)
            continue
        value = getattr(found, name)
        shown = _dollars(value) if figure.group == "price" and value is not None and value < 1000 else number(value)
        yield figure.words, shown, *(("", []) if value is None else (figure.unit, [found.source(name)]))
    for one in found.disputes:
        figure = FIGURES[one.figure]
        yield f"  {figure.words}, by others", number(one.value), figure.unit, [one.source]
    for kind in PRECISIONS:
        if (ridge := known(partial(found.ridge, kind))) is not None:
            yield f"bound by memory below, {kind}", f"{ridge:,.0f}", "FLOP/byte", ["throughput ÷ bandwidth"]


def _together(found: Part, words: str, named: Mapping[str, str], bare: bool = False) -> tuple[str, str, str, list[str]]:
    """Figures of dollars an hour in one line, each under its name; unknown where none is known."""
    there = {name: getattr(found, figure) for name, figure in named.items() if getattr(found, figure) is not None}
    if not there:
        return words, UNKNOWN, "", []
    label = words if bare else f"{words}, {' – '.join(there)}"
    from_ = list(dict.fromkeys(found.source(named[name]) for name in there))
    return label, _spread(*there.values()), "$/h", from_


def _codes(text: str) -> list[str]:
    return [code.strip() for code in text.partition(":")[0].split(",")]


def document(found: Machine | None) -> dict[str, Any]:
    """The machine as a document, as its file has it but for money, which is nano-dollars; only `measured` false if it was not."""
    if found is None:
        return {"measured": False, "machine": None, "part": None}
    kept = msgspec.to_builtins(found)
    kept["stated"] = {
        "watts": found.stated.watts,
        "nusd_per_kwh": _nusd(found.stated.usd_per_kwh),
        "machine_nusd": _nusd(found.stated.machine_usd),
        "years": found.stated.years,
    }
    return {"measured": True, "machine": kept, "part": found.part().as_dict()}


def waiting() -> float | None:
    """Processes that want to run, the mean of a minute; None where the system does not count them."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


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
    load = "" if found.load is None else f", {found.load:.1f} processes wanting to run when it began"
    console.print(
        f"Measured {found.measured_at}{', quickly' if found.quick else ''}, in {found.seconds:.0f} s{load}", soft_wrap=True
    )
    table = plain("GB/s", "threads", "median", "half of the rounds", title="\nMemory")
    for s in found.streams:
        place = "memory" if s.place == "memory" else "last cache"
        table.add_row(f"{place}, {s.pattern}", f"{s.threads}", f"{s.gb_s:.1f}", f"{s.gb_s_low:.1f} – {s.gb_s_high:.1f}")
    fitting(table)
    back_end = found.versions.get("back_end", UNKNOWN)
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
    fitting(table, "held as", "half of the rounds")
    _priced(found)
    for line in found.missing:
        console.print(Text(f"Not measured: {line}"), soft_wrap=True)
    if others := crowded(found.load, here.cores, "jevons hw measure"):
        console.print(others, soft_wrap=True)


def _product(p: Product) -> list[str]:
    rate = [f"{p.gflops:.1f}", f"{p.gflops_low:.1f} – {p.gflops_high:.1f}", f"{p.weights_gb_s:.1f}"]
    return [p.type, f"{p.tokens}", f"{p.threads}", *rate, p.packed]


def _priced(found: Machine) -> None:
    watts = UNKNOWN if found.watts is None else f"{found.watts:.1f} W of the processor alone"
    console.print(f"\nPower measured: {watts}", soft_wrap=True)
    console.print(f"Price stated: ${found.stated.usd_per_hour:.4f} an hour = {found.stated}", soft_wrap=True)
