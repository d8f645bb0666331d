-- The first ledger. All money is integer nano-USD; all times are Unix milliseconds; an id is ms << 18 | counter << 4 | attempt.

CREATE TABLE keys (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    digest        BLOB NOT NULL UNIQUE,           -- SHA-256 of the key; the key itself is shown once and kept nowhere
    prefix        TEXT NOT NULL,                  -- first characters, so that a person can tell keys apart
    settings      TEXT NOT NULL DEFAULT '{}',     -- JSON: default_output_tokens, models, denial_status
    created_ms    INTEGER NOT NULL,
    revoked_ms    INTEGER
) STRICT;

CREATE TABLE accounts (
    key_id        INTEGER PRIMARY KEY REFERENCES keys(id),
    limit_nusd    INTEGER,                        -- NULL = metered, not limited
    posted_nusd   INTEGER NOT NULL DEFAULT 0,     -- = sum of billed entries and adjustments of the key
    overrun_nusd  INTEGER NOT NULL DEFAULT 0      -- excess over the limit ever recorded
) STRICT;

-- Money set aside for an attempt that is under way. A row goes away when its entry is written, in the same transaction.
CREATE TABLE holds (
    id            INTEGER PRIMARY KEY,
    key_id        INTEGER NOT NULL,
    run_id        TEXT,
    dialect       TEXT NOT NULL,
    model         TEXT NOT NULL,
    target        TEXT NOT NULL,
    upstream      TEXT NOT NULL,
    stream        INTEGER NOT NULL,
    held_nusd     INTEGER NOT NULL,
    list_held_nusd INTEGER NOT NULL,
    input_tokens  INTEGER NOT NULL,
    input_bound   TEXT NOT NULL,
    output_tokens INTEGER NOT NULL,
    price_book    TEXT NOT NULL,
    price_row     TEXT NOT NULL,
    chain         BLOB NOT NULL,
    messages      INTEGER NOT NULL
) STRICT;

-- What an attempt did and cost. Append-only: a correction is an adjustment.
CREATE TABLE entries (
    id            INTEGER PRIMARY KEY,
    key_id        INTEGER NOT NULL,
    run_id        TEXT,
    dialect       TEXT NOT NULL,
    model         TEXT NOT NULL,                  -- as asked
    target        TEXT NOT NULL,                  -- as sent upstream
    upstream      TEXT NOT NULL,
    stream        INTEGER NOT NULL,
    outcome       TEXT NOT NULL,
    status        INTEGER NOT NULL,
    input         INTEGER NOT NULL,
    cache_read    INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    output        INTEGER NOT NULL,
    reasoning     INTEGER NOT NULL,
    lines         TEXT NOT NULL,                  -- JSON [[kind, count, nusd, rate numerator], ...]; sums to list_nusd
    list_nusd     INTEGER NOT NULL,
    billed_nusd   INTEGER NOT NULL,
    held_nusd     INTEGER NOT NULL,
    overrun_nusd  INTEGER NOT NULL,               -- max(0, billed - held)
    estimate      TEXT NOT NULL,                  -- '' = the provider's own figure
    input_bound   TEXT NOT NULL,
    price_book    TEXT NOT NULL,
    price_row     TEXT NOT NULL,
    chain         BLOB NOT NULL,
    messages      INTEGER NOT NULL,
    finish        TEXT NOT NULL,
    settled_ms    INTEGER NOT NULL,
    first_byte_ms INTEGER
) STRICT;
CREATE INDEX entries_of_run ON entries (run_id, key_id) WHERE run_id IS NOT NULL;

CREATE TRIGGER entries_are_never_edited BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are never edited; write an adjustment'); END;
CREATE TRIGGER entries_are_never_removed BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are never removed; write an adjustment'); END;

CREATE TABLE adjustments (
    id            INTEGER PRIMARY KEY,
    key_id        INTEGER NOT NULL,
    entry_id      INTEGER,                        -- the entry it corrects, if one
    nusd          INTEGER NOT NULL,               -- added to the account's posted sum; may be negative
    reason        TEXT NOT NULL,
    created_ms    INTEGER NOT NULL
) STRICT;

CREATE TABLE rollup_hour (
    hour          INTEGER NOT NULL,               -- hours since 1970, of the admission
    key_id        INTEGER NOT NULL,
    upstream      TEXT NOT NULL,
    target        TEXT NOT NULL,
    entries       INTEGER NOT NULL,
    input         INTEGER NOT NULL,
    cache_read    INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    output        INTEGER NOT NULL,
    reasoning     INTEGER NOT NULL,
    list_nusd     INTEGER NOT NULL,
    billed_nusd   INTEGER NOT NULL,
    estimated_nusd INTEGER NOT NULL,              -- part of billed_nusd that is an estimate
    PRIMARY KEY (hour, key_id, upstream, target)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollup_day (
    day           INTEGER NOT NULL,               -- days since 1970 (UTC), of the admission
    key_id        INTEGER NOT NULL,
    upstream      TEXT NOT NULL,
    target        TEXT NOT NULL,
    entries       INTEGER NOT NULL,
    input         INTEGER NOT NULL,
    cache_read    INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    output        INTEGER NOT NULL,
    reasoning     INTEGER NOT NULL,
    list_nusd     INTEGER NOT NULL,
    billed_nusd   INTEGER NOT NULL,
    estimated_nusd INTEGER NOT NULL,
    PRIMARY KEY (day, key_id, upstream, target)
) STRICT, WITHOUT ROWID;

-- A client's Idempotency-Key, hashed; kept for a day.
CREATE TABLE idempotency (
    key_id        INTEGER NOT NULL,
    digest        BLOB NOT NULL,
    body_digest   BLOB NOT NULL,
    entry_id      INTEGER NOT NULL,
    PRIMARY KEY (key_id, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_age ON idempotency (entry_id);

-- Which key created a response that the provider stores: only it may fetch, continue or delete it.
CREATE TABLE stored_responses (
    digest        BLOB PRIMARY KEY,               -- SHA-256 of the provider's id
    key_id        INTEGER NOT NULL,
    upstream      TEXT NOT NULL,
    entry_id      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX stored_responses_by_age ON stored_responses (entry_id);

CREATE VIEW entry_lines AS
    SELECT entries.id AS entry_id, line.key AS position, line.value ->> 0 AS kind, line.value ->> 1 AS count, line.value ->> 2 AS nusd
    FROM entries, json_each(entries.lines) AS line;
