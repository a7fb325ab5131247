package api

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"callrecordd/dialplan"
	"callrecordd/internal/directory"
)

// confUser is a user. The fields of Wazo's that are nothing here are left out.
type confUser struct {
	ID               int64      `json:"id"`
	UUID             string     `json:"uuid"`
	TenantUUID       string     `json:"tenant_uuid"`
	FirstName        string     `json:"firstname"`
	LastName         *string    `json:"lastname"`
	UserField        *string    `json:"userfield"`
	OutgoingInternal bool       `json:"call_record_outgoing_internal_enabled"`
	OutgoingExternal bool       `json:"call_record_outgoing_external_enabled"`
	IncomingInternal bool       `json:"call_record_incoming_internal_enabled"`
	IncomingExternal bool       `json:"call_record_incoming_external_enabled"`
	All              bool       `json:"call_record_enabled"` // deprecated
	OnDemand         bool       `json:"online_call_record_enabled"`
	Lines            []confLine `json:"lines"`
}

// confLine is a line of a user.
type confLine struct {
	ID         int64           `json:"id"`
	Name       string          `json:"name"`     // the endpoint without its technology
	Endpoint   string          `json:"endpoint"` // such as PJSIP/alice
	Main       bool            `json:"main"`
	Extensions []confExtension `json:"extensions"`
}

func lineBody(l directory.Line) confLine {
	_, name, _ := strings.Cut(l.Endpoint, "/")
	return confLine{l.ID, name, l.Endpoint, l.Main, extensionsOf(l.Exten, l.Context)}
}

func confUserBody(u directory.User) any {
	f := u.Flags
	out := confUser{
		ID: u.ID, UUID: u.UUID, TenantUUID: u.TenantUUID, FirstName: u.FirstName, LastName: orNull(u.LastName),
		UserField: orNull(u.UserField), OutgoingInternal: f.OutgoingInternal, OutgoingExternal: f.OutgoingExternal,
		IncomingInternal: f.IncomingInternal, IncomingExternal: f.IncomingExternal, All: dialplan.Lit(f),
		OnDemand: f.OnDemand, Lines: []confLine{},
	}
	for _, l := range u.Lines {
		out.Lines = append(out.Lines, lineBody(l))
	}
	return out
}

func (s *Server) confUsers() *resource[directory.User] {
	return &resource[directory.User]{
		server: s, path: "/users", word: "users", category: "User", keys: "key",
		entity: func(u *directory.User) entity { return entity{&u.ID, &u.UUID, &u.TenantUUID} },
		list:   func(c directory.Contents) []directory.User { return c.Users },
		same: func(a, b directory.User) bool {
			lines := slices.Equal(a.Lines, b.Lines)
			a.Lines, b.Lines = nil, nil
			return lines && a.ID == b.ID && a.UUID == b.UUID && a.TenantUUID == b.TenantUUID && a.FirstName == b.FirstName &&
				a.LastName == b.LastName && a.UserField == b.UserField && a.Flags == b.Flags
		},
		body: confUserBody, apply: applyConfUser,
		columns: []column[directory.User]{
			{name: "firstname", text: func(u directory.User) string { return u.FirstName }, searched: true},
			{name: "lastname", text: func(u directory.User) string { return u.LastName }, searched: true},
			{name: "userfield", text: func(u directory.User) string { return u.UserField }, searched: true},
			{name: "exten", text: func(u directory.User) string { return u.MainLine().Exten }, searched: true},
			{name: "id", text: func(u directory.User) string { return strconv.FormatInt(u.ID, 10) }, number: true},
			{name: "uuid", text: func(u directory.User) string { return u.UUID }},
		},
		create: Directory.CreateUser, edit: Directory.EditUser, remove: Directory.DeleteUser, allowed: linesAllowed,
	}
}

// linesAllowed keeps users, who may change themselves, from taking the line of
// somebody else and with it the calls. Wazo has an access of its own for a
// user's lines, and no line in the body of a user.
func linesAllowed(rc request, before, after directory.User) error {
	access := "confd.users." + after.UUID + ".lines.update"
	if slices.EqualFunc(before.Lines, after.Lines, func(a, b directory.Line) bool {
		return a.Endpoint == b.Endpoint && a.Exten == b.Exten && a.Context == b.Context
	}) || rc.token.Allows(access) {
		return nil
	}
	return unauthorized("missing_permission_or_invalid_tenant", access, rc.tenant)
}

// applyConfUser follows recording-rules 5.2: the deprecated field stands for all
// four and must not be sent beside any of them.
func applyConfUser(b *confBody, u *directory.User) {
	b.required("firstname", &u.FirstName)
	b.text("lastname", &u.LastName, true)
	b.text("userfield", &u.UserField, true)
	f := &u.Flags
	four := []struct {
		name string
		flag *bool
	}{
		{"call_record_outgoing_internal_enabled", &f.OutgoingInternal},
		{"call_record_outgoing_external_enabled", &f.OutgoingExternal},
		{"call_record_incoming_internal_enabled", &f.IncomingInternal},
		{"call_record_incoming_external_enabled", &f.IncomingExternal},
	}
	const all, onDemand = "call_record_enabled", "online_call_record_enabled"
	if b.has(all) && (!b.creating || !b.null(all)) {
		on := dialplan.Lit(*f)
		b.boolean(all, &on)
		for _, one := range four {
			*one.flag = on
			if b.has(one.name) {
				b.refuse(all, "Cannot be set along with "+one.name+".")
				return
			}
		}
	}
	for _, one := range four {
		b.boolean(one.name, one.flag)
	}
	if !b.creating || !b.null(onDemand) {
		b.boolean(onDemand, &f.OnDemand)
	}
	b.lines(&u.Lines)
}

// lines replaces a user's lines. Wazo's clients name only a line; that is a
// PJSIP endpoint.
func (b *confBody) lines(to *[]directory.Line) {
	raw, sent := b.values["lines"]
	if !sent {
		return
	}
	var list []confLine
	if b.null("lines") || json.Unmarshal(raw, &list) != nil {
		b.refuse("lines", "Not a valid list of lines.")
		return
	}
	*to = nil
	for _, l := range list {
		line := directory.Line{Endpoint: l.Endpoint, Main: l.Main}
		if line.Endpoint == "" && l.Name != "" {
			line.Endpoint = "PJSIP/" + l.Name
		}
		if len(l.Extensions) > 1 {
			b.refuse("lines", "A line has one extension.")
		} else if len(l.Extensions) == 1 {
			line.Exten, line.Context = l.Extensions[0].Exten, l.Extensions[0].Context
		}
		*to = append(*to, line)
	}
}

// userLine is a line with its user, for the list of lines.
type userLine struct {
	directory.Line
	UserUUID, FirstName, LastName, TenantUUID string
}

// confUserLine is a line by itself.
type confUserLine struct {
	confLine
	TenantUUID string      `json:"tenant_uuid"`
	Users      []lineOwner `json:"users"`
}

type lineOwner struct {
	UUID      string `json:"uuid"`
	FirstName string `json:"firstname"`
	LastName  string `json:"lastname"`
}

// confLines can be read alone; they are changed with their users.
func (s *Server) confLines() *resource[userLine] {
	return &resource[userLine]{
		server: s, path: "/lines", word: "lines", category: "Line", keys: "int",
		entity: func(l *userLine) entity { return entity{ID: &l.ID, Tenant: &l.TenantUUID} },
		list: func(c directory.Contents) (out []userLine) {
			for _, u := range c.Users {
				for _, l := range u.Lines {
					out = append(out, userLine{l, u.UUID, u.FirstName, u.LastName, u.TenantUUID})
				}
			}
			return out
		},
		same: func(a, b userLine) bool { return a == b },
		body: func(l userLine) any {
			return confUserLine{lineBody(l.Line), l.TenantUUID, []lineOwner{{l.UserUUID, l.FirstName, l.LastName}}}
		},
		columns: []column[userLine]{
			{name: "name", text: func(l userLine) string { return lineBody(l.Line).Name }, searched: true},
			{name: "exten", text: func(l userLine) string { return l.Exten }, searched: true},
			{name: "context", text: func(l userLine) string { return l.Context }, searched: true},
			{name: "id", text: func(l userLine) string { return strconv.FormatInt(l.ID, 10) }, number: true},
		},
	}
}
