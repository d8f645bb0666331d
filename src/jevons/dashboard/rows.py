"""The rows beneath a bill: a period against the one before, by whatever a person asks; the runs of a part, its entries, one request.

Comes in: the ledger's file, a period in whole UTC days, a part. Goes out: plain values, each a sum of rows that the next question names. Own
read-only connections. Sums by the day come from the rollup, as `jevons bill` takes them; sums by run from the entries. Does not know: pages.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import msgspec

from jevons.core.entry import ATTEMPT_BITS, admitted_ms, attempt_of, first_id_of_ms, parse_request_text, request_text
from jevons.core.limits import PAGE_ROWS_MAX
from jevons.ledger.bill import bill, reading, request_entries
from jevons.ledger.errors import Unknown
from jevons.ledger.rollup import DAY_MS, STEP
from jevons.meter.lineages import lineage_of

Record = dict[str, Any]
BY = ("day", "model", "key", "team", "agent", "run")

_ORG = "coalesce(settings ->> 'org', 'default')"
_TEAM = "coalesce(settings ->> 'team', '')"
_SOURCE = "coalesce(settings ->> 'source', '')"
_MODEL = "upstream || '/' || target"
_INPUT = "input + cache_read + cache_write_5m + cache_write_1h"
_GROUPS = {
    "model": _MODEL,
    "key": "keys.name",
    "team": f"iif({_ORG} = 'default', {_TEAM}, {_ORG} || '/' || {_TEAM})",
    "agent": "agent",
}
_SAVED = "SELECT sum(value ->> 1) FROM json_each(savings) WHERE value ->> 0 = :saved"
"""What an entry saved by one kind; null = it has no such line."""
_STEP = STEP.replace("(id ", "(entries.id ")
_ALL_OF = {
    "org": f"{_ORG} = :org",
    "team": f":team IN ({_TEAM}, {_GROUPS['team']})",
    "key": "keys.name = :key",
    "agent": "agent = :agent",
    "source": f"{_SOURCE} = :source",
    "saved": f"({_SAVED}) IS NOT NULL",
}


class Period(msgspec.Struct, frozen=True):
    """Whole UTC days, in days since 1970: `first` to `last`, both included."""

    first: int
    last: int

    @property
    def days(self) -> int:
        return self.last - self.first + 1

    @property
    def since_ms(self) -> int:
        return self.first * DAY_MS

    @property
    def until_ms(self) -> int:
        return (self.last + 1) * DAY_MS

    def before(self) -> "Period":
        """As many days, right before."""
        return Period(self.first - self.days, self.first - 1)


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which rows: those that have all of these, under the names that an explanation's segments have; None = any."""

    org: str | None = None
    team: str | None = None
    key: str | None = None
    agent: str | None = None
    source: str | None = None
    tier: str | None = None
    line: str | None = None
    """vendor/line"""
    model: str | None = None
    """As sent, with or without its upstream. Tier, line, model and tariff may name several."""
    tariff: str | None = None
    """Upstream and tariff, as segments say it."""
    run: str | None = None
    """"" = outside any run."""
    saved: str | None = None
    """With a saving of this kind."""

    def asked(self) -> dict[str, str]:
        """Only what is asked for."""
        named = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {name: value for name, value in named if value is not None}

    def where(self) -> str:
        """As SQL over entries and keys."""
        parts = [_ALL_OF[name] for name in self.asked() if name in _ALL_OF]
        if self.run is not None:
            parts.append("run_id = :run" if self.run else "run_id IS NULL")
        if self._of_models():
            parts.append(f"{_MODEL} IN (SELECT value FROM json_each(:models))")
        if self.tariff is not None:
            parts.append("trim(upstream || ' ' || tariff) IN (SELECT value FROM json_each(:tariffs))")
        return "".join(f" AND {part}" for part in parts)

    def values(self, db: apsw.Connection, period: Period) -> Record:
        """What its SQL asks for."""
        values: Record = {**self.asked(), "from": first_id_of_ms(period.since_ms), "until": first_id_of_ms(period.until_ms)}
        if self._of_models():
            called = _records(db, "SELECT DISTINCT upstream, target FROM rollup_day", ())
            models = [f"{one['upstream']}/{one['target']}" for one in called if self._is_of(**one)]
            values["models"] = msgspec.json.encode(models).decode()
        if self.tariff is not None:
            values["tariffs"] = msgspec.json.encode(_either(self.tariff)).decode()
        return values

    def _of_models(self) -> bool:
        return (self.tier, self.line, self.model) != (None, None, None)

    def _is_of(self, upstream: str, target: str) -> bool:
        lineage = lineage_of(upstream, target)
        own = (
            (self.tier, {lineage.tier}),
            (self.line, {f"{lineage.vendor}/{lineage.line}"}),
            (self.model, {target, f"{upstream}/{target}"}),
        )
        return all(asked is None or names & _either(asked) for asked, names in own)


def _either(label: str) -> set[str]:
    """The names of a label: an explanation writes "a → b" and "a, b" where it means either."""
    return {label, *label.replace(" → ", ", ").split(", ")}


def totals(path: Path, period: Period) -> Record:
    """The bill of a period, as `jevons bill` has it, with what of it was imported and from where."""
    found = bill(path, since_ms=period.since_ms, until_ms=period.until_ms)
    with reading(path) as db:
        sources = db.execute(
            f"SELECT {_SOURCE} AS source, sum(billed_nusd) FROM rollup_day JOIN keys ON keys.id = key_id"
            " WHERE day >= ? AND day <= ? AND source <> '' GROUP BY 1 ORDER BY 2 DESC",
            (period.first, period.last),
        ).fetchall()
    return {**found, "sources": sources, "imported_nusd": sum(nusd for _, nusd in sources)}


def anything(path: Path) -> bool:
    """Has anything ever been spent, or told of?"""
    with reading(path) as db:
        return bool(db.execute("SELECT EXISTS (SELECT 1 FROM rollup_day)").get)


def by_day(path: Path, period: Period) -> list[int]:
    """What each day of the period cost, without corrections."""
    found = bill(path, since_ms=period.since_ms, until_ms=period.until_ms)["rows"]
    costs = {row["day"]: row["billed_nusd"] for row in found}
    return [costs.get(day_text(day), 0) for day in range(period.first, period.last + 1)]


def breakdown(path: Path, by: str, period: Period, base: Period) -> Record:
    """{"rows", "more", "more_nusd", "corrections", "most"}: the dearest rows with what they were before; the rest as one sum. Not by run."""
    with reading(path) as db:
        corrections = {
            name: db.execute(
                "SELECT coalesce(sum(nusd), 0) FROM adjustments WHERE created_ms >= ? AND created_ms < ?",
                (one.since_ms, one.until_ms),
            ).get
            for name, one in (("now", period), ("before", base))
        }
        rows = _by_rollup(db, by, period, base)
    shown = rows[:PAGE_ROWS_MAX]
    rest = rows[PAGE_ROWS_MAX:]
    return {
        "rows": shown,
        "more": len(rest),
        "more_nusd": sum(row["nusd"] for row in rest),
        "corrections": corrections,
        "most": max((max(row["nusd"], row["before_nusd"]) for row in shown), default=0),
    }


def runs_of(path: Path, period: Period, part: Part) -> Record:
    """{"rows", "runs", "nusd", "entries"}: what the period cost by run, for this part; the dearest runs, and the sums of all."""
    body = f"FROM entries JOIN keys ON keys.id = key_id WHERE entries.id >= :from AND entries.id < :until{part.where()}"
    with reading(path) as db:
        asked = part.values(db, period)
        rows = _records(
            db,
            f"SELECT keys.name AS key, run_id AS run, max(agent) AS agent, count(*) AS entries, sum({_STEP}) AS steps,"
            f" sum({_INPUT}) AS input_tokens, sum(output) AS output_tokens, sum(billed_nusd) AS nusd,"
            " sum(iif(estimate <> '', billed_nusd, 0)) AS estimated_nusd, min(entries.id) >> 18 AS first_ms, max(entries.id) >> 18 AS last_ms,"
            f" max({_SOURCE}) AS source {body} GROUP BY key_id, run_id ORDER BY nusd DESC LIMIT {PAGE_ROWS_MAX}",
            asked,
        )
        (sums,) = _records(
            db,
            f"SELECT count(*) AS entries, coalesce(sum(billed_nusd), 0) AS nusd, count(DISTINCT key_id || ' ' || run_id) AS runs {body}",
            asked,
        )
    return {"rows": rows, **sums}


def entries_of(path: Path, period: Period, part: Part) -> Record:
    """{"rows", "entries", "nusd", "saved_nusd"}: the dearest entries of a part, and the sums of all.

    `saved_nusd` is what the part's kind of saving came to, with the entries that saved most first; null where no kind is asked for.
    """
    saved, order = (f"({_SAVED})", "abs(saved_nusd)") if part.saved is not None else ("null", "billed_nusd")
    body = f"FROM entries JOIN keys ON keys.id = key_id WHERE entries.id >= :from AND entries.id < :until{part.where()}"
    with reading(path) as db:
        asked = part.values(db, period)
        rows = _records(
            db,
            f"SELECT entries.id, keys.name AS key, agent, run_id AS run, upstream || '/' || target AS model, outcome, estimate, source,"
            f" {_INPUT} AS input_tokens, output AS output_tokens, billed_nusd AS nusd, {saved} AS saved_nusd {body} ORDER BY {order} DESC, entries.id"
            f" LIMIT {PAGE_ROWS_MAX}",
            asked,
        )
        (sums,) = _records(
            db, f"SELECT count(*) AS entries, coalesce(sum(billed_nusd), 0) AS nusd, sum({saved}) AS saved_nusd {body}", asked
        )
    return {"rows": [_named(row) for row in rows], **sums}


def corrections_of(path: Path, period: Period) -> Record:
    """{"rows", "nusd"}: the dated adjustments of a period, which no entry shows; the largest, and the sum of all."""
    dated = "FROM adjustments JOIN keys ON keys.id = key_id WHERE adjustments.created_ms >= ? AND adjustments.created_ms < ?"
    asked = (period.since_ms, period.until_ms)
    with reading(path) as db:
        rows = _records(
            db,
            "SELECT keys.name AS key, entry_id, nusd, reason, adjustments.created_ms AS at_ms"
            f" {dated} ORDER BY abs(nusd) DESC LIMIT {PAGE_ROWS_MAX}",
            asked,
        )
        (sums,) = _records(db, f"SELECT count(*) AS corrections, coalesce(sum(nusd), 0) AS nusd {dated}", asked)
    return {"rows": [{**row, "request": row["entry_id"] and request_text(row["entry_id"])} for row in rows], **sums}


def request(path: Path, text: str) -> Record:
    """{"name", "entries", "corrections"}: all that is known of one request. Raises Unknown."""
    first = parse_request_text(text)
    entries = request_entries(path, first, 1 << ATTEMPT_BITS) if first is not None else []
    if first is None or not entries:
        raise Unknown(f"There is no entry of a request {text!r}; it may be under way.")
    with reading(path) as db:
        corrections = _records(
            db,
            "SELECT nusd, reason, created_ms FROM adjustments WHERE entry_id >= ? AND entry_id < ? ORDER BY id",
            (first, first + (1 << ATTEMPT_BITS)),
        )
        keys = {row["id"]: row["name"] for row in _records(db, "SELECT id, name FROM keys", ())}
    for entry in entries:
        entry |= {"attempt": attempt_of(entry["id"]), "key": keys[entry["key_id"]], "admitted_ms": admitted_ms(entry["id"])}
    return {"name": entries[0]["request"], "entries": entries, "corrections": corrections}


def day_text(day: int) -> str:
    """2026-11-22"""
    return f"{datetime.fromtimestamp(day * DAY_MS / 1000, UTC):%Y-%m-%d}"


def _by_rollup(db: apsw.Connection, by: str, period: Period, base: Period) -> list[Record]:
    """Each row with its sums of the period, and its cost of the one before; days are those of the period, beside the day of their place."""
    now = "day >= :first AND day <= :last"
    before = "day >= :base_first AND day <= :base_last"
    same_day = f"date(iif({now}, day, day + {period.first - base.first}) * 86400, 'unixepoch')"
    group = same_day if by == "day" else _GROUPS[by]
    sums = ", ".join(
        f"sum(iif({now}, {sql}, 0)) AS {name}"
        for name, sql in {
            "nusd": "billed_nusd",
            "estimated_nusd": "estimated_nusd",
            "entries": "entries",
            "steps": "steps",
            "input_tokens": _INPUT,
            "output_tokens": "output",
        }.items()
    )
    return _records(
        db,
        f"SELECT {group} AS label, {sums}, sum(iif({before}, billed_nusd, 0)) AS before_nusd,"
        f" group_concat(DISTINCT nullif(iif({now}, {_SOURCE}, ''), '')) AS sources"
        f" FROM rollup_day JOIN keys ON keys.id = key_id WHERE ({now}) OR ({before})"
        f" GROUP BY 1 ORDER BY {'1 DESC' if by == 'day' else 'max(nusd, before_nusd) DESC, 1'}",
        {"first": period.first, "last": period.last, "base_first": base.first, "base_last": base.last},
    )


def _named(row: Record) -> Record:
    return {**row, "request": request_text(row["id"]), "attempt": attempt_of(row["id"]), "admitted_ms": admitted_ms(row["id"])}


def _records(db: apsw.Connection, query: str, asked: Any) -> list[Record]:
    found = db.execute(query, asked)
    return [{column[0]: value for column, value in zip(found.get_description(), row, strict=True)} for row in found]
