-- What `tidegauge live` shows. Times are read as ms since the epoch.

-- name: live_windows
SELECT c.series, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', c.window_start) DIV 1000, c.count,
  c.revision, c.quality, p.verdict, p.reason, p.expected, p.lower_bound, p.upper_bound
FROM completed_window c
LEFT JOIN prediction p USING (generation, series, window_start, revision)
WHERE c.generation = %(generation)s AND c.step >= %(from_step)s
ORDER BY c.step, c.window_start, c.revision, c.series

-- name: live_open_windows
SELECT COUNT(DISTINCT step) FROM partial_count
WHERE generation = %(generation)s AND step >= %(next_window)s

-- name: live_incidents
SELECT series, direction, severity,
  TIMESTAMPDIFF(MICROSECOND, '1970-01-01', first_window) DIV 1000
FROM incident
WHERE generation = %(generation)s AND status = 'open'
ORDER BY series, first_window
