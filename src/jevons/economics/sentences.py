"""An effect in a plain sentence, with the figures behind it: what was before, what is now, and where most of it comes from.

Comes in: an effect's segments and the frames at both ends. Does not know: how effects are computed, the terminal, HTML.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from jevons.core.money import short_usd
from jevons.core.price import HELD
from jevons.economics import nest
from jevons.economics.frames import BILLED_NUSD, CALLS, CORRECTIONS, INPUT, INPUT_NUSD, LIST_NUSD, OUTPUT, UNATTRIBUTED, Frame

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
    """Why the effect is what it is. `segments`: the largest first. The figures are those of its largest segment."""
    say = _SAY[name]
    whole = [totals(frame, {}, dimensions) for frame in (first, last)]
    said = f"{say.words}{_figures(say, whole, {})}"
    top = segments[0]
    place = ", ".join(_word(label, value) for label, value in top.labels.items())
    if not place:
        return f"{said}."
    own = {label: value for label, value in top.labels.items() if label in dimensions} if name in _OF_GROUPS else top.labels
    parts = [totals(frame, own, dimensions) for frame in (first, last)]
    most = "all of it" if len(segments) == 1 else f"{'+' if top.lmdi_nusd > 0 else ''}{short_usd(top.lmdi_nusd)} of it"
    return f"{said}; {most}: {place}{_figures(say, parts, own) if own and all(part.calls for part in parts) else ''}."


def _figures(say: "_Say", ends: Sequence[Totals], labels: Mapping[str, str]) -> str:
    if say.figure is None:
        return ""
    before, after = (say.figure(end, labels) for end in ends)
    return f" ({before} → {after})"


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
    return Totals(sum(frame.tasks.get(group, 0) for group in groups), tuple(sums))


def _word(label: str, value: str) -> str:
    if label == "kind":
        return _KIND_WORDS.get(value, value)
    return f"{label} {value}" if value else f"no {label}"


def _per(a: int, b: int) -> str:
    if not b:
        return "none"
    ratio = a / b
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:,.3g}"


def _per_million(a: int, b: int) -> str:
    return f"${a / b / 1000:,.4g}" if b else "none"


def _share(a: int, b: int) -> str:
    return f"{100 * a / b:.0f} %" if b else "none"


def _price(end: Totals, labels: Mapping[str, str]) -> str:
    places = [place for place, kind in enumerate(_KIND_WORDS, INPUT) if kind == labels.get("kind")] or range(INPUT, OUTPUT + 1)
    tokens, nusd = (sum(end.sums[place + shift] for place in places) for shift in (0, INPUT_NUSD - INPUT))
    return f"${nusd / tokens / 1000:,.4g} a million" if tokens else "none"


def _fees(end: Totals, labels: Mapping[str, str]) -> str:
    return short_usd(end.sums[LIST_NUSD] - sum(end.sums[INPUT_NUSD:LIST_NUSD]))


class _Say(NamedTuple):
    words: str
    figure: Callable[[Totals, Mapping[str, str]], str] | None = None


_SAY: dict[str, _Say] = {
    nest.VOLUME: _Say("The number of tasks", lambda end, _: f"{end.tasks:,}"),
    nest.MIX: _Say("Work moved between groups whose tasks cost more and less"),
    nest.DEPTH: _Say("Calls per task", lambda end, _: _per(end.calls, end.tasks)),
    "tier": _Say("Tokens moved between commodity and frontier models"),
    "lineage": _Say("Tokens moved from line to line within a tier"),
    "substitution": _Say("Models took each other's place within a line"),
    "tariff": _Say("Tokens moved to other rates of the same model"),
    nest.CONTEXT: _Say("Input tokens per call", lambda end, _: _per(end.read, end.calls)),
    nest.OUTPUT: _Say("Output tokens per call", lambda end, _: _per(end.sums[OUTPUT], end.calls)),
    nest.CACHE: _Say("Share of the input that was read from a cache", lambda end, _: _share(end.cached, end.read)),
    nest.PRICE: _Say("Price of the same model at the same kind of rate", _price),
    nest.FEES: _Say("Fees beside tokens: searches, requests, other modalities", _fees),
    nest.DISCOUNT: _Say("What is billed of the list price", lambda end, _: _share(end.sums[BILLED_NUSD], end.sums[LIST_NUSD])),
    nest.ENTRY: _Say("New, and in nobody's place"),
    nest.EXIT: _Say("Gone, and nothing in its place"),
    HELD: _Say("Calls that ended without usage and were charged as held"),
    CORRECTIONS: _Say("Corrections and credits"),
    UNATTRIBUTED: _Say("Money that its source does not split into tokens, or that has no list price"),
}
NAMES = tuple(_SAY)
"""Of all effects."""
