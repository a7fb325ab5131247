package tones

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// word is what was told of announcements, with its time since the start.
type word struct {
	mu    sync.Mutex
	start time.Time
	told  []string
}

func (w *word) announcement(sound string) Announcement {
	return Announcement{Sound: sound, Else: "beep", Tell: func(o Outcome) {
		w.mu.Lock()
		defer w.mu.Unlock()
		what := "begun"
		switch {
		case o.Over:
			what = "over"
		case o.Failed:
			what = "failed"
		}
		if o.Detail != "" {
			what += ": " + o.Detail
		}
		w.told = append(w.told, fmt.Sprintf("%s %s %s", sound, o.At.Sub(w.start), what))
	}}
}

func (w *word) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.told, want) {
		t.Errorf("told %q, want %q", w.told, want)
	}
}

func TestAnnouncementIsEvident(t *testing.T) {
	const replacedBy = "failed: asterisk cannot play it; it was replaced by beep"
	for name, c := range map[string]struct {
		sound  string
		do     func(*desk, *Whisperer) // after 500 ms
		played []string
		told   []string
	}{
		"it is heard": {"hello", nil, []string{"a hello", "a end"}, []string{"hello 0s begun", "hello 3s over"}},
		"there is no such sound": {
			"missing", nil, []string{"a missing", "a beep", "a end"}, []string{"missing 1ms " + replacedBy},
		},
		"it is not true any more": {
			"hello", func(_ *desk, w *Whisperer) { w.Cut("a"); w.Play("a", "beep") },
			[]string{"a hello", "a beep", "a end", "a end"},
			[]string{"hello 0s begun", "hello 500ms over: it was no longer true"},
		},
		"the leg hangs up": {
			"hello", func(d *desk, w *Whisperer) { clear(d.channels); w.Failed("tone-1") },
			[]string{"a hello", "a end"},
			[]string{"hello 0s begun", "hello 500ms over: the call was over"},
		},
		"the daemon stops": {
			"hello", func(_ *desk, w *Whisperer) { _ = w.Close(context.Background()) },
			[]string{"a hello", "a end"},
			[]string{"hello 0s begun", "hello 500ms over: callrecordd was stopped"},
		},
		"those that wait are cut, and tones stay": {
			"hello", func(d *desk, w *Whisperer) {
				w.Play("a", "beep")
				w.Announce("a", Announcement{Sound: "never", Else: "beep"})
				w.Cut("a")
			},
			[]string{"a hello", "a beep", "a end", "a end"},
			[]string{"hello 0s begun", "hello 500ms over: it was no longer true"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, w := newDesk(t)
				d.length = 3 * time.Second
				told := &word{start: time.Now()}
				w.Announce("a", told.announcement(c.sound))
				synctest.Wait()
				w.Ready("tone-1")
				time.Sleep(500 * time.Millisecond)
				synctest.Wait()
				if c.do != nil {
					c.do(d, w)
				}
				time.Sleep(20 * time.Second)
				told.want(t, c.told...)
				check(t, d, c.played...)
			})
		})
	}
}

// An announcement that cannot be made is told as failed, each for its reason.
func TestAnnouncementThatCannotBeMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w := newDesk(t)
		told := &word{start: time.Now()}
		d.snoop = errGone
		w.Announce("a", told.announcement("gone"))
		synctest.Wait()
		d.snoop = context.DeadlineExceeded
		w.Announce("a", told.announcement("lost"))
		synctest.Wait()
		d.snoop, d.silent = nil, true
		w.Announce("a", told.announcement("endless"))
		time.Sleep(61 * time.Second)
		told.want(t,
			"gone 0s failed: the call was over", "lost 0s failed: asterisk has refused it: context deadline exceeded",
			"endless 50ms begun", "endless 1m0s over: it took too long",
		)
		d.silent = false
		for range waiting + 2 {
			w.Announce("b", Announcement{Sound: "hello", Else: "beep"})
		}
		w.Announce("b", told.announcement("many"))
		synctest.Wait()
		if last := told.told[len(told.told)-1]; last != "many 1m1s failed: too many sounds wait for this telephone" {
			t.Error(last)
		}
	})
}
