-- +goose Up
-- Who asked for a pause, how it was made, and what was found in the closed
-- file: '' not looked at yet; loudest is the largest absolute sample of 32768.

ALTER TABLE recording_pauses ADD COLUMN actor TEXT NOT NULL DEFAULT '';
ALTER TABLE recording_pauses ADD COLUMN cut INTEGER NOT NULL DEFAULT 0;
ALTER TABLE recording_pauses ADD COLUMN silence TEXT NOT NULL DEFAULT ''
  CHECK (silence IN ('', 'silent', 'not_silent', 'cut', 'unchecked'));
ALTER TABLE recording_pauses ADD COLUMN loudest INTEGER NOT NULL DEFAULT 0;

DROP INDEX recording_pauses_recording;
CREATE UNIQUE INDEX recording_pauses_recording ON recording_pauses(recording_uuid, from_at);
