package campaign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"callrecordd/internal/bench/load"
)

// Options say what to do. The program must run in a mount namespace of its own
// as one who may mount, and whom file modes bind; see Enter.
type Options struct {
	Binary string // callrecordd
	// Out takes report, audit and, if something is wrong, all logs and files.
	Out string
	// Time is for how long calls are placed, Rate how many a second.
	Time time.Duration
	Rate float64
	// Rounds is how often each fault happens; Faults names those that do, nil
	// for all.
	Rounds int
	Faults []string
	Seed   uint64
	// Keep leaves everything in Out in any case.
	Keep bool
	// Progress takes lines for people.
	Progress io.Writer
}

// diskBytes is the size of the disk of the recordings. It is memory, taken as
// it is used: fifty minutes of calls fit.
const diskBytes = 1 << 30

// warmUp is how long calls go on before the first fault, and after the last.
const warmUp = 5 * time.Second

// campaign is one that goes on.
type campaign struct {
	opt       Options
	site      *site
	calls     []load.Call
	incidents []Incident
	begun     time.Time
	backups   []backup
}

// Run holds a campaign. The report is complete if err is nil, whatever it says.
func Run(ctx context.Context, opt Options) (r Report, err error) {
	chosen, err := choose(opt.Faults)
	if err != nil {
		return r, err
	}
	dir, err := os.MkdirTemp("", "campaign")
	if err != nil {
		return r, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	recordings := filepath.Join(dir, "recordings")
	unmount, err := mount(recordings)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	if err := os.MkdirAll(opt.Out, 0o755); err != nil {
		return r, fmt.Errorf("make the folder of the report: %w", err)
	}
	c := &campaign{opt: opt}
	c.say("campaign: seed %d, %s, %.1f calls a second, %d faults %d times each", opt.Seed, opt.Time, opt.Rate, len(chosen), opt.Rounds)
	if c.site, err = newSite(ctx, dir, recordings, opt.Binary); err != nil {
		return r, err
	}
	defer func() {
		if c.site != nil {
			err = errors.Join(err, c.site.close())
		}
	}()
	if err := c.hold(ctx, chosen); err != nil {
		return r, errors.Join(err, c.rescue())
	}
	r, err = c.examine(ctx)
	if err != nil {
		return r, errors.Join(err, c.rescue())
	}
	if opt.Keep || !r.Passed() {
		err = c.rescue()
	}
	return r, err
}

func (c *campaign) say(format string, args ...any) {
	fmt.Fprintf(c.opt.Progress, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// choose finds the faults by name.
func choose(names []string) ([]fault, error) {
	all := faults()
	if names == nil {
		return all, nil
	}
	var out []fault
	for _, n := range names {
		i := slices.IndexFunc(all, func(f fault) bool { return f.name == n })
		if i < 0 {
			return nil, fmt.Errorf("there is no fault %q", n)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// mount makes a small disk.
func mount(dir string) (unmount func() error, err error) {
	if err := os.Mkdir(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the disk of the recordings: %w", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=750", diskBytes)); err != nil {
		return nil, fmt.Errorf("make the disk of the recordings: %w; the campaign needs a mount namespace", err)
	}
	return func() error {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount the disk of the recordings: %w", err)
		}
		return nil
	}, nil
}

// hold places the calls and makes the faults.
func (c *campaign) hold(ctx context.Context, chosen []fault) error {
	placing, enough := context.WithCancel(ctx)
	defer enough()
	placed := make(chan []load.Call, 1)
	c.begun = time.Now()
	go func() {
		placed <- c.site.phones.Run(placing, load.Plan{
			Rate: c.opt.Rate, Calls: 1 << 20,
			Script: func(i int) load.Script { return draw(c.opt.Seed, i).script() },
			React: func(target string) load.Reaction {
				if n, ok := numberIn(target); ok {
					return draw(c.opt.Seed, n).react()
				}
				return load.Reaction{Refuse: "404 Not Found"}
			},
		})
	}()
	err := c.strike(ctx, chosen)
	if err == nil {
		wait(ctx, max(warmUp, time.Until(c.begun.Add(c.opt.Time))))
	}
	enough()
	c.calls = <-placed
	c.say("%d calls placed", len(c.calls))
	return errors.Join(err, ctx.Err())
}

// strike makes every fault in each round, in an order that is drawn, and leaves
// time to recover in between. A backup is taken in the midst of each round.
func (c *campaign) strike(ctx context.Context, chosen []fault) error {
	r := rand.New(rand.NewPCG(c.opt.Seed, 0))
	wait(ctx, warmUp)
	total := len(chosen) * c.opt.Rounds
	if total == 0 {
		return nil
	}
	slot := max(0, (c.opt.Time-3*warmUp)/time.Duration(total))
	due := time.Now()
	for n := range total {
		if n%len(chosen) == 0 && c.opt.Rounds > 1 {
			r.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
		}
		if n%len(chosen) == len(chosen)/2 {
			if err := c.takeBackup(ctx); err != nil {
				return err
			}
		}
		in, err := c.happen(ctx, chosen[n%len(chosen)], r)
		if err != nil {
			return err
		}
		c.say("%3d/%d %-15s %s, ready %s later", n+1, total, in.Fault, in.Detail, in.Ready.Sub(in.Until).Round(ms))
		due = due.Add(slot)
		wait(ctx, max(time.Until(due), 500*ms))
	}
	return ctx.Err()
}

// happen makes one fault and waits until the daemon is well again.
func (c *campaign) happen(ctx context.Context, f fault, r *rand.Rand) (Incident, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	in := Incident{Fault: f.name, At: time.Now(), deaf: f.deaf}
	if err := f.do(ctx, c.site, r, &in); err != nil {
		return in, fmt.Errorf("fault %s: %w", f.name, err)
	}
	in.Until = time.Now()
	if err := c.site.waitReady(ctx); err != nil {
		return in, fmt.Errorf("after %s: %w", f.name, err)
	}
	in.Ready = time.Now()
	c.incidents = append(c.incidents, in)
	return in, nil
}
