"""What routing did: how much went elsewhere, what that saved net of all it cost, and how much worse the answers were.

Comes in: a ledger file, a time, by what to part it. Goes out: a `Routing`, whose rows sum to it to the nano-dollar. Money is that of the entries' own
savings lines: what answers saved (`route`, `student`), less the tries of cascades that were not shown, less shadows and judges (`shadow`). What was
forfeited of the reference's prompt cache has no line, since it was never sent: it is what was expected when the request was decided.

Harm is that of labels: among answers that clients were shown in the reference's place, the share where the reference's was good and theirs was not.
It is what quality lost at most: where the other's answer was the better one, nothing is added. Labels weigh as many requests as they stand for; the
interval is Wilson's (1927) for as many labels as they are worth (Kish 1965).

Does not know: why a request was routed, pages.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from jevons.core.entry import ATTEMPT_BITS, Outcome, admitted_ms, first_id_of_ms
from jevons.core.interval import wilson
from jevons.core.label import Label
from jevons.core.routed import Option, Role, Routed
from jevons.core.saving import Saving, SavingKind
from jevons.ledger import routing as stored
from jevons.ledger.bill import reading
from jevons.policy.objective import Why

By = Literal["route", "model", "day"]
WAYS: tuple[By, ...] = get_args(By)
ELSEWHERE = frozenset({Why.CHEAPER, Why.CASCADE, Why.OBSERVED, Why.OUTSIDE_SHARE})
"""Another than the reference would answer, if the route might go all the way."""
WEIGHED = ELSEWHERE | {Why.NOT_GOOD_ENOUGH, Why.UNSCORED, Why.NO_PROMISE, Why.REFERENCE_CHEAPEST}
"""It was weighed whether another should answer."""

_ANSWERS = frozenset({Role.ANSWER, Role.RETRY, Role.FAILOVER, Role.HEDGE})
_QUERY = """
SELECT id, upstream, target, outcome, role, routed, savings FROM entries WHERE routed <> '' AND id >= ? AND id < ? ORDER BY id
"""
_routed = msgspec.json.Decoder(Routed).decode
_savings = msgspec.json.Decoder(tuple[Saving, ...]).decode


class Row(msgspec.Struct, kw_only=True):
    """A part of what was routed, or all of it."""

    label: str = ""
    requests: int = 0
    """That routes took."""
    routed: int = 0
    """Another than the reference answered."""
    weighed: int = 0
    """It was weighed whether another should."""
    covered: int = 0
    """Of these, another would answer if the route might go all the way."""
    saved_nusd: int = 0
    """By answers of others, against the reference's price."""
    cascade_nusd: int = 0
    """Tries that were not shown; negative."""
    shadow_nusd: int = 0
    """Comparing, shadows and judges; negative."""
    forfeited_nusd: int = 0
    """Of the reference's prompt cache, as expected; negative."""
    judged: int = 0
    """Labels of shown answers."""
    weight: float = 0.0
    """Requests that these stand for."""
    weight_squared: float = 0.0
    harmed: float = 0.0
    """Of `weight`."""

    @property
    def net_nusd(self) -> int:
        return self.saved_nusd + self.cascade_nusd + self.shadow_nusd + self.forfeited_nusd

    @property
    def harm(self) -> tuple[float, float, float] | None:
        """(share, low, high) with 95 %; None where nothing was judged."""
        if not self.judged:
            return None
        share, worth = self.harmed / self.weight, self.weight**2 / self.weight_squared
        return share, *wilson(share * worth, worth)

    def document(self) -> dict[str, Any]:
        """As plain values, what is reckoned from them included."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        harm = self.harm
        del found["weight"], found["weight_squared"], found["harmed"]
        shares = {
            "routed_pct": percent(self.routed, self.requests),
            "coverage_pct": percent(self.covered, self.weighed),
            "net_nusd": self.net_nusd,
            "harm_pct": None if harm is None else 100 * harm[0],
            "harm_low_pct": None if harm is None else 100 * harm[1],
            "harm_high_pct": None if harm is None else 100 * harm[2],
        }
        return found | shares


class Routing(Row, kw_only=True):
    """All of it."""

    rows: list[Row] = []
    whys: dict[str, int] = {}
    """Requests by why they went where they did; the most frequent first."""

    def document(self) -> dict[str, Any]:
        return super().document() | {"rows": [row.document() for row in self.rows]}


class _Attempt(NamedTuple):
    id: int
    upstream: str
    target: str
    outcome: str
    role: str
    routed: Routed
    savings: tuple[Saving, ...]


def routing(path: Path, *, by: By = "route", since_ms: int = 0, until_ms: int | None = None, route: str | None = None) -> Routing:
    """Of requests that came in this time, and of labels made in it; what a header or an alias sent somewhere is no route's. Raises LedgerError."""
    end_ms = 2**44 if until_ms is None else until_ms
    parts = _Parts(by)
    with reading(path) as db:
        rows = db.execute(_QUERY, (first_id_of_ms(since_ms), first_id_of_ms(end_ms)))
        attempts = (
            _Attempt(entry_id, upstream, target, outcome, role, _routed(routed), _savings(savings))
            for entry_id, upstream, target, outcome, role, routed, savings in rows
        )
        for _, tries in groupby(attempts, key=lambda one: one.id >> ATTEMPT_BITS):
            request = list(tries)
            if request[0].routed.route and route in (None, request[0].routed.route):
                parts.request(request)
    for label in _labels(path, since_ms, end_ms, route):
        parts.label(label)
    return parts.all


def labelled(path: Path, route: str, models: Sequence[str]) -> dict[str, int]:
    """Organisation -> requests of a route for which any of these models was judged. Raises LedgerError."""
    with reading(path) as db:
        query = "SELECT org, count(DISTINCT request_id) FROM labels WHERE route = ? AND model IN (SELECT value FROM json_each(?)) GROUP BY 1 ORDER BY 1"
        return {str(org): int(n) for org, n in db.execute(query, (route, msgspec.json.encode(models).decode()))}


def percent(part: int, of: int) -> float:
    return 100 * part / of if of else 0.0


class _Parts:
    """Sums, and the rows that they are parted into."""

    def __init__(self, by: By) -> None:
        self._by = by
        self._rows: dict[str, Row] = {}
        self._whys: Counter[str] = Counter()
        self._all = Routing()

    @property
    def all(self) -> Routing:
        most = sorted(self._rows.values(), key=lambda row: (-row.requests, row.label))
        self._all.rows = sorted(most, key=lambda row: row.label) if self._by == "day" else most
        self._all.whys = dict(self._whys.most_common())
        return self._all

    def request(self, tries: Sequence[_Attempt]) -> None:
        """One request, with all its tries."""
        answers = [one for one in tries if one.role in _ANSWERS]
        for one in tries:
            for row in self._of(one.routed.route, _model(one), admitted_ms(one.id)):
                _pay(row, one)
        if not answers:
            return
        answered = next((one for one in reversed(answers) if one.outcome == Outcome.OK), answers[-1])
        routed = answered.routed
        reference = routed.options[-1] if routed.options else None
        away = reference is not None and (reference.upstream, reference.target) != (answered.upstream, answered.target)
        self._whys[routed.why] += 1
        for row in self._of(routed.route, _model(answered), admitted_ms(answered.id)):
            row.requests += 1
            row.routed += away
            row.weighed += routed.why in WEIGHED
            row.covered += routed.why in ELSEWHERE
            if away and reference is not None:
                row.forfeited_nusd -= reference.warm_nusd

    def label(self, label: Label) -> None:
        """One answer that was shown, judged."""
        for row in self._of(label.route, label.model, label.at_ms):
            row.judged += 1
            row.weight += label.weight
            row.weight_squared += label.weight**2
            row.harmed += label.weight * label.harm

    def _of(self, route: str, model: str, at_ms: int) -> tuple[Row, Row]:
        day = f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}" if self._by == "day" else ""
        name = {"route": route, "model": model, "day": day}[self._by]
        return self._all, self._rows.setdefault(name, Row(label=name))


def _pay(row: Row, one: _Attempt) -> None:
    for saving in one.savings:
        if saving.kind is SavingKind.SHADOW:
            row.shadow_nusd += saving.nusd
        elif saving.kind in (SavingKind.ROUTE, SavingKind.STUDENT):
            if one.role == Role.CASCADE:
                row.cascade_nusd += saving.nusd
            else:
                row.saved_nusd += saving.nusd


def _model(one: _Attempt) -> str:
    """As the route names it; a judge, which is none of its models, as it was called."""
    found: Option | None = next(
        (option for option in one.routed.options if (option.upstream, option.target) == (one.upstream, one.target)), None
    )
    return one.target if found is None else found.model


def _labels(path: Path, since_ms: int, end_ms: int, route: str | None) -> Iterator[Label]:
    for label in stored.labels(path, route=route, since_ms=since_ms):
        if label.route and label.shown and label.reference and label.at_ms < end_ms:
            yield label
