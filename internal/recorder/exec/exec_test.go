package exec

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callrecordd/internal/recorder"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	rowID    = "11111111-1111-4111-8111-111111111111"
	tenantID = "22222222-2222-4222-8222-222222222222"
)

// asterisk is AMI, ARI and store: start and stop do what a test wants.
type asterisk struct {
	mu     sync.Mutex
	start  func(ctx context.Context, file, options string) (string, error)
	stop   func(ctx context.Context) error
	mute   func(ctx context.Context, id string, on bool) error
	pauses []recorder.Pause
	vars   map[string]string // nil: the channel is gone
	rtp    func() (int64, error)
	rows   []recorder.Recording
	broken int // how often a row cannot be stored
	events []recorder.Event
	legs   []recorder.LegState

	// how often they cannot be stored
	pauseBroken, appendBroken int

	intent  func(ctx context.Context)
	asked   func(variable string)
	order   []string
	parties int
}

func (a *asterisk) note(s string) { a.mu.Lock(); a.order = append(a.order, s); a.mu.Unlock() }

func (a *asterisk) MixMonitor(ctx context.Context, _, file, options string) (string, error) {
	a.note("start")
	return a.start(ctx, file, options)
}

func (a *asterisk) StopMixMonitor(ctx context.Context, _, _ string) error {
	a.note("stop")
	return a.stop(ctx)
}

func (a *asterisk) MixMonitorMute(ctx context.Context, _, id string, on bool) error {
	return a.mute(ctx, id, on)
}

func (a *asterisk) SavePause(_ context.Context, p recorder.Pause) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pauseBroken > 0 {
		a.pauseBroken--
		return errors.New("database is locked")
	}
	a.pauses = append(a.pauses, p)
	return nil
}

func (a *asterisk) ChannelVar(_ context.Context, _, name string) (string, error) {
	if a.asked != nil {
		a.asked(name)
	}
	if a.vars == nil {
		return "", errors.New("Channel not found")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.vars[name], nil
}
func (a *asterisk) RTPReceived(context.Context, string) (int64, error) { return a.rtp() }
func (a *asterisk) SaveIntent(ctx context.Context, _ recorder.Recording) error {
	if a.intent != nil {
		a.intent(ctx)
	}
	a.note("intent")
	return nil
}

func (a *asterisk) SaveRecording(_ context.Context, r recorder.Recording) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken > 0 {
		a.broken--
		return errors.New("database is locked")
	}
	a.rows = append(a.rows, r)
	return nil
}

func (a *asterisk) SaveParties(context.Context, string, []recorder.Party) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.parties++
	return nil
}

func (a *asterisk) AppendEvents(_ context.Context, l []recorder.Event, legs []recorder.LegState) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.appendBroken > 0 {
		a.appendBroken--
		return errors.New("database is locked")
	}
	a.legs = append(a.legs, legs...)
	a.events = append(a.events, l...)
	return nil
}

type rig struct {
	t   *testing.T
	a   *asterisk
	e   *Exec
	in  chan recorder.Input
	row recorder.Recording
	cfg Config
}

func newRig(t *testing.T, change func(*Config)) *rig {
	r := &rig{t: t, a: &asterisk{rtp: func() (int64, error) { return 0, nil }}, in: make(chan recorder.Input, 100)}
	r.a.stop = func(context.Context) error { return nil }
	r.cfg = Config{
		Root: t.TempDir(), AMI: r.a, ARI: r.a, Store: r.a, Deliver: func(in recorder.Input) { r.in <- in },
		Poll: 2 * time.Millisecond, Settle: 20 * time.Millisecond, CloseWait: 50 * time.Millisecond,
		Action: 200 * time.Millisecond,
	}
	if change != nil {
		change(&r.cfg)
	}
	var err error
	if r.e, err = New(r.cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	r.row = recorder.Recording{UUID: rowID, TenantUUID: tenantID, Hook: "1.1", MixMonitorID: "0x1", Legs: []string{"1.1", "1.2"}}
	return r
}

func (r *rig) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.e.Close(ctx); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) apply(e ...recorder.Effect) { r.e.Apply(e) }

// want waits for the next result, which must be a T.
func want[T recorder.Input](r *rig) T {
	r.t.Helper()
	select {
	case in := <-r.in:
		x, ok := in.(T)
		if !ok {
			r.t.Fatalf("got %T %+v, want %v", in, in, reflect.TypeFor[T]())
		}
		return x
	case <-time.After(10 * time.Second):
		r.t.Fatalf("no %v", reflect.TypeFor[T]())
	}
	panic("unreachable")
}

func header(data uint32) []byte {
	le := binary.LittleEndian
	riff := data
	if data > 0 {
		riff += 36
	}
	b := le.AppendUint32([]byte("RIFF"), riff)
	b = append(b, "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data"...)
	return le.AppendUint32(b, data)
}

// tape writes a file as Asterisk does: a header without sizes first.
type tape struct {
	t *testing.T
	f *os.File
	n int
}

func open(t *testing.T, file string) *tape {
	f, err := os.Create(file)
	if err != nil {
		t.Error(err)
		return nil
	}
	return &tape{t: t, f: f}
}

func (p *tape) write(n int) {
	if p.n == 0 {
		_, _ = p.f.Write(header(0))
	}
	if _, err := p.f.Write(make([]byte, n)); err != nil {
		p.t.Error(err)
	}
	p.n += n
}

func (p *tape) close() {
	if _, err := p.f.WriteAt(header(uint32(p.n)), 0); err != nil {
		p.t.Error(err)
	}
	if err := p.f.Close(); err != nil {
		p.t.Error(err)
	}
}

func (r *rig) watch() recorder.WatchFile {
	return recorder.WatchFile{Row: r.row, Exists: 40 * time.Millisecond, Growth: 80 * time.Millisecond}
}

func TestRecordedAndStopped(t *testing.T) {
	r := newRig(t, func(c *Config) { c.IntentWait = 10 * time.Second })
	var p *tape
	r.a.start = func(_ context.Context, file, options string) (string, error) {
		if options != "i(CALLRECORD_11111111_1111_4111_8111_111111111111)" || file != filepath.Join(r.cfg.Root, tenantID, "monitor", rowID+".wav") {
			t.Error(file, options)
		}
		if i, err := os.Stat(filepath.Dir(file)); err != nil || i.Mode().Perm() != 0o750 || i.Mode()&os.ModeSetgid == 0 {
			t.Error(i, err)
		}
		p = open(t, file)
		return "0x1", nil
	}
	r.a.stop = func(context.Context) error { p.close(); return nil }
	r.apply(recorder.SaveIntent{Row: r.row}, recorder.Start{Row: r.row}, recorder.Log{Event: recorder.Event{Kind: "x"}})
	if s := want[recorder.Started](r); s.MixMonitorID != "0x1" {
		t.Error(s)
	}
	r.apply(recorder.WatchFile{Row: r.row, Exists: 10 * time.Second, Growth: 10 * time.Second})
	want[recorder.Seen](r)
	p.write(16000)
	want[recorder.Grew](r)
	r.apply(recorder.Stop{Row: r.row}, recorder.Finalise{Row: r.row, Try: 1})
	want[recorder.StopDone](r)
	f := want[recorder.Finalised](r)
	if !f.Found || !f.Complete || f.Samples != 8000 || f.Bytes != 16044 || f.Rate != 8000 || len(f.SHA256) != 64 || f.Cause != "" {
		t.Errorf("%+v", f)
	}
	r.apply(recorder.Parties{UUID: rowID}, recorder.Save{Row: r.row, Sync: true})
	r.waitFor(func() bool { r.e.mu.Lock(); defer r.e.mu.Unlock(); return len(r.e.workers) == 0 })
	r.close()
	if len(r.a.rows) != 1 || r.a.parties != 1 || len(r.a.events) != 1 || fmt.Sprint(r.a.order) != "[intent start stop]" {
		t.Errorf("%+v", r.a)
	}
	if i, err := os.Stat(r.e.files.abs(r.row)); err != nil || i.Mode().Perm() != 0o640 {
		t.Error(i.Mode(), err)
	}
}

func TestClosedByHangup(t *testing.T) {
	for _, proved := range []bool{true, false} {
		t.Run(fmt.Sprint(proved), func(t *testing.T) {
			r := newRig(t, nil)
			if _, err := r.e.files.prepare(r.row); err != nil {
				t.Fatal(err)
			}
			p := open(t, r.e.files.abs(r.row))
			p.write(320)
			r.apply(recorder.WatchFile{Row: r.row, Exists: time.Minute, Growth: time.Minute, Proved: proved})
			if !proved {
				want[recorder.Seen](r)
				want[recorder.Grew](r)
			}
			r.waitWatched()
			p.close()
			want[recorder.Closed](r)
			r.apply(recorder.Finalise{Row: r.row})
			if f := want[recorder.Finalised](r); f.Samples != 160 || !f.Complete {
				t.Errorf("%+v", f)
			}
		})
	}
}

// waitFor waits for a state that has no event of its own.
func (r *rig) waitFor(state func() bool) {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); !state(); {
		if time.Now().After(end) {
			r.t.Fatal("it never came to that")
		}
		runtime.Gosched()
	}
}

func (r *rig) waitWatched() {
	r.t.Helper()
	r.waitFor(func() bool {
		r.e.watcher.mu.Lock()
		defer r.e.watcher.mu.Unlock()
		return len(r.e.watcher.dirs) > 0
	})
}

func TestSuccessWithoutFile(t *testing.T) {
	r := newRig(t, nil)
	r.a.start = func(context.Context, string, string) (string, error) { return "0x1", nil }
	r.apply(recorder.Start{Row: r.row})
	want[recorder.Started](r)
	r.apply(r.watch())
	if n := want[recorder.NotSeen](r); n.Cause != recorder.CauseNoFile {
		t.Error(n)
	}
	r.apply(recorder.Finalise{Row: r.row, Try: 3})
	if f := want[recorder.Finalised](r); f.Found || f.Try != 3 {
		t.Error(f)
	}
	if l, _ := os.ReadDir(filepath.Dir(r.e.files.abs(r.row))); len(l) != 0 {
		t.Error("probe left behind", l)
	}
}

func TestStorage(t *testing.T) {
	for cause, err := range map[string]error{
		recorder.CauseReadOnly: syscall.EROFS, recorder.CauseNoSpace: syscall.ENOSPC,
		recorder.CausePermission: syscall.EACCES, recorder.CauseNoDirectory: syscall.ENOTDIR,
	} {
		t.Run(cause, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.probe = func(string) error { return fmt.Errorf("probe: %w", err) } })
			r.a.start = func(context.Context, string, string) (string, error) { return "0x1", nil }
			r.apply(recorder.Start{Row: r.row})
			want[recorder.Started](r)
			r.apply(r.watch())
			if n := want[recorder.NotSeen](r); n.Cause != cause {
				t.Error(n)
			}
			// An empty file on a full disk is found half-way already.
			open(t, r.e.files.abs(r.row))
			r.apply(r.watch())
			want[recorder.Seen](r)
			if n := want[recorder.NotGrown](r); n.Cause != cause {
				t.Error(n)
			}
		})
	}
	t.Run("root is a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "root")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		r := newRig(t, func(c *Config) { c.Root = file })
		r.apply(recorder.Start{Row: r.row}, recorder.Finalise{Row: r.row})
		if f := want[recorder.StartFailed](r); f.Cause != recorder.CauseNoDirectory {
			t.Error(f)
		}
		if f := want[recorder.Finalised](r); f.Found {
			t.Error(f)
		}
	})
	t.Run("stalled", func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(c *Config) {
			c.ProbeWait = 10 * time.Millisecond
			c.probe = func(string) error { <-release; return nil }
		})
		defer close(release)
		r.apply(recorder.Stop{Row: r.row}, recorder.Stop{Row: r.row})
		for range 2 {
			if f := want[recorder.StopFailed](r); f.Cause != recorder.CauseStalled {
				t.Error(f)
			}
		}
		if len(r.a.order) != 0 {
			t.Error("a stop was sent")
		}
	})
	t.Run("bad name", func(t *testing.T) {
		r := newRig(t, nil)
		r.row.TenantUUID = "../../etc"
		r.apply(recorder.Start{Row: r.row})
		want[recorder.StartFailed](r)
	})
}

func TestStartAnswers(t *testing.T) {
	lostResponse := func(ctx context.Context, _, _ string) (string, error) { <-ctx.Done(); return "", ctx.Err() }
	for name, tc := range map[string]struct {
		start func(context.Context, string, string) (string, error)
		vars  map[string]string
		cause string
	}{
		"lost, read back": {lostResponse, map[string]string{"CALLRECORD_11111111_1111_4111_8111_111111111111": "0x5"}, ""},
		"lost, then gone": {lostResponse, nil, recorder.CauseNoChannel},
		"not sent":        {func(context.Context, string, string) (string, error) { return "", errAway }, nil, recorder.CauseNoManager},
		"hung up":         {func(context.Context, string, string) (string, error) { return "", errors.New("No such channel") }, nil, recorder.CauseNoChannel},
		"refused":         {func(context.Context, string, string) (string, error) { return "", errors.New("denied") }, nil, recorder.CauseRefused},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Action, c.NotSent = 20*time.Millisecond, isAway })
			r.a.start, r.a.vars = tc.start, tc.vars
			r.apply(recorder.Start{Row: r.row})
			if tc.cause == "" {
				if s := want[recorder.Started](r); s.MixMonitorID != "0x5" {
					t.Error(s)
				}
			} else if f := want[recorder.StartFailed](r); f.Cause != tc.cause {
				t.Error(f)
			}
		})
	}
}

func TestSlowIntentDoesNotHoldTheStart(t *testing.T) {
	r := newRig(t, nil)
	release := make(chan struct{})
	r.a.intent = func(context.Context) { <-release }
	r.a.start = func(context.Context, string, string) (string, error) { return "0x1", nil }
	r.apply(recorder.SaveIntent{Row: r.row}, recorder.Start{Row: r.row})
	want[recorder.Started](r)
	close(release)
	r.close()
	if fmt.Sprint(r.a.order) != "[start intent]" {
		t.Error(r.a.order)
	}
}

func TestCrashedAsteriskLeavesHeaderUnset(t *testing.T) {
	r := newRig(t, nil)
	_, _ = r.e.files.prepare(r.row)
	p := open(t, r.e.files.abs(r.row))
	p.write(3200)
	defer p.f.Close() // still open for us: only Asterisk's answer can tell
	r.apply(recorder.Finalise{Row: r.row})
	if f := want[recorder.Finalised](r); f.Complete || f.Samples != 1600 || !f.Found {
		t.Errorf("%+v", f)
	}
}

func TestNewNeedsItsParts(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("no error")
	}
}
