package bench

import (
	"context"
	"errors"
	"fmt"
)

// Lean are the types of Stasis messages that Asterisk need not build for the
// daemon, the journal and an ordinary dialplan, and whose saving was measured
// (asterisk-facts 7, BENCHMARKS.md).
func Lean() []string {
	return []string{"ast_channel_varset_type"}
}

// leanCandidates are types of stasis.conf.sample that ordinary calls cause and
// that neither the daemon nor its journal listens to. Those that Asterisk itself
// lives on are not among them: snapshots, device states (lamps, queues),
// endpoint states, subscriptions.
func leanCandidates() []string {
	return []string{
		"ast_channel_varset_type", "ast_rtp_rtcp_sent_type", "ast_rtp_rtcp_received_type", "ast_security_event_type",
		"ast_channel_mixmonitor_start_type", "ast_channel_mixmonitor_stop_type", "ast_channel_hangup_handler_type",
	}
}

// Decline measures what Asterisk saves when it need not build a type of
// message: CPU a call with the daemon and all snippets, each arm beside the one
// without declines, in turn. An empty list measures every candidate and all
// together.
func Decline(ctx context.Context, opt Options, types []string) (Report, error) {
	s, err := newSuite(ctx, opt)
	if err != nil {
		return Report{}, err
	}
	arms := [][]string{types}
	if len(types) == 0 {
		arms = nil
		for _, t := range leanCandidates() {
			arms = append(arms, []string{t})
		}
		arms = append(arms, leanCandidates())
	}
	var errs []error
	for _, list := range arms {
		if err := s.decline(ctx, list); err != nil {
			errs = append(errs, fmt.Errorf("decline %v: %w", list, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return s.finish(errs)
}

// decline compares one set of types with none, both up at the same time.
func (s *suite) decline(ctx context.Context, types []string) (err error) {
	name := types[0]
	if len(types) > 1 {
		name = fmt.Sprintf("%d types", len(types))
	}
	stock, err := s.start(ctx, armDaemon())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stock.close()) }()
	lean, err := s.start(ctx, armDaemon().without("lean "+name, types...))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lean.close()) }()
	return s.compare(ctx, "lean", name, stock, lean)
}
