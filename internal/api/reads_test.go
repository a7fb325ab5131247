package api

import (
	"errors"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/recorder"
)

// TestWhoIsGivenAudioIsOnRecord: once for a client that asks piece by piece, and
// not for who is refused or only asks whether it is there.
func TestWhoIsGivenAudioIsOnRecord(t *testing.T) {
	w := newWorld(t)
	path := w.recorded(recorder.Ready, "0123456789")
	w.do("HEAD", path)
	w.get(path, "X-Auth-Token", "list")
	if len(w.noted) != 0 {
		t.Errorf("nobody heard anything: %+v", w.noted)
	}
	w.get(path, "Range", "bytes=0-3")
	w.get(path, "Range", "bytes=4-9")
	w.get(path, "X-Forwarded-For", "192.0.2.7")
	w.now = w.now.Add(readEvery)
	w.get(path)
	want := []ReadData{{CDR: 7, Address: "127.0.0.1"}, {CDR: 7, Address: "192.0.2.7"}, {CDR: 7, Address: "127.0.0.1"}}
	if len(w.noted) != len(want) {
		t.Fatalf("%+v", w.noted)
	}
	for i, e := range w.noted {
		if e.Kind != eventRead || e.Recording != rec1 || !strings.HasPrefix(e.Actor, "token:") || e.Data != want[i] {
			t.Errorf("%+v, want %+v", e, want[i])
		}
	}
}

// TestAudioIsGivenThoughTheDatabaseTakesNothing: and the log says to whom.
func TestAudioIsGivenThoughTheDatabaseTakesNothing(t *testing.T) {
	w := newWorld(t)
	path := w.recorded(recorder.Ready, "0123456789")
	w.lost = errors.New("locked")
	if r := w.get(path); r.status != 200 || r.body != "0123456789" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if log := w.log.String(); !strings.Contains(log, rec1) || !strings.Contains(log, "not on record") {
		t.Errorf("log: %s", log)
	}
}

func TestReadsRememberOnlySoMuch(t *testing.T) {
	m := newReads(nil, func() time.Time { return time.Unix(0, 0) })
	for i := range 3 * readRoom {
		m.again(recorder.Event{Kind: eventRead, Actor: strings.Repeat("a", i%7) + string(rune(i))}, ReadData{})
	}
	if len(m.last) > readRoom {
		t.Errorf("%d", len(m.last))
	}
}

// TestReadThatWasNotStoredIsStoredTheNextTime: what could not be stored counted as
// stored for a minute.
func TestReadThatWasNotStoredIsStoredTheNextTime(t *testing.T) {
	w := newWorld(t)
	path := w.recorded(recorder.Ready, "0123456789")
	w.lost = errors.New("locked")
	w.get(path)
	w.lost = nil
	n := len(w.noted)
	w.get(path)
	if len(w.noted) != n+1 {
		t.Errorf("%+v", w.noted)
	}
}
