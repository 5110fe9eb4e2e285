-- Counting: generations, shards, ledgers, partial counts, completed windows, quarantine, outbox.
-- All times are UTC. Sequence numbers are digit strings of up to 129 digits: text, never numbers.

CREATE TABLE IF NOT EXISTS generation (
  generation INT UNSIGNED NOT NULL AUTO_INCREMENT,
  stream_arn VARCHAR(512) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  stream_created_at DATETIME(3) NOT NULL,
  first_seen_at DATETIME(3) NOT NULL,
  PRIMARY KEY (generation),
  UNIQUE KEY stream (stream_arn, stream_created_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS shard (
  generation INT UNSIGNED NOT NULL,
  shard_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  parent_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NULL,
  adjacent_parent_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NULL,
  fence VARCHAR(129) CHARACTER SET ascii COLLATE ascii_bin NULL,
  first_stream_time DATETIME(3) NULL,
  stream_time DATETIME(3) NULL,
  heartbeat VARCHAR(129) CHARACTER SET ascii COLLATE ascii_bin NULL,
  lost_from DATETIME(3) NULL,
  ledger_number BIGINT UNSIGNED NOT NULL DEFAULT 0,
  quarantined_bytes BIGINT UNSIGNED NOT NULL DEFAULT 0,
  beat VARCHAR(129) CHARACTER SET ascii COLLATE ascii_bin NULL,
  unread VARCHAR(129) CHARACTER SET ascii COLLATE ascii_bin NULL,
  skipped VARCHAR(129) CHARACTER SET ascii COLLATE ascii_bin NULL,
  drained BOOLEAN NOT NULL DEFAULT FALSE,
  PRIMARY KEY (generation, shard_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS frontier (
  generation INT UNSIGNED NOT NULL,
  next_window DATETIME(3) NULL,
  observed_from DATETIME(3) NULL,
  listed BOOLEAN NOT NULL DEFAULT FALSE,
  ended BOOLEAN NOT NULL DEFAULT FALSE,
  PRIMARY KEY (generation)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS ledger (
  generation INT UNSIGNED NOT NULL,
  shard_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  window_start DATETIME(3) NOT NULL,
  first_sequence VARCHAR(129) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event_keys MEDIUMBLOB NOT NULL,
  PRIMARY KEY (generation, window_start, shard_id, first_sequence)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS partial_count (
  generation INT UNSIGNED NOT NULL,
  step DATETIME(3) NOT NULL,
  window_start DATETIME(3) NOT NULL,
  series VARBINARY(255) NOT NULL,
  shard_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  events BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (generation, step, window_start, series, shard_id),
  KEY by_window (generation, window_start)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS series (
  generation INT UNSIGNED NOT NULL,
  series VARBINARY(255) NOT NULL,
  first_window DATETIME(3) NOT NULL,
  last_event_window DATETIME(3) NOT NULL,
  retired_window DATETIME(3) NULL,
  active BOOLEAN NOT NULL,
  PRIMARY KEY (generation, series)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS completed_window (
  generation INT UNSIGNED NOT NULL,
  series VARBINARY(255) NOT NULL,
  window_start DATETIME(3) NOT NULL,
  revision INT UNSIGNED NOT NULL,
  step DATETIME(3) NOT NULL,
  count BIGINT UNSIGNED NOT NULL,
  late BIGINT UNSIGNED NOT NULL,
  quality ENUM('complete', 'partial', 'gap', 'suspect', 'retired') NOT NULL,
  PRIMARY KEY (generation, series, window_start, revision),
  KEY in_order (generation, series, step, window_start, revision),
  KEY by_step (generation, step)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS gap (
  generation INT UNSIGNED NOT NULL,
  shard_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  sequence_number VARCHAR(129) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  starts_at DATETIME(3) NOT NULL,
  ends_at DATETIME(3) NOT NULL,
  reason VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (generation, shard_id, sequence_number),
  KEY by_span (generation, ends_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS failed_batch (
  name VARBINARY(1024) NOT NULL,
  generation INT UNSIGNED NOT NULL,
  shard_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  lost_events INT UNSIGNED NOT NULL,
  noted_at DATETIME(3) NOT NULL,
  PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS quarantine (
  generation INT UNSIGNED NOT NULL,
  shard_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  sequence_number VARCHAR(129) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  sub_index INT UNSIGNED NOT NULL,
  arrival_time DATETIME(3) NULL,
  reason VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  size_bytes INT UNSIGNED NOT NULL,
  sha256 BINARY(32) NOT NULL,
  data MEDIUMBLOB NULL,
  PRIMARY KEY (generation, shard_id, sequence_number, sub_index)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS outbox (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  generation INT UNSIGNED NOT NULL,
  destination ENUM('windows', 'alerts') NOT NULL,
  message_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payload MEDIUMBLOB NOT NULL,
  created_at DATETIME(3) NOT NULL,
  taken_by CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  taken_until DATETIME(3) NULL,
  sent_at DATETIME(3) NULL,
  PRIMARY KEY (id),
  KEY unsent (destination, sent_at, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
