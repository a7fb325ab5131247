package tones

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	errEarly = errors.New("not in stasis")
	errGone  = errors.New("no such channel")
)

// desk is an Asterisk for whispering: it keeps what is there and what was done.
type desk struct {
	mu       sync.Mutex
	channels map[string]string // snoop channel: its leg
	early    int               // how often Play comes too early
	snoop    error
	silent   bool // sounds never end
	length   time.Duration
	played   []string
	w        *Whisperer
}

func (d *desk) Snoop(ctx context.Context, leg, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !errors.Is(d.snoop, errGone) {
		d.channels[id] = leg // also if the answer is lost
	}
	return d.snoop
}

func (d *desk) Play(_ context.Context, channel, playback, sound string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	leg, ok := d.channels[channel]
	if !ok {
		return errGone
	}
	if d.early--; d.early >= 0 {
		return errEarly
	}
	d.played = append(d.played, leg+" "+sound)
	time.AfterFunc(0, func() { d.w.Began(playback) })
	switch {
	case sound == "missing":
		time.AfterFunc(time.Millisecond, func() { d.w.Failed(playback) })
	case !d.silent:
		time.AfterFunc(max(d.length, 100*time.Millisecond), func() {
			d.mu.Lock()
			d.played = append(d.played, leg+" end")
			d.mu.Unlock()
			d.w.Over(playback)
		})
	}
	return nil
}

func (d *desk) Hangup(ctx context.Context, channel string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ok := d.channels[channel]; !ok {
		return errGone
	}
	delete(d.channels, channel)
	return nil
}

func (d *desk) state() (played []string, channels int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.played), len(d.channels)
}

func newDesk(t *testing.T) (*desk, *Whisperer) {
	t.Helper()
	d := &desk{channels: make(map[string]string)}
	n := 0
	d.w = New(Config{
		ARI: d, Prefix: "tone-", NewUUID: func() string { d.mu.Lock(); defer d.mu.Unlock(); n++; return fmt.Sprint(n) },
		Early: func(err error) bool { return errors.Is(err, errEarly) },
		Gone:  func(err error) bool { return errors.Is(err, errGone) },
		Now:   time.Now,
	})
	t.Cleanup(func() {
		if err := d.w.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if _, left := d.state(); left != 0 {
			t.Errorf("%d channels are left", left)
		}
		if len(d.w.tones) != 0 || len(d.w.legs) != 0 {
			t.Errorf("the whisperer remembers %v, %v", d.w.tones, d.w.legs)
		}
	})
	return d, d.w
}

func check(t *testing.T, d *desk, want ...string) {
	t.Helper()
	if played, _ := d.state(); !slices.Equal(played, want) {
		t.Errorf("played %q, want %q", played, want)
	}
}

func TestTonesOfALegComeOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w := newDesk(t)
		w.Play("a", "beep")
		w.Play("a", "beeperr")
		synctest.Wait()
		w.Ready("tone-1")
		time.Sleep(time.Second)
		synctest.Wait()
		check(t, d, "a beep", "a end", "a beeperr", "a end")
		if _, left := d.state(); left != 0 {
			t.Errorf("%d channels are left", left)
		}
	})
}

func TestLegsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w := newDesk(t)
		d.silent = true
		for _, leg := range []string{"a", "b", "c"} {
			w.Play(leg, "beep")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if played, n := d.state(); len(played) != 3 || n != 3 {
			t.Errorf("played %q on %d channels", played, n)
		}
	})
}

func TestTooManyTonesAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w := newDesk(t)
		for range 3 * waiting {
			w.Play("a", "beep")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if played, _ := d.state(); len(played) != 2*(waiting+1) {
			t.Errorf("%d sounds were played: %q", len(played)/2, played)
		}
	})
}

func TestAChannelThatIsNotReadyIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w := newDesk(t)
		d.early = 3
		w.Play("a", "beep") // and nobody says Ready
		time.Sleep(time.Second)
		synctest.Wait()
		check(t, d, "a beep", "a end")
	})
}

func TestNothingIsLeft(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*desk)
	}{
		{"the leg is gone before", func(d *desk) { d.snoop = errGone }},
		{"the answer to the snoop is lost", func(d *desk) { d.snoop = context.DeadlineExceeded }},
		{"the channel is never ready", func(d *desk) { d.early = 1 << 30 }},
		{"the sound never ends", func(d *desk) { d.silent = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, w := newDesk(t)
				tt.set(d)
				w.Play("a", "beep")
				time.Sleep(5100 * time.Millisecond)
				synctest.Wait()
				if _, left := d.state(); left != 0 {
					t.Errorf("%d channels are left after 5 s", left)
				}
			})
		})
	}
}

// TestTheLegHangsUp: its snoop channel ends with it, whether the sound had
// begun or not, and at once nothing waits any more.
func TestTheLegHangsUp(t *testing.T) {
	for _, early := range []int{0, 1 << 30} {
		synctest.Test(t, func(t *testing.T) {
			d, w := newDesk(t)
			d.early, d.silent = early, true
			w.Play("a", "beep")
			time.Sleep(time.Second)
			synctest.Wait()
			d.mu.Lock()
			clear(d.channels)
			d.snoop = errGone
			d.mu.Unlock()
			w.Over("tone-1")
			w.Over("tone-1")
			synctest.Wait()
			if len(w.tones) != 0 || len(w.legs) != 0 {
				t.Errorf("still waiting: %v, %v", w.tones, w.legs)
			}
		})
	}
}

func TestCloseHangsUpWhatPlays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w := newDesk(t)
		d.silent = true
		w.Play("a", "beep")
		w.Play("a", "beep")
		time.Sleep(time.Second)
		synctest.Wait()
		if err := w.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.Play("b", "beep")
		check(t, d, "a beep")
		if _, left := d.state(); left != 0 {
			t.Errorf("%d channels are left", left)
		}
	})
}

func TestSweepTakesOurOldChannelsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w := newDesk(t)
		d.silent = true
		w.Play("a", "beep")
		time.Sleep(time.Second)
		synctest.Wait()
		d.channels["tone-old"], d.channels["17.1"], d.channels["other-tone-1"] = "z", "z", "z"
		for _, id := range []string{"tone-old", "17.1", "other-tone-1", "tone-1", "tone-never-was"} {
			w.Sweep(id)
		}
		synctest.Wait()
		for id, want := range map[string]bool{"tone-old": false, "17.1": true, "other-tone-1": true, "tone-1": true} {
			if _, there := d.channels[id]; there != want {
				t.Errorf("%s is there: %t, want %t", id, there, want)
			}
		}
		delete(d.channels, "17.1")
		delete(d.channels, "other-tone-1")
	})
}
