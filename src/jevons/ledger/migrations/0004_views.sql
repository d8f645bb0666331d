-- Views for people and for other programs: names instead of numbers, times as text, dollars beside nano-dollars. docs/sql.md says what each column means.
-- A view is a reading, not a record: one that is to say more is dropped and made anew by a later migration.

CREATE VIEW calls AS
    SELECT entries.id AS entry_id, printf('req_%015x', entries.id >> 4) AS request, entries.id & 15 AS attempt,
           strftime('%Y-%m-%d %H:%M:%f', (entries.id >> 18) / 1000.0, 'unixepoch') AS admitted, date((entries.id >> 18) / 1000, 'unixepoch') AS day,
           keys.name AS key, coalesce(json_extract(keys.settings, '$.org'), 'default') AS org,
           coalesce(json_extract(keys.settings, '$.team'), '') AS team, entries.agent AS agent, entries.run_id AS run,
           entries.model AS asked, entries.upstream AS upstream, entries.target AS model, entries.tier AS tier, entries.tariff AS tariff,
           entries.outcome AS outcome, entries.status AS status, entries.estimate AS estimate, entries.source AS source,
           entries.unknown AS unknown, entries.requests AS requests,
           iif(entries.id & 15 = 0 AND entries.outcome NOT IN ('void', 'free'), entries.requests, 0) AS steps,
           entries.input AS input, entries.cache_read AS cache_read, entries.cache_write_5m AS cache_write_5m,
           entries.cache_write_1h AS cache_write_1h, entries.output AS output, entries.reasoning AS reasoning,
           entries.input + entries.cache_read + entries.cache_write_5m + entries.cache_write_1h + entries.output AS tokens,
           entries.list_nusd AS list_nusd, entries.billed_nusd AS billed_nusd,
           entries.list_nusd / 1e9 AS list_usd, entries.billed_nusd / 1e9 AS billed_usd,
           entries.price_book AS price_book, entries.price_row AS price_row,
           entries.first_byte_ms AS first_byte_ms, entries.settled_ms - (entries.id >> 18) AS duration_ms
    FROM entries JOIN keys ON keys.id = entries.key_id;

CREATE VIEW call_lines AS
    SELECT entries.id AS entry_id, line.key AS position, date((entries.id >> 18) / 1000, 'unixepoch') AS day, keys.name AS key,
           entries.upstream AS upstream, entries.target AS model, entries.source AS source,
           json_extract(line.value, '$[0]') AS kind, json_extract(line.value, '$[1]') AS count,
           json_extract(line.value, '$[2]') AS list_nusd, json_extract(line.value, '$[2]') / 1e9 AS list_usd
    FROM entries JOIN keys ON keys.id = entries.key_id, json_each(entries.lines) AS line;

CREATE VIEW daily_spend AS
    SELECT date(rollup_day.day * 86400, 'unixepoch') AS day, keys.name AS key,
           coalesce(json_extract(keys.settings, '$.org'), 'default') AS org, coalesce(json_extract(keys.settings, '$.team'), '') AS team,
           rollup_day.agent AS agent, rollup_day.upstream AS upstream, rollup_day.target AS model, rollup_day.tariff AS tariff,
           coalesce(json_extract(keys.settings, '$.source'), '') AS source, rollup_day.entries AS entries, rollup_day.steps AS steps,
           rollup_day.input AS input, rollup_day.cache_read AS cache_read, rollup_day.cache_write_5m AS cache_write_5m,
           rollup_day.cache_write_1h AS cache_write_1h, rollup_day.output AS output, rollup_day.reasoning AS reasoning,
           rollup_day.input + rollup_day.cache_read + rollup_day.cache_write_5m + rollup_day.cache_write_1h + rollup_day.output AS tokens,
           rollup_day.list_nusd AS list_nusd, rollup_day.billed_nusd AS billed_nusd, rollup_day.estimated_nusd AS estimated_nusd,
           rollup_day.list_nusd / 1e9 AS list_usd, rollup_day.billed_nusd / 1e9 AS billed_usd
    FROM rollup_day JOIN keys ON keys.id = rollup_day.key_id;

CREATE VIEW run_costs AS
    SELECT keys.name AS key, coalesce(json_extract(keys.settings, '$.org'), 'default') AS org,
           coalesce(json_extract(keys.settings, '$.team'), '') AS team, runs.agent AS agent, runs.run_id AS run, runs.parent_run_id AS parent,
           runs.source AS named_by, coalesce(json_extract(keys.settings, '$.source'), '') AS source,
           strftime('%Y-%m-%d %H:%M:%f', runs.first_ms / 1000.0, 'unixepoch') AS begins,
           strftime('%Y-%m-%d %H:%M:%f', runs.last_ms / 1000.0, 'unixepoch') AS latest, (runs.last_ms - runs.first_ms) / 1000 AS seconds,
           runs.entries AS entries, runs.steps AS steps,
           runs.input + runs.cache_read + runs.cache_write_5m + runs.cache_write_1h AS input_tokens, runs.output AS output_tokens,
           runs.list_nusd AS list_nusd, runs.billed_nusd AS billed_nusd, runs.list_nusd / 1e9 AS list_usd, runs.billed_nusd / 1e9 AS billed_usd
    FROM runs JOIN keys ON keys.id = runs.key_id;

-- UNION, not UNION ALL: parents are named by clients, and two runs that each name the other must not be followed for ever.
CREATE VIEW run_trees AS
    WITH RECURSIVE under(key_id, top, run_id) AS (
        SELECT key_id, run_id, run_id FROM runs
        UNION
        SELECT runs.key_id, under.top, runs.run_id FROM under JOIN runs ON runs.key_id = under.key_id AND runs.parent_run_id = under.run_id
    )
    SELECT keys.name AS key, top.run_id AS run, top.agent AS agent, coalesce(json_extract(keys.settings, '$.source'), '') AS source,
           NOT EXISTS (SELECT 1 FROM runs AS above WHERE above.key_id = top.key_id AND above.run_id = top.parent_run_id) AS root,
           count(*) AS runs, sum(runs.steps) AS steps,
           sum(runs.input + runs.cache_read + runs.cache_write_5m + runs.cache_write_1h) AS input_tokens, sum(runs.output) AS output_tokens,
           sum(runs.list_nusd) AS list_nusd, sum(runs.billed_nusd) AS billed_nusd,
           sum(runs.list_nusd) / 1e9 AS list_usd, sum(runs.billed_nusd) / 1e9 AS billed_usd
    FROM under JOIN runs ON runs.key_id = under.key_id AND runs.run_id = under.run_id
         JOIN runs AS top ON top.key_id = under.key_id AND top.run_id = under.top JOIN keys ON keys.id = under.key_id
    GROUP BY under.key_id, under.top;

CREATE VIEW corrections AS
    SELECT adjustments.id AS id, strftime('%Y-%m-%d %H:%M:%f', adjustments.created_ms / 1000.0, 'unixepoch') AS at, keys.name AS key,
           iif(adjustments.entry_id IS NULL, NULL, printf('req_%015x', adjustments.entry_id >> 4)) AS request,
           adjustments.nusd AS nusd, adjustments.nusd / 1e9 AS usd, adjustments.reason AS reason
    FROM adjustments JOIN keys ON keys.id = adjustments.key_id;

CREATE VIEW import_sources AS
    SELECT json_extract(keys.settings, '$.source') AS source, count(DISTINCT keys.id) AS keys, coalesce(sum(rollup_day.entries), 0) AS entries,
           date(min(rollup_day.day) * 86400, 'unixepoch') AS first_day, date(max(rollup_day.day) * 86400, 'unixepoch') AS last_day,
           coalesce(sum(rollup_day.list_nusd), 0) AS list_nusd, coalesce(sum(rollup_day.billed_nusd), 0) AS billed_nusd,
           coalesce(sum(rollup_day.list_nusd), 0) / 1e9 AS list_usd, coalesce(sum(rollup_day.billed_nusd), 0) / 1e9 AS billed_usd
    FROM keys LEFT JOIN rollup_day ON rollup_day.key_id = keys.id
    WHERE coalesce(json_extract(keys.settings, '$.source'), '') <> '' GROUP BY 1;

CREATE VIEW import_progress AS
    SELECT kind, path, rows, set_aside, offset AS bytes_done, size AS bytes,
           strftime('%Y-%m-%d %H:%M:%f', at_ms / 1000.0, 'unixepoch') AS at
    FROM import_files;

CREATE VIEW key_limits AS
    SELECT keys.name AS key, coalesce(json_extract(keys.settings, '$.org'), 'default') AS org,
           coalesce(json_extract(keys.settings, '$.team'), '') AS team, coalesce(json_extract(keys.settings, '$.source'), '') AS source,
           keys.revoked_ms IS NOT NULL AS revoked, accounts.limit_nusd AS limit_nusd, accounts.posted_nusd AS posted_nusd,
           (SELECT coalesce(sum(holds.held_nusd), 0) FROM holds WHERE holds.key_id = keys.id) AS held_nusd, accounts.overrun_nusd AS overrun_nusd,
           accounts.limit_nusd / 1e9 AS limit_usd, accounts.posted_nusd / 1e9 AS posted_usd
    FROM keys JOIN accounts ON accounts.key_id = keys.id;

CREATE VIEW limits_set AS
    SELECT name, coalesce(json_extract(settings, '$.scope'), 'key') AS scope, coalesce(json_extract(settings, '$.per'), 'total') AS per,
           coalesce(json_extract(settings, '$.mode'), 'enforce') AS mode, json_extract(settings, '$.usd') AS usd,
           json_extract(settings, '$.tokens') AS tokens, json_extract(settings, '$.steps') AS steps,
           strftime('%Y-%m-%d %H:%M:%f', created_ms / 1000.0, 'unixepoch') AS at, settings
    FROM limits;
