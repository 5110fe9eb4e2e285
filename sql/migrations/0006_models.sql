-- Retraining: what is left out of training, what was exported, and what became of each model.
-- All times are UTC, `noted_at` and `changed_at` too: our sessions run in UTC.

-- A NULL series means all of them.
CREATE TABLE IF NOT EXISTS exclusion (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  series VARBINARY(255) NULL,
  starts_at DATETIME(3) NOT NULL,
  ends_at DATETIME(3) NOT NULL,
  why VARCHAR(255) NOT NULL,
  noted_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (id),
  KEY by_span (starts_at, ends_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS dataset (
  manifest_uri VARCHAR(512) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  stream_arn VARCHAR(512) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  starts_at DATETIME(3) NOT NULL,
  ends_at DATETIME(3) NOT NULL,
  noted_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (manifest_uri),
  KEY latest (stream_arn, ends_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- A model bears the name of its training job. `details` is JSON: parameters with their origins,
-- errors, reasons.
CREATE TABLE IF NOT EXISTS model (
  model_version VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  endpoint VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state ENUM('training', 'failed', 'refused', 'deploying', 'live', 'retired', 'rolled_back')
    NOT NULL,
  history_until DATETIME(3) NOT NULL,
  details MEDIUMBLOB NOT NULL,
  noted_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  changed_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (model_version),
  KEY by_state (endpoint, state)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
