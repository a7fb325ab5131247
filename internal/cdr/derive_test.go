package cdr

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/call"
)

// brief renders what a CDR says in one block, nulls left out, times in
// milliseconds after its start.
func brief(c CDR) string {
	var b strings.Builder
	after := func(at time.Time) string {
		if at.IsZero() {
			return "-"
		}
		return fmt.Sprint(at.Sub(c.Start).Milliseconds())
	}
	fmt.Fprintf(&b, "%s %s %s answer %s end %s\n", c.CallDirection, c.CallStatus, c.TenantUUID, after(c.Answer), after(c.End))
	fmt.Fprintf(&b, "source %s|%s internal %s|%s@%s %s\n", c.SourceName, c.SourceExtension, c.SourceInternalName,
		c.SourceInternalExtension, c.SourceInternalContext, c.SourceUserUUID)
	fmt.Fprintf(&b, "requested %s|%s@%s internal %s@%s %s\n", c.RequestedName, c.RequestedExtension, c.RequestedContext,
		c.RequestedInternalExtension, c.RequestedInternalContext, c.RequestedUserUUID)
	fmt.Fprintf(&b, "destination %s|%s internal %s@%s %s %v\n", c.DestinationName, c.DestinationExtension,
		c.DestinationInternalExtension, c.DestinationInternalContext, c.DestinationUserUUID, c.DestinationDetails)
	for _, p := range c.Participants {
		fmt.Fprintf(&b, "%s %s answered %v requested %v\n", p.Role, p.UserUUID, p.Answered, p.Requested)
	}
	return b.String()
}

func TestShapes(t *testing.T) {
	for shape, want := range shapes() {
		t.Run(shape, func(t *testing.T) {
			rows := parseAll(t, loadShape(t, shape))
			c, ok := Derive(rows, office{}, nil)
			if !ok {
				t.Fatal("no cdr")
			}
			if got := brief(c); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if c.Source != SourceJournal || c.ConversationID != "1700000000.0" ||
				c.Journal.First != 1 || c.Journal.Last != int64(len(rows)) {
				t.Errorf("identity: %+v", c)
			}
		})
	}
}

func TestEveryShapeIsExpected(t *testing.T) {
	for _, name := range shapeNames(t) {
		if _, ok := shapes()[name]; !ok && name != "snoop" {
			t.Errorf("testdata/%s.jsonl has no expectation", name)
		}
	}
}

func TestCallsWithoutRealLegGiveNoCDR(t *testing.T) {
	if c, ok := Derive(parseAll(t, loadShape(t, "snoop")), office{}, nil); ok {
		t.Errorf("got %+v", c)
	}
}

func TestTechnologiesAreConfigurable(t *testing.T) {
	rows := parseAll(t, loadShape(t, "internal_answered"))
	if _, ok := Derive(rows, office{}, []string{"SIP"}); ok {
		t.Error("PJSIP counts although it is not listed")
	}
}

// TestAnyPartDerives: Asterisk may die at any row, and the journal may begin
// at any row; neither may panic, and the times stay in order.
func TestAnyPartDerives(t *testing.T) {
	for _, name := range shapeNames(t) {
		rows := parseAll(t, loadShape(t, name))
		for from := range rows {
			for to := from + 1; to <= len(rows); to++ {
				c, ok := Derive(rows[from:to], office{}, nil)
				if ok && (c.End.Before(c.Start) || c.ConversationID == "" || c.TenantUUID == "") {
					t.Errorf("%s[%d:%d]: %+v", name, from, to, c)
				}
			}
		}
	}
}

// talks renders how the talks of a shape go through the model.
func talks(rows []Row) []string {
	adapter, model := NewAdapter(), call.New(call.Config{})
	var out []string
	note := func(changes []call.Change) {
		for _, change := range changes {
			var legs []string
			for _, leg := range change.Legs {
				text := leg.Endpoint() + " " + leg.Role.String()
				for _, hop := range leg.Via {
					text += fmt.Sprintf(" <%s %s@%s", hop.Queue, hop.Exten, hop.Context)
				}
				legs = append(legs, text)
			}
			out = append(out, change.Kind.String()+": "+strings.Join(legs, ", "))
		}
	}
	for _, row := range rows {
		note(model.Advance(row.At))
		for _, event := range adapter.Apply(row) {
			note(model.Apply(event))
		}
	}
	return out
}

func TestAdapterGivesTheTalks(t *testing.T) {
	for shape, want := range shapeTalks() {
		t.Run(shape, func(t *testing.T) {
			var began []string
			for _, line := range talks(parseAll(t, loadShape(t, shape))) {
				if legs, ok := strings.CutPrefix(line, "began: "); ok {
					began = append(began, legs)
				}
			}
			if !reflect.DeepEqual(began, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(began, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestAdapterForgetsEverything(t *testing.T) {
	for _, name := range shapeNames(t) {
		adapter := NewAdapter()
		for _, row := range parseAll(t, loadShape(t, name)) {
			adapter.Apply(row)
		}
		if len(adapter.channels) != 0 || len(adapter.bridges) != 0 {
			t.Errorf("%s: %d channels, %d bridges left", name, len(adapter.channels), len(adapter.bridges))
		}
	}
}

func TestDials(t *testing.T) {
	for _, c := range []struct {
		data, endpoint string
		want           bool
	}{
		{"PJSIP/bob,30", "PJSIP/bob", true},
		{"PJSIP/bob&PJSIP/carol,30", "PJSIP/carol", true},
		{"PJSIP/bob/sip:bob@10.0.0.1:5060", "PJSIP/bob", true},
		{"PJSIP/0123@trunk", "PJSIP/trunk", true},
		{"Local/2002@users/n", "Local/2002@users", true},
		{"PJSIP/bobby", "PJSIP/bob", false},
		{"", "PJSIP/bob", false},
	} {
		if got := dials(c.data, c.endpoint); got != c.want {
			t.Errorf("dials(%q, %q) = %v", c.data, c.endpoint, got)
		}
	}
}

func TestBrokenExtraStillJoinsTheBridge(t *testing.T) {
	raws := loadShape(t, "internal_answered")
	for _, raw := range raws {
		if raw["eventtype"] == "BRIDGE_ENTER" {
			raw["extra"] = `{"bridge_id":"b000`
		}
	}
	rows := parseAll(t, raws)
	if got := talks(rows); len(got) == 0 || !strings.HasPrefix(got[0], "began: PJSIP/alice caller, PJSIP/bob peer") {
		t.Errorf("talks: %q", got)
	}
	if c, _ := Derive(rows, office{}, nil); c.CallStatus != StatusAnswered {
		t.Errorf("status %s", c.CallStatus)
	}
}

// If Asterisk dies in a talk its rows end with it: the talk's end is not known,
// and that is said. In a whole journal it is known.
func TestTheEndOfATalkThatTheJournalLacksIsNotKnown(t *testing.T) {
	rows := parseAll(t, loadShape(t, "internal_answered"))
	whole, cut := Talks(rows, nil), Talks(rows[:7], nil)
	if len(whole) != 1 || whole[0].EndUnknown {
		t.Errorf("whole: %+v", whole)
	}
	if len(cut) != 1 || !cut[0].EndUnknown || !cut[0].Ended.Equal(rows[6].At) {
		t.Errorf("cut off: %+v", cut)
	}
}
