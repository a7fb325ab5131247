package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"callrecordd/dialplan"
)

// memory is a Repo without a disk. Ids are given in order.
type memory struct {
	ids   int64
	saved []*Changeset
	err   error
}

func (m *memory) LoadDirectory(context.Context) (Contents, error) { return Contents{}, nil }

func (m *memory) SaveDirectory(_ context.Context, cs *Changeset) error {
	if m.err != nil {
		return m.err
	}
	for i := range cs.Save.Users {
		m.give(&cs.Save.Users[i].ID)
		for j := range cs.Save.Users[i].Lines {
			m.give(&cs.Save.Users[i].Lines[j].ID)
		}
	}
	for i := range cs.Save.Queues {
		m.give(&cs.Save.Queues[i].ID)
	}
	m.saved = append(m.saved, cs)
	return nil
}

func (m *memory) give(id *int64) {
	if *id == 0 {
		m.ids++
		*id = m.ids
	}
}

func newService(t *testing.T) (*Service, *memory) {
	t.Helper()
	m, n := &memory{}, 0
	s, err := New(t.Context(), Options{
		Repo: m, Now: func() time.Time { return time.Unix(1000, 0) },
		NewUUID: func() string { n++; return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, m
}

func alice() User {
	return User{FirstName: "Alice", Lines: []Line{{Endpoint: "PJSIP/alice", Exten: "2001", Context: "users"}}}
}

func TestFirstStartMakesMasterTenantAndFeatures(t *testing.T) {
	s, m := newService(t)
	if got := s.Book().Master(); got.Name != "master" || got.Parent != got.UUID {
		t.Errorf("master = %+v", got)
	}
	f, ok := s.Book().Feature(dialplan.FeatureSwitch)
	if !ok || f.Exten != "*26" || !f.Enabled {
		t.Errorf("feature = %+v, %v", f, ok)
	}
	if len(m.saved) != 2 || m.saved[0].Actor != "system" || m.saved[1].Actor != "system" {
		t.Errorf("saved %v", m.saved)
	}
}

func TestEditFeature(t *testing.T) {
	s, m := newService(t)
	old, _ := s.Book().Feature(dialplan.FeatureSwitch)
	edit := func(change func(*Feature)) (Feature, error) {
		return s.EditFeature(t.Context(), "root", old.UUID, func(f *Feature) error { change(f); return nil })
	}
	got, err := edit(func(f *Feature) { f.Exten, f.Enabled, f.Name, f.UUID = "*81", false, "other", "x" })
	if want := (Feature{ID: old.ID, UUID: old.UUID, Name: old.Name, Exten: "*81"}); err != nil || got != want {
		t.Errorf("changed to %+v, %v; want %+v", got, err, want)
	}
	if now, _ := s.Book().Feature(dialplan.FeatureSwitch); now != got {
		t.Errorf("the book has %+v", now)
	}
	if c := m.saved[len(m.saved)-1].Changes; len(c) != 1 || c[0].Kind != "directory.feature.changed" {
		t.Errorf("changes %+v", c)
	}
	for _, exten := range []string{"", "1", "2001", "*", "26a", "*26,1,NoOp()\n", strings.Repeat("1", 41)} {
		var invalid *ErrInvalid
		if _, err := edit(func(f *Feature) { f.Exten = exten }); !errors.As(err, &invalid) || invalid.Field != "exten" {
			t.Errorf("extension %q: %v", exten, err)
		}
	}
	if _, err := s.CreateUser(t.Context(), "root", alice()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateGroup(t.Context(), "root", Group{Name: "g", Exten: "*771", Context: "users"}); err != nil {
		t.Fatal(err)
	}
	if _, err := edit(func(f *Feature) { f.Exten = "*771" }); !errors.Is(err, ErrConflict) {
		t.Errorf("the extension of a group: %v", err)
	}
	if _, err := s.CreateGroup(t.Context(), "root", Group{Name: "h", Exten: "*8177", Context: "users"}); !errors.Is(err, ErrConflict) {
		t.Errorf("a group at a lamp key: %v", err)
	}
	if _, err := s.CreateGroup(t.Context(), "root", Group{Name: "g", Exten: "*81", Context: "users"}); !errors.Is(err, ErrConflict) {
		t.Errorf("a group at the number of a feature: %v", err)
	}
	if _, err := s.EditFeature(t.Context(), "root", "none", func(*Feature) error { return nil }); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such feature: %v", err)
	}
}

func TestBookLookups(t *testing.T) {
	s, _ := newService(t)
	u, err := s.CreateUser(t.Context(), "root", alice())
	if err != nil {
		t.Fatal(err)
	}
	if u.ID == 0 || u.Lines[0].ID == 0 || !u.Lines[0].Main || u.TenantUUID != s.Book().Master().UUID {
		t.Errorf("created %+v", u)
	}
	before := s.Book()
	if _, err := s.EditFlags(t.Context(), u.UUID, u.UUID, func(f dialplan.Flags) dialplan.Flags {
		f.OutgoingExternal = true
		return f
	}); err != nil {
		t.Fatal(err)
	}
	if before.Party("PJSIP/alice").Flags.OutgoingExternal {
		t.Error("an old book has changed")
	}
	p := s.Book().Party("PJSIP/alice")
	if p.Kind != dialplan.KindUser || p.UserUUID != u.UUID || !p.Flags.OutgoingExternal || p.Tenant != u.TenantUUID {
		t.Errorf("party = %+v", p)
	}
	if got := s.Book().Endpoint("PJSIP/mallory").Kind; got != dialplan.KindUnknown {
		t.Errorf("kind of an unknown endpoint = %s", got)
	}
	if got, ok := s.Book().UserAt("2001", "users"); !ok || got.ID != u.ID {
		t.Errorf("UserAt = %+v, %v", got, ok)
	}
	if _, ok := s.Book().UserAt("", ""); ok {
		t.Error("somebody is at no extension")
	}
}

func TestSubtree(t *testing.T) {
	s, _ := newService(t)
	a, _ := s.CreateTenant(t.Context(), "root", Tenant{Name: "a"})
	b, err := s.CreateTenant(t.Context(), "root", Tenant{Name: "b", Parent: a.UUID})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Book().Subtree(s.Book().Master().UUID); len(got) != 3 || got[2] != b.UUID {
		t.Errorf("subtree of master = %v", got)
	}
	if got := s.Book().Subtree("nowhere"); got != nil {
		t.Errorf("subtree of an unknown tenant = %v", got)
	}
	if _, err := s.EditTenant(t.Context(), "root", a.UUID, func(x *Tenant) error { x.Parent = b.UUID; return nil }); !isInvalid(err, "parent_uuid") {
		t.Errorf("a circle of tenants: %v", err)
	}
	if err := s.DeleteTenant(t.Context(), "root", a.UUID); !errors.Is(err, ErrConflict) {
		t.Errorf("deleting a tenant with one below: %v", err)
	}
}

func isInvalid(err error, field string) bool {
	var inv *ErrInvalid
	return errors.As(err, &inv) && inv.Field == field
}

func TestRefused(t *testing.T) {
	s, m := newService(t)
	u, err := s.CreateUser(t.Context(), "root", alice())
	if err != nil {
		t.Fatal(err)
	}
	saved := len(m.saved)
	create := func(change func(*User)) error {
		v := User{FirstName: "Bob", Lines: []Line{{Endpoint: "PJSIP/bob", Exten: "2002", Context: "users"}}}
		change(&v)
		_, err := s.CreateUser(t.Context(), "root", v)
		return err
	}
	for field, change := range map[string]func(*User){
		"first_name":     func(u *User) { u.FirstName = " " },
		"last_name":      func(u *User) { u.LastName = strings.Repeat("x", 256) },
		"user_field":     func(u *User) { u.UserField = "a\nb" },
		"tenant_uuid":    func(u *User) { u.TenantUUID = "nowhere" },
		"uuid":           func(u *User) { u.UUID = "../../etc" },
		"lines.endpoint": func(u *User) { u.Lines[0].Endpoint = "bob" },
		"lines.exten":    func(u *User) { u.Lines[0].Exten = "" },
		"lines.context":  func(u *User) { u.Lines[0].Context = "a,b" },
		"lines.main":     func(u *User) { u.Lines = []Line{{Endpoint: "PJSIP/x", Main: true}, {Endpoint: "PJSIP/y", Main: true}} },
	} {
		if err := create(change); !isInvalid(err, field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := create(func(v *User) { v.Lines[0].Endpoint = "PJSIP/alice" }); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "PJSIP/alice") {
		t.Errorf("a taken endpoint: %v", err)
	}
	if err := create(func(v *User) { v.UUID = u.UUID }); !errors.Is(err, ErrConflict) {
		t.Errorf("a taken uuid: %v", err)
	}
	if _, err := s.CreateGroup(t.Context(), "root", Group{Name: "g", Exten: "2001", Context: "users"}); !errors.Is(err, ErrConflict) {
		t.Errorf("a taken extension: %v", err)
	}
	if _, err := s.CreateTrunk(t.Context(), "root", Trunk{Endpoint: "PJSIP/alice"}); !errors.Is(err, ErrConflict) {
		t.Errorf("a user's endpoint as trunk: %v", err)
	}
	if err := s.DeleteUser(t.Context(), "root", "00000000-0000-4000-8000-999999999999"); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleting nobody: %v", err)
	}
	if len(m.saved) != saved {
		t.Error("something refused was saved")
	}
	m.err = errors.New("disk full")
	if _, err := s.EditUser(t.Context(), "root", u.UUID, func(u *User) error { u.FirstName = "Eve"; return nil }); err == nil {
		t.Error("a failed save was not reported")
	}
	if got, _ := s.Book().User(u.UUID); got.FirstName != "Alice" {
		t.Error("the book changed although the save failed")
	}
}

func TestImport(t *testing.T) {
	s, m := newService(t)
	if _, err := s.CreateUser(t.Context(), "root", alice()); err != nil {
		t.Fatal(err)
	}
	found := Found{
		Endpoints: []FoundEndpoint{
			{Name: "provider", Trunk: true},
			{Name: "alice", Context: "users"},
			{Name: "alice-mobile", Context: "users", CallerNumber: "2001"},
			{Name: "alice-web", Context: "users", CallerNumber: "2001"},
			{Name: "bob", Context: "users", CallerName: "Bob van Dyke", CallerNumber: "2002", TenantID: "acme"},
			{Name: "bob2", Context: "users", CallerNumber: "2002", TenantID: "acme"},
		},
		Queues: []string{"support"},
	}
	plan := PlanImport(s.Book(), found)
	n, err := s.Apply(t.Context(), "root", plan)
	if err != nil {
		t.Fatalf("%v\n%+v", err, plan)
	}
	b := s.Book()
	if b.Endpoint("PJSIP/provider").Kind != dialplan.KindTrunk {
		t.Error("the trunk is none")
	}
	acme, _ := b.TenantByAsteriskID("acme")
	bob := b.Endpoint("PJSIP/bob")
	if bob.User.Name() != "Bob van Dyke" || bob.TenantUUID != acme.UUID || bob.Line.Exten != "2002" {
		t.Errorf("bob = %+v", bob)
	}
	if got := b.Endpoint("PJSIP/bob2"); got.Line.Exten != "" || got.User.UUID == bob.User.UUID {
		t.Errorf("bob2 = %+v", got)
	}
	if a, _ := b.UserAt("2001", "users"); len(a.Lines) != 3 || a.MainLine().Endpoint != "PJSIP/alice" {
		t.Errorf("alice's lines = %+v", a.Lines)
	}
	if _, ok := b.Queue("support"); !ok {
		t.Error("no queue")
	}
	if last := m.saved[len(m.saved)-1]; len(last.Changes) != n || n != 6 {
		t.Errorf("%d changes, %d events: %+v", n, len(last.Changes), last.Changes)
	}
	if again := PlanImport(b, found); len(again.Proposals) != 0 || again.Unchanged != 7 {
		t.Errorf("a second import would do %+v", again)
	}
}
