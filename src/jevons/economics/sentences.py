"""An effect in a plain sentence, with the figures behind it: what was before, what is now, and where most of it comes from.

Comes in: an effect's segments and the frames at both ends. Does not know: how effects are computed, the terminal, HTML.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from jevons.core.money import short_usd
from jevons.core.price import HELD
from jevons.economics import nest
from jevons.economics.frames import (
    BILLED_NUSD,
    BY_CALLS,
    CALLS,
    CORRECTIONS,
    INPUT,
    INPUT_NUSD,
    LIST_NUSD,
    OUTPUT,
    UNATTRIBUTED,
    Frame,
)

_OF_GROUPS = frozenset({nest.VOLUME, nest.MIX, nest.DEPTH, nest.CONTEXT, nest.OUTPUT})
"""Effects that are measured in a group as a whole: its models only carry them."""
_KIND_WORDS = {
    "input": "uncached input",
    "cache_read": "cache reads",
    "cache_write_5m": "cache writes (5 min)",
    "cache_write_1h": "cache writes (1 h)",
    "output": "output",
}


class Told(Protocol):
    """A segment of an effect."""

    @property
    def labels(self) -> dict[str, str]: ...
    @property
    def lmdi_nusd(self) -> int: ...


class Totals(NamedTuple):
    """What a part of a frame adds up to."""

    tasks: int
    sums: tuple[int, ...]
    told: bool
    """Is it known of all of it how many calls there were?"""

    @property
    def calls(self) -> int:
        return self.sums[CALLS]

    @property
    def read(self) -> int:
        return sum(self.sums[INPUT:OUTPUT])

    @property
    def cached(self) -> int:
        return self.sums[INPUT + 1]


def sentence(name: str, segments: Sequence[Told], first: Frame, last: Frame, dimensions: Sequence[str]) -> str:
    """Why the effect is what it is. `segments`: the largest first. The figures are those at both ends, of all and of its largest segment."""
    say = _IN_A_MARKET.get(name, _SAY[name]) if not dimensions else _SAY[name]
    top = segments[0]
    ends = [totals(frame, {}, dimensions) for frame in (first, last)]
    said = f"{say.words}{_figures(say, ends, {}, sum(segment.lmdi_nusd for segment in segments))}"
    nowhere = _nowhere((first, last), dimensions)
    place = ", ".join(_word(label, value) for label, value in top.labels.items() if label not in nowhere)
    if not place:
        return f"{said}."
    own = {label: value for label, value in top.labels.items() if label in dimensions} if name in _OF_GROUPS else top.labels
    most = "all of it" if len(segments) == 1 else f"{'+' if top.lmdi_nusd > 0 else ''}{short_usd(top.lmdi_nusd)} of it"
    if not own:
        return f"{said}; {most}: {place}."
    return f"{said}; {most}: {place}{_figures(say, [totals(frame, own, dimensions) for frame in (first, last)], own, top.lmdi_nusd)}."


def _nowhere(frames: Sequence[Frame], dimensions: Sequence[str]) -> set[str]:
    """Dimensions in which nobody has a name: that nobody is in a team need not be said of each."""
    named: set[str] = set()
    for frame in frames:
        for leaf in frame.leaves:
            named.update(name for name, value in zip(dimensions, leaf.group.labels, strict=True) if value)
    return set(dimensions) - named


def _figures(say: "_Say", ends: Sequence[Totals], labels: Mapping[str, str], nusd: int) -> str:
    """What it was and is. An effect is added up along the way, and may be large where both ends are alike: then that is said."""
    if say.figure is None or (say.of_kind and "kind" not in labels) or not all(end.calls and end.told for end in ends):
        return ""
    before, after = (say.figure(end, labels) for end in ends)
    if before is None or after is None:
        return ""
    moved = (after.value - before.value) * say.dearer
    between = "" if moved * nusd > 0 else f" at the ends; it {'rose' if nusd * say.dearer > 0 else 'fell'} where more was spent"
    return f" ({before.text} → {after.text}{between})"


def totals(frame: Frame, labels: Mapping[str, str], dimensions: Sequence[str]) -> Totals:
    """The part of a frame that these labels name; a label with an arrow names both its ends."""
    wanted = [(place, labels[name]) for place, name in enumerate(dimensions) if name in labels]
    sums = [0] * (BILLED_NUSD + 1)
    groups = set()
    for leaf, found in frame.leaves.items():
        own = {"tier": leaf.tier, "line": leaf.line, "model": leaf.model, "tariff": leaf.tariff}
        if any(leaf.group.labels[place] != value for place, value in wanted):
            continue
        if any(own[name] not in value.replace(" → ", ", ").split(", ") for name, value in labels.items() if name in own):
            continue
        groups.add(leaf.group)
        sums = [a + b for a, b in zip(sums, found, strict=True)]
    told = all(group.basis == BY_CALLS for group in groups)
    return Totals(sum(frame.tasks.get(group, 0) for group in groups), tuple(sums), told)


def _word(label: str, value: str) -> str:
    if label == "kind":
        return _KIND_WORDS.get(value, value)
    return f"{label} {value}" if value else f"no {label}"


class _Figure(NamedTuple):
    value: float
    text: str


def _ratio(a: int, b: int) -> _Figure | None:
    if not b:
        return None
    ratio = a / b
    return _Figure(ratio, f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:,.3g}")


def _share(a: int, b: int) -> _Figure | None:
    return _Figure(a / b, f"{100 * a / b:.0f} %") if b else None


def _price(end: Totals, labels: Mapping[str, str]) -> _Figure | None:
    places = [place for place, kind in enumerate(_KIND_WORDS, INPUT) if kind == labels["kind"]]
    tokens, nusd = (sum(end.sums[place + shift] for place in places) for shift in (0, INPUT_NUSD - INPUT))
    return _Figure(nusd / tokens, f"${nusd / tokens / 1000:,.4g} a million") if tokens else None


def _fees(end: Totals, _: Mapping[str, str]) -> _Figure:
    fees = end.sums[LIST_NUSD] - sum(end.sums[INPUT_NUSD:LIST_NUSD])
    return _Figure(fees, short_usd(fees))


class _Say(NamedTuple):
    words: str
    figure: Callable[[Totals, Mapping[str, str]], _Figure | None] | None = None
    dearer: int = 1
    """-1 where more of it costs less."""
    of_kind: bool = False
    """The figure is of one kind of token only: of several it would be no price of anything."""


_SAY: dict[str, _Say] = {
    nest.VOLUME: _Say("The number of tasks", lambda end, _: _Figure(end.tasks, f"{end.tasks:,}")),
    nest.MIX: _Say("Work moved between groups whose tasks cost more and less"),
    nest.DEPTH: _Say("Calls per task", lambda end, _: _ratio(end.calls, end.tasks)),
    "tier": _Say("Tokens moved between commodity and frontier models"),
    "lineage": _Say("Tokens moved from line to line within a tier"),
    "substitution": _Say("Models took each other's place within a line"),
    "tariff": _Say("Tokens moved to other rates of the same model"),
    nest.CONTEXT: _Say("Input tokens per call", lambda end, _: _ratio(end.read, end.calls)),
    nest.OUTPUT: _Say("Output tokens per call", lambda end, _: _ratio(end.sums[OUTPUT], end.calls)),
    nest.CACHE: _Say("Share of the input that was read from a cache", lambda end, _: _share(end.cached, end.read), dearer=-1),
    nest.PRICE: _Say("Price of the same model at the same kind of rate", _price, of_kind=True),
    nest.FEES: _Say("Fees beside tokens: searches, requests, other modalities", _fees),
    nest.DISCOUNT: _Say("What is billed of the list price", lambda end, _: _share(end.sums[BILLED_NUSD], end.sums[LIST_NUSD])),
    nest.ENTRY: _Say("New, and in nobody's place"),
    nest.EXIT: _Say("Gone, and nothing in its place"),
    HELD: _Say("Calls that ended without usage and were charged as held"),
    CORRECTIONS: _Say("Corrections and credits"),
    UNATTRIBUTED: _Say("Money that its source does not split into tokens, or that has no list price"),
}
_IN_A_MARKET = {
    nest.ENTRY: _Say("Lines that are new: what their tokens cost beyond the mean of their tier"),
    nest.EXIT: _Say("Lines that are gone: what their tokens had cost below the mean of their tier"),
}
"""Where nobody is told apart, a line is new among others, and not somebody's own."""
NAMES = tuple(_SAY)
"""Of all effects."""
