package store

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"callrecordd/internal/cdr"
)

// Kinds of cdr_terms, as the migration that made the table says.
const (
	termName = iota + 1
	termExten
	termUser        // source or chosen destination
	termParticipant // any participant
	termTag
	termRequestedExten
	termRequestedContext
	termPeer
)

type term struct {
	kind int
	text string
}

// findable is what makes a CDR findable: the triggers of cdrs keep postings,
// sums and the newest CDR of each peer from it.
type findable struct {
	tenant       int64
	facet        int // without the bit for recorded, which the recordings' triggers keep
	terms, peers []int64
}

func (t *Tx) findable(c *cdr.CDR) (f findable, err error) {
	if f.tenant, err = t.tenantNo(c.TenantUUID); err != nil {
		return f, err
	}
	f.facet = facet(c.CallDirection, c.CallStatus, false)
	ids := make(map[term]int64)
	for _, x := range termsOf(c) {
		if x.text == "" || ids[x] != 0 {
			continue
		}
		id, err := t.termID(x)
		if err != nil {
			return f, err
		}
		ids[x] = id
		f.terms = append(f.terms, id)
		if x.kind == termPeer {
			f.peers = append(f.peers, id)
		}
	}
	// Sorted, so that a CDR that is derived again is seen to be the same.
	slices.Sort(f.terms)
	slices.Sort(f.peers)
	return f, nil
}

func termsOf(c *cdr.CDR) []term {
	terms := []term{
		{termName, c.SourceName},
		{termName, c.DestinationName},
		{termExten, c.SourceExtension},
		{termExten, c.DestinationExtension},
		{termUser, c.SourceUserUUID},
		{termUser, c.DestinationUserUUID},
		{termRequestedExten, c.RequestedInternalExtension},
		{termRequestedContext, c.RequestedInternalContext},
	}
	for _, p := range c.Participants {
		// The peer as distinct=peer_exten sees it (cdr-api 3).
		peer := c.SourceExtension
		if p.Role == "source" {
			peer = c.RequestedExtension
		}
		terms = append(terms, term{termParticipant, p.UserUUID}, term{termPeer, p.UserUUID + " " + peer})
		for _, tag := range p.Tags {
			terms = append(terms, term{termTag, tag})
		}
	}
	return terms
}

func (t *Tx) tenantNo(uuid string) (int64, error) {
	return t.numbered("SELECT no FROM cdr_tenants WHERE uuid = ?", "INSERT INTO cdr_tenants (uuid) VALUES (?)", uuid)
}

func (t *Tx) termID(x term) (int64, error) {
	if id, ok := t.terms[x]; ok {
		return id, nil
	}
	id, err := t.numbered("SELECT id FROM cdr_terms WHERE kind = ? AND text = ?",
		"INSERT INTO cdr_terms (kind, text) VALUES (?, ?)", x.kind, x.text)
	if err != nil {
		return 0, err
	}
	if t.terms == nil {
		t.terms = make(map[term]int64)
	}
	t.terms[x] = id
	return id, nil
}

// SaveManyCDRs saves CDRs as SaveCDR does, many times faster if there are
// thousands of them. It returns their ids. All other writes wait meanwhile.
func (t *Tx) SaveManyCDRs(cdrs []cdr.CDR) (ids []int64, err error) {
	if err := t.exec("INSERT INTO cdr_bulk VALUES (0)"); err != nil {
		return nil, fmt.Errorf("save many cdrs: %w", err)
	}
	for i := range cdrs {
		id, err := t.saveCDR(&cdrs[i])
		if err != nil {
			return nil, fmt.Errorf("save many cdrs: call %s: %w", cdrs[i].ConversationID, err)
		}
		ids = append(ids, id)
	}
	for _, statement := range []string{
		// Of two CDRs that became one, one is gone.
		"DELETE FROM cdr_bulk WHERE cdr_id NOT IN (SELECT id FROM cdrs)",
		`INSERT INTO cdr_postings SELECT t.value, c.tenant_no, c.start_at, c.id, c.facet
			FROM cdr_bulk b CROSS JOIN cdrs c ON c.id = b.cdr_id CROSS JOIN json_each(c.terms) t ORDER BY 1, 2, 3, 4`,
		`INSERT INTO cdr_sums SELECT l.value, c.tenant_no,
				(c.start_at + 62135596800000000) / 86400000000 >> (4 * l.value) AS bucket, c.facet, count(*)
			FROM cdr_bulk b CROSS JOIN cdrs c ON c.id = b.cdr_id CROSS JOIN json_each('[0,1,2,3]') l GROUP BY 1, 2, 3, 4
			ON CONFLICT DO UPDATE SET n = n + excluded.n`,
		`INSERT INTO cdr_latest SELECT p.value, max(c.id)
			FROM cdr_bulk b CROSS JOIN cdrs c ON c.id = b.cdr_id CROSS JOIN json_each(c.peers) p GROUP BY 1
			ON CONFLICT DO UPDATE SET cdr_id = excluded.cdr_id WHERE excluded.cdr_id > cdr_id`,
		"DELETE FROM cdr_bulk",
	} {
		if err := t.exec(statement); err != nil {
			return nil, fmt.Errorf("save many cdrs: %w", err)
		}
	}
	return ids, nil
}

// numbered returns the number under which a dictionary has an entry, which is
// made if it is not there.
func (t *Tx) numbered(find, insert string, args ...any) (id int64, err error) {
	// Not the last insert id: the full-text index of the trigger changes that.
	for _, query := range []string{find, insert + " RETURNING rowid"} {
		t.ran++
		st, err := t.prepared(query)
		if err != nil {
			return 0, err
		}
		err = st.QueryRowContext(t.ctx, args...).Scan(&id)
		if !errors.Is(err, sql.ErrNoRows) {
			return id, err
		}
	}
	return 0, sql.ErrNoRows // an insert always returns its row
}

// facet is the number for what is filtered by equality; the migration that made
// cdr_sums has the same rule.
func facet(direction, status string, recorded bool) int {
	n := 8*max(0, slices.Index(directions(), direction)) + 2*max(0, slices.Index(statuses(), status))
	if recorded {
		n++
	}
	return n
}

func directions() []string {
	return []string{"", cdr.DirectionInternal, cdr.DirectionInbound, cdr.DirectionOutbound}
}

func statuses() []string {
	return []string{cdr.StatusUnknown, cdr.StatusAnswered, cdr.StatusVoicemail, cdr.StatusBlocked}
}
