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

// parts shows where Asterisk's CPU goes: each step adds one thing that the
// daemon needs, and is compared with the one before. Calls are short, so what
// signalling costs shows most.
func parts(ctx context.Context, s *suite) error {
	feature, journal := armBare(), armBare()
	feature.name, feature.feature = "feature line", true
	journal.name, journal.feature, journal.journal = "feature line and journal", true, true
	manager, some, events := armAll(), armAll(), armAll()
	manager.name, some.name, events.name = "and a manager session", "and ARI events of channels and bridges", "and all ARI events"
	steps := []struct {
		arm  arm
		join joiner
	}{
		{armBare(), nil},
		{feature, nil},
		{journal, nil},
		{armAll(), nil},
		{manager, (*site).joinManager},
		{some, (*site).joinSome},
		{events, (*site).joinAll},
		{armDaemon(), nil},
	}
	for i := 1; i < len(steps); i++ {
		if err := s.part(ctx, steps[i-1].arm, steps[i].arm, steps[i-1].join, steps[i].join); err != nil {
			return err
		}
	}
	return nil
}

// joiner adds a client to a site.
type joiner = func(*site, context.Context) (func(), error)

// part compares two steps.
func (s *suite) part(ctx context.Context, before, after arm, joinBefore, joinAfter joiner) (err error) {
	var sites [2]*site
	for i, a := range []arm{before, after} {
		if sites[i], err = s.start(ctx, a); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sites[i].close()) }()
		if join := []joiner{joinBefore, joinAfter}[i]; join != nil {
			leave, err := join(sites[i], ctx)
			if err != nil {
				return err
			}
			defer leave()
		}
	}
	return s.compare(ctx, "parts", after.name, sites[0], sites[1])
}

// compare takes turns between two sites and adds the figure of Asterisk's CPU
// a call.
func (s *suite) compare(ctx context.Context, group, name string, without, with *site) error {
	plan := load.Plan{Rate: 20, Calls: either(s, 120, 60), Talk: time.Second}
	var r, wait ratios
	for range either(s, 3, 2) {
		var used, ringing [2]float64
		for i, t := range []*site{without, with} {
			u, err := s.measure(ctx, t, plan)
			if err != nil {
				return err
			}
			used[i] = u.perCall(u.asterisk)
			ringing[i], _ = medianWait(u.calls)
		}
		r.add(used[1], used[0])
		wait.add(ringing[1], ringing[0])
	}
	calls := len(r.ratio) * plan.Calls
	f := Figure{Group: group, Name: name, Value: median(r.with), Unit: "ms", N: calls, Note: fmt.Sprintf("Asterisk's CPU a call of 1 s; 180 after %.2f instead of %.2f ms", median(wait.with), median(wait.without))}.
		against(median(r.without), without.arm.name)
	f.Ratio = median(r.ratio)
	if n := with.events.Load(); n > 0 {
		f.Note += fmt.Sprintf("; %.0f events and %.1f kB a call", float64(n)/float64(calls), float64(with.eventBytes.Load())/float64(calls)/1000)
	}
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

// joinAll logs in and reads all ARI events as the daemon does, but unfiltered:
// the filter saves Asterisk nothing (asterisk-facts 7).
func (t *site) joinAll(ctx context.Context) (leave func(), err error) {
	return t.joinEvents(ctx, true)
}

// joinSome logs in and reads the events of channels and bridges only.
func (t *site) joinSome(ctx context.Context) (leave func(), err error) {
	return t.joinEvents(ctx, false)
}

func (t *site) joinEvents(ctx context.Context, all bool) (leave func(), err error) {
	leaveManager, err := t.joinManager(ctx)
	if err != nil {
		return nil, err
	}
	query := "app=bench&api_key=" + t.pbx.ARIUser + ":" + t.pbx.ARIPassword
	conn, _, err := websocket.Dial(ctx, strings.Replace(t.pbx.ARIURL, "http", "ws", 1)+"/events?"+query+fmt.Sprintf("&subscribeAll=%t", all), nil)
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
	if !all {
		err = t.subscribe(ctx, t.pbx.ARIURL+"/applications/bench/subscription?eventSource=channel:,bridge:&"+query)
	}
	if err != nil {
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
