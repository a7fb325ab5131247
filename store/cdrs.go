package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// cdrColumns are all columns of cdrs but the id, in the order of cdrArgs.
const cdrColumns = `tenant_uuid,start_at,end_at,answer_at,call_direction,call_status,conversation_id,` +
	`destination_details,destination_extension,destination_internal_context,destination_internal_extension,` +
	`destination_name,destination_user_uuid,destination_line_id,requested_name,requested_context,requested_extension,` +
	`requested_internal_context,requested_internal_extension,requested_user_uuid,source_extension,` +
	`source_internal_context,source_internal_name,source_internal_extension,source_name,source_user_uuid,` +
	`source_line_id,boot,journal_id,journal_first,journal_last,source`

func cdrArgs(c *cdr.CDR) ([]any, error) {
	details := c.DestinationDetails
	if details == nil {
		details = map[string]any{}
	}
	js, err := json.Marshal(details)
	if err != nil {
		return nil, fmt.Errorf("encode destination details: %w", err)
	}
	return []any{
		c.TenantUUID, micros(c.Start), nullMicros(c.End), nullMicros(c.Answer), c.CallDirection, c.CallStatus,
		c.ConversationID, string(js), c.DestinationExtension, c.DestinationInternalContext,
		c.DestinationInternalExtension, c.DestinationName, c.DestinationUserUUID, c.DestinationLineID, c.RequestedName,
		c.RequestedContext, c.RequestedExtension, c.RequestedInternalContext, c.RequestedInternalExtension,
		c.RequestedUserUUID, c.SourceExtension, c.SourceInternalContext, c.SourceInternalName,
		c.SourceInternalExtension, c.SourceName, c.SourceUserUUID, c.SourceLineID, micros(c.Journal.Boot),
		c.Journal.ID, c.Journal.First, c.Journal.Last, c.Source,
	}, nil
}

func scanCDR(r *sql.Rows) (CDR, error) {
	var c CDR
	var start, boot int64
	var end, answer sql.NullInt64
	var details string
	if err := r.Scan(&c.ID, &c.TenantUUID, &start, &end, &answer, &c.CallDirection, &c.CallStatus, &c.ConversationID,
		&details, &c.DestinationExtension, &c.DestinationInternalContext, &c.DestinationInternalExtension,
		&c.DestinationName, &c.DestinationUserUUID, &c.DestinationLineID, &c.RequestedName, &c.RequestedContext,
		&c.RequestedExtension, &c.RequestedInternalContext, &c.RequestedInternalExtension, &c.RequestedUserUUID,
		&c.SourceExtension, &c.SourceInternalContext, &c.SourceInternalName, &c.SourceInternalExtension, &c.SourceName,
		&c.SourceUserUUID, &c.SourceLineID, &boot, &c.Journal.ID, &c.Journal.First, &c.Journal.Last, &c.Source); err != nil {
		return c, err
	}
	c.Start, c.Journal.Boot = fromMicros(start), fromMicros(boot)
	c.End, c.Answer = fromMicros(end.Int64), fromMicros(answer.Int64)
	if err := json.Unmarshal([]byte(details), &c.DestinationDetails); err != nil {
		return c, fmt.Errorf("destination details of cdr %d: %w", c.ID, err)
	}
	return c, nil
}

// SaveCDR saves CDRs and then the checkpoint. It does so in several short
// transactions, so that nothing urgent waits long; a call has its CDR exactly
// once all the same, because those behind the checkpoint are handed over again
// and one that is known from the very same rows stays as it is: what the
// directory says today is not what it said then. A CDR replaces those that
// share one of its linkedids within its boot and keeps the smallest of their
// ids. One from the journal is never replaced by a live one. It implements
// cdr.Store.
func (s *Store) SaveCDR(ctx context.Context, cdrs []cdr.CDR, at cdr.Checkpoint) error {
	_, err := s.SaveCDRs(ctx, cdrs, at)
	return err
}

// SaveCDRs is SaveCDR and returns the ids, in the order of cdrs.
func (s *Store) SaveCDRs(ctx context.Context, cdrs []cdr.CDR, at cdr.Checkpoint) ([]int64, error) {
	ids := make([]int64, 0, len(cdrs))
	for last := false; !last; {
		err := s.Write(ctx, Bulk, func(t *Tx) error {
			begun := time.Now()
			for i := len(ids); i < len(cdrs) && time.Since(begun) < groupTime; i++ {
				id, how, err := t.saveCDR(&cdrs[i])
				if err == nil && how != cdrKept {
					err = t.noteCDR(&cdrs[i], id, how == cdrNew)
				}
				if err != nil {
					return fmt.Errorf("call %s: %w", cdrs[i].ConversationID, err)
				}
				ids = append(ids, id)
			}
			if last = len(ids) == len(cdrs); !last {
				return nil
			}
			return t.saveCheckpoint(at)
		})
		if err != nil {
			return nil, fmt.Errorf("save %d cdrs: %w", len(cdrs), err)
		}
	}
	return ids, nil
}

// cdrOutcome says what became of a CDR that was to be saved.
type cdrOutcome int

const (
	cdrKept     cdrOutcome = iota // the one that is there stays
	cdrNew                        // there was none
	cdrReplaced                   // it took the place of another
)

func (t *Tx) saveCDR(c *cdr.CDR) (int64, cdrOutcome, error) {
	known, err := collect(t.ctx, t.tx, one[int64], `SELECT DISTINCT cdr_id FROM cdr_linkedids
		WHERE linkedid IN (SELECT value FROM json_each(?2)) AND `+sameBoot+` ORDER BY cdr_id`,
		bootKey(c.Journal.Boot), list(c.LinkedIDs))
	if err != nil {
		return 0, cdrKept, err
	}
	if known, err = t.alsoLive(c, known); err != nil {
		return 0, cdrKept, err
	}
	if c.Source == cdr.SourceLive && len(known) > 0 {
		better, err := collect(t.ctx, t.tx, one[int64], `SELECT id FROM cdrs WHERE id IN (SELECT value FROM json_each(?))
			AND source <> 'live' ORDER BY id LIMIT 1`, list(known))
		if err != nil || len(better) > 0 {
			return append(better, 0)[0], cdrKept, err
		}
	}
	if same, err := t.fromSameRows(c, known); err != nil {
		return 0, cdrKept, err
	} else if same {
		return known[0], cdrKept, t.AttachRecordings(c, known[0])
	}
	id, err := t.saveCDRRow(c, known, false)
	if err != nil {
		return 0, cdrKept, err
	}
	if err := t.saveCDRChildren(c, id); err != nil {
		return 0, cdrKept, err
	}
	how := cdrNew
	if len(known) > 0 {
		how = cdrReplaced
	}
	return id, how, t.AttachRecordings(c, id)
}

// alsoLive adds to the known CDRs of a call those that share a uniqueid with it,
// if one of the two comes from Asterisk's events: which linkedid a channel has is
// not told by them, so it may be another than in the journal.
func (t *Tx) alsoLive(c *cdr.CDR, known []int64) ([]int64, error) {
	var live bool
	if c.Source != cdr.SourceLive {
		if err := t.scan(&live, "SELECT EXISTS (SELECT 1 FROM cdrs WHERE source = 'live')"); err != nil || !live {
			return known, err
		}
	}
	more, err := collect(t.ctx, t.tx, one[int64], `SELECT DISTINCT cdr_id FROM cdr_uniqueids
		WHERE uniqueid IN (SELECT value FROM json_each(?2)) AND `+sameBoot+`
		AND (?3 OR (SELECT source FROM cdrs WHERE id = cdr_id) = 'live') ORDER BY cdr_id`,
		bootKey(c.Journal.Boot), list(c.Uniqueids), c.Source == cdr.SourceLive)
	if err != nil {
		return nil, fmt.Errorf("look for cdrs from events: %w", err)
	}
	known = append(known, more...)
	slices.Sort(known)
	return slices.Compact(known), nil
}

// fromSameRows reports whether the one known CDR was derived from the range of
// rows of c. Rows that came later lie behind it, because ids only grow. It may have
// been made whole by events that nobody remembers when the rows are read again.
func (t *Tx) fromSameRows(c *cdr.CDR, known []int64) (same bool, err error) {
	if len(known) != 1 || c.Source != cdr.SourceJournal {
		return false, nil
	}
	err = t.tx.QueryRowContext(t.ctx, `SELECT journal_id = ? AND journal_first = ? AND journal_last = ?
		FROM cdrs WHERE id = ?`, c.Journal.ID, c.Journal.First, c.Journal.Last, known[0]).Scan(&same)
	if err != nil {
		return false, fmt.Errorf("compare with cdr %d: %w", known[0], err)
	}
	return same, nil
}

// saveCDRRow inserts or updates the row. Of several known rows, which turned
// out to be one call, the oldest stays and inherits from the others.
func (t *Tx) saveCDRRow(c *cdr.CDR, known []int64, recorded bool) (int64, error) {
	args, err := cdrArgs(c)
	if err != nil {
		return 0, err
	}
	found, err := t.findable(c, recorded)
	if err != nil {
		return 0, err
	}
	args = append(args, micros(t.now), found.tenant, found.facet, list(found.terms), list(found.peers))
	if len(known) == 0 {
		marks := strings.Repeat(", ?", strings.Count(cdrColumns, ",")+1)
		return t.insert("INSERT INTO cdrs ("+cdrColumns+", saved_at, tenant_no, facet, terms, peers, id) VALUES ("+
			marks[2:]+", ?, ?, ?, ?, ?, nullif(?, 0))", append(args, c.ID)...) // only imported ones have an id already
	}
	id := known[0]
	set := strings.ReplaceAll(cdrColumns, ",", " = ?, ")
	if err := t.exec("UPDATE cdrs SET "+set+" = ?, saved_at = ?, tenant_no = ?, facet = ? + facet % 2, terms = ?, peers = ? WHERE id = ?",
		append(args, id)...); err != nil {
		return 0, err
	}
	for _, other := range known[1:] {
		moved, err := t.uuids("UPDATE recordings SET cdr_id = ? WHERE cdr_id = ? RETURNING uuid", id, other)
		if err == nil {
			err = t.noteAttached(id, moved...)
		}
		if err != nil {
			return 0, err
		}
		for _, statement := range []string{
			"UPDATE cdr_linkedids SET cdr_id = ? WHERE cdr_id = ?",
			"UPDATE cdr_uniqueids SET cdr_id = ? WHERE cdr_id = ?",
			"UPDATE OR REPLACE cdr_holds SET cdr_id = ? WHERE cdr_id = ?",
		} {
			if err := t.exec(statement, id, other); err != nil {
				return 0, err
			}
		}
		if err := t.exec("DELETE FROM cdrs WHERE id = ?", other); err != nil {
			return 0, err
		}
		if err := t.AppendEvents(recorder.Event{
			Kind: "cdr.merged", Call: c.ConversationID, Actor: "callrecordd", Data: map[string]int64{"cdr": id, "gone": other},
		}); err != nil {
			return 0, err
		}
	}
	return id, nil
}

func (t *Tx) saveCDRChildren(c *cdr.CDR, id int64) error {
	for _, table := range []string{"cdr_participants", "cdr_tags"} {
		if err := t.exec("DELETE FROM "+table+" WHERE cdr_id = ?", id); err != nil {
			return err
		}
	}
	return t.insertCDRChildren(c, id)
}

func (t *Tx) insertCDRChildren(c *cdr.CDR, id int64) error {
	for i, p := range c.Participants {
		if err := t.exec("INSERT INTO cdr_participants VALUES (?, ?, ?, ?, ?, ?, ?)",
			id, i, p.UserUUID, p.LineID, p.Role, p.Answered, p.Requested); err != nil {
			return err
		}
		for j, tag := range p.Tags {
			if err := t.exec("INSERT INTO cdr_tags VALUES (?, ?, ?, ?)", id, i, j, tag); err != nil {
				return err
			}
		}
	}
	// Ids are added, not replaced: a call that was seen under one of them
	// remains the same call.
	boot := bootKey(c.Journal.Boot)
	for _, linkedid := range c.LinkedIDs {
		if err := t.exec("INSERT OR REPLACE INTO cdr_linkedids VALUES (?, ?, ?)", boot, linkedid, id); err != nil {
			return err
		}
	}
	for _, uniqueid := range c.Uniqueids {
		if err := t.exec("INSERT OR REPLACE INTO cdr_uniqueids VALUES (?, ?, ?)", boot, uniqueid, id); err != nil {
			return err
		}
	}
	return t.saveTalks(id, c.Talks)
}

// AttachRecordings gives the recordings of a call its CDR's id: those of its
// boot whose hooked leg or any other leg is among its uniqueids. Recordings
// that have a CDR keep it.
func (t *Tx) AttachRecordings(c *cdr.CDR, id int64) error {
	// The + keeps SQLite from going through all recordings without a CDR.
	uuids, err := t.uuids(`UPDATE recordings SET cdr_id = ?3 WHERE +cdr_id IS NULL AND uuid IN (
		SELECT uuid FROM recordings WHERE hook IN (SELECT value FROM json_each(?2)) AND `+sameBoot+`
		UNION SELECT recording_uuid FROM recording_legs WHERE leg IN (SELECT value FROM json_each(?2)) AND `+sameBoot+`) RETURNING uuid`,
		bootKey(c.Journal.Boot), list(c.Uniqueids), id)
	if err == nil {
		err = t.noteAttached(id, uuids...)
	}
	if err != nil {
		return fmt.Errorf("attach recordings to cdr %d: %w", id, err)
	}
	return nil
}

// CDR is a stored CDR with its recordings, in the order in which they began.
type CDR struct {
	cdr.CDR
	Recordings []recorder.Recording
}

// Duration is end minus answer, never negative; ok is false if it has not both.
func (c CDR) Duration() (d time.Duration, ok bool) {
	if c.End.IsZero() || c.Answer.IsZero() {
		return 0, false
	}
	return max(0, c.End.Sub(c.Answer)), true
}
