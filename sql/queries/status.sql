-- What a person is told of a stream. Cheap however much the tables hold: an index's last entry for
-- each series, and no count beyond what is worth telling.

-- A stream is asked for by its name: who looks at the database may have no access to the stream.
-- name: status_generation
SELECT generation, first_seen_at FROM generation
WHERE SUBSTRING_INDEX(stream_arn, '/', -1) = %(stream)s
ORDER BY stream_created_at DESC LIMIT 1

-- name: status_shards
SELECT shard_id, parent_id, adjacent_parent_id, fence, first_stream_time, stream_time, heartbeat,
  beat, drained, lost_from
FROM shard WHERE generation = %(generation)s ORDER BY shard_id

-- name: status_frontier
SELECT UTC_TIMESTAMP(3), next_window, observed_from, listed FROM frontier
WHERE generation = %(generation)s

-- An older generation of the stream tells that it ended with a loss.
-- name: status_gaps
SELECT gap.starts_at, gap.ends_at, gap.reason, gap.shard_id
FROM generation this
JOIN generation same ON same.stream_arn = this.stream_arn
JOIN gap ON gap.generation = same.generation
WHERE this.generation = %(generation)s
  AND (same.generation = this.generation OR %(with_earlier)s)
ORDER BY gap.ends_at DESC LIMIT %(limit)s

-- MAX would read all windows that a series ever had; from the end of the index it is one row.
-- name: status_series
SELECT newest.series, newest.last_event_window, c.window_start, c.count, c.quality,
  COALESCE(j.step, newest.first_window), COALESCE(i.status = 'open', FALSE)
FROM (
  SELECT s.generation, s.series, s.first_window, s.last_event_window,
    (SELECT w.window_start FROM completed_window w FORCE INDEX (PRIMARY)
     WHERE w.generation = s.generation AND w.series = s.series
     ORDER BY w.window_start DESC LIMIT 1) AS window_start
  FROM series s WHERE s.generation = %(generation)s AND s.active
) AS newest
JOIN completed_window c ON c.generation = newest.generation AND c.series = newest.series
  AND c.window_start = newest.window_start
LEFT JOIN judging j ON j.generation = newest.generation AND j.series = newest.series
LEFT JOIN incident i ON i.generation = j.generation AND i.incident_id = j.incident_id
ORDER BY newest.series, c.revision

-- name: status_outbox
SELECT COUNT(*), COALESCE(TIMESTAMPDIFF(SECOND, MIN(created_at), UTC_TIMESTAMP(3)), 0) FROM (
  (SELECT created_at FROM outbox WHERE destination = 'windows' AND sent_at IS NULL
   ORDER BY id LIMIT %(limit)s)
  UNION ALL
  (SELECT created_at FROM outbox WHERE destination = 'alerts' AND sent_at IS NULL
   ORDER BY id LIMIT %(limit)s)
) AS unsent

-- What is settled helps nobody. Of the newest that are held, so that neither old ones nor those of
-- another stream are read without end.
-- name: status_quarantine
SELECT reason, COUNT(*) FROM (
  SELECT newest.reason FROM (
    SELECT generation, reason FROM quarantine FORCE INDEX (by_state)
    WHERE state = 'held' ORDER BY id DESC LIMIT %(looked_at)s
  ) AS newest WHERE newest.generation = %(generation)s LIMIT %(limit)s
) AS some GROUP BY reason ORDER BY reason

-- name: status_server
SELECT UTC_TIMESTAMP(3), VERSION()

-- name: status_cipher
SHOW SESSION STATUS LIKE 'Ssl_cipher'
