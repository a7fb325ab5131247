-- +goose Up
-- Who is told of events over HTTP, and what is on its way to them.

-- since is the last event before the subscription: it is told of later ones.
-- The secret signs deliveries and cannot be a hash.
CREATE TABLE webhooks (
  uuid             TEXT PRIMARY KEY,
  tenant_uuid      TEXT NOT NULL REFERENCES tenants(uuid) ON DELETE CASCADE,
  owner_user_uuid  TEXT NOT NULL,
  name             TEXT NOT NULL,
  config           TEXT NOT NULL CHECK (json_valid(config)),
  events           TEXT NOT NULL CHECK (json_valid(events)),
  events_user_uuid TEXT NOT NULL,
  recurse          INTEGER NOT NULL,
  metadata         TEXT NOT NULL CHECK (json_valid(metadata)),
  acl              TEXT NOT NULL CHECK (json_valid(acl)),
  auth_id          TEXT NOT NULL,
  secret           TEXT NOT NULL,
  since            INTEGER NOT NULL,
  created_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX webhooks_tenant ON webhooks(tenant_uuid);

-- In the order of id for each webhook. payload is the whole event.
CREATE TABLE webhook_deliveries (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid         TEXT NOT NULL UNIQUE,
  webhook_uuid TEXT NOT NULL REFERENCES webhooks(uuid) ON DELETE CASCADE,
  event        TEXT NOT NULL,
  payload      TEXT NOT NULL CHECK (json_valid(payload)),
  state        TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
  attempts     INTEGER NOT NULL,
  next_at      INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  started_at   INTEGER,
  ended_at     INTEGER,
  status       INTEGER NOT NULL,
  detail       TEXT NOT NULL
) STRICT;
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries(webhook_uuid, id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries(webhook_uuid, id);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries(ended_at) WHERE state <> 'pending';

-- All events up to position have their deliveries.
CREATE TABLE webhook_cursor (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  position INTEGER NOT NULL
) STRICT;
INSERT INTO webhook_cursor SELECT 1, coalesce(max(id), 0) FROM events;
