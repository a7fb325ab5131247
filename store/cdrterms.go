package store

import (
	"database/sql"
	"errors"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

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
		peer, err := t.termID(peerOf(c, p))
		if err != nil {
			return f, err
		}
		f.peers = append(f.peers, user<<32|peer)
	}
	// Sorted, so that a CDR that is derived again is seen to be the same.
	f.terms, f.peers = distinct(f.terms), distinct(f.peers)
	return f, nil
}

// peerOf is the peer as distinct=peer_exten sees it (cdr-api 3).
func peerOf(c *cdr.CDR, p cdr.Participant) term {
	if p.Role == "source" {
		return term{termPeer, c.RequestedExtension}
	}
	return term{termPeer, c.SourceExtension}
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

func (t *Tx) tenantNo(uuid string) (no int64, err error) {
	err = t.scan(&no, "SELECT no FROM cdr_tenants WHERE uuid = ?", uuid)
	if errors.Is(err, sql.ErrNoRows) {
		no, err = t.insert("INSERT INTO cdr_tenants (uuid) VALUES (?)", uuid)
	}
	return no, err
}

// termID returns the number of a text, which gets one if it has none; 0 for the
// empty text.
func (t *Tx) termID(x term) (int64, error) {
	id, err := t.knownTerm(x)
	if err != nil || id != 0 || x.text == "" {
		return id, err
	}
	// Not the last insert id: the full-text index of the trigger changes that.
	if err := t.scan(&id, "INSERT INTO cdr_terms (kind, text) VALUES (?, ?) RETURNING id", x.kind, x.text); err != nil {
		return 0, err
	}
	t.keepTerm(x, id)
	return id, nil
}

// knownTerm returns 0 for a text that has no number yet.
func (t *Tx) knownTerm(x term) (id int64, err error) {
	if x.text == "" {
		return 0, nil
	}
	for _, known := range []map[term]int64{t.terms, t.known} {
		if id, ok := known[x]; ok {
			return id, nil
		}
	}
	err = t.scan(&id, "SELECT id FROM cdr_terms WHERE kind = ? AND text = ?", x.kind, x.text)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err == nil {
		t.keepTerm(x, id)
	}
	return id, err
}

func (t *Tx) keepTerm(x term, id int64) {
	if t.terms == nil {
		t.terms = make(map[term]int64)
	}
	t.terms[x] = id
}

// prepareTerms makes the terms of CDRs all at once. One by one they would be
// made between other statements, before each of which the full-text index puts
// what it has gathered into the database.
func (t *Tx) prepareTerms(cdrs iter.Seq[*cdr.CDR]) error {
	seen := map[term]bool{}
	var lacks [][2]any
	for c := range cdrs {
		terms := termsOf(c)
		for _, p := range c.Participants {
			terms = append(terms, peerOf(c, p))
		}
		for _, x := range terms {
			if seen[x] || !utf8.ValidString(x.text) || strings.ContainsRune(x.text, 0) { // JSON would change such a text
				continue
			}
			seen[x] = true
			if id, err := t.knownTerm(x); err != nil {
				return err
			} else if id == 0 && x.text != "" {
				lacks = append(lacks, [2]any{x.kind, x.text})
			}
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	return t.exec("INSERT INTO cdr_terms (kind, text) SELECT value ->> 0, value ->> 1 FROM json_each(?)", list(lacks))
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
