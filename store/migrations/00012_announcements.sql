-- +goose Up
-- The sounds that tell the parties of a tenant's recordings that one begins or
-- ends (docs/announcements.md). Empty: the usual beep.

ALTER TABLE tenants ADD COLUMN announce_start TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN announce_stop TEXT NOT NULL DEFAULT '';
