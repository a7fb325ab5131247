package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/app"
	"callrecordd/internal/control"
	"callrecordd/internal/lab"
)

// crashes is a site whose daemon dies in one call after another, while another
// call goes on.
type crashes struct {
	*site
	daemon     *child
	alice, bob *lab.Phone
	calls      int // that are over
}

// newCrashes starts a mortal daemon and a call of dave that lasts.
func newCrashes(t *testing.T) (c *crashes, long *lab.Call) {
	t.Helper()
	s := siteAt(t, newPBX(t, lab.Config{}))
	c = &crashes{site: s}
	c.daemon = s.run(s.mortal())
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	s.rules("dave", dialplan.Flags{OutgoingInternal: true})
	c.alice, c.bob = s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	long, _ = s.talk(s.phone("dave", lab.Manual()), s.phone("carol", lab.AutoAnswer(0)), "1003")
	s.recording(1)
	return c, long
}

// again starts the next daemon.
func (c *crashes) again() {
	c.t.Helper()
	c.daemon = c.run(c.mortal())
}

// runs waits until the newest call is recorded.
func (s *site) runs() {
	s.t.Helper()
	s.eventually("the newest call is recorded", func() error {
		if list := s.stored(); len(list) == 0 || list[len(list)-1].state != "recording" {
			return fmt.Errorf("there are %+v", list)
		}
		return nil
	})
}

// order is a wish of an administrator, of whom the daemon may die.
func (c *crashes) order(op string) {
	c.t.Helper()
	var talks []app.LiveTalk
	c.do("GET", "live", nil, &talks)
	for _, t := range talks {
		for _, l := range t.Legs {
			if l.Endpoint == "PJSIP/alice" {
				_ = c.client.Do(within(c.t), "POST", control.Path("live", l.Channel, op), nil, nil)
				return
			}
		}
	}
	c.t.Fatalf("alice does not talk: %+v", talks)
}

// at has the daemon die at a point of a call, and the next one make it good. It
// returns the recordings of that call.
func (c *crashes) at(p app.CrashPoint) []recView {
	c.t.Helper()
	before := c.doomEarly(p)
	caller, _ := c.talk(c.alice, c.bob, "1002")
	over := false
	end := func() {
		c.t.Helper()
		must(c.t, caller.Hangup(within(c.t)))
		over = true
	}
	if !before {
		c.runs()
		c.doom(p)
	}
	switch p {
	case app.CrashMuted, app.CrashPaused:
		c.order("pause")
	case app.CrashClosing, app.CrashStopped:
		c.order("stop")
	case app.CrashMeasured, app.CrashSettled, app.CrashDerived, app.CrashCheckpoint:
		end()
	case app.CrashBeforeStop:
		must(c.t, c.daemon.cmd.Process.Signal(syscall.SIGTERM))
	case app.CrashExplained: // nobody sees the call
		must(c.t, caller.Talk(within(c.t), time.Second))
		end()
		next, err := launch(c.mortal())
		must(c.t, err)
		c.daemon = next
	default: // it has met its death, or will without anybody's doing
	}
	c.dies(c.daemon, p)
	c.again()
	if !over {
		switch p {
		case app.CrashClosing, app.CrashStopped:
			must(c.t, caller.Talk(within(c.t), time.Second)) // would be recorded again
		case app.CrashMuted, app.CrashPaused:
			c.order("resume") // if the pause was stored
			c.runs()
		default:
			c.runs()
		}
		must(c.t, caller.Talk(within(c.t), 300*time.Millisecond))
		end()
	}
	c.calls++
	return c.waitCDRs(c.calls)[c.calls-1].Recordings
}

// doomEarly sets the death of points that are reached with the call's beginning.
func (c *crashes) doomEarly(p app.CrashPoint) bool {
	c.t.Helper()
	switch p {
	case app.CrashExplained:
		c.daemon.end(c.t, syscall.SIGKILL)
	case app.CrashWanted, app.CrashIntended, app.CrashStarted, app.CrashUntold, app.CrashTold, app.CrashConfirmed:
	default:
		return false
	}
	c.doom(p)
	return true
}

// Shows: a daemon that is killed between any two steps loses no recording that
// Asterisk goes on with, and makes none, no CDR and no event twice.
func TestKilledAtEveryCrashPoint(t *testing.T) {
	t.Parallel()
	points := app.CrashPoints()
	half := slices.Index(points, app.CrashMuted)
	for name, some := range map[string][]app.CrashPoint{"as a recording begins": points[:half], "later": points[half:]} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killedAt(t, some)
		})
	}
}

func killedAt(t *testing.T, points []app.CrashPoint) {
	c, long := newCrashes(t)
	began := time.Now()
	for _, p := range points {
		list := c.at(p)
		var ready, missing int
		for _, r := range list {
			switch {
			case r.State == "ready" && r.MediaDuration != nil && *r.MediaDuration > 0:
				ready++
			case r.State == "missing" && r.Cause == "daemon_down":
				missing++
			default:
				t.Errorf("%s: recording %+v", p, r)
			}
		}
		wantReady, wantMissing := 1, 0
		switch p {
		case app.CrashExplained:
			wantReady, wantMissing = 0, 1
		case app.CrashIntended: // a row without a recorder, and the one that was made then
			wantMissing = 1
		case app.CrashUntold, app.CrashTold: // events are stored beside intent and start, so either is right
			wantMissing = min(missing, 1)
		default:
		}
		if ready != wantReady || missing != wantMissing {
			t.Errorf("%s: %d recordings and %d that are missing, want %d and %d: %+v", p, ready, missing, wantReady, wantMissing, list)
		}
	}
	c.rests(long, began, c.calls+1)
}

// rests ends the call that has gone on since it began, which must be in one file
// from end to end, and checks all calls; a further start must find nothing to do.
func (c *crashes) rests(long *lab.Call, began time.Time, calls int) {
	c.t.Helper()
	must(c.t, long.Talk(within(c.t), 300*time.Millisecond))
	lasted := time.Since(began)
	c.hangup(long)
	first := c.waitCDRs(calls)[0]
	if r := first.Recordings; len(r) != 1 || r[0].State != "ready" {
		c.t.Errorf("the call that went on all the time has %+v", r)
	} else {
		(&outage{site: c.site}).unbroken(c.media(first, r[0]), lasted, toneA, toneB)
	}
	before := c.sound(calls)
	c.daemon.end(c.t, syscall.SIGKILL)
	c.again()
	caller, _ := c.talk(c.alice, c.bob, "1002")
	c.runs()
	c.hangup(caller)
	c.asBefore(before, c.sound(calls+1))
}

// The enumeration is closed: a point that is not in it would never be tried.
func TestCrashPointsAreAllTried(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join("..", "app", "crashpoints.go"))
	must(t, err)
	var named []app.CrashPoint
	for _, m := range regexp.MustCompile(`(?m)^\tCrash\w+ +CrashPoint = "([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		named = append(named, app.CrashPoint(m[1]))
	}
	if listed := app.CrashPoints(); len(named) == 0 || !slices.Equal(named, listed) {
		t.Errorf("named are %q, listed %q", named, listed)
	}
}
