-- The governor: agents and runs beside keys, limits, kills, approvals, overruns, and an audit log that shows tampering.

ALTER TABLE holds ADD COLUMN agent TEXT NOT NULL DEFAULT '';          -- the client program, under its key; '' = not told
ALTER TABLE holds ADD COLUMN parent_run_id TEXT;                      -- the run that started this one
ALTER TABLE holds ADD COLUMN run_source TEXT NOT NULL DEFAULT '';     -- which header or field named the run; 'inferred' = by prefix
ALTER TABLE entries ADD COLUMN agent TEXT NOT NULL DEFAULT '';

-- One row for each run of a key. Sums are its own, without its children.
CREATE TABLE runs (
    key_id        INTEGER NOT NULL,
    run_id        TEXT NOT NULL,
    parent_run_id TEXT,
    agent         TEXT NOT NULL,
    source        TEXT NOT NULL,
    first_ms      INTEGER NOT NULL,               -- admission of its first call
    last_ms       INTEGER NOT NULL,               -- admission of its latest call
    entries       INTEGER NOT NULL,
    steps         INTEGER NOT NULL,               -- requests: first attempts that were not void
    input         INTEGER NOT NULL,
    cache_read    INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    output        INTEGER NOT NULL,
    reasoning     INTEGER NOT NULL,
    list_nusd     INTEGER NOT NULL,
    billed_nusd   INTEGER NOT NULL,
    estimated_nusd INTEGER NOT NULL,
    PRIMARY KEY (key_id, run_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_by_parent ON runs (key_id, parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX runs_by_last ON runs (last_ms);

INSERT INTO runs
SELECT key_id, run_id, NULL, '', 'x-jevons-run-id', min(id >> 18), max(id >> 18), count(*),
       sum(id & 15 = 0 AND outcome NOT IN ('void', 'free')), sum(input), sum(cache_read), sum(cache_write_5m), sum(cache_write_1h),
       sum(output), sum(reasoning), sum(list_nusd), sum(billed_nusd), sum(iif(estimate = '', 0, billed_nusd))
FROM entries WHERE run_id IS NOT NULL GROUP BY key_id, run_id;

-- A request may tighten the budget of its own run; what it said stays.
CREATE TABLE run_budgets (
    key_id        INTEGER NOT NULL,
    run_id        TEXT NOT NULL,
    budget_nusd   INTEGER NOT NULL,
    PRIMARY KEY (key_id, run_id)
) STRICT, WITHOUT ROWID;

-- The sums again, now also by agent, with steps, and by the minute (kept for 32 days: what rolling windows are rebuilt from).
DROP TABLE rollup_hour;
DROP TABLE rollup_day;
CREATE TABLE rollup_minute (
    minute        INTEGER NOT NULL,               -- minutes since 1970, of the admission
    key_id        INTEGER NOT NULL,
    agent         TEXT NOT NULL,
    upstream      TEXT NOT NULL,
    target        TEXT NOT NULL,
    entries       INTEGER NOT NULL,
    steps         INTEGER NOT NULL,
    input         INTEGER NOT NULL,
    cache_read    INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    output        INTEGER NOT NULL,
    reasoning     INTEGER NOT NULL,
    list_nusd     INTEGER NOT NULL,
    billed_nusd   INTEGER NOT NULL,
    estimated_nusd INTEGER NOT NULL,              -- part of billed_nusd that is an estimate
    PRIMARY KEY (key_id, minute, agent, upstream, target)  -- read for the accounts of one key or a few
) STRICT, WITHOUT ROWID;
CREATE TABLE rollup_hour (
    hour          INTEGER NOT NULL,               -- hours since 1970, of the admission
    key_id        INTEGER NOT NULL,
    agent         TEXT NOT NULL,
    upstream      TEXT NOT NULL,
    target        TEXT NOT NULL,
    entries       INTEGER NOT NULL,
    steps         INTEGER NOT NULL,
    input         INTEGER NOT NULL,
    cache_read    INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    output        INTEGER NOT NULL,
    reasoning     INTEGER NOT NULL,
    list_nusd     INTEGER NOT NULL,
    billed_nusd   INTEGER NOT NULL,
    estimated_nusd INTEGER NOT NULL,
    PRIMARY KEY (hour, key_id, agent, upstream, target)
) STRICT, WITHOUT ROWID;
CREATE TABLE rollup_day (
    day           INTEGER NOT NULL,               -- days since 1970 (UTC), of the admission
    key_id        INTEGER NOT NULL,
    agent         TEXT NOT NULL,
    upstream      TEXT NOT NULL,
    target        TEXT NOT NULL,
    entries       INTEGER NOT NULL,
    steps         INTEGER NOT NULL,
    input         INTEGER NOT NULL,
    cache_read    INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    output        INTEGER NOT NULL,
    reasoning     INTEGER NOT NULL,
    list_nusd     INTEGER NOT NULL,
    billed_nusd   INTEGER NOT NULL,
    estimated_nusd INTEGER NOT NULL,
    PRIMARY KEY (day, key_id, agent, upstream, target)
) STRICT, WITHOUT ROWID;

INSERT INTO rollup_minute
SELECT (id >> 18) / 60000, key_id, agent, upstream, target, count(*), sum(id & 15 = 0 AND outcome NOT IN ('void', 'free')), sum(input),
       sum(cache_read), sum(cache_write_5m), sum(cache_write_1h), sum(output), sum(reasoning), sum(list_nusd), sum(billed_nusd),
       sum(iif(estimate = '', 0, billed_nusd))
FROM entries WHERE (id >> 18) / 60000 >= (SELECT max(id) >> 18 FROM entries) / 60000 - 32 * 24 * 60 GROUP BY 1, 2, 3, 4, 5;
INSERT INTO rollup_hour
SELECT (id >> 18) / 3600000, key_id, agent, upstream, target, count(*), sum(id & 15 = 0 AND outcome NOT IN ('void', 'free')), sum(input),
       sum(cache_read), sum(cache_write_5m), sum(cache_write_1h), sum(output), sum(reasoning), sum(list_nusd), sum(billed_nusd),
       sum(iif(estimate = '', 0, billed_nusd))
FROM entries GROUP BY 1, 2, 3, 4, 5;
INSERT INTO rollup_day
SELECT (id >> 18) / 86400000, key_id, agent, upstream, target, count(*), sum(id & 15 = 0 AND outcome NOT IN ('void', 'free')), sum(input),
       sum(cache_read), sum(cache_write_5m), sum(cache_write_1h), sum(output), sum(reasoning), sum(list_nusd), sum(billed_nusd),
       sum(iif(estimate = '', 0, billed_nusd))
FROM entries GROUP BY 1, 2, 3, 4, 5;

-- Limits set by the operator while serving; those of jevons.toml are not here.
CREATE TABLE limits (
    name          TEXT PRIMARY KEY,
    settings      TEXT NOT NULL,                  -- JSON, the members of a [[limits]] table
    created_ms    INTEGER NOT NULL
) STRICT;

-- Whatever took an account over its limit: a bill above its hold, a lowered limit, a correction.
CREATE TABLE overruns (
    id            INTEGER PRIMARY KEY,
    account       TEXT NOT NULL,                  -- limit, measure and whom it concerns, as `jevons limits` writes it
    window_ms     INTEGER NOT NULL,               -- start of its window; 0 = no end
    amount        INTEGER NOT NULL,               -- in the unit of the measure; money in nano-USD
    cause         TEXT NOT NULL,                  -- post, limit, adjustment; unknown = from before this table
    entry_id      INTEGER,
    at_ms         INTEGER NOT NULL
) STRICT;
CREATE INDEX overruns_of_account ON overruns (account, window_ms);
INSERT INTO overruns (account, window_ms, amount, cause, at_ms)
SELECT 'key:usd key:' || name, 0, overrun_nusd, 'unknown', coalesce((SELECT max(settled_ms) FROM entries WHERE entries.key_id = id), created_ms)
FROM keys JOIN accounts ON key_id = id WHERE overrun_nusd > 0;

CREATE TABLE kills (
    id            INTEGER PRIMARY KEY,
    subject       TEXT NOT NULL,                  -- everything, model:…, org:…, team:…, key:…, agent:…, run:…
    reason        TEXT NOT NULL,
    created_ms    INTEGER NOT NULL,
    lifted_ms     INTEGER
) STRICT;

CREATE TABLE approvals (
    id            TEXT PRIMARY KEY,
    account       TEXT NOT NULL,
    window_ms     INTEGER NOT NULL,
    question      TEXT NOT NULL,                  -- in words, for whoever decides
    state         TEXT NOT NULL,                  -- pending, approved, denied; pending after expires_ms counts as denied
    granted       INTEGER NOT NULL,               -- by how much the threshold is raised, in the unit of the measure
    asked_ms      INTEGER NOT NULL,
    expires_ms    INTEGER NOT NULL,
    decided_ms    INTEGER
) STRICT;
CREATE INDEX approvals_of_account ON approvals (account, window_ms);

-- Every change and every denial, each row's code over the one before it. Who lacks the key cannot change a row unseen.
CREATE TABLE audit (
    seq           INTEGER PRIMARY KEY,
    at_ms         INTEGER NOT NULL,
    action        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    detail        TEXT NOT NULL,                  -- JSON
    mac           BLOB NOT NULL                   -- keyed BLAKE2b of (the row before's mac, this row)
) STRICT;
CREATE TRIGGER audit_is_never_edited BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is never edited'); END;
CREATE TRIGGER audit_is_never_shortened BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is never shortened'); END;
