package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"callrecordd/internal/bench/load"
)

// Lean are the types of Stasis messages that Asterisk need not build for the
// daemon, the journal and an ordinary dialplan, and whose saving was measured
// (asterisk-facts 7, BENCHMARKS.md).
func Lean() []string {
	return []string{"ast_channel_varset_type"}
}

// leanCandidates are types of stasis.conf.sample that calls cause and that
// neither the daemon nor its journal listens to.
func leanCandidates() []string {
	return []string{
		"ast_channel_varset_type", "ast_rtp_rtcp_sent_type", "ast_rtp_rtcp_received_type", "ast_security_event_type",
		"ast_device_state_message_type", "ast_endpoint_snapshot_type", "ast_endpoint_state_type",
		"ast_channel_mixmonitor_start_type", "ast_channel_mixmonitor_stop_type", "ast_channel_hangup_handler_type",
		"stasis_subscription_change_type",
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
	stock, err := s.start(ctx, armDaemon)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stock.close()) }()
	a := armDaemon
	a.name, a.stasis = "lean "+name, declined(types...)
	lean, err := s.start(ctx, a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lean.close()) }()
	plan := load.Plan{Rate: 15, Calls: either(s, 300, 60), Talk: time.Second}
	var r ratios
	for range either(s, 5, 2) {
		var used [2]float64
		for i, t := range []*site{stock, lean} {
			u, err := t.measure(ctx, plan)
			if err != nil {
				return err
			}
			used[i] = u.perCall(u.asterisk)
		}
		r.add(used[1], used[0])
	}
	f := Figure{Group: "lean", Name: name, Value: median(r.with), Unit: "ms", N: len(r.ratio) * plan.Calls, Note: "Asterisk's CPU a call of 1 s"}.
		against(median(r.without), "stock")
	f.Ratio = median(r.ratio)
	s.add(f)
	return nil
}
