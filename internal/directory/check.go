package directory

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"callrecordd/dialplan"
)

// maxText is the column limit of upstream (cdr-api 4), in characters.
const maxText = 255

func text(field, v string, required bool) error {
	switch {
	case required && strings.TrimSpace(v) == "":
		return &ErrInvalid{field, "must not be empty"}
	case !utf8.ValidString(v):
		return &ErrInvalid{field, "is not UTF-8"}
	case utf8.RuneCountInString(v) > maxText:
		return &ErrInvalid{field, fmt.Sprintf("has more than %d characters", maxText)}
	case strings.ContainsFunc(v, unicode.IsControl):
		return &ErrInvalid{field, fmt.Sprintf("%q has control characters", v)}
	}
	return nil
}

// Compiled once: for each of the users of an import that would take longer
// than all the rest.
var (
	uuidPattern     = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	endpointPattern = regexp.MustCompile(`^[A-Za-z0-9]{1,32}/[^\s,&()/]{1,128}$`)
	extenPattern    = regexp.MustCompile(`^[0-9A-Za-z*#+._-]{1,80}$`)
	contextPattern  = regexp.MustCompile(`^[0-9A-Za-z._-]{1,80}$`)
	queuePattern    = regexp.MustCompile(`^[^\s,|^&]{1,128}$`)
	slugPattern     = regexp.MustCompile(`^[a-zA-Z0-9_]{0,10}$`)
)

func matching(field, v string, pattern *regexp.Regexp, want string) error {
	if !pattern.MatchString(v) {
		return &ErrInvalid{field, fmt.Sprintf("%q is not %s", v, want)}
	}
	return nil
}

func uuidField(field, v string) error {
	return matching(field, v, uuidPattern, "a uuid in lower case")
}

func endpointField(field, v string) error {
	return matching(field, v, endpointPattern, "an endpoint like PJSIP/alice")
}

// place checks where something is called: both or neither.
func place(prefix, exten, context string) error {
	if exten == "" && context == "" {
		return nil
	}
	if err := matching(prefix+"exten", exten, extenPattern, "an extension like 2001"); err != nil {
		return err
	}
	return matching(prefix+"context", context, contextPattern, "the name of a dialplan context")
}

func autoField(v dialplan.AutoRecord) error {
	if !slices.Contains(dialplan.AutoRecords(), v) {
		return &ErrInvalid{"auto_record", fmt.Sprintf("%q is not one of inherit, always, never", v)}
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *Tenant) check() error {
	return firstError(uuidField("uuid", t.UUID), text("name", t.Name, true),
		uuidField("parent_uuid", t.Parent), text("asterisk_id", t.AsteriskID, false),
		matching("slug", t.Slug, slugPattern, "at most 10 letters, digits and _"),
		text("contact", t.Details.Contact, false), text("phone", t.Details.Phone, false), t.Details.Address.check())
}

func (a Address) check() error {
	return firstError(text("address.line_1", a.Line1, false), text("address.line_2", a.Line2, false),
		text("address.city", a.City, false), text("address.state", a.State, false),
		text("address.country", a.Country, false), text("address.zip_code", a.ZipCode, false))
}

func (u *User) check() error {
	if err := firstError(uuidField("uuid", u.UUID), text("first_name", u.FirstName, true),
		text("last_name", u.LastName, false), text("user_field", u.UserField, false)); err != nil {
		return err
	}
	mains := 0
	for _, l := range u.Lines {
		if err := firstError(endpointField("lines.endpoint", l.Endpoint), place("lines.", l.Exten, l.Context)); err != nil {
			return err
		}
		if l.Main {
			mains++
		}
	}
	if mains > 1 {
		return &ErrInvalid{"lines.main", fmt.Sprintf("%d lines are marked as main, only one can be", mains)}
	}
	return nil
}

func (g *Group) check() error {
	return firstError(uuidField("uuid", g.UUID), text("name", g.Name, true),
		text("label", g.Label, false), place("", g.Exten, g.Context), autoField(g.AutoRecord))
}

func (q *Queue) check() error {
	return firstError(uuidField("uuid", q.UUID), autoField(q.AutoRecord), text("label", q.Label, false), place("", q.Exten, q.Context),
		matching("name", q.Name, queuePattern, "the name of an app_queue queue"))
}

func (t *Trunk) check() error {
	return firstError(uuidField("uuid", t.UUID), text("name", t.Name, true), endpointField("endpoint", t.Endpoint), autoField(t.AutoRecord))
}

func (f *Feature) check() error {
	if err := dialplan.CheckExten(f.Exten); err != nil {
		return &ErrInvalid{"exten", err.Error()}
	}
	return uuidField("uuid", f.UUID)
}

func (d *Device) check() error { return endpointField("endpoint", d.Endpoint) }

// checker finds what cannot stand side by side. Only problems of entries that
// change are reported: an old one must not block every other change.
type checker struct {
	tenants map[string]Tenant
	changed map[Ref]bool
	taken   map[string]Ref // "endpoint PJSIP/alice", "extension 2001@users" → owner
	dialled map[string]Ref // extensions in whatever context → one of the owners
	root    string         // of the tenants' folders
	err     error
}

// checkAll checks the entries of changed in the directory as it would become.
func checkAll(next Contents, changed map[Ref]bool, root string) error {
	c := &checker{root: root, tenants: map[string]Tenant{}, changed: changed, taken: map[string]Ref{}, dialled: map[string]Ref{}}
	for _, t := range next.Tenants {
		c.tenants[t.UUID] = t
	}
	for i := range next.Tenants {
		c.tenant(&next.Tenants[i])
	}
	for i := range next.Users {
		c.user(&next.Users[i])
	}
	for i := range next.Groups {
		g := &next.Groups[i]
		c.entry(g.ref(), g.check, g.TenantUUID)
		c.takePlace(g.ref(), g.Exten, g.Context)
	}
	for i := range next.Queues {
		q := &next.Queues[i]
		c.entry(q.ref(), q.check, q.TenantUUID)
		c.takePlace(q.ref(), q.Exten, q.Context)
		c.take(q.ref(), "queue name", q.Name)
	}
	for i := range next.Trunks {
		t := &next.Trunks[i]
		c.entry(t.ref(), t.check, t.TenantUUID)
		c.take(t.ref(), "endpoint", t.Endpoint)
	}
	for i := range next.Devices {
		d := &next.Devices[i]
		c.fail(d.ref(), d.check())
		c.take(d.ref(), "endpoint", d.Endpoint)
	}
	for i := range next.Features {
		f := &next.Features[i]
		c.fail(f.ref(), f.check())
		c.take(f.ref(), "feature extension", f.Exten)
		// Every context of telephones includes the features.
		for _, exten := range slices.Sorted(maps.Keys(c.dialled)) {
			if dialplan.LampClash(f.Exten, exten) {
				c.clash("extension "+exten, c.dialled[exten], f.ref())
			}
		}
	}
	return c.err
}

func (c *checker) fail(r Ref, err error) {
	if c.err == nil && err != nil && c.changed[r] {
		c.err = fmt.Errorf("%s %s: %w", r.Kind, r.Key, err)
	}
}

func (c *checker) entry(r Ref, check func() error, tenant string) {
	c.fail(r, check())
	if _, ok := c.tenants[tenant]; !ok {
		c.fail(r, &ErrInvalid{"tenant_uuid", fmt.Sprintf("there is no tenant %q", tenant)})
	}
}

// take notes that r uses what, e.g. an endpoint, which only one may.
func (c *checker) take(r Ref, what, value string) {
	name := what + " " + value
	owner, ok := c.taken[name]
	if !ok {
		c.taken[name] = r
		return
	}
	c.clash(name, owner, r)
}

func (c *checker) clash(name string, owner, r Ref) {
	if c.err == nil && (c.changed[r] || c.changed[owner]) {
		c.err = fmt.Errorf("%s is used by %s %s and by %s %s: %w",
			name, owner.Kind, owner.Key, r.Kind, r.Key, ErrConflict)
	}
}

func (c *checker) takePlace(r Ref, exten, context string) {
	if exten != "" {
		if c.dialled[exten] == (Ref{}) || c.changed[r] {
			c.dialled[exten] = r
		}
		c.take(r, "extension", exten+"@"+context)
	}
}

func (c *checker) tenant(t *Tenant) {
	c.fail(t.ref(), firstError(t.check(), t.Announce.check(c.root, t.UUID)))
	if t.AsteriskID != "" {
		c.take(t.ref(), "asterisk_id", t.AsteriskID)
	}
	if t.Slug != "" {
		c.take(t.ref(), "slug", t.Slug)
	}
	if t.Parent == t.UUID {
		c.take(t.ref(), "place of the", "master tenant")
		return
	}
	// A chain longer than there are tenants runs in a circle.
	p, left := *t, len(c.tenants)
	for p.Parent != p.UUID && left >= 0 {
		up, ok := c.tenants[p.Parent]
		if !ok {
			c.fail(t.ref(), &ErrInvalid{"parent_uuid", fmt.Sprintf("there is no tenant %q", p.Parent)})
			return
		}
		p, left = up, left-1
	}
	if left < 0 {
		c.fail(t.ref(), &ErrInvalid{"parent_uuid", "a tenant cannot be below itself"})
	}
}

func (c *checker) user(u *User) {
	c.entry(u.ref(), u.check, u.TenantUUID)
	places := map[string]bool{}
	for _, l := range u.Lines {
		c.take(u.ref(), "endpoint", l.Endpoint)
		// One user's lines may share an extension: it rings all of them.
		if at := l.Exten + "@" + l.Context; !places[at] {
			places[at] = true
			c.takePlace(u.ref(), l.Exten, l.Context)
		}
	}
}
