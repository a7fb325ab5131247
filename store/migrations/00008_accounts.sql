-- +goose Up
-- Accounts, what they may do, and how they stay logged in. Empty text stands for null.

CREATE TABLE accounts (
  uuid        TEXT PRIMARY KEY,
  tenant_uuid TEXT NOT NULL REFERENCES tenants(uuid),
  username    TEXT NOT NULL,
  first_name  TEXT NOT NULL,
  last_name   TEXT NOT NULL,
  email       TEXT NOT NULL,
  email_uuid  TEXT NOT NULL,
  purpose     TEXT NOT NULL CHECK (purpose IN ('user', 'internal', 'external_api')),
  method      TEXT NOT NULL,
  enabled     INTEGER NOT NULL,
  password    TEXT NOT NULL,
  created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX accounts_tenant ON accounts(tenant_uuid);

CREATE TABLE policies (
  uuid        TEXT PRIMARY KEY,
  tenant_uuid TEXT NOT NULL REFERENCES tenants(uuid),
  name        TEXT NOT NULL,
  slug        TEXT NOT NULL,
  description TEXT NOT NULL,
  acl         TEXT NOT NULL CHECK (json_valid(acl)),
  managed     INTEGER NOT NULL,
  UNIQUE (tenant_uuid, name),
  UNIQUE (tenant_uuid, slug)
) STRICT;

CREATE TABLE account_policies (
  account_uuid TEXT NOT NULL REFERENCES accounts(uuid) ON DELETE CASCADE,
  policy_uuid  TEXT NOT NULL REFERENCES policies(uuid) ON DELETE CASCADE,
  PRIMARY KEY (account_uuid, policy_uuid)
) STRICT, WITHOUT ROWID;
CREATE INDEX account_policies_policy ON account_policies(policy_uuid);

-- The hash of a refresh token; with the nonce and a key that is not here, the
-- same client gets the same one again.
CREATE TABLE refresh_tokens (
  hash         TEXT NOT NULL UNIQUE,
  nonce        TEXT NOT NULL,
  account_uuid TEXT NOT NULL REFERENCES accounts(uuid) ON DELETE CASCADE,
  client_id    TEXT NOT NULL,
  login        TEXT NOT NULL,
  mobile       INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  PRIMARY KEY (account_uuid, client_id)
) STRICT, WITHOUT ROWID;

-- A token of an account is a session; purpose is empty for tokens made on the host.
ALTER TABLE tokens ADD COLUMN purpose TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN client_id TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN remote_addr TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN user_agent TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN mobile INTEGER NOT NULL DEFAULT 0;
CREATE INDEX tokens_auth ON tokens(auth_id);
CREATE INDEX tokens_user ON tokens(user_uuid) WHERE user_uuid <> '';
CREATE INDEX tokens_expires ON tokens(expires_at) WHERE expires_at IS NOT NULL;

-- What else Wazo's JSON has of a tenant: an object of texts.
ALTER TABLE tenants ADD COLUMN slug TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN details TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(details));
CREATE UNIQUE INDEX tenants_slug ON tenants(slug) WHERE slug <> '';
