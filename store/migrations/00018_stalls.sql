-- +goose Up
-- Times in which Asterisk stood still are among the outages.
DROP INDEX events_outages;
CREATE INDEX events_outages ON events(at, id) WHERE kind IN ('daemon_started', 'daemon_stopped', 'asterisk_seen',
  'asterisk_unseen', 'manager_seen', 'manager_unseen', 'journal_gap', 'journal_stalled', 'journal_resumed', 'clock_jumped', 'alarm_raised', 'alarm_cleared', 'asterisk_stalled');
