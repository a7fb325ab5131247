package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
)

// The parameters of new password hashes (design 7). Those of a stored hash are
// in its text, so they may be raised at any time.
const (
	hashMemory  = 19 * 1024 // KiB
	hashTime    = 2
	hashThreads = 1
	hashLength  = 32
	saltLength  = 16
	// hashesAtOnce bounds memory and processors: calls come first.
	hashesAtOnce = 2
)

// hasher hashes passwords with argon2id, two at a time.
type hasher struct {
	slots chan struct{}
	// dummy is the hash of no password: who has none costs the same time.
	dummy string
	// freeing says that the memory of hashes is being given back, or will be.
	freeing atomic.Bool
	freed   atomic.Int64 // when it was last given back, in nanoseconds
	collect func()
	after   func(time.Duration, func())
	now     func() time.Time
}

// freeEvery is how often memory is given back at most: each time is a full
// collection, and who guesses passwords would have one for each guess.
const freeEvery = 3 * time.Second

func newHasher() *hasher {
	h := &hasher{
		slots: make(chan struct{}, hashesAtOnce), collect: debug.FreeOSMemory, now: time.Now,
		after: func(d time.Duration, f func()) { time.AfterFunc(d, f) },
	}
	h.dummy = phc(make([]byte, saltLength), make([]byte, hashLength))
	return h
}

// phc is the usual text form of a hash.
func phc(salt, key []byte) string {
	enc := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashTime, hashThreads, enc(salt), enc(key))
}

func (h *hasher) slot(ctx context.Context) (release func(), err error) {
	select {
	case h.slots <- struct{}{}:
		return func() {
			<-h.slots
			h.free()
		}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// free gives the memory of a hash back. It is several times what the daemon has
// in use otherwise: a collection that meets it takes it for the size of the heap
// and lets that grow to a multiple, with three hundred recordings to 120 MB.
// What comes soon after another waits for its time, together with all that follow
// meanwhile.
func (h *hasher) free() {
	if !h.freeing.CompareAndSwap(false, true) {
		return
	}
	// Not more than that, if the clock was set back.
	wait := min(freeEvery, freeEvery-h.now().Sub(time.Unix(0, h.freed.Load())))
	h.after(max(0, wait), func() { // nobody waits for it
		h.freed.Store(h.now().UnixNano())
		h.freeing.Store(false) // before: a hash of now needs another
		h.collect()
	})
}

// hash returns the text to store for a password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	release, err := h.slot(ctx)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	defer release()
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the program instead
	key := argon2.IDKey([]byte(password), salt, hashTime, hashMemory, hashThreads, hashLength)
	return phc(salt, key), nil
}

// verify says whether the password is that of the stored hash. An empty stored
// hash matches nothing and takes as long as any other. before may refuse when
// it is this one's turn, after is told the result before the next one's.
func (h *hasher) verify(ctx context.Context, stored, password string, before func() error, after func(ok bool)) (bool, error) {
	known := stored != ""
	if !known {
		stored = h.dummy
	}
	p, err := parseHash(stored)
	if err != nil {
		return false, fmt.Errorf("check password: %w", err)
	}
	release, err := h.slot(ctx)
	if err != nil {
		return false, fmt.Errorf("check password: %w", err)
	}
	defer release()
	if err := before(); err != nil {
		return false, err
	}
	key := argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, uint32(len(p.key)))
	ok := subtle.ConstantTimeCompare(key, p.key) == 1 && known
	after(ok)
	return ok, nil
}

type parsedHash struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

var errHash = errors.New("the stored password hash is not one of argon2id")

func parseHash(stored string) (parsedHash, error) {
	var p parsedHash
	fields := strings.Split(stored, "$")
	if len(fields) != 6 || fields[1] != "argon2id" || fields[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, errHash
	}
	if n, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); n != 3 || err != nil {
		return p, errHash
	}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.DecodeString(fields[4])
	p.key, err2 = base64.RawStdEncoding.DecodeString(fields[5])
	// Bounds, so that a damaged row cannot take all memory.
	if err1 != nil || err2 != nil || len(p.key) < 16 || len(p.salt) < 8 ||
		p.memory > 1<<20 || p.time == 0 || p.time > 100 || p.threads == 0 {
		return p, errHash
	}
	return p, nil
}
