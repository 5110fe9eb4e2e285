-- name: lock_models
SELECT model_version, state FROM model WHERE model_version IN %(versions)s
ORDER BY model_version FOR UPDATE

-- A version that somebody else has just noted is left alone, and shows in the number of rows.
-- name: add_model
INSERT INTO model (model_version, endpoint, state, history_until, details)
VALUES (%(version)s, %(endpoint)s, %(state)s, %(history_until)s, %(details)s)
ON DUPLICATE KEY UPDATE model_version = VALUES(model_version)

-- name: change_model
UPDATE model
SET state = %(state)s, history_until = %(history_until)s, details = %(details)s,
  changed_at = UTC_TIMESTAMP(3)
WHERE model_version = %(version)s

-- name: one_model
SELECT details, noted_at, changed_at FROM model
WHERE endpoint = %(endpoint)s AND model_version = %(version)s

-- name: models_in
SELECT details, noted_at, changed_at FROM model
WHERE endpoint = %(endpoint)s AND state IN %(states)s
ORDER BY noted_at DESC, history_until DESC, model_version DESC

-- name: model_standings
SELECT model_version, state FROM model WHERE endpoint = %(endpoint)s
ORDER BY noted_at DESC, history_until DESC, model_version DESC

-- A model that was rolled back by its first answers was live for nobody.
-- name: any_model_was_live
SELECT EXISTS (
  SELECT 1 FROM model WHERE endpoint = %(endpoint)s AND state IN ('live', 'retired')
)

-- name: is_dataset
SELECT EXISTS (SELECT 1 FROM dataset WHERE manifest_uri = %(manifest_uri)s)

-- name: newest_generation
SELECT COALESCE(MAX(generation), 0) FROM generation
