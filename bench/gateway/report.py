"""Turns samples into figures, for people and for programs. It knows the names of the figures and their limits."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.gateway.campaign import Measured, Sample

Figures = dict[str, float | None]
Reading = Callable[[Sample], float]
LOAD_CORE_SHARE_MAX = 0.85  # above it the stand-in, or the load on the same core, might be what was measured
DURABLE_SYNCS_PER_REQUEST = 2


@dataclass(frozen=True)
class Figure:
    """One figure of a system: a reading of the samples of a load, times a scale; `added` is what it has more than `direct`."""

    name: str
    load: str
    reading: Reading
    scale: float = 1.0
    added: bool = False

    def of(self, measured: Measured, system: str) -> float | None:
        """Median over the samples, None without any."""
        own = median(measured.of(self.load, system), self.reading)
        floor = median(measured.of(self.load, "direct"), self.reading) if self.added else 0.0
        return None if own is None or floor is None else round((own - floor) * self.scale, 4)

    def noise(self, measured: Measured, system: str) -> list[float]:
        """Lowest and highest sample, the direct median taken off where the figure is an added one."""
        floor = median(measured.of(self.load, "direct"), self.reading) if self.added else 0.0
        values = [(self.reading(sample) - (floor or 0.0)) * self.scale for sample in measured.of(self.load, system)]
        return [round(min(values), 4), round(max(values), 4)] if values else []


def cpu_us(sample: Sample) -> float:
    """CPU per answer."""
    return sample.cpu_us


def rate(sample: Sample) -> float:
    """Answers per second."""
    return sample.rate


def said(key: str) -> Reading:
    """What the load tool said, in microseconds."""
    return lambda sample: sample.tool[key]


FIGURES = (
    Figure("cpu_us_per_request", "json_c16", cpu_us),
    Figure("rps_c64", "json_c64", rate),
    Figure("cpu_ms_per_stream", "stream_c16", cpu_us, scale=1e-3),
    Figure("added_p50_ms_c1", "json_c1", said("p50"), scale=1e-3, added=True),
    Figure("added_first_event_ms", "first_c1", said("first_p50"), scale=1e-3, added=True),
    Figure("stream_p99_added_ms_500", "open_c500", said("event_p99"), scale=1e-3, added=True),
)
MORE_FIGURES = (
    Figure("cpu_us_per_request_c1", "json_c1", cpu_us),
    Figure("cpu_us_per_request_c64", "json_c64", cpu_us),
    Figure("cpu_us_per_request_100kb", "large_c16", cpu_us),
    Figure("rps_c16_100kb", "large_c16", rate),
    Figure("added_p50_ms_c1_100kb", "large_c1", said("p50"), scale=1e-3, added=True),
    Figure("stream_p50_added_ms_500", "open_c500", said("event_p50"), scale=1e-3, added=True),
)
SYSTEM_FIGURES = {"gateway": "", "no_ledger": "_no_ledger"}
VARIANT_FIGURES = {"sync_1ms": "_sync_1ms", "sync_5ms": "_sync_5ms", "tls": "_tls"}
BARE_FIGURES = (
    ("bare_proxy_cpu_us", "json_c16", "bare", cpu_us, 1.0),
    ("bare_proxy_cpu_us_100kb", "large_c16", "bare", cpu_us, 1.0),
    ("bare_proxy_cpu_us_tls", "json_c16", "bare_tls", cpu_us, 1.0),
    ("bare_proxy_rps_c64", "json_c64", "bare", rate, 1.0),
    ("bare_proxy_cpu_ms_per_stream", "stream_c16", "bare", cpu_us, 1e-3),
    ("direct_rps_c64", "json_c64", "direct", rate, 1.0),
    ("direct_p50_ms_c1", "json_c1", "direct", said("p50"), 1e-3),
    ("direct_stream_p99_ms_500", "open_c500", "direct", said("event_p99"), 1e-3),
)


def median(samples: Sequence[Sample], reading: Reading) -> float | None:
    """Median reading, None without samples."""
    return statistics.median(map(reading, samples)) if samples else None


def figures(measured: Measured) -> tuple[Figures, dict[str, list[float]]]:
    """All figures by name, and the range of the samples behind each."""
    values: Figures = {}
    noise: dict[str, list[float]] = {}
    for system, suffix in SYSTEM_FIGURES.items():
        for figure in FIGURES + MORE_FIGURES:
            values[figure.name + suffix] = figure.of(measured, system)
            noise[figure.name + suffix] = figure.noise(measured, system)
        syncs = [sample.sync_p50_us for sample in measured.of("json_c1", system) if sample.sync_p50_us is not None]
        values["fsync_p50_us" + suffix] = round(statistics.median(syncs), 1) if syncs else None
        values["start_s" + suffix] = measured.start_s.get(system)
        values["rss_idle_mib" + suffix], values["rss_mib" + suffix] = measured.rss_mib.get(system, (None, None))
        for connections in (1, 16, 64):
            per_answer = median(measured.of(f"json_c{connections}", system), lambda sample: sample.syncs_per_answer)
            values[f"syncs_per_request_c{connections}{suffix}"] = None if per_answer is None else round(per_answer, 3)
    for system, suffix in VARIANT_FIGURES.items():
        for figure in (figure for figure in FIGURES if figure.load.startswith("json")):
            values[figure.name + suffix] = figure.of(measured, system)
            noise[figure.name + suffix] = figure.noise(measured, system)
    for name, load, system, reading, scale in BARE_FIGURES:
        plain = Figure(name, load, reading, scale)
        values[name], noise[name] = plain.of(measured, system), plain.noise(measured, system)
    every = [sample for samples in measured.samples.values() for sample in samples]
    through = [sample for (_, system), samples in measured.samples.items() if system != "direct" for sample in samples]
    values["bare_proxy_rss_mib"] = measured.rss_mib.get("bare", (None, None))[1]
    floor_us = values["bare_proxy_cpu_us"]
    for suffix in SYSTEM_FIGURES.values():
        own_us = values["cpu_us_per_request" + suffix]
        values["cpu_over_bare" + suffix] = None if own_us is None or not floor_us else round(own_us / floor_us, 2)
    values["standin_share_max"] = round(max((sample.standin_share for sample in through), default=0.0), 3)
    values["load_and_standin_share_max"] = round(max((s.load_share + s.standin_share for s in through), default=0.0), 3)
    values["others_cores_median"] = round(statistics.median(sample.other for sample in every), 3) if every else None
    return values, {name: span for name, span in noise.items() if span}


COLUMNS = (
    "load, system, answers/s, CPU µs (range), p50 ms, p99 ms, first event ms, event p50 ms, event p99 ms, syncs/answer,"
    "cores: system, stand-in, load core, others, samples"
)


def row(cells: Sequence[object]) -> str:
    """A line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def sample_table(measured: Measured) -> str:
    """Every load and system: medians, ranges, and whether something else than the system was at its limit."""
    names = [name.strip() for name in COLUMNS.split(",")]
    lines = [row(names), row(["---"] * len(names))]
    for (load, system), every in measured.samples.items():
        samples = measured.of(load, system)
        lines.append(row([load, system, *cells_of(samples), f"{len(samples)} of {len(every)}"]))
    return "\n".join(lines)


def cells_of(samples: Sequence[Sample]) -> list[str]:
    """The middle of a row: medians of at least one sample."""

    def middle(reading: Reading) -> float:
        return statistics.median(map(reading, samples))

    def ms(key: str) -> str:
        return f"{middle(said(key)) / 1000:.3f}" if key in samples[0].tool else ""

    times = [ms(key) for key in ("p50", "p99", "first_p50", "event_p50", "event_p99")]
    shares: tuple[Reading, ...] = (
        lambda sample: sample.system_share,
        lambda sample: sample.standin_share,
        lambda sample: sample.load_core_share,
        lambda sample: sample.other,
    )
    lowest, highest = min(map(cpu_us, samples)), max(map(cpu_us, samples))
    cpu = f"{middle(cpu_us):.0f} ({lowest:.0f}-{highest:.0f})"
    syncs = f"{middle(lambda sample: sample.syncs_per_answer):.2f}"
    return [f"{middle(rate):,.0f}", cpu, *times, syncs, *(f"{middle(share):.2f}" for share in shares)]


def verdict_table(values: Figures) -> str:
    """The gateway's figures with its limits."""
    sync_us = values.get("fsync_p50_us")
    added_max = None if sync_us is None else 0.6 + DURABLE_SYNCS_PER_REQUEST * sync_us / 1000
    rows: list[tuple[str, str, float | None, bool]] = [
        ("cpu_us_per_request", "≤", 250, True),
        ("cpu_over_bare", "≤", None, True),
        ("rps_c64", "≥", 4000, False),
        ("cpu_ms_per_stream", "≤", 3.5, True),
        ("added_p50_ms_c1", "≤", added_max, True),
        ("added_first_event_ms", "≤", None, True),
        ("stream_p99_added_ms_500", "≤", None, True),
        ("fsync_p50_us", "≤", None, True),
        ("start_s", "≤", 1.5, True),
        ("rss_mib", "≤", 180, True),
    ]
    lines = ["| figure | gateway | without ledger | limit | |", "| --- | ---: | ---: | ---: | --- |"]
    for name, sign, limit, at_most in rows:
        value, other = values.get(name), values.get(name + "_no_ledger")
        kept = "" if value is None or limit is None else "kept" if (value <= limit) == at_most or value == limit else "MISSED"
        lines.append(f"| {name} | {shown(value)} | {shown(other)} | {'' if limit is None else f'{sign} {limit:.4g}'} | {kept} |")
    return "\n".join(lines)


def shown(value: float | None) -> str:
    """A figure as people read it."""
    return "not measured" if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def warnings(values: Figures, measured: Measured) -> list[str]:
    """What a reader must know before trusting the figures."""
    said_so = list(measured.problems)
    share = values.get("load_and_standin_share_max")
    if share is not None and share > LOAD_CORE_SHARE_MAX:
        said_so.append(f"load and stand-in used {share:.2f} of their core: they may have been the bottleneck")
    others = values.get("others_cores_median")
    if others is not None and others > 0.2:
        said_so.append(f"others used {others:.2f} cores of this machine meanwhile: rates and tails are not to be relied on")
    return said_so
