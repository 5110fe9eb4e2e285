-- Judging: how far each series is judged, its predictions and verdicts, its incidents.
-- All times are UTC, `judged_at` too: our sessions run in UTC. `actual` is the count judged.

CREATE TABLE judging (
  generation INT UNSIGNED NOT NULL,
  series VARBINARY(255) NOT NULL,
  step DATETIME(3) NULL,
  window_start DATETIME(3) NULL,
  revision INT UNSIGNED NULL,
  incident_id CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL,
  PRIMARY KEY (generation, series)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE prediction (
  generation INT UNSIGNED NOT NULL,
  series VARBINARY(255) NOT NULL,
  window_start DATETIME(3) NOT NULL,
  revision INT UNSIGNED NOT NULL,
  step DATETIME(3) NOT NULL,
  actual BIGINT UNSIGNED NOT NULL,
  quality ENUM('complete', 'partial', 'gap', 'suspect', 'retired') NOT NULL,
  status ENUM('ok', 'error', 'none') NOT NULL,
  expected DOUBLE NULL,
  lower_bound DOUBLE NULL,
  upper_bound DOUBLE NULL,
  level DOUBLE NOT NULL,
  verdict ENUM('NORMAL', 'TOO_HIGH', 'TOO_LOW', 'NOT_JUDGED') NOT NULL,
  reason VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  windows_judged TINYINT UNSIGNED NOT NULL,
  tail_probability DOUBLE NULL,
  model_version VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  judged_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (generation, series, window_start, revision),
  KEY in_order (generation, series, step)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE incident (
  generation INT UNSIGNED NOT NULL,
  incident_id CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  series VARBINARY(255) NOT NULL,
  direction ENUM('TOO_HIGH', 'TOO_LOW') NOT NULL,
  severity ENUM('warning', 'critical') NOT NULL,
  status ENUM('open', 'cleared', 'retracted', 'expired') NOT NULL,
  first_window DATETIME(3) NOT NULL,
  last_window DATETIME(3) NOT NULL,
  anomalous_windows INT UNSIGNED NOT NULL,
  clear_run INT UNSIGNED NOT NULL,
  closed_window DATETIME(3) NULL,
  PRIMARY KEY (generation, incident_id),
  KEY by_series (generation, series, first_window)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
