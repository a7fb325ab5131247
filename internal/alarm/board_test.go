package alarm

import (
	"strings"
	"testing"
	"time"
)

// stage is a board with a clock, and what it has told.
type stage struct {
	*Board
	now  time.Time
	told []Change
}

func newStage() *stage {
	s := &stage{now: time.Unix(1_700_000_000, 0)}
	s.Board = New(Options{Now: func() time.Time { return s.now }, Tell: func(c Change) { s.told = append(s.told, c) }})
	return s
}

func TestAStateIsToldWhenItBeginsAndWhenItIsOver(t *testing.T) {
	s := newStage()
	s.State(EventsAway, "", "connection refused")
	if len(s.told) != 0 || len(s.Up()) != 0 {
		t.Fatalf("an alarm without patience: %+v", s.told)
	}
	s.now = s.now.Add(5 * time.Second)
	s.State(EventsAway, "", "connection refused")
	s.now = s.now.Add(time.Minute)
	s.State(EventsAway, "", "no route to host")
	if len(s.told) != 1 || s.told[0].Cleared {
		t.Fatalf("told %+v", s.told)
	}
	if up := s.Up(); len(up) != 1 || up[0].Detail != "no route to host" || s.now.Sub(up[0].Since) != 65*time.Second || up[0].Do == "" {
		t.Fatalf("up: %+v", up)
	}
	s.Expire() // a state does not go away by itself
	s.State(EventsAway, "", "")
	s.State(EventsAway, "", "")
	if len(s.told) != 2 || !s.told[1].Cleared || len(s.Up()) != 0 {
		t.Fatalf("told %+v", s.told)
	}
	// What was short is forgotten: the next one needs its patience anew.
	s.State(EventsAway, "", "x")
	s.State(EventsAway, "", "")
	s.now = s.now.Add(time.Hour)
	s.State(EventsAway, "", "x")
	if len(s.told) != 2 || s.Totals()[EventsAway] != 1 {
		t.Fatalf("told %+v", s.told)
	}
}

func TestEachLostRecordingIsToldAndOneAlarmIsUp(t *testing.T) {
	s := newStage()
	s.Happened(RecordingFailed, "acme", "r1", "no space")
	s.Happened(RecordingFailed, "acme", "r2", "no space")
	s.Happened(RecordingFailed, "other", "r3", "no file")
	if len(s.told) != 3 || s.told[1].Subject != "r2" || s.told[1].Count != 2 {
		t.Fatalf("told %+v", s.told)
	}
	if up := s.Up(); len(up) != 2 || up[0].Count+up[1].Count != 3 {
		t.Fatalf("up: %+v", up)
	}
	s.now = s.now.Add(59 * time.Minute)
	s.Happened(RecordingFailed, "acme", "r4", "no space")
	s.now = s.now.Add(2 * time.Minute)
	s.Expire()
	if up := s.Up(); len(up) != 1 || up[0].Tenant != "acme" || up[0].Count != 3 {
		t.Fatalf("up: %+v", up)
	}
	if last := s.told[len(s.told)-1]; !last.Cleared || last.Tenant != "other" || s.Totals()[RecordingFailed] != 4 {
		t.Fatalf("told %+v, totals %v", last, s.Totals())
	}
}

func TestDisksAreToldApart(t *testing.T) {
	s := newStage()
	s.State(DiskLow, "/a", "5 %")
	s.State(DiskLow, "/b", "4 %")
	s.State(DiskCritical, "/b", "4 %")
	s.State(DiskLow, "/a", "")
	if up := s.Up(); len(up) != 2 || up[0].Kind != DiskCritical || up[1].Subject != "/b" {
		t.Fatalf("up: %+v", up)
	}
}

func TestEveryKindSaysWhatItMeansAndWhatToDo(t *testing.T) {
	seen := map[Kind]bool{}
	for _, i := range Kinds() {
		if seen[i.Kind] || i.Means == "" || i.Do == "" || !strings.HasSuffix(i.Means, ".") || i.Severity != Warning && i.Severity != Critical {
			t.Errorf("%+v", i)
		}
		seen[i.Kind] = true
	}
	s := newStage()
	s.Happened("nonsense", "", "", "x")
	s.State("nonsense", "", "x")
	if len(s.told) != 0 {
		t.Errorf("a kind that does not exist was told: %+v", s.told)
	}
}
