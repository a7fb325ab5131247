package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// Two variables of these tests. Thorough ones take minutes and are no part of CI:
// two hundred kills, a whole minute's lock, a start beside a slow Asterisk. The
// seed repeats what was drawn.
const (
	thoroughVariable = "CALLRECORDD_THOROUGH"
	seedVariable     = "CALLRECORDD_SEED"
)

func thorough() bool { return os.Getenv(thoroughVariable) != "" }

func seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv(seedVariable)
	if text == "" {
		return uint64(time.Now().UnixNano())
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", seedVariable, err)
	}
	return n
}

// killer starts the daemon and kills it, again and again, at moments that are
// drawn: in its start as well as later.
func killer(t *testing.T, kills int, draw *rand.Rand, first *child, command func() *exec.Cmd) <-chan error {
	done, gone := make(chan error, 1), make(chan struct{})
	t.Cleanup(func() { <-gone })
	go func() {
		daemon := first
		defer close(gone)
		defer func() {
			_ = daemon.cmd.Process.Kill()
			<-daemon.done
		}()
		for range kills {
			alive := time.NewTimer(100*time.Millisecond + time.Duration(draw.Int64N(int64(1400*time.Millisecond))))
			select {
			case <-alive.C:
			case <-t.Context().Done():
				return
			case <-daemon.done:
				done <- fmt.Errorf("the daemon has ended by itself: %w", daemon.err)
				return
			}
			_ = daemon.cmd.Process.Kill()
			<-daemon.done
			next, err := launch(command())
			if err != nil {
				done <- err
				return
			}
			daemon = next
		}
		_ = daemon.cmd.Process.Kill()
		<-daemon.done
		done <- nil
	}()
	return done
}

// Shows: killed at random moments, again and again, while calls come and go.
func TestRandomKills(t *testing.T) {
	t.Parallel()
	kills, seed := 10, seed(t)
	if thorough() {
		kills = 200
	}
	t.Logf("%d kills, %s=%d", kills, seedVariable, seed)
	draw := rand.New(rand.NewPCG(seed, 0))
	c, long := newCrashes(t)
	began := time.Now()
	killed := killer(t, kills, rand.New(rand.NewPCG(seed, 1)), c.daemon, c.mortal)

	type talk struct {
		from time.Time
		d    time.Duration
	}
	var talks []talk
	for over := false; !over; {
		caller, _ := c.talk(c.alice, c.bob, "1002")
		said := talk{time.Now(), time.Duration(draw.Int64N(int64(3 * time.Second)))}
		must(t, caller.Talk(within(t), said.d))
		must(t, caller.Hangup(within(t)))
		said.d = time.Since(said.from)
		talks = append(talks, said)
		select {
		case err := <-killed:
			must(t, err)
			over = true
		default:
		}
	}
	lasted := time.Since(began)
	c.again()
	c.rests(long, began, len(talks)+1)

	list := c.waitCDRs(len(talks) + 2)
	states := map[string]int{}
	for i, said := range talks {
		recs := list[i+1].Recordings
		if len(recs) == 0 && said.d >= mustHave {
			t.Errorf("call %d of %s has neither a recording nor a reason", i, said.d)
		}
		for _, r := range recs {
			states[r.State+" "+r.Cause]++
			if r.State == "interrupted" || r.State == "missing" && r.Cause != "daemon_down" && r.Cause != "talk_ended" && r.Cause != "hung_up" {
				t.Errorf("call %d of %s: %+v", i, said.d, r)
			}
		}
	}
	t.Logf("%d kills in %s, %d calls: %v", kills, lasted.Round(time.Second), len(talks), states)
}

// mustHave is from when on a talk must have its recording or a row that says why.
const mustHave = 2 * time.Second
