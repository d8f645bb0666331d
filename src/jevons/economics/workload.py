"""What calls of some time were as work: tokens by kind, how many at once, the busiest hour, and what they cost where they were made.

Comes in: a ledger file, a span, whose calls of which models. Goes out: a `Workload`. Its sums are integers of the ledger's rows (`Workload.sql`
asks for them again; money is `economics.savings`'); its rates are these over the span. Does not know: what would make the work elsewhere.

Tokens that were *asked for* are those that reached an upstream for a client and those that did not have to: answers of our caches, and what was
cut from prompts. Dollars at list price are of all of them. Attempts of our own (shadows, judges, checks, first tries of cascades) are work that
nobody asked for: their tokens are in no sum and their baseline is nothing, but they are part of the bill. Attempts that failed after tokens, and
hedges, count like others: both were billed.

How many calls were open at once is known of what this gateway metered: imported rows say when a call was, not how long it took. Rows that stand
for many calls of a longer time (an import's sums by the day) have no busiest hour.
"""

import heapq
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import apsw

from jevons.core.entry import admitted_ms, first_id_of_ms
from jevons.core.routed import Role
from jevons.core.saving import SavingKind
from jevons.economics.savings import OF_CALLS, Saved, savings
from jevons.ledger.bill import reading
from jevons.ledger.rollup import DAY_MS, HOUR_MS

DAYS_A_MONTH = 365.25 / 12
_TOKENS = "sum(input), sum(cache_read), sum(cache_write_5m + cache_write_1h), sum(output)"
_SENT = "outcome NOT IN ('void', 'free', 'cached', 'unreachable')"
"""Calls that some upstream worked on."""
_OWN = ", ".join(f"'{role}'" for role in (Role.SHADOW, Role.JUDGE, Role.CHECK, Role.CASCADE))
"""Attempts that no client asked for."""
SPARED = frozenset({SavingKind.TRIM, SavingKind.ANSWER_EXACT, SavingKind.ANSWER_SEMANTIC})
"""Savings whose tokens were asked for and reached no upstream."""
_SPAN = f"""
FROM entries JOIN keys ON keys.id = key_id
WHERE entries.id >= :first_id AND entries.id < :after_id AND {_SENT} AND {OF_CALLS}
"""
_CALLS = f"{_SPAN} AND role NOT IN ({_OWN})"
_OWN_SUMS = f"SELECT count(*), coalesce(sum(billed_nusd), 0) {_SPAN} AND role IN ({_OWN})"
_SUMS = f"SELECT count(*), sum(max(1, requests)), {_TOKENS}, min(entries.id) {_CALLS}"
_HOURS = f"""
SELECT entries.id / {first_id_of_ms(HOUR_MS)} AS hour, sum(max(1, requests)), {_TOKENS} {_CALLS}
AND settled_ms - (entries.id >> 18) <= {HOUR_MS} GROUP BY 1 ORDER BY 1
"""
_OPEN = f"SELECT entries.id, settled_ms {_CALLS} AND source = '' AND settled_ms > (entries.id >> 18) ORDER BY entries.id"
_SPEED = f"""
SELECT output * 1000.0 / (settled_ms - (entries.id >> 18) - first_byte_ms) {_CALLS}
AND source = '' AND stream AND outcome = 'ok' AND output >= 32 AND settled_ms - (entries.id >> 18) > first_byte_ms
"""
"""Tokens a second after the first: of streamed answers that are long enough to tell."""
_LONGEST = f"""
SELECT max(input + cache_read + cache_write_5m + cache_write_1h + output) {_CALLS} AND requests <= 1
"""
_LOST = f"""
SELECT coalesce(sum(lost_nusd), 0) FROM prefix_breaks WHERE entry_id IN (SELECT entries.id {_CALLS})
"""


class Tokens(NamedTuple):
    """Of one hour, or of all of it."""

    requests: int
    input: int
    """Computed, not read from a cache and not written to one."""
    cached: int
    written: int
    """Computed, and written to a provider's cache."""
    output: int

    @property
    def computed(self) -> int:
        """Of the prompts."""
        return self.input + self.written

    @property
    def prompt(self) -> int:
        return self.computed + self.cached

    @property
    def all(self) -> int:
        return self.prompt + self.output

    def document(self) -> dict[str, int]:
        """For --json."""
        return self._asdict() | {"tokens": self.all}


class Workload(NamedTuple):
    """Calls of a span that some upstream worked on for a client."""

    since_ms: int
    """Begin of the UTC day of the first call, not before what was asked for."""
    until_ms: int
    key: str | None
    agent: str | None
    model: str | None
    entries: int
    sums: Tokens
    busiest: Tokens | None
    """The hour with the most tokens; None where no row says its hour."""
    busiest_hour: int | None
    """Since 1970."""
    open_mean: float | None
    """Calls open at once, over the whole span; None where no row says how long it took."""
    open_most: int | None
    longest_tokens: int | None
    """Of one call, prompt and answer; None where every row stands for many calls."""
    tok_s_user: float | None
    """Tokens a second that a caller saw, the median of streamed answers."""
    prefix_lost_nusd: int
    """What broken prefixes cost above reading them from the provider's cache, as estimated when they broke (`jevons cache doctor`)."""
    own_entries: int
    """Attempts of our own beside them: shadows, judges, checks, first tries of cascades."""
    own_billed_nusd: int
    """What these took of the bill."""
    money: Saved
    """Of all that was asked for, our caches' answers with it; billed is with attempts of our own."""

    @property
    def days(self) -> float:
        return (self.until_ms - self.since_ms) / DAY_MS

    @property
    def months(self) -> float:
        return self.days / DAYS_A_MONTH

    @property
    def spared(self) -> int:
        """Tokens that were asked for and reached no upstream: answers of our caches, and what was cut from prompts."""
        return sum(kind.tokens for kind in self.money.kinds if kind.kind in SPARED)

    @property
    def asked(self) -> int:
        """Tokens that were asked for: what list prices are of."""
        return self.sums.all + self.spared

    @property
    def tokens_a_month(self) -> float:
        """That were asked for."""
        return self.asked / self.months

    @property
    def sql(self) -> str:
        """The sums again, for `sqlite3` on the ledger."""
        asked = _asked(self.since_ms, self.until_ms, self.key, self.agent, self.model)
        text = " ".join(_SUMS.split())
        for name in sorted(asked, key=len, reverse=True):
            text = text.replace(f":{name}", _literal(asked[name]))
        return text

    def document(self) -> dict[str, Any]:
        """For --json."""
        return {
            "since_ms": self.since_ms,
            "until_ms": self.until_ms,
            "days": self.days,
            "key": self.key,
            "agent": self.agent,
            "model": self.model,
            "entries": self.entries,
            **self.sums.document(),
            "spared_tokens": self.spared,
            "asked_tokens": self.asked,
            "tokens_a_month": round(self.tokens_a_month),
            "busiest_hour": None if self.busiest is None else {"hour": self.busiest_hour, **self.busiest.document()},
            "open_mean": self.open_mean,
            "open_most": self.open_most,
            "longest_tokens": self.longest_tokens,
            "tok_s_user": self.tok_s_user,
            "list_nusd": self.money.list_nusd,
            "billed_nusd": self.money.billed_nusd,
            "baseline_nusd": self.money.baseline_nusd,
            "saved_nusd": self.money.saved_nusd,
            "saved_by_us_nusd": self.money.ours_nusd,
            "prefix_lost_nusd": self.prefix_lost_nusd,
            "own_entries": self.own_entries,
            "own_billed_nusd": self.own_billed_nusd,
            "sql": self.sql,
        }


def workload(
    path: Path, since_ms: int, until_ms: int, *, key: str | None = None, agent: str | None = None, model: str | None = None
) -> Workload | None:
    """Calls admitted from the UTC day of `since_ms` until `until_ms`; None if there are none with tokens. `model`: a shell pattern.

    Raises LedgerError if there is no ledger.
    """
    since_ms = since_ms // DAY_MS * DAY_MS
    asked = _asked(since_ms, until_ms, key, agent, model)
    with reading(path) as db:
        entries, requests, *tokens, first_id = db.execute(_SUMS, asked).fetchone() or (0, 0, 0, 0, 0, 0, 0)
        if not entries or not sum(tokens):
            return None
        sums = Tokens(requests, *tokens)
        hours = [(hour, Tokens(*found)) for hour, *found in db.execute(_HOURS, asked)]
        since_ms = max(since_ms, admitted_ms(first_id) // DAY_MS * DAY_MS)
        open_mean, open_most = _open(db.execute(_OPEN, asked), until_ms - since_ms)
        longest_tokens = db.execute(_LONGEST, asked).get
        lost_nusd = int(db.execute(_LOST, asked).get or 0)
        own_entries, own_billed_nusd = db.execute(_OWN_SUMS, asked).fetchone() or (0, 0)
        speeds = [speed for (speed,) in db.execute(_SPEED, asked)]
    # An hour is the busiest only if hours are known of most of the work.
    told = 2 * sum(found.all for _, found in hours) > sums.all
    busiest_hour, busiest = max(hours, key=lambda one: one[1].all) if told else (None, None)
    money = savings(path, since_ms=since_ms, until_ms=until_ms, key=key, agent=agent, model=model)
    return Workload(
        *(since_ms, until_ms, key, agent, model, entries, sums, busiest, busiest_hour, open_mean, open_most, longest_tokens),
        median(speeds) if speeds else None,
        *(lost_nusd, own_entries, own_billed_nusd, money),
    )


def _asked(since_ms: int, until_ms: int, key: str | None, agent: str | None, model: str | None) -> dict[str, int | str | None]:
    return {
        "first_id": first_id_of_ms(since_ms),
        "after_id": first_id_of_ms(until_ms),
        "key": key,
        "agent": agent,
        "model": model,
    }


def _literal(value: int | str | None) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _open(calls: apsw.Cursor | Iterator[Any], span_ms: int) -> tuple[float | None, int | None]:
    """(calls open in the mean of the span, most at once); calls in order of admission."""
    ends: list[int] = []
    most = busy_ms = 0
    for entry_id, settled_ms in calls:
        begin_ms = admitted_ms(entry_id)
        while ends and ends[0] <= begin_ms:
            heapq.heappop(ends)
        heapq.heappush(ends, settled_ms)
        most, busy_ms = max(most, len(ends)), busy_ms + settled_ms - begin_ms
    return (busy_ms / span_ms, most) if most else (None, None)
