package exec

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/recorder"
)

func TestMute(t *testing.T) {
	for name, tc := range map[string]struct {
		err     error
		stalled bool
		id      string
		cause   string
	}{
		"by id":           {nil, false, "0x1", ""},
		"stalled":         {nil, true, "", recorder.CauseStalled},
		"refused":         {errors.New("Cannot set mute flag"), false, "0x1", recorder.CauseRefused},
		"hung up":         {errors.New("No such channel"), false, "0x1", recorder.CauseNoChannel},
		"no answer":       {context.DeadlineExceeded, false, "0x1", recorder.CauseTimeout},
		"manager is away": {errAway, false, "0x1", recorder.CauseNoManager},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			r := newRig(t, func(c *Config) {
				c.ProbeWait = 20 * time.Millisecond
				c.NotSent = func(err error) bool { return errors.Is(err, errAway) }
				if tc.stalled {
					c.probe = func(string) error { <-release; return nil }
				}
			})
			defer close(release)
			var got string
			r.a.mute = func(_ context.Context, id string, on bool) error {
				got = fmt.Sprint(id, on)
				return tc.err
			}
			_, _ = r.e.files.prepare(r.row)
			r.apply(recorder.Mute{Row: r.row, On: true, Try: 7})
			if tc.cause == "" {
				if m := want[recorder.Muted](r); m.Try != 7 || !m.On || m.At.IsZero() {
					t.Errorf("%+v", m)
				}
			} else if m := want[recorder.MuteFailed](r); m.Try != 7 || !m.On || m.Cause != tc.cause {
				t.Errorf("%+v", m)
			}
			// Without an id Asterisk would mute the recorders of others too.
			if want := map[bool]string{false: tc.id + "true"}[tc.stalled]; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// A recorder whose id nobody knows is left alone: Asterisk would take another.
func TestNothingIsAskedWithoutAnID(t *testing.T) {
	r := newRig(t, nil)
	r.a.vars = map[string]string{}
	asked := false
	r.a.mute = func(context.Context, string, bool) error { asked = true; return nil }
	r.a.stop = func(context.Context) error { asked = true; return nil }
	_, _ = r.e.files.prepare(r.row)
	r.row.MixMonitorID = ""
	r.apply(recorder.Mute{Row: r.row, On: true, Try: 1})
	if m := want[recorder.MuteFailed](r); m.Cause != recorder.CauseRefused {
		t.Errorf("%+v", m)
	}
	r.apply(recorder.Stop{Row: r.row})
	if s := want[recorder.StopFailed](r); s.Cause != recorder.CauseTimeout { // it may run on
		t.Errorf("%+v", s)
	}
	if asked {
		t.Error("Asterisk was asked")
	}
}

// The verdict on a pause is tried as the final row is: no later row has it.
func TestVerdictOnAPauseIsTriedUntilItIsStored(t *testing.T) {
	r := newRig(t, func(c *Config) { c.SaveDelay = time.Microsecond })
	r.a.pauseBroken = 3 * saveTries
	p := recorder.Pause{UUID: rowID, Owner: "1.1", From: time.Unix(1, 0), To: time.Unix(2, 0), Silence: recorder.NotSilent}
	r.apply(p)
	eventually(t, "the verdict is stored", func() bool {
		r.a.mu.Lock()
		defer r.a.mu.Unlock()
		return len(r.a.pauses) == 1
	})
}

// States of legs are stored with the events of their step, the newest only, and
// are not lost while the store takes nothing.
func TestLegsAreStoredWithTheirEvents(t *testing.T) {
	r := newRig(t, func(c *Config) { c.SaveDelay = time.Microsecond })
	r.a.mu.Lock()
	r.a.appendBroken = 3 * saveTries
	r.a.mu.Unlock()
	leg := func(stopped bool) recorder.Effect {
		return recorder.Legs{Changed: []recorder.LegState{{Leg: "1.1", Stopped: stopped}}}
	}
	r.apply(recorder.Log{Event: recorder.Event{Kind: "x"}}, leg(false))
	r.apply(leg(true))
	eventually(t, "the newest state is stored", func() bool {
		r.a.mu.Lock()
		defer r.a.mu.Unlock()
		n := len(r.a.legs)
		return n > 0 && r.a.legs[n-1].Stopped
	})
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for begun := time.Now(); !done(); runtime.Gosched() {
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("not after 10 s: %s", what)
		}
	}
}

// A mute waits for nothing of its recording but the mute before: not for the
// store, nor for a watch or a stop that hangs.
func TestMuteWaitsForNothing(t *testing.T) {
	r := newRig(t, nil)
	hang := make(chan struct{})
	r.a.intent = func(context.Context) { <-hang }
	r.a.stop = func(context.Context) error { <-hang; return nil }
	r.a.mute = func(context.Context, string, bool) error { return nil }
	_, _ = r.e.files.prepare(r.row)
	r.apply(recorder.SaveIntent{Row: r.row}, recorder.Stop{Row: r.row}, recorder.Mute{Row: r.row, On: true, Try: 1})
	want[recorder.Muted](r)
	close(hang)
	want[recorder.StopDone](r)
}

func TestPausesAreStoredInOrder(t *testing.T) {
	r := newRig(t, nil)
	p := recorder.Pause{UUID: rowID, Owner: "1.1", From: time.Unix(1, 0)}
	q := p
	q.To = time.Unix(2, 0)
	r.apply(recorder.Save{Row: r.row}, p, q)
	r.close()
	if len(r.a.pauses) != 2 || r.a.pauses[0] != p || r.a.pauses[1] != q {
		t.Errorf("%+v", r.a.pauses)
	}
}

// A recorder that goes on after a cut appends, and has to prove that its file
// grows once more. The close before the cut is not taken for its end.
func TestAppend(t *testing.T) {
	r := newRig(t, nil)
	var p *tape
	r.a.start = func(_ context.Context, file, options string) (string, error) {
		if strings.HasPrefix(options, "a") {
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err != nil {
				return "", err
			}
			_, err = f.Seek(0, 2)
			p.f = f
			return "0x2", err
		}
		p = open(t, file)
		return "0x1", nil
	}
	r.a.stop = func(context.Context) error { p.close(); return nil }
	long := recorder.WatchFile{Row: r.row, Exists: time.Minute, Growth: time.Minute}
	r.apply(recorder.Start{Row: r.row})
	want[recorder.Started](r)
	r.apply(long)
	want[recorder.Seen](r)
	p.write(16000)
	want[recorder.Grew](r)
	r.apply(recorder.Stop{Row: r.row})
	want[recorder.StopDone](r)
	cut := r.row
	cut.MixMonitorID = ""
	r.apply(recorder.Start{Row: cut, Append: true})
	if s := want[recorder.Started](r); s.MixMonitorID != "0x2" {
		t.Error(s)
	}
	r.apply(long)
	want[recorder.Seen](r)
	p.write(3200)
	want[recorder.Grew](r) // and not before; no Closed either
	r.apply(recorder.Stop{Row: r.row}, recorder.Finalise{Row: r.row, Try: 1})
	want[recorder.StopDone](r)
	if f := want[recorder.Finalised](r); f.Samples != 9600 || !f.Complete {
		t.Errorf("%+v", f)
	}
}

// A start to append whose answer is lost must not find the recorder of before.
func TestLostAppend(t *testing.T) {
	r := newRig(t, func(c *Config) { c.LostPoll = time.Millisecond })
	variable := r.row.Variable()
	r.a.vars = map[string]string{variable: "0x1"}
	r.a.start = func(context.Context, string, string) (string, error) { return "", context.DeadlineExceeded }
	_, _ = r.e.files.prepare(r.row)
	r.apply(recorder.Stop{Row: r.row})
	want[recorder.StopDone](r)
	r.a.asked = func(name string) {
		if name == "MIXMONITOR(0x1,filename)" {
			r.a.vars = map[string]string{variable: "0x2"} // it comes late
		}
	}
	cut := r.row
	cut.MixMonitorID = ""
	r.apply(recorder.Start{Row: cut, Append: true})
	want[recorder.StartLost](r)
	if s := want[recorder.Started](r); s.MixMonitorID != "0x2" {
		t.Error(s)
	}
}

// stretch is so many milliseconds of a level, 0 for silence.
type stretch struct {
	ms, level int
}

func wave(list ...stretch) []byte {
	var b []byte
	for _, s := range list {
		for i := range s.ms * 8 {
			level := s.level
			if i%2 == 1 {
				level = -level
			}
			b = binary.LittleEndian.AppendUint16(b, uint16(int16(level)))
		}
	}
	return append(header(uint32(len(b))), b...)
}

func TestSilences(t *testing.T) {
	began := time.Unix(1_700_000_000, 0)
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	pause := func(from, to int) recorder.Pause { return recorder.Pause{From: at(from), To: at(to)} }
	muted := func(from, muted, to int) recorder.Pause {
		return recorder.Pause{From: at(from), Muted: at(muted), To: at(to)}
	}
	cut := func(from, to int) recorder.Pause { return recorder.Pause{From: at(from), To: at(to), Cut: true} }
	speech := func(ms int) stretch { return stretch{ms, 900} }
	quiet := func(ms int) stretch { return stretch{ms, 0} }
	for name, tc := range map[string]struct {
		end    int
		pauses []recorder.Pause
		audio  []stretch
		want   string
	}{
		"at its place":                    {5000, []recorder.Pause{pause(1000, 3000)}, []stretch{speech(1000), quiet(2000), speech(2000)}, "silent 0"},
		"within the guards":               {5000, []recorder.Pause{pause(1000, 3000)}, []stretch{speech(1050), quiet(1900), speech(2050)}, "silent 0"},
		"answer to the start was late":    {5000, []recorder.Pause{pause(1000, 3000)}, []stretch{speech(1080), quiet(2000), speech(2000)}, "silent 0"},
		"begins late":                     {5000, []recorder.Pause{pause(1000, 3000)}, []stretch{speech(1100), quiet(1900), speech(2000)}, "not_silent 900"},
		"ends early":                      {5000, []recorder.Pause{pause(1000, 3000)}, []stretch{speech(1000), quiet(1900), speech(2100)}, "not_silent 900"},
		"a faint word":                    {5000, []recorder.Pause{pause(1000, 3000)}, []stretch{speech(1000), quiet(900), {20, 1}, quiet(1080), speech(2000)}, "not_silent 1"},
		"not muted":                       {5000, []recorder.Pause{pause(1000, 3000)}, []stretch{speech(5000)}, "not_silent 900"},
		"file is shorter, silent":         {5000, []recorder.Pause{pause(2000, 4000)}, []stretch{speech(1000), quiet(2000), speech(1000)}, "silent 0"},
		"file is shorter, word in it":     {5000, []recorder.Pause{pause(2000, 4000)}, []stretch{speech(1000), quiet(800), speech(100), quiet(1100), speech(1000)}, "unchecked 0"},
		"nothing was sent in the pause":   {5000, []recorder.Pause{pause(1000, 3000)}, []stretch{speech(1000), quiet(500), speech(2000)}, "unchecked 0"},
		"silence elsewhere does not help": {9000, []recorder.Pause{pause(1000, 3000)}, []stretch{speech(5000), quiet(3000), speech(1000)}, "not_silent 900"},
		"too little is there to tell":     {5000, []recorder.Pause{pause(1000, 3000)}, []stretch{speech(1500)}, "unchecked 0"},
		"too short to look":               {5000, []recorder.Pause{pause(1000, 1100)}, []stretch{speech(5000)}, "unchecked 0"},
		"to the end":                      {3000, []recorder.Pause{pause(1000, 3000)}, []stretch{speech(1000), quiet(2000)}, "silent 0"},
		"to the end, stop came late":      {3000, []recorder.Pause{pause(1000, 3000)}, []stretch{speech(1000), quiet(2000), speech(2000)}, "not_silent 900"},
		"two":                             {5000, []recorder.Pause{pause(1000, 2000), pause(3000, 4000)}, []stretch{speech(1000), quiet(1000), speech(1500), quiet(500), speech(1000)}, "silent 0, not_silent 900"},
		"cut":                             {5000, []recorder.Pause{cut(1000, 3000)}, []stretch{speech(3000)}, "cut 0"},
		"cut before a mute":               {9000, []recorder.Pause{cut(1000, 3000), pause(5000, 7000)}, []stretch{speech(3000), quiet(2000), speech(2000)}, "cut 0, silent 0"},
		"mute came late":                  {5000, []recorder.Pause{muted(1000, 1400, 3000)}, []stretch{speech(1400), quiet(1600), speech(2000)}, "silent 0"},
		"word after a late mute":          {5000, []recorder.Pause{muted(1000, 1400, 3000)}, []stretch{speech(1400), quiet(600), speech(100), quiet(900), speech(2000)}, "not_silent 900"},
		"mute had no effect":              {5000, []recorder.Pause{muted(1000, 1010, 3000)}, []stretch{speech(5000)}, "not_silent 900"},
		"resumed before it was muted":     {5000, []recorder.Pause{muted(1000, 3000, 3000)}, []stretch{speech(5000)}, "unchecked 0"},
		"before the start was answered":   {3000, []recorder.Pause{pause(-500, 1000)}, []stretch{quiet(1000), speech(2000)}, "silent 0"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			_, err := r.e.files.prepare(r.row)
			must(t, err)
			must(t, os.WriteFile(r.e.files.abs(r.row), wave(tc.audio...), 0o600))
			r.row.StartedAt, r.row.EndedAt, r.row.Pauses = began, at(tc.end), tc.pauses
			r.apply(recorder.Finalise{Row: r.row})
			f := want[recorder.Finalised](r)
			var got []string
			for i, p := range f.Pauses {
				got = append(got, fmt.Sprintf("%s %d", p.Silence, p.Loudest))
				if !p.From.Equal(tc.pauses[i].From) {
					t.Errorf("%+v", p)
				}
			}
			if strings.Join(got, ", ") != tc.want {
				t.Errorf("%v, want %s", got, tc.want)
			}
		})
	}
}
