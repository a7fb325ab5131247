package why

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/recorder"
)

var at = time.Date(2026, 11, 23, 9, 0, 1, 0, time.UTC)

// event is a stored one. What cannot be encoded becomes what cannot be read.
func event(kind, recording string, data any) Event {
	text, err := json.Marshal(data)
	if err != nil {
		text = nil
	}
	return Event{Event: recorder.Event{At: at, Kind: kind, Recording: recording, Call: "17.1"}, Data: text}
}

// decided is a decision by the rules, with the claims that follow from it and more.
func decided(recording string, parties []dialplan.Party, more ...recorder.Claim) Event {
	d := recorder.DecisionData{Change: "began", Input: dialplan.Input{Parties: parties}, Decision: dialplan.Decide(dialplan.Input{Parties: parties})}
	for _, v := range d.Decision.Claims() {
		d.Claims = append(d.Claims, recorder.Claim{Leg: v.Leg, Reason: v.Reason, At: at})
	}
	d.Claims = append(d.Claims, more...)
	d.Records = len(d.Claims) > 0
	return event(recorder.EventDecision, recording, d)
}

func user(leg string, role dialplan.Role, f dialplan.Flags) dialplan.Party {
	name := map[string]string{"17.1": "alice", "17.2": "bob"}[leg]
	return dialplan.Party{Leg: leg, Endpoint: "PJSIP/" + name, Role: role, Kind: dialplan.KindUser, UserUUID: name, Tenant: "t", Flags: f}
}

func outside(leg string, role dialplan.Role, kind dialplan.EndpointKind) dialplan.Party {
	return dialplan.Party{Leg: leg, Endpoint: "PJSIP/" + string(kind), Role: role, Kind: kind}
}

func wish(kind string, d recorder.RequestData) Event {
	p := user("17.1", dialplan.RolePeer, dialplan.Flags{})
	p.Queue, p.Group = "q", "g"
	if d.Leg == "" {
		d.Leg, d.Party = p.Leg, &p
	}
	if d.By == "" {
		d.By, d.Op = dialplan.OnDemand, recorder.OpToggle
	}
	return event(kind, "", d)
}

func refusedFor(r dialplan.Reason) []Event {
	return []Event{wish(recorder.EventRefused, recorder.RequestData{Reason: r})}
}

// people are called as their uuids are, with a capital; "gone" has no name.
func people() Names {
	name := func(uuid string) string {
		if uuid == "gone" {
			return ""
		}
		return capital(uuid)
	}
	return Names{User: name, Queue: name, Group: name}
}

func everything() Sight {
	all := func(string) bool { return true }
	return Sight{Tenant: all, Recording: all}
}

// Every reason of the closed enumeration is explained, in the event that it
// comes with, and in words: no code is left in the text.
func TestEveryReasonIsExplained(t *testing.T) {
	caller, peer := dialplan.RoleCaller, dialplan.RolePeer
	none := dialplan.Flags{}
	talk := func(parties ...dialplan.Party) []Event { return []Event{decided("r", parties)} }
	led := func(p dialplan.Party, queue, group dialplan.AutoRecord) dialplan.Party {
		p.QueueAuto, p.GroupAuto = queue, group
		if queue != "" {
			p.Queue = "support"
		}
		if group != "" {
			p.Group = "sales"
		}
		return p
	}
	auto := outside("17.1", caller, dialplan.KindTrunk)
	auto.TrunkAuto = dialplan.AutoNever
	cases := map[dialplan.Reason]map[string][]Event{
		dialplan.RuleOutInternal: {
			"To be recorded: Alice asks for it, the rule for outgoing internal calls is on.": talk(user("17.1", caller, dialplan.Flags{OutgoingInternal: true}), user("17.2", peer, none)),
		},
		dialplan.RuleOutExternal: {
			"To be recorded: Alice asks for it, the rule for outgoing external calls is on.": talk(user("17.1", caller, dialplan.Flags{OutgoingExternal: true}), outside("17.2", peer, "trunk")),
		},
		dialplan.RuleInInternal: {
			"To be recorded: Bob asks for it, the rule for incoming internal calls is on.": talk(user("17.1", caller, none), user("17.2", peer, dialplan.Flags{IncomingInternal: true})),
		},
		dialplan.RuleInExternal: {
			"To be recorded: Bob asks for it, the rule for incoming external calls is on.": talk(outside("17.1", caller, "trunk"), user("17.2", peer, dialplan.Flags{IncomingExternal: true})),
		},
		dialplan.OnDemand: {
			"Alice pressed *3: the call is to be recorded from now on.": {wish(recorder.EventOnDemand, recorder.RequestData{Reason: dialplan.OnDemand, State: recorder.Active})},
			"Talk of Alice and Bob began. To be recorded: Bob asked for it with *3 at 09:00:01 UTC.": {
				decided("r", []dialplan.Party{user("17.1", caller, none), user("17.2", peer, none)}, recorder.Claim{Leg: "17.2", Reason: dialplan.OnDemand, At: at}),
			},
		},
		dialplan.API: {
			"Alice was to be recorded: asked for through the API.": {wish(recorder.EventOnDemand, recorder.RequestData{By: dialplan.API, Op: recorder.OpStart, Reason: dialplan.API})},
			"To be recorded: it was asked for Bob through the API at 09:00:01 UTC.": {
				decided("r", []dialplan.Party{user("17.1", caller, none), user("17.2", peer, none)}, recorder.Claim{Leg: "17.2", Reason: dialplan.API, At: at}),
			},
		},
		dialplan.NoneFlagsOff: {
			"Not recorded: Alice does not ask for it, the rule for outgoing internal calls is off; Bob does not ask for it, the rule for incoming internal calls is off.": talk(user("17.1", caller, none), user("17.2", peer, none)),
			"Alice does not ask for it, the rules for outgoing and incoming external calls are off":                                                                       talk(user("17.1", dialplan.RoleUnknown, none), outside("17.2", peer, "trunk")),
		},
		dialplan.NoneNoUser: {
			"Talk of the trunk PJSIP/trunk and the telephone PJSIP/device began. Not recorded: the trunk PJSIP/trunk is no user and has no rule; the telephone PJSIP/device is no user and has no rule.": talk(outside("17.1", caller, "trunk"), outside("17.2", peer, "device")),
		},
		dialplan.EndpointUnknown: {
			"the unknown endpoint PJSIP/unknown is not in the directory and has no rule": talk(user("17.1", caller, none), outside("17.2", peer, "unknown")),
			"(the other side is in no directory, so the call counts as external)":        talk(user("17.1", caller, dialplan.Flags{OutgoingExternal: true}), outside("17.2", peer, "unknown")),
			"Alice pressed *3, and was refused: its telephone is not in the directory.":  refusedFor(dialplan.EndpointUnknown),
		},
		dialplan.NoneConference: {
			"Alice pressed *3, and was refused: conferences are not recorded.": {wish(recorder.EventRefused, recorder.RequestData{Reason: dialplan.NoneConference, NoTalk: true})},
		},
		dialplan.NoneNoTalk: {
			"Alice pressed *3, and was refused: it was talking with nobody.": {wish(recorder.EventRefused, recorder.RequestData{Reason: dialplan.NoneNoTalk, NoTalk: true})},
		},
		dialplan.RefusedUser: {
			"Alice pressed *3, and was refused: the user has no permission to record on demand (online_call_record_enabled is off).": refusedFor(dialplan.RefusedUser),
		},
		dialplan.RefusedGroup: {
			"and was refused: the call came through the group G, which does not allow it (dtmf_record_toggle is off).": refusedFor(dialplan.RefusedGroup),
		},
		dialplan.RefusedQueue: {
			"and was refused: the call came through the queue Q, which does not allow it (dtmf_record_toggle is off).": refusedFor(dialplan.RefusedQueue),
		},
		dialplan.RefusedTrunk: {"and was refused: it is a trunk; only users may.": refusedFor(dialplan.RefusedTrunk)},
		dialplan.RefusedPaused: {
			"and was refused: the other party has paused the recording, and only that party or an administrator may end the pause.": refusedFor(dialplan.RefusedPaused),
		},
		dialplan.ClaimantLeft: {
			"Channel 17.1 is gone, and with it the wish for a recording.": {wish(recorder.EventOnDemandEnded, recorder.RequestData{Leg: "17.1", Reason: dialplan.ClaimantLeft})},
			"The recording ends: the party on whose channel the recorder sat has left the talk.": {
				event(recorder.EventClosing, "r", recorder.Note{Why: string(dialplan.ClaimantLeft)}),
			},
		},
		dialplan.Resync: {
			"(found in the middle of the talk: who had called is not known, either rule counts)": talk(user("17.1", dialplan.RoleUnknown, dialplan.Flags{IncomingInternal: true}), user("17.2", peer, none)),
			"Alice has asked since 09:00:01 UTC (the recorder was found running, and who had asked for it is not known)": {
				decided("r", []dialplan.Party{user("17.1", caller, none), user("17.2", peer, none)}, recorder.Claim{Leg: "17.1", Reason: dialplan.Resync, At: at}),
			},
		},
		dialplan.StorageStalled: {
			"There is no file, though there should be: the disk of the recordings did not answer (probe).": {
				event(recorder.EventFinal, "r", recorder.Note{State: recorder.Missing, Cause: recorder.CauseStalled, Detail: "probe"}),
			},
		},
		dialplan.DiskFull: {
			"Channel 17.9 does not ask for a recording any more (the disk of the recordings was full).": {
				event(recorder.EventRelease, "r", recorder.Claim{Leg: "17.9", Reason: dialplan.DiskFull}),
			},
		},
		dialplan.SafetyNetMade: {
			"callrecordd was away, and Asterisk recorded the call by itself (the safety net).": {
				event(recorder.EventAdopted, "r", recorder.Note{Why: string(dialplan.SafetyNetMade)}),
			},
		},
		dialplan.AlwaysReason: {
			"To be recorded: the queue Support has all its calls recorded (auto_record: always).": talk(user("17.1", caller, none), led(user("17.2", peer, none), "always", "never")),
			"To be recorded: the group Sales has all its calls recorded (auto_record: always).":   talk(user("17.1", caller, none), led(user("17.2", peer, none), "", "always")),
		},
		dialplan.NeverReason: {
			"Not recorded: the trunk PJSIP/trunk lets no rule record its calls (auto_record: never); the trunk PJSIP/trunk": talk(auto, user("17.2", peer, dialplan.Flags{IncomingExternal: true})),
			// The queue counts in place of its group, which is not to blame.
			"Not recorded: the queue Support lets no rule record its calls (auto_record: never)": talk(led(user("17.1", peer, none), "inherit", "never"), led(user("17.2", peer, none), "never", "")),
		},
	}
	for _, r := range dialplan.Reasons() {
		if len(cases[r]) == 0 {
			t.Errorf("no event with %s is explained here", r)
		}
		if text := reasonText(r); strings.Contains(text, string(r)) {
			t.Errorf("%s has no words: %s", r, text)
		}
		for want, events := range cases[r] {
			got := Explain(events, people(), everything())
			if len(got.Steps) != len(events) || !strings.Contains(got.Steps[0].Text, want) {
				t.Errorf("%s is explained by %+v\nwant %s", r, got.Steps, want)
			}
			for _, code := range dialplan.Reasons() {
				if strings.Contains(string(code), ".") && strings.Contains(got.Summary, string(code)) {
					t.Errorf("%s: a code is left in %s", r, got.Summary)
				}
			}
		}
	}
}

// A story is told in order, and its summary says what a hurried reader needs.
func TestSummary(t *testing.T) {
	caller := user("17.1", dialplan.RoleCaller, dialplan.Flags{OnDemand: true})
	callee := user("17.2", dialplan.RolePeer, dialplan.Flags{OnDemand: true})
	press := func(p dialplan.Party, kind string, s recorder.PartyState, r dialplan.Reason) Event {
		return wish(kind, recorder.RequestData{Leg: p.Leg, Party: &p, Reason: r, State: s})
	}
	got := Explain([]Event{
		decided("", []dialplan.Party{caller, callee}),
		press(caller, recorder.EventOnDemand, recorder.Active, dialplan.OnDemand),
		event(recorder.EventIntent, "r", recorder.Note{State: recorder.Starting}),
		event(recorder.EventProved, "r", recorder.Note{State: recorder.Live}),
		press(caller, recorder.EventOnDemand, recorder.PartyPaused, dialplan.OnDemand),
		event(recorder.EventPaused, "r", recorder.Pause{Owner: "17.1", From: at}),
		press(callee, recorder.EventOnDemand, recorder.PartyPaused, dialplan.OnDemand),
		press(callee, recorder.EventRefused, recorder.PartyPaused, dialplan.RefusedPaused),
		press(caller, recorder.EventOnDemand, recorder.Active, dialplan.OnDemand),
		event(recorder.EventResumed, "r", recorder.Pause{Owner: "17.1", From: at}),
		event(recorder.EventFinal, "r", recorder.Note{State: recorder.Ready, Bytes: 4711}),
	}, people(), everything())
	const want = "Alice pressed *3: the call is to be recorded from now on. Bob pressed *3, and was refused: the other party has paused the recording, " +
		"and only that party or an administrator may end the pause. The file is complete: 4711 bytes."
	if got.Summary != want {
		t.Errorf("got  %s\nwant %s", got.Summary, want)
	}
	var texts []string
	for _, s := range got.Steps {
		texts = append(texts, s.Text)
	}
	story := strings.Join(texts, "\n")
	for _, part := range []string{
		"Not recorded:", "from now on.", "The file exists and grows.", "Alice pressed *3: the recording is paused.",
		"Paused by Alice: the file is silent from here on.", "Bob pressed *3: it asks for a recording, which is paused at this time.",
		"and was refused", "Alice pressed *3: the recording goes on.", "The pause of Alice ended", "4711 bytes",
	} {
		at := strings.Index(story, part)
		if at < 0 {
			t.Fatalf("%q is not told after that:\n%s", part, story)
		}
		story = story[at+len(part):]
	}
	if got := Explain(nil, people(), everything()); got.Summary != nothing || got.Steps == nil {
		t.Errorf("a call without events: %+v", got)
	}
	stopped := decided("", []dialplan.Party{user("17.1", dialplan.RoleCaller, dialplan.Flags{OutgoingInternal: true}), callee})
	stopped.Data = json.RawMessage(strings.Replace(string(stopped.Data), `"records":true}`, `"records":false}`, 1))
	stopped.Data = json.RawMessage(strings.Replace(string(stopped.Data), `"claims":[{"leg":"17.1","reason":"rule.out.internal","at":"2026-11-23T09:00:01Z"}]`, `"claims":null`, 1))
	if got := Explain([]Event{stopped}, people(), everything()); !strings.Contains(got.Summary, "Not recorded: Alice asks for it, the rule for outgoing internal calls is on, but by request its part is not recorded any more") {
		t.Errorf("a part that was stopped: %s", got.Summary)
	}
}

// TestSummaryDoesNotPraiseAFileThatWasRemoved: after a removal the file is no
// longer complete, it is gone.
func TestSummaryDoesNotPraiseAFileThatWasRemoved(t *testing.T) {
	events := []Event{
		decided("a", []dialplan.Party{user("17.1", dialplan.RoleCaller, dialplan.Flags{OutgoingInternal: true}), user("17.2", dialplan.RolePeer, dialplan.Flags{})}),
		event(recorder.EventFinal, "a", recorder.Note{State: recorder.Ready, Bytes: 4711}),
		event(recorder.EventFinal, "b", recorder.Note{State: recorder.Ready, Bytes: 815}),
		event("recording.deleted", "a", nil),
	}
	if got := Explain(events, people(), everything()).Summary; !strings.HasSuffix(got, "The file is complete: 815 bytes.") {
		t.Errorf("the removal of another file is told as that of the last: %s", got)
	}
	events = append(events, event("recording.deleted", "b", nil))
	if got := Explain(events, people(), everything()).Summary; !strings.HasSuffix(got, "The file was removed.") || strings.Contains(got, "complete") {
		t.Errorf("a file that was removed: %s", got)
	}
}

// TestRemovalOfARecordingWithoutAFileHidesNothing: why there was no file is what
// somebody asks for, also when the recording has become too old.
func TestRemovalOfARecordingWithoutAFileHidesNothing(t *testing.T) {
	got := Explain([]Event{
		event(recorder.EventFinal, "a", recorder.Note{State: recorder.Missing, Cause: recorder.CauseNoSpace}),
		event("recording.deleted", "a", map[string]any{"was": recorder.Missing}),
	}, people(), everything())
	if got.Summary != got.Steps[0].Text || got.Steps[1].Text != "The recording, which had no file, was removed." {
		t.Errorf("%+v", got)
	}
}

// TestPauseThatIsCutOutIsNotToldAsSilence: with recordings.pause: cut, and where
// Asterisk cannot mute, the file has no silence in a pause but nothing at all.
func TestPauseThatIsCutOutIsNotToldAsSilence(t *testing.T) {
	for _, kind := range []string{recorder.EventPaused, recorder.EventResumed} {
		got := Explain([]Event{event(kind, "r", recorder.Pause{Owner: "17.1", From: at, Cut: true})}, people(), everything())
		if text := got.Steps[0].Text; strings.Contains(text, "silent") || strings.Contains(text, "sound") || !strings.Contains(text, "goes on") {
			t.Errorf("%s: %s", kind, text)
		}
	}
}

// What another tenant's users, rules and recordings are stays hidden, and
// whether its rules record the call.
func TestAnotherTenantsRulesAreNotTold(t *testing.T) {
	mallory := dialplan.Party{
		Leg: "17.2", Endpoint: "PJSIP/mallory", Role: dialplan.RolePeer, Kind: dialplan.KindUser, UserUUID: "mallory", Tenant: "secret",
		Flags: dialplan.Flags{IncomingInternal: true}, Queue: "q-secret", QueueAuto: dialplan.AutoAlways,
	}
	press := recorder.RequestData{Leg: "17.2", Party: &mallory, Reason: dialplan.RefusedQueue, State: recorder.Active}
	sight := Sight{Tenant: func(t string) bool { return t == "t" }, Recording: func(r string) bool { return r == "own" }}
	forbidden := mallory
	forbidden.QueueAuto = dialplan.AutoNever
	for name, c := range map[string]struct {
		alice   dialplan.Flags
		with    dialplan.Party
		rec     string
		outcome Outcome
		text    string
	}{
		"both want it":          {dialplan.Flags{OutgoingInternal: true}, mallory, "own", Recorded, "To be recorded: Alice asks for it, the rule for outgoing internal calls is on."},
		"only the other's rule": {dialplan.Flags{}, mallory, "secret-recording", NotShown, "No rule of this tenant records it: Alice does not ask for it, the rule for outgoing internal calls is off; what the rules of somebody of another tenant say is shown to that tenant only."},
		"the other forbids it":  {dialplan.Flags{OutgoingInternal: true}, forbidden, "", NotShown, "No rule of this tenant records it: somebody of another tenant lets no rule record its calls (auto_record: never)"},
	} {
		got := Explain([]Event{
			decided(c.rec, []dialplan.Party{user("17.1", dialplan.RoleCaller, c.alice), c.with}),
			wish(recorder.EventRefused, press),
			wish(recorder.EventOnDemandEnded, recorder.RequestData{Leg: "17.2", Reason: dialplan.ClaimantLeft}),
			event(recorder.EventRelease, c.rec, recorder.Claim{Leg: "17.2", Reason: dialplan.RuleInInternal}),
			event(recorder.EventPaused, "own", recorder.Pause{Owner: "17.2", From: at}),
			event(recorder.EventFinal, "secret-recording", recorder.Note{State: recorder.Missing, Detail: "secret-detail"}),
		}, people(), sight)
		if len(got.Steps) != 2 || got.Steps[0].Outcome != c.outcome || got.Steps[0].Input != nil || !strings.Contains(got.Steps[0].Text, c.text) {
			t.Errorf("%s: %+v", name, got.Steps)
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"mallory", "Mallory", "secret", string(dialplan.RuleInInternal), string(dialplan.AlwaysReason)} {
			if strings.Contains(string(text), word) {
				t.Errorf("%s: tells %s: %s", name, word, text)
			}
		}
	}
}

// What is unknown or cannot be read is said, and hides nothing else.
func TestUnknownThings(t *testing.T) {
	p := user("17.1", dialplan.RolePeer, dialplan.Flags{})
	p.UserUUID, p.Queue = "gone", "gone"
	broken := event(recorder.EventDecision, "", nil)
	broken.Data = json.RawMessage("{")
	got := Explain([]Event{
		broken,
		event("a.later.kind", "", "x"),
		event(recorder.EventRefused, "", recorder.RequestData{Leg: p.Leg, By: dialplan.OnDemand, Reason: dialplan.RefusedQueue, Party: &p}),
		event(recorder.EventRefused, "", recorder.RequestData{Leg: "17.9", By: dialplan.OnDemand, Reason: "a.later.reason"}),
		event(recorder.EventFinal, "r", recorder.Note{State: recorder.Missing, Cause: "a_later_cause"}),
		event(recorder.EventFinal, "r", recorder.Note{State: recorder.Empty}),
	}, people(), everything())
	want := []string{
		"This version of callrecordd cannot read this event.",
		"User gone pressed *3, and was refused: the call came through the queue gone, which does not allow it (dtmf_record_toggle is off).",
		"Channel 17.9 pressed *3, and was refused: reason a.later.reason.",
		"There is no file, though there should be: a_later_cause.",
		"The file has no audio: the cause is not known.",
	}
	var texts []string
	for _, s := range got.Steps {
		texts = append(texts, s.Text)
	}
	if !slices.Equal(texts, want) {
		t.Errorf("got  %q\nwant %q", texts, want)
	}
}

// FuzzExplain: whatever is in the table, an answer comes that can be sent.
func FuzzExplain(f *testing.F) {
	seeds := map[string]Event{}
	for _, e := range []Event{
		decided("r", []dialplan.Party{user("17.1", dialplan.RoleCaller, dialplan.Flags{}), outside("17.2", dialplan.RolePeer, "trunk")}),
		wish(recorder.EventRefused, recorder.RequestData{Reason: dialplan.RefusedQueue}),
		event(recorder.EventPaused, "r", recorder.Pause{Owner: "17.1"}),
		event(recorder.EventFinal, "r", recorder.Note{State: recorder.Ready}),
		event(recorder.EventRelease, "r", recorder.Claim{Leg: "17.1"}),
	} {
		seeds[e.Kind] = e
	}
	for _, kind := range slices.Sorted(maps.Keys(seeds)) {
		f.Add(kind, []byte(seeds[kind].Data))
	}
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		e := Event{Event: recorder.Event{At: at, Kind: kind, Recording: "r"}, Data: data}
		none := func(string) bool { return false }
		for _, sight := range []Sight{everything(), {Tenant: none, Recording: none}} {
			got := Explain([]Event{e, e}, people(), sight)
			if got.Summary == "" || len(got.Steps) > 2 {
				t.Errorf("%+v", got)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Error(err)
			}
		}
	})
}
