package recorder

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"callrecordd/internal/call"
)

// finalised ends the call, and tells of each of its pauses what was found.
func (d *desk) finalised(found Silence) (row Recording, out []Effect) {
	u := d.m.talks[1].current
	d.hold = true
	d.do(d.m.Step(d.now, ChannelGone{"a"}))
	f := d.held[len(d.held)-1].(Finalised)
	f.Pauses = slices.Clone(d.last(u).Pauses)
	for i := range f.Pauses {
		f.Pauses[i].Silence = found
	}
	row = d.last(u)
	out = d.m.Step(d.now, f)
	return row, out
}

// confirm gives the answers that wait, as of now.
func (d *desk) confirm() {
	for i, in := range d.held {
		if m, ok := in.(Muted); ok {
			m.At = d.now
			d.held[i] = m
		}
	}
	d.release()
}

// The file is to be silent from when Asterisk confirmed the mute; how late that
// was is said.
func TestMuteIsConfirmedLate(t *testing.T) {
	for name, tc := range map[string]struct {
		late   time.Duration
		found  Silence
		events string
	}{
		"at once":          {3 * time.Millisecond, Silent, "[]"},
		"on a busy day":    {300 * time.Millisecond, Silent, "[]"},
		"too late":         {700 * time.Millisecond, Silent, "[pause_muted_late: muted 700ms after it was asked for]"},
		"too late, a word": {700 * time.Millisecond, NotSilent, "[pause_not_silent: muted 700ms after it was asked for]"},
		"a word":           {300 * time.Millisecond, NotSilent, "[pause_not_silent: ]"},
	} {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.hold = true
		d.press("a=")
		from := d.now
		d.now = from.Add(tc.late)
		d.confirm()
		if got := one[Log](t, slices.DeleteFunc(slices.Clone(d.all), func(e Effect) bool {
			l, ok := e.(Log)
			return !ok || l.Event.Kind != EventMuted
		})).Event.Data.(Note).Detail; got != "muted "+tc.late.String()+" after it was asked for" {
			t.Errorf("%s: %q", name, got)
		}
		d.now = d.now.Add(time.Second)
		d.press("a>")
		d.release()
		row, out := d.finalised(tc.found)
		if p := row.Pauses[0]; !p.From.Equal(from) || !p.Muted.Equal(from.Add(tc.late)) {
			t.Errorf("%s: %+v", name, p)
		}
		said := []string{}
		for _, l := range pick[Log](out) {
			if p, ok := l.Event.Data.(Pause); ok {
				said = append(said, l.Event.Kind+": "+p.Detail)
			}
		}
		if got := fmt.Sprint(said); got != tc.events {
			t.Errorf("%s: %s, want %s", name, got, tc.events)
		}
	}
}

// Of a pause that was over before its mute was confirmed nobody was told that it
// holds. What was confirmed to a later pause, or after a restart, says nothing of
// when this one began to be silent.
func TestMuteThatWasNotConfirmedInItsPause(t *testing.T) {
	t.Run("resumed before", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.hold = true
		d.press("a=")
		d.now = d.now.Add(300 * time.Millisecond)
		d.press("a>")
		d.confirm()
		if row, _ := d.finalised(Unchecked); !row.Pauses[0].Muted.Equal(row.Pauses[0].To) {
			t.Errorf("%+v", row.Pauses)
		}
	})
	t.Run("after a restart", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.press("a=")
		row := d.last(id(1))
		row.MixMonitorID, row.Pauses = "0x1", slices.Clone(row.Pauses)
		row.Pauses[0].Muted = time.Time{} // it is not stored
		n := newDesk(t, Config{})
		n.now = d.now.Add(time.Minute)
		n.m.Recall(d.stored())
		n.do(n.m.Reconcile(n.now, []Recording{row}, []Channel{
			{ID: "a", Recorders: []Recorder{{UUID: row.UUID, MixMonitorID: "0x1"}}}, {ID: "b"},
		}, map[string]int64{row.UUID: 100}))
		n.do(n.m.Step(n.now, talked(call.Began, 1, "Ab")))
		n.want(t, "[mute]")
		if p := n.m.recs[row.UUID].Pauses[0]; p.Muted.After(p.From) {
			t.Errorf("%+v", p)
		}
	})
}
