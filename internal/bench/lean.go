package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Lean are the types of Stasis messages that Asterisk need not build for the
// daemon, the journal and an ordinary dialplan, and whose saving was measured
// (asterisk-facts 7, BENCHMARKS.md).
func Lean() []string {
	return []string{"ast_channel_varset_type"}
}

// candidate is something of which Asterisk may be spared.
type candidate struct {
	name  string
	files map[string]string
}

func decline(types ...string) candidate {
	c := candidate{name: types[0], files: map[string]string{"stasis.conf": declined(types...)}}
	if len(types) > 1 {
		c.name = fmt.Sprintf("%d types: %s", len(types), strings.Join(types, " "))
	}
	return c
}

// candidates are types of stasis.conf.sample that ordinary calls cause and that
// neither the daemon nor its journal listens to. Left out are those that
// Asterisk itself lives on (snapshots, device states for lamps and queues), and
// those without which 22.10 was seen not to start: endpoint states, hangup
// handlers, MixMonitor's start and stop, to which its manager subscribes, and
// subscription changes. Asterisk's own CDRs are no message but work on all.
func candidates() []candidate {
	types := []string{"ast_channel_varset_type", "ast_rtp_rtcp_sent_type", "ast_rtp_rtcp_received_type"}
	noCDR := candidate{"cdr.conf enable=no", map[string]string{"cdr.conf": "[general]\nenable=no\n"}}
	everything := decline(types...)
	everything.name = "all of these"
	everything.files["cdr.conf"] = noCDR.files["cdr.conf"]
	var out []candidate
	for _, t := range types {
		out = append(out, decline(t))
	}
	return append(out, noCDR, everything)
}

// Spare measures what Asterisk saves: CPU a call with the daemon and all
// snippets, beside the same without the change, in turn. Without types it
// measures every candidate and all together.
func Spare(ctx context.Context, opt Options, types []string) (Report, error) {
	s, err := newSuite(ctx, opt)
	if err != nil {
		return Report{}, err
	}
	list := []candidate{}
	if len(types) > 0 {
		list = append(list, decline(types...))
	} else {
		list = candidates()
	}
	var errs []error
	for _, c := range list {
		if err := s.spare(ctx, c); err != nil {
			errs = append(errs, fmt.Errorf("spare Asterisk %s: %w", c.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return s.finish(errs)
}

// spare compares a candidate with the stock settings, both up at the same time.
func (s *suite) spare(ctx context.Context, c candidate) (err error) {
	stock, err := s.start(ctx, armDaemon())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stock.close()) }()
	a := armDaemon()
	a.name, a.files = "spared", c.files
	spared, err := s.start(ctx, a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, spared.close()) }()
	return s.compare(ctx, "lean", c.name, stock, spared)
}
