-- +goose Up
-- What a new daemon cannot learn from Asterisk about the legs that live: role,
-- via, claims by *3 and API, stops and pauses (design 8). A row comes with the
-- leg's first decision and goes with its channel, so there are only as many as
-- there are calls.

CREATE TABLE live_legs (
  leg  TEXT PRIMARY KEY,
  boot INTEGER NOT NULL,
  doc  TEXT NOT NULL CHECK (json_valid(doc))
) STRICT, WITHOUT ROWID;
