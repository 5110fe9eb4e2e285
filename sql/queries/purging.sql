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

-- Steps that are still open keep their counts: a batch that was given up on may tell of any window.
-- name: purge_partial_counts
DELETE FROM partial_count
WHERE generation = %(generation)s AND window_start = %(window_start)s AND step < %(before_step)s
LIMIT %(limit)s

-- name: purge_evidence
DELETE FROM evidence WHERE noted_at < UTC_TIMESTAMP(3) - INTERVAL %(days)s DAY
ORDER BY noted_at LIMIT %(limit)s

-- name: purge_outbox
DELETE FROM outbox
WHERE destination = %(destination)s AND sent_at < UTC_TIMESTAMP(3) - INTERVAL 7 DAY
LIMIT %(limit)s
