-- Lineage: shards as they are registered, drained, and start. Whoever changes more than one row of
-- shards holds the frontier's lock first and takes theirs in order of shard id.

-- name: shard_rows
SELECT shard_id, parent_id, adjacent_parent_id, fence, stream_time, heartbeat, lost_from, beat,
  unread, skipped, drained, first_stream_time
FROM shard WHERE generation = %(generation)s ORDER BY shard_id

-- name: shard_and_children
SELECT shard_id, parent_id, adjacent_parent_id, fence, stream_time, heartbeat, lost_from, beat,
  unread, skipped, drained, first_stream_time
FROM shard
WHERE generation = %(generation)s
  AND (shard_id = %(shard_id)s OR parent_id = %(shard_id)s OR adjacent_parent_id = %(shard_id)s)

-- name: shards_named
SELECT shard_id, parent_id, adjacent_parent_id, fence, stream_time, heartbeat, lost_from, beat,
  unread, skipped, drained, first_stream_time
FROM shard WHERE generation = %(generation)s AND shard_id IN %(shard_ids)s

-- name: is_listed
SELECT listed FROM frontier WHERE generation = %(generation)s

-- name: mark_listed
UPDATE frontier SET listed = TRUE WHERE generation = %(generation)s

-- name: add_shard
INSERT INTO shard (generation, shard_id, parent_id, adjacent_parent_id, stream_time, lost_from)
VALUES (%(generation)s, %(shard_id)s, %(parent_id)s, %(adjacent_parent_id)s, %(stream_time)s,
  %(lost_from)s)

-- name: change_shard
UPDATE shard
SET stream_time = %(stream_time)s, lost_from = %(lost_from)s, drained = %(drained)s
WHERE generation = %(generation)s AND shard_id = %(shard_id)s

-- name: note_beat
UPDATE shard SET beat = %(beat)s WHERE generation = %(generation)s AND shard_id = %(shard_id)s

-- name: note_unread
UPDATE shard SET unread = %(unread)s
WHERE generation = %(generation)s AND shard_id = %(shard_id)s

-- Numbers as text: the longer is the greater.
-- name: note_skipped
UPDATE shard SET skipped = %(skipped)s
WHERE generation = %(generation)s AND shard_id = %(shard_id)s
  AND (skipped IS NULL OR LENGTH(skipped) < LENGTH(%(skipped)s)
    OR (LENGTH(skipped) = LENGTH(%(skipped)s) AND skipped < %(skipped)s))

-- name: noted_failures
SELECT name FROM failed_batch WHERE name IN %(names)s

-- name: add_failure
INSERT INTO failed_batch (name, generation, shard_id, lost_events, noted_at)
VALUES (%(name)s, %(generation)s, %(shard_id)s, %(lost_events)s, UTC_TIMESTAMP(3))
