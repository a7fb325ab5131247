package store

import (
	"database/sql"
	"fmt"

	"callrecordd/internal/cdr"
)

// SaveManyCDRs saves CDRs as SaveCDR does, many times faster if there are
// thousands of them, and without entries of the ledger: it is for those who fill
// databases with made-up calls. It returns their ids. All other writes wait meanwhile.
func (t *Tx) SaveManyCDRs(cdrs []cdr.CDR) (ids []int64, err error) {
	if ids, err = t.saveManyCDRs(cdrs); err != nil {
		return nil, fmt.Errorf("save many cdrs: %w", err)
	}
	return ids, nil
}

func (t *Tx) saveManyCDRs(cdrs []cdr.CDR) (ids []int64, err error) {
	if err := t.beginBulk(); err != nil {
		return nil, err
	}
	seen, err := t.knownLinkedIDs(cdrs)
	if err != nil {
		return nil, err
	}
	if err := t.prepareTerms(func(yield func(*cdr.CDR) bool) {
		for i := range cdrs {
			if !yield(&cdrs[i]) {
				return
			}
		}
	}); err != nil {
		return nil, err
	}
	for i := range cdrs {
		c := &cdrs[i]
		isNew := true
		for _, id := range c.LinkedIDs {
			isNew = isNew && !seen[id]
			seen[id] = true
		}
		var id int64
		if isNew {
			id, err = t.saveNewCDR(c, false)
		} else {
			id, _, err = t.saveCDR(c)
		}
		if err != nil {
			return nil, fmt.Errorf("call %s: %w", c.ConversationID, err)
		}
		ids = append(ids, id)
	}
	return ids, t.endBulk(false)
}

// beginBulk keeps the triggers of the migration 00004 from deriving anything
// until endBulk does it for all new CDRs together. Nothing may be read of what
// they derive meanwhile.
func (t *Tx) beginBulk() error { return t.exec("INSERT INTO cdr_bulk VALUES (0)") }

// endBulk notes in the ledger which recordings were attached, if it is told to.
func (t *Tx) endBulk(note bool) error {
	// Of two CDRs that became one, one is gone.
	if err := t.exec("DELETE FROM cdr_bulk WHERE cdr_id NOT IN (SELECT id FROM cdrs)"); err != nil {
		return err
	}
	type link struct {
		uuid string
		cdr  int64
	}
	attached, err := collect(t.ctx, t.tx, func(r *sql.Rows) (x link, err error) {
		err = r.Scan(&x.uuid, &x.cdr)
		return x, err
	}, attachBulk)
	if err != nil {
		return err
	}
	for _, x := range attached {
		if !note {
			break
		}
		if err := t.noteAttached(x.cdr, x.uuid); err != nil {
			return err
		}
	}
	for _, statement := range finishBulk() {
		if err := t.exec(statement); err != nil {
			return err
		}
	}
	return nil
}

// attachBulk gives recordings that are there already the new CDRs of their calls.
const attachBulk = `UPDATE recordings SET cdr_id = found.id FROM (SELECT uuid, min(id) AS id FROM (
	SELECT r.uuid, u.cdr_id AS id FROM cdr_bulk b CROSS JOIN cdr_uniqueids u ON u.cdr_id = b.cdr_id
		CROSS JOIN recordings r INDEXED BY recordings_hook ON r.hook = u.uniqueid
		WHERE r.cdr_id IS NULL AND (r.boot_s = u.boot_s OR r.boot_s = 0 OR u.boot_s = 0)
	UNION ALL
	SELECT r.uuid, u.cdr_id FROM cdr_bulk b CROSS JOIN cdr_uniqueids u ON u.cdr_id = b.cdr_id
		CROSS JOIN recording_legs l ON l.leg = u.uniqueid
		CROSS JOIN recordings r ON r.uuid = l.recording_uuid
		WHERE r.cdr_id IS NULL AND (l.boot_s = u.boot_s OR l.boot_s = 0 OR u.boot_s = 0)
	) GROUP BY uuid) AS found WHERE recordings.uuid = found.uuid RETURNING recordings.uuid, recordings.cdr_id`

// knownLinkedIDs returns those of the CDRs that the database has, whatever
// their boot: most imported calls are new, which is found out for all at once.
func (t *Tx) knownLinkedIDs(cdrs []cdr.CDR) (map[string]bool, error) {
	var all []string
	for i := range cdrs {
		all = append(all, cdrs[i].LinkedIDs...)
	}
	known := make(map[string]bool)
	_, err := collect(t.ctx, t.tx, func(r *sql.Rows) (struct{}, error) {
		var id string
		err := r.Scan(&id)
		known[id] = true
		return struct{}{}, err
	}, "SELECT linkedid FROM cdr_linkedids WHERE linkedid IN (SELECT value FROM json_each(?))", list(all))
	return known, err
}

// saveNewCDR saves a CDR that no other shares a linkedid with. Recordings that
// are there are attached by finishBulk; recorded says that it gets some now.
func (t *Tx) saveNewCDR(c *cdr.CDR, recorded bool) (int64, error) {
	id, err := t.saveCDRRow(c, nil, recorded)
	if err != nil {
		return 0, err
	}
	return id, t.insertCDRChildren(c, id)
}

// finishBulk derives what the triggers of the migration 00004 derive from single
// CDRs.
func finishBulk() []string {
	const (
		bulk = "cdr_bulk b CROSS JOIN cdrs c ON c.id = b.cdr_id"
		// newest holds for calls that are the newest with one of their peers.
		newest = "EXISTS (SELECT 1 FROM json_each(c.peers) p WHERE (SELECT max(cdr_id) FROM cdr_peers WHERE peer = p.value) = c.id)"
	)
	return []string{
		"INSERT INTO cdr_postings SELECT t.value, c.tenant_no, c.start_at, c.id, c.facet FROM " + bulk +
			" CROSS JOIN json_each(c.terms) t ORDER BY 1, 2, 3, 4",
		`INSERT INTO cdr_sums SELECT l.value, c.tenant_no,
				(c.start_at + 62135596800000000) / 86400000000 >> (4 * l.value) AS bucket, c.facet, count(*)
			FROM ` + bulk + ` CROSS JOIN json_each('[0,1,2,3]') l GROUP BY 1, 2, 3, 4
			ON CONFLICT DO UPDATE SET n = n + excluded.n`,
		"INSERT INTO cdr_peers SELECT p.value, c.id FROM " + bulk + " CROSS JOIN json_each(c.peers) p ORDER BY 1, 2",
		// Calls that were the newest until now.
		`DELETE FROM cdr_postings WHERE term_id = 0 AND (tenant_no, start_at, cdr_id) IN (
			SELECT c.tenant_no, c.start_at, c.id FROM (
				SELECT DISTINCT (SELECT max(cdr_id) FROM cdr_peers WHERE peer = p.value AND cdr_id < c.id) AS id
				FROM ` + bulk + ` CROSS JOIN json_each(c.peers) p) before
			CROSS JOIN cdrs c ON c.id = before.id WHERE NOT ` + newest + ")",
		"INSERT INTO cdr_postings SELECT 0, c.tenant_no, c.start_at, c.id, c.facet FROM " + bulk + " WHERE " + newest + " ORDER BY 2, 3, 4",
		"DELETE FROM cdr_bulk",
	}
}
