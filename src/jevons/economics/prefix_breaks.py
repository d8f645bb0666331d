"""What `jevons cache doctor` says: the breaks of prefixes that were recorded, grouped, priced by the month, each with what is to be done.

Comes in: the ledger (view `cache_breaks`), or breaks found in a file. Goes out: a `Report`. A loss is an estimate: tokens are shared out by
bytes, and the price of reading them from the cache is the list price of their day. A month is 30 days; what was lost in the days that were
observed is scaled to that. Does not know: how a break is found (policy/breaks.py).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from jevons.core.entry import admitted_ms, first_id_of_ms
from jevons.core.money import half_even
from jevons.ledger.bill import reading
from jevons.ledger.rollup import DAY_MS
from jevons.policy.breaks import LOST_UNCHANGED, Cause

MONTH_DAYS = 30

WHAT = {
    Cause.CLOCK: "a clock or a date",
    Cause.RANDOM_ID: "a random id",
    Cause.COUNTER: "a number that counts",
    Cause.SIGNED_URL: "an address signed anew",
    Cause.TOOLS_ORDER: "tools in another order",
    Cause.TOOLS_SET: "a tool more or fewer",
    Cause.TOOL_SCHEMA: "a tool described otherwise",
    Cause.JSON: "the same JSON, spelt otherwise",
    Cause.MARKERS: "cache marks or blocks moved",
    Cause.EDITED: "text edited",
    Cause.DROPPED: "old messages dropped",
    Cause.SUMMARISED: "old messages summarised",
    Cause.INSERTED: "something put before old messages",
    Cause.PARAMETERS: "a parameter changed",
    Cause.MODEL: "model or upstream switched",
    Cause.GATEWAY: "changed by this gateway",
    Cause.EXPIRED: "the cache had expired",
    Cause.SHORT: "too short to be cached",
    Cause.UNMARKED: "caching was not asked for",
    Cause.MISSED: "nothing changed, and not read",
}
"""Each cause in a few words."""

ADVICE = {
    Cause.CLOCK: "Take the time out of this message; say it in the last user message, or give the model a tool that tells it.",
    Cause.RANDOM_ID: "Take the id out of this message; send it as metadata or a header, or in the last user message.",
    Cause.COUNTER: "Say the number in the last message, not here; what stands before it can then be read from the cache.",
    Cause.SIGNED_URL: "Sign the address once for each conversation with a long lifetime, or send the file by id or as data.",
    Cause.TOOLS_ORDER: "Sort the tools by name before they are sent; sets and dictionaries of other services have no order.",
    Cause.TOOLS_SET: "Offer all tools from the first request on, and forbid some by tool_choice or in the last message.",
    Cause.TOOL_SCHEMA: "Keep names, descriptions and schemas of tools fixed for as long as a conversation lasts.",
    Cause.JSON: "Write the JSON once and send the same bytes again: same key order, same spaces, same escapes.",
    Cause.MARKERS: "Keep old messages in the form in which they were first sent; move cache marks without wrapping texts anew.",
    Cause.EDITED: "Do not change what was sent before; add a new message that corrects it, or edit many old ones at once, seldom.",
    Cause.DROPPED: "Drop many old messages at once and seldom, not one at each turn: every drop pays for all that follows.",
    Cause.SUMMARISED: "Summarise seldom and far back in one go, or all of it; what is kept behind a summary is paid for again.",
    Cause.INSERTED: "Put what was retrieved, and notes, behind the history, next to the question that they are for.",
    Cause.PARAMETERS: "Keep this parameter the same through a conversation; the provider's cache is kept apart by it.",
    Cause.MODEL: "Keep a conversation with one model and upstream; switch between conversations, or where the saving pays for the prefix.",
    Cause.GATEWAY: "A limit or access rule of this gateway changed the request; let it apply from a conversation's beginning.",
    Cause.EXPIRED: "The pause was longer than the cache's lifetime; ask for the longer one where pauses are usual, or batch the work.",
    Cause.SHORT: "Put the fixed part first and let it grow past the provider's minimum; what is shorter is never cached.",
    Cause.UNMARKED: 'Mark the prefix with cache_control, or let the gateway do it: mode = "on" in [cache.prompt] of jevons.toml.',
    Cause.MISSED: "Send requests of one conversation with one prompt_cache_key, and not faster than the first is answered.",
}
"""What to do, for the person who must."""


class Loss(NamedTuple):
    """One request that lost its prefix. `request`: its public id, or the line of a file."""

    key: str
    agent: str
    model: str
    cause: str
    position: int
    role: str
    lost_tokens: int
    lost_nusd: int
    request: str


class Calls(NamedTuple):
    """What a caller sent of one model, in whatever order."""

    key: str
    agent: str
    model: str
    requests: int
    input_tokens: int | None
    """All of them, read from a cache or not; None = nobody told, as `cache_read`."""
    cache_read: int | None


class Finding(msgspec.Struct, frozen=True):
    """One thing to mend."""

    key: str
    agent: str
    model: str
    cause: str
    what: str
    position: int | None
    """The first message that differs, tools and system first; None where nothing differs."""
    role: str
    times: int
    share: float
    """Of the requests of this key, agent and model."""
    lost_tokens: int
    lost_nusd: int
    month_nusd: int | None
    request: str
    """The dearest of them."""
    advice: str


class HitRate(msgspec.Struct, frozen=True):
    """How much of a model's input came from the provider's cache; None where no answer told, as of a file."""

    model: str
    requests: int
    input_tokens: int | None
    cache_read: int | None
    share: float | None


class Report(msgspec.Struct, frozen=True):
    """What broke, worst first. Estimated; at list price."""

    requests: int
    broken: int
    lost_tokens: int
    lost_nusd: int
    month_nusd: int | None
    """Scaled from `observed_days` to 30 days; None where nothing tells the time."""
    observed_days: float | None
    findings: tuple[Finding, ...]
    models: tuple[HitRate, ...]


def report(losses: Iterable[Loss], calls: Sequence[Calls], span_ms: int | None) -> Report:
    """`span_ms`: how long was observed; less than a day counts as one, so that an hour is not scaled to a month."""
    requests = {(one.key, one.agent, one.model): one.requests for one in calls}
    span_ms = None if span_ms is None else max(span_ms, DAY_MS)
    groups: dict[tuple[str, str, str, str, int | None, str], list[Loss]] = {}
    for loss in losses:
        position = None if loss.cause in LOST_UNCHANGED else loss.position
        groups.setdefault((loss.key, loss.agent, loss.model, loss.cause, position, loss.role), []).append(loss)
    findings = [_finding(group, requests.get(name[:3], 0), span_ms, name[4]) for name, group in groups.items()]
    findings.sort(key=lambda one: (-one.lost_nusd, -one.lost_tokens, -one.times, one.key, one.agent, one.model, one.cause))
    lost_nusd = sum(one.lost_nusd for one in findings)
    return Report(
        sum(one.requests for one in calls),
        sum(one.times for one in findings),
        sum(one.lost_tokens for one in findings),
        lost_nusd,
        _month(lost_nusd, span_ms),
        None if span_ms is None else round(span_ms / DAY_MS, 2),
        tuple(findings),
        _hit_rates(calls),
    )


def doctor(
    ledger: Path, since_ms: int, now_ms: int, key: str | None = None, agent: str | None = None, model: str | None = None
) -> Report:
    """Of what the gateway recorded. Imported calls are left out: nobody saw their requests. Raises LedgerError if there is no ledger."""
    wanted = (first_id_of_ms(since_ms), key, key, agent, agent, model, model)
    with reading(ledger) as db:
        calls, first_ms = _calls(db, wanted)
        losses = [Loss(*row) for row in db.execute(_LOSSES, wanted)]
        recorded = [ms for row in db.execute(_RECORDED) for ms in row if ms is not None]
    if first_ms is None:
        return report(losses, calls, None)
    return report(losses, calls, now_ms - max(first_ms, min(recorded, default=first_ms)))


_WHERE = " WHERE entries.id >= ? AND (? IS NULL OR keys.name = ?) AND (? IS NULL OR entries.agent = ?) AND (? IS NULL OR entries.target = ?)"
_LOSSES = (
    "SELECT keys.name, entries.agent, entries.target, cause, position, prefix_breaks.role, lost_tokens, lost_nusd, printf('req_%015x', entry_id >> 4)"
    " FROM prefix_breaks JOIN entries ON entries.id = entry_id JOIN keys ON keys.id = entries.key_id" + _WHERE
)
_CALLS = (
    "SELECT keys.name, entries.agent, entries.target, count(*), sum(input + cache_read + cache_write_5m + cache_write_1h), sum(cache_read),"
    " min(entries.id) FROM entries JOIN keys ON keys.id = key_id"
    + _WHERE
    + " AND source = '' AND (outcome = 'ok' OR entries.id IN (SELECT entry_id FROM prefix_breaks)) GROUP BY 1, 2, 3"
)
_RECORDED = f"SELECT (SELECT min(day) * {DAY_MS} FROM savings_day), (SELECT min(entry_id) >> 18 FROM prefix_breaks)"
"""Unix ms of what only a version that looks at prompts writes: time before that is none in which nothing was lost."""


def _calls(db: apsw.Connection, wanted: Sequence[object]) -> tuple[list[Calls], int | None]:
    """What was sent, and when the first of it was admitted."""
    rows: list[Any] = db.execute(_CALLS, tuple(wanted)).fetchall()
    return [Calls(*row[:6]) for row in rows], min((admitted_ms(row[6]) for row in rows), default=None)


def _finding(group: Sequence[Loss], requests: int, span_ms: int | None, position: int | None) -> Finding:
    worst = max(group, key=lambda loss: (loss.lost_nusd, loss.request))
    lost_nusd = sum(loss.lost_nusd for loss in group)
    cause = Cause(worst.cause)
    return Finding(
        worst.key,
        worst.agent,
        worst.model,
        cause,
        WHAT[cause],
        position,
        worst.role,
        len(group),
        round(len(group) / requests, 4) if requests else 0.0,
        sum(loss.lost_tokens for loss in group),
        lost_nusd,
        _month(lost_nusd, span_ms),
        worst.request,
        ADVICE[cause],
    )


def _month(lost_nusd: int, span_ms: int | None) -> int | None:
    return None if span_ms is None else half_even(lost_nusd * MONTH_DAYS * DAY_MS, span_ms)


def _hit_rates(calls: Iterable[Calls]) -> tuple[HitRate, ...]:
    of_model: dict[str, list[Calls]] = defaultdict(list)
    for one in calls:
        of_model[one.model].append(one)
    rates = [_hit_rate(model, theirs) for model, theirs in of_model.items()]
    return tuple(sorted(rates, key=lambda rate: (-(rate.input_tokens or 0), rate.model)))


def _hit_rate(model: str, calls: Sequence[Calls]) -> HitRate:
    requests = sum(one.requests for one in calls)
    told = [(one.input_tokens, one.cache_read) for one in calls if one.input_tokens is not None and one.cache_read is not None]
    if not told:
        return HitRate(model, requests, None, None, None)
    tokens, read = (sum(column) for column in zip(*told, strict=True))
    return HitRate(model, requests, tokens, read, round(read / tokens, 4) if tokens else 0.0)
