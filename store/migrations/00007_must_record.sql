-- +goose Up
-- Whose calls Asterisk records by itself while the daemon is away.

ALTER TABLE users ADD COLUMN must_record INTEGER NOT NULL DEFAULT 0;
