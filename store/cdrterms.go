package store

import (
	"database/sql"
	"errors"
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
	return t.numbered("SELECT id FROM cdr_terms WHERE kind = ? AND text = ?",
		"INSERT INTO cdr_terms (kind, text) VALUES (?, ?)", x.kind, x.text)
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
