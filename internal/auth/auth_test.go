package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	s := Secret("hunter2")
	js, err := json.Marshal(map[string]any{"token": s})
	if err != nil {
		t.Fatal(err)
	}
	if out := fmt.Sprintf("%v %s %q %#v %s", s, s, s, s, js); strings.Contains(out, "hunter2") {
		t.Errorf("the secret shows: %s", out)
	}
}

// fakeRepo gives back whatever it was told to, like a broken index would.
type fakeRepo struct {
	Repo
	token Token
	err   error
}

func (f *fakeRepo) InsertToken(_ context.Context, t Token, _ string) error { f.token = t; return f.err }
func (f *fakeRepo) TokenByHash(context.Context, string) (Token, error)     { return f.token, f.err }

func TestCheck(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	n := 0
	repo := &fakeRepo{}
	s := New(repo, func() time.Time { return now }, func() string {
		n++
		return fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
	})
	secret, created, err := s.Create(t.Context(), "root", Request{TenantUUID: "t", ACL: []string{"#"}, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(created.Hash, secret.Reveal()) || len(created.Hash) != 64 {
		t.Errorf("hash = %q", created.Hash)
	}
	if got, err := s.Check(t.Context(), secret.Reveal()); err != nil || got.ID != created.ID {
		t.Errorf("Check = %v, %v", got, err)
	}
	if _, err := s.Check(t.Context(), "00000000-0000-4000-8000-999999999999"); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("a token whose hash differs: %v", err)
	}
	now = now.Add(time.Hour)
	if _, err := s.Check(t.Context(), secret.Reveal()); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("an expired token: %v", err)
	}
	repo.err = errors.New("disk on fire")
	if _, err := s.Check(t.Context(), "00000000-0000-4000-8000-999999999998"); err == nil || errors.Is(err, ErrInvalidToken) {
		t.Errorf("a failing store must not look like a bad token: %v", err)
	}
	if _, _, err := s.Create(t.Context(), "root", Request{TenantUUID: "t", ACL: []string{"a b"}}); err == nil {
		t.Error("an access with a blank was accepted")
	}
}
