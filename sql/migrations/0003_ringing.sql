-- Ringing again: series whose completed windows wait for a verdict, and when to ring next.

CREATE TABLE IF NOT EXISTS ringing (
  generation INT UNSIGNED NOT NULL,
  series VARBINARY(255) NOT NULL,
  judged_step DATETIME(3) NULL,
  waiting_since DATETIME(3) NOT NULL,
  rings INT UNSIGNED NOT NULL DEFAULT 0,
  ring_at DATETIME(3) NOT NULL,
  PRIMARY KEY (generation, series),
  KEY due (ring_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
