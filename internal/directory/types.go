// Package directory knows who is who (design 5): tenants, users with their
// lines, groups, queues, trunks and devices, the numbers of features, and the
// flags that rule recording.
// A Book is a snapshot for decisions, the Service changes it.
//
// It must not import anything of ours but dialplan. Storage comes through Repo.
package directory

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"callrecordd/dialplan"
)

// ErrNotFound is wrapped by errors about something the directory lacks.
var ErrNotFound = errors.New("not found")

// ErrConflict is wrapped by errors about something that is taken or in use.
var ErrConflict = errors.New("conflict")

// ErrInvalid says which field of what was sent cannot be accepted, and why.
type ErrInvalid struct {
	Field string // as in JSON, e.g. lines.endpoint
	Text  string // readable, names the offending value
}

// Error implements error.
func (e *ErrInvalid) Error() string { return e.Field + ": " + e.Text }

// Kind says what an entry of the directory is.
type Kind string

// The kinds of entries.
const (
	KindTenant Kind = "tenant"
	KindUser   Kind = "user"
	KindGroup  Kind = "group"
	KindQueue  Kind = "queue"
	KindTrunk  Kind = "trunk"
	KindDevice Kind = "device"
	// KindFeature entries are there from the start and can only be changed.
	KindFeature Kind = "feature"
)

// Tenant owns users, trunks and recordings. The master tenant is its own parent.
type Tenant struct {
	UUID   string `json:"uuid"`
	Name   string `json:"name"`
	Parent string `json:"parent_uuid"`
	// AsteriskID is the tenantid of its PJSIP endpoints, empty if none.
	AsteriskID string `json:"asterisk_id,omitempty"`
	// Slug is a short unique name for clients; it is made of the name.
	Slug    string        `json:"slug,omitempty"`
	Details TenantDetails `json:"details,omitzero"`
	// Announce is what the parties of its recordings hear.
	Announce Announcements `json:"announce,omitzero"`
}

// TenantDetails are for people; nothing here depends on them.
type TenantDetails struct {
	Contact string  `json:"contact,omitempty"` // uuid of an account
	Phone   string  `json:"phone,omitempty"`
	Address Address `json:"address,omitzero"`
}

// Address is where a tenant is.
type Address struct {
	Line1   string `json:"line_1,omitempty"`
	Line2   string `json:"line_2,omitempty"`
	City    string `json:"city,omitempty"`
	State   string `json:"state,omitempty"`
	Country string `json:"country,omitempty"`
	ZipCode string `json:"zip_code,omitempty"`
}

// User is a person with phones.
type User struct {
	ID         int64          `json:"id"` // given by the store; Wazo's JSON needs it
	UUID       string         `json:"uuid"`
	TenantUUID string         `json:"tenant_uuid"`
	FirstName  string         `json:"first_name"`
	LastName   string         `json:"last_name,omitempty"`
	UserField  string         `json:"user_field,omitempty"` // tags of its CDRs, by commas
	Flags      dialplan.Flags `json:"flags"`
	// MustRecord has Asterisk record its calls while the daemon is away.
	MustRecord bool   `json:"must_record"`
	Lines      []Line `json:"lines,omitempty"`
}

// Name returns first and last name.
func (u User) Name() string {
	if u.LastName == "" {
		return u.FirstName
	}
	return u.FirstName + " " + u.LastName
}

// MainLine returns the user's main line, the zero Line if it has no line.
func (u User) MainLine() Line {
	for _, l := range u.Lines {
		if l.Main {
			return l
		}
	}
	return Line{}
}

// Line is a user's endpoint and the extension at which it is called.
type Line struct {
	ID       int64  `json:"id"`
	Endpoint string `json:"endpoint"` // e.g. PJSIP/alice
	Exten    string `json:"exten,omitempty"`
	Context  string `json:"context,omitempty"`
	Main     bool   `json:"main,omitempty"` // exactly one per user with lines
}

// Group is a ring group: a place in the dialplan whose Dial rings several.
type Group struct {
	ID               int64  `json:"id"`
	UUID             string `json:"uuid"`
	TenantUUID       string `json:"tenant_uuid"`
	Name             string `json:"name"`
	Label            string `json:"label,omitempty"`
	Exten            string `json:"exten,omitempty"`
	Context          string `json:"context,omitempty"`
	DTMFRecordToggle bool   `json:"dtmf_record_toggle"`
	// AutoRecord goes before the rules of who answers (docs/rules.md).
	AutoRecord dialplan.AutoRecord `json:"auto_record"`
}

// Queue is an app_queue queue; Name is its name there.
type Queue struct {
	ID               int64  `json:"id"`
	UUID             string `json:"uuid"`
	TenantUUID       string `json:"tenant_uuid"`
	Name             string `json:"name"`
	Label            string `json:"label,omitempty"`
	Exten            string `json:"exten,omitempty"`
	Context          string `json:"context,omitempty"`
	DTMFRecordToggle bool   `json:"dtmf_record_toggle"`
	// AutoRecord goes before the rules of who answers (docs/rules.md).
	AutoRecord dialplan.AutoRecord `json:"auto_record"`
}

// Trunk is an endpoint that leads outside.
type Trunk struct {
	ID         int64  `json:"id"`
	UUID       string `json:"uuid"`
	TenantUUID string `json:"tenant_uuid"`
	Name       string `json:"name"`
	Endpoint   string `json:"endpoint"`
	// AutoRecord goes before the rules of who talks over it (docs/rules.md).
	AutoRecord dialplan.AutoRecord `json:"auto_record"`
}

// Device is an internal endpoint that is nobody's, e.g. a door phone.
type Device struct {
	Endpoint string `json:"endpoint"`
}

// Feature is a number that telephones dial to make the daemon do something.
// It has no tenant: what it says is true of the whole system.
type Feature struct {
	ID      int64  `json:"id"`
	UUID    string `json:"uuid"`
	Name    string `json:"feature"` // dialplan.FeatureSwitch
	Exten   string `json:"exten"`
	Enabled bool   `json:"enabled"`
}

// Contents is all of a directory, or the part of it that is to be saved.
type Contents struct {
	Tenants  []Tenant
	Users    []User
	Groups   []Group
	Queues   []Queue
	Trunks   []Trunk
	Devices  []Device
	Features []Feature
}

// Ref names an entry: by uuid, devices by endpoint.
type Ref struct {
	Kind Kind
	Key  string
}

// Change is one entry of a Changeset as the event log keeps it.
type Change struct {
	Kind   string `json:"-"` // e.g. directory.user.changed
	Key    string `json:"key"`
	Before any    `json:"before,omitempty"`
	After  any    `json:"after,omitempty"`
}

// Changeset is saved as a whole or not at all. Entries of Save replace those
// with the same key or are new.
type Changeset struct {
	At      time.Time
	Actor   string // who did it
	Save    Contents
	Delete  []Ref
	Changes []Change
}

// The entity methods let one piece of code create, edit and delete all kinds.
type entity[T any] interface {
	*T
	ref() Ref
	setUUID(uuid string)
	prepare(master string)
	keepID(old T)
	check() error
}

func (t *Tenant) ref() Ref         { return Ref{KindTenant, t.UUID} }
func (t *Tenant) setUUID(u string) { t.UUID = u }
func (t *Tenant) keepID(Tenant)    {}
func (t *Tenant) prepare(master string) {
	if t.Parent == "" {
		t.Parent = master
	}
}

func (u *User) ref() Ref         { return Ref{KindUser, u.UUID} }
func (u *User) setUUID(s string) { u.UUID = s }

// keepID keeps the ids: a line is the same line as long as its endpoint is.
func (u *User) keepID(old User) {
	u.ID = old.ID
	for i := range u.Lines {
		u.Lines[i].ID = 0
		for _, o := range old.Lines {
			if o.Endpoint == u.Lines[i].Endpoint {
				u.Lines[i].ID = o.ID
			}
		}
	}
}

func (u *User) prepare(master string) {
	if u.TenantUUID == "" {
		u.TenantUUID = master
	}
	if len(u.Lines) > 0 && u.MainLine() == (Line{}) {
		u.Lines[0].Main = true
	}
}

func (g *Group) ref() Ref         { return Ref{KindGroup, g.UUID} }
func (g *Group) setUUID(s string) { g.UUID = s }
func (g *Group) keepID(old Group) { g.ID = old.ID }
func (g *Group) prepare(master string) {
	g.AutoRecord = cmp.Or(g.AutoRecord, dialplan.AutoInherit)
	if g.TenantUUID == "" {
		g.TenantUUID = master
	}
}

func (q *Queue) ref() Ref         { return Ref{KindQueue, q.UUID} }
func (q *Queue) setUUID(s string) { q.UUID = s }
func (q *Queue) keepID(old Queue) { q.ID = old.ID }
func (q *Queue) prepare(master string) {
	q.AutoRecord = cmp.Or(q.AutoRecord, dialplan.AutoInherit)
	if q.TenantUUID == "" {
		q.TenantUUID = master
	}
}

func (t *Trunk) ref() Ref         { return Ref{KindTrunk, t.UUID} }
func (t *Trunk) setUUID(s string) { t.UUID = s }
func (t *Trunk) keepID(old Trunk) { t.ID = old.ID }
func (t *Trunk) prepare(master string) {
	t.AutoRecord = cmp.Or(t.AutoRecord, dialplan.AutoInherit)
	if t.TenantUUID == "" {
		t.TenantUUID = master
	}
	if t.Name == "" {
		t.Name = t.Endpoint
	}
}

func (d *Device) ref() Ref       { return Ref{KindDevice, d.Endpoint} }
func (d *Device) setUUID(string) {}
func (d *Device) keepID(Device)  {}
func (d *Device) prepare(string) {}

func (f *Feature) ref() Ref         { return Ref{KindFeature, f.UUID} }
func (f *Feature) setUUID(s string) { f.UUID = s }
func (f *Feature) prepare(string)   {}

// keepID keeps the name too: it says what the feature does. A new one has its
// own.
func (f *Feature) keepID(old Feature) {
	f.ID = old.ID
	if old.Name != "" {
		f.Name = old.Name
	}
}

func (r Ref) notFound() error { return fmt.Errorf("%s %q: %w", r.Kind, r.Key, ErrNotFound) }
