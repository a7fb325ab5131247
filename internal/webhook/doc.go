// Package webhook tells HTTP servers of events: subscriptions, a queue in the
// order of the events for each of them, signatures as Standard Webhooks has
// them, retries with back-off, and dead letters that can be replayed.
//
// It imports internal/events and nothing else of ours; storage comes through
// Repo, and nobody is connected to but through the checks of dial.go.
package webhook

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"time"

	"callrecordd/internal/events"
)

// ErrNotFound is wrapped by errors about a subscription or delivery that is not
// there.
var ErrNotFound = errors.New("not found")

// Config is where and how a subscription's events are sent.
type Config struct {
	URL    string `json:"url"`
	Method string `json:"method"` // one of Methods
	// Body replaces the event's data; it is sent as it is.
	Body        string `json:"body,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	// VerifyCertificate is "false" if any certificate will do, else "true".
	VerifyCertificate string `json:"verify_certificate,omitempty"`
}

// Methods are those that a Config may have.
func Methods() []string { return []string{"head", "get", "post", "put", "delete"} }

// Subscription is a wish to be told.
type Subscription struct {
	UUID           string            `json:"uuid"`
	TenantUUID     string            `json:"owner_tenant_uuid"`
	OwnerUserUUID  string            `json:"owner_user_uuid,omitempty"`
	Name           string            `json:"name"`
	Config         Config            `json:"config"`
	Events         []string          `json:"events"` // names; events.Any is all
	EventsUserUUID string            `json:"events_user_uuid,omitempty"`
	Recurse        bool              `json:"recurse"` // the tenants below as well
	Metadata       map[string]string `json:"metadata,omitempty"`
	// ACL and AuthID are those of the token that made or last changed it: it is
	// told of what that was allowed to see.
	ACL       []string  `json:"acl"`
	AuthID    string    `json:"-"`
	Secret    string    `json:"-"` // signs deliveries
	Since     int64     `json:"-"` // the last event before it
	CreatedAt time.Time `json:"created_at"`
}

// State is what became of a delivery.
type State string

// The states. A dead letter has been given up; it can be replayed.
const (
	Pending   State = "pending"
	Delivered State = "delivered"
	Dead      State = "dead"
)

// Delivery is an event on its way to a subscription.
type Delivery struct {
	ID           int64     `json:"-"` // in the order in which they are sent
	UUID         string    `json:"uuid"`
	Subscription string    `json:"subscription_uuid"`
	Event        string    `json:"event"`
	Payload      []byte    `json:"-"` // the whole event as JSON
	State        State     `json:"state"`
	Attempts     int       `json:"attempts"`
	NextAt       time.Time `json:"next_at,omitzero"`
	CreatedAt    time.Time `json:"created_at"`
	StartedAt    time.Time `json:"started_at,omitzero"` // of the first attempt
	EndedAt      time.Time `json:"ended_at,omitzero"`
	Status       int       `json:"status,omitempty"` // of the last answer
	Detail       string    `json:"detail,omitempty"` // for people: why not
}

// Head is the next delivery of a subscription, with it.
type Head struct {
	Subscription Subscription
	Delivery     Delivery
}

// DeliveryFilter selects deliveries; empty fields do not restrict.
type DeliveryFilter struct {
	Subscription  string
	State         State
	Ascending     bool
	Limit, Offset int
}

// Repo is the storage. Errors about what is not there wrap ErrNotFound.
type Repo interface {
	// InsertWebhook stores a subscription; it is told of events from now on.
	InsertWebhook(ctx context.Context, s Subscription, actor string) error
	// UpdateWebhook changes all but UUID, tenant, owner, secret and times.
	UpdateWebhook(ctx context.Context, s Subscription, actor string) error
	DeleteWebhook(ctx context.Context, uuid, actor string) error
	// Webhooks are those of the tenants, nil for all, the oldest first.
	Webhooks(ctx context.Context, tenants []string) ([]Subscription, error)

	// Cursor is the row up to which events have their deliveries.
	Cursor(ctx context.Context) (int64, error)
	// Plan stores deliveries and how far that brings the cursor, in one
	// transaction. More than most that wait for one subscription are dead.
	Plan(ctx context.Context, cursor int64, list []Delivery, most int) error
	// Heads are the next deliveries of the subscriptions that are not busy, the
	// one that is due first coming first.
	Heads(ctx context.Context, busy []string, limit int) ([]Head, error)
	// Finish stores what became of an attempt.
	Finish(ctx context.Context, d Delivery) error
	Deliveries(ctx context.Context, f DeliveryFilter) (list []Delivery, total int, err error)
	// Replay makes deliveries of a subscription pending again: the one with the
	// uuid, or without one all that are dead. It says how many.
	Replay(ctx context.Context, subscription, delivery, actor string) (int, error)
	// PurgeDeliveries deletes some of those that ended before the time, and says
	// whether there may be more.
	PurgeDeliveries(ctx context.Context, before time.Time) (more bool, err error)
}

// Filter is what the subscription is told, given the tenants it may see and what
// its ACL allows.
func (s Subscription) Filter(tenants []string, acl interface{ Allows(string) bool }) events.Filter {
	return events.Filter{Tenants: tenants, ACL: acl, Names: s.Events, UserUUID: s.EventsUserUUID}
}

const secretPrefix = "whsec_"

// NewSecret makes a secret, in the form of Standard Webhooks.
func NewSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}
