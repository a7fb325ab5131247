package store

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// EventCDRsImported tells of CDRs from elsewhere. Data is CDRsImported.
const EventCDRsImported = "cdr.imported"

// CDRsImported is the Data of EventCDRsImported. Before version 14 of the schema
// it had no CDRs.
type CDRsImported struct {
	Calls int64      `json:"calls"`
	First int64      `json:"first"`
	Last  int64      `json:"last"`
	CDRs  []CDRSaved `json:"cdrs,omitempty"`
}

// noteCDR appends the event of a CDR that was saved.
func (t *Tx) noteCDR(c *cdr.CDR, id int64, isNew bool) error {
	saved, err := t.saved(c, id, isNew)
	if err != nil {
		return err
	}
	return t.AppendEvents(recorder.Event{Kind: EventCDR, Call: c.ConversationID, Actor: "callrecordd", Data: saved})
}

// saved is what the ledger keeps of a CDR.
func (t *Tx) saved(c *cdr.CDR, id int64, isNew bool) (CDRSaved, error) {
	digest, err := cdrDigest(id, c)
	if err != nil {
		return CDRSaved{}, err
	}
	talks, err := t.talksOf(c, id, isNew)
	return CDRSaved{ID: id, New: isNew, Digest: digest, Talks: talks}, err
}

// talksOf is the digest of the talks that a CDR has since it was saved. Who derives
// a call without talks leaves those that it had.
func (t *Tx) talksOf(c *cdr.CDR, id int64, isNew bool) (string, error) {
	if len(c.Talks) > 0 {
		doc, err := talksText(id, c.Talks)
		return talksDigest(doc, true), err
	}
	if isNew {
		return noTalks, nil
	}
	var doc sql.NullString
	if err := t.scan(&doc, "SELECT (SELECT doc FROM cdr_talks WHERE cdr_id = ?)", id); err != nil {
		return "", fmt.Errorf("talks of cdr %d: %w", id, err)
	}
	return talksDigest([]byte(doc.String), doc.Valid), nil
}

// noTalks stands for the digest of talks of which there are none.
const noTalks = "none"

// talksDigest is the SHA-256, as hex, of what cdr_talks has of a call.
func talksDigest(doc []byte, there bool) string {
	if !there {
		return noTalks
	}
	return digestOf(doc)
}

// The digest of a CDR is the SHA-256, as hex, of its row with the participants
// and their tags, written as SQLite's quote() does: so it can be computed again
// from any copy of the database with SQLite alone. What is derived from that (terms,
// peers, facet), the ids of channels and the time of saving are not part of it.
// cdrText is the text in SQL, cdrDigest makes the same in Go.
const cdrText = `'cdr ' || cdrs.id || char(10) || %s || char(10)
	|| coalesce((SELECT group_concat('participant ' || pos || ',' || quote(user_uuid) || ',' || line_id || ',' || quote(role)
		|| ',' || answered || ',' || requested || char(10), '' ORDER BY pos) FROM cdr_participants WHERE cdr_id = cdrs.id), '')
	|| coalesce((SELECT group_concat('tag ' || pos || ',' || tag_pos || ',' || quote(tag) || char(10), '' ORDER BY pos, tag_pos)
		FROM cdr_tags WHERE cdr_id = cdrs.id), '')`

// digestColumns are those of cdrs that are part of the digest, for ever: digests
// that are in the ledger must stay what they are. cdrColumns begins with them; a
// column that comes behind them needs an entry of its own.
const digestColumns = `tenant_uuid,start_at,end_at,answer_at,call_direction,call_status,conversation_id,` +
	`destination_details,destination_extension,destination_internal_context,destination_internal_extension,` +
	`destination_name,destination_user_uuid,destination_line_id,requested_name,requested_context,requested_extension,` +
	`requested_internal_context,requested_internal_extension,requested_user_uuid,source_extension,` +
	`source_internal_context,source_internal_name,source_internal_extension,source_name,source_user_uuid,` +
	`source_line_id,boot,journal_id,journal_first,journal_last,source`

func cdrTextQuery() string {
	quoted := "quote(" + strings.ReplaceAll(digestColumns, ",", ") || ',' || quote(") + ")"
	return fmt.Sprintf(cdrText, quoted)
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func cdrDigest(id int64, c *cdr.CDR) (string, error) {
	args, err := cdrArgs(c)
	if err != nil {
		return "", err
	}
	b := make([]byte, 0, 1024)
	b = append(b, "cdr "...)
	b = strconv.AppendInt(b, id, 10)
	b = append(b, '\n')
	if b, err = quoteAll(b, args[:strings.Count(digestColumns, ",")+1]); err != nil {
		return "", fmt.Errorf("digest of cdr %d: %w", id, err)
	}
	b = append(b, '\n')
	for i, p := range c.Participants {
		b = fmt.Appendf(b, "participant %d,", i)
		b = quote(b, p.UserUUID)
		b = fmt.Appendf(b, ",%d,", p.LineID)
		b = quote(b, p.Role)
		b = fmt.Appendf(b, ",%d,%d\n", bit(p.Answered), bit(p.Requested))
	}
	for i, p := range c.Participants {
		for j, tag := range p.Tags {
			b = fmt.Appendf(b, "tag %d,%d,", i, j)
			b = quote(b, tag)
			b = append(b, '\n')
		}
	}
	return digestOf(b), nil
}

// The digest of a recording's row is the SHA-256, as hex, of those of its columns
// that no other field of Settled has, written in the same way, and its legs: what
// the audit and lists read of it. rowText is the text in SQL, rowDigest makes the
// same in Go. The columns are those for ever.
const rowText = `'recording ' || uuid || char(10) || quote(boot) || ',' || quote(hook) || ',' || quote(hook_name) || ',' ||
	quote(mixmonitor_id) || ',' || quote(follows) || ',' || quote(cause) || ',' || quote(claims) || ',' || quote(intent_at) || ',' ||
	quote(started_at) || ',' || quote(ended_at) || ',' || quote(silent) || char(10) ||
	coalesce((SELECT group_concat('leg ' || quote(leg) || char(10), '' ORDER BY pos) FROM recording_legs WHERE recording_uuid = uuid), '')`

func rowDigest(r recorder.Recording) string {
	claims, err := claimsText(r)
	if err != nil {
		return "" // and so the row is not stored
	}
	b := append(make([]byte, 0, 512), "recording "+r.UUID+"\n"...)
	b, err = quoteAll(b, []any{
		micros(r.Boot), r.Hook, r.HookName, r.MixMonitorID, r.Follows, r.Cause, claims,
		micros(r.IntentAt), nullMicros(r.StartedAt), nullMicros(r.EndedAt), int64(bit(r.Silent)),
	})
	if err != nil {
		return ""
	}
	b = append(b, '\n')
	for _, leg := range r.Legs {
		b = append(b, "leg "...)
		b = append(quote(b, leg), '\n')
	}
	return digestOf(b)
}

// rowDigest is that of the row as it is stored.
func (t *Tx) rowDigest(uuid string) (string, error) {
	var text string
	if err := t.scan(&text, "SELECT "+rowText+" FROM recordings WHERE uuid = ?", uuid); err != nil {
		return "", fmt.Errorf("digest of recording %s: %w", uuid, err)
	}
	return digestOf([]byte(text)), nil
}

// quoteAll appends values as SQLite's quote() writes them, with commas between.
func quoteAll(b []byte, values []any) ([]byte, error) {
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		switch v := value.(type) {
		case nil:
			b = append(b, "NULL"...)
		case int64:
			b = strconv.AppendInt(b, v, 10)
		case string:
			b = quote(b, v)
		default:
			return nil, fmt.Errorf("column %d is a %T, which has no digest", i, value)
		}
	}
	return b, nil
}

// quote appends a text as SQLite's quote() writes it: nothing behind a zero byte.
func quote(b []byte, text string) []byte {
	text, _, _ = strings.Cut(text, "\x00")
	b = append(b, '\'')
	b = append(b, strings.ReplaceAll(text, "'", "''")...)
	return append(b, '\'')
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
