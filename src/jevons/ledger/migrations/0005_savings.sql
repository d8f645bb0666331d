-- What was saved: each entry's lines against what its request asked for, their sums by the day, and where prefixes broke.

ALTER TABLE entries ADD COLUMN savings TEXT NOT NULL DEFAULT '[]';    -- JSON: [[kind, nusd, tokens, estimated], ...]; list_nusd + their sum = baseline

CREATE TABLE savings_day (
    day           INTEGER NOT NULL,               -- days since 1970 (UTC), of the admission
    key_id        INTEGER NOT NULL,
    agent         TEXT NOT NULL,
    upstream      TEXT NOT NULL,
    target        TEXT NOT NULL,
    kind          TEXT NOT NULL,                  -- model, trim, prompt_planned, prompt_client, prompt_automatic, answer_exact, answer_semantic, check
    entries       INTEGER NOT NULL,
    tokens        INTEGER NOT NULL,
    nusd          INTEGER NOT NULL,               -- negative: it cost more
    estimated_nusd INTEGER NOT NULL,
    PRIMARY KEY (day, key_id, agent, upstream, target, kind)
) STRICT, WITHOUT ROWID;

-- Where a request left the prefix that its conversation had: what `jevons cache doctor` reads. No content, no digest.
CREATE TABLE prefix_breaks (
    entry_id      INTEGER PRIMARY KEY,
    position      INTEGER NOT NULL,               -- first message that differs: tools and system first
    role          TEXT NOT NULL,
    cause         TEXT NOT NULL,
    lost_tokens   INTEGER NOT NULL,
    lost_nusd     INTEGER NOT NULL
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
           entries.list_nusd + (SELECT coalesce(sum(value ->> 1), 0) FROM json_each(entries.savings)) AS baseline_nusd
    FROM entries JOIN keys ON keys.id = entries.key_id;

CREATE VIEW daily_savings AS
    SELECT date(savings_day.day * 86400, 'unixepoch') AS day, keys.name AS key,
           coalesce(json_extract(keys.settings, '$.org'), 'default') AS org, coalesce(json_extract(keys.settings, '$.team'), '') AS team,
           savings_day.agent AS agent, savings_day.upstream AS upstream, savings_day.target AS model, savings_day.kind AS kind,
           savings_day.entries AS entries, savings_day.tokens AS tokens, savings_day.nusd AS nusd,
           savings_day.estimated_nusd AS estimated_nusd, savings_day.nusd / 1e9 AS usd
    FROM savings_day JOIN keys ON keys.id = savings_day.key_id;

CREATE VIEW cache_breaks AS
    SELECT prefix_breaks.entry_id AS entry_id, printf('req_%015x', prefix_breaks.entry_id >> 4) AS request,
           date((prefix_breaks.entry_id >> 18) / 1000, 'unixepoch') AS day, keys.name AS key, entries.agent AS agent, entries.run_id AS run,
           entries.upstream AS upstream, entries.target AS model, prefix_breaks.position AS position, prefix_breaks.role AS role,
           prefix_breaks.cause AS cause, prefix_breaks.lost_tokens AS lost_tokens, prefix_breaks.lost_nusd AS lost_nusd,
           prefix_breaks.lost_nusd / 1e9 AS lost_usd
    FROM prefix_breaks JOIN entries ON entries.id = prefix_breaks.entry_id JOIN keys ON keys.id = entries.key_id;
