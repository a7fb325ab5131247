package api

import (
	"slices"
	"strconv"

	"callrecordd/dialplan"
	"callrecordd/internal/directory"
)

// routed are the rows of one kind of objects.
type routed interface{ routes() []route }

// confResources are all kinds. There is one of each, whose lists are kept ready.
func (s *Server) confResources() []routed {
	return []routed{s.confUsers(), s.confLines(), s.confGroups(), s.confQueues(), s.confTrunks(), s.confFeatures()}
}

// directoryRoutes are the rows of confd (recording-rules 5).
func (s *Server) directoryRoutes() []route {
	out := append(s.toggleKeyRoutes(), s.announcementRoutes()...)
	for _, rs := range s.resources {
		out = append(out, rs.routes()...)
	}
	return out
}

// confGroup is a group or a queue: they look alike.
type confGroup struct {
	ID               int64               `json:"id"`
	UUID             string              `json:"uuid"`
	TenantUUID       string              `json:"tenant_uuid"`
	Name             string              `json:"name"`
	Label            *string             `json:"label"`
	DTMFRecordToggle bool                `json:"dtmf_record_toggle"`
	AutoRecord       dialplan.AutoRecord `json:"auto_record"`
	Extensions       []confExtension     `json:"extensions"`
}

// auto sets auto_record, which is beyond Wazo.
func (b *confBody) auto(to *dialplan.AutoRecord) {
	word := string(*to)
	b.text("auto_record", &word, false)
	*to = dialplan.AutoRecord(word)
	if b.has("auto_record") && !slices.Contains(dialplan.AutoRecords(), *to) {
		b.refuse("auto_record", "Must be one of: inherit, always, never.")
	}
}

func (s *Server) confGroups() *resource[directory.Group] {
	return &resource[directory.Group]{
		server: s, path: "/groups", word: "groups", category: "Group", keys: "key",
		entity: func(g *directory.Group) entity { return entity{&g.ID, &g.UUID, &g.TenantUUID} },
		list:   func(c directory.Contents) []directory.Group { return c.Groups },
		same:   func(a, b directory.Group) bool { return a == b },
		body: func(g directory.Group) any {
			return confGroup{
				g.ID, g.UUID, g.TenantUUID, g.Name, orNull(g.Label), g.DTMFRecordToggle, g.AutoRecord, extensionsOf(g.Exten, g.Context),
			}
		},
		columns: []column[directory.Group]{
			{name: "name", text: func(g directory.Group) string { return g.Name }, searched: true},
			{name: "label", text: func(g directory.Group) string { return g.Label }, searched: true},
			{name: "exten", text: func(g directory.Group) string { return g.Exten }, searched: true},
			{name: "id", text: func(g directory.Group) string { return strconv.FormatInt(g.ID, 10) }, number: true},
			{name: "uuid", text: func(g directory.Group) string { return g.UUID }},
		},
		apply: func(b *confBody, g *directory.Group) {
			// Wazo makes the name of a label, which is all that its clients send.
			if b.creating && !b.has("name") && b.has("label") {
				b.text("label", &g.Name, false)
			} else {
				b.required("name", &g.Name)
			}
			b.text("label", &g.Label, true)
			b.boolean("dtmf_record_toggle", &g.DTMFRecordToggle)
			b.auto(&g.AutoRecord)
			b.place(&g.Exten, &g.Context)
		},
		create: Directory.CreateGroup, edit: Directory.EditGroup, remove: Directory.DeleteGroup,
	}
}

func (s *Server) confQueues() *resource[directory.Queue] {
	return &resource[directory.Queue]{
		server: s, path: "/queues", word: "queues", category: "Queue", keys: "key",
		entity: func(q *directory.Queue) entity { return entity{&q.ID, &q.UUID, &q.TenantUUID} },
		list:   func(c directory.Contents) []directory.Queue { return c.Queues },
		same:   func(a, b directory.Queue) bool { return a == b },
		body: func(q directory.Queue) any {
			return confGroup{
				q.ID, q.UUID, q.TenantUUID, q.Name, orNull(q.Label), q.DTMFRecordToggle, q.AutoRecord, extensionsOf(q.Exten, q.Context),
			}
		},
		columns: []column[directory.Queue]{
			{name: "name", text: func(q directory.Queue) string { return q.Name }, searched: true},
			{name: "label", text: func(q directory.Queue) string { return q.Label }, searched: true},
			{name: "exten", text: func(q directory.Queue) string { return q.Exten }, searched: true},
			{name: "id", text: func(q directory.Queue) string { return strconv.FormatInt(q.ID, 10) }, number: true},
			{name: "uuid", text: func(q directory.Queue) string { return q.UUID }},
		},
		apply: func(b *confBody, q *directory.Queue) {
			if b.creating { // the name is that of app_queue and stays
				b.required("name", &q.Name)
			}
			b.text("label", &q.Label, true)
			b.boolean("dtmf_record_toggle", &q.DTMFRecordToggle)
			b.auto(&q.AutoRecord)
			b.place(&q.Exten, &q.Context)
		},
		create: Directory.CreateQueue, edit: Directory.EditQueue, remove: Directory.DeleteQueue,
	}
}

// confTrunk is an endpoint that leads outside.
type confTrunk struct {
	ID         int64               `json:"id"`
	UUID       string              `json:"uuid"`
	TenantUUID string              `json:"tenant_uuid"`
	Name       string              `json:"name"`
	Endpoint   string              `json:"endpoint"` // such as PJSIP/provider
	AutoRecord dialplan.AutoRecord `json:"auto_record"`
}

func (s *Server) confTrunks() *resource[directory.Trunk] {
	return &resource[directory.Trunk]{
		server: s, path: "/trunks", word: "trunks", category: "Trunk", keys: "key",
		entity: func(t *directory.Trunk) entity { return entity{&t.ID, &t.UUID, &t.TenantUUID} },
		list:   func(c directory.Contents) []directory.Trunk { return c.Trunks },
		same:   func(a, b directory.Trunk) bool { return a == b },
		body: func(t directory.Trunk) any {
			return confTrunk{t.ID, t.UUID, t.TenantUUID, t.Name, t.Endpoint, t.AutoRecord}
		},
		columns: []column[directory.Trunk]{
			{name: "name", text: func(t directory.Trunk) string { return t.Name }, searched: true},
			{name: "endpoint", text: func(t directory.Trunk) string { return t.Endpoint }, searched: true},
			{name: "id", text: func(t directory.Trunk) string { return strconv.FormatInt(t.ID, 10) }, number: true},
			{name: "uuid", text: func(t directory.Trunk) string { return t.UUID }},
		},
		apply: func(b *confBody, t *directory.Trunk) {
			b.required("endpoint", &t.Endpoint)
			b.text("name", &t.Name, false)
			b.auto(&t.AutoRecord)
		},
		create: Directory.CreateTrunk, edit: Directory.EditTrunk, remove: Directory.DeleteTrunk,
	}
}
