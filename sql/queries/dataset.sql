-- Datasets: what an export reads of a stream, and what it notes. Times are read as ms since the
-- epoch, as in judging.

-- All generations of the stream of a name that was made last, the newest first.
-- name: dataset_generations
SELECT g.generation, g.stream_arn,
  TIMESTAMPDIFF(MICROSECOND, '1970-01-01', f.next_window) DIV 1000
FROM generation g LEFT JOIN frontier f ON f.generation = g.generation
WHERE g.stream_arn = (
  SELECT newest.stream_arn FROM generation newest
  WHERE SUBSTRING_INDEX(newest.stream_arn, '/', -1) = %(stream)s
  ORDER BY newest.generation DESC LIMIT 1
)
ORDER BY g.generation DESC

-- One entry of the primary key for each of the first two; the third reads on while counts cannot be
-- trusted.
-- name: dataset_spans
SELECT s.generation, s.series,
  (SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', c.window_start) DIV 1000
   FROM completed_window c
   WHERE c.generation = s.generation AND c.series = s.series
     AND c.window_start >= %(from)s AND c.window_start < %(until)s AND c.step < %(step)s
   ORDER BY c.window_start LIMIT 1) AS first_ms,
  (SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', c.window_start) DIV 1000
   FROM completed_window c
   WHERE c.generation = s.generation AND c.series = s.series
     AND c.window_start >= %(from)s AND c.window_start < %(until)s AND c.step < %(step)s
   ORDER BY c.window_start DESC LIMIT 1) AS last_ms,
  (SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', c.window_start) DIV 1000
   FROM completed_window c
   WHERE c.generation = s.generation AND c.series = s.series
     AND c.window_start >= %(from)s AND c.window_start < %(until)s AND c.step < %(step)s
     AND c.quality = 'complete'
   ORDER BY c.window_start LIMIT 1) AS trusted_ms
FROM series s
WHERE s.generation IN %(generations)s
ORDER BY s.series, s.generation

-- Millions of rows, one text each: the driver takes longer over a number than the server over it.
-- name: dataset_windows
SELECT CONCAT_WS(' ', TIMESTAMPDIFF(MICROSECOND, '1970-01-01', window_start) DIV 1000, generation,
  revision, count, late,
  FIELD(quality, 'complete', 'partial', 'gap', 'suspect', 'retired') - 1)
FROM completed_window
WHERE generation IN %(generations)s AND series = %(series)s
  AND window_start >= %(from)s AND window_start < %(until)s AND step < %(step)s
ORDER BY generation, window_start, revision

-- name: dataset_incidents
SELECT generation, series, incident_id, direction, status, first_window, closed_window
FROM incident
WHERE generation IN %(generations)s
  AND (status = 'open' OR (direction = 'TOO_LOW' AND status IN ('cleared', 'expired')))
ORDER BY series, first_window, incident_id

-- name: latest_dataset
SELECT manifest_uri, stream_arn, starts_at, ends_at FROM dataset
WHERE stream_arn = %(stream_arn)s ORDER BY ends_at DESC, noted_at DESC, manifest_uri LIMIT 1

-- name: note_dataset
INSERT INTO dataset (manifest_uri, stream_arn, starts_at, ends_at, noted_at)
VALUES (%(manifest_uri)s, %(stream_arn)s, %(starts_at)s, %(ends_at)s, UTC_TIMESTAMP(3))
ON DUPLICATE KEY UPDATE noted_at = VALUES(noted_at)

-- name: all_exclusions
SELECT id, series, starts_at, ends_at, why, noted_at FROM exclusion ORDER BY id

-- name: add_exclusion
INSERT INTO exclusion (series, starts_at, ends_at, why, noted_at)
VALUES (%(series)s, %(starts_at)s, %(ends_at)s, %(why)s, UTC_TIMESTAMP(3))

-- name: one_exclusion
SELECT id, series, starts_at, ends_at, why, noted_at FROM exclusion WHERE id = %(id)s

-- name: lock_exclusion
SELECT id, series, starts_at, ends_at, why, noted_at FROM exclusion WHERE id = %(id)s FOR UPDATE

-- name: remove_exclusion
DELETE FROM exclusion WHERE id = %(id)s

-- name: series_is_known
SELECT EXISTS (SELECT 1 FROM series WHERE series = %(series)s)
