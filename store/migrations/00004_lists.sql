-- +goose Up
-- Lists of CDRs that stay fast at ten million rows. Everything here is derived
-- from cdrs, its children and recordings, and kept by triggers, so that no way
-- of writing can forget it.
--
-- A facet is a number for what is filtered by equality:
-- direction * 8 + status * 2 + recorded.

DROP TRIGGER cdrs_count_insert;
DROP TRIGGER cdrs_count_delete;
DROP TRIGGER cdrs_count_update;
DROP TABLE cdr_counts;
DROP TABLE cdr_texts;
DROP TABLE party_fts;
DROP TABLE party_texts;
DROP INDEX cdr_participants_user;
DROP INDEX cdr_tags_tag;
DROP INDEX cdrs_source_user;
DROP INDEX cdrs_destination_user;
DROP INDEX cdrs_start;
DROP INDEX cdrs_tenant_start;
CREATE INDEX cdrs_tenant_start ON cdrs(tenant_uuid, start_at);

-- Short names of tenants, which keep the indexes small.
CREATE TABLE cdr_tenants (
  no   INTEGER PRIMARY KEY,
  uuid TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO cdr_tenants (uuid) SELECT DISTINCT tenant_uuid FROM cdrs;

-- A dictionary of the distinct texts by which calls are found.
CREATE TABLE cdr_terms (
  id   INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL, -- 1 name, 2 extension, 3 user, 4 participant, 5 tag, 6 and 7 requested_internal_*, 8 extension of a peer
  text TEXT NOT NULL,
  UNIQUE (kind, text)
) STRICT;
CREATE VIRTUAL TABLE cdr_terms_fts USING fts5(text, content='cdr_terms', content_rowid='id', tokenize='trigram');
-- +goose StatementBegin
CREATE TRIGGER cdr_terms_insert AFTER INSERT ON cdr_terms WHEN NEW.kind <= 2 BEGIN
  INSERT INTO cdr_terms_fts(rowid, text) VALUES (NEW.id, NEW.text);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER cdr_terms_delete AFTER DELETE ON cdr_terms WHEN OLD.kind <= 2 BEGIN
  INSERT INTO cdr_terms_fts(cdr_terms_fts, rowid, text) VALUES ('delete', OLD.id, OLD.text);
END;
-- +goose StatementEnd

ALTER TABLE cdrs ADD COLUMN tenant_no INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cdrs ADD COLUMN facet INTEGER NOT NULL DEFAULT 0;
-- JSON lists: ids of terms, and of peers.
ALTER TABLE cdrs ADD COLUMN terms TEXT NOT NULL DEFAULT '[]';
ALTER TABLE cdrs ADD COLUMN peers TEXT NOT NULL DEFAULT '[]';

-- Which calls have a term, by start. Term 0 has those that distinct=peer_exten keeps.
CREATE TABLE cdr_postings (
  term_id   INTEGER NOT NULL,
  tenant_no INTEGER NOT NULL,
  start_at  INTEGER NOT NULL,
  cdr_id    INTEGER NOT NULL,
  facet     INTEGER NOT NULL,
  PRIMARY KEY (term_id, tenant_no, start_at, cdr_id)
) STRICT, WITHOUT ROWID;

-- The calls of each user with each peer, of which distinct=peer_exten keeps the
-- newest. A peer is the term of the user * 2^32 + the term of the extension.
CREATE TABLE cdr_peers (
  peer   INTEGER NOT NULL,
  cdr_id INTEGER NOT NULL,
  PRIMARY KEY (peer, cdr_id)
) STRICT, WITHOUT ROWID;

-- How many calls began in a bucket of 16^level days since the year 1.
CREATE TABLE cdr_sums (
  level     INTEGER NOT NULL,
  tenant_no INTEGER NOT NULL,
  bucket    INTEGER NOT NULL,
  facet     INTEGER NOT NULL,
  n         INTEGER NOT NULL,
  PRIMARY KEY (level, tenant_no, bucket, facet)
) STRICT, WITHOUT ROWID;

-- While many calls are stored in one transaction: 0 and their ids. What is
-- derived from them is stored at its end, sorted, which is much faster.
CREATE TABLE cdr_bulk (
  cdr_id INTEGER PRIMARY KEY
) STRICT;

-- What is there already.
INSERT INTO cdr_terms (kind, text)
  SELECT 1, source_name FROM cdrs WHERE source_name <> ''
  UNION SELECT 1, destination_name FROM cdrs WHERE destination_name <> ''
  UNION SELECT 2, source_extension FROM cdrs WHERE source_extension <> ''
  UNION SELECT 2, destination_extension FROM cdrs WHERE destination_extension <> ''
  UNION SELECT 3, source_user_uuid FROM cdrs WHERE source_user_uuid <> ''
  UNION SELECT 3, destination_user_uuid FROM cdrs WHERE destination_user_uuid <> ''
  UNION SELECT 4, user_uuid FROM cdr_participants WHERE user_uuid <> ''
  UNION SELECT 5, tag FROM cdr_tags
  UNION SELECT 6, requested_internal_extension FROM cdrs WHERE requested_internal_extension <> ''
  UNION SELECT 7, requested_internal_context FROM cdrs WHERE requested_internal_context <> ''
  UNION SELECT 8, iif(p.role = 'source', c.requested_extension, c.source_extension) AS peer
    FROM cdr_participants p JOIN cdrs c ON c.id = p.cdr_id WHERE peer <> '';
UPDATE cdrs SET
  tenant_no = (SELECT no FROM cdr_tenants WHERE uuid = tenant_uuid),
  facet = CASE call_direction WHEN 'internal' THEN 8 WHEN 'inbound' THEN 16 WHEN 'outbound' THEN 24 ELSE 0 END
    + CASE call_status WHEN 'answered' THEN 2 WHEN 'voicemail' THEN 4 WHEN 'blocked' THEN 6 ELSE 0 END
    + EXISTS (SELECT 1 FROM recordings WHERE cdr_id = cdrs.id),
  terms = (SELECT json_group_array(id) FROM cdr_terms WHERE (kind, text) IN (
    VALUES (1, source_name), (1, destination_name), (2, source_extension), (2, destination_extension),
      (3, source_user_uuid), (3, destination_user_uuid), (6, requested_internal_extension), (7, requested_internal_context)
    UNION SELECT 4, user_uuid FROM cdr_participants WHERE cdr_id = cdrs.id
    UNION SELECT 5, tag FROM cdr_tags WHERE cdr_id = cdrs.id)),
  peers = (SELECT json_group_array(peer) FROM (SELECT DISTINCT
      coalesce((SELECT id FROM cdr_terms WHERE kind = 4 AND text = user_uuid), 0) << 32
      | coalesce((SELECT id FROM cdr_terms WHERE kind = 8 AND text = iif(role = 'source', requested_extension, source_extension)), 0) AS peer
    FROM cdr_participants WHERE cdr_id = cdrs.id));
INSERT INTO cdr_postings SELECT t.value, tenant_no, start_at, cdrs.id, facet FROM cdrs, json_each(terms) t;
INSERT INTO cdr_peers SELECT p.value, cdrs.id FROM cdrs, json_each(peers) p;
INSERT INTO cdr_postings SELECT 0, tenant_no, start_at, id, facet FROM cdrs
  WHERE id IN (SELECT max(cdr_id) FROM cdr_peers GROUP BY peer);
INSERT INTO cdr_sums
  SELECT l.value, tenant_no, ((start_at + 62135596800000000) / 86400000000) >> (4 * l.value) AS bucket, facet, count(*)
  FROM cdrs, json_each('[0,1,2,3]') l GROUP BY l.value, tenant_no, bucket, facet;

CREATE INDEX cdrs_tenant_facet ON cdrs(tenant_no, facet, start_at, id);
CREATE INDEX cdrs_facet ON cdrs(facet, start_at, id, tenant_no);

-- In triggers NOT EXISTS stands for OR IGNORE, which a statement that fires
-- them can overrule.

-- A CDR that no list could show would be worse than none.
-- +goose StatementBegin
CREATE TRIGGER cdrs_findable BEFORE INSERT ON cdrs WHEN NEW.tenant_no = 0 BEGIN
  SELECT RAISE(ABORT, 'a CDR needs tenant_no, facet, terms and peers');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER cdrs_bulk AFTER INSERT ON cdrs WHEN EXISTS (SELECT 1 FROM cdr_bulk WHERE cdr_id = 0) BEGIN
  INSERT INTO cdr_bulk VALUES (NEW.id);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER cdrs_listed AFTER INSERT ON cdrs WHEN NOT EXISTS (SELECT 1 FROM cdr_bulk WHERE cdr_id = 0) BEGIN
  INSERT INTO cdr_sums VALUES
    (0, NEW.tenant_no, (NEW.start_at + 62135596800000000) / 86400000000, NEW.facet, 1),
    (1, NEW.tenant_no, (NEW.start_at + 62135596800000000) / 86400000000 >> 4, NEW.facet, 1),
    (2, NEW.tenant_no, (NEW.start_at + 62135596800000000) / 86400000000 >> 8, NEW.facet, 1),
    (3, NEW.tenant_no, (NEW.start_at + 62135596800000000) / 86400000000 >> 12, NEW.facet, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
  INSERT INTO cdr_postings SELECT value, NEW.tenant_no, NEW.start_at, NEW.id, NEW.facet FROM json_each(NEW.terms);
  INSERT INTO cdr_peers SELECT value, NEW.id FROM json_each(NEW.peers);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER cdrs_unlisted AFTER DELETE ON cdrs WHEN NOT EXISTS (SELECT 1 FROM cdr_bulk WHERE cdr_id = OLD.id) BEGIN
  UPDATE cdr_sums SET n = n - 1
    WHERE tenant_no = OLD.tenant_no AND facet = OLD.facet AND (level, bucket) IN (
      SELECT value, ((OLD.start_at + 62135596800000000) / 86400000000) >> (4 * value) FROM json_each('[0,1,2,3]'));
  DELETE FROM cdr_postings WHERE term_id IN (SELECT 0 UNION ALL SELECT value FROM json_each(OLD.terms))
    AND tenant_no = OLD.tenant_no AND start_at = OLD.start_at AND cdr_id = OLD.id;
  DELETE FROM cdr_peers WHERE peer IN (SELECT value FROM json_each(OLD.peers)) AND cdr_id = OLD.id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER cdrs_relisted AFTER UPDATE ON cdrs
WHEN (OLD.tenant_no <> NEW.tenant_no OR OLD.start_at <> NEW.start_at OR OLD.terms <> NEW.terms OR OLD.peers <> NEW.peers)
  AND NOT EXISTS (SELECT 1 FROM cdr_bulk WHERE cdr_id = OLD.id) BEGIN
  UPDATE cdr_sums SET n = n - 1
    WHERE tenant_no = OLD.tenant_no AND facet = OLD.facet AND (level, bucket) IN (
      SELECT value, ((OLD.start_at + 62135596800000000) / 86400000000) >> (4 * value) FROM json_each('[0,1,2,3]'));
  INSERT INTO cdr_sums
    SELECT value, NEW.tenant_no, ((NEW.start_at + 62135596800000000) / 86400000000) >> (4 * value), NEW.facet, 1
    FROM json_each('[0,1,2,3]') WHERE true ON CONFLICT DO UPDATE SET n = n + 1;
  DELETE FROM cdr_postings WHERE term_id IN (SELECT 0 UNION ALL SELECT value FROM json_each(OLD.terms))
    AND tenant_no = OLD.tenant_no AND start_at = OLD.start_at AND cdr_id = OLD.id;
  INSERT INTO cdr_postings SELECT value, NEW.tenant_no, NEW.start_at, NEW.id, NEW.facet FROM json_each(NEW.terms);
  DELETE FROM cdr_peers WHERE peer IN (SELECT value FROM json_each(OLD.peers)) AND cdr_id = OLD.id;
  INSERT INTO cdr_peers SELECT value, NEW.id FROM json_each(NEW.peers);
END;
-- +goose StatementEnd
-- A recording that comes or goes, and nothing else, changes only the facet.
-- +goose StatementBegin
CREATE TRIGGER cdrs_refaceted AFTER UPDATE OF facet ON cdrs
WHEN OLD.facet <> NEW.facet AND OLD.tenant_no = NEW.tenant_no AND OLD.start_at = NEW.start_at AND OLD.terms = NEW.terms
  AND OLD.peers = NEW.peers AND NOT EXISTS (SELECT 1 FROM cdr_bulk WHERE cdr_id = OLD.id) BEGIN
  UPDATE cdr_sums SET n = n - 1
    WHERE tenant_no = OLD.tenant_no AND facet = OLD.facet AND (level, bucket) IN (
      SELECT value, ((OLD.start_at + 62135596800000000) / 86400000000) >> (4 * value) FROM json_each('[0,1,2,3]'));
  INSERT INTO cdr_sums
    SELECT value, NEW.tenant_no, ((NEW.start_at + 62135596800000000) / 86400000000) >> (4 * value), NEW.facet, 1
    FROM json_each('[0,1,2,3]') WHERE true ON CONFLICT DO UPDATE SET n = n + 1;
  UPDATE cdr_postings SET facet = NEW.facet WHERE term_id IN (SELECT 0 UNION ALL SELECT value FROM json_each(NEW.terms))
    AND tenant_no = NEW.tenant_no AND start_at = NEW.start_at AND cdr_id = NEW.id;
END;
-- +goose StatementEnd
-- A newer call with a peer takes the place of the one before; when it goes, that
-- one has it again.
-- +goose StatementBegin
CREATE TRIGGER cdr_peers_insert AFTER INSERT ON cdr_peers WHEN NOT EXISTS (SELECT 1 FROM cdr_bulk WHERE cdr_id = NEW.cdr_id) BEGIN
  DELETE FROM cdr_postings WHERE term_id = 0 AND (tenant_no, start_at, cdr_id) = (
    SELECT tenant_no, start_at, id FROM cdrs c
    WHERE id = (SELECT max(cdr_id) FROM cdr_peers WHERE peer = NEW.peer AND cdr_id < NEW.cdr_id)
    AND NOT EXISTS (SELECT 1 FROM json_each(c.peers) p WHERE (SELECT max(cdr_id) FROM cdr_peers WHERE peer = p.value) = c.id));
  INSERT INTO cdr_postings SELECT 0, tenant_no, start_at, id, facet FROM cdrs c WHERE id = NEW.cdr_id
    AND (SELECT max(cdr_id) FROM cdr_peers WHERE peer = NEW.peer) = NEW.cdr_id
    AND NOT EXISTS (SELECT 1 FROM cdr_postings WHERE term_id = 0 AND tenant_no = c.tenant_no AND start_at = c.start_at AND cdr_id = c.id);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER cdr_peers_delete AFTER DELETE ON cdr_peers BEGIN
  INSERT INTO cdr_postings SELECT 0, tenant_no, start_at, id, facet FROM cdrs c
    WHERE id = (SELECT max(cdr_id) FROM cdr_peers WHERE peer = OLD.peer) AND id < OLD.cdr_id
    AND NOT EXISTS (SELECT 1 FROM cdr_postings WHERE term_id = 0 AND tenant_no = c.tenant_no AND start_at = c.start_at AND cdr_id = c.id);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER recordings_of_cdr_insert AFTER INSERT ON recordings WHEN NEW.cdr_id IS NOT NULL BEGIN
  UPDATE cdrs SET facet = facet + 1 WHERE id = NEW.cdr_id AND facet % 2 = 0;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER recordings_of_cdr_update AFTER UPDATE OF cdr_id ON recordings WHEN OLD.cdr_id IS NOT NEW.cdr_id BEGIN
  UPDATE cdrs SET facet = facet + 1 WHERE id = NEW.cdr_id AND facet % 2 = 0;
  UPDATE cdrs SET facet = facet - 1 WHERE id = OLD.cdr_id AND facet % 2 = 1
    AND NOT EXISTS (SELECT 1 FROM recordings WHERE cdr_id = OLD.cdr_id);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER recordings_of_cdr_delete AFTER DELETE ON recordings WHEN OLD.cdr_id IS NOT NULL BEGIN
  UPDATE cdrs SET facet = facet - 1 WHERE id = OLD.cdr_id AND facet % 2 = 1
    AND NOT EXISTS (SELECT 1 FROM recordings WHERE cdr_id = OLD.cdr_id);
END;
-- +goose StatementEnd
