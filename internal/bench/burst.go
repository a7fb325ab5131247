package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coder/websocket"

	"callrecordd/config"
	"callrecordd/internal/bench/load"
)

// burst sends the events of many calls to the daemon as fast as it takes them.
// A real Asterisk cannot: its events are those of one real call, copied, and
// come from a server that stands before the real one (see ariServer).
func burst(ctx context.Context, s *suite) (err error) {
	t, err := s.startWithout(ctx, armAll())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	events, err := t.capture(ctx)
	if err != nil {
		return err
	}
	front, err := newARIServer(t.pbx.ARIURL)
	if err != nil {
		return err
	}
	defer front.close()
	cfg := daemonConfig(t.pbx, t.dir)
	cfg.Asterisk.ARIURL = front.url
	if err := t.startPlain(ctx, s.opt.Daemon, cfg); err != nil {
		return err
	}
	calls := either(s, 100_000, 5_000)/len(events) + 1
	frames, marker := copies(events, calls)
	s.say("    %d events, %d for each of %d calls", len(frames), len(events), calls)
	begun := time.Now()
	sent, sendErr := front.send(ctx, frames)
	s.say("    %d events sent in %s, then: %v", sent, time.Since(begun).Round(time.Millisecond), sendErr)
	if sendErr != nil {
		return s.addGap(ctx, t, sent, time.Now())
	}
	return s.addDrained(ctx, t, sent, marker, begun)
}

// addDrained waits for the decision about the last call.
func (s *suite) addDrained(ctx context.Context, t *site, sent int, marker string, begun time.Time) error {
	wait, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	err := eventually(wait, func() error {
		st, err := t.status(wait)
		if err != nil {
			return err
		}
		if st.ARI.Gaps > 0 {
			return errGap
		}
		n, err := t.number(wait, "SELECT count(*) FROM events WHERE kind = 'decision' AND data LIKE ?", "%"+marker+"%")
		if err == nil && n == 0 {
			err = errors.New("the last call has not been decided")
		}
		return err
	})
	if errors.Is(err, errGap) {
		return s.addGap(ctx, t, sent, time.Now())
	}
	if err != nil {
		return err
	}
	took := time.Since(begun)
	lost, err := t.number(ctx, "SELECT count(*) FROM events WHERE kind = 'events_lost'")
	if err != nil {
		return err
	}
	f := Figure{Group: "burst", Name: "burst drained", Value: float64(sent) / took.Seconds(), Unit: "events/s", N: sent}
	f.Note = fmt.Sprintf("in %.2f s without a gap; %d declared losses in the table of events", took.Seconds(), lost)
	s.add(f.bar("drained, or resync ≤ 5 s", true))
	return s.addPeak(t)
}

var errGap = errors.New("the daemon has declared a gap")

// addGap measures from the end of the connection to the end of the resync.
func (s *suite) addGap(ctx context.Context, t *site, sent int, begun time.Time) error {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := eventually(wait, func() error {
		st, err := t.status(wait)
		if err == nil && (!st.Ready || st.ARI.Gaps == 0 || st.ARI.Reconnects == 0) {
			err = errors.New(st.Summary)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("wait for the resync after a gap: %w; the daemon's log ends: %s", err, t.child.tail())
	}
	f := Figure{Group: "burst", Name: "burst: declared gap, then resync", Value: time.Since(begun).Seconds(), Unit: "s", N: sent}
	f.Note = fmt.Sprintf("the daemon cut the connection after %d events had been sent", sent)
	s.add(f.atMost(5))
	return s.addPeak(t)
}

func (s *suite) addPeak(t *site) error {
	peak, err := memoryMB(t.child.pid, "VmHWM")
	if err != nil {
		return err
	}
	s.add(Figure{Group: "burst", Name: "most resident", Value: peak, Unit: "MB"}.atMost(150))
	return nil
}

// startPlain starts a daemon with an empty directory: it decides about every
// call, and records none.
func (t *site) startPlain(ctx context.Context, binary string, cfg config.Config) error {
	var err error
	if t.child, err = startChild(binary, t.dir, t.pbx, cfg); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return t.waitReady(ctx)
}

// wireEvent is what of an event tells it from those of another call.
type wireEvent struct {
	Type    string `json:"type"`
	Channel struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"channel"`
	Bridge struct {
		ID string `json:"id"`
	} `json:"bridge"`
}

// capture records all events of one real call that the daemon would get.
func (t *site) capture(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	address := strings.Replace(t.pbx.ARIURL, "http", "ws", 1) + "/events?app=bench&subscribeAll=true&api_key=" + t.pbx.ARIUser + ":" + t.pbx.ARIPassword
	conn, _, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		return nil, fmt.Errorf("watch a call: %w", err)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 20)
	done := make(chan []load.Call, 1)
	go func() { done <- t.run(ctx, load.Plan{Rate: 1, Calls: 1, Talk: 500 * time.Millisecond}) }()
	var events []string
	for destroyed := 0; destroyed < 2; {
		_, raw, err := conn.Read(ctx)
		if err != nil {
			return nil, fmt.Errorf("watch a call: %w", err)
		}
		var ev wireEvent
		if err := json.Unmarshal(raw, &ev); err != nil {
			return nil, fmt.Errorf("read event %.100q: %w", raw, err)
		}
		switch ev.Type {
		case "ChannelDestroyed":
			destroyed++
		case "ChannelVarset", "DeviceStateChanged", "EndpointStateChange", "PeerStatusChange", "ContactStatusChange":
			continue // the daemon's filter withholds them
		}
		events = append(events, string(raw))
	}
	if n, why := failed(<-done); n > 0 {
		return nil, fmt.Errorf("the call to copy failed: %s", why)
	}
	return events, nil
}

// copies makes the events of many calls, one after another. marker is in the
// decision about the last one.
func copies(events []string, calls int) (frames [][]byte, marker string) {
	ids := make(map[string]bool)
	first := ""
	for _, raw := range events {
		var ev wireEvent
		if json.Unmarshal([]byte(raw), &ev) != nil {
			continue // they were read once already
		}
		if first == "" {
			first = ev.Channel.ID
		}
		ids[ev.Channel.ID], ids[ev.Channel.Name], ids[ev.Bridge.ID] = true, true, true
	}
	delete(ids, "")
	for i := range calls {
		suffix := fmt.Sprintf("%07d", i)
		var pairs []string
		for id := range ids {
			// In quotes: one id may be the beginning of another.
			pairs = append(pairs, `"`+id+`"`, `"`+id+suffix+`"`)
		}
		rename := strings.NewReplacer(pairs...)
		for _, raw := range events {
			frames = append(frames, []byte(rename.Replace(raw)))
		}
		marker = first + suffix
	}
	return frames, marker
}
