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

func TestAllows(t *testing.T) {
	const id = "9f1b2c3d-0000-4000-8000-000000000001"
	tests := []struct {
		name     string
		acl      string // separated by blanks
		required string
		want     bool
	}{
		{"nothing allows nothing", "", "call-logd.cdr.read", false},
		{"exact", "call-logd.cdr.read", "call-logd.cdr.read", true},
		{"dot is no wildcard", "call-logd.cdr.read", "call-logdXcdr.read", false},
		{"whole string", "call-logd.cdr", "call-logd.cdr.read", false},
		{"hash is anything", "call-logd.#", "call-logd.cdr.12.recordings.x.media.read", true},
		{"hash needs its prefix", "call-logd.#", "calld.calls.read", false},
		{"bare hash", "#", "auth.tokens.read", true},
		{"hash in the middle", "call-logd.#.read", "call-logd.cdr.12.read", true},
		{"star is one word", "call-logd.cdr.*.read", "call-logd.cdr.12.read", true},
		{"star is not two", "call-logd.*.read", "call-logd.cdr.12.read", false},
		{"star never matches a hash", "a.*.b", "a.#.b", false},
		{"star within a word", "call-*.cdr.read", "call-logd.cdr.read", true},
		{"denial first", "call-logd.# !call-logd.cdr.recordings.#", "call-logd.cdr.recordings.media.delete", false},
		{"denial of something else", "call-logd.# !call-logd.config.#", "call-logd.cdr.read", true},
		{"me is me", "call-logd.users.me.#", "call-logd.users.me.cdr.read", true},
		{"me is my id", "call-logd.users.me.#", "call-logd.users." + id + ".cdr.read", true},
		{"me is nobody else", "call-logd.users.me.#", "call-logd.users.other.cdr.read", false},
		{"me only as a word", "call-logd.mex.read", "call-logd." + id + "x.read", false},
		{"edit is update", "confd.users.edit", "confd.users.update", true},
		{"update is edit", "confd.users.update", "confd.users.edit", true},
		{"other characters are literal", "a.(b|c).read", "a.b.read", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Allows(strings.Fields(tt.acl), tt.required, id); got != tt.want {
				t.Errorf("Allows(%q, %q) = %v, want %v", tt.acl, tt.required, got, tt.want)
			}
		})
	}
	if Allows([]string{"users.me.read"}, "users..read", "") {
		t.Error("without an auth id, me must not match an empty word")
	}
}

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
	if _, err := s.Check(t.Context(), secret.Reveal()); err == nil || errors.Is(err, ErrInvalidToken) {
		t.Errorf("a failing store must not look like a bad token: %v", err)
	}
	if _, _, err := s.Create(t.Context(), "root", Request{TenantUUID: "t", ACL: []string{"a b"}}); err == nil {
		t.Error("an access with a blank was accepted")
	}
}
