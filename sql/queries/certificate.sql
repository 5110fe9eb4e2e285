-- A window's certificate: a constant number of statements, each by an index, all of one snapshot.

-- For the transactions that follow on this connection.
-- name: certificate_isolation
SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ

-- name: begin_certificate
START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY

-- A stream is asked for by its name, as for its status; its newest generation first.
-- name: certificate_generations
SELECT g.generation, g.stream_arn, g.stream_created_at, g.first_seen_at, f.next_window,
  f.observed_from, f.ended, UTC_TIMESTAMP(3),
  EXISTS (SELECT 1 FROM completed_window c WHERE c.generation = g.generation
    AND c.series = %(series)s AND c.window_start = %(window_start)s)
  OR EXISTS (SELECT 1 FROM evidence e WHERE e.generation = g.generation
    AND e.window_start = %(window_start)s AND e.series = %(series)s)
  OR EXISTS (SELECT 1 FROM partial_count p WHERE p.generation = g.generation
    AND p.step = %(window_start)s AND p.window_start = %(window_start)s
    AND p.series = %(series)s AND p.events > 0)
  OR EXISTS (SELECT 1 FROM partial_count p FORCE INDEX (by_window)
    WHERE p.generation = g.generation AND p.window_start = %(window_start)s
    AND p.step > %(window_start)s AND p.series = %(series)s AND p.events > 0)
FROM generation g JOIN frontier f ON f.generation = g.generation
WHERE SUBSTRING_INDEX(g.stream_arn, '/', -1) = %(stream)s
ORDER BY g.stream_created_at DESC, g.generation DESC

-- name: evidence_since
SELECT finished_at FROM schema_migration WHERE name = '0005_certificates'

-- name: certificate_series
SELECT first_window, last_event_window, retired_window, active FROM series
WHERE generation = %(generation)s AND series = %(series)s

-- What was purged, and what still stands with its partial counts, which is as good as noted now: on
-- time by the primary key, late by the key whose entries go on with the step.
-- name: certificate_evidence
SELECT shard_id, first_sequence, last_sequence, on_time, late, duplicates, noted_at FROM evidence
WHERE generation = %(generation)s AND window_start = %(window_start)s AND series = %(series)s
UNION ALL
SELECT shard_id, first_sequence, last_sequence, events, 0, 0, UTC_TIMESTAMP(3) FROM partial_count
WHERE generation = %(generation)s AND step = %(window_start)s AND window_start = %(window_start)s
  AND series = %(series)s AND events > 0
UNION ALL
SELECT shard_id, first_sequence, last_sequence, 0, events, 0, UTC_TIMESTAMP(3)
FROM partial_count FORCE INDEX (by_window)
WHERE generation = %(generation)s AND window_start = %(window_start)s AND step > %(window_start)s
  AND series = %(series)s AND events > 0

-- Where the records of the whole window lie that came in time: late ones may lie hours behind.
-- name: window_records
SELECT shard_id, MIN(first_sequence), MAX(last_sequence) FROM evidence
WHERE generation = %(generation)s AND window_start = %(window_start)s AND late = 0
  AND first_sequence IS NOT NULL
GROUP BY shard_id, LENGTH(first_sequence), LENGTH(last_sequence)
UNION ALL
SELECT shard_id, MIN(first_sequence), MAX(last_sequence) FROM partial_count
WHERE generation = %(generation)s AND step = %(window_start)s AND window_start = %(window_start)s
  AND first_sequence IS NOT NULL
GROUP BY shard_id, LENGTH(first_sequence), LENGTH(last_sequence)

-- Both by their primary keys, which are alike.
-- name: certificate_revisions
SELECT c.revision, c.step, c.count, c.late, c.quality, p.status, p.expected, p.lower_bound,
  p.upper_bound, p.level, p.verdict, p.reason, p.windows_judged, p.tail_probability,
  p.model_version, p.judged_at
FROM completed_window c
LEFT JOIN prediction p ON p.generation = c.generation AND p.series = c.series
  AND p.window_start = c.window_start AND p.revision = c.revision
WHERE c.generation = %(generation)s AND c.series = %(series)s
  AND c.window_start = %(window_start)s
ORDER BY c.revision

-- name: certificate_untold
SELECT COALESCE(SUM(events), 0) FROM partial_count
WHERE generation = %(generation)s AND step IN %(steps)s AND window_start = %(window_start)s
  AND series = %(series)s

-- name: certificate_gaps
SELECT starts_at, ends_at, reason, shard_id FROM gap
WHERE generation = %(generation)s AND ends_at > %(window_start)s AND starts_at < %(window_end)s
ORDER BY starts_at, ends_at, shard_id LIMIT %(limit)s

-- name: certificate_set_aside
SELECT id, reason, state FROM quarantine FORCE INDEX (by_event)
WHERE generation = %(generation)s AND series = %(series)s
  AND event_time >= %(window_start)s AND event_time < %(window_end)s
ORDER BY event_time LIMIT %(limit)s

-- `{ranges}` is of the primary key.
-- name: certificate_nobodys
SELECT id, reason, state FROM quarantine FORCE INDEX (PRIMARY)
WHERE ({ranges}) AND series IS NULL
ORDER BY shard_id, sequence_number LIMIT %(limit)s

-- The last that began before the window's end; whether it spans the window is seen by its end.
-- name: certificate_incident
SELECT incident_id, direction, severity, status, first_window, last_window, anomalous_windows,
  clear_run, closed_window
FROM incident
WHERE generation = %(generation)s AND series = %(series)s AND first_window <= %(window_start)s
ORDER BY first_window DESC LIMIT 1

-- Messages that wait, as far as anybody wants to know; those of the window by their JSON.
-- name: waiting_announcements
SELECT COUNT(*), NULL FROM (
  SELECT id FROM outbox WHERE destination = 'windows' AND sent_at IS NULL
  ORDER BY id LIMIT %(limit)s
) AS counted
UNION ALL
SELECT 0, payload FROM (
  SELECT payload FROM outbox WHERE destination = 'windows' AND sent_at IS NULL
  ORDER BY id LIMIT %(limit)s
) AS some
WHERE LOCATE(%(series_json)s, payload) AND LOCATE(%(window_json)s, payload)

-- An alert is sent after it was decided, and kept for a week: the index gives those sent since.
-- name: decided_alerts
SELECT message_key, payload, created_at, sent_at FROM (
  (SELECT message_key, payload, created_at, sent_at FROM outbox
   WHERE destination = 'alerts' AND sent_at IS NULL ORDER BY id LIMIT %(limit)s)
  UNION ALL
  (SELECT message_key, payload, created_at, sent_at FROM outbox
   WHERE destination = 'alerts' AND sent_at >= %(judged_at)s ORDER BY sent_at LIMIT %(limit)s)
) AS some
WHERE LOCATE(%(series_json)s, payload) AND LOCATE(%(window_json)s, payload)
ORDER BY created_at, message_key

-- name: active_series_names
SELECT series FROM series WHERE generation = %(generation)s AND active LIMIT %(limit)s
