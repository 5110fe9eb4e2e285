-- name: source_position
SELECT reached FROM source_position WHERE name = %(name)s

-- name: note_source_position
INSERT INTO source_position (name, reached, updated_at)
VALUES (%(name)s, %(reached)s, UTC_TIMESTAMP(3))
ON DUPLICATE KEY UPDATE
  updated_at = IF(VALUES(reached) > reached, VALUES(updated_at), updated_at),
  reached = GREATEST(reached, VALUES(reached))

-- name: begin_reading
START TRANSACTION READ ONLY
