-- +goose Up
-- Feature extensions, such as *26. The directory makes the rows.

CREATE TABLE features (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid    TEXT NOT NULL UNIQUE,
  name    TEXT NOT NULL UNIQUE,
  exten   TEXT NOT NULL UNIQUE,
  enabled INTEGER NOT NULL
) STRICT;
