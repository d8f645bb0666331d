"""Recorded task classes that a student may be worth it for, ranked by what they cost and by how soon a student would have paid for itself.

Comes in: entries of the ledger with the features of their requests (no content), and captured examples where somebody opted in. Goes out: one `TaskGroup`
for each organisation, template, class of the operator's and model, the dearest first. What the ledger alone tells: spend, how often the very same
request came, how long answers are, whether a shape of JSON was asked for. Examples tell more: how many different answers there are, and which share a
nearest neighbour would have answered as the model did (the share that a student could take, at least). Does not know: how students are trained.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy import float32
from numpy.typing import NDArray

from jevons.core.entry import first_id_of_ms
from jevons.core.features import Features
from jevons.distil.dataset import Embed
from jevons.distil.train import BUSY_SECOND_NUSD, EXAMPLES_LEAST, agrees
from jevons.learn.student_table import normalised
from jevons.ledger.bill import reading
from jevons.ledger.capture import Example
from jevons.ledger.rollup import DAY_MS

MONTH_DAYS = 30
SHORT_TOKENS = 64
"""An answer of so many tokens may be a choice among a few."""
CLOSED_SHARE = 0.05
"""Different answers among all: below it they are chosen, not written."""
TRAINING_S = 60
"""What a training takes at most."""
LOOKED_AT = 2_000
"""Latest examples of a group that are looked at: two seconds."""
CLUSTER_LIKENESS = 0.5
"""Cosine to a cluster's first question."""
CLUSTER_LEAST = 0.05
"""Smaller clusters are not named."""
_READ = (
    "SELECT coalesce(json_extract(keys.settings, '$.org'), 'default'), entries.model, target, routed, list_nusd, output, chain, entries.id"
    " FROM entries JOIN keys ON keys.id = key_id WHERE entries.id >= ? AND entries.id < ? AND source = '' AND outcome = 'ok'"
    " AND role IN ('', 'retry', 'failover', 'hedge') AND upstream <> 'student' ORDER BY entries.id"
)
_routed = msgspec.json.Decoder(tuple).decode
_OPTIONS_PLACE, _FEATURES_PLACE = 5, 6
"""Of `core.routed.Routed`."""


class Cluster(msgspec.Struct, frozen=True):
    """Captured questions that are alike in meaning."""

    share: float
    answers: int
    """Different ones."""
    agreed: float
    """Share that the nearest earlier question would have answered alike."""
    request: int
    """First entry id of the request that began it: its caller may know what it was."""


class TaskGroup(msgspec.Struct, frozen=True):
    """Requests of one kind."""

    org: str
    template: str
    task: str
    model: str
    requests: int
    nusd: int
    """In the time that was looked at."""
    month_nusd: int
    """At the rate of the days on which it was seen."""
    output_tokens: int
    """Median of an answer."""
    repeat_share: float
    """Requests whose messages were the very same as those of an earlier one."""
    rung: str
    """Which student might do: table, classifier, extractor; "" = nothing says that one would."""
    examples: int
    """Captured so far, of this model's answers."""
    share: float | None
    """Of the requests, what a student could take, at least; None = nothing is known of its answers."""
    saves_month_nusd: int | None
    payback_days: float | None
    """Until enough examples are captured and what training takes is saved; None = never, or not known."""
    clusters: tuple[Cluster, ...] = ()


class Report(msgspec.Struct, frozen=True):
    groups: tuple[TaskGroup, ...]
    days: float
    """That were seen."""
    unread: int
    """Requests without features: no route took them, so nothing is known of their kind."""
    unread_nusd: int


class _Seen:
    """What is added up of one group."""

    def __init__(self) -> None:
        self.nusd = 0
        self.outputs: list[int] = []
        self.prompts: Counter[bytes] = Counter()
        self.features = Features()

    def add(self, nusd: int, output: int, chain: bytes, features: Features) -> None:
        self.nusd += nusd
        self.outputs.append(output)
        self.prompts[chain] += 1
        self.features = features


Read = Callable[[str, str], Iterable[Example]]
"""(organisation, template) -> its captured examples by time."""


def report(path: Path, since_ms: int, until_ms: int, read: Read | None, embed: Embed | None) -> Report:
    """Of entries admitted in [since_ms, until_ms). Raises LedgerError."""
    seen: dict[tuple[str, str, str, str], _Seen] = defaultdict(_Seen)
    unread = unread_nusd = 0
    first = last = 0
    with reading(path) as db:
        for org, asked, target, told, nusd, output, chain, number in db.execute(
            _READ, (first_id_of_ms(since_ms), first_id_of_ms(until_ms))
        ):
            routed = _routed(told) if told else ()
            features = _features(routed)
            first, last = first or number, number
            if features is None:
                unread, unread_nusd = unread + 1, unread_nusd + nusd
            else:
                seen[org, features.template, features.task, _model(routed, target, asked)].add(nusd, output, chain, features)
    days = max(1.0, (last - first) / first_id_of_ms(DAY_MS)) if last else 0.0
    groups = [_group(key, one, days, read, embed) for key, one in seen.items()]
    groups.sort(key=lambda one: (-(one.saves_month_nusd or 0), -one.month_nusd))
    return Report(tuple(groups), round(days, 2), unread, unread_nusd)


def _features(routed: tuple[Any, ...]) -> Features | None:
    return msgspec.convert(routed[_FEATURES_PLACE], Features) if len(routed) > _FEATURES_PLACE else None


def _model(routed: tuple[Any, ...], target: str, asked: str) -> str:
    """Who answered, as the route names it, and as captured examples do; of an entry without options as the client did."""
    return next((str(name) for name, _, sent, *_ in routed[_OPTIONS_PLACE] if sent == target), asked)


def _group(key: tuple[str, str, str, str], seen: _Seen, days: float, read: Read | None, embed: Embed | None) -> TaskGroup:
    org, template, task, model = key
    requests = len(seen.outputs)
    repeats = 1 - len(seen.prompts) / requests
    month_nusd = round(seen.nusd * MONTH_DAYS / days)
    captured = read(org, template) if read is not None else ()
    examples = [one for one in captured if one.model == model and task in ("", one.features.task)]
    clusters: tuple[Cluster, ...] = ()
    share, rung = None, _by_features(seen, repeats)
    if examples and embed is not None:
        latest = examples[-LOOKED_AT:]
        clusters, share = clustered(latest, np.stack([embed(one.question) for one in latest]))
        rung = _by_answers(latest) or rung
    known = share if share is not None else repeats or None
    saves = None if known is None else round(month_nusd * known)
    wait = max(0, EXAMPLES_LEAST - len(examples)) / (requests / days)
    payback = round(wait + TRAINING_S * BUSY_SECOND_NUSD / (saves / MONTH_DAYS), 2) if saves else None
    return TaskGroup(
        org, template, task, model, requests, seen.nusd, month_nusd, int(np.median(seen.outputs)), round(repeats, 4), rung, len(examples),
        known, saves, payback, clusters,
    )  # fmt: skip


def _by_features(seen: _Seen, repeats: float) -> str:
    """What the ledger alone lets one hope for."""
    if seen.features.tools:
        return ""
    if seen.features.schema:
        return "extractor"
    if float(np.median(seen.outputs)) <= SHORT_TOKENS:
        return "classifier"
    return "table" if repeats else ""


def _by_answers(examples: Sequence[Example]) -> str:
    answers = {one.answer.strip() for one in examples}
    if len(answers) <= max(2, CLOSED_SHARE * len(examples)):
        return "classifier"
    if all(answer.lstrip("`json\n").startswith("{") for answer in answers):
        return "extractor"
    return "table" if len({normalised(one.question) for one in examples}) < len(examples) else ""


def clustered(examples: Sequence[Example], vectors: NDArray[float32]) -> tuple[tuple[Cluster, ...], float]:
    """Groups of questions that are alike, and the share that the nearest earlier question would have answered alike. vectors f32[n, d] of length 1, by time.
    Each question joins the nearest first question of a group, or begins one (leader clustering: Hartigan 1975, 3)."""
    leaders: list[int] = []
    members: dict[int, list[int]] = {}
    right = np.zeros(len(examples), bool)
    for place in range(len(examples)):
        if place:
            nearest = int((vectors[:place] @ vectors[place]).argmax())
            right[place] = agrees(examples[nearest].answer, examples[place].answer)
        likeness = vectors[leaders] @ vectors[place] if leaders else np.zeros(0, float32)
        if len(likeness) and likeness.max() >= CLUSTER_LIKENESS:
            members[leaders[int(likeness.argmax())]].append(place)
        else:
            leaders.append(place)
            members[place] = [place]
    large = sorted((of for of in members.values() if len(of) >= CLUSTER_LEAST * len(examples)), key=len, reverse=True)
    found = [
        Cluster(
            round(len(of) / len(examples), 4),
            len({examples[place].answer.strip() for place in of}),
            round(float(right[of].mean()), 4),
            examples[of[0]].request,
        )
        for of in large
    ]
    return tuple(found), round(float(right.mean()), 4)
