package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// options are what the command line says.
type options struct {
	binary string
	keep   bool
	in     io.Reader
	out    io.Writer
}

// run is the whole demo, from the first process to the last.
func run(ctx context.Context, o options) (err error) {
	if o.binary == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the daemon beside this program: %w", err)
		}
		o.binary = filepath.Join(filepath.Dir(self), "callrecordd")
	}
	if _, err := os.Stat(o.binary); err != nil {
		return fmt.Errorf("find the daemon (`make build` builds it): %w", err)
	}
	s, ctx, err := newStage(ctx, o.out)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			s.showLog()
		}
		err = errors.Join(err, s.close())
	}()
	if err := s.play(ctx, o); err != nil {
		// Every step of an ended context says "canceled"; the cause says why.
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	return nil
}

func (s *stage) play(ctx context.Context, o options) error {
	if err := s.startPBX(ctx); err != nil {
		return err
	}
	if err := s.startDaemon(ctx, o.binary); err != nil {
		return err
	}
	if err := s.fillDirectory(ctx); err != nil {
		return err
	}
	if err := s.connectPhones(ctx); err != nil {
		return err
	}
	s.say("\n==> Calls")
	for _, wave := range script() {
		if err := s.placeAll(ctx, wave); err != nil {
			return err
		}
	}
	s.say("\n==> What the HTTP API says of them, and what is heard in the files it serves")
	entries, err := s.waitEntries(ctx, len(scenes()))
	if err != nil {
		return err
	}
	files, err := s.files()
	if err != nil {
		return err
	}
	s.say("\n%s", table(entries, strays(files, entries)))
	if err := judge(scenes(), entries, files); err != nil {
		return err
	}
	s.say("Every tone is where it belongs; there is no file that no rule wants.")
	s.say("\n==> %s\n\n%s", curlTitle(o.keep), s.curls(entries))
	if !o.keep {
		return nil
	}
	return s.keepRunning(ctx, o.in)
}

func curlTitle(keep bool) string {
	if keep {
		return "To fetch them"
	}
	return "To fetch them while it runs (make demo KEEP=1)"
}
