package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"callrecordd/internal/bench/load"
)

// step is an arm of parts, perhaps with a client of ours.
type step struct {
	arm  arm
	join joiner
	site *site
	// Of each round: Asterisk's CPU a call, and the medians of the waits, all in ms.
	cpu, ringing, answered []float64
}

// joiner adds a client to a site.
type joiner = func(*site, context.Context) (func(), error)

// parts shows where Asterisk's CPU and the caller's time go: each step adds one
// thing that the daemon needs, and is compared with the one before. All are up
// and take turns, so that what the machine does meets all of them alike. Calls
// are short, so what signalling costs shows most.
func parts(ctx context.Context, s *suite) (err error) {
	feature, journal := armBare(), armBare()
	feature.name, feature.feature = "feature line", true
	journal.name, journal.feature, journal.journal = "and journal", true, true
	manager, some, idle := armAll(), armAll(), armDaemon()
	manager.name, some.name = "and a manager session", "and ARI events of channels and bridges"
	idle.name, idle.norule = "the daemon instead, recording nothing", true
	steps := []*step{
		{arm: armBare()},
		{arm: feature},
		{arm: journal},
		{arm: armAll()},
		{arm: manager, join: (*site).joinManager},
		{arm: some, join: (*site).joinEvents},
		{arm: idle},
		{arm: armDaemon()},
		{arm: armLean()},
	}
	for _, p := range steps {
		if p.site, err = s.start(ctx, p.arm); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.site.close()) }()
		if p.join != nil {
			leave, err := p.join(p.site, ctx)
			if err != nil {
				return err
			}
			defer leave()
		}
	}
	plan := load.Plan{Rate: 20, Calls: either(s, 100, 30), Talk: 2 * time.Second}
	for range either(s, 5, 2) {
		for _, p := range steps {
			if err := s.round(ctx, p, plan); err != nil {
				return err
			}
		}
	}
	for i, p := range steps[1:] {
		s.addPart(p, steps[i], plan)
	}
	return nil
}

// round places the calls of a plan once.
func (s *suite) round(ctx context.Context, p *step, plan load.Plan) error {
	u, err := s.measure(ctx, p.site, plan)
	if err != nil {
		return err
	}
	ringing, answered := medianWait(u.calls)
	p.cpu, p.ringing, p.answered = append(p.cpu, u.perCall(u.asterisk)), append(p.ringing, ringing), append(p.answered, answered)
	s.say("    %s: Asterisk %.1f ms of CPU a call, we %.1f, 180 after %.2f ms, 200 after %.2f", p.arm.name, u.perCall(u.asterisk), u.perCall(u.daemon), ringing, answered)
	return nil
}

func (s *suite) addPart(p, before *step, plan load.Plan) {
	calls := len(p.cpu) * plan.Calls
	note := fmt.Sprintf("calls of %s at %.0f a second", plan.Talk, plan.Rate)
	if n := p.site.events.Load(); n > 0 {
		note += fmt.Sprintf("; %.0f events and %.1f kB a call", float64(n)/float64(calls), float64(p.site.eventBytes.Load())/float64(calls)/1000)
	}
	for _, f := range []struct {
		what          string
		value, before []float64
	}{
		{"Asterisk's CPU a call", p.cpu, before.cpu},
		{"INVITE to 180", p.ringing, before.ringing},
		{"INVITE to 200", p.answered, before.answered},
	} {
		s.add(Figure{
			Group: "parts", Name: f.what + ": " + p.arm.name, Value: median(f.value), Unit: "ms", N: calls, Note: note,
		}.against(median(f.before), before.arm.name))
	}
}

// compare takes turns between two sites and adds the figure of Asterisk's CPU
// a call.
func (s *suite) compare(ctx context.Context, group, name string, without, with *site) error {
	plan := load.Plan{Rate: 20, Calls: either(s, 120, 60), Talk: time.Second}
	var r ratios
	for range either(s, 3, 2) {
		var used [2]float64
		for i, t := range []*site{without, with} {
			u, err := s.measure(ctx, t, plan)
			if err != nil {
				return err
			}
			used[i] = u.perCall(u.asterisk)
		}
		r.add(used[1], used[0])
	}
	f := Figure{Group: group, Name: name, Value: median(r.with), Unit: "ms", N: len(r.ratio) * plan.Calls, Note: "Asterisk's CPU a call of 1 s"}.
		against(median(r.without), without.arm.name)
	f.Ratio = median(r.ratio)
	s.add(f)
	return nil
}

// joinManager logs in as the daemon does, and does nothing.
func (t *site) joinManager(ctx context.Context) (leave func(), err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", t.pbx.AMIAddr)
	if err != nil {
		return nil, fmt.Errorf("log in to the manager: %w", err)
	}
	fmt.Fprintf(conn, "Action: Login\r\nUsername: %s\r\nSecret: %s\r\nEvents: off\r\n\r\n", t.pbx.AMIUser, t.pbx.AMIPassword)
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, errors.Join(fmt.Errorf("log in to the manager: %w", err), conn.Close())
		}
		if strings.HasPrefix(line, "Response: Success") {
			return func() { _ = conn.Close() }, nil
		}
	}
}

// joinEvents logs in and reads the ARI events that the daemon reads, but
// unfiltered: the filter saves Asterisk nothing (asterisk-facts 7).
func (t *site) joinEvents(ctx context.Context) (leave func(), err error) {
	leaveManager, err := t.joinManager(ctx)
	if err != nil {
		return nil, err
	}
	query := "app=bench&api_key=" + t.pbx.ARIUser + ":" + t.pbx.ARIPassword
	conn, _, err := websocket.Dial(ctx, strings.Replace(t.pbx.ARIURL, "http", "ws", 1)+"/events?"+query, nil)
	if err != nil {
		leaveManager()
		return nil, fmt.Errorf("read ARI's events: %w", err)
	}
	leave = func() { _ = conn.CloseNow(); leaveManager() }
	conn.SetReadLimit(1 << 20)
	go func() { // ends when the connection is closed
		for {
			_, raw, err := conn.Read(context.WithoutCancel(ctx))
			if err != nil {
				return
			}
			t.events.Add(1)
			t.eventBytes.Add(int64(len(raw)))
		}
	}()
	if err := t.subscribe(ctx, t.pbx.ARIURL+"/applications/bench/subscription?eventSource=channel:,bridge:&"+query); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

func (t *site) subscribe(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, http.NoBody)
	if err != nil {
		return fmt.Errorf("subscribe to channels and bridges: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("subscribe to channels and bridges: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("subscribe to channels and bridges: %s", res.Status)
	}
	return nil
}
