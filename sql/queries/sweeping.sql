-- Locks are the server's: the name says which database, in the 64 characters that MySQL allows.
-- name: try_lock
SELECT GET_LOCK(CONCAT(%(name)s, '.', LEFT(SHA2(DATABASE(), 256), 32)), 0)

-- name: unlock
SELECT RELEASE_LOCK(CONCAT(%(name)s, '.', LEFT(SHA2(DATABASE(), 256), 32)))

-- name: forget_caught_up
DELETE ringing FROM ringing
JOIN judging ON judging.generation = ringing.generation AND judging.series = ringing.series
JOIN (
  SELECT generation, series, MAX(step) AS last_step FROM completed_window
  GROUP BY generation, series
) AS told ON told.generation = ringing.generation AND told.series = ringing.series
WHERE judging.step >= told.last_step

-- name: note_waiting
INSERT INTO ringing (generation, series, judged_step, waiting_since, rings, ring_at)
SELECT told.generation, told.series, judging.step, UTC_TIMESTAMP(3), 0,
  UTC_TIMESTAMP(3) + INTERVAL %(patience_seconds)s SECOND
FROM (
  SELECT generation, series, MAX(step) AS last_step FROM completed_window
  GROUP BY generation, series
) AS told
LEFT JOIN judging ON judging.generation = told.generation AND judging.series = told.series
WHERE judging.step IS NULL OR judging.step < told.last_step
ON DUPLICATE KEY UPDATE
  waiting_since = IF(ringing.judged_step <=> VALUES(judged_step), ringing.waiting_since,
                     VALUES(waiting_since)),
  rings = IF(ringing.judged_step <=> VALUES(judged_step), ringing.rings, 0),
  ring_at = IF(ringing.judged_step <=> VALUES(judged_step), ringing.ring_at, VALUES(ring_at)),
  judged_step = VALUES(judged_step)

-- name: due_rings
SELECT ringing.generation, ringing.series, completed_window.window_start,
  completed_window.revision, completed_window.step, completed_window.count,
  completed_window.late, completed_window.quality
FROM (
  SELECT generation, series FROM ringing WHERE ring_at <= UTC_TIMESTAMP(3)
  ORDER BY ring_at LIMIT %(limit)s
) AS ringing
JOIN (
  SELECT generation, series, MAX(step) AS last_step FROM completed_window
  GROUP BY generation, series
) AS told ON told.generation = ringing.generation AND told.series = ringing.series
JOIN completed_window ON completed_window.generation = told.generation
  AND completed_window.series = told.series
  AND completed_window.step = told.last_step AND completed_window.window_start = told.last_step
ORDER BY ringing.generation, completed_window.step, ringing.series, completed_window.revision

-- name: note_rung
UPDATE ringing
SET rings = rings + 1,
    ring_at = UTC_TIMESTAMP(3)
      + INTERVAL LEAST(%(patience_seconds)s * POW(2, LEAST(rings, 10)), 21600) SECOND
WHERE generation = %(generation)s AND series IN %(series)s

-- Each of these reads entries of an index for what it tells, not for what the tables hold.
-- name: next_open_step
SELECT MIN(step) FROM partial_count
WHERE generation = %(generation)s AND step > %(after)s AND step >= %(next_window)s

-- name: next_window_of_step
SELECT MIN(window_start) FROM partial_count
WHERE generation = %(generation)s AND step = %(step)s AND window_start > %(after)s

-- name: backlog
SELECT
  (SELECT next_window FROM frontier WHERE generation = %(generation)s),
  (SELECT COUNT(*) FROM gap WHERE generation = %(generation)s),
  (SELECT COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(created_at), UTC_TIMESTAMP(3)) DIV 1000, 0) FROM (
     (SELECT created_at FROM outbox WHERE destination = 'windows' AND sent_at IS NULL
      ORDER BY id LIMIT 1)
     UNION ALL
     (SELECT created_at FROM outbox WHERE destination = 'alerts' AND sent_at IS NULL
      ORDER BY id LIMIT 1)
   ) AS oldest),
  (SELECT COUNT(*) FROM series s
   LEFT JOIN judging j ON j.generation = s.generation AND j.series = s.series
   WHERE s.generation = %(generation)s
     AND (SELECT c.step FROM completed_window c FORCE INDEX (in_order)
          WHERE c.generation = s.generation AND c.series = s.series
          ORDER BY c.step DESC LIMIT 1) > COALESCE(j.step, '1000-01-01'))
