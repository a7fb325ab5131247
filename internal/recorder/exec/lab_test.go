package exec

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

const patience = 20 * time.Second

// The tones: what may be recorded, of both sides, and what may not.
const (
	toneAlice  = 440.0
	toneBob    = 970.0
	toneSecret = 1430.0
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stage is a machine and an Exec that record a real call of a real Asterisk.
type stage struct {
	t          *testing.T
	root       string
	alice, bob *lab.Call
	legs       []call.Leg
	store      *asterisk
	inputs     chan recorder.Input // taken by the machine, in order

	mu      sync.Mutex
	machine *recorder.Machine
	exec    *Exec
	effects []recorder.Effect
}

// realARI is what exec asks of ARI.
type realARI struct{ *ari.Client }

func (a realARI) ChannelVar(ctx context.Context, id, name string) (string, error) {
	v, err := a.Client.ChannelVar(ctx, id, name)
	if errors.Is(err, ari.ErrNotFound) {
		_, err = a.Channel(ctx, id)
	}
	return v, err
}

func (a realARI) RTPReceived(ctx context.Context, id string) (int64, error) {
	s, err := a.RTPStatistics(ctx, id)
	return s.RxCount, err
}

func realPBX(t *testing.T) *lab.PBX {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // the first run downloads
	defer cancel()
	install, err := lab.Ensure(ctx, lab.EnsureOptions{})
	must(t, err)
	pbx, err := lab.Start(ctx, install, lab.Config{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := pbx.Stop(stop); err != nil {
			t.Errorf("stop asterisk: %v", err)
		}
	})
	return pbx
}

// realAMI is a connected client that ends with the test.
func realAMI(t *testing.T, pbx *lab.PBX) *ami.Client {
	t.Helper()
	connected := make(chan struct{}, 1)
	client := ami.NewClient(ami.Config{
		Address: pbx.AMIAddr, User: pbx.AMIUser, Secret: pbx.AMIPassword,
		OnState: func(s ami.State) {
			if s.Kind == ami.StateConnected {
				connected <- struct{}{}
			}
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = client.Run(ctx) }() // ends with ctx
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-connected:
	case <-time.After(patience):
		t.Fatal("no manager interface")
	}
	return client
}

// newStage connects alice and bob, who send their tones, with alice's rule
// recording, and waits until the file grows.
func newStage(t *testing.T, pbx *lab.PBX, cfg recorder.Config, disturb func(AMI) AMI) *stage {
	t.Helper()
	s := &stage{t: t, root: filepath.Join(t.TempDir(), "tenants"), store: &asterisk{}, inputs: make(chan recorder.Input, 100)}
	must(t, os.MkdirAll(s.root, 0o750))
	base, err := url.Parse(strings.TrimSuffix(pbx.ARIURL, "/ari"))
	must(t, err)
	rest := ari.New(base, ari.Credentials{User: pbx.ARIUser, Password: pbx.ARIPassword})
	t.Cleanup(rest.CloseIdleConnections)
	cfg.Boot, cfg.Tenant, cfg.NewUUID = time.Now().Add(-time.Minute), tenantID, func() string { return rowID }
	s.machine = recorder.New(cfg)
	var manager AMI = realAMI(t, pbx)
	if disturb != nil {
		manager = disturb(manager)
	}
	s.exec, err = New(Config{Root: s.root, AMI: manager, ARI: realARI{rest}, Store: s.store, Deliver: s.deliver})
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		must(t, s.exec.Close(ctx))
	})
	s.connect(pbx, rest)
	flags := dialplan.Flags{OutgoingInternal: true, OnDemand: true}
	s.perform(func() []recorder.Effect {
		return s.machine.Step(time.Now(), recorder.TalkChange{
			Change: call.Change{Kind: call.Began, Talk: 1, Legs: s.legs},
			Parties: []dialplan.Party{
				{Leg: s.legs[0].ID, Role: dialplan.RoleCaller, Kind: dialplan.KindUser, Tenant: tenantID, Flags: flags},
				{Leg: s.legs[1].ID, Role: dialplan.RolePeer, Kind: dialplan.KindUser, Tenant: tenantID},
			},
		})
	})
	await[recorder.Grew](s)
	return s
}

func (s *stage) connect(pbx *lab.PBX, rest *ari.Client) {
	t := s.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	alice, err := lab.NewPhone(ctx, pbx, lab.Account{User: "alice"})
	must(t, err)
	t.Cleanup(alice.Close)
	bob, err := lab.NewPhone(ctx, pbx, lab.Account{User: "bob"})
	must(t, err)
	t.Cleanup(bob.Close)
	bob.OnIncoming(lab.AutoAnswer(0))
	s.alice, err = alice.Dial(ctx, "1002")
	must(t, err)
	must(t, s.alice.WaitAnswered(ctx))
	s.bob, err = bob.WaitCall(ctx)
	must(t, err)
	s.alice.Play(toneAlice)
	s.bob.Play(toneBob)
	must(t, s.alice.WaitTone(ctx, toneBob))
	channels, err := rest.Channels(ctx)
	must(t, err)
	for _, c := range channels {
		s.legs = append(s.legs, call.Leg{ID: c.ID, Name: c.Name})
	}
	slices.SortFunc(s.legs, func(a, b call.Leg) int { return strings.Compare(a.Name, b.Name) })
	if len(s.legs) != 2 {
		t.Fatalf("channels: %+v", s.legs)
	}
}

func (s *stage) perform(step func() []recorder.Effect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	effects := step()
	s.effects = append(s.effects, effects...)
	s.exec.Apply(effects)
}

func (s *stage) deliver(in recorder.Input) {
	go func() { // must not wait for the caller of Apply
		s.perform(func() []recorder.Effect { return s.machine.Step(time.Now(), in) })
		s.inputs <- in
	}()
}

func await[T recorder.Input](s *stage) T {
	s.t.Helper()
	for {
		select {
		case in := <-s.inputs:
			if x, ok := in.(T); ok {
				return x
			}
		case <-time.After(patience):
			s.t.Fatalf("no %T", *new(T))
		}
	}
}

// press is *3 of alice. It returns when it was.
func (s *stage) press() time.Time {
	s.t.Helper()
	at := time.Now()
	s.perform(func() []recorder.Effect {
		out, effects := s.machine.Request(at, recorder.Request{
			Op: recorder.OpToggle, By: dialplan.OnDemand, Actor: "alice",
			Party: dialplan.Party{Leg: s.legs[0].ID, Kind: dialplan.KindUser, Flags: dialplan.Flags{OnDemand: true}},
		})
		if !out.Done {
			s.t.Errorf("refused: %+v", out)
		}
		return effects
	})
	return at
}

func (s *stage) talk(d time.Duration) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	must(s.t, s.alice.Talk(ctx, d))
}

// hangUp ends the call and returns the final row and its file.
func (s *stage) hangUp() (recorder.Recording, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	must(s.t, s.alice.Hangup(ctx))
	for _, l := range s.legs {
		s.perform(func() []recorder.Effect { return s.machine.Step(time.Now(), recorder.ChannelGone{Leg: l.ID}) })
	}
	await[recorder.Finalised](s)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range slices.Backward(s.effects) {
		if e, ok := e.(recorder.Save); ok && e.Sync {
			return e.Row, s.exec.files.abs(e.Row)
		}
	}
	s.t.Fatal("no final row")
	return recorder.Recording{}, ""
}

func (s *stage) alarms() (out []recorder.Alarm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.effects {
		if a, ok := e.(recorder.Alarm); ok {
			out = append(out, a)
		}
	}
	return out
}

// zeros returns the longest run of exact zeros of a file.
func zeros(t *testing.T, path string) (from, to time.Duration) {
	t.Helper()
	a, err := lab.ReadWAV(path)
	must(t, err)
	at := func(n int) time.Duration { return time.Duration(n) * time.Second / time.Duration(a.Rate) }
	run := 0
	for i, s := range append(a.Samples, 1) {
		if s != 0 {
			if at(run) > to-from {
				from, to = at(i-run), at(i)
			}
			run = -1
		}
		run++
	}
	return from, to
}

// A pause by *3 is digital silence in the file, at its place, on a real
// Asterisk: a tone sent meanwhile by both sides is nowhere in it.
func TestPauseIsSilence(t *testing.T) {
	pbx := realPBX(t)
	s := newStage(t, pbx, recorder.Config{}, nil)
	var pressed, resumed []time.Time
	for range 2 {
		s.talk(800 * time.Millisecond)
		pressed = append(pressed, s.press())
		if m := await[recorder.Muted](s); !m.On {
			t.Fatalf("%+v", m)
		}
		t.Logf("muted %v after the press", time.Since(pressed[len(pressed)-1]))
		s.alice.Play(toneSecret)
		s.bob.Play(toneSecret)
		s.talk(1200 * time.Millisecond)
		s.alice.Play(toneAlice)
		s.bob.Play(toneBob)
		s.talk(300 * time.Millisecond) // the secret is through Asterisk by then
		resumed = append(resumed, s.press())
		await[recorder.Muted](s)
	}
	s.talk(800 * time.Millisecond)
	row, path := s.hangUp()
	if row.State != recorder.Ready || len(row.Pauses) != 2 || len(s.alarms()) != 0 {
		t.Fatalf("%+v, alarms %+v", row, s.alarms())
	}
	for i, p := range row.Pauses {
		if p.Silence != recorder.Silent || p.Loudest != 0 || !p.From.Equal(pressed[i]) || !p.To.Equal(resumed[i]) {
			t.Errorf("pause %d: %+v", i, p)
		}
	}
	must(t, lab.CheckNoTone(path, toneSecret))
	// The time line is kept: the silence is where the press was.
	from, to := zeros(t, path)
	wantFrom, wantTo := pressed[0].Sub(row.StartedAt), resumed[0].Sub(row.StartedAt)
	if from > wantFrom+time.Second { // the longest run is the second pause
		wantFrom, wantTo = pressed[1].Sub(row.StartedAt), resumed[1].Sub(row.StartedAt)
	}
	// Telephones on a busy machine send late, and what is not sent is not in
	// the file: then everything in it is somewhat early.
	audio := time.Duration(row.Samples) * time.Second / time.Duration(row.Rate)
	lacks := row.EndedAt.Sub(row.StartedAt) - audio
	t.Logf("silence %v to %v, pressed at %v and %v: edges off by %v and %v, the file lacks %v",
		from, to, wantFrom, wantTo, from-wantFrom, to-wantTo, lacks)
	early := -pauseGuard - max(0, lacks)
	if d := from - wantFrom; d > pauseGuard || d < early {
		t.Errorf("silence begins %v off the press", d)
	}
	if d := to - wantTo; d > pauseGuard || d < early {
		t.Errorf("silence ends %v off the press", d)
	}
	if lacks > resumed[0].Sub(pressed[0])/2 {
		t.Errorf("the file is %v shorter than the call", lacks)
	}
}

// With recordings.pause: cut the pause is not in the file at all, and the file
// goes on: one file, one uuid.
func TestCutPause(t *testing.T) {
	pbx := realPBX(t)
	s := newStage(t, pbx, recorder.Config{Cut: true}, nil)
	s.talk(800 * time.Millisecond)
	s.press()
	await[recorder.StopDone](s)
	s.alice.Play(toneSecret)
	s.bob.Play(toneSecret)
	s.talk(1200 * time.Millisecond)
	s.alice.Play(toneAlice)
	s.bob.Play(toneBob)
	s.talk(300 * time.Millisecond)
	s.press()
	await[recorder.Grew](s)
	s.talk(800 * time.Millisecond)
	row, path := s.hangUp()
	if row.State != recorder.Ready || len(row.Pauses) != 1 || row.Pauses[0].Silence != recorder.CutOut || len(s.alarms()) != 0 {
		t.Fatalf("%+v, alarms %+v", row, s.alarms())
	}
	must(t, lab.CheckNoTone(path, toneSecret))
	audio := time.Duration(row.Samples) * time.Second / time.Duration(row.Rate)
	lacks := row.EndedAt.Sub(row.StartedAt) - row.Pauses[0].To.Sub(row.Pauses[0].From) - audio
	t.Logf("%v of audio, %v less than the call without its pause", audio, lacks)
	if lacks < -pauseGuard*2 || lacks > row.Pauses[0].To.Sub(row.Pauses[0].From)/2 {
		t.Errorf("the file is %v shorter than the call without its pause", lacks)
	}
	for _, hz := range []float64{toneAlice, toneBob} {
		must(t, lab.CheckTone(path, hz, 200*time.Millisecond, audio-200*time.Millisecond))
	}
}

// liar is an Asterisk that says it has muted and has not.
type liar struct{ AMI }

func (liar) MixMonitorMute(context.Context, string, string, bool) error { return nil }

func TestPauseThatIsNotSilentIsAnAlarm(t *testing.T) {
	s := newStage(t, realPBX(t), recorder.Config{}, func(a AMI) AMI { return liar{a} })
	s.talk(400 * time.Millisecond)
	s.press()
	s.talk(800 * time.Millisecond)
	s.press()
	s.talk(400 * time.Millisecond)
	row, _ := s.hangUp()
	if p := row.Pauses[0]; p.Silence != recorder.NotSilent || p.Loudest < 1000 {
		t.Errorf("%+v", p)
	}
	if a := s.alarms(); len(a) != 1 || a[0].Cause != recorder.EventNotSilent {
		t.Error(a)
	}
}

// A renewed recorder goes on with the same file. What is lost is measured here
// and stands in docs/transfers.md.
func TestRenewalLosesLittle(t *testing.T) {
	s := newStage(t, realPBX(t), recorder.Config{}, nil)
	const times = 8
	for range times {
		s.perform(func() []recorder.Effect { return s.machine.Step(time.Now(), recorder.Unheld{Leg: s.legs[1].ID}) })
		s.tick()
		await[recorder.StopDone](s)
		s.tick()
		await[recorder.Started](s)
		s.talk(500 * time.Millisecond)
	}
	row, path := s.hangUp()
	if row.State != recorder.Ready || row.Cause != "" || len(s.alarms()) != 0 {
		t.Fatalf("%+v, alarms %+v", row, s.alarms())
	}
	audio := time.Duration(row.Samples) * time.Second / time.Duration(row.Rate)
	lost := (row.EndedAt.Sub(row.StartedAt) - audio) / times
	t.Logf("%v of audio, %v lost by each of %d renewals", audio, lost, times)
	if lost > 200*time.Millisecond {
		t.Errorf("%v are lost by a renewal", lost)
	}
	for _, hz := range []float64{toneAlice, toneBob} {
		must(t, lab.CheckTone(path, hz, 200*time.Millisecond, audio-200*time.Millisecond))
	}
}

// tick waits for the machine's next deadline.
func (s *stage) tick() {
	s.t.Helper()
	s.mu.Lock()
	at, ok := s.machine.NextDeadline()
	s.mu.Unlock()
	if !ok {
		s.t.Fatal("nothing is due")
	}
	<-time.After(time.Until(at))
	s.perform(func() []recorder.Effect { return s.machine.Step(time.Now(), recorder.Tick{}) })
}
