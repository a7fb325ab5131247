package tones_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/ari"
	"callrecordd/internal/lab"
	"callrecordd/internal/tones"
)

// patience bounds every wait: nothing waits that long unless it is broken.
const patience = 20 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
	}
}

const (
	application = "tones"
	prefix      = "tones-tone-"
)

// asterisk is what the Whisperer asks of ARI, as internal/app does it.
type asterisk struct{ client *ari.Client }

func (a asterisk) Snoop(ctx context.Context, leg, id string) error {
	_, err := a.client.Snoop(ctx, leg, ari.SnoopOptions{ID: id, Spy: "none", Whisper: "out", App: application, AppArgs: "tone"})
	return err
}

func (a asterisk) Play(ctx context.Context, channel, playback, sound string) error {
	_, err := a.client.Play(ctx, channel, playback, "sound:"+sound)
	return err
}

func (a asterisk) Hangup(ctx context.Context, channel string) error {
	return a.client.Hangup(ctx, channel, "")
}

// ear passes the events on.
type ear struct {
	w         *tones.Whisperer
	connected chan struct{}
}

func (e ear) Connected(context.Context, ari.Session) error { close(e.connected); return nil }
func (ear) Disconnected(error)                             {}
func (e ear) Event(ev ari.Event) {
	switch ev.Type {
	case "StasisStart":
		e.w.Ready(ev.Channel.ID)
	case "PlaybackFinished":
		e.w.Over(ev.Playback.ID)
	case "ChannelDestroyed":
		e.w.Over(ev.Channel.ID)
	}
}

// stage is a private PBX with a Whisperer and a call from alice to bob.
type stage struct {
	t          *testing.T
	pbx        *lab.PBX
	client     *ari.Client
	w          *tones.Whisperer
	alice, bob *lab.Call
	ids, names map[string]string // of the channels, by user
}

func newStage(t *testing.T) *stage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // the first run downloads
	defer cancel()
	install, err := lab.Ensure(ctx, lab.EnsureOptions{})
	must(t, err)
	pbx, err := lab.Start(ctx, install, lab.Config{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { must(t, pbx.Stop(context.Background())) })
	base, err := url.Parse(strings.TrimSuffix(pbx.ARIURL, "/ari"))
	must(t, err)
	s := &stage{t: t, pbx: pbx, client: ari.New(base, ari.Credentials{User: pbx.ARIUser, Password: pbx.ARIPassword})}
	t.Cleanup(s.client.CloseIdleConnections)
	s.w = tones.New(tones.Config{
		ARI: asterisk{s.client}, Prefix: prefix, NewUUID: uuid.NewString,
		Early: func(err error) bool { return errors.Is(err, ari.ErrNotInStasis) },
		Gone:  func(err error) bool { return errors.Is(err, ari.ErrNotFound) },
	})
	e := ear{s.w, make(chan struct{})}
	streamCtx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ari.NewStream(s.client, ari.StreamConfig{App: application}).Run(streamCtx, e) }()
	t.Cleanup(func() {
		must(t, s.w.Close(context.Background()))
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("event stream: %v", err)
		}
	})
	select {
	case <-e.connected:
	case <-time.After(patience):
		t.Fatal("no event stream")
	}
	s.call()
	return s
}

// call makes alice and bob talk.
func (s *stage) call() {
	phones := make(map[string]*lab.Phone)
	for _, user := range []string{"alice", "bob"} {
		p, err := lab.NewPhone(within(s.t), s.pbx, lab.Account{User: user})
		must(s.t, err)
		s.t.Cleanup(p.Close)
		phones[user] = p
	}
	phones["bob"].OnIncoming(lab.AutoAnswer(0))
	var err error
	s.alice, err = phones["alice"].Dial(within(s.t), "1002")
	must(s.t, err)
	s.bob, err = phones["bob"].WaitCall(within(s.t))
	must(s.t, err)
	must(s.t, s.alice.WaitAnswered(within(s.t)))
	s.alice.Play(440)
	must(s.t, s.bob.WaitTone(within(s.t), 440))
	s.ids, s.names = make(map[string]string), make(map[string]string)
	channels, err := s.client.Channels(within(s.t))
	must(s.t, err)
	for _, c := range channels {
		user, _, _ := strings.Cut(strings.TrimPrefix(c.Name, "PJSIP/"), "-")
		s.ids[user], s.names[user] = c.ID, c.Name
	}
}

// record records a user's leg into a file.
func (s *stage) record(user string) (file string) {
	file = filepath.Join(s.t.TempDir(), user+".wav")
	_, err := s.pbx.Console(within(s.t), "mixmonitor start "+s.names[user]+" "+file)
	must(s.t, err)
	return file
}

// alone waits until alice and bob are the only channels.
func (s *stage) alone() {
	s.t.Helper()
	eventually(s.t, "no channel is left behind", func() error {
		channels, err := s.client.Channels(within(s.t))
		if err == nil && len(channels) != 2 {
			err = fmt.Errorf("there are %+v", channels)
		}
		return err
	})
}

// beepHz is what Asterisk's beep sounds like, for 0.4 s. beeperr is a rattle
// without a tone of its own.
const beepHz = 700.0

func beeps(samples []int16) (total time.Duration) {
	for _, span := range lab.Tones(lab.Audio{Rate: 8000, Channels: 1, Samples: samples}, []float64{beepHz}) {
		total += span.To - span.From
	}
	return total
}

// loudest is the highest peak, as a share of full scale.
func loudest(samples []int16) float64 {
	peak := 0.0
	for _, v := range samples {
		peak = max(peak, float64(v)/32768, -float64(v)/32768)
	}
	return peak
}

// The whisper reaches one telephone. Recorders of either leg do not have it.
func TestOnlyOneHearsIt(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.alice.Silence()
	must(t, s.bob.WaitNoTone(within(t), 440))
	files := []string{s.record("alice"), s.record("bob")}
	fromA, fromB := len(s.alice.Heard()), len(s.bob.Heard())
	s.w.Play(s.ids["alice"], "beep")
	s.w.Play(s.ids["alice"], "beeperr") // afterwards
	must(t, s.alice.Talk(within(t), 2*time.Second))
	s.alone()

	heard := s.alice.Heard()[fromA:]
	if d := beeps(heard); d < 350*time.Millisecond || d > 600*time.Millisecond {
		t.Errorf("alice hears the beep for %s", d)
	}
	spans := lab.Tones(lab.Audio{Rate: 8000, Channels: 1, Samples: heard}, []float64{beepHz})
	if len(spans) == 0 {
		t.Fatal("alice hears no beep at all")
	}
	if after := heard[int(spans[len(spans)-1].To.Seconds()*8000):]; loudest(after) < 0.05 {
		t.Errorf("after the beep alice hears %.3f at most, not the error tone", loudest(after))
	}
	if peak := loudest(s.bob.Heard()[fromB:]); peak > 0.01 {
		t.Errorf("bob hears something, %.3f loud", peak)
	}
	must(t, s.alice.Hangup(within(t)))
	must(t, s.pbx.WaitIdle(within(t)))
	for _, file := range files {
		audio, err := lab.ReadWAV(file)
		must(t, err)
		if audio.Duration() < 2*time.Second || loudest(audio.Samples) > 0.01 {
			t.Errorf("%s lasts %s and has something %.3f loud", filepath.Base(file), audio.Duration(), loudest(audio.Samples))
		}
	}
}

func TestNothingStaysBehind(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	there := func() {
		t.Helper()
		eventually(t, "the whisper is there", func() error {
			channels, err := s.client.Channels(within(t))
			if err == nil && len(channels) != 3 {
				err = fmt.Errorf("there are %d channels", len(channels))
			}
			return err
		})
	}
	s.w.Play("no-such-channel", "beep")
	s.w.Play(s.ids["alice"], "no-such-sound")
	s.alone()

	// What another life of the daemon has left.
	must(t, asterisk{s.client}.Snoop(within(t), s.ids["bob"], prefix+"old"))
	there()
	s.w.Sweep(s.ids["alice"])
	s.w.Sweep(prefix + "old")
	s.alone()

	// The leg hangs up in the middle.
	s.w.Play(s.ids["alice"], "beep")
	there()
	must(t, s.alice.Hangup(within(t)))
	must(t, s.pbx.WaitIdle(within(t)))

	// The daemon stops in the middle.
	s.call()
	s.w.Play(s.ids["alice"], "beep")
	there()
	must(t, s.w.Close(within(t)))
	s.alone()
}
