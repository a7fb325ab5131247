-- +goose Up
-- Recordings that are missing although their file was measured once: a file that
-- turns up elsewhere is recognised by its hash.
CREATE INDEX recordings_lost ON recordings(uuid) WHERE state = 'missing' AND sha256 <> '';
