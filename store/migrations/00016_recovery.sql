-- +goose Up
-- What following Asterisk's journal needs to recognise one that is no longer the
-- same: the last row read (mark), and the order of saving (seq), which does not
-- depend on the clock.

ALTER TABLE checkpoints ADD COLUMN mark TEXT NOT NULL DEFAULT '';
ALTER TABLE checkpoints ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;

-- CDRs from Asterisk's events alone are few. They are looked for with each CDR.
CREATE INDEX cdrs_live ON cdrs(id) WHERE source = 'live';

-- Whether the directory has changed since a call, and recordings whose header
-- is still to be repaired.
CREATE INDEX directory_history_from ON directory_history(valid_from);
CREATE INDEX directory_history_to ON directory_history(valid_to) WHERE valid_to IS NOT NULL;
CREATE INDEX recordings_unclosed ON recordings(uuid) WHERE state = 'interrupted' AND cause = 'header_unset';
