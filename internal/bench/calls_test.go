package bench

import (
	"testing"
	"time"

	"callrecordd/internal/bench/load"
	"callrecordd/internal/lab"
)

// TestCalls places real calls through the reference arm: each completes, in
// time, and the tone is heard in its file. So a figure that is
// bad does not come from the load.
func TestCalls(t *testing.T) {
	install, err := lab.Ensure(t.Context(), lab.EnsureOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{install: install, dir: t.TempDir(), opt: Options{Short: true, Progress: t.Output()}}
	site, err := s.start(t.Context(), armJournal())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := site.close(); err != nil {
			t.Error(err)
		}
	}()
	u, err := s.measure(t.Context(), site, load.Plan{Rate: 10, Calls: 10, Talk: 1500 * time.Millisecond, CalleeTone: toneTime})
	if err != nil {
		t.Fatal(err)
	}
	if u.asterisk <= 0 || u.load <= 0 {
		t.Errorf("CPU time of Asterisk %s, of the load %s", u.asterisk, u.load)
	}
	extens, bridged, err := site.journalTimes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(extens) != len(u.calls) || len(bridged) != 2*len(u.calls) {
		t.Errorf("the journal has %d callers and %d legs in bridges of %d calls", len(extens), len(bridged), len(u.calls))
	}
	for _, c := range u.calls {
		if !c.Invite.Before(c.Ringing) || c.Answered.Before(c.Ringing) || c.Bye.Sub(c.Answered) < 1500*time.Millisecond || !c.Bye.Before(c.Done) {
			t.Errorf("call %s: times are out of order: %+v", c.Exten, c)
		}
		lost, err := toneLost(mixFolder(site.dir) + "/" + c.Exten + ".wav")
		if err != nil {
			t.Fatal(err)
		}
		if lost > millis(toneTime)/2 {
			t.Errorf("call %s: %.0f of %.0f ms of the tone are lost", c.Exten, lost, millis(toneTime))
		}
	}
}

// TestRefused: a call that Asterisk does not take is no complete one.
func TestRefused(t *testing.T) {
	install, err := lab.Ensure(t.Context(), lab.EnsureOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{install: install, dir: t.TempDir(), opt: Options{Progress: t.Output()}}
	site, err := s.start(t.Context(), armBare())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := site.close(); err != nil {
			t.Error(err)
		}
	}()
	calls := site.run(t.Context(), load.Plan{Rate: 10, Calls: 2, Talk: time.Second, Exten: func(int) string { return "99" }})
	if n, why := failed(calls); n != 2 || why != "refused: 404" {
		t.Errorf("%d of 2 calls failed: %s", n, why)
	}
}
