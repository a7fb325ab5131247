-- +goose Up
-- The events are a ledger (docs/ledger.md): hash is over the row and the hash of
-- the row before. Rows of before get theirs by the daemon, a few at a time;
-- until all have one, new rows wait for theirs, too. NULL: none yet.

-- No CHECK: SQLite would read all rows for it.
ALTER TABLE events ADD COLUMN hash BLOB;

-- Still append-only. What is allowed is to give a row the hash that it lacks.
DROP TRIGGER events_no_update;
-- +goose StatementBegin
CREATE TRIGGER events_no_update BEFORE UPDATE ON events
WHEN OLD.hash IS NOT NULL OR NEW.hash IS NULL
  OR (NEW.id, NEW.at, NEW.kind, NEW.recording, NEW.call, NEW.actor, NEW.data)
  IS NOT (OLD.id, OLD.at, OLD.kind, OLD.recording, OLD.call, OLD.actor, OLD.data) BEGIN
  SELECT RAISE(ABORT, 'events are append-only');
END;
-- +goose StatementEnd
-- Behind a row with a hash there is none without, so that no way of writing can
-- forget it.
-- +goose StatementBegin
CREATE TRIGGER events_chained BEFORE INSERT ON events
WHEN NEW.hash IS NULL AND coalesce((SELECT hash IS NOT NULL FROM events ORDER BY id DESC LIMIT 1), 1) BEGIN
  SELECT RAISE(ABORT, 'an event needs its hash');
END;
-- +goose StatementEnd

-- The hash of 256 entries each, and the id of the last: what a checkpoint is
-- computed from.
CREATE TABLE ledger_blocks (
  no      INTEGER PRIMARY KEY,
  last_id INTEGER NOT NULL,
  hash    BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Signed notes. size is how many entries they count.
CREATE TABLE ledger_checkpoints (
  size INTEGER PRIMARY KEY,
  note TEXT NOT NULL
) STRICT;

-- The event that says what there was before the ledger knew hashes.
CREATE TABLE ledger_begun (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  event_id INTEGER NOT NULL
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER ledger_blocks_no_update BEFORE UPDATE ON ledger_blocks BEGIN
  SELECT RAISE(ABORT, 'the ledger is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ledger_blocks_no_delete BEFORE DELETE ON ledger_blocks BEGIN
  SELECT RAISE(ABORT, 'the ledger is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ledger_checkpoints_no_update BEFORE UPDATE ON ledger_checkpoints BEGIN
  SELECT RAISE(ABORT, 'the ledger is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ledger_checkpoints_no_delete BEFORE DELETE ON ledger_checkpoints BEGIN
  SELECT RAISE(ABORT, 'the ledger is append-only');
END;
-- +goose StatementEnd
