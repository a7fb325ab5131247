// Package api is the HTTP interface: the paths, bodies, statuses and error ids
// of Wazo's services over one route table, in which every route names its
// service, method, path, ACL, parameters and handler (cdr-api.md,
// auth-and-clients.md, design 3 and 7).
//
// It reads through the small interfaces below and knows neither SQLite nor
// Asterisk: it must not import store, ari or internal/app.
package api

import (
	"context"

	"callrecordd/internal/auth"
	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// Record is a CDR with its recordings, ordered by their start.
type Record struct {
	CDR        cdr.CDR
	Recordings []recorder.Recording
}

// CDRs is where the API reads calls from.
type CDRs interface {
	// List finds what the query selects; the records are read as they are asked for.
	List(ctx context.Context, q Query) (Page, error)
	// ByID returns ok false if no such CDR is in the tenants.
	ByID(ctx context.Context, id int64, tenants []string) (r Record, ok bool, err error)
	// Recording returns ok false if there is no such recording, whosever.
	Recording(ctx context.Context, uuid string) (r recorder.Recording, ok bool, err error)
}

// Tokens checks what a client shows in X-Auth-Token. An unknown, expired or
// revoked token is auth.ErrInvalidToken.
type Tokens interface {
	Check(ctx context.Context, token string) (auth.Token, error)
}

// Tenants knows the tree of tenants.
type Tenants interface {
	// Visible returns the tenant and all its descendants, nothing if there is
	// no such tenant.
	Visible(tenant string) []string
	// Master returns the tenant above all others.
	Master() string
}
