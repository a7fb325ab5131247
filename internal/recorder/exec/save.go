package exec

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"callrecordd/internal/recorder"
)

const (
	saveTries = 6
	saveWait  = 5 * time.Second  // for one try
	saveMax   = 10 * time.Second // before a further try of a final state
	eventRoom = 64 << 10         // after a crash each of ten thousand recordings has some to tell
	batchSize = 256
)

// serial runs functions one after another, on a goroutine only while there
// are some.
type serial struct {
	wg    *sync.WaitGroup
	mu    sync.Mutex
	queue []func()
	busy  bool
}

func (s *serial) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, f)
	if !s.busy {
		s.busy = true
		s.wg.Go(s.drain)
	}
}

func (s *serial) drain() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.busy = false
			s.mu.Unlock()
			return
		}
		f := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		f()
	}
}

// save stores something of a recording after what was queued before, and
// closes the channel when that is over. A final state is tried until it is
// stored: no later one would repair the row before the next reconnect. So is what
// is said once: that there is a row, and who was in the talk. Anything else is
// given up after some tries, for the next row has what it said.
func (e *Exec) save(w *worker, what string, final bool, f func(context.Context) error) <-chan struct{} {
	done := make(chan struct{})
	w.rows.do(func() {
		defer close(done)
		err := retry(e.ctx, e.cfg.SaveDelay, saveTries, f)
		if err == nil {
			return
		}
		e.cfg.Log.Error("recording cannot be stored", "recording", w.uuid, "what", what, "tried_on", final, "err", err)
		if !final || e.ctx.Err() != nil {
			return // the next start takes the row up in its older state
		}
		if err := retry(e.ctx, e.cfg.SaveDelay<<saveTries, -1, f); err != nil {
			e.cfg.Log.Error("recording was not stored before the end", "recording", w.uuid, "err", err)
			return
		}
		e.cfg.Log.Info("recording is stored after all", "recording", w.uuid)
	})
	return done
}

// retry tries until it works, at most so many times unless that is negative;
// after the end of stop only once. The tries themselves are not cut short: a
// final state is worth the wait. delay doubles up to saveMax.
func retry(stop context.Context, delay time.Duration, tries int, f func(context.Context) error) error {
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(stop), saveWait)
		err := f(ctx)
		cancel()
		if err == nil || try == tries || stop.Err() != nil {
			return err
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-stop.Done():
		}
		timer.Stop()
		delay = min(2*delay, saveMax)
	}
}

// eventsLost declares a gap: Data has the number.
const eventsLost = "events_lost"

// eventLog appends events in batches, in order, and with them the newest states
// of the legs. They wait for a database that takes nothing, for as long as it
// lasts. Their room is bounded; what does not fit becomes a declared gap, an
// event events_lost with the number, and so does one that cannot be stored though
// others can. A state is never lost: there are as many as legs that live or are
// stored.
type eventLog struct {
	store Store
	log   *slog.Logger
	clock func() time.Time
	delay time.Duration // before the second try
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup
	wake  chan struct{}

	mu      sync.Mutex
	queue   []recorder.Event
	legs    map[string]recorder.LegState
	lost    int
	waiting []chan struct{} // for the states to be stored
	singly  int             // how many are stored one by one; of run alone
}

func newEventLog(store Store, log *slog.Logger, clock func() time.Time, delay time.Duration) *eventLog {
	l := &eventLog{store: store, log: log, clock: clock, delay: delay, wake: make(chan struct{}, 1), legs: map[string]recorder.LegState{}}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.wg.Go(l.run)
	return l
}

// add queues events and states; stored is closed when the states are stored.
func (l *eventLog) add(events []recorder.Event, legs []recorder.LegState, stored ...chan struct{}) {
	if len(events)+len(legs) == 0 {
		return
	}
	l.mu.Lock()
	l.waiting = append(l.waiting, stored...)
	room := min(len(events), eventRoom-len(l.queue))
	l.queue = append(l.queue, events[:room]...)
	l.lost += len(events) - room
	for _, s := range legs {
		l.replace(l.legs[s.Leg], s)
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// stored is closed when the states of legs that were added before are stored.
func (l *eventLog) stored() <-chan struct{} {
	done := make(chan struct{})
	l.await([]chan struct{}{done})
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return done
}

// replace notes a newer state in place of one that is not stored. Of a leg that
// came and went meanwhile the store knows nothing to be forgotten.
func (l *eventLog) replace(old, s recorder.LegState) {
	s.New = old.New || s.New && !old.Gone
	if s.New && s.Gone {
		delete(l.legs, s.Leg)
		return
	}
	l.legs[s.Leg] = s
}

// batch takes what is to be stored next. States go before the events or with the
// first of them: they may be newer than those, never older.
func (l *eventLog) batch() ([]recorder.Event, []recorder.LegState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.legs) > batchSize {
		return nil, l.takeLegs(batchSize)
	}
	n := min(len(l.queue), batchSize)
	if l.singly > 0 {
		l.singly--
		n = min(n, 1)
	}
	out := append([]recorder.Event(nil), l.queue[:n]...)
	l.queue = l.queue[n:]
	if len(l.queue) == 0 && l.lost > 0 {
		out = append(out, recorder.Event{At: l.clock(), Kind: eventsLost, Data: map[string]int{"count": l.lost}})
		l.lost = 0
	}
	return out, l.takeLegs(batchSize)
}

func (l *eventLog) takeLegs(most int) (out []recorder.LegState) {
	for leg, s := range l.legs {
		if len(out) == most {
			break
		}
		out = append(out, s)
		delete(l.legs, leg)
	}
	return out
}

// again takes back states that could not be stored, but for those that others
// have replaced.
func (l *eventLog) again(legs []recorder.LegState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range legs {
		if newer, ok := l.legs[s.Leg]; ok {
			l.replace(s, newer)
		} else {
			l.legs[s.Leg] = s
		}
	}
}

// allTaken are those who wait for states all of which are in the batch.
func (l *eventLog) allTaken() (waiting []chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.legs) == 0 {
		waiting, l.waiting = l.waiting, nil
	}
	return waiting
}

func told(waiting []chan struct{}) {
	for _, stored := range waiting {
		close(stored)
	}
}

func (l *eventLog) await(waiting []chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(waiting, l.waiting...)
}

func (l *eventLog) run() {
	for wait := l.delay; ; {
		list, legs := l.batch()
		waiting := l.allTaken()
		if len(list)+len(legs) == 0 {
			told(waiting) // legs that have come and gone
			select {
			case <-l.wake:
				continue
			case <-l.ctx.Done():
				if list, legs = l.batch(); len(list)+len(legs) == 0 {
					return
				}
				waiting = l.allTaken()
			}
		}
		err := retry(l.ctx, l.delay, saveTries, func(ctx context.Context) error { return l.store.AppendEvents(ctx, list, legs) })
		if err == nil {
			wait = l.delay
			told(waiting)
			continue
		}
		l.log.Error("events cannot be stored", "count", len(list), "err", err)
		if l.ctx.Err() != nil {
			return // the gap cannot be declared either
		}
		l.again(legs)
		l.await(waiting)
		if len(list) == 1 && l.declared(list[0]) {
			continue
		}
		// The database takes nothing, or one of them cannot be stored, which is found
		// by taking them singly.
		l.back(list)
		l.singly = len(list)
		l.pause(wait)
		wait = min(2*wait, saveMax)
	}
}

// declared says in the place of an event that it was given up. If nothing can be
// stored, or the event after all, none is lost: it was the database's fault.
func (l *eventLog) declared(event recorder.Event) bool {
	try := func(list ...recorder.Event) error {
		ctx, cancel := context.WithTimeout(l.ctx, saveWait)
		defer cancel()
		return l.store.AppendEvents(ctx, list, nil)
	}
	if try() != nil {
		return false
	}
	return try(event) == nil || try(recorder.Event{At: l.clock(), Kind: eventsLost, Data: map[string]int{"count": 1}}) == nil
}

// back takes back events that could not be stored; those that came meanwhile and
// have no room any more are lost, and are the newest.
func (l *eventLog) back(list []recorder.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(list, l.queue...)
	if over := len(l.queue) - eventRoom; over > 0 {
		l.queue = l.queue[:eventRoom]
		l.lost += over
	}
}

func (l *eventLog) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.ctx.Done():
	}
}

func (l *eventLog) close() {
	l.stop()
	l.wg.Wait()
}
