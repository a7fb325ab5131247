package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"time"
)

// What Verify says of a signature that opens nothing.
var (
	ErrBadSignature = errors.New("the signature does not fit")
	ErrExpired      = errors.New("the signature has expired")
)

// Signer makes and checks signatures for links: whoever has one may do one
// thing with one object until a moment, without a token.
type Signer struct {
	key []byte
	now func() time.Time
}

// NewSigner returns a Signer. The key is secret and random, 32 bytes or more;
// another key makes all signatures void.
func NewSigner(key []byte, now func() time.Time) *Signer { return &Signer{key, now} }

// Sign binds purpose, expiry (to the second) and the parts that name the
// object.
func (s *Signer) Sign(purpose string, expires time.Time, object ...string) string {
	mac := hmac.New(sha256.New, s.key)
	for _, part := range append([]string{purpose, strconv.FormatInt(expires.Unix(), 10)}, object...) {
		// The length keeps "ab"+"c" apart from "a"+"bc"; a hash never fails.
		_, _ = mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		_, _ = mac.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Verify returns nil, ErrBadSignature, or ErrExpired for a good one that is
// too old.
func (s *Signer) Verify(signature, purpose string, expires time.Time, object ...string) error {
	if !hmac.Equal([]byte(signature), []byte(s.Sign(purpose, expires, object...))) {
		return ErrBadSignature
	}
	if !s.now().Before(expires) {
		return ErrExpired
	}
	return nil
}
