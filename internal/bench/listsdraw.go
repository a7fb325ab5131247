package bench

import (
	"fmt"
	"strings"
	"time"

	"callrecordd/internal/cdr"
	"callrecordd/internal/cdrgen"
	"callrecordd/store"
)

// simple are the filters with the strictest bar.
func simple() []string { return []string{"date", "user", "direction", "recorded", "status"} }

// others are the rest; two of all in any combination have a bar, too.
func others() []string {
	return []string{"tags", "number", "search rare", "search common", "extension", "context", "distinct", "from_id", "conversation"}
}

func kinds(master bool) []kind {
	pair, find := 150.0, 150.0
	if master {
		pair, find = 1000, 1500
	}
	out := []kind{{name: "no filter", bar: 10, n: 100}}
	for _, name := range simple() {
		out = append(out, kind{name: name, filters: []string{name}, bar: 10, n: 100})
		if name != "date" {
			out = append(out, kind{name: name + ", a month", filters: []string{name, "month"}, bar: 10, n: 100})
		}
	}
	out = append(out,
		kind{name: "two simple filters", filters: []string{"simple", "simple"}, bar: pair, n: 100},
		kind{name: "any two filters", filters: []string{"any", "any"}, bar: pair, n: 100},
		kind{name: "search, rare", filters: []string{"search rare"}, bar: 50, n: 50},
		kind{name: "search, common", filters: []string{"search common"}, bar: find, n: 30},
		kind{name: "number, rare", filters: []string{"number"}, bar: 50, n: 50},
		kind{name: "number, common", filters: []string{"number common"}, bar: find, n: 30},
	)
	return out
}

// draw makes a filter of the named ones with random values; simple and any are
// a random one of their list.
func (d *shelf) draw(master bool, names ...string) query {
	tenant := d.rnd.IntN(cdrgen.Tenants)
	if d.rnd.IntN(2) == 0 {
		tenant = 0 // the largest
	}
	q := query{Filter: store.Filter{Tenants: []string{cdrgen.Tenant(tenant)}}}
	if master {
		q.Tenants = cdrgen.AllTenants()
	} else {
		q.and("c.tenant_uuid = ?", q.Tenants[0])
	}
	used := make(map[string]bool)
	for _, name := range names {
		for {
			pick := name
			switch name {
			case "simple":
				pick = d.one(simple()...)
			case "any":
				pick = d.one(append(simple(), others()...)...)
			}
			// search can be there only once
			if key := strings.Fields(pick)[0]; !used[key] {
				used[key] = true
				d.add1(&q, pick)
				break
			}
		}
	}
	if q.CallStatus == "" {
		q.and("c.call_status <> 'blocked'")
	}
	return q
}

func (d *shelf) one(values ...string) string { return values[d.rnd.IntN(len(values))] }

func (d *shelf) add1(q *query, name string) {
	const years = cdrgen.Years * 365 * 24 * time.Hour
	switch name {
	case "date":
		q.From = cdrgen.End().Add(-time.Duration(d.rnd.Int64N(int64(years))))
		q.Until = q.From.Add(time.Duration(d.rnd.Int64N(int64(years / 5))))
	case "month":
		q.From = cdrgen.End().AddDate(0, -1-d.rnd.IntN(cdrgen.Years*12-1), 0)
		q.Until = q.From.AddDate(0, 1, 0)
	case "user":
		user := cdrgen.User(d.rnd.IntN(cdrgen.Users))
		q.UserUUIDs = []string{user}
		q.and("(c.source_user_uuid = ? OR c.destination_user_uuid = ?)", user, user)
	case "direction":
		q.CallDirection = d.one(cdr.DirectionInternal, cdr.DirectionInbound, cdr.DirectionOutbound)
		q.and("c.call_direction = ?", q.CallDirection)
	case "recorded":
		yes := d.rnd.IntN(2) == 0
		q.Recorded = &yes
		q.and("EXISTS (SELECT 1 FROM recordings r WHERE r.cdr_id = c.id) = ?", yes)
	case "status":
		q.CallStatus = d.one(cdr.StatusAnswered, cdr.StatusUnknown, cdr.StatusVoicemail, cdr.StatusBlocked)
		q.and("c.call_status = ?", q.CallStatus)
	case "tags":
		tag := d.one(cdrgen.Tags()...)
		q.Tags = []string{tag}
		q.and("EXISTS (SELECT 1 FROM cdr_tags t WHERE t.cdr_id = c.id AND t.tag = ?)", tag)
	case "number", "number common":
		digits := fmt.Sprintf("%05d", d.rnd.IntN(100_000))
		if name == "number common" {
			digits = fmt.Sprintf("10%d", d.rnd.IntN(10))
		}
		q.Number = "_" + digits + "_"
		q.and("(instr(c.source_extension, ?) OR instr(c.destination_extension, ?))", digits, digits)
	case "search rare", "search common":
		q.Search = fmt.Sprintf("%06d", d.rnd.IntN(1_000_000))
		if name == "search common" {
			q.Search = strings.ToLower(d.one("Clara", "David", "Fatma", "Georg", "Julia", "Maria", "Olga", "Paul"))
		}
		q.and(`instr(lower(c.source_name || char(10) || c.source_extension || char(10) || c.destination_name || char(10) || c.destination_extension), ?)`, q.Search)
	case "extension":
		q.RequestedInternalExtension = fmt.Sprint(1000 + d.rnd.IntN(40))
		q.and("c.requested_internal_extension = ?", q.RequestedInternalExtension)
	case "context":
		q.RequestedInternalContext = "default"
		q.and("c.requested_internal_context = 'default'")
	case "distinct":
		q.DistinctPeer = true
		q.and(`EXISTS (SELECT 1 FROM json_each(c.peers) p WHERE (SELECT max(cdr_id) FROM cdr_peers WHERE peer = p.value) = c.id)`)
	case "from_id":
		q.FromID = d.rnd.Int64N(d.last)
		q.and("c.id >= ?", q.FromID)
	case "conversation":
		q.ConversationID = fmt.Sprintf("%d.%d", cdrgen.End().Unix(), d.rnd.IntN(d.rows))
		q.and("c.conversation_id = ?", q.ConversationID)
	}
	if name == "date" || name == "month" {
		q.and("c.start_at >= ? AND c.start_at < ?", q.From.UnixMicro(), q.Until.UnixMicro())
	}
}

// String names the filter for the report.
func (q query) String() string {
	var parts []string
	say := func(on bool, text string) {
		if on {
			parts = append(parts, text)
		}
	}
	say(!q.From.IsZero(), q.From.Format(time.DateOnly)+".."+q.Until.Format(time.DateOnly))
	say(len(q.UserUUIDs) > 0, "user")
	say(q.CallDirection != "", q.CallDirection)
	say(q.Recorded != nil, "recorded")
	say(q.CallStatus != "", q.CallStatus)
	say(len(q.Tags) > 0, "tag")
	say(q.Number != "", "number="+q.Number)
	say(q.Search != "", "search="+q.Search)
	say(q.RequestedInternalExtension != "", "extension")
	say(q.RequestedInternalContext != "", "context")
	say(q.DistinctPeer, "distinct")
	say(q.FromID > 0, fmt.Sprint("from_id=", q.FromID))
	say(q.ConversationID != "", "conversation")
	return strings.Join(parts, " ")
}
