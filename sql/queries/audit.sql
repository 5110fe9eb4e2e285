-- An audit's reading: all of it as of one moment, in slices of series.

-- For the transactions that follow on this connection.
-- name: audit_isolation
SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ

-- name: begin_audit
START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY

-- A stream is asked for by its name: who looks at the database may have no access to the stream.
-- name: audit_generation
SELECT g.generation, g.stream_arn, g.stream_created_at, f.next_window
FROM generation g JOIN frontier f ON f.generation = g.generation
WHERE SUBSTRING_INDEX(g.stream_arn, '/', -1) = %(stream)s
  AND (%(generation)s IS NULL OR g.generation = %(generation)s)
ORDER BY g.stream_created_at DESC LIMIT 1

-- name: audit_shards
SELECT shard_id, parent_id, adjacent_parent_id, fence, stream_time
FROM shard WHERE generation = %(generation)s ORDER BY shard_id

-- name: audit_first_series
SELECT series FROM series WHERE generation = %(generation)s ORDER BY series LIMIT %(limit)s

-- name: audit_next_series
SELECT series FROM series WHERE generation = %(generation)s AND series > %(after)s
ORDER BY series LIMIT %(limit)s

-- Revisions of one window in order: the last one stays. Of most series most windows are empty, and a
-- first revision of nothing says no more than none at all.
-- name: audit_windows
SELECT series, window_start, count, late, quality FROM completed_window
WHERE generation = %(generation)s AND series IN %(series)s
  AND window_start >= %(from)s AND window_start < %(until)s
  AND (count > 0 OR revision > 1 OR quality IN ('partial', 'gap', 'suspect'))
ORDER BY series, window_start, revision

-- Late events of closed windows that no revision tells yet.
-- name: audit_untold
SELECT window_start, series, SUM(events) FROM partial_count
WHERE generation = %(generation)s AND step >= %(next_window)s
  AND window_start >= %(from)s AND window_start < %(until)s
GROUP BY window_start, series

-- name: audit_gaps
SELECT starts_at, ends_at, reason, shard_id FROM gap
WHERE generation = %(generation)s AND ends_at > %(from)s AND starts_at < %(until)s
ORDER BY starts_at, ends_at, shard_id

-- What had no time of its own as it was set aside matters where a retry has found events in it, and
-- where nobody noted the time.
-- name: audit_quarantine
SELECT shard_id, sequence_number, sub_index, reason, state, sha256 FROM quarantine
WHERE generation = %(generation)s
  AND ((event_time >= %(from)s AND event_time < %(until)s)
    OR (event_time IS NULL
      AND (state IN ('counted', 'known') OR reason IN ('too_old', 'too_far_ahead'))))
