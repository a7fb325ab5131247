package campaign

import (
	"slices"
	"testing"
	"time"

	"callrecordd/internal/bench/load"
	"callrecordd/internal/campaign/voice"
)

// heardFrames is a file in which the caller is heard in those frames of the talk.
func heardFrames(d Drawn, spans ...[2]int) voice.Heard {
	var h voice.Heard
	for _, s := range spans {
		for f := s[0]; f < s[1]; f++ {
			if d.said(f) {
				h.Ticks[f/voice.TickFrames]++
				h.Callee++
			}
		}
	}
	return h
}

// TestTruth: what became of a call follows from what was said when and from
// which of that is in files.
func TestTruth(t *testing.T) {
	answered := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	wanted := Drawn{Kind: Internal, Ending: Talks, Talk: 6 * time.Second, ByRule: true}
	unwanted := Drawn{Kind: Internal, Ending: Talks, Talk: 6 * time.Second}
	pressing := Drawn{Kind: Internal, Ending: Talks, Talk: 6 * time.Second, Presses: []time.Duration{700 * ms, 2200 * ms, 3200 * ms}}
	complete := load.Call{Invite: answered.Add(-time.Second), Answered: answered, Over: answered.Add(6 * time.Second)}
	for _, c := range []struct {
		name   string
		call   Drawn
		phone  load.Call
		files  [][][2]int
		killed []time.Time
		want   Class
		also   []Class
	}{
		{name: "all of it", call: wanted, phone: complete, files: [][][2]int{{{2, 300}}}, want: Covered},
		{name: "in two files", call: wanted, phone: complete, files: [][][2]int{{{2, 120}}, {{125, 300}}}, want: Covered},
		{name: "no file", call: wanted, phone: complete, want: Missing},
		{name: "a file with next to nothing", call: wanted, phone: complete, files: [][][2]int{{{299, 300}}}, want: Missing, also: []Class{Late, Short, Gap}},
		{name: "begins late", call: wanted, phone: complete, files: [][][2]int{{{80, 300}}}, want: Late},
		{name: "ends early", call: wanted, phone: complete, files: [][][2]int{{{0, 200}}}, want: Short, also: []Class{Gap}},
		{name: "a hole", call: wanted, phone: complete, files: [][][2]int{{{0, 100}, {180, 300}}}, want: Gap, also: []Class{Short}},
		{name: "a hole between two files", call: wanted, phone: complete, files: [][][2]int{{{0, 100}}, {{180, 300}}}, want: Gap},
		{name: "a hole soon after the begin", call: wanted, phone: complete, files: [][][2]int{{{0, 10}, {60, 300}}}, want: Gap, also: []Class{Short}},
		{name: "a bit late, and a bit lost soon after", call: wanted, phone: complete, files: [][][2]int{{{18, 43}, {62, 300}}}, want: Gap, also: []Class{Covered, Short}},
		{name: "the middle only", call: wanted, phone: complete, files: [][][2]int{{{80, 200}}}, want: Short, also: []Class{Late, Gap}},
		{name: "nearly late", call: wanted, phone: complete, files: [][][2]int{{{20, 300}}}, want: Covered, also: []Class{Late}},
		{name: "just late", call: wanted, phone: complete, files: [][][2]int{{{30, 300}}}, want: Late, also: []Class{Covered}},
		{name: "Asterisk died, all until then", call: wanted, phone: complete, files: [][][2]int{{{0, 150}}}, killed: []time.Time{answered.Add(3 * time.Second)}, want: Covered},
		{name: "Asterisk died, and took some with it", call: wanted, phone: complete, files: [][][2]int{{{0, 90}}}, killed: []time.Time{answered.Add(3 * time.Second)}, want: Short, also: []Class{Gap}},
		{name: "Asterisk died at once", call: wanted, phone: complete, killed: []time.Time{answered.Add(100 * ms)}, want: Covered, also: []Class{NothingRequired, Missing}},
		{name: "Asterisk died before", call: wanted, phone: complete, files: [][][2]int{{{0, 300}}}, killed: []time.Time{answered.Add(-time.Hour)}, want: Covered},
		{name: "nobody answered", call: wanted, phone: load.Call{Invite: answered, Ringing: answered}, want: NothingRequired},
		{name: "nobody wanted it", call: unwanted, phone: complete, want: NothingRequired},
		{name: "recorded against the rules", call: unwanted, phone: complete, files: [][][2]int{{{0, 300}}}, want: Unexpected},
		{name: "on demand", call: pressing, phone: complete, files: [][][2]int{{{50, 110}, {175, 300}}}, want: Covered},
		{name: "on demand, the pause is heard", call: pressing, phone: complete, files: [][][2]int{{{50, 300}}}, want: Unexpected},
		{name: "on demand, not resumed", call: pressing, phone: complete, files: [][][2]int{{{50, 110}}}, want: Short, also: []Class{Gap}},
		{name: "on demand, missing", call: pressing, phone: complete, want: Missing},
	} {
		var heard []voice.Heard
		for _, f := range c.files {
			heard = append(heard, heardFrames(c.call, f...))
		}
		got := judge(c.call, c.phone, heard, c.killed, measures())
		if got.Class != c.want || !slices.Equal(got.Also, c.also) {
			t.Errorf("%s: %v and %v, want %s and %v", c.name, got, got.Also, c.want, c.also)
		}
	}
}

// TestWhatCounts is Shows 1: calls whose 180 or 200 came a second or more before
// a SIGKILL of Asterisk.
func TestWhatCounts(t *testing.T) {
	at := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	talks, busy := Drawn{Ending: Talks}, Drawn{Ending: Busy}
	rang := load.Call{Invite: at, Ringing: at.Add(100 * ms), Answered: at.Add(2 * time.Second)}
	for _, c := range []struct {
		name   string
		drawn  Drawn
		call   load.Call
		killed time.Duration // after the INVITE; 0: not
		want   bool
	}{
		{"it rang", talks, rang, 0, true},
		{"killed long after", talks, rang, 1200 * ms, true},
		{"killed soon after", talks, rang, 1000 * ms, false},
		{"killed before", talks, rang, -100 * ms, true},
		{"answered without ringing", talks, load.Call{Invite: at, Answered: at.Add(ms)}, 1500 * ms, true},
		{"nobody there", talks, load.Call{Invite: at, Failure: "no answer in time"}, 0, false},
		{"busy", busy, load.Call{Invite: at, Over: at.Add(ms), Failure: "refused: 486"}, 0, true},
	} {
		var killed []time.Time
		if c.killed != 0 {
			killed = append(killed, at.Add(c.killed))
		}
		if got, why := counts(c.drawn, c.call, killed); got != c.want || got == (why != "") {
			t.Errorf("%s: counts: %t, %q", c.name, got, why)
		}
	}
}

// TestDrawnCallsAreFoundAgain: each has an extension of its own, and the same
// seed draws the same calls, of all kinds.
func TestDrawnCallsAreFoundAgain(t *testing.T) {
	kinds := map[string]int{}
	for n := range 2000 {
		d := draw(7, n)
		if got, ok := numberIn(d.Exten); !ok || got != n {
			t.Fatalf("call %d has extension %s, which is call %d, %t", n, d.Exten, got, ok)
		}
		if again := draw(7, n); again.Exten != d.Exten || again.Talk != d.Talk || len(again.Presses) != len(d.Presses) {
			t.Fatalf("call %d is drawn as %+v and %+v", n, d, again)
		}
		if d.Talk > voice.Longest || d.Talk%voice.Frame != 0 {
			t.Fatalf("call %d lasts %s", n, d.Talk)
		}
		for _, k := range []string{string(d.Kind), string(d.Ending), map[bool]string{true: "rule", false: "no rule"}[d.ByRule], map[int]string{0: "no press", 1: "start", 3: "pause"}[len(d.Presses)]} {
			kinds[k]++
		}
	}
	for _, k := range []string{"internal", "outbound", "inbound", "talks", "unanswered", "busy", "rule", "no rule", "start", "pause"} {
		if kinds[k] < 20 {
			t.Errorf("%d of 2000 calls are %q", kinds[k], k)
		}
	}
	for _, bad := range []string{"", "1100", "*26", "8012345", "80x345678", "501234567"} {
		if n, ok := numberIn(bad); ok {
			t.Errorf("%q is call %d", bad, n)
		}
	}
}
