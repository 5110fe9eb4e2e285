-- Purging: each statement ends by an index where its limit ends.

-- name: next_window
SELECT next_window FROM frontier WHERE generation = %(generation)s AND NOT ended

-- name: ended_generations
SELECT generation FROM frontier WHERE ended ORDER BY generation

-- One entry of an index each; DISTINCT would read all that a window holds.
-- name: next_counted_window
SELECT MIN(window_start) FROM partial_count
WHERE generation = %(generation)s AND window_start > %(after)s

-- name: next_ledger_window
SELECT MIN(window_start) FROM ledger
WHERE generation = %(generation)s AND window_start > %(after)s

-- name: purge_ledger
DELETE FROM ledger WHERE generation = %(generation)s AND window_start = %(window_start)s

-- What `purge_partial_counts` deletes next, in the same transaction: the same rows, by the same order.
-- All of them are locked before the first row is written: counting takes them in that order.
-- name: move_to_evidence
INSERT INTO evidence
  (generation, series, window_start, shard_id, first_sequence, last_sequence, on_time, late,
   noted_at)
SELECT generation, series, window_start, shard_id, first_sequence, last_sequence,
  IF(step = window_start, events, 0), IF(step = window_start, 0, events), UTC_TIMESTAMP(3)
FROM (
  SELECT * FROM partial_count FORCE INDEX (by_window)
  WHERE generation = %(generation)s AND window_start = %(window_start)s AND step < %(before_step)s
  ORDER BY step, series, shard_id LIMIT %(limit)s FOR UPDATE
) AS slice
WHERE events > 0
ON DUPLICATE KEY UPDATE
  first_sequence = CASE
    WHEN evidence.first_sequence IS NULL
      OR LENGTH(VALUES(first_sequence)) < LENGTH(evidence.first_sequence)
      OR (LENGTH(VALUES(first_sequence)) = LENGTH(evidence.first_sequence)
        AND VALUES(first_sequence) < evidence.first_sequence)
    THEN VALUES(first_sequence) ELSE evidence.first_sequence END,
  last_sequence = CASE
    WHEN evidence.last_sequence IS NULL
      OR LENGTH(VALUES(last_sequence)) > LENGTH(evidence.last_sequence)
      OR (LENGTH(VALUES(last_sequence)) = LENGTH(evidence.last_sequence)
        AND VALUES(last_sequence) > evidence.last_sequence)
    THEN VALUES(last_sequence) ELSE evidence.last_sequence END,
  on_time = evidence.on_time + VALUES(on_time),
  late = evidence.late + VALUES(late),
  noted_at = VALUES(noted_at)

-- Steps that are still open keep their counts: a batch that was given up on may tell of any window.
-- name: purge_partial_counts
DELETE FROM partial_count
WHERE generation = %(generation)s AND window_start = %(window_start)s AND step < %(before_step)s
ORDER BY step, series, shard_id LIMIT %(limit)s

-- name: purge_evidence
DELETE FROM evidence WHERE noted_at < UTC_TIMESTAMP(3) - INTERVAL %(days)s DAY
ORDER BY noted_at LIMIT %(limit)s

-- name: purge_outbox
DELETE FROM outbox
WHERE destination = %(destination)s AND sent_at < UTC_TIMESTAMP(3) - INTERVAL 7 DAY
LIMIT %(limit)s
