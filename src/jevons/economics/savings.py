"""What was saved, against what was asked for: baseline - saved = list cost, for the whole and for each row.

Comes in: a ledger file, a time in whole UTC days, by what to part it. Goes out: a `Saved`, whose rows sum to it to the nano-dollar, from the sums
by the day, which `jevons doctor` holds against the entries. What checking cost is a kind with a minus, so every sum is net of it.
Does not know: why something was saved, pages.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from jevons.core.saving import SavingKind
from jevons.ledger.bill import reading
from jevons.ledger.rollup import DAY_MS

By = Literal["kind", "day", "model", "key", "team", "agent"]
WAYS: tuple[By, ...] = get_args(By)
NOT_OURS = frozenset({SavingKind.PROMPT_CLIENT, SavingKind.PROMPT_AUTOMATIC})
"""What a provider's cache gives without a gateway between."""
REASONS = {
    SavingKind.ROUTE: "another model, because a route sent it there",
    SavingKind.STUDENT: "a student in place of its teacher",
    SavingKind.MODEL: "a cheaper model than the one asked for",
    SavingKind.TRIM: "tool output that was made shorter",
    SavingKind.PROMPT_PLANNED: "the provider's cache, as Jevons marked it",
    SavingKind.PROMPT_CLIENT: "the provider's cache, as the client marked it",
    SavingKind.PROMPT_AUTOMATIC: "the provider's cache, by itself",
    SavingKind.ANSWER_EXACT: "answers to the very same request",
    SavingKind.ANSWER_SEMANTIC: "answers to a similar request",
    SavingKind.CHECK: "asking again, to check cached answers",
    SavingKind.SHADOW: "asking other models too, to compare them",
}
"""Each kind in words."""

_ORG = "coalesce(settings ->> 'org', 'default')"
_TEAM = "coalesce(settings ->> 'team', '')"
_GROUPS = {
    "kind": "''",
    "day": "date(day * 86400, 'unixepoch')",
    "model": "upstream || '/' || target",
    "key": "keys.name",
    "team": f"iif({_ORG} = 'default', {_TEAM}, {_ORG} || '/' || {_TEAM})",
    "agent": "agent",
}
OF_CALLS = (
    "(:key IS NULL OR keys.name = :key) AND (:agent IS NULL OR agent = :agent)"
    " AND (:model IS NULL OR target GLOB :model OR upstream || '/' || target GLOB :model)"
)
"""Rows of some calls, joined with their keys."""
_SUMS = """
SELECT {group} AS label, kind, sum(entries), sum(tokens), sum(nusd), sum(estimated_nusd), sum(list_nusd), sum(billed_nusd) FROM (
    SELECT day, key_id, agent, upstream, target, '' AS kind, entries, 0 AS tokens, 0 AS nusd, 0 AS estimated_nusd, list_nusd, billed_nusd
    FROM rollup_day WHERE day >= :first AND day < :after
    UNION ALL
    SELECT day, key_id, agent, upstream, target, kind, entries, tokens, nusd, estimated_nusd, 0, 0
    FROM savings_day WHERE day >= :first AND day < :after
) JOIN keys ON keys.id = key_id WHERE {of_calls} GROUP BY 1, 2
"""
"""What was spent (kind '') beside what was saved: one statement, so that a ledger that is being written gives one answer."""
_FIRST = """
SELECT date(recorded * 86400, 'unixepoch') FROM (SELECT min(day) AS recorded FROM savings_day)
WHERE EXISTS (SELECT 1 FROM rollup_day WHERE day >= :first AND day < min(recorded, :after))
"""


class Kind(msgspec.Struct):
    """Savings of one kind."""

    kind: str
    entries: int = 0
    """Attempts with such a line; an attempt may have lines of several kinds."""
    tokens: int = 0
    nusd: int = 0
    estimated_nusd: int = 0

    def add(self, entries: int, tokens: int, nusd: int, estimated_nusd: int) -> None:
        self.entries += entries
        self.tokens += tokens
        self.nusd += nusd
        self.estimated_nusd += estimated_nusd


class Row(msgspec.Struct, kw_only=True):
    """A part of what was spent, or all of it."""

    label: str = ""
    entries: int = 0
    list_nusd: int = 0
    billed_nusd: int = 0
    saved_nusd: int = 0
    """Of all kinds, what checking cost taken off."""
    estimated_nusd: int = 0
    """Of `saved_nusd`."""
    ours_nusd: int = 0
    """Of `saved_nusd`, without what a provider's cache gives by itself or by the client's own marks."""
    checks_nusd: int = 0
    """Of `saved_nusd`: what checking cached answers cost, negative."""
    baseline_nusd: int = 0

    def add(self, kind: str, nusd: int, estimated_nusd: int) -> None:
        self.saved_nusd += nusd
        self.baseline_nusd += nusd
        self.estimated_nusd += estimated_nusd
        self.ours_nusd += 0 if kind in NOT_OURS else nusd
        self.checks_nusd += nusd if kind == SavingKind.CHECK else 0

    def spend(self, entries: int, list_nusd: int, billed_nusd: int) -> None:
        self.entries += entries
        self.list_nusd += list_nusd
        self.baseline_nusd += list_nusd
        self.billed_nusd += billed_nusd


class Saved(Row, kw_only=True):
    """All of it."""

    kinds: list[Kind]
    """In the order in which the steps are taken; those of which there is any."""
    rows: list[Row]
    """By what was asked for; [] by kind. Days in their order, else the most saved first."""
    recorded_since: str | None
    """The ledger's first day with a saving, if something was spent before it in the time that was asked for: of that none is recorded."""


def savings(
    path: Path,
    *,
    by: By = "kind",
    since_ms: int = 0,
    until_ms: int | None = None,
    key: str | None = None,
    agent: str | None = None,
    model: str | None = None,
) -> Saved:
    """`since_ms` and `until_ms` are cut to whole UTC days, as in `ledger.bill.bill`. `model`: a shell pattern, of it or of upstream/model.

    Raises LedgerError.
    """
    after = -(-until_ms // DAY_MS) if until_ms is not None else 2**31
    with reading(path) as db:
        asked = {"first": since_ms // DAY_MS, "after": after, "key": key, "agent": agent, "model": model}
        found: list[tuple[Any, ...]] = db.execute(_SUMS.format(group=_GROUPS[by], of_calls=OF_CALLS), asked).fetchall()
        since = db.execute(_FIRST, asked).get
    all_of, kinds = Saved(kinds=[], rows=[], recorded_since=since), {kind: Kind(kind) for kind in SavingKind}
    rows: dict[str, Row] = defaultdict(Row)
    for label, kind, entries, tokens, nusd, estimated_nusd, list_nusd, billed_nusd in found:
        for row in (all_of, rows[label]):
            if kind:
                row.add(kind, nusd, estimated_nusd)
            else:
                row.spend(entries, list_nusd, billed_nusd)
        if kind:
            kinds[kind].add(entries, tokens, nusd, estimated_nusd)
    all_of.kinds = [one for one in kinds.values() if one.entries]
    if by != "kind":
        for label, row in rows.items():
            row.label = label
        most = sorted(rows.values(), key=lambda row: (-row.saved_nusd, row.label))
        all_of.rows = sorted(most, key=lambda row: row.label) if by == "day" else most
    return all_of
