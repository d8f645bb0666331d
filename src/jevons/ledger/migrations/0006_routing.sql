-- Routing: what an attempt was for and how its request was routed; labels; what routes, promises and breakers have learnt; students.

ALTER TABLE entries ADD COLUMN role TEXT NOT NULL DEFAULT '';        -- '' = the answer; retry, failover, hedge, cascade, shadow, judge, check
ALTER TABLE entries ADD COLUMN routed TEXT NOT NULL DEFAULT '';      -- JSON of core.routed.Routed; '' = by its name alone

CREATE INDEX entries_routed ON entries (id) WHERE routed <> '';

-- How good a model's answer was. No content: features are counts and words from short lists.
CREATE TABLE labels (
    id            INTEGER PRIMARY KEY,
    request_id    INTEGER NOT NULL,               -- first entry id of the request that was judged
    key_id        INTEGER NOT NULL,
    org           TEXT NOT NULL,
    route         TEXT NOT NULL,
    model         TEXT NOT NULL,                  -- who was judged
    reference     TEXT NOT NULL,                  -- against whom; '' = by itself
    good          INTEGER NOT NULL,
    harm          INTEGER NOT NULL,               -- the reference is good and it is not
    grader        TEXT NOT NULL,
    weight        REAL NOT NULL,                  -- 1 / probability of having been taken
    score         REAL,                           -- what was believed of it
    shown         INTEGER NOT NULL,               -- its answer was the client's
    at_ms         INTEGER NOT NULL,
    features      TEXT NOT NULL                   -- JSON of core.features.Features
) STRICT;
CREATE INDEX labels_by_route ON labels (org, route, model, at_ms);
CREATE UNIQUE INDEX labels_once ON labels (request_id, model, reference, grader);

-- What is learnt and must outlive a restart: a promise and its stage, a breaker.
CREATE TABLE learnt (
    kind          TEXT NOT NULL,                  -- promise, breaker
    name          TEXT NOT NULL,
    state         TEXT NOT NULL,                  -- JSON
    at_ms         INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Every student that was ever made, and what became of it. Weights and answer tables lie beside the ledger, sealed.
CREATE TABLE students (
    name          TEXT NOT NULL,
    version       INTEGER NOT NULL,
    org           TEXT NOT NULL,
    state         TEXT NOT NULL,                  -- trained, shadow, serving, demoted, withdrawn
    card          TEXT NOT NULL,                  -- JSON: task, teacher, data, provenance, measured quality, cost of making it
    created_ms    INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE student_events (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL,
    version       INTEGER NOT NULL,
    at_ms         INTEGER NOT NULL,
    state         TEXT NOT NULL,                  -- the state from now on
    reason        TEXT NOT NULL
) STRICT;

DROP VIEW calls;
CREATE VIEW calls AS
    SELECT entries.id AS entry_id, printf('req_%015x', entries.id >> 4) AS request, entries.id & 15 AS attempt,
           strftime('%Y-%m-%d %H:%M:%f', (entries.id >> 18) / 1000.0, 'unixepoch') AS admitted, date((entries.id >> 18) / 1000, 'unixepoch') AS day,
           keys.name AS key, coalesce(json_extract(keys.settings, '$.org'), 'default') AS org,
           coalesce(json_extract(keys.settings, '$.team'), '') AS team, entries.agent AS agent, entries.run_id AS run,
           entries.model AS asked, entries.upstream AS upstream, entries.target AS model, entries.tier AS tier, entries.tariff AS tariff,
           entries.outcome AS outcome, entries.status AS status, entries.estimate AS estimate, entries.source AS source,
           entries.unknown AS unknown, entries.requests AS requests,
           iif(entries.id & 15 = 0 AND entries.outcome NOT IN ('void', 'free', 'cached'), entries.requests, 0) AS steps,
           entries.input AS input, entries.cache_read AS cache_read, entries.cache_write_5m AS cache_write_5m,
           entries.cache_write_1h AS cache_write_1h, entries.output AS output, entries.reasoning AS reasoning,
           entries.input + entries.cache_read + entries.cache_write_5m + entries.cache_write_1h + entries.output AS tokens,
           entries.list_nusd AS list_nusd, entries.billed_nusd AS billed_nusd,
           entries.list_nusd / 1e9 AS list_usd, entries.billed_nusd / 1e9 AS billed_usd,
           entries.price_book AS price_book, entries.price_row AS price_row,
           entries.first_byte_ms AS first_byte_ms, entries.settled_ms - (entries.id >> 18) AS duration_ms,
           entries.list_nusd + (SELECT coalesce(sum(value ->> 1), 0) FROM json_each(entries.savings)) AS baseline_nusd,
           entries.role AS role, coalesce(json_extract(nullif(entries.routed, ''), '$[0]'), '') AS route, coalesce(json_extract(nullif(entries.routed, ''), '$[1]'), '') AS routed_why
    FROM entries JOIN keys ON keys.id = entries.key_id;

