package store

import (
	"crypto/sha256"
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
	digest, err := cdrDigest(id, c)
	if err != nil {
		return err
	}
	return t.AppendEvents(recorder.Event{
		Kind: EventCDR, Call: c.ConversationID, Actor: "callrecordd", Data: CDRSaved{ID: id, New: isNew, Digest: digest},
	})
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
	for i, arg := range args[:strings.Count(digestColumns, ",")+1] {
		if i > 0 {
			b = append(b, ',')
		}
		switch v := arg.(type) {
		case nil:
			b = append(b, "NULL"...)
		case int64:
			b = strconv.AppendInt(b, v, 10)
		case string:
			b = quote(b, v)
		default:
			return "", fmt.Errorf("column %d of a CDR is a %T, which has no digest", i, arg)
		}
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
