package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"callrecordd/internal/lab"
)

// keepRunning lets a person play with what runs, until quit or the signal.
func (s *stage) keepRunning(ctx context.Context, in io.Reader) error {
	s.say("==> All of it runs until Ctrl-C\n\n%s", s.help())
	prompt := ""
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		prompt = "demo> "
	}
	lines := make(chan string)
	// Not in the background group: a read from a terminal cannot be ended.
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(in); scan.Scan(); {
			select {
			case lines <- scan.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		s.mu.Lock()
		fmt.Fprint(s.out, prompt)
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			s.say("")
			return s.interrupted(ctx)
		case line, ok := <-lines:
			if !ok { // no more commands; a signal still ends it
				lines, prompt = nil, ""
				continue
			}
			if quit := s.obey(ctx, strings.Fields(line)); quit {
				return nil
			}
		}
	}
}

// interrupted tells the normal end by a signal from a part that ended.
func (s *stage) interrupted(ctx context.Context) error {
	select {
	case <-s.daemon.done:
		return context.Cause(ctx)
	default:
		return nil
	}
}

// obey executes a command of the prompt. What goes wrong with it is told and
// is no reason to end.
func (s *stage) obey(ctx context.Context, words []string) (quit bool) {
	if len(words) == 0 {
		return false
	}
	var err error
	switch words[0] {
	case "call":
		err = s.obeyCall(ctx, words[1:])
	case "cdr":
		err = s.showEntries(ctx, 0)
	case "curl":
		err = s.obeyCurl(ctx)
	case "quit", "exit":
		return true
	default:
		s.say("%s", s.help())
	}
	if err != nil {
		s.say("that did not work: %v", err)
	}
	return false
}

func (s *stage) obeyCall(ctx context.Context, words []string) error {
	talk := talkTime
	if len(words) == 3 {
		d, err := time.ParseDuration(words[2])
		if err != nil || d <= 0 {
			return fmt.Errorf("read the time %q: write it as 5s", words[2])
		}
		talk = d
	} else if len(words) != 2 {
		return fmt.Errorf("read %q: write who calls what, and how long, as in: call alice 1002 5s", strings.Join(words, " "))
	}
	before, err := s.api.list(ctx)
	if err != nil {
		return err
	}
	s.say("%s calls %s …", words[0], words[1])
	talking := func(ctx context.Context, c *lab.Call) error { return c.Talk(ctx, talk) }
	if err := s.call(ctx, words[0], words[1], 0, talking); err != nil {
		return err
	}
	s.say("… and has hung up after %s.\n", talk)
	return s.showEntries(ctx, len(before)+1)
}

// showEntries prints the calls once there are n.
func (s *stage) showEntries(ctx context.Context, n int) error {
	entries, err := s.waitEntries(ctx, n)
	if err != nil {
		return err
	}
	files, err := s.files()
	if err != nil {
		return err
	}
	s.say("%s", table(entries, strays(files, entries)))
	return nil
}

// obeyCurl prints the requests for the newest recording.
func (s *stage) obeyCurl(ctx context.Context) error {
	list, err := s.api.list(ctx)
	if err != nil {
		return err
	}
	var newest []entry
	for _, c := range list {
		if len(c.Recordings) > 0 {
			newest = []entry{{cdr: c}}
		}
	}
	s.say("%s", s.curls(newest))
	return nil
}

func (s *stage) help() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Type here, while the telephones answer by themselves:")
	line("  call alice 1002 5s     somebody calls a number and talks for a time")
	line("  call dave %s0409876543  … over the trunk", lab.PrefixOut)
	line("  call %s %s1001   … from the trunk to a user", outside, lab.PrefixDID)
	line("  cdr                    the calls")
	line("  curl                   the requests for the newest recording")
	line("  quit                   the end, as Ctrl-C")
	var names []string
	for _, p := range users() {
		names = append(names, p.name+" "+p.number)
	}
	line("\nUsers: %s; %s is a ring group, %s plays music.", strings.Join(names, ", "), lab.ExtenGroup, lab.ExtenMusic)
	line("A softphone on this machine: register sip:%s@%s over UDP, without a password.", spare, s.pbx.SIPAddr)
	line("\nIn another terminal:")
	line("  export API=%s TOKEN=%s", s.api.base, s.api.token)
	line("  %s", s.daemon.line("user", "set", "Dave", "--record", "all"))
	line("  %s", s.daemon.line("user", "list"))
	line("  %s", s.daemon.line("status"))
	return b.String()
}
