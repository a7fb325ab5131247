-- +goose Up
-- When the parties of a call talked, as the journal told it when the call's CDR
-- was derived: the journal does not keep its rows. doc is written by store/talks.go.

CREATE TABLE cdr_talks (
  cdr_id INTEGER PRIMARY KEY REFERENCES cdrs(id) ON DELETE CASCADE,
  doc    TEXT NOT NULL CHECK (json_valid(doc))
) STRICT;

-- What the last audits found, a row for each tenant and period.
CREATE TABLE audits (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant_uuid TEXT NOT NULL,
  since_at    INTEGER NOT NULL,
  until_at    INTEGER NOT NULL,
  finished_at INTEGER NOT NULL,
  doc         TEXT NOT NULL CHECK (json_valid(doc))
) STRICT;
CREATE INDEX audits_tenant ON audits(tenant_uuid, finished_at);

-- When the daemon was alive last: of one that was killed nothing else tells.
CREATE TABLE daemon_alive (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  at  INTEGER NOT NULL
) STRICT;

-- Few of many events: those of which outages are made (audit.OutageKinds).
CREATE INDEX events_outages ON events(at, id) WHERE kind IN ('daemon_started', 'daemon_stopped', 'asterisk_seen',
  'asterisk_unseen', 'manager_seen', 'manager_unseen', 'journal_gap', 'journal_stalled', 'journal_resumed', 'clock_jumped', 'alarm_raised', 'alarm_cleared');
