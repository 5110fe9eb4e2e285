-- Certificates: where in each shard a count comes from, and what became of what was set aside.
-- All times are UTC, `noted_at` too: our sessions run in UTC. It is the wall clock's time of the
-- row's last move, or of its first duplicate; quarantine's is NULL for what was set aside before it
-- was kept. A partial count tells of the records that gave it, NULL where it was counted before; as
-- its window is purged, that becomes evidence. Evidence is in order of windows, so that what is
-- written and purged together lies together.

CREATE TABLE IF NOT EXISTS evidence (
  generation INT UNSIGNED NOT NULL,
  series VARBINARY(255) NOT NULL,
  window_start DATETIME(3) NOT NULL,
  shard_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  first_sequence VARCHAR(129) CHARACTER SET ascii COLLATE ascii_bin NULL,
  last_sequence VARCHAR(129) CHARACTER SET ascii COLLATE ascii_bin NULL,
  on_time BIGINT UNSIGNED NOT NULL DEFAULT 0,
  late BIGINT UNSIGNED NOT NULL DEFAULT 0,
  duplicates BIGINT UNSIGNED NOT NULL DEFAULT 0,
  noted_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (generation, window_start, series, shard_id),
  KEY by_age (noted_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- At the end, so that no server rewrites the table.
ALTER TABLE partial_count
  ADD COLUMN first_sequence VARCHAR(129) CHARACTER SET ascii COLLATE ascii_bin NULL,
  ADD COLUMN last_sequence VARCHAR(129) CHARACTER SET ascii COLLATE ascii_bin NULL;

ALTER TABLE quarantine
  ADD COLUMN id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  ADD COLUMN series VARBINARY(255) NULL,
  ADD COLUMN event_time DATETIME(3) NULL,
  ADD COLUMN noted_at DATETIME(3) NULL,
  ADD COLUMN state ENUM('held', 'counted', 'known', 'discarded') NOT NULL DEFAULT 'held',
  ADD COLUMN settled_at DATETIME(3) NULL,
  ADD COLUMN why VARCHAR(255) NULL,
  ADD UNIQUE KEY by_id (id),
  ADD KEY by_event (generation, series, event_time),
  ADD KEY by_state (state, id);

-- In a statement of its own: as the column is added, a default would be told of the rows before.
ALTER TABLE quarantine MODIFY COLUMN noted_at DATETIME(3) NULL DEFAULT CURRENT_TIMESTAMP(3);
