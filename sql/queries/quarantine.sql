-- Quarantine: what was set aside, as people list, count and give it up. However much the table
-- holds, each statement reads a bounded part of it by an index.

-- A stream is asked for by its name, as for its status.
-- name: quarantine_generations
SELECT generation FROM generation
WHERE SUBSTRING_INDEX(stream_arn, '/', -1) = %(stream)s

-- The index is forced where the primary key, which begins with the generation, would be read whole.
-- name: newest_held
SELECT id, generation, reason, shard_id, series FROM quarantine FORCE INDEX (by_state)
WHERE state = 'held' AND id < %(before)s ORDER BY id DESC LIMIT %(limit)s

-- name: newest_items
SELECT id, generation, reason, shard_id, series FROM quarantine FORCE INDEX (by_id)
WHERE id < %(before)s ORDER BY id DESC LIMIT %(limit)s

-- name: oldest_held
SELECT id, generation, reason, shard_id, series FROM quarantine FORCE INDEX (by_state)
WHERE state = 'held' AND id > %(after)s AND id <= %(until)s ORDER BY id LIMIT %(limit)s

-- name: last_held
SELECT MAX(id) FROM quarantine FORCE INDEX (by_state) WHERE state = 'held'

-- name: held_by_reason
SELECT generation, reason, COUNT(*) FROM (
  SELECT generation, reason FROM quarantine FORCE INDEX (by_state)
  WHERE state = 'held' ORDER BY id DESC LIMIT %(limit)s
) AS newest GROUP BY generation, reason

-- name: items_by_id
SELECT id, generation, shard_id, sequence_number, sub_index, arrival_time, reason, size_bytes,
  sha256, SUBSTRING(data, 1, %(beginning)s), series, event_time, noted_at, state, settled_at, why
FROM quarantine WHERE id IN %(ids)s

-- In one statement with its state: bytes go as an item is settled.
-- name: item_with_data
SELECT id, generation, shard_id, sequence_number, sub_index, arrival_time, reason, size_bytes,
  sha256, SUBSTRING(data, 1, %(beginning)s), series, event_time, noted_at, state, settled_at, why,
  data
FROM quarantine WHERE id = %(id)s

-- name: lock_items
SELECT id, generation, shard_id, sequence_number, sub_index, arrival_time, reason, size_bytes,
  sha256, SUBSTRING(data, 1, %(beginning)s), series, event_time, noted_at, state, settled_at, why
FROM quarantine WHERE id IN %(ids)s ORDER BY id FOR UPDATE

-- Some shards of a generation, in the order in which everybody takes them.
-- name: lock_shards_named
SELECT shard_id, fence, ledger_number, stream_time FROM shard
WHERE generation = %(generation)s AND shard_id IN %(shard_ids)s ORDER BY shard_id FOR UPDATE

-- name: greatest_stream_time
SELECT MAX(stream_time) FROM shard WHERE generation = %(generation)s

-- name: later_generations
SELECT COUNT(*) FROM generation this
JOIN generation later ON later.stream_arn = this.stream_arn
  AND later.stream_created_at > this.stream_created_at
WHERE this.generation = %(generation)s

-- Equal for a window whose counts are all told; fewer keys where its ledgers were purged. One
-- entry of an index for each series.
-- name: keys_and_counts
SELECT
  (SELECT COALESCE(SUM(OCTET_LENGTH(event_keys) DIV 8), 0) FROM ledger
   WHERE generation = %(generation)s AND window_start = %(window_start)s),
  (SELECT COALESCE(SUM(told.events), 0) FROM (
    SELECT MAX(c.count) AS events FROM series s
    JOIN completed_window c ON c.generation = s.generation AND c.series = s.series
      AND c.window_start = %(window_start)s
    WHERE s.generation = %(generation)s GROUP BY s.series
  ) AS told)

-- The batch that held the record may have a row under the same number.
-- name: append_ledger
INSERT INTO ledger (generation, shard_id, window_start, first_sequence, event_keys)
VALUES (%(generation)s, %(shard_id)s, %(window_start)s, %(first_sequence)s, %(event_keys)s)
ON DUPLICATE KEY UPDATE event_keys = CONCAT(event_keys, VALUES(event_keys))

-- Processes that keep the keys of these shards read them anew.
-- name: raise_ledger_numbers
UPDATE shard SET ledger_number = ledger_number + 1
WHERE generation = %(generation)s AND shard_id IN %(shard_ids)s

-- name: settle_items
UPDATE quarantine
SET state = %(state)s, settled_at = UTC_TIMESTAMP(3), why = %(why)s, data = NULL
WHERE id IN %(ids)s

-- name: lower_quarantined_bytes
UPDATE shard
SET quarantined_bytes = IF(quarantined_bytes > %(bytes)s, quarantined_bytes - %(bytes)s, 0)
WHERE generation = %(generation)s AND shard_id = %(shard_id)s
