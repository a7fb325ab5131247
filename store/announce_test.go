package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// told are the events that come with the rows they are about.
func told(t *testing.T, s *Store, after int64) (out []string, last int64) {
	t.Helper()
	list, err := s.EventsAfter(t.Context(), after, []string{EventSettled, EventCDR}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if last = e.ID; e.Kind == EventSettled || e.Kind == EventCDR {
			out = append(out, e.Recording+withoutProof(t, e.Data.(json.RawMessage)))
		} else if string(e.Data.(json.RawMessage)) != "null" {
			t.Errorf("data of %s is read", e.Kind)
		}
	}
	return out, last
}

// withoutProof is data without what it is only for the ledger to prove, which
// must be there.
func withoutProof(t *testing.T, data json.RawMessage) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	if m["proves"] != true && m["digest"] == nil {
		t.Errorf("%s proves nothing", data)
	}
	for _, key := range []string{"sha256", "bytes", "samples", "rate", "proves", "tenant", "digest", "row", "talks"} {
		delete(m, key)
	}
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestFinalRecordingIsToldOnce: in the transaction that makes it so, and again if
// it becomes another; imports are told to nobody.
func TestFinalRecordingIsToldOnce(t *testing.T) {
	s, _ := newStore(t)
	r := recording("r", "1.1")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r.State = recorder.Starting
	must(s.InsertIntent(t.Context(), r))
	for _, state := range []recorder.State{recorder.Live, recorder.Closing, recorder.Missing, recorder.Missing, recorder.Ready, recorder.Ready} {
		r.State, r.Cause = state, map[recorder.State]string{recorder.Missing: recorder.CauseNoFile}[state]
		must(s.UpdateRecording(t.Context(), r))
	}
	got, _ := told(t, s, 0)
	if want := []string{`r{"cause":"no_file","state":"missing"}`, `r{"state":"ready"}`}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	select {
	case <-s.Appended():
	default:
		t.Error("nobody is woken")
	}
	_, last := told(t, s, 0)
	_, err := s.ImportCDRs(t.Context(), []Import{imported(1, "q")}, "test")
	must(err)
	if got, _ := told(t, s, last); len(got) != 0 {
		t.Errorf("an import is told: %q", got)
	}
}

// TestSavedCDRIsToldOnce: also if the journal hands it over again.
func TestSavedCDRIsToldOnce(t *testing.T) {
	s, _ := newStore(t)
	first, grown := call("1.1", "1.1"), call("1.1", "1.1", "1.2")
	grown.Journal.Last += 10
	var id int64
	for _, c := range []cdr.CDR{first, first, grown, grown} {
		id = save(t, s, 1, c)[0]
	}
	got, last := told(t, s, 0)
	if want := []string{fmt.Sprintf(`{"cdr":%d,"new":true}`, id), fmt.Sprintf(`{"cdr":%d,"new":false}`, id)}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if newest, err := s.LastEvent(t.Context()); err != nil || newest != last {
		t.Errorf("the newest is %d, want %d (%v)", newest, last, err)
	}
}
