package exec

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"callrecordd/internal/recorder"
)

var errAway = errors.New("no connection")

func isAway(err error) bool { return errors.Is(err, errAway) }

// Defect 3: the answer to a start is lost; Asterisk comes to it later.
func TestLostStartIsFoundOrGivenUp(t *testing.T) {
	const variable = "CALLRECORD_11111111_1111_4111_8111_111111111111"
	lost := func(context.Context, string, string) (string, error) { return "", context.DeadlineExceeded }
	t.Run("it comes to run", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.LostPoll = time.Millisecond })
		r.a.start, r.a.vars = lost, map[string]string{}
		r.apply(recorder.Start{Row: r.row})
		want[recorder.StartLost](r)
		r.a.mu.Lock()
		r.a.vars[variable] = "0x5"
		r.a.mu.Unlock()
		if s := want[recorder.Started](r); s.MixMonitorID != "0x5" {
			t.Error(s)
		}
	})
	t.Run("it never does", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.LostPoll, c.LostWait = time.Millisecond, 20*time.Millisecond })
		r.a.start, r.a.vars = lost, map[string]string{}
		r.apply(recorder.Start{Row: r.row})
		want[recorder.StartLost](r)
		if f := want[recorder.StartFailed](r); f.Cause != recorder.CauseNoAnswer {
			t.Error(f)
		}
	})
	t.Run("its file is not closed while it runs", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.CloseWait = time.Millisecond })
		if _, err := r.e.files.prepare(r.row); err != nil {
			t.Fatal(err)
		}
		p := open(t, r.e.files.abs(r.row))
		p.write(320)
		r.row.MixMonitorID = ""
		alive := make(chan struct{}, 100)
		r.a.vars = map[string]string{variable: "0x5", "MIXMONITOR(0x5,filename)": r.e.files.abs(r.row)}
		r.a.asked = func(name string) {
			if name != variable {
				alive <- struct{}{}
			}
		}
		r.apply(recorder.Finalise{Row: r.row})
		<-alive
		p.close()
		if f := want[recorder.Finalised](r); !f.Complete {
			t.Errorf("%+v", f)
		}
	})
}

// Defect 1: a stop that was not carried out is not done.
func TestStopWithoutAnswerIsToldFromARefusedOne(t *testing.T) {
	for cause, err := range map[string]error{
		recorder.CauseNoManager: errAway,
		recorder.CauseTimeout:   context.DeadlineExceeded,
		recorder.CauseRefused:   errors.New("Could not stop monitoring channel"),
		recorder.CauseNoChannel: errors.New("No such channel"),
	} {
		t.Run(cause, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.NotSent = isAway })
			if _, err := r.e.files.prepare(r.row); err != nil {
				t.Fatal(err)
			}
			r.a.stop = func(context.Context) error { return err }
			r.apply(recorder.Stop{Row: r.row})
			if f := want[recorder.StopFailed](r); f.Cause != cause {
				t.Error(f)
			}
		})
	}
	t.Run("it had worked, and the id is another recorder's", func(t *testing.T) {
		r := newRig(t, nil)
		if _, err := r.e.files.prepare(r.row); err != nil {
			t.Fatal(err)
		}
		r.a.vars = map[string]string{"MIXMONITOR(0x1,filename)": "/another.wav"}
		r.a.stop = func(context.Context) error { return context.DeadlineExceeded }
		r.apply(recorder.Stop{Row: r.row}, recorder.Stop{Row: r.row})
		want[recorder.StopFailed](r)
		want[recorder.StopDone](r)
		r.close()
		if len(r.a.order) != 1 {
			t.Error(r.a.order)
		}
	})
}

// Defect 5: more failures than a start of ours would wait for.
func TestFinalStateIsTriedUntilStored(t *testing.T) {
	r := newRig(t, func(c *Config) { c.SaveDelay = time.Microsecond })
	r.a.broken = saveTries + saveTries + 5 // the older row is given up
	older, final := r.row, r.row
	older.State, final.State = recorder.Closing, recorder.Ready
	r.apply(recorder.Save{Row: older}, recorder.Save{Row: final, Sync: true})
	r.waitFor(func() bool { r.e.mu.Lock(); defer r.e.mu.Unlock(); return len(r.e.workers) == 0 })
	r.close()
	if len(r.a.rows) != 1 || r.a.rows[0].State != recorder.Ready {
		t.Errorf("%+v", r.a.rows)
	}
}

// A Reconcile in between must not overtake what is not stored yet.
func TestRowsStayInOrderWhileAFinalStateWaits(t *testing.T) {
	r := newRig(t, func(c *Config) { c.SaveDelay = time.Microsecond })
	r.a.broken = 3 * saveTries
	for _, state := range []recorder.State{recorder.Missing, recorder.Ready} {
		row := r.row
		row.State = state
		r.apply(recorder.Save{Row: row, Sync: true})
	}
	r.waitFor(func() bool { r.e.mu.Lock(); defer r.e.mu.Unlock(); return len(r.e.workers) == 0 })
	r.close()
	if len(r.a.rows) != 2 || r.a.rows[1].State != recorder.Ready {
		t.Errorf("%+v", r.a.rows)
	}
}

// Defect 6.
func TestRTPThatCannotBeCountedIsSilence(t *testing.T) {
	r := newRig(t, nil)
	r.a.rtp = func() (int64, error) { return 0, errors.New("unsupported channel type") }
	if _, err := r.e.files.prepare(r.row); err != nil {
		t.Fatal(err)
	}
	p := open(t, r.e.files.abs(r.row))
	r.apply(r.watch())
	want[recorder.Seen](r)
	want[recorder.SilentRTP](r)
	p.write(320)
	want[recorder.Grew](r)
	p.close()
}

// Defect 6.
func TestMissingRootIsNotMade(t *testing.T) {
	root := filepath.Join(t.TempDir(), "not-mounted")
	r := newRig(t, func(c *Config) { c.Root = root })
	r.apply(recorder.Start{Row: r.row})
	if f := want[recorder.StartFailed](r); f.Cause != recorder.CauseNoDirectory {
		t.Error(f)
	}
	if _, err := os.Stat(root); !errors.Is(err, os.ErrNotExist) {
		t.Error("the root was made:", err)
	}
}
