-- Sources: how far a polled source of events was put on the stream.

CREATE TABLE IF NOT EXISTS source_position (
  name VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reached BIGINT NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
