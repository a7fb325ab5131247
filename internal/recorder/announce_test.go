package recorder

import (
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/call"
)

// spoken is a tenant with both announcements, unless one is left out.
func spoken(a Announcements) Config {
	return Config{Announcements: func(tenant string) Announcements {
		if !strings.HasPrefix(tenant, "tenant-") {
			return Announcements{}
		}
		return a
	}}
}

// Each row is what is done and what is heard, see desk. Rules have capitals.
func TestAnnouncements(t *testing.T) {
	both := Announcements{Start: "hello", Stop: "bye"}
	for name, tc := range map[string]struct {
		has   Announcements
		begin string
		steps []string // a press, or the talk's legs from then on
		want  []string // what is heard by whom, from the beginning on
	}{
		"on demand, each operation":  {both, "ab", []string{"b*", "b*", "b*", "b-"}, []string{"hello ab", "bye ab", "hello ab", "bye ab"}},
		"a rule":                     {both, "Ab", nil, []string{"hello ab"}},
		"a rule without any":         {Announcements{}, "Ab", nil, nil},
		"on demand without any":      {Announcements{}, "ab", []string{"b*", "b-"}, []string{"beep ab", "beep ab"}},
		"only of a start":            {Announcements{Start: "hello"}, "ab", []string{"b*", "b-", "b*"}, []string{"hello ab", "beep ab", "hello ab"}},
		"only of an end":             {Announcements{Stop: "bye"}, "ab", []string{"b*", "b-", "b*"}, []string{"beep ab", "bye ab", "beep ab"}},
		"a second wish is a beep":    {both, "Ab", []string{"b*"}, []string{"hello ab", "beep ab"}},
		"the first wish ends":        {both, "ab", []string{"b*", "a*", "b-"}, []string{"hello ab", "beep ab"}},
		"a third party is told":      {both, "Ab", []string{"Abc", "Ac"}, []string{"hello ab", "hello c"}},
		"a transfer":                 {both, "Ab", []string{"Ac", "Ab"}, []string{"hello ab", "hello c"}},
		"it goes on in another file": {both, "AB", []string{"Bc"}, []string{"hello ab", "hello c"}},
		"nobody was recorded between": {
			both, "Ab", []string{"bc", "Bc"}, []string{"hello ab", "bye bc", "hello bc"},
		},
		"the rule leaves, and ends": {both, "Ab", []string{"bc"}, []string{"hello ab", "bye bc"}},
		"told again after an end":   {Announcements{Start: "hello"}, "Ab", []string{"bc", "c*"}, []string{"hello ab", "hello bc"}},
		"in a pause nobody is told": {both, "ab", []string{"b*", "b*", "abc", "b*"}, []string{"hello ab", "bye ab", "hello abc"}},
		"a stop of who overrides":   {both, "Ab", []string{"B-"}, []string{"hello ab", "bye ab"}},
		"a refusal":                 {both, "Nb", []string{"n*"}, []string{"hello nb", "beeperr n"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, spoken(tc.has))
			d.change(call.Began, tc.begin)
			heard := d.heard()
			for _, step := range tc.steps {
				d.said = nil
				if strings.ContainsAny(step, "*+-=>") {
					d.press(step)
				} else {
					d.change(call.Changed, step)
				}
				d.pass2(time.Second)
				heard = append(heard, d.heard()...)
			}
			if !slices.Equal(heard, tc.want) {
				t.Errorf("heard %q, want %q", heard, tc.want)
			}
		})
	}
}

// heard are the sounds among what was said.
func (d *desk) heard() (out []string) {
	for _, s := range d.said {
		if strings.Contains(s, " ") && !strings.HasPrefix(s, "alarm") {
			out = append(out, s)
		}
	}
	return out
}

// The recorder runs before anything is said of it, and nothing is said where it
// does not come to run.
func TestAnnouncementWaitsForTheRecorder(t *testing.T) {
	d := newDesk(t, spoken(Announcements{Start: "hello"}))
	d.hold = true
	d.change(call.Began, "Ab")
	if d.want(t, "[start]"); len(d.heard()) > 0 {
		t.Error("announced before Asterisk has answered")
	}
	d.release()
	if got := d.heard(); !slices.Equal(got, []string{"hello ab"}) {
		t.Errorf("heard %q", got)
	}
	d.said = nil
	d.do(d.m.Step(d.now, ChannelGone{"b"}))
	d.change(call.Ended, "")
	if got := d.heard(); len(got) > 0 {
		t.Errorf("after the end of the call %q is heard", got)
	}
}

// A new daemon knows who has been told, and tells who has come meanwhile.
func TestAnnouncementsOutliveADaemon(t *testing.T) {
	d := newDesk(t, spoken(Announcements{Start: "hello"}))
	d.begin("Ab")
	var legs []LegState
	for _, l := range pick[Legs](d.all) {
		legs = append(legs, l.Changed...)
	}
	row := d.m.Recordings()[0]
	next := newDesk(t, spoken(Announcements{Start: "hello"}))
	next.m.Recall(legs)
	alive := []Channel{{ID: "a", Recorders: []Recorder{{UUID: row.UUID, MixMonitorID: "0x1"}}}, {ID: "b"}, {ID: "c"}}
	next.do(next.m.Reconcile(next.now, []Recording{row}, alive, nil))
	next.change(call.Began, "Ab")
	next.pass2(time.Second)
	next.change(call.Changed, "Abc")
	next.pass2(time.Second)
	next.pass2(time.Second)
	if got := next.heard(); !slices.Equal(got, []string{"hello c"}) {
		t.Errorf("heard %q", got)
	}
}

// Evidence names the recording, the call, the leg and who it is.
func TestAnnouncementEvidence(t *testing.T) {
	d := newDesk(t, spoken(Announcements{Start: "hello"}))
	d.begin("Ab")
	tone := one[Tone](t, d.all)
	if tone.Else != Beep || !tone.Replaces || tone.Occasion != TellsStart {
		t.Errorf("%+v", tone)
	}
	at := d.now.Add(-time.Second)
	e := one[Log](t, d.m.Step(d.now, Announced{Tone: tone, Leg: "b", Kind: EventAnnounced, At: at})).Event
	data, ok := e.Data.(AnnouncementData)
	if !ok || e.Kind != EventAnnounced || !e.At.Equal(at) || e.Recording != d.m.Recordings()[0].UUID || e.Call != "a" ||
		data != (AnnouncementData{Leg: "b", UserUUID: tone.Parties[1].UserUUID, Endpoint: tone.Parties[1].Endpoint, Occasion: TellsStart, Sound: "hello"}) {
		t.Errorf("%+v", e)
	}
}

// A phone that takes another's place in an answered call is masqueraded into its
// channel, whose uniqueid stays: who has it now has not been told.
func TestWhoTakesAPhonesPlaceIsTold(t *testing.T) {
	for name, before := range map[string]bool{"the talk is told first": true, "and afterwards": false} {
		d := newDesk(t, spoken(Announcements{Start: "hello"}))
		d.begin("Ab")
		d.said = nil
		if before {
			d.change(call.Changed, "Ab")
		}
		d.do(d.m.Step(d.now, Moved{From: "d", To: "b", ToName: "PJSIP/d-00000001"}))
		if !before {
			d.change(call.Changed, "Ab")
		}
		d.pass2(time.Second)
		if got := d.heard(); !slices.Equal(got, []string{"hello b"}) {
			t.Errorf("%s: heard %q", name, got)
		}
	}
}

// Who goes on on another channel is who was told, and nothing is kept of the old
// one.
func TestWhoMovesToAnotherChannelIsNotToldAgain(t *testing.T) {
	d := newDesk(t, spoken(Announcements{Start: "hello"}))
	d.begin("Ab")
	d.said = nil
	d.do(d.m.Step(d.now, Moved{From: "a", To: "z", ToName: "PJSIP/a-00000001"}))
	d.change(call.Changed, "Zb")
	d.pass2(time.Second)
	if got := d.heard(); len(got) > 0 {
		t.Errorf("heard %q", got)
	}
	d.do(d.m.Step(d.now, ChannelGone{"z"}))
	d.do(d.m.Step(d.now, ChannelGone{"b"}))
	d.change(call.Ended, "")
	states := map[string]bool{}
	for _, l := range pick[Legs](d.all) {
		for _, s := range l.Changed {
			states[s.Leg] = !s.Gone
		}
	}
	if len(d.m.told) > 0 || states["a"] || states["z"] || states["b"] {
		t.Errorf("left: %v, stored %v", d.m.told, states)
	}
}

// What a pause has cut short is over, but the announcement of the pause is not:
// a recorder that is renewed under it could lose the new party's voice.
func TestRenewalDoesNotMistakeTheEndOfAReplacedAnnouncement(t *testing.T) {
	d := newDesk(t, spoken(Announcements{Start: "hello", Stop: "bye"}))
	d.begin("Ab")
	d.press("a*")
	d.do(d.m.Step(d.now, Whispered{"a"})) // of "hello"
	d.press("a*")
	d.do(d.m.Step(d.now, Whispered{"a"})) // of "bye"
	d.said = nil
	d.change(call.Changed, "Abc")
	d.pass2(10 * time.Second)
	d.want(t, "[hello c]")
	d.do(d.m.Step(d.now, Whispered{"a"})) // of the second "hello", at last
	d.pass2(time.Second)
	d.pass2(60 * time.Millisecond)
	d.want(t, "[stop append]")
}

// A whisper keeps the recorder of its leg from being renewed, and no longer than
// it lasts.
func TestRenewalWaitsForAnAnnouncement(t *testing.T) {
	d := newDesk(t, spoken(Announcements{Start: "hello"}))
	d.begin("Ab")
	d.said = nil
	d.change(call.Changed, "Abc")
	d.pass2(10 * time.Second)
	d.want(t, "[hello c]")
	d.do(d.m.Step(d.now, Whispered{"a"}))
	d.pass2(time.Second)
	d.pass2(60 * time.Millisecond)
	d.want(t, "[stop append]")
}
