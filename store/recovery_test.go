package store

import (
	"slices"
	"testing"
	"time"

	"callrecordd/internal/cdr"
	"callrecordd/internal/directory"
	"callrecordd/internal/recorder"
)

// TestACallIsInTheListOnceFromWhicheverSourceItComes: from events first, with
// another linkedid than Asterisk's, and the journal's rows later; or the journal
// first. It keeps its id, and the journal counts more.
func TestACallIsInTheListOnceFromWhicheverSourceItComes(t *testing.T) {
	for name, order := range map[string][]string{
		"events first":             {cdr.SourceLive, cdr.SourceJournal},
		"journal first":            {cdr.SourceJournal, cdr.SourceLive},
		"events twice":             {cdr.SourceLive, cdr.SourceLive, cdr.SourceJournal},
		"journal, events, journal": {cdr.SourceJournal, cdr.SourceLive, cdr.SourceJournal},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newStore(t)
			if err := s.InsertIntent(t.Context(), recording("r", "1.2")); err != nil {
				t.Fatal(err)
			}
			var first int64
			for i, source := range order {
				c := call("1.1", "1.1", "1.2")
				if c.Source = source; source == cdr.SourceLive {
					c.LinkedIDs, c.ConversationID, c.DestinationName = []string{"1.2"}, "1.2", "?"
					c.Journal = cdr.JournalRange{Boot: c.Journal.Boot}
				}
				ids, err := s.SaveCDRs(t.Context(), []cdr.CDR{c}, cdr.Checkpoint{})
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					first = ids[0]
				}
				if ids[0] != first {
					t.Errorf("it has id %d, and had %d", ids[0], first)
				}
			}
			p, err := s.ListCDRs(t.Context(), Filter{Tenants: []string{"t"}})
			if err != nil || len(p.Items) != 1 {
				t.Fatalf("%d CDRs, %v", len(p.Items), err)
			}
			if got := get(t, s, first); got.DestinationName == "?" || got.Source != cdr.SourceJournal || len(got.Recordings) != 1 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestCallsOfTwoBootsStayTwo: uniqueids come back after a restart of Asterisk.
func TestCallsOfTwoBootsStayTwo(t *testing.T) {
	s, _ := newStore(t)
	live := call("1.1", "1.1", "1.2")
	live.Source, live.Journal = cdr.SourceLive, cdr.JournalRange{Boot: boot.Add(-time.Hour)}
	other := call("1.1", "1.1", "1.2")
	a, b := save(t, s, 10, live), save(t, s, 20, other)
	if a[0] == b[0] {
		t.Error("the call of another Asterisk was replaced")
	}
}

// TestClockSetBackDoesNotBringAnOldJournalBack: the position that was saved last
// is the one of the journal that is followed.
func TestClockSetBackDoesNotBringAnOldJournalBack(t *testing.T) {
	s, c := newStore(t)
	if _, err := s.SaveCDRs(t.Context(), nil, cdr.Checkpoint{Journal: 1, Position: 500, Mark: "500 a"}); err != nil {
		t.Fatal(err)
	}
	c.add(-time.Hour)
	want := cdr.Checkpoint{Journal: 2, Position: 7, Mark: "7 b"}
	if _, err := s.SaveCDRs(t.Context(), nil, want); err != nil {
		t.Fatal(err)
	}
	if got, err := s.LoadCheckpoint(t.Context()); got != want || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestDirectorySpan: during the span the directory is the same, at its ends it
// is not.
func TestDirectorySpan(t *testing.T) {
	s, c := newStore(t)
	d := newDirectory(t, s, c)
	begin := c.now()
	var changes []time.Time
	for _, name := range []string{"alice", "bob", "carol"} {
		c.add(time.Hour)
		if _, err := d.CreateUser(t.Context(), "root", directory.User{TenantUUID: d.Book().Master().UUID, FirstName: name}); err != nil {
			t.Fatal(err)
		}
		changes = append(changes, c.now())
	}
	from, to, err := s.DirectorySpan(t.Context(), changes[0].Add(time.Minute))
	if err != nil || !from.Equal(changes[0]) || !to.Equal(changes[1]) {
		t.Errorf("%v to %v, %v; want %v to %v", from, to, err, changes[0], changes[1])
	}
	if from, to, err := s.DirectorySpan(t.Context(), begin.Add(-time.Hour)); err != nil || from.Unix() > begin.Unix()-3600 || !to.After(from) {
		t.Errorf("before all: %v to %v, %v", from, to, err)
	}
	if changed, err := s.DirectoryChangedSince(t.Context(), changes[2]); changed || err != nil {
		t.Errorf("changed since the last change: %v", err)
	}
	if changed, err := s.DirectoryChangedSince(t.Context(), changes[1]); !changed || err != nil {
		t.Errorf("not changed: %v", err)
	}
}

// TestFilesThatNobodyClosedAreFoundAgain: those, and no others.
func TestFilesThatNobodyClosedAreFoundAgain(t *testing.T) {
	s, _ := newStore(t)
	for uuid, cause := range map[string]string{"a": recorder.CauseHeaderUnset, "b": recorder.CauseRepaired, "c": recorder.CauseHeaderUnset} {
		r := recording(uuid, "5."+uuid)
		if err := s.InsertIntent(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		r.State, r.Cause = recorder.Interrupted, cause
		if err := s.UpdateRecording(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.UnclosedRecordings(t.Context())
	var got []string
	for _, r := range list {
		got = append(got, r.UUID)
	}
	slices.Sort(got)
	if err != nil || !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestARecordingThatIsDeletedWhileItIsRepairedStaysDeleted: the repair at a start
// has read its row before.
func TestARecordingThatIsDeletedWhileItIsRepairedStaysDeleted(t *testing.T) {
	s, _ := newStore(t)
	r := recording("r", "1.2")
	if err := s.InsertIntent(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r.State, r.Cause = recorder.Interrupted, recorder.CauseHeaderUnset
	if err := s.UpdateRecording(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if b, err := s.BeginRemovals(t.Context(), []string{"r"}, "admin", "asked for"); err != nil || b[0].Err != nil {
		t.Fatal(b, err)
	}
	for _, state := range []recorder.State{recorder.Closing, recorder.Missing} {
		if r.State = state; s.UpdateRecording(t.Context(), r) != nil {
			t.Error("it is tried for ever")
		}
		if got, err := s.Recording(t.Context(), "r"); err != nil || got.State != recorder.Deleted {
			t.Errorf("%s made it %s (%v)", state, got.State, err)
		}
	}
}

// TestACallMadeWholeByEventsStaysSoWhenTheJournalIsReadAgain: of its end the
// journal knows nothing, and the events are forgotten by then.
func TestACallMadeWholeByEventsStaysSoWhenTheJournalIsReadAgain(t *testing.T) {
	s, _ := newStore(t)
	whole := call("1.1", "1.1", "1.2")
	whole.Source, whole.DestinationName = cdr.SourceLive, "whole"
	id := save(t, s, 10, whole)[0]
	half := call("1.1", "1.1", "1.2")
	half.DestinationName = "half"
	if again := save(t, s, 10, half)[0]; again != id || get(t, s, id).DestinationName != "whole" {
		t.Errorf("it is %d with %q, was %d", again, get(t, s, id).DestinationName, id)
	}
	half.Journal.Last++ // rows that came after all
	if again := save(t, s, 10, half)[0]; again != id || get(t, s, id).DestinationName != "half" {
		t.Errorf("it is %d with %q", again, get(t, s, id).DestinationName)
	}
}
