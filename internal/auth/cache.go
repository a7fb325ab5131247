package auth

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// cachedTokens bounds the cache. A site has some clients per person; beyond
// that the database answers.
const cachedTokens = 10_000

// tokenCache has the tokens that were checked lately, with their compiled
// ACLs. All changes of tokens go through this process, which holds the lock of
// the database, so an entry is right until it is dropped.
type tokenCache struct {
	mu         sync.RWMutex
	tokens     map[[sha256.Size]byte]Token
	generation uint64 // of the last drop
}

// get also returns the generation that put wants to see again.
func (c *tokenCache) get(sum [sha256.Size]byte) (Token, bool, uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	t, ok := c.tokens[sum]
	return t, ok, c.generation
}

// put keeps a token that was read, unless something has been dropped since the
// reading began: it may have been this one.
func (c *tokenCache) put(sum [sha256.Size]byte, t Token, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation != generation {
		return
	}
	if c.tokens == nil {
		c.tokens = make(map[[sha256.Size]byte]Token)
	}
	if len(c.tokens) >= cachedTokens {
		for k := range c.tokens { // any will do: maps have no order
			delete(c.tokens, k)
			break
		}
	}
	c.tokens[sum] = t
}

func (c *tokenCache) drop(which func(Token) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	for k, t := range c.tokens {
		if which(t) {
			delete(c.tokens, k)
		}
	}
}

// Forget has what was kept of the tokens of an account or directory user looked
// up again, for who has deleted them in the database.
func (s *Service) Forget(uuid string) {
	s.cache.drop(func(t Token) bool { return t.AuthID == uuid || t.UserUUID == uuid })
}

// watch remembers the latest time that was seen.
type watch struct {
	latest atomic.Int64 // microseconds
	mu     sync.Mutex   // held while a setback is dealt with
}

// setback is by how much a clock may go back without being taken for set back.
const setback = time.Second

// tick returns the time. If the clock has been set back, first all tokens that
// had expired by the time seen before are deleted, so that none comes to life
// again, and the others keep the life they had left and gain none.
func (s *Service) tick(ctx context.Context) (time.Time, error) {
	now := s.now()
	us := now.UnixMicro()
	latest := s.clock.latest.Load()
	for us > latest {
		if s.clock.latest.CompareAndSwap(latest, us) {
			return now, nil
		}
		latest = s.clock.latest.Load()
	}
	if latest-us < setback.Microseconds() {
		return now, nil
	}
	return now, s.wentBack(ctx, us)
}

func (s *Service) wentBack(ctx context.Context, us int64) error {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	latest := s.clock.latest.Load()
	if latest-us < setback.Microseconds() {
		return nil // another request has done it
	}
	if err := s.repo.DeleteExpired(ctx, time.UnixMicro(latest)); err != nil {
		return fmt.Errorf("the clock was set back, and expired tokens cannot be deleted: %w", err)
	}
	if err := s.repo.SetBack(ctx, time.Duration(latest-us)*time.Microsecond); err != nil {
		return fmt.Errorf("the clock was set back, and the life of tokens cannot be corrected: %w", err)
	}
	s.cache.drop(func(Token) bool { return true })
	s.clock.latest.Store(us)
	return nil
}
