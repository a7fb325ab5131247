-- +goose Up
-- What groups, queues and trunks say before the users' rules (docs/rules.md).

ALTER TABLE groups ADD COLUMN auto_record TEXT NOT NULL DEFAULT 'inherit'
  CHECK (auto_record IN ('inherit', 'always', 'never'));
ALTER TABLE queues ADD COLUMN auto_record TEXT NOT NULL DEFAULT 'inherit'
  CHECK (auto_record IN ('inherit', 'always', 'never'));
ALTER TABLE trunks ADD COLUMN auto_record TEXT NOT NULL DEFAULT 'inherit'
  CHECK (auto_record IN ('inherit', 'always', 'never'));
