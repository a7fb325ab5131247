package toggle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"callrecordd/dialplan"
)

var errGone = errors.New("no such channel")

// world is Asterisk and directory. Sounds last a second.
type world struct {
	desk *Desk

	mu       sync.Mutex
	disabled bool
	on       map[string]bool // by user
	trace    []string
	silent   bool // sounds never end
	noAnswer error
	stuck    chan struct{} // if set, Flip waits for it
	flipErr  error
	ids      int
}

func newWorld(t *testing.T) *world {
	w := &world{on: map[string]bool{"alice": false, "bob": true}}
	w.desk = New(Config{
		Phones: w, Directory: w, NoChannel: func(err error) bool { return errors.Is(err, errGone) }, Log: slog.New(slog.DiscardHandler),
		NewUUID: func() string { w.mu.Lock(); defer w.mu.Unlock(); w.ids++; return fmt.Sprint("playback-", w.ids) },
	})
	t.Cleanup(func() {
		if err := w.desk.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *world) story() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.trace, ", ")
}

func (w *world) Answer(_ context.Context, channel string) error {
	w.note("answer %s", channel)
	return w.noAnswer
}

func (w *world) Play(_ context.Context, channel, playback, sound string) error {
	w.note("play %s to %s", sound, channel)
	if !w.silent {
		time.AfterFunc(time.Second, func() { w.desk.Played(playback) })
	}
	return nil
}

func (w *world) Hangup(_ context.Context, channel string) error {
	w.note("hang up %s", channel)
	return nil
}

func (w *world) Enabled() bool { return !w.disabled }

func (w *world) Owner(endpoint string) (User, bool) {
	name := strings.TrimPrefix(endpoint, "PJSIP/")
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.on[name]; !ok {
		return User{}, false
	}
	return User{UUID: name, Keys: []string{"10" + name, "*7"}}, true
}

func (w *world) Flip(ctx context.Context, user string) (bool, error) {
	if w.stuck != nil {
		<-w.stuck
	}
	if err := errors.Join(ctx.Err(), w.flipErr); err != nil {
		return false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on[user] = !w.on[user]
	return w.on[user], nil
}

func TestCalls(t *testing.T) {
	for _, c := range []struct {
		name  string
		call  Call
		setUp func(*world)
		want  string
		alice bool // her rules afterwards
	}{
		{"switched on", Call{Endpoint: "PJSIP/alice"}, nil, "answer 1, play activated to 1, hang up 1", true},
		{"switched off", Call{Endpoint: "PJSIP/bob"}, nil, "answer 1, play de-activated to 1, hang up 1", false},
		{"own lamp key", Call{Endpoint: "PJSIP/alice", Key: "10alice"}, nil, "answer 1, play activated to 1, hang up 1", true},
		{"somebody else's lamp key", Call{Endpoint: "PJSIP/alice", Key: "10bob"}, nil, "answer 1, play feature-not-avail-line to 1, hang up 1", false},
		{"nobody's telephone", Call{Endpoint: "PJSIP/trunk"}, nil, "answer 1, play feature-not-avail-line to 1, hang up 1", false},
		{
			"disabled, and Asterisk does not know yet",
			Call{Endpoint: "PJSIP/alice"},
			func(w *world) { w.disabled = true }, "answer 1, play disabled to 1, hang up 1", false,
		},
		{
			"the database fails",
			Call{Endpoint: "PJSIP/alice"},
			func(w *world) { w.flipErr = errors.New("disk full") }, "answer 1, play im-sorry to 1, hang up 1", false,
		},
		{
			"the database hangs",
			Call{Endpoint: "PJSIP/alice"},
			func(w *world) { w.stuck = make(chan struct{}) }, "answer 1, play im-sorry to 1, hang up 1", false,
		},
		{
			"hung up before the answer",
			Call{Endpoint: "PJSIP/alice"},
			func(w *world) { w.noAnswer = errGone }, "answer 1", false,
		},
		{
			"the sound never ends: left to the dialplan",
			Call{Endpoint: "PJSIP/alice"},
			func(w *world) { w.silent = true }, "answer 1, play activated to 1", true,
		},
		{
			"seen late: nothing is switched any more",
			Call{Endpoint: "PJSIP/alice", At: time.Now().Add(-flipTime)},
			nil, "answer 1, play im-sorry to 1, hang up 1", false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				if c.setUp != nil {
					c.setUp(w)
				}
				begin, late := time.Now(), time.Duration(0)
				if !c.call.At.IsZero() {
					late = flipTime
				}
				c.call.Channel, c.call.At = "1", begin.Add(-late)
				w.desk.Enter(c.call)
				w.desk.wg.Wait()
				if took := late + time.Since(begin); took > callTime+hangupTime {
					t.Errorf("the call took %s", took)
				}
				if w.stuck != nil {
					close(w.stuck) // now the database works again
					synctest.Wait()
				}
				if got := w.story(); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
				if w.on["alice"] != c.alice {
					t.Errorf("rules of alice: %v", w.on["alice"])
				}
			})
		})
	}
}

func TestNothingIsSaidBeforeTelephonesListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.desk.Enter(Call{Channel: "1", Endpoint: "PJSIP/alice", At: time.Now()})
		time.Sleep(dialplan.SettleTime - time.Millisecond)
		if got := w.story(); got != "answer 1" {
			t.Errorf("story: %s", got)
		}
	})
}

func TestManyCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range maxCalls + 10 {
			w.desk.Enter(Call{Channel: fmt.Sprint(i), Endpoint: "PJSIP/alice", At: time.Now()})
		}
		w.desk.wg.Wait()
		if n := strings.Count(w.story(), "hang up"); n != maxCalls {
			t.Errorf("%d calls were served at once, want %d", n, maxCalls)
		}
		if w.on["alice"] { // an even number of presses
			t.Error("a press was lost")
		}
		w.desk.Enter(Call{Channel: "again", Endpoint: "PJSIP/alice", At: time.Now()})
		w.desk.wg.Wait()
		if !strings.HasSuffix(w.story(), "hang up again") {
			t.Error("no call is taken any more")
		}
	})
}

func TestCloseTakesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.desk.Enter(Call{Channel: "1", Endpoint: "PJSIP/alice", At: time.Now()})
		if err := w.desk.Close(t.Context()); err != nil {
			t.Error(err)
		}
		w.desk.Enter(Call{Channel: "2", Endpoint: "PJSIP/alice", At: time.Now()})
		if got := w.story(); got != "answer 1, play activated to 1, hang up 1" {
			t.Errorf("story: %s", got)
		}
	})
}
