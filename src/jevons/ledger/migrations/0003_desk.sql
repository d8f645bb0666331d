-- The desk: what a bill is explained, rated anew and replayed from; rows that were imported from others' logs.

ALTER TABLE holds ADD COLUMN terms BLOB NOT NULL DEFAULT x'';        -- what the call was decided by (msgpack), for replay; empty = from before, or imported
ALTER TABLE holds ADD COLUMN held_order INTEGER NOT NULL DEFAULT 0;   -- place of this hold among all holds and posts of the ledger
ALTER TABLE holds ADD COLUMN tier TEXT NOT NULL DEFAULT '';
ALTER TABLE entries ADD COLUMN terms BLOB NOT NULL DEFAULT x'';
ALTER TABLE entries ADD COLUMN held_order INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entries ADD COLUMN posted_order INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entries ADD COLUMN source TEXT NOT NULL DEFAULT '';       -- '' = metered here; else the kind of import that told it
ALTER TABLE entries ADD COLUMN requests INTEGER NOT NULL DEFAULT 1;   -- calls that the row stands for; 0 = the source does not say
ALTER TABLE entries ADD COLUMN unknown TEXT NOT NULL DEFAULT '';      -- what the source does not say: requests,tokens,cache,time,price
ALTER TABLE entries ADD COLUMN tariff TEXT NOT NULL DEFAULT '';       -- which of the model's rates: '' = the plain ones
ALTER TABLE entries ADD COLUMN tier TEXT NOT NULL DEFAULT '';         -- frontier, commodity; '' = from before this column

-- Which rows of others' logs are in the ledger, by what identifies them there; so none comes in twice.
CREATE TABLE imported (
    digest        BLOB PRIMARY KEY,
    entry_id      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each file was read: written with the rows themselves.
CREATE TABLE import_files (
    kind          TEXT NOT NULL,
    path          TEXT NOT NULL,
    size          INTEGER NOT NULL,
    mtime_ns      INTEGER NOT NULL,
    offset        INTEGER NOT NULL,               -- bytes of it (unpacked) that are done
    rows          INTEGER NOT NULL,               -- that were read so far, known ones too
    set_aside     INTEGER NOT NULL,               -- that could not be used
    at_ms         INTEGER NOT NULL,
    PRIMARY KEY (kind, path)
) STRICT, WITHOUT ROWID;

-- The sums by the day again, apart by tariff, with the list cost of each kind of token: what a change of the bill is taken apart from.
DROP TABLE rollup_day;
CREATE TABLE rollup_day (
    day           INTEGER NOT NULL,               -- days since 1970 (UTC), of the admission
    key_id        INTEGER NOT NULL,
    agent         TEXT NOT NULL,
    upstream      TEXT NOT NULL,
    target        TEXT NOT NULL,
    tariff        TEXT NOT NULL,
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
    loose         INTEGER NOT NULL,               -- steps outside any run
    input_nusd    INTEGER NOT NULL,               -- list cost by kind; what list_nusd has beyond these is fees
    cache_read_nusd INTEGER NOT NULL,
    cache_write_5m_nusd INTEGER NOT NULL,
    cache_write_1h_nusd INTEGER NOT NULL,
    output_nusd   INTEGER NOT NULL,               -- reasoning included
    PRIMARY KEY (day, key_id, agent, upstream, target, tariff)
) STRICT, WITHOUT ROWID;
INSERT INTO rollup_day
SELECT (id >> 18) / 86400000, key_id, agent, upstream, target, '', count(*), sum(id & 15 = 0 AND outcome NOT IN ('void', 'free')), sum(input),
       sum(cache_read), sum(cache_write_5m), sum(cache_write_1h), sum(output), sum(reasoning), sum(list_nusd), sum(billed_nusd),
       sum(iif(estimate = '', 0, billed_nusd)), sum(run_id IS NULL AND id & 15 = 0 AND outcome NOT IN ('void', 'free')),
       sum((SELECT coalesce(sum(value ->> 2), 0) FROM json_each(lines) WHERE value ->> 0 = 'input')),
       sum((SELECT coalesce(sum(value ->> 2), 0) FROM json_each(lines) WHERE value ->> 0 = 'cache_read')),
       sum((SELECT coalesce(sum(value ->> 2), 0) FROM json_each(lines) WHERE value ->> 0 = 'cache_write_5m')),
       sum((SELECT coalesce(sum(value ->> 2), 0) FROM json_each(lines) WHERE value ->> 0 = 'cache_write_1h')),
       sum((SELECT coalesce(sum(value ->> 2), 0) FROM json_each(lines) WHERE value ->> 0 IN ('output', 'reasoning')))
FROM entries GROUP BY 1, 2, 3, 4, 5;
