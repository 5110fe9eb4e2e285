-- name: add_outbox
INSERT INTO outbox (generation, destination, message_key, payload, created_at)
VALUES (%(generation)s, %(destination)s, %(message_key)s, %(payload)s, UTC_TIMESTAMP(3))

-- name: pending_outbox
SELECT id, message_key, payload FROM outbox
WHERE destination = %(destination)s AND sent_at IS NULL ORDER BY id LIMIT %(limit)s

-- name: mark_outbox_sent
UPDATE outbox SET sent_at = UTC_TIMESTAMP(3) WHERE id IN %(numbers)s
