package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/recorder"
)

var at = time.Date(2026, 11, 23, 9, 0, 1, 0, time.UTC)

func stored(kind string, data any) Stored {
	text, err := json.Marshal(data)
	if err != nil {
		text = nil
	}
	return Stored{At: at, Kind: kind, Call: "17.1", Data: text}
}

func user(leg string, role dialplan.Role, f dialplan.Flags) dialplan.Party {
	name := map[string]string{"17.1": "alice", "17.2": "bob"}[leg]
	return dialplan.Party{Leg: leg, Endpoint: "PJSIP/" + name, Role: role, Kind: dialplan.KindUser, UserUUID: name, Tenant: "t", Flags: f}
}

// talk is a decision as the rules made it, with what it led to.
func talk(parties ...dialplan.Party) recorder.DecisionData {
	d := recorder.DecisionData{Change: "began", Input: dialplan.Input{Parties: parties}, Decision: dialplan.Decide(dialplan.Input{Parties: parties})}
	for _, v := range d.Decision.Claims() {
		d.Claims = append(d.Claims, recorder.Claim{Leg: v.Leg, Reason: v.Reason, At: at})
	}
	d.Records = len(d.Claims) > 0
	return d
}

func with(d recorder.DecisionData, claims ...recorder.Claim) recorder.DecisionData {
	d.Claims, d.Records = claims, len(claims) > 0
	return d
}

// told is a difference in a line.
func told(d *Difference) string {
	if d == nil {
		return "same"
	}
	out := string(d.Effect)
	for _, c := range d.Parties {
		out += fmt.Sprintf(", %s %s → %s", strings.TrimPrefix(c.Endpoint, "PJSIP/"), c.Was, c.Would)
	}
	return out
}

func settings(t *testing.T, text string) Settings {
	t.Helper()
	s, err := Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDecisionsMadeAgain(t *testing.T) {
	none, out := dialplan.Flags{}, dialplan.Flags{OutgoingInternal: true}
	alice := func(f dialplan.Flags) dialplan.Party { return user("17.1", dialplan.RoleCaller, f) }
	bob := func(f dialplan.Flags) dialplan.Party { return user("17.2", dialplan.RolePeer, f) }
	queued := bob(none)
	queued.Queue, queued.QueueAuto = "support", dialplan.AutoAlways
	trunk := dialplan.Party{Leg: "17.1", Endpoint: "PJSIP/provider", Role: dialplan.RoleCaller, Kind: dialplan.KindTrunk}
	pressed := recorder.Claim{Leg: "17.2", Reason: dialplan.OnDemand, At: at}
	ruled := recorder.Claim{Leg: "17.1", Reason: dialplan.RuleOutInternal, At: at}
	for name, c := range map[string]struct {
		data     recorder.DecisionData
		settings string
		want     string
	}{
		"another's flag":                {talk(alice(none), bob(none)), "users: {carol: {outgoing_internal: true}}", "same"},
		"a flag that does not count":    {talk(alice(none), bob(none)), "users: {alice: {outgoing_external: true, incoming_internal: true}}", "same"},
		"a caller's flag":               {talk(alice(none), bob(none)), "users: {alice: {outgoing_internal: true}}", "would_be_recorded, alice none.flags_off → rule.out.internal"},
		"a caller's flag off":           {talk(alice(out), bob(none)), "users: {alice: {outgoing_internal: false}}", "would_not_be_recorded, alice rule.out.internal → none.flags_off"},
		"everybody's flag":              {talk(alice(none), bob(none)), `{"users": {"*": {"incoming_internal": true}}}`, "would_be_recorded, bob none.flags_off → rule.in.internal"},
		"everybody's but one's":         {talk(alice(none), bob(none)), `users: {"*": {incoming_internal: true}, bob: {incoming_internal: false}}`, "same"},
		"one more wants it":             {talk(alice(out), bob(none)), "users: {bob: {incoming_internal: true}}", "other_reason, bob none.flags_off → rule.in.internal"},
		"the queue says nothing":        {talk(alice(none), queued), "queues: {support: {auto_record: inherit}}", "would_not_be_recorded, bob auto.always → none.flags_off"},
		"the queue says never":          {talk(alice(out), queued), "queues: {support: {auto_record: never}}", "would_not_be_recorded, alice rule.out.internal → auto.never, bob auto.always → auto.never"},
		"another queue":                 {talk(alice(none), queued), "queues: {sales: {auto_record: never}}", "same"},
		"a trunk":                       {talk(trunk, bob(none)), "trunks: {PJSIP/provider: {auto_record: always}}", "would_be_recorded, provider none.no_user → auto.always"},
		"*3 had recorded it, too":       {with(talk(alice(out), bob(none)), ruled, pressed), "users: {alice: {outgoing_internal: false}}", "other_reason, alice rule.out.internal → none.flags_off"},
		"*3 had recorded it alone":      {with(talk(alice(none), bob(none)), pressed), "users: {alice: {outgoing_internal: true}}", "other_reason, alice none.flags_off → rule.out.internal"},
		"stopped by request":            {with(talk(alice(out), bob(none))), "users: {bob: {incoming_internal: true}, alice: {outgoing_internal: false}}", "would_be_recorded, alice rule.out.internal → none.flags_off, bob none.flags_off → rule.in.internal"},
		"stopped, another rule":         {with(talk(alice(out), queued)), "queues: {support: {auto_record: inherit}}", "other_reason, bob auto.always → none.flags_off"},
		"kept over a restart":           {with(talk(user("17.1", dialplan.RoleUnknown, none), bob(none)), ruled), "users: {bob: {incoming_internal: true}}", "other_reason, bob none.flags_off → rule.in.internal"},
		"kept over a restart and never": {with(talk(user("17.1", dialplan.RoleUnknown, none), queued), ruled), "queues: {support: {auto_record: never}}", "would_not_be_recorded, alice none.flags_off → auto.never, bob auto.always → auto.never"},
	} {
		r := Replay{Settings: settings(t, c.settings).Apply}
		d, counted, err := r.Again(stored(recorder.EventDecision, c.data))
		if told(d) != c.want || !counted || err != nil {
			t.Errorf("%s: %s %v %v\nwant %s", name, told(d), counted, err, c.want)
		}
	}
}

func TestPressesMadeAgain(t *testing.T) {
	alice := user("17.1", dialplan.RoleCaller, dialplan.Flags{OnDemand: true})
	queued := user("17.2", dialplan.RolePeer, dialplan.Flags{OnDemand: true})
	queued.Queue = "support"
	press := func(p dialplan.Party, r dialplan.Reason) recorder.RequestData {
		return recorder.RequestData{Leg: p.Leg, By: dialplan.OnDemand, Op: recorder.OpToggle, Reason: r, Party: &p}
	}
	byAPI := func(d recorder.RequestData) recorder.RequestData { d.By = dialplan.API; return d }
	const no, yes = "users: {alice: {on_demand: false}}", "queues: {support: {on_demand: true}}"
	for name, c := range map[string]struct {
		e        Stored
		settings string
		want     string
		counted  bool
	}{
		"granted, now refused":   {stored(recorder.EventOnDemand, press(alice, dialplan.OnDemand)), no, "would_be_refused, alice on_demand → refused.user", true},
		"granted by a rule":      {stored(recorder.EventOnDemand, press(alice, dialplan.RuleOutInternal)), yes, "same", true},
		"refused, now granted":   {stored(recorder.EventRefused, press(queued, dialplan.RefusedQueue)), yes, "would_be_allowed, bob refused.queue → on_demand", true},
		"refused, still refused": {stored(recorder.EventRefused, press(queued, dialplan.RefusedQueue)), no, "same", true},
		"refused for a pause, and now by permission": {
			stored(recorder.EventRefused, press(alice, dialplan.RefusedPaused)), no, "other_reason, alice refused.paused_by_other → refused.user", true,
		},
		"refused for a pause, and now allowed as well": {stored(recorder.EventRefused, press(alice, dialplan.RefusedPaused)), yes, "same", true},
		"refused without a talk, and now by permission": {
			stored(recorder.EventRefused, press(alice, dialplan.NoneNoTalk)), no, "other_reason, alice none.no_talk → refused.user", true,
		},
		"an administrator's wish": {stored(recorder.EventOnDemand, byAPI(press(alice, dialplan.API))), no, "same", false},
		"refused through the API": {stored(recorder.EventRefused, byAPI(press(queued, dialplan.RefusedQueue))), yes, "would_be_allowed, bob refused.queue → on_demand", true},
	} {
		d, counted, err := Replay{Settings: settings(t, c.settings).Apply}.Again(c.e)
		if told(d) != c.want || counted != c.counted || err != nil {
			t.Errorf("%s: %s %v %v\nwant %s", name, told(d), counted, err, c.want)
		}
	}
}

func TestOnlyTheTenantsDecisions(t *testing.T) {
	same := func(p dialplan.Party) dialplan.Party { return p }
	other := user("17.2", dialplan.RolePeer, dialplan.Flags{})
	other.Tenant = "u"
	own := user("17.1", dialplan.RoleCaller, dialplan.Flags{})
	for tenant, want := range map[string]bool{"": true, "t": true, "u": true, "v": false} {
		if d, counted, err := (Replay{same, tenant}).Again(stored(recorder.EventDecision, talk(own, other))); counted != want || d != nil || err != nil {
			t.Errorf("tenant %q: %v %v %v", tenant, d, counted, err)
		}
	}
	press := recorder.RequestData{Leg: "17.1", By: dialplan.OnDemand, Reason: dialplan.RefusedUser, Party: &own}
	for tenant, want := range map[string]bool{"": true, "t": true, "u": false} {
		if d, counted, err := (Replay{same, tenant}).Again(stored(recorder.EventRefused, press)); counted != want || d != nil || err != nil {
			t.Errorf("a press, tenant %q: %v %v %v", tenant, d, counted, err)
		}
	}
	for _, kind := range Kinds() {
		if _, counted, err := (Replay{same, ""}).Again(Stored{Kind: kind, Data: []byte("{")}); err == nil || counted {
			t.Errorf("%s that cannot be read is counted: %v", kind, err)
		}
	}
	short := talk(own, other)
	short.Decision.Verdicts = short.Decision.Verdicts[:1]
	if _, counted, err := (Replay{same, ""}).Again(stored(recorder.EventDecision, short)); err == nil || counted {
		t.Errorf("a decision without a verdict is counted: %v", err)
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "nothing is named",
		"{}":                                  "nothing is named",
		"# only a comment":                    "nothing is named",
		"user: {a: {}}":                       "user",
		"users: {a: {outgoing: true}}":        "outgoing",
		"users: {a: {on_demand: maybe}}":      "maybe",
		`{"users": {"a": {"record": "all"}}}`: "record",
		`{"users": {}} {}`:                    "something follows",
		"users: {a: {on_demand: true}}\n---\nusers: {}": "something follows",
		"queues: {q: {auto_record: often}}":             `queue "q": auto_record is "often", and must be one of inherit, always, never`,
		"groups: {g: {auto_record: yes}}":               `group "g"`,
		"trunks: {t: {auto_record: Never}}":             `trunk "t"`,
		"trunks: {t: {on_demand: true}}":                "on_demand",
	} {
		if s, err := Read([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v %v, want …%s…", text, s, err, want)
		}
	}
}

func TestSettingsAreResolved(t *testing.T) {
	find := func(kind string) func(string) (string, error) {
		return func(word string) (string, error) {
			if word == "nobody" {
				return "", errors.New("there is no " + kind + " nobody")
			}
			return kind + " " + strings.ToLower(word), nil
		}
	}
	f := Finders{User: find("user"), Group: find("group"), Queue: find("queue"), Trunk: find("trunk")}
	s, err := settings(t, "{users: {Alice: {on_demand: true}, '*': {on_demand: false}}, groups: {G: {on_demand: true}}, queues: {Q: {auto_record: always}}, trunks: {T: {auto_record: never}}}").Resolve(f)
	if err != nil {
		t.Fatal(err)
	}
	p := user("17.1", dialplan.RolePeer, dialplan.Flags{})
	p.UserUUID, p.Group, p.Queue = "user alice", "group g", "queue q"
	if got := s.Apply(p); !got.Flags.OnDemand || !got.GroupToggle || got.QueueAuto != dialplan.AutoAlways || got.TrunkAuto != "" {
		t.Errorf("%+v", got)
	}
	trunk := dialplan.Party{Kind: dialplan.KindTrunk, Endpoint: "trunk t"}
	if got := s.Apply(trunk); got.TrunkAuto != dialplan.AutoNever || got.QueueAuto != "" || got.Flags != (dialplan.Flags{}) {
		t.Errorf("%+v", got)
	}
	for text, want := range map[string]string{
		"users: {nobody: {on_demand: true}}":                          "there is no user nobody",
		"trunks: {nobody: {auto_record: never}}":                      "there is no trunk nobody",
		"users: {Alice: {on_demand: true}, alice: {on_demand: true}}": "named twice",
	} {
		if _, err := settings(t, text).Resolve(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want …%s…", text, err, want)
		}
	}
}

// FuzzRead: what is accepted can be sent to the daemon, says the same there, and
// has no choice that there is not.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"users: {alice: {outgoing_internal: true, on_demand: false}}", `{"queues": {"*": {"auto_record": "never"}}}`,
		"trunks:\n  provider:\n    auto_record: inherit\n", "groups: &a {g: {on_demand: true}}\nqueues: *a", "users: {1: {}, null: }", "{", "a: [", "\xff", "---\n---\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Read(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var again Settings
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		for name, q := range s.Queues {
			p := dialplan.Party{Kind: dialplan.KindUser, Role: dialplan.RolePeer, Queue: name}
			if q.AutoRecord != nil && !slices.Contains(dialplan.AutoRecords(), *q.AutoRecord) {
				t.Errorf("%q: %q", name, *q.AutoRecord)
			}
			if s.Apply(p).QueueAuto != again.Apply(p).QueueAuto && json.Valid([]byte(`"`+name+`"`)) {
				t.Errorf("%q is applied as %+v and %+v", name, s.Apply(p), again.Apply(p))
			}
		}
	})
}
