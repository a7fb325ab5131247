package lab

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// deadline bounds a test's waiting.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// install returns an Asterisk. A run that cannot get one fails.
func install(t *testing.T) Install {
	t.Helper()
	in, err := Ensure(t.Context(), EnsureOptions{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	must(t, err)
	return in
}

func start(t *testing.T, c Config) *PBX {
	t.Helper()
	c.Dir = t.TempDir()
	begin := time.Now()
	p, err := Start(deadline(t), install(t), c)
	must(t, err)
	t.Logf("Asterisk %s up after %v", p.Install().Version, time.Since(begin))
	t.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(tail(p.Log(), 6000))
		}
	})
	return p
}

func phone(t *testing.T, p *PBX, user string, in Incoming) *Phone {
	t.Helper()
	ph, err := NewPhone(deadline(t), p, Account{User: user})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() { // otherwise everything is hung up
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if out, err := p.Console(ctx, "channel request hangup all"); err != nil {
				t.Log(out, err)
			}
		}
		ph.Close()
	})
	ph.OnIncoming(in)
	return ph
}

func dial(t *testing.T, from *Phone, exten string) *Call {
	t.Helper()
	c, err := from.Dial(deadline(t), exten)
	must(t, err)
	return c
}

func fetch1(t *testing.T, p *Phone) *Call {
	t.Helper()
	c, err := p.WaitCall(deadline(t))
	must(t, err)
	return c
}

// talk brings up a call between two phones, each playing its tone.
func talk(t *testing.T, from, to *Phone, exten string, fromHz, toHz float64) (caller, peer *Call) {
	t.Helper()
	to.OnIncoming(AutoAnswer(0))
	caller = dial(t, from, exten)
	peer = fetch1(t, to)
	must(t, caller.WaitAnswered(deadline(t)))
	must(t, peer.WaitAnswered(deadline(t)))
	caller.Play(fromHz)
	peer.Play(toHz)
	must(t, caller.WaitTone(deadline(t), toHz))
	must(t, peer.WaitTone(deadline(t), fromHz))
	return caller, peer
}

// channel returns the name of the only channel of an endpoint.
func channel(t *testing.T, p *PBX, endpoint string) string {
	t.Helper()
	out, err := p.Console(deadline(t), "core show channels concise")
	must(t, err)
	lines := strings.Split(out, "\n")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "PJSIP/"+endpoint+"-") })
	if i < 0 {
		t.Fatalf("no channel of %s in %q", endpoint, out)
	}
	name, _, _ := strings.Cut(lines[i], "!")
	return name
}
