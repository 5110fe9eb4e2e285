-- name: find_generation
SELECT generation FROM generation
WHERE stream_arn = %(stream_arn)s AND stream_created_at = %(stream_created_at)s

-- name: add_generation
INSERT INTO generation (stream_arn, stream_created_at, first_seen_at)
VALUES (%(stream_arn)s, %(stream_created_at)s, UTC_TIMESTAMP(3))
ON DUPLICATE KEY UPDATE generation = generation

-- name: add_frontier
INSERT INTO frontier (generation) VALUES (%(generation)s)
ON DUPLICATE KEY UPDATE generation = VALUES(generation)

-- name: superseded_generations
SELECT older.generation FROM generation this
JOIN generation older ON older.stream_arn = this.stream_arn
  AND older.stream_created_at < this.stream_created_at
JOIN frontier ON frontier.generation = older.generation AND NOT frontier.ended
WHERE this.generation = %(generation)s ORDER BY older.stream_created_at

-- name: lock_shard
SELECT shard_id, parent_id, adjacent_parent_id, fence, stream_time, heartbeat, lost_from, beat,
  unread, skipped, drained, ledger_number
FROM shard WHERE generation = %(generation)s AND shard_id = %(shard_id)s FOR UPDATE

-- Read after the shard's own row is locked: the transaction that drains the last parent locks it
-- too.
-- name: refusals
SELECT
  (SELECT ended FROM frontier WHERE generation = %(generation)s),
  (SELECT COUNT(*) FROM shard
   WHERE generation = %(generation)s AND shard_id IN %(parent_ids)s AND NOT drained)

-- name: shard_parents
SELECT shard_id, parent_id, adjacent_parent_id FROM shard WHERE generation = %(generation)s

-- name: ledger_keys
SELECT window_start, event_keys FROM ledger
WHERE generation = %(generation)s AND window_start IN %(windows)s AND shard_id IN %(shard_ids)s

-- name: add_ledger
INSERT INTO ledger (generation, shard_id, window_start, first_sequence, event_keys)
VALUES (%(generation)s, %(shard_id)s, %(window_start)s, %(first_sequence)s, %(event_keys)s)

-- Sequence numbers as text: the longer is the greater. NULL tells of no record, and gives way.
-- name: add_partial_count
INSERT INTO partial_count
  (generation, step, window_start, series, shard_id, events, first_sequence, last_sequence)
VALUES
  (%(generation)s, %(step)s, %(window_start)s, %(series)s, %(shard_id)s, %(events)s,
   %(first_sequence)s, %(last_sequence)s)
ON DUPLICATE KEY UPDATE
  first_sequence = CASE
    WHEN first_sequence IS NULL
      OR LENGTH(VALUES(first_sequence)) < LENGTH(first_sequence)
      OR (LENGTH(VALUES(first_sequence)) = LENGTH(first_sequence)
        AND VALUES(first_sequence) < first_sequence)
    THEN VALUES(first_sequence) ELSE first_sequence END,
  last_sequence = CASE
    WHEN last_sequence IS NULL
      OR LENGTH(VALUES(last_sequence)) > LENGTH(last_sequence)
      OR (LENGTH(VALUES(last_sequence)) = LENGTH(last_sequence)
        AND VALUES(last_sequence) > last_sequence)
    THEN VALUES(last_sequence) ELSE last_sequence END,
  events = events + VALUES(events)

-- name: add_duplicates
INSERT INTO evidence (generation, series, window_start, shard_id, duplicates)
VALUES (%(generation)s, %(series)s, %(window_start)s, %(shard_id)s, %(duplicates)s)
ON DUPLICATE KEY UPDATE duplicates = duplicates + VALUES(duplicates)

-- name: add_gap
INSERT INTO gap (generation, shard_id, sequence_number, starts_at, ends_at, reason)
VALUES (%(generation)s, %(shard_id)s, %(sequence_number)s, %(starts_at)s, %(ends_at)s, %(reason)s)
ON DUPLICATE KEY UPDATE
  starts_at = VALUES(starts_at), ends_at = VALUES(ends_at), reason = VALUES(reason)

-- name: quarantined_bytes
SELECT COALESCE(SUM(quarantined_bytes), 0) FROM shard

-- name: add_quarantined
INSERT INTO quarantine
  (generation, shard_id, sequence_number, sub_index, arrival_time, reason, size_bytes, sha256, data,
   series, event_time)
VALUES
  (%(generation)s, %(shard_id)s, %(sequence_number)s, %(sub_index)s, %(arrival_time)s, %(reason)s,
   %(size_bytes)s, %(sha256)s, %(data)s, %(series)s, %(event_time)s)
ON DUPLICATE KEY UPDATE reason = VALUES(reason)

-- name: append_quarantined
UPDATE quarantine SET data = CONCAT(data, %(more)s)
WHERE generation = %(generation)s AND shard_id = %(shard_id)s
  AND sequence_number = %(sequence_number)s AND sub_index = %(sub_index)s

-- name: move_shard
UPDATE shard
SET fence = %(fence)s,
    first_stream_time = COALESCE(first_stream_time, %(first_stream_time)s),
    stream_time = %(stream_time)s,
    heartbeat = %(heartbeat)s,
    lost_from = %(lost_from)s,
    ledger_number = ledger_number + %(ledger_rows)s,
    quarantined_bytes = quarantined_bytes + %(quarantined_bytes)s
WHERE generation = %(generation)s AND shard_id = %(shard_id)s

-- name: lock_frontier
SELECT next_window, observed_from, listed, ended FROM frontier
WHERE generation = %(generation)s FOR UPDATE

-- name: last_step
SELECT MAX(step) FROM partial_count WHERE generation = %(generation)s

-- name: next_step
SELECT MIN(step) FROM partial_count WHERE generation = %(generation)s AND step >= %(from)s

-- name: step_counts
SELECT step, window_start, series, SUM(events) FROM partial_count
WHERE generation = %(generation)s AND step >= %(first)s AND step < %(until)s
GROUP BY step, window_start, series

-- name: step_counts_from_all
SELECT step, window_start, series, SUM(events) FROM partial_count
WHERE generation = %(generation)s AND step < %(until)s
GROUP BY step, window_start, series

-- name: latest_revisions
SELECT series, window_start, revision, step, count, late, quality FROM completed_window
WHERE generation = %(generation)s AND (series, window_start) IN %(places)s
ORDER BY series, window_start, revision

-- name: all_series
SELECT series, first_window, last_event_window, retired_window, active FROM series
WHERE generation = %(generation)s

-- name: gaps_in_span
SELECT starts_at, ends_at FROM gap
WHERE generation = %(generation)s AND ends_at > %(from)s AND starts_at < %(until)s

-- name: suspect_windows
SELECT window_start FROM (
  SELECT window_start, CAST(SUM(events) AS SIGNED) AS difference FROM partial_count
  WHERE generation = %(generation)s AND window_start >= %(from)s AND window_start < %(until)s
  GROUP BY window_start
  UNION ALL
  SELECT window_start, -CAST(SUM(OCTET_LENGTH(event_keys) DIV 8) AS SIGNED) FROM ledger
  WHERE generation = %(generation)s AND window_start >= %(from)s AND window_start < %(until)s
  GROUP BY window_start
) AS told GROUP BY window_start HAVING SUM(difference) <> 0

-- name: add_completed_window
INSERT INTO completed_window
  (generation, series, window_start, revision, step, count, late, quality)
VALUES
  (%(generation)s, %(series)s, %(window_start)s, %(revision)s, %(step)s, %(count)s, %(late)s,
   %(quality)s)

-- name: put_series
INSERT INTO series
  (generation, series, first_window, last_event_window, retired_window, active)
VALUES
  (%(generation)s, %(series)s, %(first_window)s, %(last_event_window)s, %(retired_window)s,
   %(active)s)
ON DUPLICATE KEY UPDATE
  first_window = VALUES(first_window),
  last_event_window = VALUES(last_event_window),
  retired_window = VALUES(retired_window),
  active = VALUES(active)

-- name: move_frontier
UPDATE frontier
SET next_window = %(next_window)s, observed_from = %(observed_from)s, ended = %(ended)s
WHERE generation = %(generation)s
