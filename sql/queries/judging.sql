-- Times are read as ms since the epoch: thousands of rows a batch, and a number costs less than a
-- DATETIME to decode.

-- name: add_judging
INSERT INTO judging (generation, series)
SELECT DISTINCT generation, series FROM completed_window
WHERE generation = %(generation)s AND series IN %(series)s ORDER BY series
ON DUPLICATE KEY UPDATE generation = VALUES(generation)

-- One row of the index for each of the three steps: MIN, MAX or a greater step would read all that
-- a series ever had.
-- name: judging_states
SELECT j.series, j.step, j.window_start, j.revision,
  (SELECT c.step FROM completed_window c FORCE INDEX (in_order)
   WHERE c.generation = j.generation AND c.series = j.series
   ORDER BY c.step LIMIT 1) AS first_step,
  (SELECT c.step FROM completed_window c FORCE INDEX (in_order)
   WHERE c.generation = j.generation AND c.series = j.series
   ORDER BY c.step DESC LIMIT 1) AS last_step,
  (SELECT c.step FROM completed_window c FORCE INDEX (in_order)
   WHERE c.generation = j.generation AND c.series = j.series
     AND c.step = j.step + INTERVAL %(size_seconds)s SECOND LIMIT 1) AS following_step,
  i.incident_id, i.direction, i.severity, i.status, i.first_window, i.last_window,
  i.anomalous_windows, i.clear_run, i.closed_window
FROM judging j
LEFT JOIN incident i ON i.generation = j.generation AND i.incident_id = j.incident_id
WHERE j.generation = %(generation)s AND j.series IN %(series)s
ORDER BY j.series

-- name: next_steps
SELECT series, MIN(step) FROM completed_window FORCE INDEX (in_order)
WHERE generation = %(generation)s AND ({ranges}) GROUP BY series

-- name: earlier_generations
SELECT earlier.generation FROM generation earlier
JOIN generation this ON this.stream_arn = earlier.stream_arn
WHERE this.generation = %(generation)s AND earlier.generation < this.generation

-- name: unjudged_windows
SELECT series, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', window_start) DIV 1000, revision,
  TIMESTAMPDIFF(MICROSECOND, '1970-01-01', step) DIV 1000, count, late, quality
FROM completed_window
WHERE generation = %(generation)s AND ({ranges})
ORDER BY series, step, window_start, revision

-- name: count_history
SELECT series, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', window_start) DIV 1000,
  IF(quality = 'complete', count, NULL)
FROM completed_window
WHERE {ranges}
ORDER BY series, generation, step, window_start, revision

-- name: residual_history
SELECT series, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', window_start) DIV 1000,
  TIMESTAMPDIFF(MICROSECOND, '1970-01-01', step) DIV 1000,
  IF(quality = 'complete' AND expected IS NOT NULL, actual, NULL),
  IF(quality = 'complete', expected, NULL), verdict, reason
FROM prediction
WHERE {ranges}
ORDER BY series, generation, step, window_start, revision

-- name: lock_judging
SELECT series, step, window_start, revision FROM judging
WHERE generation = %(generation)s AND series IN %(series)s ORDER BY series FOR UPDATE

-- name: add_prediction
INSERT INTO prediction
  (generation, series, window_start, revision, step, actual, quality, status, expected, lower_bound,
   upper_bound, level, verdict, reason, windows_judged, tail_probability, model_version)
VALUES
  (%(generation)s, %(series)s, %(window_start)s, %(revision)s, %(step)s, %(actual)s, %(quality)s,
   %(status)s, %(expected)s, %(lower_bound)s, %(upper_bound)s, %(level)s, %(verdict)s, %(reason)s,
   %(windows_judged)s, %(tail_probability)s, %(model_version)s)

-- name: put_incident
INSERT INTO incident
  (generation, incident_id, series, direction, severity, status, first_window, last_window,
   anomalous_windows, clear_run, closed_window)
VALUES
  (%(generation)s, %(incident_id)s, %(series)s, %(direction)s, %(severity)s, %(status)s,
   %(first_window)s, %(last_window)s, %(anomalous_windows)s, %(clear_run)s, %(closed_window)s)
ON DUPLICATE KEY UPDATE severity = VALUES(severity), status = VALUES(status),
  first_window = VALUES(first_window), last_window = VALUES(last_window),
  anomalous_windows = VALUES(anomalous_windows), clear_run = VALUES(clear_run),
  closed_window = VALUES(closed_window)

-- name: move_judging
INSERT INTO judging (generation, series, step, window_start, revision, incident_id)
VALUES (%(generation)s, %(series)s, %(step)s, %(window_start)s, %(revision)s, %(incident_id)s)
ON DUPLICATE KEY UPDATE step = VALUES(step), window_start = VALUES(window_start),
  revision = VALUES(revision), incident_id = COALESCE(VALUES(incident_id), incident_id)
