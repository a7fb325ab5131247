package app

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"callrecordd/internal/call"
	"callrecordd/internal/recorder"
	"callrecordd/internal/tones"
)

// radio is an Asterisk on which every sound begins and none ends.
type radio struct{ w *tones.Whisperer }

func (r *radio) Snoop(_ context.Context, _, id string) error { r.w.Ready(id); return nil }

func (r *radio) Play(_ context.Context, _, playback, _ string) error { r.w.Began(playback); return nil }

func (r *radio) Hangup(context.Context, string) error { return nil }

// A party that hears an announcement when the daemon is stopped has heard it
// until then, which is evidence as well: its end was not stored.
func TestAnnouncementThatIsCutShortByAStopHasItsEnd(t *testing.T) {
	var mu sync.Mutex
	var kinds []string
	begun := make(chan struct{})
	log := slog.New(slog.DiscardHandler)
	a := &App{log: log, stack: stack{log: log}, failed: make(chan error, 1)}
	a.reducer = newReducer(reducer{
		model: call.New(call.Config{}), machine: recorder.New(recorder.Config{}), now: time.Now, log: log,
		perform: func(effects []recorder.Effect) {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range effects {
				if l, ok := e.(recorder.Log); ok {
					kinds = append(kinds, l.Event.Kind)
					if l.Event.Kind == recorder.EventAnnounced {
						close(begun)
					}
				}
			}
		},
	})
	r := &radio{}
	r.w = tones.New(tones.Config{
		ARI: r, Prefix: "x-", NewUUID: func() string { return "1" }, Now: time.Now, Sure: time.Millisecond,
		Early: func(error) bool { return false }, Gone: func(error) bool { return false },
	})
	a.startReducer(r.w)
	a.reducer.whisper(r.w, recorder.Tone{Legs: []string{"1.1"}, Sound: "custom/recorded", Else: recorder.Beep, Occasion: recorder.TellsStart})
	select {
	case <-begun:
	case <-time.After(10 * time.Second):
		t.Fatal("it was not heard")
	}
	if err := a.stack.unwind(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{recorder.EventAnnounced, recorder.EventAnnouncementEnded}; !slices.Equal(kinds, want) {
		t.Errorf("told %q, want %q", kinds, want)
	}
}
