-- name: outbox_time
SELECT UTC_TIMESTAMP(3)

-- name: add_outbox
INSERT INTO outbox (generation, destination, message_key, payload, created_at)
VALUES (%(generation)s, %(destination)s, %(message_key)s, %(payload)s, %(created_at)s)

-- name: waiting_outbox
SELECT id, taken_until >= UTC_TIMESTAMP(3) FROM outbox
WHERE destination = %(destination)s AND sent_at IS NULL ORDER BY id LIMIT %(limit)s

-- name: take_outbox
UPDATE outbox
SET taken_by = %(taker)s, taken_until = UTC_TIMESTAMP(3) + INTERVAL 60 SECOND
WHERE id IN %(numbers)s AND sent_at IS NULL
  AND (taken_until IS NULL OR taken_until < UTC_TIMESTAMP(3))

-- name: taken_outbox
SELECT id, message_key, payload FROM outbox WHERE id IN %(numbers)s ORDER BY id

-- name: release_outbox
UPDATE outbox SET taken_until = NULL WHERE id IN %(numbers)s AND taken_by = %(taker)s

-- name: mark_outbox_sent
UPDATE outbox SET sent_at = UTC_TIMESTAMP(3) WHERE id IN %(numbers)s
