package exec

import (
	"context"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/recorder"
)

func TestGrowth(t *testing.T) {
	t.Run("silent, then not", func(t *testing.T) {
		r := newRig(t, nil)
		_, _ = r.e.files.prepare(r.row)
		p := open(t, r.e.files.abs(r.row))
		r.apply(r.watch())
		want[recorder.Seen](r)
		want[recorder.SilentRTP](r)
		p.write(320)
		want[recorder.Grew](r)
		p.close()
	})
	// A clock that is twenty times as fast: Asterisk's buffer is two seconds.
	const fast = 20
	for name, tc := range map[string]struct {
		rtp  func(at time.Duration) int64 // how many packets came
		want string
	}{
		"it runs":                         {func(at time.Duration) int64 { return int64(at / packet) }, "NotGrown"},
		"it runs in short packets":        {func(at time.Duration) int64 { return int64(2 * at / packet) }, "NotGrown"},
		"it ran before, not now":          {func(time.Duration) int64 { return 5000 }, "SilentRTP"},
		"it stops soon":                   {func(at time.Duration) int64 { return int64(min(at, 1200*time.Millisecond) / packet) }, "SilentRTP"},
		"short packets stop soon":         {func(at time.Duration) int64 { return int64(2 * min(at, 1200*time.Millisecond) / packet) }, "SilentRTP"},
		"a keep-alive now and then":       {func(at time.Duration) int64 { return int64(at / (500 * time.Millisecond)) }, "SilentRTP"},
		"it comes back":                   {func(at time.Duration) int64 { return int64(max(0, at-5*time.Second) / packet) }, "SilentRTP NotGrown"},
		"it begins late, but in the time": {func(at time.Duration) int64 { return int64(max(0, at-1500*time.Millisecond) / packet) }, "NotGrown"},
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			r := newRig(t, func(c *Config) {
				c.Clock = func() time.Time { return begun.Add(fast * time.Since(begun)) }
			})
			r.a.rtp = func() (int64, error) { return tc.rtp(fast * time.Since(begun)), nil }
			_, _ = r.e.files.prepare(r.row)
			p := open(t, r.e.files.abs(r.row))
			defer p.f.Close()
			r.apply(recorder.WatchFile{Row: r.row, Exists: 1500 * time.Millisecond, Growth: 3200 * time.Millisecond})
			want[recorder.Seen](r)
			for word := range strings.FieldsSeq(tc.want) {
				if word == "SilentRTP" {
					want[recorder.SilentRTP](r)
				} else if f := want[recorder.NotGrown](r); f.Cause != recorder.CauseNoGrowth {
					t.Error(f)
				}
			}
		})
	}
	t.Run("late file", func(t *testing.T) {
		r := newRig(t, nil)
		_, _ = r.e.files.prepare(r.row)
		r.apply(r.watch())
		want[recorder.NotSeen](r)
		p := open(t, r.e.files.abs(r.row))
		p.write(320)
		r.a.stop = func(context.Context) error { p.close(); return nil }
		r.apply(recorder.Stop{Row: r.row}, recorder.Finalise{Row: r.row})
		want[recorder.StopDone](r)
		if f := want[recorder.Finalised](r); f.Samples != 160 {
			t.Error(f)
		}
	})
}
