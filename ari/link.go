package ari

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"callrecordd/ari/internal/backoff"

	"github.com/coder/websocket"
)

// maxMisses is the number of unanswered pings that ends a session.
const maxMisses = 2

// frame is one event as it was read.
type frame struct {
	raw []byte
	at  time.Time
}

// link owns one websocket and the two goroutines on it, a reader and a pinger.
// The reader does nothing but read, stamp and enqueue: Asterisk disconnects a
// client that stalls for 100 ms and replays nothing (asterisk-facts 2).
type link struct {
	conn *websocket.Conn
	now  func() time.Time
	// ctx ends with the link, its cause says why.
	ctx  context.Context
	fail context.CancelCauseFunc
	// queue is closed when the reader has ended.
	queue chan frame
	wg    sync.WaitGroup
	// sign is the last proof that nothing is missing, in Unix nanoseconds:
	// TCP keeps order, so a pong says that all events before it are here.
	sign atomic.Int64
}

func startLink(ctx context.Context, conn *websocket.Conn, cfg StreamConfig) *link {
	l := &link{conn: conn, now: cfg.Now, queue: make(chan frame, cfg.QueueSize)}
	l.ctx, l.fail = context.WithCancelCause(ctx)
	l.sign.Store(cfg.Now().UnixNano())
	l.wg.Go(l.read)
	l.wg.Go(func() { l.ping(cfg.PingInterval) })
	return l
}

// stop closes the websocket and waits for both goroutines.
func (l *link) stop() {
	l.fail(context.Canceled)
	// CloseNow, not Close: a closing handshake with a dead peer costs seconds.
	_ = l.conn.CloseNow()
	l.wg.Wait()
}

// reason returns why the link ended, or fallback while it stands.
func (l *link) reason(fallback error) error {
	if l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	return fallback
}

func (l *link) lastSign() time.Time { return time.Unix(0, l.sign.Load()) }

func (l *link) read() {
	defer close(l.queue)
	// At once, not when the sink comes back: Asterisk must not go on sending.
	defer func() { _ = l.conn.CloseNow() }()
	for {
		_, raw, err := l.conn.Read(l.ctx)
		if err != nil {
			l.fail(fmt.Errorf("read events: %w", err))
			return
		}
		f := frame{raw: raw, at: l.now()}
		select {
		case l.queue <- f:
			l.sign.Store(f.at.UnixNano())
		default:
			l.fail(fmt.Errorf("read events: %w after %d", ErrOverflow, cap(l.queue)))
			return
		}
	}
}

// ping asks for a sign of life each interval. After a miss it asks again at
// once, so that a dead peer is found after three intervals.
func (l *link) ping(every time.Duration) {
	for misses := 0; misses < maxMisses; {
		if misses == 0 && backoff.Sleep(l.ctx, every) != nil {
			return
		}
		ctx, cancel := context.WithTimeout(l.ctx, every)
		err := l.conn.Ping(ctx)
		cancel()
		switch {
		case l.ctx.Err() != nil:
			return
		case err != nil:
			misses++
		default:
			misses = 0
			l.sign.Store(l.now().UnixNano())
		}
	}
	l.fail(fmt.Errorf("ping event stream: %w", ErrSilent))
}
