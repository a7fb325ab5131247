package auth

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// ErrThrottled is returned for logins after too many wrong passwords.
type ErrThrottled struct {
	Wait time.Duration // until another may be tried
}

// Error implements error.
func (e *ErrThrottled) Error() string {
	return fmt.Sprintf("too many failed logins, try again in %d seconds", int(e.Wait.Seconds())+1)
}

// limit is a bucket of failures: burst at once, then one per refill.
type limit struct {
	burst  int
	refill time.Duration
}

// Failures are counted per account and per address. An address may stand for
// many people (a proxy, the host itself), so it is allowed more. A login that
// nobody has counts as an account: whether it exists must not show.
func accountLimit() limit { return limit{burst: 10, refill: 10 * time.Second} }
func addressLimit() limit { return limit{burst: 50, refill: 2 * time.Second} }

// throttledKeys bounds the memory that strangers can make us use.
const throttledKeys = 20_000

// throttle counts failed logins. Only failures count, so a client that knows
// its password never notices, unless somebody else guesses at its account.
type throttle struct {
	mu      sync.Mutex
	buckets map[string]bucket
}

type bucket struct {
	used float64 // failures that have not been forgiven yet
	at   time.Time
}

// left is how much of the bucket is used at a time that is not before at.
func (b bucket) left(now time.Time, l limit) float64 {
	return max(0, b.used-now.Sub(b.at).Seconds()/l.refill.Seconds())
}

// bucket is that of a key. A clock that was set back forgives nothing and
// punishes nobody for longer: it goes on from the new time. t.mu is held.
func (t *throttle) bucket(key string, now time.Time) (bucket, bool) {
	b, ok := t.buckets[key]
	if ok && now.Before(b.at) {
		b.at = now
		t.buckets[key] = b
	}
	return b, ok
}

// addressKey is whose failures count together: an IPv6 address is one of 2^64
// that its owner has, so all of them are one.
func addressKey(remote string) string {
	if ip, err := netip.ParseAddr(remote); err == nil {
		ip = ip.Unmap().WithZone("")
		if net, err := ip.Prefix(64); err == nil && ip.Is6() {
			return "address " + net.String()
		}
		remote = ip.String()
	}
	return "address " + remote
}

// allow returns *ErrThrottled if the key has used up its failures.
func (t *throttle) allow(key string, l limit, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, ok := t.bucket(key, now)
	if !ok {
		return nil
	}
	if used := b.left(now, l); used > float64(l.burst-1) {
		return &ErrThrottled{Wait: time.Duration((used - float64(l.burst-1)) * float64(l.refill))}
	}
	return nil
}

func (t *throttle) failed(key string, l limit, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buckets == nil {
		t.buckets = make(map[string]bucket)
	}
	b, ok := t.bucket(key, now)
	if !ok && len(t.buckets) >= throttledKeys {
		t.forget(now)
	}
	t.buckets[key] = bucket{used: b.left(now, l) + 1, at: now}
}

// forget makes room: first what has been forgiven anyway, else anything.
func (t *throttle) forget(now time.Time) {
	for k := range t.buckets {
		if b, _ := t.bucket(k, now); b.left(now, accountLimit()) == 0 {
			delete(t.buckets, k)
		}
	}
	for k := range t.buckets {
		if len(t.buckets) < throttledKeys {
			break
		}
		delete(t.buckets, k)
	}
}

// forgive is for who has shown the right password.
func (t *throttle) forgive(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.buckets, key)
}
