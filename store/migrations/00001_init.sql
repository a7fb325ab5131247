-- +goose Up
-- Times are integer microseconds UTC; boot_s is Asterisk's start in whole
-- seconds, 0 if unknown, which matches any. Empty text and 0 stand for null where the API shows null.

CREATE TABLE settings (
  key        TEXT PRIMARY KEY,
  value      TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  updated_by TEXT NOT NULL
) STRICT;

-- The master tenant is its own parent.
CREATE TABLE tenants (
  uuid        TEXT PRIMARY KEY,
  name        TEXT NOT NULL,
  parent_uuid TEXT NOT NULL REFERENCES tenants(uuid) DEFERRABLE INITIALLY DEFERRED,
  asterisk_id TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX tenants_master ON tenants((uuid = parent_uuid)) WHERE uuid = parent_uuid;
CREATE UNIQUE INDEX tenants_asterisk_id ON tenants(asterisk_id) WHERE asterisk_id <> '';

CREATE TABLE users (
  id                INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid              TEXT NOT NULL UNIQUE,
  tenant_uuid       TEXT NOT NULL REFERENCES tenants(uuid),
  first_name        TEXT NOT NULL,
  last_name         TEXT NOT NULL,
  user_field        TEXT NOT NULL,
  outgoing_internal INTEGER NOT NULL,
  outgoing_external INTEGER NOT NULL,
  incoming_internal INTEGER NOT NULL,
  incoming_external INTEGER NOT NULL,
  on_demand         INTEGER NOT NULL
) STRICT;

CREATE TABLE lines (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  user_uuid TEXT NOT NULL REFERENCES users(uuid) ON DELETE CASCADE,
  pos       INTEGER NOT NULL,
  endpoint  TEXT NOT NULL UNIQUE,
  exten     TEXT NOT NULL,
  context   TEXT NOT NULL,
  main      INTEGER NOT NULL
) STRICT;
CREATE INDEX lines_user ON lines(user_uuid, pos);

CREATE TABLE groups (
  id                 INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid               TEXT NOT NULL UNIQUE,
  tenant_uuid        TEXT NOT NULL REFERENCES tenants(uuid),
  name               TEXT NOT NULL,
  label              TEXT NOT NULL,
  exten              TEXT NOT NULL,
  context            TEXT NOT NULL,
  dtmf_record_toggle INTEGER NOT NULL
) STRICT;

CREATE TABLE queues (
  id                 INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid               TEXT NOT NULL UNIQUE,
  tenant_uuid        TEXT NOT NULL REFERENCES tenants(uuid),
  name               TEXT NOT NULL UNIQUE,
  label              TEXT NOT NULL,
  exten              TEXT NOT NULL,
  context            TEXT NOT NULL,
  dtmf_record_toggle INTEGER NOT NULL
) STRICT;

CREATE TABLE trunks (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid        TEXT NOT NULL UNIQUE,
  tenant_uuid TEXT NOT NULL REFERENCES tenants(uuid),
  name        TEXT NOT NULL,
  endpoint    TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE devices (
  endpoint TEXT PRIMARY KEY
) STRICT;

-- What the directory said, from when to when: audit and replay read the flags
-- that were in force. No foreign keys: it outlives what it describes.
CREATE TABLE directory_history (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  kind       TEXT NOT NULL,
  key        TEXT NOT NULL,
  valid_from INTEGER NOT NULL,
  valid_to   INTEGER,
  doc        TEXT NOT NULL CHECK (json_valid(doc)),
  CHECK (valid_to IS NULL OR valid_to >= valid_from)
) STRICT;
CREATE INDEX directory_history_key ON directory_history(kind, key, valid_from);
CREATE UNIQUE INDEX directory_history_current ON directory_history(kind, key) WHERE valid_to IS NULL;

-- One row per call. text columns are '' and line ids 0 when unknown.
CREATE TABLE cdrs (
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant_uuid    TEXT NOT NULL,
  start_at       INTEGER NOT NULL,
  end_at         INTEGER,
  answer_at      INTEGER,
  call_direction TEXT NOT NULL CHECK (call_direction IN ('', 'internal', 'inbound', 'outbound')),
  call_status    TEXT NOT NULL CHECK (call_status IN ('answered', 'unknown', 'voicemail', 'blocked')),
  conversation_id TEXT NOT NULL,
  destination_details TEXT NOT NULL CHECK (json_valid(destination_details)),
  destination_extension TEXT NOT NULL,
  destination_internal_context TEXT NOT NULL,
  destination_internal_extension TEXT NOT NULL,
  destination_name TEXT NOT NULL,
  destination_user_uuid TEXT NOT NULL,
  destination_line_id INTEGER NOT NULL,
  requested_name TEXT NOT NULL,
  requested_context TEXT NOT NULL,
  requested_extension TEXT NOT NULL,
  requested_internal_context TEXT NOT NULL,
  requested_internal_extension TEXT NOT NULL,
  requested_user_uuid TEXT NOT NULL,
  source_extension TEXT NOT NULL,
  source_internal_context TEXT NOT NULL,
  source_internal_name TEXT NOT NULL,
  source_internal_extension TEXT NOT NULL,
  source_name TEXT NOT NULL,
  source_user_uuid TEXT NOT NULL,
  source_line_id INTEGER NOT NULL,
  boot          INTEGER NOT NULL,
  journal_id    INTEGER NOT NULL,
  journal_first INTEGER NOT NULL,
  journal_last  INTEGER NOT NULL,
  source        TEXT NOT NULL CHECK (source IN ('journal', 'live')),
  saved_at      INTEGER NOT NULL
) STRICT;
-- call_status rides along so that counts need no look at the table.
CREATE INDEX cdrs_tenant_start ON cdrs(tenant_uuid, start_at, id, call_status);
CREATE INDEX cdrs_start ON cdrs(start_at, id);
CREATE INDEX cdrs_source_user ON cdrs(source_user_uuid, start_at) WHERE source_user_uuid <> '';
CREATE INDEX cdrs_destination_user ON cdrs(destination_user_uuid, start_at) WHERE destination_user_uuid <> '';
CREATE INDEX cdrs_conversation ON cdrs(conversation_id);

CREATE TABLE cdr_participants (
  cdr_id    INTEGER NOT NULL REFERENCES cdrs(id) ON DELETE CASCADE,
  pos       INTEGER NOT NULL,
  user_uuid TEXT NOT NULL,
  line_id   INTEGER NOT NULL,
  role      TEXT NOT NULL,
  answered  INTEGER NOT NULL,
  requested INTEGER NOT NULL,
  PRIMARY KEY (cdr_id, pos)
) STRICT, WITHOUT ROWID;
CREATE INDEX cdr_participants_user ON cdr_participants(user_uuid, cdr_id);

CREATE TABLE cdr_tags (
  cdr_id  INTEGER NOT NULL REFERENCES cdrs(id) ON DELETE CASCADE,
  pos     INTEGER NOT NULL,
  tag_pos INTEGER NOT NULL,
  tag     TEXT NOT NULL,
  PRIMARY KEY (cdr_id, pos, tag_pos)
) STRICT, WITHOUT ROWID;
CREATE INDEX cdr_tags_tag ON cdr_tags(tag, cdr_id);

CREATE TABLE cdr_linkedids (
  boot_s   INTEGER NOT NULL,
  linkedid TEXT NOT NULL,
  cdr_id   INTEGER NOT NULL REFERENCES cdrs(id) ON DELETE CASCADE,
  PRIMARY KEY (linkedid, boot_s)
) STRICT, WITHOUT ROWID;
CREATE INDEX cdr_linkedids_cdr ON cdr_linkedids(cdr_id);

CREATE TABLE cdr_uniqueids (
  boot_s   INTEGER NOT NULL,
  uniqueid TEXT NOT NULL,
  cdr_id   INTEGER NOT NULL REFERENCES cdrs(id) ON DELETE CASCADE,
  PRIMARY KEY (uniqueid, boot_s)
) STRICT, WITHOUT ROWID;
CREATE INDEX cdr_uniqueids_cdr ON cdr_uniqueids(cdr_id);

-- A dictionary of the distinct names and numbers, so that a substring search
-- reads a small index instead of every call.
CREATE TABLE party_texts (
  id   INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE
) STRICT;
CREATE VIRTUAL TABLE party_fts USING fts5(text, content='party_texts', content_rowid='id', tokenize='trigram');
-- +goose StatementBegin
CREATE TRIGGER party_texts_insert AFTER INSERT ON party_texts BEGIN
  INSERT INTO party_fts(rowid, text) VALUES (NEW.id, NEW.text);
END;
-- +goose StatementEnd
CREATE TABLE cdr_texts (
  text_id INTEGER NOT NULL REFERENCES party_texts(id),
  field   TEXT NOT NULL CHECK (field IN ('name', 'exten')),
  cdr_id  INTEGER NOT NULL REFERENCES cdrs(id) ON DELETE CASCADE,
  PRIMARY KEY (text_id, field, cdr_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX cdr_texts_cdr ON cdr_texts(cdr_id);

-- Counts that do not scan.
CREATE TABLE cdr_counts (
  tenant_uuid TEXT NOT NULL,
  call_status TEXT NOT NULL,
  n           INTEGER NOT NULL,
  PRIMARY KEY (tenant_uuid, call_status)
) STRICT, WITHOUT ROWID;
-- +goose StatementBegin
CREATE TRIGGER cdrs_count_insert AFTER INSERT ON cdrs BEGIN
  INSERT INTO cdr_counts VALUES (NEW.tenant_uuid, NEW.call_status, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER cdrs_count_delete AFTER DELETE ON cdrs BEGIN
  UPDATE cdr_counts SET n = n - 1 WHERE tenant_uuid = OLD.tenant_uuid AND call_status = OLD.call_status;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER cdrs_count_update AFTER UPDATE OF tenant_uuid, call_status ON cdrs
WHEN OLD.tenant_uuid <> NEW.tenant_uuid OR OLD.call_status <> NEW.call_status BEGIN
  UPDATE cdr_counts SET n = n - 1 WHERE tenant_uuid = OLD.tenant_uuid AND call_status = OLD.call_status;
  INSERT INTO cdr_counts VALUES (NEW.tenant_uuid, NEW.call_status, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd

-- tenant_uuid has no foreign key: a recording must never be refused its row.
CREATE TABLE recordings (
  uuid          TEXT PRIMARY KEY,
  tenant_uuid   TEXT NOT NULL,
  boot          INTEGER NOT NULL,
  boot_s        INTEGER NOT NULL GENERATED ALWAYS AS (boot / 1000000) VIRTUAL,
  hook          TEXT NOT NULL,
  hook_name     TEXT NOT NULL,
  mixmonitor_id TEXT NOT NULL,
  follows       TEXT NOT NULL,
  state         TEXT NOT NULL CHECK (state IN ('starting', 'recording', 'paused', 'closing',
                  'ready', 'empty', 'interrupted', 'missing', 'deleted')),
  cause         TEXT NOT NULL,
  detail        TEXT NOT NULL,
  claims        TEXT NOT NULL CHECK (json_valid(claims)),
  intent_at     INTEGER NOT NULL,
  started_at    INTEGER,
  ended_at      INTEGER,
  silent        INTEGER NOT NULL,
  bytes         INTEGER NOT NULL,
  samples       INTEGER NOT NULL,
  rate          INTEGER NOT NULL,
  sha256        TEXT NOT NULL,
  cdr_id        INTEGER REFERENCES cdrs(id) ON DELETE SET NULL
) STRICT;
CREATE INDEX recordings_open ON recordings(intent_at)
  WHERE state IN ('starting', 'recording', 'paused', 'closing');
CREATE INDEX recordings_hook ON recordings(hook, boot_s);
CREATE INDEX recordings_cdr ON recordings(cdr_id);
CREATE INDEX recordings_tenant ON recordings(tenant_uuid, intent_at);

CREATE TABLE recording_legs (
  recording_uuid TEXT NOT NULL REFERENCES recordings(uuid) ON DELETE CASCADE,
  pos            INTEGER NOT NULL,
  boot_s         INTEGER NOT NULL,
  leg            TEXT NOT NULL,
  PRIMARY KEY (recording_uuid, pos)
) STRICT, WITHOUT ROWID;
CREATE INDEX recording_legs_leg ON recording_legs(leg, boot_s);

CREATE TABLE recording_parties (
  recording_uuid TEXT NOT NULL REFERENCES recordings(uuid) ON DELETE CASCADE,
  pos            INTEGER NOT NULL,
  leg            TEXT NOT NULL,
  user_uuid      TEXT NOT NULL,
  endpoint       TEXT NOT NULL,
  from_at        INTEGER NOT NULL,
  to_at          INTEGER,
  PRIMARY KEY (recording_uuid, pos)
) STRICT, WITHOUT ROWID;
CREATE INDEX recording_parties_user ON recording_parties(user_uuid, from_at);

CREATE TABLE recording_pauses (
  id             INTEGER PRIMARY KEY,
  recording_uuid TEXT NOT NULL REFERENCES recordings(uuid) ON DELETE CASCADE,
  owner          TEXT NOT NULL,
  from_at        INTEGER NOT NULL,
  to_at          INTEGER
) STRICT;
CREATE UNIQUE INDEX recording_pauses_open ON recording_pauses(recording_uuid) WHERE to_at IS NULL;
CREATE INDEX recording_pauses_recording ON recording_pauses(recording_uuid, from_at);

-- Append-only (design 8): what happened is never rewritten.
CREATE TABLE events (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  at        INTEGER NOT NULL,
  kind      TEXT NOT NULL,
  recording TEXT NOT NULL,
  call      TEXT NOT NULL,
  actor     TEXT NOT NULL,
  data      TEXT NOT NULL CHECK (json_valid(data))
) STRICT;
CREATE INDEX events_at ON events(at);
CREATE INDEX events_recording ON events(recording) WHERE recording <> '';
CREATE INDEX events_call ON events(call) WHERE call <> '';
-- +goose StatementBegin
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN
  SELECT RAISE(ABORT, 'events are append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN
  SELECT RAISE(ABORT, 'events are append-only');
END;
-- +goose StatementEnd
-- INSERT OR REPLACE would delete without firing the trigger above.
-- +goose StatementBegin
CREATE TRIGGER events_no_replace BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'events are append-only');
END;
-- +goose StatementEnd

CREATE TABLE tokens (
  id          TEXT PRIMARY KEY,
  hash        TEXT NOT NULL UNIQUE,
  tenant_uuid TEXT NOT NULL REFERENCES tenants(uuid),
  auth_id     TEXT NOT NULL,
  user_uuid   TEXT NOT NULL,
  description TEXT NOT NULL,
  acl         TEXT NOT NULL CHECK (json_valid(acl)),
  created_at  INTEGER NOT NULL,
  expires_at  INTEGER
) STRICT;

-- All journal rows up to position are consumed.
CREATE TABLE checkpoints (
  journal    INTEGER PRIMARY KEY,
  position   INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
