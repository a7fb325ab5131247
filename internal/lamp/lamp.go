// Package lamp keeps the lamps of telephones in step with the rules of users: a
// device state of Asterisk for each user, lit while all four rules are on,
// whoever changed them (design 6).
//
// It imports nothing of ours. Asterisk is reached through Board.
package lamp

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// retryTime is how long after a failure everything is tried again.
	retryTime = 5 * time.Second
	// pace is between two changes, so that many at once take Asterisk's time
	// in small pieces.
	pace = 2 * time.Millisecond
)

// Board is the device states in Asterisk.
type Board interface {
	// Lamps returns all of ours, by key, and whether they are lit.
	Lamps(ctx context.Context) (map[string]bool, error)
	Set(ctx context.Context, key string, lit bool) error
}

// User is somebody with a lamp.
type User struct {
	Keys []string
	Lit  bool
}

// Wanted returns what each lamp should show. A key of several users stands for
// none of them: the lamp of one would show the rules of another.
func Wanted(users []User) map[string]bool {
	owners := make(map[string]int)
	for _, u := range users {
		for _, k := range u.Keys {
			owners[k]++
		}
	}
	wanted := make(map[string]bool)
	for _, u := range users {
		for _, k := range u.Keys {
			if owners[k] == 1 {
				wanted[k] = u.Lit
			}
		}
	}
	return wanted
}

// Keeper sets the lamps that differ.
type Keeper struct {
	board  Board
	users  func() []User
	log    *slog.Logger
	wake   chan struct{}
	forget atomic.Bool
	known  map[string]bool // of Run alone; nil if not known
}

// NewKeeper returns a Keeper; users returns everybody as they are now.
func NewKeeper(board Board, users func() []User, log *slog.Logger) *Keeper {
	return &Keeper{board: board, users: users, log: log, wake: make(chan struct{}, 1)}
}

// Changed tells that users have changed. It does not block.
func (k *Keeper) Changed() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Connected tells that Asterisk is there anew, perhaps another one. It does
// not block.
func (k *Keeper) Connected() {
	k.forget.Store(true)
	k.Changed()
}

// Run sets lamps until ctx ends. Nothing happens before the first Connected.
func (k *Keeper) Run(ctx context.Context) error {
	var retry <-chan time.Time
	connected, failing := false, false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		case <-retry:
		}
		retry = nil
		if k.forget.Swap(false) {
			connected, k.known = true, nil
		}
		if !connected {
			continue
		}
		err := k.round(ctx)
		if err != nil && ctx.Err() == nil {
			if !failing {
				k.log.Warn("lamps of *26 cannot be set, trying again", "err", err)
			}
			k.known, retry = nil, time.After(retryTime)
		}
		failing = err != nil
	}
}

// round makes every lamp show what it should.
func (k *Keeper) round(ctx context.Context) error {
	if k.known == nil {
		known, err := k.board.Lamps(ctx)
		if err != nil {
			return err
		}
		k.known = known
	}
	wanted := Wanted(k.users())
	for key, lit := range k.known {
		if _, ok := wanted[key]; lit && !ok {
			wanted[key] = false // of a user who is gone or has another number
		}
	}
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		if was, ok := k.known[key]; ok && was == wanted[key] {
			continue
		}
		if err := k.board.Set(ctx, key, wanted[key]); err != nil {
			return err
		}
		k.known[key] = wanted[key]
		select {
		case <-time.After(pace):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
