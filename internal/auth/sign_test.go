package auth

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSigner(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := NewSigner([]byte(strings.Repeat("k", 32)), func() time.Time { return now })
	expires := now.Add(time.Minute)
	good := s.Sign("media", expires, "a", "bc")
	if err := s.Verify(good, "media", expires, "a", "bc"); err != nil {
		t.Error(err)
	}
	other := NewSigner([]byte(strings.Repeat("x", 32)), s.now)
	for name, err := range map[string]error{
		"another object":  s.Verify(good, "media", expires, "a", "bd"),
		"other parts":     s.Verify(good, "media", expires, "ab", "c"),
		"another purpose": s.Verify(good, "export", expires, "a", "bc"),
		"later":           s.Verify(good, "media", expires.Add(time.Second), "a", "bc"),
		"another key":     other.Verify(good, "media", expires, "a", "bc"),
		"empty":           s.Verify("", "media", expires, "a", "bc"),
		"longer":          s.Verify(good+"A", "media", expires, "a", "bc"),
	} {
		if !errors.Is(err, ErrBadSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	now = expires
	if err := s.Verify(good, "media", expires, "a", "bc"); !errors.Is(err, ErrExpired) {
		t.Errorf("expired: %v", err)
	}
}
