package bench

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"callrecordd/internal/bench/load"
)

// toneTime is how long the callee plays its tone, from its first packet on:
// what of it is missing in the file was lost.
const toneTime = time.Second

// usage is the CPU time of a load, all that comes after the calls included.
type usage struct {
	asterisk, daemon, load time.Duration
	calls                  []load.Call
}

func (u usage) perCall(d time.Duration) float64 { return millis(d) / float64(len(u.calls)) }

// recording places 5 calls a second of 20 s, so that 100 are up: in Asterisks
// without us for reference, then with the daemon, then while it imports.
func recording(ctx context.Context, s *suite) error {
	plan := recordingPlan(s)
	reference := plan
	reference.Calls = either(s, 120, 300) // for CPU a call and lost audio they are enough
	used := make(map[string]usage)
	var lost []float64
	for _, a := range []arm{armBare(), armMix(), armJournal()} {
		u, l, err := s.reference(ctx, a, reference)
		if err != nil {
			return err
		}
		used[a.name] = u
		if a.mix && !a.journal {
			lost = l
		}
		s.say("    %s: Asterisk %.2f ms of CPU a call, the load %.2f ms", a.name, u.perCall(u.asterisk), u.perCall(u.load))
	}
	for _, importing := range []bool{false, true} {
		if err := s.recordingWith(ctx, plan, importing, used, lost); err != nil {
			return err
		}
	}
	return nil
}

func recordingPlan(s *suite) load.Plan {
	return load.Plan{
		Rate: either(s, 5.0, 10), Calls: ramp(s) + either(s, 1000, 30), Talk: either(s, 20*time.Second, 2*time.Second), CalleeTone: toneTime,
	}
}

// ramp is the number of calls until as many are up as then stay: they do not
// count for times.
func ramp(s *suite) int { return either(s, 100, 20) }

// reference measures an arm without the daemon.
func (s *suite) reference(ctx context.Context, a arm, plan load.Plan) (u usage, lost []float64, err error) {
	t, err := s.start(ctx, a)
	if err != nil {
		return u, nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	u, err = s.measure(ctx, t, plan)
	if err != nil || !a.mix || a.journal {
		return u, nil, err
	}
	for _, c := range u.calls {
		l, err := toneLost(filepath.Join(mixFolder(t.dir), c.Exten+".wav"))
		if err != nil {
			return u, nil, err
		}
		lost = append(lost, l)
	}
	return u, lost, nil
}

// measure places the calls and waits until all that follows from them is done.
func (s *suite) measure(ctx context.Context, t *site, plan load.Plan) (usage, error) {
	before, err := t.cpu()
	if err != nil {
		return usage{}, err
	}
	placed := t.next
	calls, err := s.completed(t, t.run(ctx, plan))
	if err != nil {
		return usage{}, err
	}
	if t.child != nil {
		if err := t.waitQuiet(ctx, placed+len(calls)); err != nil {
			return usage{}, err
		}
	} else {
		wait, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := t.pbx.WaitIdle(wait); err != nil {
			return usage{}, err
		}
	}
	after, err := t.cpu()
	return usage{
		asterisk: after.asterisk - before.asterisk, daemon: after.daemon - before.daemon, load: after.load - before.load, calls: calls,
	}, err
}

func (t *site) cpu() (u usage, err error) {
	u.load = ownCPU()
	if u.asterisk, err = cpuTime(t.pbx.PID()); err != nil || t.child == nil {
		return u, err
	}
	u.daemon, err = cpuTime(t.child.pid)
	return u, err
}

// recordingWith measures the daemon.
func (s *suite) recordingWith(ctx context.Context, plan load.Plan, importing bool, used map[string]usage, reference []float64) (err error) {
	t, err := s.start(ctx, armDaemon())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	note := ""
	var finish func() (string, error)
	if importing {
		if finish, err = s.startImport(ctx, t); err != nil {
			return err
		}
	}
	u, err := s.measure(ctx, t, plan)
	if finish != nil {
		var ended error
		note, ended = finish()
		err = errors.Join(err, ended)
	}
	if err != nil {
		return err
	}
	s.say("    RTP was late by %s at most; the load took %.2f ms of CPU a call", t.load.Late(), u.perCall(u.load))
	if !importing {
		s.addCPU(u, used)
	}
	return s.addTimes(ctx, t, u.calls[ramp(s):], importing, note, reference)
}

func (s *suite) addCPU(u usage, used map[string]usage) {
	share := Figure{
		Group: "recording", Name: "our CPU ÷ Asterisk's", Value: 100 * float64(u.daemon) / float64(u.asterisk), Unit: "%", N: len(u.calls),
		Note: "hashing and CDR included; goal 5 %",
	}
	s.add(share.atMost(8))
	s.add(Figure{Group: "recording", Name: "our CPU a recorded call", Value: u.perCall(u.daemon), Unit: "ms", N: len(u.calls)}.
		against(u.perCall(u.asterisk), "Asterisk with us"))
	for _, ref := range []arm{armBare(), armMix(), armJournal()} {
		s.add(Figure{
			Group: "recording", Name: "Asterisk's CPU a call, with us", Value: u.perCall(u.asterisk), Unit: "ms", N: len(u.calls),
		}.against(used[ref.name].perCall(used[ref.name].asterisk), ref.name))
	}
}

// addTimes compares what the callers saw with what the daemon stored.
func (s *suite) addTimes(ctx context.Context, t *site, calls []load.Call, importing bool, note string, reference []float64) error {
	list, err := t.recordings(ctx)
	if err != nil {
		return err
	}
	suffix := ""
	if importing {
		suffix = ", while importing"
	}
	var attach, ready, lost []float64
	unrecorded := 0
	for _, c := range calls {
		r, ok := list[c.Exten]
		if !ok || r.state != "ready" {
			unrecorded++
			continue
		}
		l, err := toneLost(t.path(r))
		if err != nil {
			return err
		}
		lost = append(lost, l)
		attach = append(attach, millis(r.started.Sub(r.bridged)))
		ready = append(ready, millis(r.final.Sub(c.Bye)))
	}
	add := func(f Figure) { f.Group, f.N, f.Note = "recording", len(attach), note; s.add(f) }
	add(Figure{Name: "calls without a ready recording" + suffix, Value: float64(unrecorded), Unit: "calls"}.atMost(0))
	add(Figure{Name: "answer to recorder attached, median" + suffix, Value: median(attach), Unit: "ms"})
	add(Figure{Name: "answer to recorder attached, p99" + suffix, Value: quantile(attach, 0.99), Unit: "ms"}.atMost(20))
	heard := Figure{Name: "lost by ear, p99" + suffix, Value: quantile(lost, 0.99), Unit: "ms"}.
		against(quantile(reference, 0.99), "MixMonitor in the dialplan")
	add(heard.bar("≤ 60 ms", heard.Value <= 60))
	add(Figure{Name: "stop to ready, p99" + suffix, Value: quantile(ready, 0.99), Unit: "ms"}.atMost(500))
	return nil
}
