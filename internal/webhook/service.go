package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"callrecordd/internal/events"
)

const (
	// mostWaiting bounds the queue of one subscription.
	mostWaiting = 10_000
	// purgeEvery is how often old deliveries are looked for.
	purgeEvery = time.Hour
	// mostPlanned is after how many deliveries those of further rows wait for the
	// next transaction: writes of calls wait meanwhile.
	mostPlanned = 100
	// skipRows is after how many events without a delivery the cursor is stored.
	skipRows = 1000
	// storeTime bounds a write of what has happened already.
	storeTime = 5 * time.Second
	// brokenWait is before another look at a database that gave an error.
	brokenWait = 5 * time.Second
)

// Options are what a Service needs.
type Options struct {
	Repo Repo
	Feed Feed
	// Sees returns the tenants that a subscription may be told of, and its ACL, as
	// the rights of its maker are now. Without tenants it is told of nothing.
	Sees func(Subscription) ([]string, interface{ Allows(string) bool })
	// Workers is how many targets are talked to at a time.
	Workers int
	Timeout time.Duration // of one attempt
	// Attempts is after how many of them a delivery is dead.
	Attempts int
	// Keep is how long what has ended can be looked at.
	Keep         time.Duration
	AllowPrivate bool
	Agent        string
	Now          func() time.Time
	NewUUID      func() string
	Log          *slog.Logger
}

// Feed is what deliveries are made of.
type Feed interface {
	events.Source
	Last(ctx context.Context) (int64, error)
}

// Service keeps subscriptions and delivers. Run does the work.
type Service struct {
	Repo
	opt    Options
	sender *sender
	work   chan struct{}

	mu   sync.Mutex
	busy map[string]bool // subscriptions that are being delivered to
}

// New returns a Service.
func New(o Options) *Service {
	return &Service{
		Repo: o.Repo, opt: o, sender: newSender(o.Timeout, o.AllowPrivate, o.Agent, o.Now),
		work: make(chan struct{}, 1), busy: map[string]bool{},
	}
}

// AllowPrivate says whether private addresses may be sent to.
func (s *Service) AllowPrivate() bool { return s.opt.AllowPrivate }

// Attempts is after how many a delivery is dead.
func (s *Service) Attempts() int { return s.opt.Attempts }

// Replay is the Repo's, and delivers at once.
func (s *Service) Replay(ctx context.Context, subscription, delivery, actor string) (int, error) {
	n, err := s.Repo.Replay(ctx, subscription, delivery, actor)
	s.wake()
	return n, err
}

func (s *Service) wake() {
	select {
	case s.work <- struct{}{}:
	default: // it is awake
	}
}

// Run makes deliveries of events and delivers them until ctx ends. An attempt
// that is under way then is given up, and made again by the next Run.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.again(ctx, "plan", s.plan) })
	wg.Go(func() { s.again(ctx, "deliver", s.deliver) })
	wg.Go(func() { s.purge(ctx) })
	wg.Wait()
	s.sender.close()
	return nil
}

// again runs a part until ctx ends, whatever happens to it.
func (s *Service) again(ctx context.Context, name string, part func(context.Context) error) {
	for {
		err := part(ctx)
		if ctx.Err() != nil {
			return
		}
		s.opt.Log.Error("a part of the webhooks has failed and begins anew", "part", name, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(brokenWait):
		}
	}
}

// plan makes deliveries of what the feed has.
func (s *Service) plan(ctx context.Context) error {
	after, err := s.Cursor(ctx)
	if err != nil {
		return err
	}
	stored := after
	for {
		news := s.opt.Feed.News()
		// Always the events first and then who is told: who is not there by then
		// is told of later ones only.
		last, err := s.opt.Feed.Last(ctx)
		if err != nil {
			return err
		}
		subscribed, err := s.Webhooks(ctx, nil)
		switch {
		case err != nil:
		case len(subscribed) == 0:
			after = max(after, last)
			err = s.planned(ctx, after, &stored, nil)
		default:
			after, err = s.planAll(ctx, after, &stored)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		}
	}
}

// planned stores deliveries, and how far that brings the cursor if there are
// any or it has come far.
func (s *Service) planned(ctx context.Context, end int64, stored *int64, list []Delivery) error {
	if len(list) == 0 && end-*stored < skipRows {
		return nil
	}
	if err := s.Plan(ctx, end, list, mostWaiting); err != nil {
		return err
	}
	*stored = end
	if len(list) > 0 {
		s.wake()
	}
	return nil
}

func (s *Service) planAll(ctx context.Context, after int64, stored *int64) (int64, error) {
	for {
		list, err := s.opt.Feed.Read(ctx, after)
		if err != nil || len(list) == 0 {
			return after, err
		}
		subscribed, err := s.Webhooks(ctx, nil)
		if err != nil {
			return after, err
		}
		var out []Delivery
		for _, entry := range list {
			for _, e := range entry.Events {
				made, err := s.deliveries(e, subscribed)
				if err != nil {
					return after, err
				}
				out = append(out, made...)
			}
			if after = entry.Row; len(out) < mostPlanned {
				continue
			}
			if err := s.planned(ctx, after, stored, out); err != nil {
				return after, err
			}
			out = nil
		}
		if err := s.planned(ctx, after, stored, out); err != nil {
			return after, err
		}
	}
}

// deliveries are those of one event.
func (s *Service) deliveries(e events.Event, subscribed []Subscription) (out []Delivery, err error) {
	var payload []byte
	for _, sub := range subscribed {
		tenants, acl := s.opt.Sees(sub)
		if e.ID.Row <= sub.Since || !sub.Filter(tenants, acl).Passes(e) {
			continue
		}
		if payload == nil {
			if payload, err = json.Marshal(e); err != nil {
				return nil, fmt.Errorf("encode event %s: %w", e.ID, err)
			}
		}
		now := s.opt.Now()
		out = append(out, Delivery{
			UUID: s.opt.NewUUID(), Subscription: sub.UUID, Event: e.Name, Payload: payload, State: Pending, NextAt: now, CreatedAt: now,
		})
	}
	return out, nil
}

// deliver hands what is due to workers.
func (s *Service) deliver(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	for {
		next, err := s.start(ctx, &workers)
		if err != nil {
			return err
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-s.work:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// start starts what is due as far as there are workers, and says when to look
// again unless somebody wakes us.
func (s *Service) start(ctx context.Context, workers *sync.WaitGroup) (next time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := s.opt.Workers - len(s.busy)
	if free <= 0 {
		return purgeEvery, nil
	}
	busy := make([]string, 0, len(s.busy))
	for uuid := range s.busy {
		busy = append(busy, uuid)
	}
	slices.Sort(busy)
	heads, err := s.Heads(ctx, busy, free)
	if err != nil {
		return 0, err
	}
	now := s.opt.Now()
	for _, h := range heads {
		// None waits longer than that, unless the clock was set back.
		if d := h.Delivery.NextAt.Sub(now); d > 0 && d <= maxWait {
			return d, nil
		}
		s.busy[h.Subscription.UUID] = true
		workers.Go(func() {
			s.attempt(ctx, h)
			s.mu.Lock()
			delete(s.busy, h.Subscription.UUID)
			s.mu.Unlock()
			s.wake()
		})
	}
	return purgeEvery, nil
}

// errNotAllowed is why a delivery is given up at once.
var errNotAllowed = errors.New("whoever made or last changed the subscription may not see this event, or not any more")

// allowed looks again at the rights, when the event is sent: they may be others
// than when it happened, and so may who has changed the subscription.
func (s *Service) allowed(h Head) error {
	var e events.Event
	if err := json.Unmarshal(h.Delivery.Payload, &e); err != nil {
		return fmt.Errorf("read the event: %w", err)
	}
	tenants, acl := s.opt.Sees(h.Subscription)
	if !slices.Contains(tenants, e.TenantUUID) || !acl.Allows(e.RequiredACL) {
		return errNotAllowed
	}
	return nil
}

// attempt makes one, and stores what became of it. If that cannot be stored the
// target may be told again, with the same id.
func (s *Service) attempt(ctx context.Context, h Head) {
	d := h.Delivery
	if d.StartedAt.IsZero() {
		d.StartedAt = s.opt.Now()
	}
	status, err := 0, s.allowed(h)
	if err == nil {
		status, err = s.sender.send(ctx, h)
	}
	if ctx.Err() != nil {
		return // it is made again after the next start
	}
	d.Attempts++
	d.Status, d.Detail = status, ""
	now := s.opt.Now()
	log := s.opt.Log.With("subscription", h.Subscription.UUID, "delivery", d.UUID, "event", d.Event, "attempt", d.Attempts)
	switch {
	case err == nil:
		d.State, d.EndedAt = Delivered, now
	case d.Attempts >= s.opt.Attempts, errors.Is(err, errNotAllowed):
		d.State, d.EndedAt, d.Detail = Dead, now, err.Error()
		log.Warn("a webhook was given up; callrecordd webhook replay tries it again", "err", err)
	default:
		d.NextAt, d.Detail = now.Add(wait(d.Attempts, rand.Float64())), err.Error()
		log.Debug("a webhook was not delivered and will be tried again", "err", err, "next_at", d.NextAt)
	}
	save, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	defer cancel()
	if err := s.Finish(save, d); err != nil {
		log.Error("what became of a webhook cannot be stored, it may be sent again", "err", err)
		select { // not at once
		case <-ctx.Done():
		case <-time.After(brokenWait):
		}
	}
}

// purge deletes what has ended long ago.
func (s *Service) purge(ctx context.Context) {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		more, err := true, error(nil)
		for more && err == nil {
			more, err = s.PurgeDeliveries(ctx, s.opt.Now().Add(-s.opt.Keep))
		}
		if err != nil && ctx.Err() == nil {
			s.opt.Log.Error("old webhooks cannot be deleted, the next run tries again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
