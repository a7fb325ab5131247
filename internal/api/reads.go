package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"callrecordd/internal/recorder"
)

// Who is given audio is on record (design 8). The kinds of the events; Data is
// ReadData.
const (
	eventRead       = "recording.read"
	eventDownloaded = "export.downloaded"
)

// readEvery is how long further requests of the same client for the same audio
// are no event of their own: players ask for it piece by piece.
const readEvery = time.Minute

// readWait is how long the audio waits for its event. That nothing can be stored
// is an alarm already, and no reason to withhold what somebody may hear.
const readWait = 2 * time.Second

// readRoom is how many are remembered; with more, some are stored once more.
const readRoom = 4096

// ReadData is the Data of an event about audio that was given away.
type ReadData struct {
	CDR     int64  `json:"cdr,omitempty"`
	Export  string `json:"export,omitempty"`
	Address string `json:"address"` // the client's, as far as proxies are trusted
}

// reads stores who was given audio. Without note it stores nothing.
type reads struct {
	note func(context.Context, recorder.Event) error
	now  func() time.Time
	mu   sync.Mutex
	last map[string]time.Time // by event, actor, address
}

func newReads(note func(context.Context, recorder.Event) error, now func() time.Time) *reads {
	return &reads{note: note, now: now, last: make(map[string]time.Time)}
}

// again says whether the same was stored a moment ago.
func (m *reads) again(e recorder.Event, d ReadData) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, key := m.now(), readKey(e, d)
	if at, ok := m.last[key]; ok && now.Sub(at) < readEvery && !now.Before(at) {
		return true
	}
	if len(m.last) >= readRoom {
		clear(m.last)
	}
	m.last[key] = now
	return false
}

// forget lets the next request be stored, as this one was not.
func (m *reads) forget(e recorder.Event, d ReadData) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.last, readKey(e, d))
}

func readKey(e recorder.Event, d ReadData) string {
	return e.Kind + " " + e.Recording + d.Export + " " + e.Actor + " " + d.Address
}

// gave stores, before it happens, that a client is given audio. HEAD gives none.
func (s *Server) gave(r *http.Request, kind, recording, actor string, d ReadData) {
	d.Address = s.originOf(r, "").client
	e := recorder.Event{Kind: kind, Recording: recording, Actor: actor, Data: d}
	if s.reads.note == nil || r.Method == http.MethodHead || s.reads.again(e, d) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), readWait)
	defer cancel()
	if err := s.reads.note(ctx, e); err != nil {
		s.reads.forget(e, d)
		s.log.Error("who was given audio is not on record", "kind", kind, "recording_uuid", recording, "actor", actor, "address", d.Address, "err", err)
	}
}
