-- +goose Up
-- What is kept and for how long: exports, removal of media, retention, legal
-- holds, and what was imported.

-- email and link are '' if nobody is to be told; mail: '' nothing to send.
CREATE TABLE exports (
  uuid         TEXT PRIMARY KEY,
  tenant_uuid  TEXT NOT NULL,
  user_uuid    TEXT NOT NULL,
  requested_at INTEGER NOT NULL,
  requested_by TEXT NOT NULL,
  status       TEXT NOT NULL CHECK (status IN ('pending', 'processing', 'finished', 'error')),
  cause        TEXT NOT NULL,
  files        INTEGER NOT NULL,
  bytes        INTEGER NOT NULL,
  missing      INTEGER NOT NULL,
  attempts     INTEGER NOT NULL,
  email        TEXT NOT NULL,
  link         TEXT NOT NULL,
  mail         TEXT NOT NULL CHECK (mail IN ('', 'due', 'sent', 'failed')),
  mail_tries   INTEGER NOT NULL,
  mail_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX exports_tenant ON exports(tenant_uuid, requested_at);
CREATE INDEX exports_open ON exports(requested_at) WHERE status IN ('pending', 'processing');
CREATE INDEX exports_mail ON exports(mail_at) WHERE mail = 'due';

-- What an export shall contain. Rows are written before that of the export, in
-- small pieces; those of an export that never came to be are swept.
CREATE TABLE export_items (
  export_uuid    TEXT NOT NULL,
  pos            INTEGER NOT NULL,
  recording_uuid TEXT NOT NULL,
  cdr_id         INTEGER NOT NULL,
  PRIMARY KEY (export_uuid, pos)
) STRICT, WITHOUT ROWID;

-- Files that must still be unlinked: the recording says deleted already, and
-- becomes again what it was if that cannot be done.
CREATE TABLE removals (
  recording_uuid TEXT PRIMARY KEY REFERENCES recordings(uuid),
  was            TEXT NOT NULL,
  actor          TEXT NOT NULL,
  why            TEXT NOT NULL,
  asked_at       INTEGER NOT NULL
) STRICT;

-- NULL: the default of the configuration. 0: never.
CREATE TABLE retention (
  tenant_uuid    TEXT PRIMARY KEY,
  cdr_days       INTEGER CHECK (cdr_days >= 0),
  export_days    INTEGER CHECK (export_days >= 0),
  recording_days INTEGER CHECK (recording_days >= 0),
  updated_at     INTEGER NOT NULL,
  updated_by     TEXT NOT NULL
) STRICT;

-- No cascade on purpose: a held CDR cannot be deleted, by no mistake.
CREATE TABLE cdr_holds (
  cdr_id  INTEGER PRIMARY KEY REFERENCES cdrs(id),
  reason  TEXT NOT NULL,
  held_at INTEGER NOT NULL,
  held_by TEXT NOT NULL
) STRICT;

-- Fingerprints of imported calls that have no id of their own.
CREATE TABLE cdr_imports (
  key    BLOB PRIMARY KEY,
  cdr_id INTEGER NOT NULL REFERENCES cdrs(id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX cdr_imports_cdr ON cdr_imports(cdr_id);

-- Recordings whose audio may be due for removal.
CREATE INDEX recordings_media ON recordings(tenant_uuid, intent_at, uuid)
  WHERE state IN ('ready', 'empty', 'interrupted', 'missing');
