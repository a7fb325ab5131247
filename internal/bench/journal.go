package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// journal measures how fast a daemon that has been away works off what
// Asterisk wrote meanwhile.
func journal(ctx context.Context, s *suite) (err error) {
	a := armDaemon()
	a.name = "journal"
	t, err := s.start(ctx, a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	tpl, err := t.oneCall(ctx)
	if err == nil {
		err = t.waitQuiet(ctx, 1)
	}
	if err != nil {
		return err
	}
	if err := t.child.stop(); err != nil {
		return err
	}
	calls := either(s, 10_000, 500)
	w, err := newWriter(t.pbx.JournalPath, tpl)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.db.Close()) }()
	for w.n < calls {
		if err := w.add(ctx, 500); err != nil {
			return err
		}
	}
	if t.child, err = startChild(s.opt.Daemon, filepath.Dir(t.child.log), t.pbx, t.child.cfg); err != nil {
		return err
	}
	rows := float64(calls * len(tpl.rows))
	begun, took, err := t.workOff(ctx, 1, 1+calls)
	if err != nil {
		return err
	}
	cpu, err := cpuTime(t.child.pid)
	if err != nil {
		return err
	}
	s.add(Figure{
		Group: "journal", Name: "rows of the journal to CDRs", Value: rows * (1 - begun) / took.Seconds(), Unit: "rows/s", N: int(rows),
		Note: fmt.Sprintf("%d calls of %d rows, from the first commit seen to the last; %.1f s of CPU", calls, len(tpl.rows), cpu.Seconds()),
	}.atLeast(5000))
	return nil
}

// workOff waits until there are that many CDRs. It returns the share that was
// done when it first looked and how long the rest took.
func (t *site) workOff(ctx context.Context, before, all int) (begun float64, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*patience)
	defer cancel()
	var first time.Time
	err = eventually(ctx, func() error {
		n, err := t.number(ctx, countCDRs)
		if err != nil {
			return err
		}
		if n > before && first.IsZero() {
			first, begun = time.Now(), float64(n-before)/float64(all-before)
		}
		if n < all {
			return fmt.Errorf("there are %d of %d CDRs", n, all)
		}
		return nil
	})
	return begun, time.Since(first), err
}
