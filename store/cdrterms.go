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
	facet        int // its bit for recorded is kept by the recordings' triggers
	terms, peers []int64
}

func (t *Tx) findable(c *cdr.CDR, recorded bool) (f findable, err error) {
	if f.tenant, err = t.tenantNo(c.TenantUUID); err != nil {
		return f, err
	}
	f.facet = facet(c.CallDirection, c.CallStatus, recorded)
	for _, x := range termsOf(c) {
		id, err := t.termID(x)
		if err != nil {
			return f, err
		}
		if id != 0 {
			f.terms = append(f.terms, id)
		}
	}
	for _, p := range c.Participants {
		user, err := t.termID(term{termParticipant, p.UserUUID})
		if err != nil {
			return f, err
		}
		// The peer as distinct=peer_exten sees it (cdr-api 3).
		exten := term{termPeer, c.SourceExtension}
		if p.Role == "source" {
			exten.text = c.RequestedExtension
		}
		peer, err := t.termID(exten)
		if err != nil {
			return f, err
		}
		f.peers = append(f.peers, user<<32|peer)
	}
	// Sorted, so that a CDR that is derived again is seen to be the same.
	f.terms, f.peers = distinct(f.terms), distinct(f.peers)
	return f, nil
}

func distinct(ids []int64) []int64 {
	slices.Sort(ids)
	return slices.Compact(ids)
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
		terms = append(terms, term{termParticipant, p.UserUUID})
		for _, tag := range p.Tags {
			terms = append(terms, term{termTag, tag})
		}
	}
	return terms
}

func (t *Tx) tenantNo(uuid string) (int64, error) {
	return t.numbered("SELECT no FROM cdr_tenants WHERE uuid = ?", "INSERT INTO cdr_tenants (uuid) VALUES (?)", uuid)
}

// termID returns 0 for the empty text.
func (t *Tx) termID(x term) (int64, error) {
	if x.text == "" {
		return 0, nil
	}
	for _, known := range []map[term]int64{t.terms, t.known} {
		if id, ok := known[x]; ok {
			return id, nil
		}
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
